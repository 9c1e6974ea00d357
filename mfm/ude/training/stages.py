"""A training may go in stages, over segments that grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mfm.errors import InputError
from mfm.ude.data.trajectories import Trajectories
from mfm.ude.equations.hybrid import Hybrid
from mfm.ude.training.gradient import Adam, Training, TrainingProgress, UDEFit
from mfm.ude.training.losses import Loss, PredictionError


@dataclass(frozen=True)
class Stage:
    """A stage of a training is a loss and how it is minimised."""

    loss: Loss
    optimizer: Adam


def curriculum(
    loss: PredictionError,
    lengths: Sequence[int] = (1, 5, 5, 10),
    iterations: Sequence[int] = (400, 300, 500, 400),
    steps: Sequence[float] = (0.02, 0.02, 0.01, 0.005),
) -> tuple[Stage, ...]:
    """Plan segments that grow: the first stages are quick and find the rough shape, the last ones correct its bias.

    Parameters
    ----------
    loss : PredictionError
        Its segments' length is replaced; its observer is off until the third stage, when segments are long enough for it.
    lengths, iterations, steps : sequence
        Intervals per segment, iterations and largest step size of each stage.

    Examples
    --------
    >>> from mfm.ude import PredictionError, curriculum
    >>> [stage.loss.shooting.samples for stage in curriculum(PredictionError())]
    [1, 5, 5, 10]
    """
    stages = []
    for k, (length, n, step) in enumerate(zip(lengths, iterations, steps, strict=True)):
        shooting = replace(loss.shooting, samples=length)
        stages.append(Stage(replace(loss, shooting=shooting, observer=loss.observer if k >= 2 else None), Adam(n, step)))
    return tuple(stages)


def fit_stages(
    model: Hybrid,
    series: Trajectories,
    stages: Sequence[Stage],
    on_progress: Callable[[int, TrainingProgress, Callable[[], list[dict]]], None] | None = None,
    resume: Sequence[dict] = (),
) -> UDEFit:
    """Train stage by stage, each from where the last one ended.

    Parameters
    ----------
    model : Hybrid
    series : Trajectories
    stages : sequence of Stage
    on_progress : callable, optional
        Called after each iteration with the stage's number, its `TrainingProgress`, and a function that returns the states of
        all stages so far (`Training.state`).
    resume : sequence of dict, optional
        States that such a function returned, for the same model, data and stages: the training goes on from there.

    Returns
    -------
    UDEFit
        Its trace and seconds are those of all stages.

    Examples
    --------
    See `curriculum`.
    """
    found: UDEFit | None = None
    states: list[dict] = []
    traces, seconds = [], 0.0
    for number, stage in enumerate(stages):
        training = Training(model, series, stage.loss, stage.optimizer, found)
        if number < len(resume):
            training.load(resume[number])

        def so_far(training: Training = training) -> list[dict]:
            return [*states, training.state()]

        while not training.done:
            training.step()
            if on_progress is not None:
                on_progress(number, training.progress, so_far)
        states.append(training.state())
        found = training.result()
        traces.append(found.trace)
        seconds += found.seconds
    if found is None:
        raise InputError("A training has at least one stage.")
    return replace(found, trace=np.concatenate(traces), seconds=seconds)
