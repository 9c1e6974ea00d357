"""What is fitted to, and the cost of a simulation against it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfm import Cost, CostValues, Target, cost, fisher_mean, functional_connectivity, kolmogorov_smirnov
from mfm.errors import InputError
from mfm.io import read_fcd_cdf, read_matrix
from mfm.statistics import Term, register_term
from mfm.statistics.target import check_fcd_cdf

N_REGIONS = 6
N_BINS = 50
TERMS = ("corr", "mean_diff", "ks", "total")


def correlations(seed=0, n_matrices=None, n_regions=N_REGIONS):
    rng = np.random.default_rng(seed)
    fc = [np.corrcoef(rng.normal(size=(n_regions, 30)) + rng.normal(size=30)) for _ in range(n_matrices or 1)]
    return np.stack(fc) if n_matrices else fc[0]


def distributions(seed=0, n_distributions=None, n_bins=N_BINS):
    counts = np.random.default_rng(seed).integers(0, 1000, (n_distributions or 1, n_bins)) + np.arange(n_bins)
    cdf = counts.cumsum(axis=1) / counts.sum(axis=1, keepdims=True)
    return cdf if n_distributions else cdf[0]


def expected_cost(fc, cdf, target_fc, target_cdf):
    pairs = np.triu_indices(len(fc), 1)
    corr = 1 - np.corrcoef(fc[pairs], target_fc[pairs])[0, 1]
    mean_diff = abs(fc[pairs].mean() - target_fc[pairs].mean())
    ks = np.abs(cdf - target_cdf).max()
    return corr, mean_diff, ks, corr + mean_diff + ks


def test_target_keeps_what_it_is_given():
    names = tuple("abcdef")
    target = Target(correlations(), distributions(), list(names))
    np.testing.assert_array_equal(target.fc.numpy(), correlations())
    np.testing.assert_array_equal(target.fcd_cdf.numpy(), distributions())
    assert (target.n_regions, target.labels) == (N_REGIONS, names)
    assert Target(correlations(), distributions()).labels is None


def test_target_is_float64():
    target = Target(torch.tensor(correlations(), dtype=torch.float32), distributions().astype(np.float32))
    assert target.fc.dtype == target.fcd_cdf.dtype == torch.float64


def test_inputs_of_a_target_are_not_changed():
    fc, cdf = correlations(), distributions()
    Target(fc, cdf)
    np.testing.assert_array_equal(fc, correlations())
    np.testing.assert_array_equal(cdf, distributions())
    assert fc.flags.writeable


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_later_changes_of_an_input_do_not_show(kind):
    fc, cdf = kind(correlations()), kind(distributions())
    target = Target(fc, cdf)
    fc[...] = 7
    cdf[...] = 7
    np.testing.assert_array_equal(target.fc.numpy(), correlations())
    np.testing.assert_array_equal(target.fcd_cdf.numpy(), distributions())


def test_target_has_no_gradient():
    fc, cdf = (torch.tensor(x, requires_grad=True) for x in (correlations(), distributions()))
    target = Target(fc, cdf)
    assert not target.fc.requires_grad
    assert not target.fcd_cdf.requires_grad


def test_regions_with_the_same_series_pass():
    run = np.random.default_rng(0).normal(size=(100, N_REGIONS))
    run[:, 3], run[:, 4] = run[:, 1], -run[:, 1]
    for fc in (functional_connectivity(run), np.corrcoef(run.T)):
        assert Target(fc, distributions()).fc[1, 3].item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("excess", [9e-7, -9e-7])
def test_ones_within_a_millionth_pass(excess):
    fc = correlations()
    fc[1, 2] = fc[2, 1] = -1 - excess
    np.fill_diagonal(fc, 1 + excess)
    assert Target(fc, distributions()).fc[0, 0].item() == 1 + excess


def test_round_off_is_no_fault():
    fc = correlations()
    fc[0, 1] += 5e-6
    np.fill_diagonal(fc, 1 + 1e-7)
    assert Target(fc, distributions() - 1e-12 * np.arange(N_BINS)).n_regions == N_REGIONS


@pytest.mark.parametrize(
    ("matrix", "found"),
    [
        (np.ones((1200, 68)), r"shape \(1200, 68\)"),
        (correlations()[np.triu_indices(6, 1)], r"shape \(15,\)"),
        (0.5, r"shape \(\)"),
    ],
)
def test_refuses_fc_that_is_not_square(matrix, found):
    with pytest.raises(InputError, match=rf"(?s)FC is not a square matrix.*found: {found}"):
        Target(matrix, distributions())


def test_refuses_fc_that_is_not_numeric():
    for fc in ("FC.csv", correlations() + 0j, torch.tensor(correlations() + 0j)):
        with pytest.raises(InputError, match="FC is not an array of real numbers"):
            Target(fc, distributions())


def test_names_regions_without_fc():
    fc = correlations()
    fc[4, :] = fc[:, 4] = np.nan
    with pytest.raises(InputError, match=r"(?s)FC has entries that are not finite.*found: 11 NaN.*rows 1, 2, 3, 4, 5, 6 \(cou"):
        Target(fc, distributions())


def fisher_z(diagonal, factor=1.0):
    z = np.arctanh(np.where(np.eye(N_REGIONS) == 1, 0, correlations())) * factor
    np.fill_diagonal(z, diagonal)
    return z


@pytest.mark.parametrize(
    ("matrix", "diagonal"),
    [
        (fisher_z(18.7), "18.7"),
        (fisher_z(0.0), "0"),
        (fisher_z(1.0, factor=3), "1"),
        (fisher_z(0.0, factor=3), "0"),
        (correlations() * 100, "100"),
        (fisher_z(np.inf), "inf"),
        (fisher_z(1.6), "1.6"),
        (fisher_z(1.0) + np.where(np.eye(N_REGIONS) == 1, 0, 1.0), "1"),
    ],
)
def test_refuses_fc_that_is_no_correlation(matrix, diagonal):
    with pytest.raises(
        InputError, match=r"(?s)not a matrix of correlations.*\[-1, 1\] and ones on the diagonal.*Fisher z.*tanh"
    ) as error:
        Target(matrix, distributions())
    assert f"found: values in [{matrix.min():.3g}, {matrix.max():.3g}], diagonal from {diagonal} to" in str(error.value)


def covariance():
    return correlations() * np.outer(*[np.linspace(0.3, 1, N_REGIONS)] * 2)


@pytest.mark.parametrize(
    ("matrix", "diagonal"),
    [
        (covariance(), "0.09 to 1"),
        (np.where(np.eye(N_REGIONS) == 1, 0.5, correlations()), "0.5 to 0.5"),
        (correlations() - np.diag([0, 1e-4, 0, 0, 0, 0]), "1 to 1"),
        (correlations() - np.diag([0, 1, 0, 0, 0, 0]), "0 to 1"),
        (-correlations(), "-1 to -1"),
    ],
)
def test_refuses_fc_whose_diagonal_is_not_one(matrix, diagonal):
    with pytest.raises(
        InputError, match=r"(?s)not a matrix of correlations.*a covariance matrix, or a diagonal that was overwritten"
    ) as error:
        Target(matrix, distributions())
    assert f"diagonal from {diagonal}\n" in str(error.value)
    assert "fix: save correlations, with ones on the diagonal" in str(error.value)
    assert "Fisher" not in str(error.value)


def test_tanh_undoes_fisher_z():
    fc = np.tanh(fisher_z(0.0))
    np.fill_diagonal(fc, 1)
    np.testing.assert_allclose(Target(fc, distributions()).fc.numpy(), correlations(), atol=1e-12)


@pytest.mark.parametrize("half", [np.triu, np.tril])
def test_refuses_fc_that_is_not_symmetric(half):
    fc = half(correlations())
    largest = np.abs(fc - fc.T).max()
    with pytest.raises(
        InputError, match=rf"(?s)FC is not symmetric.*differ by up to {largest:.3g}.*one triangle.*fix: save the full"
    ):
        Target(fc, distributions())


@pytest.mark.parametrize(
    ("labels", "message"), [(tuple("abc"), r"(?s)do not fit FC.*expected: 6 names.*found: 3"), (tuple("abcabc"), "not unique")]
)
def test_refuses_labels_that_do_not_fit(labels, message):
    with pytest.raises(InputError, match=message):
        Target(correlations(), distributions(), labels)


@pytest.mark.parametrize("cdf", [distributions()[:, None], distributions()[None, :], list(distributions())])
def test_a_column_and_a_row_are_distributions(cdf):
    np.testing.assert_array_equal(check_fcd_cdf(cdf).numpy(), distributions())


def test_a_histogram_is_refused():
    histogram = np.array([0, 10, 300, 200, 90, 3, 0])
    with pytest.raises(
        InputError, match=r"(?s)decreases.*non-decreasing.*found: 4 decreasing steps.*a histogram.*fix: .*numpy.cumsum"
    ):
        check_fcd_cdf(histogram)
    assert check_fcd_cdf(np.cumsum(histogram) / np.sum(histogram))[-1] == 1


def test_a_distribution_does_not_start_below_zero():
    with pytest.raises(
        InputError, match=r"(?s)FCD CDF has negative entries.*expected: values from 0 to 1.*found: first value -0\.\d+$"
    ):
        check_fcd_cdf(distributions() - 0.5)


def test_a_checked_distribution_is_a_copy():
    cdf = torch.tensor(distributions())
    checked = check_fcd_cdf(cdf)
    cdf[3] = 2
    np.testing.assert_array_equal(checked.numpy(), distributions())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_a_distribution_that_is_not_finite(bad):
    cdf = distributions()
    cdf[3] = bad
    with pytest.raises(InputError, match=rf"(?s)not finite, or fewer than two.*found: {N_BINS} entries"):
        check_fcd_cdf(cdf)


@pytest.mark.parametrize("cdf", [[], [1.0], 1.0])
def test_refuses_a_distribution_of_fewer_than_two_bins(cdf):
    with pytest.raises(InputError, match=rf"(?s)fewer than two.*found: {np.size(cdf)} entries"):
        check_fcd_cdf(cdf)


@pytest.mark.parametrize(
    ("factor", "found", "cause"),
    [(624403, "624403", "cumulative counts"), (0.8, "0.8", "a truncated distribution"), (0, "0", "truncated")],
)
def test_refuses_a_distribution_that_does_not_end_in_one(factor, found, cause):
    with pytest.raises(
        InputError, match=rf"(?s)does not end in 1.*found: last value {found}\n.*cause: .*{cause}.*mfm.io.read_fcd_cdf"
    ):
        check_fcd_cdf(distributions() * factor)


def test_refuses_a_distribution_that_is_not_numeric():
    with pytest.raises(InputError, match="FCD CDF is not an array of real numbers"):
        check_fcd_cdf("FCD_CDF.csv")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n_candidates=st.integers(1, 4), n_regions=st.integers(3, 8), n_bins=st.integers(2, 60))
def test_cost_equals_numpy(seed, n_candidates, n_regions, n_bins):
    target_fc, target_cdf = correlations(seed, n_regions=n_regions), distributions(seed, n_bins=n_bins)
    fc, cdf = correlations(seed + 1, n_candidates, n_regions), distributions(seed + 1, n_candidates, n_bins)
    result = cost(fc, cdf, Target(target_fc, target_cdf))
    expected = np.array([expected_cost(*one, target_fc, target_cdf) for one in zip(fc, cdf, strict=True)])
    for column, term in enumerate(TERMS):
        assert getattr(result, term).shape == (n_candidates,)
        np.testing.assert_allclose(getattr(result, term).numpy(), expected[:, column], rtol=1e-9, atol=1e-12)


def test_one_candidate_is_a_batch_of_one():
    target = Target(correlations(0), distributions(0))
    one = cost(correlations(1), distributions(1), target)
    batch = cost(correlations(1)[None], distributions(1)[None], target)
    assert all(torch.equal(getattr(one, term), getattr(batch, term)) for term in TERMS)
    assert one.total.shape == (1,)


def test_only_the_upper_triangle_counts():
    fc = correlations(1)
    np.fill_diagonal(fc, 0)
    target = Target(correlations(0), distributions(0))
    assert torch.equal(cost(fc, distributions(1), target).total, cost(correlations(1), distributions(1), target).total)


def test_the_target_itself_costs_nothing():
    result = cost(correlations(), distributions(), Target(correlations(), distributions()))
    assert all(getattr(result, term).item() == pytest.approx(0, abs=1e-12) for term in TERMS)


def test_a_shifted_fc_costs_its_shift():
    target = Target(correlations(), distributions())
    result = cost(correlations() - 0.125, distributions(), target)
    assert result.corr.item() == pytest.approx(0, abs=1e-12)
    assert result.mean_diff.item() == pytest.approx(0.125)
    assert cost(-correlations(), distributions(), target).corr.item() == pytest.approx(2)


def test_the_mean_difference_is_not_the_mean_absolute_difference():
    fc, target_fc = np.eye(3), np.eye(3)
    fc[np.triu_indices(3, 1)] = [0.1, 0.3, 0.5]
    target_fc[np.triu_indices(3, 1)] = [0.5, 0.3, 0.1]
    target = Target(np.triu(target_fc, 1) + np.triu(target_fc).T, distributions())
    assert cost(fc, distributions(), target).mean_diff.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("where", [(0, 1), (2, 4)])
def test_fc_without_a_value_costs_no_number(where):
    fc = correlations(1, 3)
    fc[1][where] = fc[1][where[::-1]] = np.nan
    result = cost(fc, distributions(1, 3), Target(correlations(), distributions()))
    for term in ("corr", "mean_diff", "total"):
        assert getattr(result, term).isnan().tolist() == [False, True, False]
    assert result.ks.isfinite().all()


@pytest.mark.parametrize("positions", [slice(None), 0, N_BINS - 1])
def test_a_distribution_without_a_value_costs_no_number(positions):
    cdf = distributions(1, 3)
    cdf[2, positions] = np.nan
    result = cost(correlations(1, 3), cdf, Target(correlations(), distributions()))
    for term in ("ks", "total"):
        assert getattr(result, term).isnan().tolist() == [False, False, True]
    assert result.corr.isfinite().all()


@pytest.mark.parametrize("n_regions", [3, 6, 68, 100])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_fc_without_variation_costs_no_number(n_regions, dtype):
    levels = [0, 0.1, 0.3, 0.7, 1, -0.2, 1 / 3]
    fc = torch.tensor(np.array(levels, dtype)[:, None, None] * np.ones((n_regions, n_regions), dtype))
    target = Target(correlations(n_regions=n_regions), distributions())
    result = cost(fc, distributions(1, len(levels)), target)
    for term in ("corr", "total"):
        assert getattr(result, term).isnan().all()
    assert result.mean_diff.isfinite().all()


def test_fc_of_little_variation_costs_a_number():
    fc = 0.3 + 1e-9 * correlations(1)
    result = cost(fc, distributions(1), Target(correlations(), distributions()))
    assert result.corr.item() == pytest.approx(
        cost(correlations(1), distributions(1), Target(correlations(), distributions())).corr.item(), abs=1e-5
    )


def test_a_candidates_cost_does_not_depend_on_the_others():
    target, fc, cdf = Target(correlations(), distributions()), correlations(1, 3), distributions(1, 3)
    together = cost(fc, cdf, target).total
    fc[0], cdf[0] = np.nan, np.nan
    np.testing.assert_allclose(cost(fc, cdf, target).total[1:].numpy(), together[1:].numpy(), rtol=1e-12)


def test_cost_has_a_gradient():
    fc = torch.tensor(correlations(1, 2), requires_grad=True)
    cost(fc, distributions(1, 2), Target(correlations(), distributions())).total.sum().backward()
    assert fc.grad.isfinite().all()
    assert fc.grad.abs().amax(dim=(1, 2)).min() > 0


@pytest.mark.parametrize("shape", [(5, 5), (1, 5, 5), (2, 6, 5), (2, 5, 6), (6,), (), (2, 1, 6, 6)])
def test_refuses_fc_of_another_shape(shape):
    with pytest.raises(
        InputError, match=r"(?s)Simulated and empirical FC do not fit.*expected: \(B, 6, 6\), as the target"
    ) as error:
        cost(np.ones(shape), distributions(), Target(correlations(), distributions()))
    assert f"found: {(1, *shape) if len(shape) == 2 else shape}" in str(error.value)


@pytest.mark.parametrize(("n_fc", "shape"), [(3, (N_BINS,)), (3, (2, N_BINS)), (1, (3, N_BINS)), (2, (2, 1, N_BINS)), (1, ())])
def test_refuses_distributions_of_other_candidates(n_fc, shape):
    with pytest.raises(InputError, match=rf"(?s)of different candidates.*expected: \({n_fc}, K\) FCD CDFs") as error:
        cost(correlations(1, n_fc), np.ones(shape), Target(correlations(), distributions()))
    assert f"found: {(1, *shape) if len(shape) == 1 else shape}" in str(error.value)


def test_refuses_distributions_on_other_bins():
    target = Target(correlations(), distributions())
    with pytest.raises(InputError, match=rf"(?s)different bins.*expected: {N_BINS} bins.*found: 100.*fix: .*n_bins={N_BINS}"):
        cost(correlations(), distributions(n_bins=100), target)


def test_kolmogorov_smirnov_is_the_largest_distance():
    cdf, other = torch.tensor(distributions(1, 6)).reshape(2, 3, N_BINS), torch.tensor(distributions(2))
    expected = np.abs(cdf.numpy() - other.numpy()).max(axis=-1)
    np.testing.assert_array_equal(kolmogorov_smirnov(cdf, other).numpy(), expected)
    assert kolmogorov_smirnov(other, cdf[0, 0]) == kolmogorov_smirnov(cdf[0, 0], other)
    np.testing.assert_array_equal(kolmogorov_smirnov(cdf.numpy(), other.numpy()).numpy(), expected)
    assert kolmogorov_smirnov([0, 0.25, 1], [0, 0.75, 1]).item() == 0.5


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), dim=st.integers(0, 2), largest=st.floats(0.01, 0.999))
def test_fisher_mean_equals_numpy(seed, dim, largest):
    fc = np.random.default_rng(seed).uniform(-largest, largest, (3, 4, 5))
    expected = np.tanh(np.arctanh(fc).mean(axis=dim))
    for kind in (torch.tensor, np.array, np.ndarray.tolist):
        np.testing.assert_allclose(fisher_mean(kind(fc), dim).numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_fisher_mean_of_correlations_is_one(dtype):
    fc = torch.tensor(correlations(0, 3), dtype=dtype)
    fc.diagonal(dim1=1, dim2=2).fill_(1)
    mean = fisher_mean(fc)
    assert mean.dtype == dtype
    assert (mean.diagonal() == 1).all()
    assert torch.allclose(mean, mean.mT)
    assert torch.allclose(fisher_mean(fc[:1]), fc[0], atol=1e-6)
    assert fisher_mean(-fc).diagonal().tolist() == [-1] * N_REGIONS


def test_the_fisher_mean_is_finite_beside_ones_and_does_not_hide_nan():
    mean = fisher_mean(torch.tensor([[1.0, 0.5, 1.0], [0.2, float("nan"), 1.0]], dtype=torch.float64))
    assert 0.2 < mean[0] < 1
    assert mean[1].isnan()
    assert mean[2] == 1


def test_fisher_mean_leaves_its_input():
    fc = torch.tensor(correlations(0, 3))
    fisher_mean(fc)
    np.testing.assert_array_equal(fc.numpy(), correlations(0, 3))


def test_published_groups_are_alike(shared):
    def group(name):
        folder = shared / "data/dk68" / name
        return read_matrix(folder / "FC.csv")[0], read_fcd_cdf(folder / "FCD_CDF.csv")

    train, validation = group("group-train"), group("group-validation")
    result = cost(*train, Target(*validation))
    expected = expected_cost(*train, *validation)
    assert [getattr(result, term).item() for term in TERMS] == pytest.approx(expected, rel=1e-9)
    assert result.total.item() < 0.1


def test_sessions_of_a_subject_are_as_alike_as_known(shared):
    folder = shared / "data/dk68/sub-01"
    stages = [
        (read_matrix(folder / f"{stage}_FC.csv")[0], read_fcd_cdf(folder / f"{stage}_FCD_CDF.csv"))
        for stage in ("train", "test")
    ]
    result = cost(*stages[0], Target(*stages[1]))
    assert 0.7 < 1 - result.corr.item() < 0.95
    assert 0 < result.ks.item() < 0.4


def a_cost() -> Cost:
    return Cost(torch.tensor([0.5, 0.6]), torch.tensor([0.25, 0.1]), torch.tensor([0.125, 0.3]))


def test_a_cost_is_handled_without_naming_its_terms():
    found = a_cost()
    assert list(Cost.TERMS) == [name for name, _ in found.items()] == ["corr", "mean_diff", "ks"]
    assert found[[1]].total.item() == pytest.approx(1.0)
    assert found.map(lambda term: 2 * term).corr.tolist() == [1.0, pytest.approx(1.2)]
    both = Cost.concatenate([found, found[[0]]])
    assert both.ks.tolist() == found.ks.tolist() + found.ks.tolist()[:1]
    assert torch.equal(Cost.from_stacked(found.stacked()).mean_diff, found.mean_diff)
    assert found.stacked().shape == (2, 3)
    assert found.with_terms(ks=torch.zeros(2)).total.tolist() == [0.75, pytest.approx(0.7)]
    assert found.at(0).total == float(found.total[0]) == 0.875
    assert np.isnan(CostValues.unknown().total)


def test_a_cost_survives_copies_and_is_not_changed():
    for other in (copy.deepcopy(a_cost()), copy.copy(a_cost())):
        assert torch.equal(other.total, a_cost().total)
    with pytest.raises(AttributeError, match="not changed"):
        a_cost().ks = torch.zeros(2)
    with pytest.raises(AttributeError, match="no term 'fcd'"):
        a_cost().fcd  # noqa: B018


@pytest.mark.parametrize("make", [
    lambda x: Cost(x, x),
    lambda x: Cost(x, x, x, x),
    lambda x: Cost(x, x, ks=x, corr=x),
    lambda x: Cost(x, x, x, fcd=x),
    lambda x: CostValues({"corr": 0.1}),
])  # fmt: skip
def test_a_cost_has_each_of_its_terms_once(make):
    with pytest.raises(InputError, match=r"each of its terms once(.|\n)*corr, mean_diff, ks"):
        make(torch.zeros(1))


def test_a_new_term_is_one_entry(monkeypatch):
    spread = Term("spread", "std diff", "difference of standard deviations", lambda found, _: found.pairs.std(dim=1))
    monkeypatch.setitem(Cost.TERMS, "spread", spread)
    found = cost(correlations(1, 2), distributions(1, 2), Target(correlations(0), distributions(0)))
    assert torch.allclose(found.total, found.corr + found.mean_diff + found.ks + found.spread)
    for name in ("spread", "total", "items", "two words"):
        with pytest.raises(InputError, match="name of a cost term"):
            register_term(Term(name, "", "", spread.of))
