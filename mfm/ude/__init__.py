"""Universal differential equations: known equations, and a residual learned from time series.

    series -> hybrid (mechanism + residual) -> loss (observer, shooting) -> fit -> extract -> refit -> validate

Shapes: E ensemble members (noise seeds, starts: each with parameters of its own), K trajectories of the data, M segments that
are integrated at once, T samples, N units (regions, populations), D state variables, C observed ones.
"""

from mfm.ude.hybrid import Hybrid
from mfm.ude.integrators import euler_step, heun_step, integrate, rk4_step, semi_implicit_step
from mfm.ude.least_squares import LeastSquaresFit, least_squares
from mfm.ude.library import Library
from mfm.ude.losses import LatentSDE, PathLikelihood, PredictionError
from mfm.ude.mechanism import Inputs, Mechanism, NoMechanism
from mfm.ude.observers import GainSchedule, Innovation, Nudging
from mfm.ude.regression import SparseRule
from mfm.ude.residuals import Residual, ResidualBasis, ResidualEdge, ResidualMLP
from mfm.ude.series import TimeSeries, estimate_noise
from mfm.ude.shooting import MultipleShooting
from mfm.ude.symbolic import Extraction, Refit, extract, path_regression, pysr_formula, refit
from mfm.ude.systems import MemristiveCircuit, Roessler, attractor
from mfm.ude.training import Adam, FitStatus, Progress, Training, UDEFit, fit

__all__ = [
    "Adam",
    "Extraction",
    "FitStatus",
    "GainSchedule",
    "Hybrid",
    "Innovation",
    "Inputs",
    "LatentSDE",
    "LeastSquaresFit",
    "Library",
    "Mechanism",
    "MemristiveCircuit",
    "MultipleShooting",
    "NoMechanism",
    "Nudging",
    "PathLikelihood",
    "PredictionError",
    "Progress",
    "Refit",
    "Residual",
    "ResidualBasis",
    "ResidualEdge",
    "ResidualMLP",
    "Roessler",
    "SparseRule",
    "TimeSeries",
    "Training",
    "UDEFit",
    "attractor",
    "estimate_noise",
    "euler_step",
    "extract",
    "fit",
    "heun_step",
    "integrate",
    "least_squares",
    "path_regression",
    "pysr_formula",
    "refit",
    "rk4_step",
    "semi_implicit_step",
]
