"""How long the stages of a fit take, and how long the next will: foretold from those that are over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

#: Called when a stage begins: its name, and how many seconds it will take, None where nothing tells.
Announce = Callable[[str, float | None], None]

#: The stages of a fit in order; "regional" with ``model.regional`` only, and files are written where they are asked for.
STAGE_NAMES = ("search", "validation", "regional", "identifiability", "test", "figures")


@dataclass
class Pace:
    """The seconds of the stages that are over, and the simulations' speed.

    Examples
    --------
    >>> from optim.fit.pace import Pace
    >>> told = []
    >>> pace = Pace(lambda name, seconds: told.append((name, seconds is None)))
    >>> with pace.stage("validation", steps=1000):
    ...     pass
    >>> with pace.stage("test", steps=4000):
    ...     pass
    >>> told, list(pace.seconds)
    ([('validation', True), ('test', False)], ['validation', 'test'])
    """

    announce: Announce | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    _per_step: float | None = None

    @contextmanager
    def stage(self, name: str, steps: int = 0) -> Iterator[None]:
        """Announce and time a stage that simulates so many neural `steps`; 0 where its time is not that of simulations."""
        if self.announce is not None:
            self.announce(name, None if self._per_step is None or not steps else self._per_step * steps)
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began
        if steps:
            self.learn(steps, self.seconds[name])

    def learn(self, steps: int, seconds: float) -> None:
        """Take the speed of the latest simulations."""
        if steps > 0 and seconds > 0:
            self._per_step = seconds / steps
