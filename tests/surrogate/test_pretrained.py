"""The surrogate that ships: what its card says, and a network that it never saw."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

import mfm
import surrogate

FOLDER = Path(surrogate.__file__).parent / "pretrained/fic"


def correlation(a, b):
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


def test_its_card_tells_what_it_is_made_from():
    card = json.loads((FOLDER / "card.json").read_text())
    weights = (FOLDER / "model.safetensors").read_bytes()
    assert len(weights) <= 10 * 2**20
    assert card["sha256"] == hashlib.sha256(weights).hexdigest()
    for name in ("n_regions", "tr_s", "scan_s", "w_EE", "w_EI", "sigma", "G", "mean_fc"):
        low, high = card["envelope"][name]
        assert low < high
    assert card["corpus"]["simulations"] >= 10_000
    assert card["held_out"]["connectomes"]
    assert card["licence"] == "MIT"


def test_it_predicts_a_network_that_it_never_saw():
    # 48 regions in two modules, made here; 24 realisations, whose mean FC is known to 0.01 and FCD distribution to 0.03.
    rng = np.random.default_rng(11)
    module = np.arange(48) % 2
    weights = rng.gamma(0.6, size=(48, 48)) * np.where(module[:, None] == module, 1.0, 0.3)
    weights = np.log1p(20 * (weights + weights.T))
    np.fill_diagonal(weights, 0)
    sc = mfm.Connectome(weights * (0.02 / weights.max()))
    protocol = mfm.Protocol(0.72, 800, dt_s=0.006, burn_in_s=48.0, warm_up_s=6.0, hemo_dt_s=0.03, scheme="exponential")
    p = mfm.FICParameters(
        np.stack([rng.normal(4.0, 0.3, 48) for _ in range(3)]),
        np.full((3, 48), 2.5),
        np.full((3, 48), 0.004),
        [1.0, 1.5, 1.8],
    )
    found = surrogate.load_pretrained().predict(p, sc, protocol)
    sim = mfm.simulate(p, sc, protocol, n_repeats=24, seed=3)
    inside = mfm.within_range(sim.rate_E)
    assert ((found.p_within_range - inside.double().mean(dim=1)).abs() < 0.35).all()
    kept = inside.all(dim=1)
    assert kept.all()
    fc = mfm.upper_triangle(mfm.functional_connectivity(sim.bold[kept]))
    predicted = mfm.upper_triangle(found.fc[kept]).double()
    for true, guess in zip(fc, predicted, strict=True):
        half = correlation(true[::2].mean(dim=0), true[1::2].mean(dim=0))
        # The noise of the mean of 24 scans, by Spearman's and Brown's formula, limits what can be had.
        assert correlation(true.mean(dim=0), guess) > 0.97 * (2 * half / (1 + half)) ** 0.5
        assert abs(float(true.mean() - guess.mean())) < 0.04
    cdf = mfm.fcd_cdf(sim.bold[kept], protocol.window_frames, 10000).mean(dim=1)
    assert float((cdf - found.fcd_cdf[kept]).abs().amax(dim=1).max()) < 0.12
