"""Model and data are checked against each other before any work starts."""

from __future__ import annotations

import warnings

import torch

from mfm.errors import InputError, InputNote
from mfm.ude.data.trajectories import Trajectories
from mfm.ude.equations.hybrid import Hybrid

# Data that move this many times faster or slower than the mechanism are in other units of time.
_OTHER_UNITS = 100.0


def check_fit(model: Hybrid, series: Trajectories) -> None:
    """Raise an InputError unless `series` can be data of `model`; an InputNote where that is doubtful."""
    states = model.mechanism.states
    unknown = [name for name in series.names if name not in states]
    if unknown:
        raise InputError(
            f"The model has no state {', '.join(unknown)}.", expected=f"channels named as the states: {', '.join(states)}"
        )
    if series.time_unit != model.mechanism.time_unit:
        raise InputError(
            "Data and mechanism have different units of time.",
            expected=f"time_unit={model.mechanism.time_unit!r}, as of {type(model.mechanism).__name__}",
            found=f"time_unit={series.time_unit!r}",
            fix="give dt in the mechanism's unit, and its time_unit",
        )
    if series.members > 1 and model.members not in (1, series.members):
        raise InputError(
            "Model and data have different numbers of ensemble members.",
            expected=f"members={series.members}, one for each data set",
            found=f"members={model.members}",
        )
    n_parameters = sum(p.numel() for p in model.parameters()) // model.members
    n_samples = int(series.observed.sum(dim=(1, 2, 3, 4)).min())
    if n_samples < n_parameters:
        raise InputError(
            "There are fewer samples than parameters to learn.",
            expected=f"at least {n_parameters} observed values",
            found=str(n_samples),
            fix="fewer or narrower hidden layers, a smaller library, or more data",
        )
    _check_pace(model, series)


def _check_pace(model: Hybrid, series: Trajectories) -> None:
    """Compare how fast the data move with how fast the mechanism does, where all states are observed."""
    states = model.mechanism.states
    if set(series.names) != set(states):
        return
    order = [series.names.index(name) for name in states]
    x = series.values[..., order]
    E, K, T, N, D = x.shape
    increments = x.diff(dim=2)
    with torch.no_grad():
        covariates = None
        if series.covariates is not None:
            covariates = series.covariates.repeat_interleave(T, dim=1)
        drift = model.drift(x.nan_to_num().reshape(E, K * T, N, D).expand(max(E, model.members), -1, -1, -1), covariates)
    noise = series.noise_std[:, order].median(dim=0).values
    # The increments' noise is taken off their mean square.
    moved = (increments.square().nanmean(dim=(0, 1, 2, 3)) - 2 * noise**2).clamp(min=0).sqrt() / series.dt
    expected = drift.square().mean(dim=(0, 1, 2)).sqrt()
    usable = (moved > 0) & (expected > 0)
    if not usable.any():
        return
    ratio = float((moved[usable] / expected[usable]).log().median().exp())
    if not 1 / _OTHER_UNITS < ratio < _OTHER_UNITS:
        warnings.warn(
            InputNote(
                f"The data move {ratio:.3g} times as fast as the mechanism: is dt = {series.dt:g} in "
                f"{'the' if series.time_unit == '1' else series.time_unit + ', the'} unit of time of the equations?"
            ),
            stacklevel=4,
        )
