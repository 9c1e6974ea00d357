"""What a fit found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from mfm import CostValues, MapParameterisation, SubjectData
from mfm.errors import MfmfitError
from mfm.models.model import Model
from mfm.models.parameters import ModelParameters
from optim.config.fit import FitConfig
from optim.fit.columns import regional_columns
from optim.fit.identifiability import Identifiability
from optim.objectives.audits import Audit
from optim.objectives.base import Evaluation
from optim.objectives.rows import cost_columns
from optim.search.regional import PenaltyPoint
from optim.search.run import Generation

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class StageScore:
    """Simulated cost of the winner in one stage; in tables each of its terms is a column.

    Attributes
    ----------
    stage : {"search", "validation", "test"}
    cost : CostValues
        Its terms are attributes: ``score.cost.ks``.
    realisations : int
    candidates : int
        Of how many it was the best.
    in_range : bool
        Whether every region stayed within what the model wants admissible (FIC: 2.7 to 3.3 Hz).
    dt_s : float
    total_se : float
        Standard error of the total by the noise of the simulations: its standard deviation over repetitions with other noise,
        over the root of how many of them the cost is the mean of. NaN where nothing was repeated.
    """

    stage: str
    cost: CostValues = field(metadata=cost_columns())
    realisations: int
    candidates: int
    in_range: bool
    dt_s: float
    total_se: float = float("nan")

    @property
    def total(self) -> float:
        """Total cost."""
        return self.cost.total


@dataclass(frozen=True)
class NoiseCeiling:
    """How well the cost is known.

    Attributes
    ----------
    test_mean, test_std : float
        Mean and standard deviation of the test's total cost, each time with as many realisations as the test, over
        nine repetitions with other noise.
    single_mean, single_std : float
        Likewise for the cost of single realisations.
    run_to_run : float or None
        Total cost of one recorded run against another (mean over pairs), where there are two or more.
    """

    test_mean: float
    test_std: float
    single_mean: float
    single_std: float
    run_to_run: float | None


@dataclass(frozen=True)
class PredictionRecord:
    """How the surrogate of a search did.

    Attributes
    ----------
    cost : CostValues
        Predicted cost, corrected by audits, of the winner against the search's data; of the map fit, before regions were freed.
    simulated_total : float
        Its simulated cost against the same data, with other noise than the search's.
    regret : float
        Validation cost of the winner predicted to be the best there, minus that of the winner that validation chose.
    rank_correlation, offset : float
        Of the audits: of predicted and simulated cost (`AuditLog.rank_correlation`), and the mean of simulated minus predicted.
    given_up : bool
        Whether audits failed, and the rest of a search was simulated.
    simulated : int
        Candidates that audits and fallback simulated.
    audits : tuple of Audit
    """

    cost: CostValues = field(metadata=cost_columns())
    simulated_total: float
    regret: float
    rank_correlation: float
    offset: float
    given_up: bool
    simulated: int
    audits: tuple[Audit, ...]

    @property
    def total(self) -> float:
        """Predicted total cost."""
        return self.cost.total


@dataclass(frozen=True, eq=False)
class FitResult:
    """A fitted subject.

    Attributes
    ----------
    subject : SubjectData
    config : FitConfig
    parameterisation : MapParameterisation
    coefficients : tensor, (D,)
        In the order of ``parameterisation.names``; slopes are per unit of the map. Where the regional fit was chosen, its
        linear part, from which regions deviate.
    parameters : ModelParameters
        One candidate.
    completed : ModelParameters
        The same with every weight solved that was left open: ``w_IE`` of FIC.
    stages : tuple of StageScore
        Of search, validation and test.
    trace : tuple of Generation
        Of every start, in order.
    ceiling : NoiseCeiling
    identifiability : Identifiability
        What the FC of one scan such as the search's tells of the coefficients.
    penalty : tuple of PenaltyPoint
        The path of the regional fit, the map fit first; empty without ``model.regional``.
    prediction : PredictionRecord or None
        Of a search by a surrogate.
    test : Evaluation
        The test simulation: FC and FCD for figures; what the model reports and its states, averaged over time, and what it
        derives from them. Each is an attribute of the result too, (N,), the mean over realisations: ``rate_E`` (Hz), ``S_E``,
        ``S_I`` and ``ei_ratio`` of FIC.
    bold : array, (R, T, N), or None
        Simulated BOLD of the test, where ``output.timeseries`` asks for it.
    noise_seeds : dict of str to int
        Seeds of the noise of "rescore" (the search's data anew), "validation" and "test".
    seconds : dict of stage to float
    fingerprint : str
        Digest of data, settings and version.
    setup_notes : tuple of str
        What should be known of how the fit was set up (`optim.fit.stages.Stages.notes`).

    Examples
    --------
    A fit of noise, far too small for use; `fit_subject` has the same:

    >>> import mfm, numpy as np
    >>> from optim import CMAESConfig, FitConfig, SimulationObjectiveConfig, fit_subject
    >>> runs = np.random.default_rng(0).normal(size=(2, 60, 3))
    >>> subject = mfm.subject_from_runs("sub-01", runs, mfm.Connectome(0.02 * (1 - np.eye(3))), tr_s=2.0)
    >>> objective = SimulationObjectiveConfig(n_repeats=1, dt_test_s=0.005, burn_in_s=0.0, warm_up_s=0.0)
    >>> config = FitConfig(objective=objective, optimizer=CMAESConfig(population=20, generations=1, initial_candidates=20))
    >>> result = fit_subject(subject, config)
    >>> result.coefficients.shape, result.ei_ratio.shape
    (torch.Size([4]), torch.Size([3]))
    """

    subject: SubjectData
    config: FitConfig
    parameterisation: MapParameterisation
    coefficients: Tensor
    parameters: ModelParameters
    completed: ModelParameters
    stages: tuple[StageScore, ...]
    trace: tuple[Generation, ...]
    ceiling: NoiseCeiling
    identifiability: Identifiability
    penalty: tuple[PenaltyPoint, ...]
    prediction: PredictionRecord | None
    test: Evaluation
    bold: np.ndarray | None
    noise_seeds: dict[str, int]
    seconds: dict[str, float]
    fingerprint: str
    setup_notes: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Tensor:
        if name.startswith("__") or "test" not in self.__dict__:
            raise AttributeError(name)
        value = getattr(self.test.averages, name)[0]
        return value.mean(dim=0) if value.ndim == 2 else value

    @property
    def model(self) -> Model:
        """What the fitted model declares."""
        return self.parameterisation.model

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the result must know: of the data, and of how the fit was set up."""
        return (*self.subject.notes, *self.setup_notes)

    @property
    def in_range(self) -> bool:
        """Whether every region stayed within what the model wants admissible (FIC: 2.7 to 3.3 Hz) in validation and test."""
        return all(score.in_range for score in self.stages if score.stage != "search")

    @property
    def penalty_strength(self) -> float:
        """Strength of the penalty that the validation data chose: infinite for the map fit."""
        return next((point.strength for point in self.penalty if point.chosen), float("inf"))

    def table(self) -> dict[str, tuple]:
        """The regional table, a column for each heading of ``regional.tsv``: ``pandas.DataFrame(result.table())`` takes it."""
        columns = {column.heading: tuple(column.values.tolist()) for column in regional_columns(self)}
        return {"region": self.subject.labels, **columns}

    # Reports stand above fits: what follows goes through the package's door, which loads them when they are asked for.

    def save(self, folder: str | Path, overwrite: bool = False) -> Path:
        """Write the fit into ``<folder>/sub-<id>/`` as ``mfmfit fit`` does (`optim.save_fit`); `optim.load_fit` reads it."""
        import optim

        return optim.save_fit(self, folder, overwrite)

    def plot(self) -> dict[str, Figure]:
        """Figures by name (`optim.plot_fit`): ``fc``, ``fcd_cdf``, ``ei_ratio`` and ``convergence`` of FIC."""
        import optim

        return optim.plot_fit(self)

    def __repr__(self) -> str:
        scores = ", ".join(f"{score.stage} {score.total:.3f}" for score in self.stages)
        return f"FitResult({self.subject.subject_id}: {scores}, {'within' if self.in_range else 'OUT OF'} range)"


class NoFitError(MfmfitError):
    """No candidate of the whole search kept its firing rates within range."""

    exit_code = 1
