"""The public face of linear response: parameters in, predicted statistics out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from mfm.brain.connectome import Connectome
from mfm.checks import as_float_tensor
from mfm.errors import InputError
from mfm.linear import exact, modes
from mfm.linear.exact import System
from mfm.linear.hemodynamics import resting_filter, transfer
from mfm.linear.local import LocalBlock
from mfm.linear.modes import SlowSystem
from mfm.linear.network import NetworkSystem
from mfm.linear.observed import has_poles, observed_filter, power_gain, white_share, without_global_signal
from mfm.linear.sampling import sample_bold
from mfm.linear.second_order import gating_covariance, mean_reported
from mfm.linear.system import LinearSystem
from mfm.models.model import Model
from mfm.models.parameters import ModelParameters
from mfm.models.registry import check_same_regions, model_of
from mfm.models.rest import rest_state
from mfm.observation import Observation
from mfm.protocol import Protocol
from mfm.statistics.fcd import fcd_cdf

METHODS = ("auto", "modes", "exact")

# Candidates whose BOLD is sampled at a time: their lines stay near the processor.
_SAMPLED_TOGETHER = 8

# Candidates whose sampled BOLD is held at a time.
_FCD_TOGETHER = 64

# Time between independent samples of BOLD: that share of the modes' mean time and the hemodynamics'. Set by simulations.
_MEMORY, _HEMODYNAMIC_MEMORY_S = 0.82, 4.0

# A scan so long that its mean takes nothing away.
_ENDLESS_S = 1e7

# A state whose derivatives are below this, per second, is a fixed point.
_AT_REST_PER_S = 1e-2


class LinearStatus(IntEnum):
    """What the theory can say of a candidate.

    Attributes
    ----------
    OK, UNSTABLE
        0: the fixed point is stable; 1: it is not, and all statistics are NaN.

    Examples
    --------
    >>> import mfm
    >>> mfm.LinearStatus(1).name
    'UNSTABLE'
    """

    OK = 0
    #: The fixed point is not stable: there is nothing to expand around, and all statistics are NaN.
    UNSTABLE = 1


class SlowModes(NamedTuple):
    """Relaxation of the observed state (S_E of the FIC model) around the fixed point.

    ``rate`` (B, N) per second, ascending. Of the slowest mode: ``direction`` and ``projection`` (B, N), whose product summed
    over regions is 1, and ``std`` (B,), the standard deviation of its amplitude in units of ``direction``.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [2.0])
    >>> modes = mfm.linear_response(p, sc, mfm.Protocol(tr_s=0.72, n_frames=100)).slow_modes
    >>> modes.rate.shape, (modes.direction * modes.projection).sum(dim=1).round(decimals=6).tolist()
    (torch.Size([1, 2]), [1.0])
    """

    rate: Tensor
    direction: Tensor
    projection: Tensor
    std: Tensor


@dataclass(frozen=True, eq=False)
class LinearResponse:
    """What linear response predicts for B candidates over N regions.

    Attributes
    ----------
    fc : tensor, (B, N, N)
        Pearson correlation of BOLD over a scan of the protocol's length (its mean removed); NaN where not stable.
    bold_covariance : tensor, (B, N, N)
        Covariance of BOLD, percent squared, likewise.
    abscissa : tensor, (B,)
        Largest real part of the Jacobian's eigenvalues, per second: negative is stable, and near zero the theory fails.
    status : tensor of int, (B,)
        `LinearStatus`.
    protocol : Protocol
    observation : Observation
        What was done to the scan, and is done to FC, BOLD and its samples.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [2.0])
    >>> lin = mfm.linear_response(p, sc, mfm.Protocol(tr_s=0.72, n_frames=100))
    >>> lin.fc.shape, lin.sample_bold(n_repeats=3).shape
    (torch.Size([1, 2, 2]), torch.Size([1, 3, 100, 2]))
    """

    fc: Tensor
    bold_covariance: Tensor
    abscissa: Tensor
    status: Tensor
    protocol: Protocol
    observation: Observation
    _parameters: ModelParameters
    _sc: Connectome
    _x: tuple[Tensor, ...]
    _at_rest: tuple[Tensor, ...]
    _system: LinearSystem | NetworkSystem
    _slow: SlowSystem | None

    @property
    def stable(self) -> Tensor:
        """(B,) bool: whether the fixed point is linearly stable."""
        return self.status == LinearStatus.OK

    @property
    def state(self) -> tuple[Tensor, ...]:
        """The fixed point, a tensor (B, N) for each of the model's states."""
        return self._x

    def __getitem__(self, index: Tensor) -> LinearResponse:
        """The candidates selected by `index`, a tensor of bools or of whole numbers."""
        return LinearResponse(
            self.fc[index],
            self.bold_covariance[index],
            self.abscissa[index],
            self.status[index],
            self.protocol,
            self.observation,
            self._parameters[index],
            self._sc,
            tuple(x[index] for x in self._x),
            tuple(value[index] for value in self._at_rest),
            self._system[index],
            None if self._slow is None else self._slow.take(index),
        )

    def sample_bold(self, n_repeats: int = 1, seed: int = 0, dtype: torch.dtype | None = None) -> Tensor:
        """BOLD with the predicted cross-spectra, by Fourier synthesis instead of a time loop.

        Parameters
        ----------
        n_repeats : int
        seed : int
            The same seed gives every candidate the same noise, so that statistics are smooth in the parameters.
        dtype : torch.float32 or torch.float64, optional
            Default that of the parameters; float32 differs by 1e-5 of the signal and takes half the time.

        Returns
        -------
        tensor, (B, R, T, N)
            Percent signal change around its mean; NaN where not stable. Differentiable in the parameters.

        Notes
        -----
        Frequencies above 0.5 Hz, which carry 1e-4 of the power, are left out.
        """
        keep = torch.nonzero(self.stable)[:, 0]
        dtype = dtype or self.fc.dtype
        shape = (len(self.fc), n_repeats, self.protocol.n_frames, self.fc.shape[1])
        bold = torch.full(shape, float("nan"), dtype=dtype, device=self.fc.device)
        for index in keep.split(_SAMPLED_TOGETHER) if len(keep) else ():
            system = self._system[index] if self._slow is None else self._slow.take(index).to(dtype)
            noise_std = self._noise_std[index].to(dtype) if self.observation.noise_share else None
            drawn = sample_bold(
                system, self._system.activity[index], self.protocol, n_repeats, seed, self.observation, noise_std
            )
            bold[index] = drawn.to(dtype)
        return bold

    def sample_fcd_cdf(
        self, n_repeats: int = 3, seed: int = 0, n_bins: int = 10_000, step_frames: int = 1, n_threads: int | None = None
    ) -> Tensor:
        """FCD's distribution: the mean over sampled series, whose noise all candidates share.

        Parameters
        ----------
        n_repeats, seed : int
            Series in single precision (`sample_bold`), and the seed of their noise.
        n_bins, step_frames, n_threads
            As in `mfm.fcd_cdf`.

        Returns
        -------
        tensor, (B, n_bins)
            float64; NaN where not stable.
        """
        frames, kept = self.protocol.window_frames, self.observation.frames_kept(self.protocol.n_frames)
        cdf = torch.full((len(self.fc), n_bins), float("nan"), dtype=torch.float64)
        with torch.no_grad():
            for index in torch.nonzero(self.stable)[:, 0].split(_FCD_TOGETHER) if self.stable.any() else ():
                bold = self[index].sample_bold(n_repeats, seed, torch.float32)
                cdf[index] = fcd_cdf(bold, frames, n_bins, n_threads, step_frames, kept=kept).mean(dim=1).cpu()
        return cdf

    def cross_spectrum(self, frequencies_hz) -> Tensor:
        """Cross-spectral density of BOLD, exact in the linear theory.

        Parameters
        ----------
        frequencies_hz : array or tensor, (F,)

        Returns
        -------
        complex tensor, (B, F, N, N)
            Percent squared per Hz, two-sided; the diagonal holds the spectra. NaN where not stable.
        """
        w = 2 * math.pi * as_float_tensor(frequencies_hz, "frequencies_hz").to(self.fc).reshape(-1)
        return exact.cross_spectrum(self._system, w).masked_fill(~self.stable[:, None, None, None], float("nan"))

    @cached_property
    def _noise_std(self) -> Tensor:
        """(B, N) standard deviation of the measurement noise, a share of the unfiltered signal's variance."""
        variance = _raw_variance(self._system, self._slow, self.protocol)
        return (variance * self.observation.noise_share / (1 - self.observation.noise_share)).sqrt()

    @property
    def autocorrelation_time_s(self) -> Tensor:
        """(B, N) integral of BOLD's autocorrelation over all lags, in seconds: a scan of T seconds holds T over it
        independent samples of a region."""
        at_zero = self.cross_spectrum([0.0])[:, 0].real.diagonal(dim1=1, dim2=2)
        variance = exact.covariance(self._system, _ENDLESS_S).diagonal(dim1=1, dim2=2)
        return at_zero / variance

    @property
    def slow_modes(self) -> SlowModes:
        """The network's modes of the observed state, slowest first; see `SlowModes`.

        An InputError for a model whose states do not separate into a slow and a fast one.
        """
        if self._slow is None:
            raise InputError(
                f"The model {model_of(self._parameters).name!r} has no slow modes.",
                expected="a model of one state, or of one that a much faster one follows",
            )
        rate, vectors, inverse = self._slow.modes
        order = rate.real.argsort(dim=1)
        row = torch.arange(len(rate), device=rate.device)
        first = order[:, 0]
        power = (inverse[row, first].abs() ** 2 * self._slow.power).sum(dim=1)
        return SlowModes(
            rate=rate.real.gather(1, order),
            direction=(self._slow.scale * vectors[row, :, first].real),
            projection=(inverse[row, first].real / self._slow.scale),
            std=(power / (2 * rate.real[row, first])).sqrt(),
        )

    @property
    def fc_sampling_variance(self) -> Tensor:
        """(B,) variance of a correlation from one scan to the next, mean over pairs of regions.

        ``(1 - r^2)^2`` over the number of independent samples in a scan (Fisher 1915), one per memory of BOLD: that of the
        modes, weighted by their variance, and that of the hemodynamics. Averaged over R scans it lowers the correlation of FC
        with any target by ``sqrt(v / (v + variance / R))``, v the variance of FC over pairs. Within 30 % of simulation (400
        sets of FIC on nine connectomes); NaN where not stable. Filtered scans, and models without slow modes, take the integral
        of the squared autocorrelation (Bartlett 1946).
        """
        protocol = self.protocol
        if self._slow is None or self.observation.is_filtered or self.observation.noise_share:
            memory_s = observed_memory_s(self._system, self._slow, protocol, self.observation)
        else:
            time = 1 / self.slow_modes.rate.clamp(min=1e-6)
            memory_s = _MEMORY * (time.square().sum(dim=1) / time.sum(dim=1) + _HEMODYNAMIC_MEMORY_S)
        off_diagonal = (1 - self.fc.square()).square().sum(dim=(1, 2)) / (self.fc.shape[1] * (self.fc.shape[1] - 1))
        return off_diagonal * memory_s / (protocol.scan_s * self.observation.frames_kept(protocol.n_frames).mean())

    @property
    def activity_std(self) -> Tensor:
        """(B, N) standard deviation of the observed state (S_E of the FIC model), NaN where not stable.

        At the protocol's integration step; for models without slow modes, for small steps.
        """
        if self._slow is None:
            std = exact.activity_std(self._system)
        else:
            std = gating_covariance(self._slow, self.protocol.dt_s).diagonal(dim1=1, dim2=2).sqrt()
        return std.masked_fill(~self.stable[:, None], float("nan"))

    @property
    def mean_reported(self) -> Tensor:
        """(B, N) mean of what the model reports first (r_E of the FIC model, Hz), or of its first state; NaN where not stable.

        For the FIC model to second order in the noise, with the protocol's integration; for others at the fixed point. How
        far it is from the rate of the fixed point (3 Hz) measures the nonlinearity: the theory is to be trusted where that is
        little. Within 15 % of the simulated shift where that is below 0.05 Hz, too large beyond; and too large where Euler
        steps of 6 ms make the inhibitory gate nearly oscillate.
        """
        at_rest = (*self._at_rest, *self._x)[0]
        if self._slow is not None:
            given = (self._parameters, at_rest, self._sc, self._x, self._system, self._slow, self.protocol)
            at_rest = mean_reported(*given)
        return at_rest.masked_fill(~self.stable[:, None], float("nan"))


def linear_response(
    p: ModelParameters,
    sc: Connectome,
    protocol: Protocol,
    at: tuple[Tensor, ...] | None = None,
    method: str = "auto",
    observation: Observation | None = None,
) -> LinearResponse:
    """Predict FC and BOLD statistics of a model from its linearisation at a fixed point.

    Parameters
    ----------
    p : ModelParameters
        B candidates over N regions, of any model that is observed through hemodynamics.
    sc : Connectome
    protocol : Protocol
        TR and frames. FC and BOLD are those of dt -> 0; the integration step enters ``activity_std`` and ``mean_reported``.
    at : tuple of tensor (B, N), optional
        Where to expand: a value for each of the model's states, or a `FixedPoint`. Default the model's fixed point; for FIC
        the 3 Hz state of feedback inhibition, and `mfm.fixed_point` finds others (``.point``).
    method : {"auto", "modes", "exact"}
        ``exact`` solves the linear system at each frequency of a quadrature: 1e-6 of the Lyapunov solution, some 60 ms per
        candidate and core at 68 regions. ``modes`` solves it once for all frequencies (`mfm.linear.modes`): for models
        of one state and a faster one, where activity is the same in every region, as at the 3 Hz state of FIC; within 2e-5 of
        ``exact``, and some fifty times faster. ``auto`` takes ``modes`` where it can.

    observation : Observation, optional
        What was done to the recorded scan, and is done to FC, covariance and samples here: filter, detrending, global signal,
        measurement noise, frames left out. Default nothing. ``modes`` takes Butterworth filters as analogue ones: FC within
        1e-4 at a TR of 0.72 s, 3e-4 at 2 s, 2e-3 at 3 s.

    Returns
    -------
    LinearResponse
        Differentiable in the parameters (``fc``, ``bold_covariance``, ``sample_bold``).

    Raises
    ------
    InputError
        If regions do not fit, a weight was given that the fixed point needs solved, or the model or the method cannot be used.

    Notes
    -----
    Exact for small noise. It fails near the instability (``abscissa`` towards 0), where fluctuations feel the curvature of the
    transfer function, and it knows nothing of other attractors that noise may reach: simulate what is chosen by it. The
    sampling bias of Pearson correlation over a finite scan, of order (1 - r^2) r / (2 T_eff), is left out.

    Examples
    --------
    >>> import mfm, numpy as np
    >>> sc = mfm.Connectome([[0.0, 0.02], [0.02, 0.0]])
    >>> p = mfm.FICParameters(np.full((1, 2), 3.0), np.full((1, 2), 2.5), np.full((1, 2), 0.005), [2.0])
    >>> lin = mfm.linear_response(p, sc, mfm.Protocol(tr_s=0.72, n_frames=1200))
    >>> lin.stable.tolist(), 0 < lin.fc[0, 0, 1] < 1
    ([True], tensor(True))
    """
    check_same_regions(p, sc)
    observation = observation or Observation()
    observation.check_scan(protocol.tr_s, protocol.n_frames)
    model = model_of(p)
    _check_method(model, p, at, method)
    complete = model.completed(p, sc)
    state = rest_state(model, complete, sc) if at is None else tuple(at)[: len(model.states)]
    x, known = _known_state(state)
    block = LocalBlock.of(model, complete, sc, x)
    kind = LinearSystem if LinearSystem.holds(model) else NetworkSystem
    system = kind.from_block(model, block, getattr(complete, model.noise), sc, x)
    slow = SlowSystem.of(system) if isinstance(system, LinearSystem) else None
    slow = slow if slow is not None and slow.is_slow else None
    alike = bool((system.activity[0, 0] == system.activity).all())
    if method == "modes" and (slow is None or not alike):
        raise InputError(
            "The method 'modes' cannot be used.",
            expected="a fixed point with the same activity in every region, and a second state faster than the first",
            fix='method="exact"',
        )
    abscissa = exact.abscissa(system) if slow is None else modes.slowest_abscissa(system, slow)  # type: ignore[arg-type]
    if slow is None or not alike or at is not None or method == "exact" or not has_poles(observation):
        covariance = exact.covariance(system, protocol.scan_s, observation, protocol.tr_s)
    else:
        covariance = slow.covariance(protocol.scan_s, observed_filter(observation, float(system.activity[0, 0])))
    covariance = _as_observed(covariance, system, slow, protocol, observation)
    abscissa = abscissa.masked_fill(~(known & _is_at_rest(block)), float("nan"))
    status = torch.where(abscissa < 0, int(LinearStatus.OK), int(LinearStatus.UNSTABLE))
    covariance = covariance.masked_fill((status != LinearStatus.OK)[:, None, None], float("nan"))
    std = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    fc = covariance / (std[:, :, None] * std[:, None, :])
    return LinearResponse(
        fc, covariance, abscissa, status, protocol, observation, complete, sc, x, block.reported, system, slow
    )


def _check_method(model: Model, p: ModelParameters, at, method: str) -> None:
    """Raise an InputError where the theory cannot do what is asked."""
    if method not in METHODS:
        raise InputError("Unknown method of linear response.", expected=" | ".join(METHODS), found=repr(method))
    if not model.has_linear_response:
        raise InputError(
            f"There is no linear response of the model {model.name!r}.",
            expected="a model that is observed through hemodynamics",
            found=f"{model.observed} is observed directly",
            fix="simulate it",
        )
    if not p.is_solved and at is None:
        given = [q.name for q in p.declared() if q.solved and getattr(p, q.name) is not None]
        raise InputError(
            f"Linear response of the model {model.name!r} expands around the state at which {given[0]} is solved.",
            found=f"{given[0]} was given",
            fix="at=mfm.fixed_point(p, sc).point expands around the state that the dynamics reach",
        )
    if method == "modes" and at is not None:
        raise InputError("The method 'modes' needs the model's own fixed point.", fix='method="exact"')


def _known_state(x: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
    """The state with a finite stand-in for candidates that have none (NaN), and which have one."""
    known = torch.stack([torch.isfinite(state).all(dim=1) for state in x]).all(dim=0)
    return tuple(torch.where(known[:, None], state, torch.full_like(state, 0.1)) for state in x), known


def _is_at_rest(block: LocalBlock) -> Tensor:
    """(B,) whether the state is a fixed point: derivatives below the rounding of float32."""
    return torch.stack([drift.detach().abs().amax(dim=1) for drift in block.drift]).amax(dim=0) < _AT_REST_PER_S


def _as_observed(
    covariance: Tensor, system: System, slow: SlowSystem | None, protocol: Protocol, observation: Observation
) -> Tensor:
    """The covariance of filtered BOLD with its measurement noise, and without the global signal if that was regressed."""
    if observation.noise_share:
        share = observation.noise_share / (1 - observation.noise_share)
        left = white_share(observation, protocol.tr_s, protocol.scan_s)
        covariance = covariance + torch.diag_embed(_raw_variance(system, slow, protocol) * share * left)
    return without_global_signal(covariance) if observation.global_signal == "regressed" else covariance


def _raw_variance(system: System, slow: SlowSystem | None, protocol: Protocol) -> Tensor:
    """(B, N) variance of BOLD over a scan to which nothing was done."""
    alike = bool((system.activity[0, 0] == system.activity).all())
    if slow is None or not alike:
        raw = exact.covariance(system, protocol.scan_s)
    else:
        raw = slow.covariance(protocol.scan_s, resting_filter(float(system.activity[0, 0])))
    return raw.diagonal(dim1=1, dim2=2)


def observed_memory_s(system: System, slow: SlowSystem | None, protocol: Protocol, observation: Observation) -> Tensor:
    """The integral of the squared autocorrelation of observed BOLD over all lags, (B,), seconds (Bartlett 1946).

    Of models with slow modes that of the modes' mean spectrum, each weighted by its variance.
    """
    T, tr = protocol.scan_s, protocol.tr_s
    w, measure = (torch.tensor(x).to(system.sigma) for x in exact.scan_quadrature(T, observation, tr))
    gain = torch.tensor(power_gain(observation, tr, w.cpu().numpy())).to(measure)
    with torch.no_grad():
        spectrum = _mean_spectrum(system, slow, w)
        if observation.noise_share:
            # White up to the Nyquist frequency; its variance is a share of the unfiltered signal's.
            raw_w, raw_measure = (torch.tensor(x).to(w) for x in exact.scan_quadrature(T, None, tr))
            variance = (raw_measure * _mean_spectrum(system, slow, raw_w)).sum(dim=1, keepdim=True)
            share = observation.noise_share / (1 - observation.noise_share)
            spectrum = spectrum + variance * share * tr * (w < math.pi / tr)
        # The measure holds one gain of the filter; the square of the spectrum needs two.
        return (measure * gain * spectrum**2).sum(dim=1) / (measure * spectrum).sum(dim=1) ** 2


def _mean_spectrum(system: System, slow: SlowSystem | None, w: Tensor) -> Tensor:
    """Spectrum of BOLD, (B, W), mean over regions; or in any unit over the modes, where these are known."""
    if slow is None:
        return exact.cross_spectrum(system, w).diagonal(dim1=2, dim2=3).real.mean(dim=2)
    rate = slow.modes.rate.real.clamp(min=1e-6)
    seen = transfer(1j * w, float(system.activity.mean())).abs() ** 2
    return (seen[:, None] / (w[:, None] ** 2 + rate[:, None] ** 2)).sum(dim=2)
