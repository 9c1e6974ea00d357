"""The timing of a simulation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

from mfm.errors import InputError

#: How the inhibitory gate is stepped.
SCHEMES = ("euler", "exponential")

#: Length of a sliding FCD window, in seconds (Kong et al. 2021; Zhang et al. 2024).
FCD_WINDOW_S = 60.0


@dataclass(frozen=True)
class Protocol:
    """Timing of a simulated scan: warm-up without hemodynamics, burn-in with them, then the recorded frames.

    Parameters
    ----------
    tr_s : float
        Repetition time, in seconds.
    n_frames : int
        Recorded frames. Frame k is the state k + 1 TRs after the burn-in ends.
    dt_s : float, default 0.006
        Neural Euler-Maruyama step, in seconds; ``tr_s / dt_s`` must be an integer to 1e-6.
    burn_in_s : float, default 144
        Unrecorded time with hemodynamics, rounded up to whole hemodynamic steps.
    warm_up_s : float, default 30
        Time before that without hemodynamics, rounded up to whole neural steps.
    hemo_dt_s : float, optional
        Hemodynamic step, a multiple of ``dt_s`` that divides ``tr_s``; default ``dt_s``. The hemodynamics have time
        constants of about a second and are driven by the mean of S_E over the step: at 0.03 s each FC moves by less than
        0.006 (0.0015 on average) and the FCD CDF by less than 0.004, where two noise realisations differ by 0.07 and 0.2
        (demo subject, 1200 frames; ``tests/mfm/simulation/test_hemodynamic_step.py``). Rates do not move at all.
    scheme : {"euler", "exponential"}, default "euler"
        How S_I is stepped. ``euler`` is the Euler-Maruyama step of the literature. The inhibitory gate relaxes at
        k = 1 / tau_I + dr_I/dI_I, 200 to 715 per second: at 6 ms that step overshoots, and beyond k dt = 2 it oscillates by
        itself, shifts firing rates and shows high-rate states that the model does not have. ``exponential`` scales
        the step of S_I, noise included, by (1 - e^(-k dt)) / (k dt): stable at any step, exact at BOLD's frequencies, and
        the same as Euler for small steps.

    Raises
    ------
    InputError
        If a duration is not positive, or ``tr_s`` is not a whole number of steps. A TR is never rounded.

    Examples
    --------
    >>> import mfm
    >>> protocol = mfm.Protocol(tr_s=0.72, n_frames=1200)
    >>> protocol.steps_per_tr, protocol.window_frames, protocol.n_steps
    (120, 83, 173000)
    """

    tr_s: float
    n_frames: int
    dt_s: float = 0.006
    burn_in_s: float = 144.0
    warm_up_s: float = 30.0
    hemo_dt_s: float | None = None
    scheme: str = "euler"

    def __post_init__(self):
        for name in ("tr_s", "dt_s", "burn_in_s", "warm_up_s", "hemo_dt_s"):
            value = getattr(self, name)
            if value is None and name == "hemo_dt_s":
                continue
            may_be_zero = name in ("burn_in_s", "warm_up_s")
            ok = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
            if not ok or value < 0 or (value == 0 and not may_be_zero):
                raise InputError(f"{name} must be a positive duration in seconds.", found=repr(value))
            object.__setattr__(self, name, float(value))
        if not isinstance(self.n_frames, Integral) or isinstance(self.n_frames, bool) or self.n_frames < 1:
            raise InputError("n_frames must be a positive whole number.", found=repr(self.n_frames))
        object.__setattr__(self, "n_frames", int(self.n_frames))
        if self.tr_s > 20:
            raise InputError(
                "The repetition time is implausible.",
                expected="seconds, usually 0.5 to 3",
                found=f"tr_s = {self.tr_s:g}",
                cause="milliseconds were given",
                fix=f"tr_s = {self.tr_s / 1000:g}",
            )
        if self.scheme not in SCHEMES:
            raise InputError("Unknown integration scheme.", expected=" | ".join(SCHEMES), found=repr(self.scheme))
        if not _divides(self.dt_s, self.tr_s):
            steps = max(1, round(self.tr_s / self.dt_s))
            raise InputError(
                "The TR is not a whole number of integration steps.",
                expected="tr_s / dt_s an integer to 1e-6",
                found=f"{self.tr_s:g} / {self.dt_s:g} = {self.tr_s / self.dt_s:.6f}",
                fix=f"dt_s = {self.tr_s / steps:.15g} ({steps} steps per TR) is the nearest valid step",
            )
        if not (_divides(self.dt_s, self.hemodynamic_dt_s) and _divides(self.hemodynamic_dt_s, self.tr_s)):
            valid = [k for k in range(1, self.steps_per_tr + 1) if self.steps_per_tr % k == 0]
            nearest = min(valid, key=lambda k: abs(k * self.dt_s - self.hemodynamic_dt_s))
            raise InputError(
                "The hemodynamic step does not fit between the neural step and the TR.",
                expected="a multiple of dt_s that divides tr_s",
                found=f"hemo_dt_s = {self.hemodynamic_dt_s:g}, dt_s = {self.dt_s:g}, tr_s = {self.tr_s:g}",
                fix=f"hemo_dt_s = {nearest * self.dt_s:.15g}",
            )

    @property
    def hemodynamic_dt_s(self) -> float:
        return self.dt_s if self.hemo_dt_s is None else self.hemo_dt_s

    @property
    def steps_per_tr(self) -> int:
        return round(self.tr_s / self.dt_s)

    @property
    def steps_per_hemodynamic_step(self) -> int:
        return round(self.hemodynamic_dt_s / self.dt_s)

    @property
    def warm_up_steps(self) -> int:
        return _steps_covering(self.warm_up_s, self.dt_s)

    @property
    def burn_in_steps(self) -> int:
        return _steps_covering(self.burn_in_s, self.hemodynamic_dt_s) * self.steps_per_hemodynamic_step

    @property
    def n_steps(self) -> int:
        """All neural steps: warm-up, burn-in and recording."""
        return self.warm_up_steps + self.burn_in_steps + self.n_frames * self.steps_per_tr

    @property
    def scan_s(self) -> float:
        return self.tr_s * self.n_frames

    @property
    def window_frames(self) -> int:
        """Frames in a sliding FCD window of 60 s."""
        return fcd_window_frames(self.tr_s)


def fcd_window_frames(tr_s: float) -> int:
    """Frames in a sliding FCD window of 60 s at a repetition time of `tr_s` seconds."""
    return round(FCD_WINDOW_S / tr_s)


def check_timing(tr_s: float, n_frames: int = 1) -> None:
    """Raise an InputError unless `tr_s` (seconds) and `n_frames` can be those of a scan."""
    Protocol(tr_s, n_frames, dt_s=tr_s if isinstance(tr_s, Real) and tr_s > 0 else 1.0)


def nearest_dt(tr_s: float, dt_s: float) -> float:
    """The step nearest to `dt_s` (in seconds) that divides `tr_s`."""
    return tr_s / max(1, round(tr_s / dt_s))


def coarse_hemodynamic_dt(tr_s: float, dt_s: float, limit_s: float = 0.03) -> float:
    """The largest multiple of `dt_s` that divides `tr_s` and does not exceed `limit_s` (or `dt_s` where none does)."""
    steps = Protocol(tr_s, 1, dt_s).steps_per_tr
    return dt_s * max(k for k in range(1, steps + 1) if steps % k == 0 and (k == 1 or k * dt_s <= limit_s * (1 + 1e-9)))


def _divides(part: float, whole: float) -> bool:
    ratio = whole / part
    return round(ratio) >= 1 and abs(ratio - round(ratio)) <= 1e-6


def _steps_covering(duration_s: float, step_s: float) -> int:
    return max(0, math.ceil(duration_s / step_s - 1e-6))
