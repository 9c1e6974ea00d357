"""Scoring of candidates by a trained surrogate, audited by simulation while it searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import mfm
from mfm import FICParameters, Scan
from mfm.errors import ConfigError
from mfm.models.constants import RATE_RANGE_HZ
from mfm.models.registry import model_of
from mfm.models.rest import rest_state
from optim.config.objective import GATES
from optim.objectives.audits import Correction, Place
from optim.objectives.base import Evaluation
from surrogate.bundle import Prediction, Surrogate

# Probability of staying in range in all realisations, below which a candidate counts as out of range.
_LEAST_PROBABILITY = 0.5

# Series that linear response samples for a second prediction of FCD, all with the same noise, and frames between windows:
# enough for differences between candidates.
_SAMPLES, _KEY, _WINDOW_STEP = 2, 0, 10


@dataclass(frozen=True, eq=False)
class SurrogateObjective:
    """Score candidates by a surrogate: no simulation at all.

    Parameters
    ----------
    scan : Scan
    protocol : Protocol
        Of the simulations that are predicted.
    surrogate : Surrogate
    gate : {"classifier", "rate", "none"}
        What decides that a candidate is within range: a probability of at least one half that all `n_repeats` realisations
        stay, the predicted mean rates, or nothing but linear stability.
    n_repeats : int, default 3
        Realisations whose average is predicted: the fewer, the lower the correlation of its FC with the target.

    Examples
    --------
    >>> import mfm, numpy as np, surrogate
    >>> from optim import SurrogateObjective
    >>> run = np.random.default_rng(0).normal(size=(400, 3))
    >>> sc = mfm.Connectome([[0, 0.02, 0.01], [0.02, 0, 0.005], [0.01, 0.005, 0]])
    >>> scan = mfm.subject_from_runs("sub-01", [run], sc, tr_s=2.0).search
    >>> p = mfm.FICParameters(np.full(3, 3.0), np.full(3, 2.5), np.full(3, 0.002), [0.5])
    >>> protocol = mfm.Protocol(scan.tr_s, scan.n_frames, dt_s=0.005, scheme="exponential")
    >>> objective = SurrogateObjective(scan, protocol, surrogate.untrained(), gate="none")
    >>> objective.evaluate(p, seed=0).cost.total.shape
    torch.Size([1])
    """

    scan: Scan
    protocol: mfm.Protocol
    surrogate: Surrogate
    gate: str = "classifier"
    n_repeats: int = 3

    def __post_init__(self):
        if self.gate not in GATES:
            raise ConfigError("The gate of a surrogate is unknown.", expected=" | ".join(GATES), found=repr(self.gate))
        self.surrogate.check_protocol(self.protocol)

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the scan and its connectome lies outside of what the surrogate was trained on."""
        found = []
        if not self.scan.observation.is_identity:
            found.append(
                "The surrogate was trained on scans to which nothing was done, unlike this one "
                f"({'; '.join(self.scan.observation.in_words())}): it tells which candidates stay within range, and FC and FCD "
                "are those of linear response."
            )
        if outside := self.surrogate.outside(None, self.scan.sc, self.protocol):
            told = "The surrogate was not trained for this scan: " + "; ".join(outside)
            found.append(f"{told}. Audits will show how it does; objective=linear needs no training.")
        return tuple(found)

    def evaluate(self, p: FICParameters, seed: int | Sequence[int]) -> Evaluation:
        """Score B candidates; a surrogate has no noise, so that the seed does not matter."""
        return self.evaluate_at(p)[0]

    def evaluate_at(
        self, p: FICParameters, correction: Correction | None = None, compare: bool = False
    ) -> tuple[Evaluation, Place]:
        """Score B candidates, corrected by audits; and where they lie.

        The second prediction of FCD, which takes most of the time, is made where audits have something to correct, or
        `compare` asks for it.
        """
        correction = correction or Correction()
        target = self.scan.target
        found = self.surrogate.predict_unchecked(p, self.scan.sc, self.protocol, n_bins=len(target.fcd_cdf))
        within = found.stable
        if self.gate == "classifier":
            within = within & (found.p_within_range**self.n_repeats >= _LEAST_PROBABILITY)
        elif self.gate == "rate":
            within = within & mfm.within_range(found.rate_E)
        fc, cdf, variance = self._statistics(p, found, within)
        cost = mfm.attenuated(mfm.cost(fc, cdf, target), fc, variance, self.n_repeats)
        place = Place(found.place, torch.full_like(cost.ks, float("nan")))
        if compare or correction.places:
            lin = mfm.linear_response(p, self.scan.sc, self.protocol, observation=self.scan.observation)
            step = min(_WINDOW_STEP, self.protocol.window_frames)
            sampled = torch.full_like(cdf, float("nan"))
            sampled[within] = lin[within].sample_fcd_cdf(_SAMPLES, _KEY, len(target.fcd_cdf), step)
            place = Place(found.place, mfm.cost(fc, sampled, target).ks - cost.ks)
            cost = correction.corrected(cost, place)
        B, N = p.w_EE.shape
        # Out of range by as much as the classifier is sure of it: a slope for the search.
        excess = (1 - found.p_within_range.double())[:, None].expand(B, N)
        rate = torch.where(within[:, None], found.rate_E.double(), RATE_RANGE_HZ[1] + excess)
        states = rest_state(model_of(p), p, self.scan.sc)
        return Evaluation.predicted(model_of(p), states, rate[:, None], cost, within, fc, cdf), place

    def _statistics(self, p: FICParameters, found: Prediction, within: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """FC, FCD's distribution and the sampling variance of correlations; NaN for candidates that are not within range.

        The surrogate was trained on scans to which nothing was done. Of others it knows the firing rates; FC and FCD are
        then those of linear response, which the observation goes into exactly, and audits tell how well that does.
        """
        fc, cdf, variance = found.fc.double(), found.fcd_cdf.double(), found.fc_sampling_variance
        if not self.scan.observation.is_identity:
            lin = mfm.linear_response(p, self.scan.sc, self.protocol, observation=self.scan.observation)
            step = min(_WINDOW_STEP, self.protocol.window_frames)
            fc, variance = lin.fc.double(), lin.fc_sampling_variance
            cdf[within] = lin[within].sample_fcd_cdf(_SAMPLES, _KEY, cdf.shape[1], step)
        return fc.masked_fill(~within[:, None, None], float("nan")), cdf.masked_fill(~within[:, None], float("nan")), variance

    def errors(self, p: FICParameters, simulated: Evaluation) -> tuple[Place, Tensor]:
        """Where simulated candidates lie, and simulated minus predicted terms of their costs against this scan, uncorrected.

        NaN for those that left the range. The simulation may have been scored against another scan.
        """
        raw, place = self.evaluate_at(p, compare=True)
        truth = mfm.cost(simulated.fc, simulated.fcd_cdf, self.scan.target)
        error = truth.stacked() - raw.cost.stacked()
        return place, error.masked_fill(~simulated.within_range[:, None], float("nan"))
