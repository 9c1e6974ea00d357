"""Universal differential equations keep known equations and learn the rest, a residual, from time series.

    trajectories -> hybrid (mechanism + residual) -> loss (observer, shooting) -> fit -> extract -> refit -> judge

The folders are floors; each imports from those below it only, from the ground up:

- ``data``: trajectories to learn from, and their cut into training, validation and test. ``equations``: mechanism (what is
  known), residual (what is learned), hybrid (both), and how it is integrated. Neither knows of the other.
- ``training``: losses, observers, shooting, and training by gradient. ``fixed_point``: residuals of a fitted FIC model that FC
  and spectra can show; learned by `optim.refine`, not here.
- ``estimates``: coefficients of sums of terms with standard errors, and what data can tell of them.
- ``formulas``: from a trained network, or straight from paths, to a formula. ``judging``: forecasts of held-out data, placebos,
  agreement of starts.

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
