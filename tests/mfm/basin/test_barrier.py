import numpy as np
import small
import torch

import mfm
from mfm.basin.barrier import _top, escape_barriers

PROTOCOL = mfm.Protocol(0.72, 300, scheme="exponential")


def all_alike(w_EE, n_regions=12, sigma=0.005, w_EI=1.0, G=1.0):
    """Candidates with the same parameters in every region of a connectome in which all are connected alike."""
    sc = mfm.Connectome(0.02 * (1 - np.eye(n_regions)))
    return small.alike(n_regions, w_EE, w_EI, sigma, G), sc


def barriers(p, sc):
    lin = mfm.linear_response(p, sc, PROTOCOL)
    return escape_barriers(p, sc, lin, lin.activity_std), lin


def test_the_common_margin_is_that_of_integrated_dynamics_where_all_regions_are_alike():
    # There the line of displacement is where the dynamics go: the picture in one dimension is the whole one.
    p, sc = all_alike(np.linspace(1.5, 3.0, 150))
    lin = mfm.linear_response(p, sc, PROTOCOL)
    p = p[lin.stable]
    found, _ = barriers(p, sc)
    integrated = mfm.basin_margin(p, sc)
    common = found.margin[:, 2:].amin(dim=1).double()
    bounded = (integrated < 40) & (integrated > 1.5) & (common < 40)
    assert bounded.sum() >= 5
    np.testing.assert_allclose(common[bounded], integrated[bounded], rtol=0.15)
    assert (common[integrated > 100] > 50).all()


def test_barriers_are_half_the_square_of_the_margin_where_the_force_is_linear():
    multiples = torch.tensor([1.0, 2.0, 4.0, 8.0])
    force = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, -1.0, -2.0], [-1.0, -1.0, -1.0, -1.0]])
    margin, work = _top(force, multiples)
    torch.testing.assert_close(margin[0], torch.tensor(8.0))
    torch.testing.assert_close(work[0], torch.tensor(32.0))
    assert 2 < margin[1] < 4
    torch.testing.assert_close(margin[2], torch.tensor(0.5))
    assert work[2] == 0


def test_barriers_do_not_depend_on_batch_mates_or_the_order_of_regions():
    rng = np.random.default_rng(0)
    weights = rng.uniform(0, 0.02, (10, 10))
    weights = (weights + weights.T) / 2 * (1 - np.eye(10))
    p = mfm.FICParameters(rng.uniform(2, 4, (3, 10)), rng.uniform(1, 3, (3, 10)), np.full((3, 10), 0.005), [0.5, 0.8, 1.0])
    whole, _ = barriers(p, mfm.Connectome(weights))
    alone, _ = barriers(p[1], mfm.Connectome(weights))
    torch.testing.assert_close(alone.margin[0], whole.margin[1], rtol=1e-3, atol=1e-3)
    order = rng.permutation(10)
    shuffled = mfm.FICParameters(p.w_EE[:, order], p.w_EI[:, order], p.sigma[:, order], p.G)
    moved, _ = barriers(shuffled, mfm.Connectome(weights[np.ix_(order, order)]))
    torch.testing.assert_close(moved.margin, whole.margin, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(moved.local_margin, whole.local_margin[:, order], rtol=1e-3, atol=1e-3)
