"""What is observed of a scan, recorded or simulated: FC, FCD, and the cost of one against the other."""

from mfm.statistics.cost import Cost, Target, attenuated, cost, kolmogorov_smirnov
from mfm.statistics.fc import fisher_mean, functional_connectivity, upper_triangle
from mfm.statistics.fcd import fcd_cdf

__all__ = [
    "Cost",
    "Target",
    "attenuated",
    "cost",
    "fcd_cdf",
    "fisher_mean",
    "functional_connectivity",
    "kolmogorov_smirnov",
    "upper_triangle",
]
