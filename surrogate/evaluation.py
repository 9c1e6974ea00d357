"""An evaluation says how well a surrogate predicts connectomes that it was not trained on, beside linear response alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import rankdata, spearmanr
from torch import Tensor

import mfm
from mfm import Target
from mfm.io import write_tsv
from mfm.models.constants import RATE_RANGE_HZ
from mfm.statistics.fc import square_matrix
from surrogate.bundle import Surrogate
from surrogate.calibration import expected_calibration_error
from surrogate.corpus.store import Corpus
from surrogate.data import Group, load_groups
from surrogate.fcd_grid import from_grid, to_grid
from surrogate.features import GLOBAL_FEATURES
from surrogate.losses import staying_share

# Sets of a connectome whose simulated FC and FCD serve as what the others are fitted to.
_TARGETS = 6

# Bins of FCD distributions: enough for differences of 0.001.
_BINS = 2000

_SAMPLES, _WINDOW_STEP = 3, 5

_BARRIERS = [k for k, name in enumerate(GLOBAL_FEATURES) if name.startswith("log_barrier")]


@dataclass(frozen=True)
class Accuracy:
    """An accuracy rates one method's predictions for one connectome, of the sets that stayed within range.

    Attributes
    ----------
    connectome, kind, method : str
        ``surrogate``, ``linear`` (linear response with sampled FCD), or ``other half``: what one half of the realisations
        predicts of the other, the noise of the labels.
    n_regions, sets : int
    fc_r, fc_r_corrected : float
        Median correlation of predicted and simulated FC; and over what the labels' own noise leaves possible: the square root
        of their reliability, by Spearman's and Brown's formula from one half of the realisations against the other.
    fc_error : float
        Median root mean square error of FC.
    mean_fc_error : float
        Median absolute error of the mean FC.
    ks : float
        Median KS distance of predicted and simulated FCD distribution.
    cost_r, cost_rank, corr_rank, mean_diff_rank, ks_rank : float
        Pearson and Spearman correlation of predicted and simulated cost, and of its terms, against simulated targets on the
        same connectome: mean over targets.
    regret : float
        Mean over targets of the simulated cost of the best of the ten best by prediction, minus that of the best.
    """

    connectome: str
    kind: str
    method: str
    n_regions: int
    sets: int
    fc_r: float
    fc_r_corrected: float
    fc_error: float
    mean_fc_error: float
    ks: float
    cost_r: float
    cost_rank: float
    corr_rank: float
    mean_diff_rank: float
    ks_rank: float
    regret: float


@dataclass(frozen=True)
class ClassifierAccuracy:
    """A classifier's accuracy rates the within-range head over all stable sets of all connectomes.

    Attributes
    ----------
    sets, stayed : int
        Stayed: in all realisations, which is what within range means.
    auc, balanced_accuracy : float
        Of the probability to stay in all R realisations, the R-th power of that for one; cut at one half.
    calibration_error : float
        Of the probability for one realisation, against the share that stayed.
    barrier_auc : float
        Of the lowest barrier that noise must climb (`mfm.basin.barrier`), which needs no learning.
    """

    sets: int
    stayed: int
    auc: float
    balanced_accuracy: float
    calibration_error: float
    barrier_auc: float


@dataclass(frozen=True, eq=False)
class Report:
    """A report says how well a surrogate does.

    Attributes
    ----------
    accuracies : tuple of Accuracy
        Per connectome and method.
    classifier : ClassifierAccuracy
    milliseconds : float
        Per candidate, features and network.
    probability, share : array
        Of each stable set: predicted probability of staying within range in one realisation, and share of those that did.
    """

    accuracies: tuple[Accuracy, ...]
    classifier: ClassifierAccuracy
    milliseconds: float
    probability: np.ndarray
    share: np.ndarray


def evaluate(
    surrogate: Surrogate, corpus: Corpus, split: str = "test", progress: Callable[[str], None] | None = None
) -> Report:
    """Compare predictions with the simulations of a corpus.

    Raises
    ------
    InputError
        If the corpus has no finished shard of that split.
    """
    say = progress or (lambda line: None)
    groups = load_groups(corpus, split)
    probabilities, shares, barriers, repeats, seconds, n = [], [], [], [], 0.0, 0
    found: list[Accuracy] = []
    for name in sorted({group.shard.connectome for group in groups}):
        of_connectome = [group for group in groups if group.shard.connectome == name]
        parts = []
        for group in of_connectome:
            sc = corpus.connectome(name)
            began = time.perf_counter()
            predicted = surrogate.predict_unchecked(group.parameters, sc, group.shard.protocol, n_bins=_BINS)
            seconds, n = seconds + time.perf_counter() - began, n + len(group)
            probabilities.append(predicted.p_within_range)
            shares.append(staying_share(torch.tensor(RATE_RANGE_HZ), group.labels))
            barriers.append(group.features.summary[:, _BARRIERS].amin(dim=1))
            repeats.append(torch.full((len(group),), group.shard.repeats))
            stayed = group.labels.stayed
            if stayed.any():
                fc = mfm.upper_triangle(predicted.fc[stayed]).double()
                variance = predicted.fc_sampling_variance[stayed].double() / group.shard.repeats
                own = Statistics(fc, predicted.fcd_cdf[stayed].double(), variance)
                parts.append((*simulated_statistics(corpus, group, stayed), own, _linear(group, sc, stayed)))
        if parts:
            found += _accuracies(of_connectome[0], parts)
            say(f"{name}: done")
    p, share, barrier, n_repeats = (torch.cat(x).double().numpy() for x in (probabilities, shares, barriers, repeats))
    return Report(tuple(found), classifier_accuracy(p, share, n_repeats, barrier), 1e3 * seconds / n, p, share)


def classifier_accuracy(p: np.ndarray, share: np.ndarray, repeats: np.ndarray, barrier: np.ndarray) -> ClassifierAccuracy:
    """Rate probabilities `p` against the share of `repeats` that stayed, and a score that needs no learning."""
    stayed, p_all = share == 1, p**repeats
    return ClassifierAccuracy(
        sets=len(p),
        stayed=int(stayed.sum()),
        auc=area_under_curve(stayed, p_all),
        balanced_accuracy=balanced_accuracy(stayed, p_all >= 0.5),
        calibration_error=expected_calibration_error(p, share),
        barrier_auc=area_under_curve(stayed, barrier),
    )


def balanced_accuracy(stayed: np.ndarray, said: np.ndarray) -> float:
    """Average the shares of either kind that were told right; NaN where there is only one kind."""
    if stayed.sum() in (0, len(stayed)):
        return float("nan")
    return float((said[stayed].mean() + (~said)[~stayed].mean()) / 2)


def area_under_curve(stayed: np.ndarray, score: np.ndarray) -> float:
    """Compute the probability that a set which stayed scores higher than one which left; ties count half."""
    n = int(stayed.sum())
    if n in (0, len(stayed)):
        return float("nan")
    return float((rankdata(score)[stayed].sum() - n * (n + 1) / 2) / (n * (len(stayed) - n)))


class Statistics(NamedTuple):
    """Statistics of sets are FC (B, P), FCD CDF (B, K), and the variance (B,) that sampling would add to FC: 0 where it has."""

    fc: Tensor
    fcd_cdf: Tensor
    variance: Tensor


def simulated_statistics(corpus: Corpus, group: Group, stayed: Tensor) -> tuple[Statistics, Statistics, Statistics]:
    """Average FC and FCD CDF over all realisations, and over either half of them."""
    records = corpus.records(group.shard)[group.rows[stayed].numpy()]
    fc = torch.from_numpy(records["fc"].astype(np.float64))
    cdf = from_grid(torch.from_numpy(records["fcd_cdf"].astype(np.float64)), _BINS)
    nothing = torch.zeros(len(fc), dtype=torch.float64)
    means = ((fc.mean(dim=1), cdf.mean(dim=1)), (fc[:, 0], cdf[:, 0]), (fc[:, -1], cdf[:, -1]))
    return tuple(Statistics(*mean, nothing) for mean in means)  # type: ignore[return-value]


def _linear(group: Group, sc: mfm.Connectome, stayed: Tensor) -> Statistics:
    protocol = group.shard.protocol
    with torch.no_grad():
        lin = mfm.linear_response(group.parameters[torch.nonzero(stayed)[:, 0]], sc, protocol)
        sampled = lin.sample_fcd_cdf(_SAMPLES, 0, _BINS, min(_WINDOW_STEP, protocol.window_frames))
        cdf = from_grid(torch.from_numpy(to_grid(sampled)), _BINS)
        return Statistics(mfm.upper_triangle(lin.fc).double(), cdf, lin.fc_sampling_variance / group.shard.repeats)


def _accuracies(group: Group, parts: list) -> list[Accuracy]:
    truth, first, second, own, linear = (_joined(list(part)) for part in zip(*parts, strict=True))
    between = _correlation(first.fc, second.fc).clamp(min=0.01)
    of_mean, of_half = (2 * between / (1 + between)).sqrt(), between.sqrt()
    methods = {"surrogate": (truth, own, of_mean), "linear": (truth, linear, of_mean), "other half": (second, first, of_half)}
    shard = group.shard
    return [
        Accuracy(shard.connectome, shard.kind, name, shard.n_regions, len(true[0]), *_figures(true, predicted, limit))
        for name, (true, predicted, limit) in methods.items()
    ]


def _joined(parts: list[Statistics]) -> Statistics:
    return Statistics(*(torch.cat(x) for x in zip(*parts, strict=True)))


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(a, b, strict=True)])


def _figures(true: Statistics, predicted: Statistics, ceiling: Tensor) -> tuple[float, ...]:
    fc, fc_p = true.fc, predicted.fc
    ks = (true.fcd_cdf - predicted.fcd_cdf).abs().amax(dim=1)
    r = _correlation(fc, fc_p)
    shape = (r, r / ceiling, (fc - fc_p).square().mean(dim=1).sqrt(), (fc.mean(dim=1) - fc_p.mean(dim=1)).abs(), ks)
    return (*(float(x.median()) for x in shape), *_cost_figures(true, predicted))


def _cost_figures(true: Statistics, predicted: Statistics) -> tuple[float, ...]:
    """Correlations of costs against targets: sets spread over the mean FC, each left out of what it is the target of."""
    n = len(true.fc)
    targets = target_sets(true).tolist()
    if not targets:
        return (float("nan"),) * 6
    rows = []
    for target in targets:
        others = torch.arange(n) != target
        goal = Target(square_matrix(true.fc[target]), true.fcd_cdf[target])
        a, b = (_cost(x, others, goal) for x in (true, predicted))
        ranks = [spearmanr(getattr(a, term), getattr(b, term)).statistic for term in ("total", "corr", "mean_diff", "ks")]
        best = b.total.argsort()[:10]
        regret = float(a.total[best].min() - a.total.min())
        rows.append((np.corrcoef(a.total, b.total)[0, 1], *ranks, regret))
    return tuple(float(x) for x in np.mean(rows, axis=0))


def target_sets(true: Statistics) -> Tensor:
    """Choose sets whose simulated statistics serve as targets, spread over the mean FC; none where there are few sets."""
    n = len(true.fc)
    if n < 2 * _TARGETS:
        return torch.empty(0, dtype=torch.long)
    return true.fc.mean(dim=1).argsort()[torch.linspace(0, n - 1, _TARGETS + 2)[1:-1].round().long()]


def _cost(x: Statistics, index: Tensor, goal: Target) -> mfm.Cost:
    fc = square_matrix(x.fc[index])
    return mfm.attenuated(mfm.cost(fc, x.fcd_cdf[index], goal), fc, x.variance[index], 1)


def write_accuracies(path: Path, report: Report) -> Path:
    """Write the table as tsv."""
    return write_tsv(path, [f.name for f in fields(Accuracy)], [astuple(row) for row in report.accuracies])


def record_in_card(surrogate: Surrogate, folder: Path, report: Report) -> Path:
    """Put the figures of held-out connectomes into the card of the surrogate in `folder`."""
    connectomes = [
        {name: value if value == value else None for name, value in asdict(row).items()} for row in report.accuracies
    ]
    return surrogate.save(folder, held_out={"connectomes": connectomes, "classifier": asdict(report.classifier)})


def _median(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else float("nan")


def summary_table(report: Report) -> str:
    """Write medians over connectomes as text."""
    names = ("fc_r", "fc_r_corrected", "fc_error", "mean_fc_error", "ks", "cost_r", "cost_rank", "ks_rank", "regret")
    lines = [f"{'median over connectomes':<26}" + "".join(f"{name:>15}" for name in names)]
    for method in dict.fromkeys(row.method for row in report.accuracies):
        rows = [row for row in report.accuracies if row.method == method]
        values = [_median([getattr(row, name) for row in rows]) for name in names]
        lines.append(f"{method:<26}" + "".join(f"{value:>15.3f}" for value in values))
    c = report.classifier
    lines.append(
        f"within range ({c.stayed} of {c.sets} sets): AUC {c.auc:.4f}, balanced accuracy {c.balanced_accuracy:.3f}, "
        f"calibration error {c.calibration_error:.3f}; AUC of the barrier alone {c.barrier_auc:.4f}"
    )
    lines.append(f"{report.milliseconds:.2f} ms per candidate, features included")
    return "\n".join(lines)
