"""Universal differential equations: known equations, and a residual learned from time series.

    series -> hybrid (mechanism + residual) -> loss (observer, shooting) -> fit -> extract -> refit -> validate

Shapes: E ensemble members (noise seeds, starts: each with parameters of its own), K trajectories of the data, M segments that
are integrated at once, T samples, N units (regions, populations), D state variables, C observed ones.
"""

from mfm.ude.fic import FICMechanism, SettledHybrid, resolve_feedback, simulate_paths
from mfm.ude.hybrid import Hybrid
from mfm.ude.identifiability import Identifiability, identifiability
from mfm.ude.integrators import euler_step, heun_step, integrate, rk4_step, semi_implicit_step
from mfm.ude.least_squares import LeastSquaresFit, least_squares
from mfm.ude.library import Library
from mfm.ude.linear_residual import LinearResidual
from mfm.ude.losses import LatentSDE, PathLikelihood, PredictionError
from mfm.ude.mechanism import Inputs, Mechanism, NoMechanism
from mfm.ude.observers import GainSchedule, Innovation, Nudging
from mfm.ude.path_fit import PathFit, path_fit
from mfm.ude.path_regression import path_regression
from mfm.ude.regression import SparseRule
from mfm.ude.residuals import Residual, ResidualBasis, ResidualEdge, ResidualMLP
from mfm.ude.series import TimeSeries, estimate_noise
from mfm.ude.shooting import MultipleShooting
from mfm.ude.stages import Stage, curriculum, fit_stages
from mfm.ude.symbolic import Extraction, Refit, extract, pysr_formula, refit
from mfm.ude.systems import MemristiveCircuit, Roessler, attractor
from mfm.ude.training import Adam, FitStatus, Progress, Training, UDEFit, fit
from mfm.ude.validation import (
    Agreement,
    FreeRun,
    Placebo,
    TimeSplit,
    carried_through,
    ensemble_agreement,
    forecast,
    free_run_beyond,
    nrmse,
    one_step_score,
    placebo,
    split_by_time,
    valid_time,
    wasserstein,
)

__all__ = [
    "Adam",
    "Agreement",
    "Extraction",
    "FICMechanism",
    "FitStatus",
    "FreeRun",
    "GainSchedule",
    "Hybrid",
    "Identifiability",
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
    "Progress",
    "Refit",
    "Residual",
    "ResidualBasis",
    "ResidualEdge",
    "ResidualMLP",
    "Roessler",
    "SettledHybrid",
    "SparseRule",
    "Stage",
    "TimeSeries",
    "TimeSplit",
    "Training",
    "UDEFit",
    "attractor",
    "carried_through",
    "curriculum",
    "ensemble_agreement",
    "estimate_noise",
    "euler_step",
    "extract",
    "fit",
    "fit_stages",
    "forecast",
    "free_run_beyond",
    "heun_step",
    "identifiability",
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
