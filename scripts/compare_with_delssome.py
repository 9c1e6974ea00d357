"""A predictor of the cost itself, as DELSSOME has it, on the corpus that the surrogate was trained on.

``python scripts/compare_with_delssome.py --corpus CORPUS --test CORPUS [--steps 8000]`` trains a transformer over regions that
is given parameters, connectome rows, and an encoded target FC and FCD, and predicts the three cost terms (the kind of network
of Zeng et al. 2026; sizes and training are ours). It then prints how well it ranks sets on connectomes that it never saw,
beside the surrogate that predicts what a scan shows, judged on the same sets and targets.

Rows of connectome and FC are filled with zeros up to the largest number of regions, which is what ties such a network to a
parcellation.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

import mfm
from mfm.statistics.fc import square_matrix
from surrogate import load_pretrained
from surrogate.corpus.store import Corpus
from surrogate.data import Group, load_groups
from surrogate.evaluation import Statistics, evaluate, simulated_statistics, target_sets
from surrogate.fcd_grid import grid_points, to_grid

_PAIRS = 64


class CostPredictor(nn.Module):
    """Three cost terms of a parameter set against a target."""

    def __init__(self, largest_n: int, width: int = 64, layers: int = 2):
        super().__init__()
        self.largest_n = largest_n
        self.parameters_of_region, self.place = nn.Linear(4, width), nn.Embedding(largest_n, width)
        self.sc, self.fc = nn.Linear(largest_n, width), nn.Linear(largest_n, width)
        self.fcd = nn.Sequential(nn.Linear(len(grid_points()), width), nn.GELU(), nn.Linear(width, width))
        self.timing = nn.Linear(3, width)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 3))

    def forward(self, parameters: Tensor, sc: Tensor, timing: Tensor, fc: Tensor, cdf: Tensor) -> Tensor:
        """Terms (B, 3) of parameters (B, N, 4) on a connectome (N, N) against target FC (B, N, N) and FCD CDF (B, P)."""
        n = len(sc)
        rows = (nn.functional.pad(x, (0, self.largest_n - n)) for x in (sc, fc))
        of_sc, of_fc = (encode(row) for encode, row in zip((self.sc, self.fc), rows, strict=True))
        whole = self.fcd(cdf.diff(prepend=torch.zeros(len(cdf), 1)) * 10) + self.timing(timing)
        x = self.parameters_of_region(parameters) + of_sc + of_fc + self.place.weight[:n] + whole[:, None]
        return self.head(self.body(x).mean(dim=1))


class Shard:
    """The sets of a group that stayed within range, as the network is given them."""

    def __init__(self, corpus: Corpus, group: Group):
        stayed = group.labels.stayed
        p = group.parameters[torch.nonzero(stayed)[:, 0]]
        G = p.G[:, None].expand_as(p.w_EE)
        self.parameters = torch.stack([p.w_EE / 5, p.w_EI / 2.5, p.sigma * 200, G / 1.5], dim=2).float() - 1
        self.sc = torch.as_tensor(corpus.connectome(group.shard.connectome).weights / 0.02, dtype=torch.float32)
        protocol = group.shard.protocol
        self.timing = torch.tensor([len(self.sc) / 100, protocol.tr_s, protocol.scan_s / 600]).log()
        upper = group.labels.fc[stayed].float()
        self.fc = square_matrix(upper)
        self.cdf = group.labels.fcd_cdf[stayed].float()
        self.upper = upper - upper.mean(dim=1, keepdim=True)
        self.mean = upper.mean(dim=1)

    def __len__(self) -> int:
        return len(self.mean)

    def terms(self, i: Tensor, j: Tensor) -> Tensor:
        """Cost terms of sets i against the statistics of sets j."""
        x, y = self.upper[i], self.upper[j]
        corr = 1 - (x * y).sum(dim=1) / (x.norm(dim=1) * y.norm(dim=1)).clamp(min=1e-6)
        ks = (self.cdf[i] - self.cdf[j]).abs().amax(dim=1)
        return torch.stack([corr, (self.mean[i] - self.mean[j]).abs(), ks], dim=1)


def train(shards: list[Shard], steps: int, seed: int) -> CostPredictor:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = CostPredictor(max(len(shard.sc) for shard in shards))
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    began, running = time.perf_counter(), 0.0
    for step in range(steps):
        shard = shards[rng.integers(len(shards))]
        i, j = (torch.from_numpy(rng.integers(len(shard), size=_PAIRS)) for _ in range(2))
        found = network(shard.parameters[i], shard.sc, shard.timing, shard.fc[j], shard.cdf[j])
        # A set is no target of its own.
        loss = (found - shard.terms(i, j))[i != j].square().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        running += (loss.item() - running) * 0.01
        if (step + 1) % 500 == 0:
            print(f"step {step + 1}/{steps}: loss {running:.4f} ({time.perf_counter() - began:.0f} s)", flush=True)
    return network.eval()


def judge(network: CostPredictor, corpus: Corpus) -> dict[str, tuple[int, float, float]]:
    """Of every test connectome: sets, correlation and rank correlation of predicted with simulated cost."""
    by_connectome: dict[str, list[tuple[Shard, Statistics]]] = {}
    for group in load_groups(corpus, "test"):
        if group.labels.stayed.any():
            truth, *_ = simulated_statistics(corpus, group, group.labels.stayed)
            by_connectome.setdefault(group.shard.connectome, []).append((Shard(corpus, group), truth))
    found = {}
    for name, parts in by_connectome.items():
        truth = Statistics(*(torch.cat(x) for x in zip(*(part for _, part in parts), strict=True)))
        rows = []
        for target in target_sets(truth).tolist():
            others = torch.arange(len(truth.fc)) != target
            fc, cdf = truth.fc[target].float(), torch.from_numpy(to_grid(truth.fcd_cdf[target])).float()
            simulated, predicted = _costs(truth, target), torch.cat([_predicted(network, shard, fc, cdf) for shard, _ in parts])
            a, b = simulated[others].numpy(), predicted[others].numpy()
            rows.append((np.corrcoef(a, b)[0, 1], spearmanr(a, b).statistic))
        r, rank = (float(x) for x in np.mean(rows, axis=0)) if rows else (float("nan"),) * 2
        found[name] = (len(truth.fc), r, rank)
    return found


def _costs(truth: Statistics, target: int) -> Tensor:
    x = truth.fc - truth.fc.mean(dim=1, keepdim=True)
    corr = 1 - (x @ x[target]) / (x.norm(dim=1) * x[target].norm())
    ks = mfm.kolmogorov_smirnov(truth.fcd_cdf, truth.fcd_cdf[target])
    return corr + (truth.fc.mean(dim=1) - truth.fc[target].mean()).abs() + ks


@torch.inference_mode()
def _predicted(network: CostPredictor, shard: Shard, upper: Tensor, cdf: Tensor) -> Tensor:
    n, B = len(shard.sc), len(shard)
    fc = square_matrix(upper).expand(B, n, n)
    terms = network(shard.parameters, shard.sc, shard.timing, fc, cdf.expand(B, -1))
    return terms.sum(dim=1).double()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", required=True, nargs="+", help="folders of training corpora")
    parser.add_argument("--test", required=True, help="folder of the corpus with the test connectomes")
    parser.add_argument("--surrogate", default="fic")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    corpora = [Corpus(folder) for folder in args.corpus]
    shards = [Shard(corpus, group) for corpus in corpora for group in load_groups(corpus, "train")]
    shards = [shard for shard in shards if len(shard) > 1]
    print(f"{sum(map(len, shards))} sets within range in {len(shards)} shards", flush=True)
    network, test = train(shards, args.steps, args.seed), Corpus(args.test)
    direct = judge(network, test)
    ours = {
        row.connectome: row for row in evaluate(load_pretrained(args.surrogate), test).accuracies if row.method == "surrogate"
    }
    print("\n| connectome | regions | sets | cost r, rank: predicted directly | the surrogate |\n|---|---|---|---|---|")
    for name, (n, r, rank) in direct.items():
        row = ours[name]
        print(f"| {name} | {row.n_regions} | {n} | {r:.3f}, {rank:.3f} | {row.cost_r:.3f}, {row.cost_rank:.3f} |")
    medians = [float(np.nanmedian([x[k] for x in direct.values()])) for k in (1, 2)]
    of_ours = [float(np.nanmedian([getattr(row, name) for row in ours.values()])) for name in ("cost_r", "cost_rank")]
    print(f"| median | | | {medians[0]:.3f}, {medians[1]:.3f} | {of_ours[0]:.3f}, {of_ours[1]:.3f} |")


if __name__ == "__main__":
    main()
