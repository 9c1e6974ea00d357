"""Shapes of a wide network of maps, against networks of finite width and what is known of functions of one map."""

import numpy as np
import pytest
import torch

import mfm
from mfm.errors import InputError
from mfm.ude import LinearResidual
from mfm.ude.fixed_point.linear_residual import total_leak
from mfm.ude.fixed_point.wide_network import N_SHAPES, arcsine_kernel, network_shapes

N = 40
MAPS = mfm.RegionalMaps(np.random.default_rng(0).normal(size=(2, N)), ("a", "b"))
SC = mfm.Connectome(0.02 * (1 - np.eye(N)))


def test_kernel_is_the_covariance_of_random_networks():
    """100 000 hidden units: an entry's Monte Carlo error is at most 1 / sqrt(100 000) = 0.003."""
    rng = np.random.default_rng(1)
    weights, bias = rng.normal(size=(100_000, 2)), rng.normal(size=100_000)
    z = MAPS.zscored().values
    hidden = torch.erf(torch.from_numpy(weights @ z + bias[:, None])).numpy()
    assert np.abs(hidden.T @ hidden / len(hidden) - arcsine_kernel(z)).max() < 4 * 0.0032


def test_shapes_are_centred_uncorrelated_and_beside_the_terms():
    terms = MAPS.zscored().values[:1]
    shapes, scales = network_shapes(MAPS, terms)
    assert np.allclose(shapes.mean(axis=1), 0)
    assert np.allclose(shapes @ shapes.T / N, np.eye(N_SHAPES))
    assert np.allclose(shapes @ terms.T, 0, atol=1e-8)
    assert (scales**2).sum() <= 1


def test_a_bent_function_of_a_map_is_a_few_shapes():
    h = np.linspace(-1, 1, N)
    shapes, _ = network_shapes(mfm.RegionalMaps([h], ("h",)))
    truth = np.tanh(3 * h)
    coefficients = shapes @ truth / N
    assert np.sqrt(((truth - coefficients @ shapes) ** 2).mean() / truth.var()) < 0.01


def test_residual_of_a_network():
    residual = LinearResidual.of(MAPS, SC, terms=["a x"], edges=["b"], network=["a", "b"])
    assert residual.names == ("a x", *(f"network a+b {k}" for k in range(1, 7)), "edges b")
    assert residual.n_slopes == 7
    assert residual.scales[0] == 1
    assert (residual.scales[1:].diff() < 0).all()
    assert residual.bound == pytest.approx(0.25 * total_leak())
    some = residual.select([0, 2, 7])
    assert some.names == ("a x", "network a+b 2", "edges b")
    assert torch.equal(some.scales, residual.scales[[0, 2]])
    assert LinearResidual.of(MAPS, SC, network=["a"]).names == tuple(f"network a {k}" for k in range(1, 7))


def test_inputs_that_make_no_network():
    with pytest.raises(InputError, match=r"inputs are not maps(.|\n)*some of a, b, each once(.|\n)*found: +c"):
        LinearResidual.of(MAPS, SC, network=["c"])
    few = mfm.RegionalMaps(np.random.default_rng(0).normal(size=(1, 5)), ("a",))
    with pytest.raises(InputError, match=r"too few regions(.|\n)*at least 7"):
        network_shapes(few)
