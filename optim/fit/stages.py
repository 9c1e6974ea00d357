"""What the stages of one fit work with: search space, objectives, surrogate, and the seeds of their noise."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import mfm
from mfm import Scan, SubjectData
from mfm.errors import ConfigError, InputNote
from mfm.models.parameters import ModelParameters
from mfm.subject import STAGES
from optim.config.fit import FitConfig
from optim.config.objective import LinearObjectiveConfig, SimulationObjectiveConfig, SurrogateObjectiveConfig
from optim.fit.fingerprint import Facts, fingerprint, fit_facts
from optim.fit.notes import notes_on_setup
from optim.fit.result import StageScore
from optim.objectives.audited import AuditedObjective
from optim.objectives.audits import audited_populations
from optim.objectives.base import Evaluation, Objective
from optim.objectives.linear import LinearObjective
from optim.objectives.simulation import SimulationObjective
from optim.objectives.surrogate import SurrogateObjective
from optim.search.seeds import noise_keys, stream
from optim.search.space import SearchSpace
from surrogate.bundle import Surrogate, load_pretrained

#: A stage is repeated this often, to know how far its figure would move with other noise. With its own realisations these fill
#: one group of SIMD lanes, so that they cost next to nothing.
REPEATS = 9


@dataclass(frozen=True, eq=False)
class Stages:
    """The search, validation and test of one subject under one configuration.

    It is made once per fit. Whatever takes time is made when it is first asked for, and then kept: a surrogate is read from
    disk once.

    Parameters
    ----------
    subject : SubjectData
    config : FitConfig

    Examples
    --------
    >>> import mfm, numpy as np
    >>> from optim import FitConfig
    >>> from optim.fit.stages import Stages
    >>> runs = np.random.default_rng(0).normal(size=(2, 60, 3))
    >>> subject = mfm.subject_from_runs("sub-01", runs, mfm.Connectome(0.02 * (1 - np.eye(3))), tr_s=2.0)
    >>> stages = Stages.prepare(subject, FitConfig())
    >>> stages.space.n_dimensions, stages.objective("test").protocol.dt_s, len(stages.keys("test", n=2))
    (4, 0.0005, 2)
    """

    subject: SubjectData
    config: FitConfig

    @classmethod
    def prepare(cls, subject: SubjectData, config: FitConfig) -> Stages:
        """The stages of a fit that can begin, or the InputError that says why it cannot: nothing has been simulated yet.

        Warns
        -----
        InputNote
            If the surrogate was not trained for such a scan, or the data that are fitted decide a range. What else `notes` hold
            is no warning.
        """
        stages = cls(subject, config)
        if stages.surrogate is not None:
            _check_surrogate(stages.surrogate, config)
        for note in (*config.model.notes(subject), *stages.surrogate_notes):
            warnings.warn(InputNote(note), stacklevel=2)
        for stage in STAGES:
            stages.objective(stage)
        # To find out whether bounds and plausibility rules leave enough candidates.
        stages.space.draw(max(1, config.optimizer.initial_candidates), np.random.default_rng(0))
        return stages

    @cached_property
    def space(self) -> SearchSpace:
        """The coordinates that are searched."""
        return SearchSpace(self.config.model.parameterisation(self.subject))

    @cached_property
    def surrogate(self) -> Surrogate | None:
        """The surrogate that the search predicts by; None for a search without one."""
        o = self.config.objective
        return load_pretrained(o.surrogate) if isinstance(o, SurrogateObjectiveConfig) else None

    @cached_property
    def surrogate_notes(self) -> tuple[str, ...]:
        """What the surrogate was not trained for."""
        return () if self.surrogate is None else self.prediction("search").notes

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the result must know of how the fit was set up, beside the notes of the data."""
        of_settings = self.config.model.notes(self.subject)
        return (*of_settings, *notes_on_setup(self.subject, self.config), *self.surrogate_notes)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of what decides the numbers of the fit (`optim.fit.fingerprint`)."""
        return fingerprint(self.facts)

    @cached_property
    def facts(self) -> Facts:
        """What decides the numbers of the fit, each fact by its name."""
        return fit_facts(self.subject, self.config, self.surrogate)

    @property
    def noise(self) -> str:
        """Whether the candidates of a generation share their noise; theory takes one seed for all of them."""
        o = self.config.objective
        return o.noise if isinstance(o, SimulationObjectiveConfig | SurrogateObjectiveConfig) else "shared"

    def scan(self, stage: str) -> Scan:
        """The data of a stage: "search", "validation" or "test"."""
        return getattr(self.subject, stage)

    def objective(self, stage: str, scan: Scan | None = None) -> SimulationObjective:
        """How a stage scores candidates by simulation; on another `scan` than the subject's, where one is given."""
        o, scan = self.config.objective, self.scan(stage) if scan is None else scan
        return SimulationObjective(scan, o.protocol(scan, stage), o.n_repeats, o.backend, o.n_threads, stage != "search")

    def theory(self) -> LinearObjective:
        """Predictions of the search's cost by linear response."""
        o, scan = self.config.objective, self.subject.search
        return LinearObjective(scan, o.protocol(scan, "search"), n_repeats=o.n_repeats, n_threads=o.n_threads)

    def prediction(self, stage: str) -> SurrogateObjective:
        """Predictions by the surrogate against the data of a stage, under the timing of the search's simulations."""
        o, scan = self.config.objective, self.scan(stage)
        assert isinstance(o, SurrogateObjectiveConfig)
        assert self.surrogate is not None
        return SurrogateObjective(scan, o.protocol(scan, "search"), self.surrogate, o.gate, o.n_repeats)

    def search_objective(self, report: Callable[[str], None] | None = None) -> Objective:
        """The objective of one search, with audits of its own; `report` is called with a line about each of them."""
        o = self.config.objective
        if isinstance(o, LinearObjectiveConfig):
            return self.theory()
        if not isinstance(o, SurrogateObjectiveConfig):
            return self.objective("search")
        predicted = self.prediction("search")
        if not o.audits:
            return predicted
        at = audited_populations(o.audits, self.config.optimizer.generations)
        # What was simulated is judged against the validation data too, if those count alike.
        n_bins = [len(self.scan(stage).target.fcd_cdf) for stage in ("search", "validation")]
        choosing = self.prediction("validation") if n_bins[0] == n_bins[1] else None
        simulated = self.objective("search")
        return AuditedObjective(predicted, simulated, at, choosing, o.audit_candidates, o.least_rank, report)

    def keys(self, purpose: str, n: int = 1) -> list[int]:
        """Seeds of the noise of a stage: "rescore", "validation", "test", or "search" for the theory of the regional fit."""
        return noise_keys(stream(self.config.optimizer.seed, self.subject.subject_id, purpose), n)

    def repeated(self, stage: str, p: ModelParameters) -> Evaluation:
        """One candidate in one stage: with the noise of the stage first, then nine times with other noise."""
        keys = self.keys("rescore" if stage == "search" else stage, 1 + REPEATS)
        return self.objective(stage).evaluate(p[[0] * len(keys)], keys)

    def steps(self, stage: str, candidates: int) -> int:
        """Neural steps of the simulations of so many candidates, which their time is told by."""
        objective = self.objective(stage)
        return candidates * objective.n_repeats * objective.protocol.n_steps

    def score(self, stage: str, evaluation: Evaluation, candidates: int, total_se: float = float("nan")) -> StageScore:
        """The score of the first candidate of an evaluation, the best of so many `candidates`."""
        objective = self.objective(stage)
        return StageScore(
            stage,
            evaluation.cost.at(0),
            realisations=objective.n_repeats,
            candidates=candidates,
            in_range=bool(evaluation.within_range[0]),
            dt_s=objective.protocol.dt_s,
            total_se=total_se,
        )

    def test_bold(self, winner: ModelParameters) -> np.ndarray:
        """BOLD of the test's simulations of one candidate, (R, T, N): the same seed gives the same noise."""
        objective = self.objective("test")
        sim = mfm.simulate(
            winner,
            self.subject.test.sc,
            objective.protocol,
            objective.n_repeats,
            self.keys("test"),
            objective.backend,
            n_threads=objective.n_threads,
        )
        return sim.bold[0].numpy()


def _check_surrogate(surrogate: Surrogate, config: FitConfig) -> None:
    """Raise a ConfigError unless the surrogate was trained for the model that is fitted."""
    name, theory = config.model.name, config.model.model.has_linear_response
    if name != surrogate.model:
        raise ConfigError(
            f"The surrogate was not trained for the model {name!r}.",
            expected=f"model={surrogate.model}, as the card of the surrogate says",
            found=f"model={name}",
            fix="objective=simulation" + (", or objective=linear" if theory else ""),
        )
