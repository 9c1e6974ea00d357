"""What was done to a recording before it was compared, done to the simulated scan by the same function."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cache
from numbers import Integral, Real

import numpy as np
import scipy.signal
import torch
from torch import Tensor

from mfm.checks import as_float_tensor
from mfm.errors import InputError

#: Families of temporal filters: Butterworth's, a regression of cosines (fMRIPrep), FSL's Gaussian-weighted line (HCP).
FILTERS = ("butterworth", "cosine", "gaussian")
GLOBAL_SIGNAL = ("kept", "regressed")
CENSORED = ("deleted", "interpolated")

# FSL's cut-off in seconds is twice the standard deviation of its Gaussian.
_SIGMAS_PER_PERIOD = 2.0


@dataclass(frozen=True)
class Observation:
    """What a recorded scan went through, and what a simulated one therefore goes through too.

    Parameters
    ----------
    high_pass_hz, low_pass_hz : float, optional
        Cut-off frequencies; none where that side was not filtered.
    filter : {"butterworth", "cosine", "gaussian"}, default "butterworth"
        ``cosine``: high-pass by regression of a discrete cosine basis (fMRIPrep); ``gaussian``: high-pass by a running line
        with Gaussian weights (FSL, HCP), at a cut-off of ``1 / high_pass_hz`` seconds.
    filter_order : int, default 2
        Of the Butterworth filter.
    zero_phase : bool, default True
        Forwards and backwards (`scipy.signal.sosfiltfilt`), as cleaning tools do; else forwards only.
    detrend : int, default 0
        Degree of the polynomial that was regressed out; correlations take the mean away in any case.
    global_signal : {"kept", "regressed"}, default "kept"
    dropped_frames : int, default 0
        Frames acquired before those that were kept (dummy scans): the simulation acquires them too.
    kept : tuple of bool, optional
        Of every acquired frame after `dropped_frames`, whether it was kept; default all.
    censored : {"deleted", "interpolated"}, default "deleted"
        Whether the frames that were not kept are missing in the recorded series, or filled in.
    noise_share : float, default 0
        Share of each region's variance that is white measurement noise, before any filter; 0 to below 1.

    Raises
    ------
    InputError
        If a value is out of range, or settings contradict each other.

    Examples
    --------
    >>> import mfm
    >>> mfm.Observation(high_pass_hz=0.01, low_pass_hz=0.08, global_signal="regressed")
    Observation(band-pass 0.01 to 0.08 Hz (Butterworth of order 2, zero phase); global signal regressed)
    >>> mfm.Observation()
    Observation(nothing was done)
    """

    high_pass_hz: float | None = None
    low_pass_hz: float | None = None
    filter: str = "butterworth"
    filter_order: int = 2
    zero_phase: bool = True
    detrend: int = 0
    global_signal: str = "kept"
    dropped_frames: int = 0
    kept: tuple[bool, ...] | None = None
    censored: str = "deleted"
    noise_share: float = 0.0

    def __post_init__(self):
        for name in ("high_pass_hz", "low_pass_hz"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and 0 < value < np.inf):
                raise InputError(f"{name} is not a frequency.", expected="Hz above 0, or None", found=repr(value))
        for name, allowed in (("filter", FILTERS), ("global_signal", GLOBAL_SIGNAL), ("censored", CENSORED)):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is unknown.", expected=" | ".join(allowed), found=repr(getattr(self, name)))
        for name, least in (("filter_order", 1), ("detrend", 0), ("dropped_frames", 0)):
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
                raise InputError(f"{name} must be a whole number from {least}.", found=repr(value))
        if not (_is_number(self.noise_share) and 0 <= self.noise_share < 1):
            raise InputError("noise_share is not a share.", expected="from 0 to below 1", found=repr(self.noise_share))
        if self.high_pass_hz and self.low_pass_hz and self.high_pass_hz >= self.low_pass_hz:
            raise InputError(
                "The band of the filter is empty.",
                expected="high_pass_hz below low_pass_hz",
                found=f"{self.high_pass_hz:g} and {self.low_pass_hz:g} Hz",
                cause="the two were exchanged",
                fix=f"`high_pass_hz={self.low_pass_hz:g}, low_pass_hz={self.high_pass_hz:g}`",
            )
        if self.filter != "butterworth" and self.low_pass_hz is not None:
            raise InputError(
                f"A {self.filter} filter passes no band.", expected="high_pass_hz alone", fix='`filter="butterworth"`'
            )
        if self.kept is not None:
            kept = tuple(bool(frame) for frame in self.kept)
            if sum(kept) < 2:
                raise InputError("Fewer than two frames were kept.", found=f"{sum(kept)} of {len(kept)}")
            object.__setattr__(self, "kept", None if all(kept) else kept)

    @property
    def is_identity(self) -> bool:
        """Whether nothing was done that a correlation could tell."""
        return self == Observation()

    @property
    def is_filtered(self) -> bool:
        return self.high_pass_hz is not None or self.low_pass_hz is not None

    def check_scan(self, tr_s: float, n_frames: int) -> None:
        """Raise an InputError unless a scan of `n_frames` acquired frames could be observed so."""
        nyquist = 0.5 / tr_s
        for name in ("high_pass_hz", "low_pass_hz"):
            value = getattr(self, name)
            if value is not None and value >= nyquist:
                raise InputError(
                    f"{name} lies beyond what the TR can tell.",
                    expected=f"below {nyquist:.4g} Hz at a TR of {tr_s:g} s",
                    found=f"{value:g} Hz",
                    cause="milliseconds, or a period instead of a frequency",
                )
        if self.kept is not None and len(self.kept) != n_frames:
            raise InputError(
                "The mask of kept frames is not that of the scan.",
                expected=f"{n_frames} entries, one for every acquired frame",
                found=f"{len(self.kept)}",
            )

    def part(self, first: int, last: int) -> Observation:
        """Of the frames `first` to `last` (without it) of a scan."""
        return self if self.kept is None else replace(self, kept=self.kept[first:last])

    def frames_kept(self, n_frames: int) -> np.ndarray:
        """(T,) bool: of every acquired frame whether it counts."""
        return np.ones(n_frames, dtype=bool) if self.kept is None else np.array(self.kept)

    def apply(self, bold, tr_s: float, seed: int | None = None) -> Tensor:
        """Observe series of acquired frames: noise, interpolation, detrending, filter, global signal, in this order.

        Parameters
        ----------
        bold : array or tensor, (..., T, N)
            Every acquired frame after `dropped_frames`; what is at frames that were not kept does not matter.
        tr_s : float
        seed : int, optional
            Of the measurement noise; None adds none, as for recorded series, which have their own.

        Returns
        -------
        tensor, (..., T, N)
            On the device and in the type of `bold`; all T frames. What is at frames that were not kept is not to be used.

        Raises
        ------
        InputError
            If the filter does not fit the TR, or the mask the frames.
        """
        bold = as_float_tensor(bold, "bold")
        T = bold.shape[-2]
        self.check_scan(tr_s, T)
        if seed is not None and self.noise_share > 0:
            bold = bold + self._noise_like(bold, seed)
        if self.is_filtered or self.detrend or (self.kept is not None and self.censored == "interpolated"):
            operator = torch.from_numpy(temporal_operator(self, tr_s, T)).to(bold)
            series = bold - bold.mean(dim=-2, keepdim=True)
            # One by one: a batched product rounds differently in batches of different size.
            bold = torch.stack([operator @ x for x in series.reshape(-1, *bold.shape[-2:])]).reshape(bold.shape)
        if self.global_signal == "regressed":
            bold = self._without_global_signal(bold)
        return bold

    def _noise_like(self, bold: Tensor, seed: int) -> Tensor:
        """White noise that makes up `noise_share` of the variance of the sum; the same for every leading index but the last."""
        generator = torch.Generator().manual_seed(seed % 2**63)
        shape = bold.shape[-3:] if bold.ndim > 2 else bold.shape
        noise = torch.randn(shape, generator=generator, dtype=torch.float64).to(bold)
        std = bold.detach().std(dim=-2, keepdim=True) if not bold.requires_grad else bold.std(dim=-2, keepdim=True)
        return noise * std * (self.noise_share / (1 - self.noise_share)) ** 0.5

    def _without_global_signal(self, bold: Tensor) -> Tensor:
        kept = torch.from_numpy(self.frames_kept(bold.shape[-2])).to(bold.device)
        of_kept = bold[..., kept, :]
        bold = bold - of_kept.mean(dim=-2, keepdim=True)
        signal = bold.mean(dim=-1, keepdim=True)
        own = signal[..., kept, :]
        slope = (own * bold[..., kept, :]).sum(dim=-2, keepdim=True) / (own * own).sum(dim=-2, keepdim=True)
        return bold - slope * signal

    def __repr__(self) -> str:
        return f"Observation({'; '.join(self.in_words()) or 'nothing was done'})"

    def in_words(self) -> list[str]:
        """What was done, a phrase for each step."""
        told = []
        if self.noise_share:
            told.append(f"measurement noise, {100 * self.noise_share:.3g} % of the variance")
        if self.dropped_frames:
            told.append(f"the first {self.dropped_frames} frames dropped")
        if self.kept is not None:
            told.append(f"{len(self.kept) - sum(self.kept)} of {len(self.kept)} frames {self.censored}")
        if self.detrend:
            told.append("linear trend removed" if self.detrend == 1 else f"polynomial of degree {self.detrend} removed")
        if self.is_filtered:
            told.append(self._filter_in_words())
        if self.global_signal == "regressed":
            told.append("global signal regressed")
        return told

    def _filter_in_words(self) -> str:
        low, high = self.high_pass_hz, self.low_pass_hz
        band = (
            f"band-pass {low:g} to {high:g} Hz" if low and high else f"high-pass {low:g} Hz" if low else f"low-pass {high:g} Hz"
        )
        if self.filter != "butterworth":
            return f"{band} ({'cosine regression' if self.filter == 'cosine' else 'running line, Gaussian weights'})"
        return f"{band} (Butterworth of order {self.filter_order}, {'zero phase' if self.zero_phase else 'forwards only'})"

    def as_record(self) -> dict:
        """For JSON: every setting, and the same in words."""
        record = asdict(self)
        record["kept"] = None if self.kept is None else [int(frame) for frame in self.kept]
        return {**record, "in_words": self.in_words()}


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def butterworth(observation: Observation, tr_s: float) -> np.ndarray:
    """Second-order sections of the observation's Butterworth filter (`scipy.signal.butter`)."""
    low, high = observation.high_pass_hz, observation.low_pass_hz
    if low is not None and high is not None:
        return scipy.signal.butter(observation.filter_order, (low, high), "bandpass", output="sos", fs=1 / tr_s)
    kind = "highpass" if high is None else "lowpass"
    return scipy.signal.butter(observation.filter_order, low if high is None else high, kind, output="sos", fs=1 / tr_s)


@cache
def temporal_operator(observation: Observation, tr_s: float, n_frames: int) -> np.ndarray:
    """What an observation does along time, as a matrix (T, T): interpolation of missing frames, detrending, filter."""
    series = np.eye(n_frames)
    if observation.kept is not None and observation.censored == "interpolated":
        series = _interpolation(np.array(observation.kept))
    if observation.detrend:
        series = _without_polynomials(series, observation.detrend, observation.frames_kept(n_frames))
    if not observation.is_filtered:
        return series
    if observation.filter != "butterworth":
        below = _cosines if observation.filter == "cosine" else _running_line
        return series - below(observation.high_pass_hz or 0.0, tr_s, n_frames) @ series
    sos = butterworth(observation, tr_s)
    if not observation.zero_phase:
        return scipy.signal.sosfilt(sos, series, axis=0)
    padding = min(n_frames - 1, 3 * (2 * len(sos) + 1))  # scipy's default where the scan is long enough
    return np.ascontiguousarray(scipy.signal.sosfiltfilt(sos, series, axis=0, padlen=padding))


def _interpolation(kept: np.ndarray) -> np.ndarray:
    """Linear interpolation over frames that were not kept, (T, T); beyond the first and last kept frame their values."""
    T, at = len(kept), np.flatnonzero(kept)
    return np.stack([np.interp(np.arange(T), at, unit[at]) for unit in np.eye(T)], axis=1)


def _without_polynomials(series: np.ndarray, degree: int, kept: np.ndarray) -> np.ndarray:
    """Series less the polynomials that fit their kept frames best."""
    basis = np.polynomial.legendre.legvander(np.linspace(-1, 1, len(series)), degree)
    return series - basis @ (np.linalg.pinv(basis[kept]) @ series[kept])


def _cosines(high_pass_hz: float, tr_s: float, n_frames: int) -> np.ndarray:
    """Projection (T, T) on the discrete cosines below a frequency (Friston et al. 1995; fMRIPrep's cosine regressors)."""
    order = int(np.floor(2 * n_frames * high_pass_hz * tr_s))
    k, t = np.arange(1, order + 1), np.arange(n_frames)
    basis = np.sqrt(2 / n_frames) * np.cos(np.pi / n_frames * np.outer(t + 0.5, k))
    return basis @ basis.T


def _running_line(high_pass_hz: float, tr_s: float, n_frames: int) -> np.ndarray:
    """Value at every frame of the line that fits its neighbourhood best with Gaussian weights (FSL's ``-bptf``), (T, T)."""
    sigma = 1 / (high_pass_hz * tr_s * _SIGMAS_PER_PERIOD)
    t = np.arange(n_frames)
    distance = t[None, :] - t[:, None]
    weight = np.exp(-0.5 * (distance / sigma) ** 2)
    s0, s1, s2 = (weight * distance**k for k in range(3))
    a, b, c = (s.sum(axis=1, keepdims=True) for s in (s0, s1, s2))
    return (c * s0 - b * s1) / (a * c - b * b)
