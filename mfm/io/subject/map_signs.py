"""Whether maps look like what they are called: myelin falls from sensory to association cortex, the gradient rises."""

from __future__ import annotations

import numpy as np

from mfm.brain.atlas import DESIKAN_VARIANTS
from mfm.brain.region_places import hierarchy_of
from mfm.models.registry import get_model, model_names
from mfm.subject import SubjectData

# Differences between sensory and association cortex in standard deviations of the map: +1.5 of published myelin maps, -1.9 of
# gradients.
_CLEAR = 0.5
_SAME = 0.99


def expected_signs() -> dict[str, int]:
    """Maps whose course over the cortex the models know: +1 where it rises towards association cortex, -1 where it falls."""
    found: dict[str, int] = {}
    for name in model_names():
        for parameter in get_model(name).parameters.declared():
            found |= dict(parameter.signs)
    return found


def notes_on_maps(subject: SubjectData, named: bool) -> tuple[str, ...]:
    """Return notes on maps that look exchanged, turned round, or given twice."""
    maps = subject.maps
    notes = []
    for k, name in enumerate(maps.names):
        for j in range(k):
            r = float(np.corrcoef(maps.values[j], maps.values[k])[0, 1])
            if abs(r) > _SAME:
                notes.append(
                    f"The maps {maps.names[j]!r} and {name!r} are nearly the same (r = {r:+.3f}): was one file given twice?"
                )
    return (*notes, *_against_expectation(subject, named))


def _against_expectation(subject: SubjectData, named: bool) -> tuple[str, ...]:
    values = dict(zip(subject.maps.names, subject.maps.values, strict=True))
    signs = {name: sign for name, sign in expected_signs().items() if name in values}
    labels, unsure = subject.labels, ""
    if not named and len(labels) == len(DESIKAN_VARIANTS["DK68"]):
        labels, unsure = DESIKAN_VARIANTS["DK68"], " (if rows are the 68 Desikan-Killiany regions in FreeSurfer's order)"
    level = np.array([hierarchy_of(label) for label in labels])
    if min((level < 0).sum(), (level > 0).sum()) < 3:
        return _by_range(values)
    rise = {
        name: float((values[name][level > 0].mean() - values[name][level < 0].mean()) / values[name].std()) for name in signs
    }
    wrong = [name for name, sign in signs.items() if sign * rise[name] < -_CLEAR]
    if not wrong:
        return ()
    told = ", ".join(
        f"{name} {'rises' if rise[name] > 0 else 'falls'} by {abs(rise[name]):.1f} standard deviations" for name in wrong
    )
    usual = ", ".join(f"{name} {'rises' if signs[name] > 0 else 'falls'}" for name in wrong)
    why = (
        "the two files may be exchanged"
        if len(wrong) > 1
        else "another map was given under this name, or its sign is turned round"
    )
    return (
        f"From sensory to association cortex {told}, where {usual} as a rule{unsure}: {why}, or rows are in another order.",
    )


def _by_range(values: dict[str, np.ndarray]) -> tuple[str, ...]:
    """Without names: T1w/T2w is a ratio above 0, and a gradient has both signs."""
    if not {"myelin", "gradient"} <= set(values):
        return ()
    if (values["gradient"] > 0).all() and (values["myelin"] < 0).any() and (values["myelin"] > 0).any():
        return (
            "The map 'myelin' has values below 0 and the map 'gradient' has none, where T1w/T2w ratios are positive and "
            "gradients have both signs: the two files may be exchanged.",
        )
    return ()
