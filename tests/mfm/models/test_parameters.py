"""Parameter sets of the FIC model."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm import FICParameters
from mfm.checks import as_float_tensor
from mfm.errors import InputError


def values(n_candidates=2, n_regions=4, **changes):
    rng = np.random.default_rng(0)
    regional = {name: rng.uniform(1, 2, (n_candidates, n_regions)) for name in ("w_EE", "w_EI")}
    regional["sigma"] = rng.uniform(0.001, 0.01, (n_candidates, n_regions))
    return {**regional, "G": rng.uniform(0, 3, n_candidates), **changes}


def test_keeps_the_values():
    given_values = values()
    p = FICParameters(**given_values)
    for name, value in given_values.items():
        np.testing.assert_array_equal(getattr(p, name).numpy(), value)
    assert (p.n_candidates, p.n_regions, p.w_IE) == (2, 4, None)
    assert repr(p) == "FICParameters(2 candidates, 4 regions)"


def test_one_row_serves_all_candidates():
    p = FICParameters(np.arange(1.0, 5.0), np.ones((3, 4)), np.zeros(4), [0.5, 1.0, 1.5])
    assert p.w_EE.shape == p.sigma.shape == (3, 4)
    np.testing.assert_array_equal(p.w_EE.numpy(), np.tile(np.arange(1.0, 5.0), (3, 1)))


def test_a_scalar_coupling_is_one_candidate():
    p = FICParameters(np.ones(4), np.ones(4), np.ones(4), 1.5)
    assert p.G.tolist() == [1.5]
    assert p.w_EE.shape == (1, 4)


def test_zero_noise_and_zero_coupling_are_allowed():
    p = FICParameters(**values(sigma=np.zeros((2, 4)), G=[0, 0]))
    assert p.sigma.max() == p.G.max() == 0


@pytest.mark.parametrize("value", [[[3, 2, 1, 2], [1, 2, 3, 4]], np.full((2, 4), 3), np.full((2, 4), 3, np.float32)])
def test_arrays_and_lists_become_float64(value):
    assert FICParameters(**values(w_EE=value)).w_EE.dtype == torch.float64


@pytest.mark.parametrize(("dtype", "kept"), [(torch.float32, torch.float32), (torch.int64, torch.float64)])
def test_tensors_keep_their_floating_type(dtype, kept):
    p = FICParameters(**{name: torch.as_tensor(value).to(dtype) for name, value in values().items()})
    assert {getattr(p, name).dtype for name in ("w_EE", "w_EI", "sigma", "G")} == {kept}


@pytest.mark.parametrize("name", ["w_EE", "w_EI", "sigma", "w_IE", "G"])
def test_the_widest_type_holds_for_all(name):
    tensors = {key: torch.tensor(value, dtype=torch.float32) for key, value in values(w_IE=np.ones((2, 4))).items()}
    p = FICParameters(**{**tensors, name: tensors[name].double()})
    assert {getattr(p, key).dtype for key in tensors} == {torch.float64}


@pytest.mark.parametrize(
    "value", [[0.1, 1], (np.float64(0.1), 1.0), np.array([0.1, 1]), [torch.tensor(0.1, dtype=torch.float64), 1]]
)
def test_numbers_do_not_pass_through_float32(value):
    tensor = as_float_tensor(value, "G")
    assert (tensor.dtype, tensor.tolist()) == (torch.float64, [0.1, 1.0])


def test_large_integers_and_flags_become_float64():
    assert as_float_tensor([2**53 - 1, True], "G").tolist() == [2.0**53 - 1, 1.0]
    assert as_float_tensor(torch.tensor([True, False]), "G").dtype == torch.float64


def test_inputs_are_not_changed():
    given_values = values(w_IE=np.ones((2, 4)))
    before = {name: value.copy() for name, value in given_values.items()}
    FICParameters(**given_values)[1]
    for name, value in given_values.items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
@pytest.mark.parametrize("name", ["w_EE", "w_EI", "sigma", "w_IE", "G"])
def test_later_changes_of_an_input_do_not_show(name, kind):
    given_values = {key: kind(value) for key, value in values(w_IE=np.ones((2, 4))).items()}
    p = FICParameters(**given_values)
    before = getattr(p, name).clone()
    given_values[name][...] = -1
    assert torch.equal(getattr(p, name), before)


def test_one_row_is_copied_too():
    row = np.ones(4)
    p = FICParameters(row, row, row, [1.0, 2.0])
    row[0] = np.nan
    assert (p.w_EE == 1).all()


def test_fields_cannot_be_assigned():
    p = FICParameters(**values())
    with pytest.raises(FrozenInstanceError):
        p.G = torch.zeros(2)


def test_gradients_pass_through():
    w_EE = torch.full((4,), 3.0, dtype=torch.float64, requires_grad=True)
    p = FICParameters(**values(w_EE=w_EE))
    assert p.requires_grad
    assert not FICParameters(**values()).requires_grad
    p.w_EE.sum().backward()
    assert w_EE.grad.tolist() == [2.0] * 4


@pytest.mark.parametrize("index", [1, -1, slice(0, 2), [2, 0], np.array([True, False, True]), torch.tensor([2, 1])])
def test_selection_keeps_the_batch_dimension(index):
    given_values = values(n_candidates=3, w_IE=np.random.default_rng(1).uniform(size=(3, 4)))
    chosen = FICParameters(**given_values)[index]
    rows = np.arange(3)[index.numpy() if isinstance(index, torch.Tensor) else index].reshape(-1)
    for name, value in given_values.items():
        np.testing.assert_array_equal(getattr(chosen, name).numpy(), value[rows])


@settings(max_examples=25, deadline=None)
@given(n_candidates=st.integers(1, 5), n_regions=st.integers(1, 6), data=st.data())
def test_selection_equals_building_from_the_rows(n_candidates, n_regions, data):
    given_values = values(n_candidates, n_regions)
    rows = data.draw(st.lists(st.integers(0, n_candidates - 1), min_size=1, max_size=6))
    chosen = FICParameters(**given_values)[rows]
    built = FICParameters(**{name: value[rows] for name, value in given_values.items()})
    assert all(torch.equal(getattr(chosen, name), getattr(built, name)) for name in given_values)


@pytest.mark.parametrize("name", ["w_EE", "w_EI", "sigma", "w_IE", "G"])
@pytest.mark.parametrize("value", ["three", [["3.0", "x"]], [[1.0, 2.0], [1.0]]])
def test_refuses_what_is_not_numeric(name, value):
    with pytest.raises(InputError, match=rf"(?s){name} is not an array of real numbers.*found: \w"):
        FICParameters(**values(**{name: value}))


@pytest.mark.parametrize("kind", [np.array, torch.tensor, list])
@pytest.mark.parametrize("name", ["w_EE", "w_EI", "sigma", "w_IE", "G"])
def test_refuses_complex_numbers(name, kind):
    value = kind([1.0 + 0j, 2.0] if name == "G" else [[1.0 + 0j] * 4] * 2)
    with pytest.raises(InputError, match=rf"(?s){name} is not an array of real numbers.*found: type complex"):
        FICParameters(**values(**{name: value}))


@pytest.mark.parametrize("name", ["w_EE", "w_EI", "sigma", "G"])
def test_refuses_a_parameter_that_is_missing(name):
    with pytest.raises(InputError, match=rf"(?s)^{name} was not given.*expected: numbers"):
        FICParameters(**values(**{name: None}))


@pytest.mark.parametrize("shape", [(2, 1), (1, 2), (2, 4)])
def test_refuses_a_coupling_of_two_dimensions(shape):
    with pytest.raises(InputError, match=r"(?s)G has the wrong shape.*expected: \(B,\) or one number.*found") as error:
        FICParameters(**values(G=np.ones(shape)))
    assert f"found: {shape}" in str(error.value)


@pytest.mark.parametrize("name", ["w_EE", "w_EI", "sigma", "w_IE"])
@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (2, 4, 1), ()])
def test_refuses_another_number_of_candidates(name, shape):
    with pytest.raises(InputError, match=rf"(?s){name} and G do not describe.*B = 2.*fix: pass one row per candidate") as error:
        FICParameters(**values(**{name: np.ones(shape)}))
    assert f"found: {name} of shape {shape}" in str(error.value)


@pytest.mark.parametrize("name", ["w_EE", "w_EI", "sigma", "w_IE"])
def test_refuses_another_number_of_regions(name):
    with pytest.raises(InputError, match=rf"(?s)different numbers of regions.*'{name}': 5"):
        FICParameters(**values(**{name: np.ones((2, 5))}))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["w_EE", "w_EI", "sigma", "w_IE", "G"])
def test_refuses_values_that_are_not_finite(name, bad):
    value = np.ones(2) if name == "G" else np.ones((2, 4))
    value.flat[1] = bad
    with pytest.raises(InputError, match=rf"(?s){name} holds values that are not finite.*expected: finite numbers"):
        FICParameters(**values(**{name: value}))


@pytest.mark.parametrize(("name", "value"), [("sigma", np.full((2, 4), -0.005)), ("G", [1.0, -0.25])])
def test_refuses_negative_noise_and_coupling(name, value):
    with pytest.raises(InputError, match=rf"(?s){name} must not be negative.*found: minimum {np.min(value):g}"):
        FICParameters(**values(**{name: value}))
