"""How candidates are scored: one class of settings for each way of searching, with those that it uses and no others."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mfm import Protocol, Scan
from mfm.errors import ConfigError
from mfm.protocol import SCHEMES, coarse_hemodynamic_dt, nearest_dt
from mfm.simulation.backends import backend_names
from optim.config.checks import check_at_least, check_choice, check_one_of

NOISE = ("shared", "independent")

GATES = ("classifier", "rate", "none")


@dataclass(frozen=True)
class ObjectiveConfig:
    """How candidates are simulated: what every way of searching needs, since validation and test are always simulated.

    A fit takes one of its kinds: `SimulationObjectiveConfig`, `LinearObjectiveConfig` or `SurrogateObjectiveConfig`.

    Parameters
    ----------
    backend : str
        ``auto`` or one of `mfm.simulation.backends`: ``reference``, ``numba``, ``triton``.
    n_repeats : int
        Noise realisations per candidate in search, validation and test.
    dt_search_s, dt_validation_s, dt_test_s : float, optional
        Neural steps in seconds; null is the valid step nearest to 6 ms (search, validation) or 0.5 ms (test).
    burn_in_s : float
        Seconds simulated before the scan, with hemodynamics, that are not recorded.
    warm_up_s : float
        Seconds before those, without hemodynamics.
    hemo_dt_s : float, optional
        Hemodynamic step; null is the coarsest valid one up to 0.03 s.
    scheme : {"exponential", "euler"}
        How S_I is stepped (`mfm.Protocol`). Published fits use Euler steps, which at 6 ms shift firing rates and reject
        parameters that are within range at small steps.
    n_threads : int, optional
        Default: the cores this process may use. Results do not depend on it.
    """

    backend: str = "auto"
    n_repeats: int = 3
    dt_search_s: float | None = None
    dt_validation_s: float | None = None
    dt_test_s: float | None = None
    burn_in_s: float = 144.0
    warm_up_s: float = 30.0
    hemo_dt_s: float | None = None
    scheme: str = "exponential"
    n_threads: int | None = None

    def __post_init__(self):
        check_one_of("objective.scheme", self.scheme, SCHEMES)
        check_one_of("objective.backend", self.backend, backend_names())
        check_at_least("objective.n_repeats", self.n_repeats, 1)
        if self.n_threads is not None:
            check_at_least("objective.n_threads", self.n_threads, 1)

    def protocol(self, scan: Scan, stage: str) -> Protocol:
        """Timing of a stage's simulations; an invalid step is an error, never adjusted."""
        dt_s = getattr(self, f"dt_{stage}_s")
        if dt_s is None:
            dt_s = nearest_dt(scan.tr_s, 0.0005 if stage == "test" else 0.006)
        # Validates the step before the hemodynamic one is derived from it.
        plain = Protocol(scan.tr_s, scan.n_frames, dt_s, self.burn_in_s, self.warm_up_s, scheme=self.scheme)
        hemo_dt_s = coarse_hemodynamic_dt(plain.tr_s, dt_s) if self.hemo_dt_s is None else self.hemo_dt_s
        return replace(plain, hemo_dt_s=hemo_dt_s)


@dataclass(frozen=True)
class SimulationObjectiveConfig(ObjectiveConfig):
    """The search simulates its candidates (`SimulationObjective`); further settings as in `ObjectiveConfig`.

    Parameters
    ----------
    search : "simulation"
    noise : {"shared", "independent"}
        ``shared``: the candidates of a generation see the same noise, a new one every generation.
    """

    search: str = "simulation"
    noise: str = "shared"

    def __post_init__(self):
        super().__post_init__()
        check_choice("objective.search", self.search, "simulation", OBJECTIVES)
        check_one_of("objective.noise", self.noise, NOISE)


@dataclass(frozen=True)
class LinearObjectiveConfig(ObjectiveConfig):
    """The search predicts its candidates by linear response (`LinearObjective`); settings as in `ObjectiveConfig`.

    Parameters
    ----------
    search : "linear"
    """

    search: str = "linear"

    def __post_init__(self):
        super().__post_init__()
        check_choice("objective.search", self.search, "linear", OBJECTIVES)


@dataclass(frozen=True)
class SurrogateObjectiveConfig(ObjectiveConfig):
    """The search predicts its candidates by a trained surrogate with audits (`AuditedObjective`).

    Further settings as in `ObjectiveConfig`.

    Parameters
    ----------
    search : "surrogate"
    surrogate : str
        Name of a shipped surrogate, or the folder of one.
    gate : {"classifier", "rate", "none"}
        What decides that a candidate is within range (`SurrogateObjective`).
    audits, audit_candidates : int
        Of so many populations of a search (`optim.objectives.audits.audited_populations`) so many candidates are simulated too.
    least_rank : float
        Rank correlation of predicted and simulated cost (`AuditLog.rank_correlation`) below which the rest of a search is
        simulated.
    validated : int, optional
        Winners that are simulated on the validation data: those of the lowest predicted cost. None: all.
    noise : {"shared", "independent"}
        Of generations that are simulated because audits failed, as in `SimulationObjectiveConfig`.
    """

    search: str = "surrogate"
    surrogate: str = "fic"
    gate: str = "classifier"
    audits: int = 4
    audit_candidates: int = 14
    least_rank: float = 0.6
    validated: int | None = 20
    noise: str = "shared"

    def __post_init__(self):
        super().__post_init__()
        check_choice("objective.search", self.search, "surrogate", OBJECTIVES)
        check_one_of("objective.gate", self.gate, GATES)
        check_one_of("objective.noise", self.noise, NOISE)
        check_at_least("objective.audits", self.audits, 0)
        check_at_least("objective.audit_candidates", self.audit_candidates, 2)
        if not -1 <= self.least_rank <= 1:
            raise ConfigError("objective.least_rank is not a correlation.", expected="-1 to 1", found=str(self.least_rank))
        if self.validated is not None:
            check_at_least("objective.validated", self.validated, 1)


#: The kinds of objective, by ``objective.search``.
OBJECTIVES: dict[str, type[ObjectiveConfig]] = {
    "simulation": SimulationObjectiveConfig,
    "linear": LinearObjectiveConfig,
    "surrogate": SurrogateObjectiveConfig,
}
