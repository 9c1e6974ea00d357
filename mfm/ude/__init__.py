"""Universal differential equations: known equations, and a residual learned from time series.

    series -> hybrid (mechanism + residual) -> loss (observer, shooting) -> fit -> extract -> refit -> validate

Shapes: E ensemble members (noise seeds, starts: each with parameters of its own), K trajectories of the data, M segments that
are integrated at once, T samples, N units (regions, populations), D state variables, C observed ones.
"""

from mfm.ude.data.splits import TimeSplit, split_by_time
from mfm.ude.data.trajectories import Trajectories, estimate_noise
from mfm.ude.equations.fic_mechanism import FICMechanism, SettledHybrid, resolve_feedback, simulate_paths
from mfm.ude.equations.hybrid import Hybrid
from mfm.ude.equations.integrators import euler_step, heun_step, integrate, rk4_step, semi_implicit_step
from mfm.ude.equations.library import Library
from mfm.ude.equations.mechanism import Inputs, Mechanism, NoMechanism
from mfm.ude.equations.residuals import Residual, ResidualBasis, ResidualEdge, ResidualMLP
from mfm.ude.equations.systems import MemristiveCircuit, Roessler, attractor
from mfm.ude.estimates.detectability import Detectability, detectability
from mfm.ude.estimates.least_squares import LeastSquaresFit, least_squares
from mfm.ude.estimates.path_fit import PathFit, path_fit
from mfm.ude.fixed_point.linear_residual import LinearResidual
from mfm.ude.formulas.path_regression import path_regression
from mfm.ude.formulas.regression import SparseRule
from mfm.ude.formulas.symbolic import Extraction, Refit, extract, pysr_formula, refit
from mfm.ude.judging.agreement import Agreement, ensemble_agreement
from mfm.ude.judging.forecasts import (
    FreeRun,
    carried_through,
    forecast,
    free_run_beyond,
    nrmse,
    one_step_score,
    valid_time,
    wasserstein,
)
from mfm.ude.judging.placebo import Placebo, placebo
from mfm.ude.training.gradient import Adam, FitStatus, Training, TrainingProgress, UDEFit, fit
from mfm.ude.training.losses import LatentSDE, PathLikelihood, PredictionError
from mfm.ude.training.observers import GainSchedule, Innovation, Nudging
from mfm.ude.training.shooting import MultipleShooting
from mfm.ude.training.stages import Stage, curriculum, fit_stages

__all__ = [
    "Adam",
    "Agreement",
    "Detectability",
    "Extraction",
    "FICMechanism",
    "FitStatus",
    "FreeRun",
    "GainSchedule",
    "Hybrid",
    "Innovation",
    "Inputs",
    "LatentSDE",
    "LeastSquaresFit",
    "Library",
    "LinearResidual",
    "Mechanism",
    "MemristiveCircuit",
    "MultipleShooting",
    "NoMechanism",
    "Nudging",
    "PathFit",
    "PathLikelihood",
    "Placebo",
    "PredictionError",
    "Refit",
    "Residual",
    "ResidualBasis",
    "ResidualEdge",
    "ResidualMLP",
    "Roessler",
    "SettledHybrid",
    "SparseRule",
    "Stage",
    "TimeSplit",
    "Training",
    "TrainingProgress",
    "Trajectories",
    "UDEFit",
    "attractor",
    "carried_through",
    "curriculum",
    "detectability",
    "ensemble_agreement",
    "estimate_noise",
    "euler_step",
    "extract",
    "fit",
    "fit_stages",
    "forecast",
    "free_run_beyond",
    "heun_step",
    "integrate",
    "least_squares",
    "nrmse",
    "one_step_score",
    "path_fit",
    "path_regression",
    "placebo",
    "pysr_formula",
    "refit",
    "resolve_feedback",
    "rk4_step",
    "semi_implicit_step",
    "simulate_paths",
    "split_by_time",
    "valid_time",
    "wasserstein",
]
