"""What a reader of a result must know of how a fit was set up, beside the notes of its data."""

from __future__ import annotations

import re

from mfm import SubjectData
from optim.config.fit import FitConfig

_NAME_WITH_COUNT = re.compile(r"[A-Za-z_]+-?(\d{2,4})$")


def notes_on_setup(subject: SubjectData, config: FitConfig) -> tuple[str, ...]:
    """Return notes on settings that do not suit the data, or leave out what the model could have."""
    return (*_note_no_maps(subject, config), *_note_atlas(subject, config))


def _note_no_maps(subject: SubjectData, config: FitConfig) -> tuple[str, ...]:
    model = config.model.model
    follow = [q.name for q in model.parameters.searched() if q.regional]
    if subject.maps.names or config.model.regional or not follow:
        return ()
    derived = [one.quantity.description.partition(",")[0] for one in model.derived]
    flat = f", and so is {' and '.join(derived)}" if derived else ""
    return (
        f"Without maps {', '.join(follow)} are the same in every region{flat}: regions will not differ by them. "
        '`maps={"myelin": "FILE", "gradient": "FILE"}` lets parameters follow maps, `regional=True` frees every region.',
    )


def _note_atlas(subject: SubjectData, config: FitConfig) -> tuple[str, ...]:
    """A name such as DK68 or Schaefer100 says how many regions there are."""
    found = _NAME_WITH_COUNT.match(config.atlas.name)
    if found is None or int(found[1]) == subject.n_regions:
        return ()
    return (
        f"The atlas is called {config.atlas.name}, but the data have {subject.n_regions} regions: files of the result will "
        "bear a wrong name (atlas.name), or the data are of another parcellation.",
    )
