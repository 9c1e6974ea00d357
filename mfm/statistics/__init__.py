"""What is observed of a scan, recorded or simulated: FC, FCD, and the cost of one against the other."""

from mfm.statistics.cost import Cost, CostValues, Term, attenuated, cost, kolmogorov_smirnov, register_term
from mfm.statistics.fc import fisher_mean, functional_connectivity, upper_triangle
from mfm.statistics.fcd import fcd_cdf
from mfm.statistics.target import Target

__all__ = [
    "Cost",
    "CostValues",
    "Target",
    "Term",
    "attenuated",
    "cost",
    "fcd_cdf",
    "fisher_mean",
    "functional_connectivity",
    "kolmogorov_smirnov",
    "register_term",
    "upper_triangle",
]
