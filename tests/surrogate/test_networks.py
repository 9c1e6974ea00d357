import numpy as np
import pytest
import torch

import mfm
from mfm.errors import ConfigError
from surrogate.features import features
from surrogate.networks import NETWORKS, NetworkConfig, build_network

PROTOCOL = mfm.Protocol(0.72, 300, scheme="exponential")


def drawn(n_regions: int, n: int = 4, seed: int = 0):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0, 0.02, (n_regions, n_regions))
    weights = (weights + weights.T) / 2 * (1 - np.eye(n_regions))
    shape = (n, n_regions)
    p = mfm.FICParameters(rng.uniform(1, 2, shape), rng.uniform(2, 3, shape), rng.uniform(2e-3, 8e-3, shape), np.full(n, 0.5))
    return p, mfm.Connectome(weights)


def trained(name: str) -> torch.nn.Module:
    """Weights as after a training: none of them zero."""
    network = build_network(NetworkConfig(name=name, width=16, heads=2))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def found(p, sc):
    return features(p, sc, mfm.linear_response(p, sc, PROTOCOL))


@pytest.mark.parametrize("name", NETWORKS)
def test_before_training_fc_is_that_of_linear_response_for_any_number_of_regions(name):
    network = build_network(NetworkConfig(name=name))
    for n_regions in (5, 30):
        p, sc = drawn(n_regions)
        output = network(found(p, sc))
        torch.testing.assert_close(output.fc, mfm.linear_response(p, sc, PROTOCOL).fc.float(), atol=2e-3, rtol=0)
        torch.testing.assert_close(output.rate_E, torch.full((4, n_regions), 3.0))


@pytest.mark.parametrize("name", NETWORKS)
def test_predictions_follow_the_order_of_regions_and_not_the_batch(name):
    network = trained(name)
    p, sc = drawn(12)
    with torch.no_grad():
        whole = network(found(p, sc))
        alone = network(found(p[2], sc))
        order = np.random.default_rng(1).permutation(12)
        moved = mfm.FICParameters(p.w_EE[:, order], p.w_EI[:, order], p.sigma[:, order], p.G)
        shuffled = network(found(moved, mfm.Connectome(sc.weights[np.ix_(order, order)])))
    torch.testing.assert_close(alone.fc[0], whole.fc[2], atol=1e-4, rtol=0)
    torch.testing.assert_close(alone.fcd_cdf[0], whole.fcd_cdf[2], atol=1e-4, rtol=0)
    torch.testing.assert_close(shuffled.fc, whole.fc[:, order][:, :, order], atol=1e-3, rtol=0)
    torch.testing.assert_close(shuffled.rate_E, whole.rate_E[:, order], atol=1e-3, rtol=0)
    torch.testing.assert_close(shuffled.logit, whole.logit, atol=1e-2, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_predicted_is_what_it_is_called(name):
    with torch.no_grad():
        p, sc = drawn(12)
        output = trained(name)(found(p, sc))
    assert (output.fc.abs() <= 1).all()
    torch.testing.assert_close(output.fc, output.fc.mT)
    assert (output.fc.diagonal(dim1=1, dim2=2) == 1).all()
    assert (output.fcd_cdf.diff(dim=1) >= 0).all()
    assert (output.fcd_cdf[:, -1] == 1).all()
    assert ((output.rate_E - 3).abs() <= 0.4).all()


def test_settings_are_checked():
    with pytest.raises(ConfigError, match=r"network\.name has an unknown value(.|\n)*tokens \| pooled"):
        NetworkConfig(name="mlp")
    with pytest.raises(ConfigError, match="a divisor of width"):
        NetworkConfig(width=32, heads=5)
