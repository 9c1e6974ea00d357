import numpy as np
import pytest
import torch

import mfm
from surrogate import load_pretrained
from surrogate.corpus.connectomes import draw_connectome, smooth_maps
from surrogate.corpus.sampling import MapSpace, draw_sets


@pytest.mark.parametrize("source", ["prior", "search"])
def test_sets_keep_their_bounds_and_reach_beyond_the_stability_boundary(source):
    rng = np.random.default_rng(3)
    connectome = draw_connectome("g", "train", [30, 30], rng)
    space = MapSpace(smooth_maps(connectome.weights.astype(float), 2, rng), mfm.Bounds())
    protocol = mfm.Protocol(2.0, 150, dt_s=0.00625)
    p = draw_sets(64, space, connectome.connectome, protocol, source, None, rng)
    for name in ("w_EE", "w_EI", "sigma", "G"):
        low, high = getattr(mfm.Bounds(), name)
        value = getattr(p, name)
        assert ((value >= low) & (value <= high)).all()
    lin = mfm.linear_response(p, connectome.connectome, protocol)
    unstable = (~lin.stable).double().mean()
    assert 0.05 < unstable < 0.5
    near = ((lin.abscissa > -0.8) & lin.stable).double().mean()
    assert near > 0.1
    # What the search is for: FC as people have it.
    if source == "search":
        assert mfm.upper_triangle(lin.fc[lin.stable]).mean(dim=1).quantile(0.8) > 0.1


def test_sets_of_a_surrogates_search_are_those_that_it_thinks_best():
    rng = np.random.default_rng(3)
    connectome = draw_connectome("g", "train", [30, 30], rng)
    space = MapSpace(smooth_maps(connectome.weights.astype(float), 2, rng), mfm.Bounds())
    protocol = mfm.Protocol(2.0, 900, dt_s=0.00625, scheme="exponential")
    surrogate = load_pretrained("fic")
    goal = space.draw(32, rng)
    truth = surrogate.predict_unchecked(space.parameters(goal), connectome.connectome, protocol)
    k = int(torch.nonzero(truth.p_within_range > 0.9)[0])
    target = mfm.Target(truth.fc[k], truth.fcd_cdf[k])

    def costs(p: mfm.FICParameters) -> torch.Tensor:
        found = surrogate.predict_unchecked(p, connectome.connectome, protocol)
        return mfm.cost(found.fc, found.fcd_cdf, target).total.nan_to_num(nan=9.0)

    fc, cdf = target.fc.numpy(), target.fcd_cdf.numpy()
    searched = draw_sets(32, space, connectome.connectome, protocol, "surrogate", fc, rng, surrogate, cdf)
    assert costs(searched).median() < costs(space.parameters(space.draw(100, rng))).quantile(0.05)


def test_the_same_seed_draws_the_same_sets():
    connectome = draw_connectome("g", "train", [20, 20], np.random.default_rng(0))
    space = MapSpace(np.empty((0, 20)), mfm.Bounds())
    protocol = mfm.Protocol(2.0, 150, dt_s=0.00625)
    first, again = (
        draw_sets(8, space, connectome.connectome, protocol, "search", None, np.random.default_rng(1)) for _ in range(2)
    )
    assert torch.equal(first.w_EE, again.w_EE)
    assert torch.equal(first.G, again.G)
