"""Bounds, plausibility, and parameters as linear functions of maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm import Bounds, MapParameterisation, Plausibility, RegionalMaps
from mfm.errors import InputError
from mfm.io import read_map

N_REGIONS = 20
BOUNDED = ("w_EE", "w_EI", "sigma", "G")


def two_maps(seed=0):
    """Myelin and a gradient of opposite direction, as in the human cortex."""
    rng = np.random.default_rng(seed)
    myelin = 1.2 + 0.1 * rng.normal(size=N_REGIONS)
    return RegionalMaps([myelin, -5 * (myelin - 1.2) + 0.5 * rng.normal(size=N_REGIONS)], ("myelin", "gradient"))


def random_candidates(n_candidates, seed, spread=1.0):
    """Candidates about the middle of the bounds, some within and some without."""
    rng = np.random.default_rng(seed)
    centre = np.array([5, 0, 0, 5.5, -2.5, 0.2, 1.5, 0.005, 0, 0])
    return centre + spread * rng.normal(size=(n_candidates, 10)) * [2, 1, 1, 1, 1, 0.5, 0.8, 0.002, 0.0005, 0.0005]


def slow_violation(candidate, maps, bounds, plausibility):
    """The rules one by one: how far a single candidate is out."""
    m = len(maps.names) + 1
    pieces = {"w_EE": candidate[:m], "w_EI": candidate[m : 2 * m], "sigma": candidate[2 * m + 1 :]}
    regional = {"G": [candidate[2 * m]]}
    for name, piece in pieces.items():
        regional[name] = [
            piece[0] + sum(piece[k + 1] * maps.values[k, region] for k in range(m - 1)) for region in range(maps.n_regions)
        ]
    total = 0.0
    for name, value in regional.items():
        low, high = getattr(bounds, name)
        total += max(0.0, max(max(low - x, x - high) for x in value)) / (high - low)
    signs = {"myelin": -1, "gradient": 1} if plausibility.signs is None else plausibility.signs.get("w_EI", {})
    for name, sign in signs.items():
        if name in maps.names:
            r = sign * np.corrcoef(regional["w_EI"], maps.values[maps.names.index(name)])[0, 1]
            total += 0.0 if r > 0 else 1e-6 - r
    least = plausibility.min_std.get("w_EI", 0.0)
    if least > 0 and maps.names:
        total += max(0.0, 1 - np.std(regional["w_EI"], ddof=1) / least)
    return total


def test_default_bounds():
    bounds = Bounds()
    assert [getattr(bounds, name) for name in BOUNDED] == [(1, 10), (0, 5), (0.0005, 0.01), (0, 3)]


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize(
    "value",
    [
        *((2, 2), (3, 1), [-1, 3], (0, np.nan), (np.nan, 1), (0, np.inf), (np.inf, np.inf)),
        *((1,), (), (1, 2, 3), 5, None, (1, None), ("low", "high"), (1, 2j), ([1, 2], [3, 4])),
    ],
)
def test_refuses_bounds_that_are_no_range(name, value):
    with pytest.raises(InputError, match=rf"(?s)bounds of {name} are not a range.*expected: 0 <= low < high, finite") as error:
        Bounds(**{name: value})
    assert str(error.value).endswith(f"found: {value!r}")


@pytest.mark.parametrize("value", [[1, 4], (np.float32(1), np.int64(4)), np.array([1.0, 4.0]), torch.tensor([1, 4])])
def test_bounds_become_plain_numbers(value):
    bounds = Bounds(w_EI=value)
    assert bounds == Bounds(w_EI=(1.0, 4.0))
    assert [type(bound) for bound in bounds.w_EI] == [float, float]


@pytest.mark.parametrize("sign", [0, 2, -0.5, float("nan"), "+1", None])
def test_refuses_a_sign_that_is_none(sign):
    with pytest.raises(InputError, match=r"(?s)w_EI's correlation with 'gradient' is none.*expected: \+1 or -1") as error:
        Plausibility({"w_EI": {"myelin": -1, "gradient": sign}})
    assert str(error.value).endswith(f"found: {sign!r}")


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_refuses_a_least_variation_that_is_none(value):
    with pytest.raises(InputError, match=rf"(?s)standard deviation of w_EI must not be negative.*found: {value}"):
        Plausibility(min_std={"w_EI": value})


@pytest.mark.parametrize(
    ("mean_fc", "low", "high"),
    [(0.0, 0.4, 3.2), (0.2, 0.4, 3.2), (0.3, 0.6, 3.3), (0.4, 2.8, 4.4), (0.45, 3.5, 4.95), (0.6, 3.5, 5)],
)
def test_bounds_for_a_subject(mean_fc, low, high):
    bounds = Bounds.for_subject(mean_fc)
    assert bounds.w_EI == pytest.approx((low, high))
    assert (bounds.w_EE, bounds.sigma, bounds.G) == (Bounds().w_EE, Bounds().sigma, Bounds().G)


def test_coefficients_in_order():
    parameterisation = MapParameterisation(two_maps())
    assert parameterisation.names == (
        *("w_EE", "w_EE:myelin", "w_EE:gradient"),
        *("w_EI", "w_EI:myelin", "w_EI:gradient"),
        "G",
        *("sigma", "sigma:myelin", "sigma:gradient"),
    )
    assert parameterisation.n_coefficients == 10
    for name, where in parameterisation.slices().items():
        assert {label.split(":")[0] for label in parameterisation.names[where]} == {name}


def test_regional_parameters_are_linear_in_the_maps():
    maps = two_maps()
    coefficients = random_candidates(3, seed=1)
    regional = MapParameterisation(maps).values(coefficients)
    G = regional["G"]
    for name, first in (("w_EE", 0), ("w_EI", 3), ("sigma", 7)):
        a, b, c = coefficients[:, first : first + 3].T[:, :, None]
        np.testing.assert_allclose(regional[name].numpy(), a + b * maps.values[0] + c * maps.values[1], rtol=1e-12)
    np.testing.assert_array_equal(G.numpy(), coefficients[:, 6])


def test_parameters_of_coefficients():
    coefficients = random_candidates(3, seed=1, spread=0.1)
    parameterisation = MapParameterisation(two_maps())
    p = parameterisation.to_parameters(coefficients)
    regional = parameterisation.values(coefficients)
    G = regional["G"]
    assert (p.n_candidates, p.n_regions, p.w_IE) == (3, N_REGIONS, None)
    assert all(torch.equal(getattr(p, name), value) for name, value in {**regional, "G": G}.items())


def test_one_candidate_may_be_a_vector():
    parameterisation = MapParameterisation(two_maps())
    candidate = random_candidates(1, seed=2, spread=0.1)
    assert torch.equal(parameterisation.to_parameters(candidate[0]).w_EI, parameterisation.to_parameters(candidate).w_EI)
    assert parameterisation.violation(candidate[0]).shape == (1,)


def test_float32_stays_float32():
    p = MapParameterisation(two_maps()).to_parameters(torch.tensor(random_candidates(2, 0, 0.1), dtype=torch.float32))
    assert p.w_EE.dtype == p.G.dtype == torch.float32


def test_gradients_reach_the_coefficients():
    coefficients = torch.tensor(random_candidates(2, 0, 0.1), requires_grad=True)
    MapParameterisation(two_maps()).to_parameters(coefficients).w_EE.sum().backward()
    assert (coefficients.grad[:, 0] == N_REGIONS).all()
    assert not coefficients.grad[:, 3:].any()


@pytest.mark.parametrize("shape", [(9,), (3, 11), (2, 5, 10), ()])
def test_refuses_another_number_of_coefficients(shape):
    parameterisation = MapParameterisation(two_maps())
    for call in (parameterisation.values, parameterisation.to_parameters, parameterisation.violation):
        with pytest.raises(InputError, match=r"(?s)Wrong number.*expected: \(B, 10\): w_EE, w_EE:myelin, .*sigma:gradient"):
            call(np.ones(shape))


def test_no_maps_make_homogeneous_parameters():
    parameterisation = MapParameterisation(RegionalMaps.none(5), plausibility=Plausibility(min_std={"w_EI": 0.3}))
    assert parameterisation.names == ("w_EE", "w_EI", "G", "sigma")
    p = parameterisation.to_parameters([3, 2, 1.5, 0.005])
    for name, value in (("w_EE", 3), ("w_EI", 2), ("sigma", 0.005)):
        assert getattr(p, name).tolist() == [[value] * 5]
    assert p.G.tolist() == [1.5]
    assert parameterisation.violation([[3, 2, 1.5, 0.005], [3, 2, 3.3, 0.005]]).tolist() == pytest.approx([0, 0.1])


def test_a_flipped_gradient_is_refused():
    maps = two_maps()
    flipped = RegionalMaps(maps.values * [[1], [-1]], maps.names)
    r = np.corrcoef(flipped.values)[0, 1]
    with pytest.raises(InputError, match=r"most candidates implausible") as error:
        MapParameterisation(flipped)
    for part in (
        "The maps 'myelin' and 'gradient'",
        "expected: a correlation of - sign",
        "negatively with myelin and positively with gradient",
        f"found: r = +{r:.2f}",
        "the sign of a gradient is arbitrary, and that of 'gradient' is flipped",
        "fix: multiply the map 'gradient' by -1",
        "`signs={}`",
    ):
        assert part in str(error.value)
    MapParameterisation(RegionalMaps(flipped.values * [[1], [-1]], maps.names))
    MapParameterisation(flipped, plausibility=Plausibility(signs={}))


def test_maps_of_one_sign_must_correlate_positively():
    with pytest.raises(
        InputError, match=r"(?s)a correlation of \+ sign.*positively with myelin and positively with gradient.*r = -"
    ):
        MapParameterisation(two_maps(), plausibility=Plausibility({"w_EI": {"myelin": +1, "gradient": +1}}))


def test_one_map_follows_no_other():
    values = two_maps().values
    assert MapParameterisation(RegionalMaps(-values[1:], ("gradient",))).n_coefficients == 7


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    mean_fc=st.sampled_from([None, 0.2, 0.4]),
    signs=st.sampled_from([None, {}, {"w_EI": {"myelin": -1}}, {"w_EI": {"thickness": 1}}]),
    min_std=st.sampled_from([0.0, 0.1, 0.3]),
)
def test_violation_equals_the_rules_one_by_one(seed, mean_fc, signs, min_std):
    maps, plausibility = two_maps(seed), Plausibility(signs, {"w_EI": min_std})
    bounds = Bounds() if mean_fc is None else Bounds.for_subject(mean_fc)
    candidates = np.vstack([random_candidates(10, seed), random_candidates(10, seed, spread=0.1)])
    violation = MapParameterisation(maps, bounds, plausibility).violation(candidates).numpy()
    slow = np.array([slow_violation(candidate, maps, bounds, plausibility) for candidate in candidates])
    np.testing.assert_allclose(violation, slow, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(violation == 0, slow == 0)
    assert (violation >= 0).all()


def test_some_candidates_are_feasible_and_some_are_not():
    candidates = np.vstack([random_candidates(100, 0), random_candidates(100, 0, spread=0.1)])
    feasible = MapParameterisation(two_maps()).violation(candidates) == 0
    assert 20 < feasible.sum() < 180


@pytest.mark.parametrize(("position", "low", "high"), [(0, 1, 10), (1, 0, 5), (2, 0, 3), (3, 0.0005, 0.01)])
def test_violation_is_the_excess_in_units_of_the_range(position, low, high):
    parameterisation = MapParameterisation(RegionalMaps.none(4))
    width = high - low
    candidates = np.tile([3, 2, 1.5, 0.005], (6, 1))
    candidates[:, position] = [low, high, low - 0.1 * width, high + 0.1 * width, high + 2 * width, (low + high) / 2]
    expected = [0, 0, 0.1, 0.1, 2, 0]
    violation = parameterisation.violation(candidates).numpy()
    np.testing.assert_allclose(violation, expected, atol=1e-12)
    np.testing.assert_array_equal(violation == 0, np.equal(expected, 0))


def test_a_wrong_sign_is_a_violation_and_can_be_allowed():
    maps = two_maps()
    rising_with_myelin = [5, 0, 0, 0.1, 2, 0, 1.5, 0.005, 0, 0]
    r = np.corrcoef(maps.values)[0, 1]
    violation = MapParameterisation(maps).violation(rising_with_myelin).item()
    assert violation == pytest.approx(1 + 1e-6 - r + 1e-6)
    assert MapParameterisation(maps, plausibility=Plausibility({})).violation(rising_with_myelin).item() == 0


@pytest.mark.parametrize("signs", [{"myelin": -1, "gradient": 1}, {"myelin": -1}, {"gradient": 1}])
@pytest.mark.parametrize("slope", [0.0, 1e-16, -1e-12])
def test_the_same_w_EI_everywhere_is_never_feasible(signs, slope):
    candidates = np.tile([5, 0, 0, 0, slope, 0, 1.5, 0.005, 0, 0], (200, 1))
    candidates[:, 3] = np.random.default_rng(0).uniform(0.1, 4.9, 200)
    violation = MapParameterisation(two_maps(), plausibility=Plausibility({"w_EI": signs})).violation(candidates)
    np.testing.assert_allclose(violation.numpy(), 1e-6 * len(signs), rtol=1e-9)
    assert (MapParameterisation(two_maps(), plausibility=Plausibility({})).violation(candidates) == 0).all()


@pytest.mark.parametrize("slope", [1e-6, 1e-3, 1])
def test_little_variation_has_a_sign(slope):
    parameterisation = MapParameterisation(RegionalMaps(two_maps().values[:1], ("myelin",)))
    candidate = np.array([5, 0, 2.5, slope, 1.5, 0.005, 0])
    assert parameterisation.violation(candidate).item() == pytest.approx(1 + 1e-6)
    candidate[3] *= -1
    assert parameterisation.violation(candidate).item() == 0


def test_a_flat_candidate_does_not_change_the_others():
    candidates = random_candidates(3, 0, spread=0.1)
    before = MapParameterisation(two_maps()).violation(candidates)
    candidates[1, 4:6] = 0
    after = MapParameterisation(two_maps()).violation(candidates)
    assert after[[0, 2]].tolist() == before[[0, 2]].tolist()
    assert after[1] > 0


def test_violation_of_a_flat_candidate_has_a_finite_gradient():
    coefficients = torch.tensor([[5, 0, 0, 2.5, 0, 0, 4, 0.005, 0, 0]], dtype=torch.float64, requires_grad=True)
    MapParameterisation(two_maps()).violation(coefficients).sum().backward()
    assert coefficients.grad.isfinite().all()


def test_too_little_variation_is_a_violation():
    maps = two_maps()
    candidate = [5, 0, 0, 4.2, -1, 0, 1.5, 0.005, 0, 0]
    std = maps.values[0].std(ddof=1)
    assert MapParameterisation(maps).violation(candidate).item() == 0
    strict = MapParameterisation(maps, plausibility=Plausibility(min_std={"w_EI": 4 * std}))
    assert strict.violation(candidate).item() == pytest.approx(0.75)


def test_what_is_not_a_number_is_not_feasible():
    candidates = np.repeat(random_candidates(1, 0, spread=0.1), 11, axis=0)
    candidates[range(10), range(10)] = np.nan
    violation = MapParameterisation(two_maps(), plausibility=Plausibility(min_std={"w_EI": 0.01})).violation(candidates)
    assert violation[:10].isnan().all()
    assert violation[10] == 0


def test_coefficients_are_not_changed():
    candidates = random_candidates(5, 0)
    before = candidates.copy()
    MapParameterisation(two_maps()).violation(candidates)
    np.testing.assert_array_equal(candidates, before)


def published_maps(shared, folder, sign=1):
    files = (shared / "data" / folder / name for name in ("myelin.csv", "rsfc_gradient.csv"))
    n_regions = 68 if folder == "dk68" else 100
    return RegionalMaps(
        [read_map(path, n_regions) * s for path, s in zip(files, (1, sign), strict=True)], ("myelin", "gradient")
    )


@pytest.mark.parametrize(("folder", "r"), [("dk68", 0.64), ("schaefer100-17n", 0.53)])
def test_published_maps(shared, folder, r):
    assert MapParameterisation(published_maps(shared, folder)).n_coefficients == 10
    with pytest.raises(InputError, match=rf"found: r = \+{r}"):
        MapParameterisation(published_maps(shared, folder, sign=-1))
