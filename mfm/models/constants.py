"""Constants of the neural and hemodynamic models, in seconds, Hz and nA."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NeuralConstants:
    """Constants of the mean-field model (Deco et al. 2014, J Neurosci 34:7886; Zhang et al. 2024, PNAS)."""

    I_0: float = 0.382
    J: float = 0.15
    W_E: float = 1.0
    W_I: float = 0.7
    a_E: float = 310.0
    b_E: float = 125.0
    d_E: float = 0.16
    tau_E: float = 0.1
    a_I: float = 615.0
    b_I: float = 177.0
    d_I: float = 0.087
    tau_I: float = 0.01
    gamma: float = 0.641
    target_rate_hz: float = 3.0


@dataclass(frozen=True)
class HemodynamicConstants:
    """Constants of the Balloon-Windkessel model (Friston et al. 2003, NeuroImage 19:1273) at 3 T."""

    kappa: float = 0.65
    gamma: float = 0.41
    tau: float = 0.98
    alpha: float = 0.33
    rho: float = 0.34
    V_0: float = 0.02
    B_0: float = 3.0
    TE: float = 0.0331
    r_0: float = 110.0
    epsilon: float = 0.47

    @property
    def k_1(self) -> float:
        return 4.3 * 28.265 * self.B_0 * self.TE * self.rho

    @property
    def k_2(self) -> float:
        return self.epsilon * self.r_0 * self.TE * self.rho

    @property
    def k_3(self) -> float:
        return 1.0 - self.epsilon


NEURAL = NeuralConstants()
HEMODYNAMIC = HemodynamicConstants()

#: Time-averaged excitatory rates that count as "within range" (Zhang et al. 2024).
RATE_RANGE_HZ = (2.7, 3.3)
