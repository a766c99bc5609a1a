"""Simultaneous bands and adjusted p values against closed forms."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pytest
from p4equity.errors import UsageError
from p4equity.inference.cluster_robust import covariance
from p4equity.inference.moments import cluster_moments
from p4equity.inference.multiplicity import benjamini_hochberg, gatekept, holm, romano_wolf
from p4equity.inference.simultaneous import contributions, signed_band, simultaneous_band, sup_draws, toward_none
from scipy import stats
from statsmodels.stats.multitest import multipletests

INF = np.full(5, np.inf)


def test_independent_coefficients_give_sidak() -> None:
    band = simultaneous_band(np.zeros(5), np.diag([1.0, 4, 9, 16, 25]), INF)
    exact = stats.norm.ppf((1 + 0.95 ** (1 / 5)) / 2)
    assert band.critical == pytest.approx(exact, abs=0.02)
    assert band.conf_high == pytest.approx(band.critical * np.arange(1.0, 6), rel=1e-9)


def test_perfect_correlation_gives_the_pointwise_interval() -> None:
    band = simultaneous_band(np.zeros(5), np.ones((5, 5)), INF)
    assert band.critical == pytest.approx(1.96, abs=0.02)


def test_few_degrees_of_freedom_widen_the_band() -> None:
    V, df = np.eye(2), np.array([4.0, 40.0])
    band = simultaneous_band(np.array([1.0, 1.0]), V, df)
    assert band.conf_high[0] > band.conf_high[1]
    assert (band.conf_high - 1 > stats.t.ppf(0.975, df)).all()
    assert (band.p_value >= 2 * stats.t.sf(1.0, df)).all()


def test_adjusted_p_agrees_with_the_band() -> None:
    V = np.array([[1.0, 0.6], [0.6, 1.0]])
    edge = simultaneous_band(np.zeros(2), V, np.full(2, 6.0)).conf_high[0]
    inside = simultaneous_band(np.array([edge * 0.99, 0.0]), V, np.full(2, 6.0))
    outside = simultaneous_band(np.array([edge * 1.01, 0.0]), V, np.full(2, 6.0))
    assert inside.p_value[0] > 0.05 > outside.p_value[0]


def test_draws_are_seeded_and_refuse_nonsense() -> None:
    assert np.array_equal(sup_draws(np.eye(3), 100, 1), sup_draws(np.eye(3), 100, 1))
    with pytest.raises(UsageError, match="positive variances"):
        sup_draws(np.diag([1.0, 0.0]), 10, 0)


def test_holm_and_benjamini_hochberg_by_hand() -> None:
    p = [0.01, 0.04, 0.03, np.nan]
    # Holm: 3 x 0.01, 2 x 0.03, then the larger of that and 0.04. BH: 3 x 0.01, then 3/2 x 0.03 capped by 0.04.
    assert holm(p)[:3] == pytest.approx([0.03, 0.06, 0.06])
    assert benjamini_hochberg(p)[:3] == pytest.approx([0.03, 0.04, 0.04])
    assert np.isnan(holm(p)[3])
    assert np.isnan(benjamini_hochberg(p)[3])
    assert holm([]).shape == (0,)
    with pytest.raises(UsageError, match="between 0 and 1"):
        holm([0.2, 1.4])


def test_holm_and_benjamini_hochberg_equal_statsmodels_to_the_bit() -> None:
    p = np.random.default_rng(3).uniform(0, 0.4, 40).round(2)  # with ties, and some beyond one once adjusted
    for own, method in ((holm, "holm"), (benjamini_hochberg, "fdr_bh")):
        np.testing.assert_array_equal(own(p), multipletests(p, method=method)[1])


def test_few_degrees_of_freedom_shrink_correlations() -> None:
    V = np.array([[4.0, 1.8], [1.8, 1.0]])
    assert toward_none(V, np.full(2, np.inf)) == pytest.approx(V)
    assert toward_none(V, np.array([8.0, 30.0])) == pytest.approx(np.array([[4.0, 0.8 * 1.8], [0.8 * 1.8, 1.0]]))


def test_bands_from_signs_of_clusters_contributions() -> None:
    rng = np.random.default_rng(2)
    influence = rng.standard_normal((60, 4)) @ rng.standard_normal((4, 4)) / 8
    df = np.full(4, np.inf)
    signed = signed_band(np.zeros(4), influence, df, draws=20_000)
    normal = simultaneous_band(np.zeros(4), influence.T @ influence, df)
    assert signed.critical == pytest.approx(normal.critical, rel=0.03)
    assert signed.conf_high == pytest.approx(signed.critical * np.sqrt(np.diag(influence.T @ influence)), rel=1e-9)
    with pytest.raises(UsageError, match="positive variances"):
        signed_band(np.zeros(1), np.zeros((5, 1)), df[:1])


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR2", "CR3", "CV3J"])
def test_contributions_give_the_covariance(kind: str) -> None:
    rng = np.random.default_rng(3)
    X, y, g = rng.standard_normal((80, 3)), rng.standard_normal(80), np.repeat(np.arange(10), 8)
    (moments,) = cluster_moments(X, y, g)
    rows = np.eye(2, 3)
    found, reason = contributions(moments, rows, kind)
    V, _ = covariance(moments, rows, kind)
    assert not reason
    assert found.T @ found == pytest.approx(V)
    alone, _ = contributions(cluster_moments(X[:8], y[:8], g[:8])[0], rows, kind)
    assert not alone.any()
    assert contributions(cluster_moments(X[:8], y[:8], g[:8])[0], rows, "CR2")[1]


def by_subsets(statistics: np.ndarray, draws: np.ndarray) -> list[float]:
    """Adjusted p values of closed testing with the largest statistic: the largest p over all sets that hold the hypothesis."""
    m = len(statistics)
    p = {}
    for size in range(1, m + 1):
        for chosen in combinations(range(m), size):
            largest = np.abs(draws[:, chosen]).max(axis=1)
            p[chosen] = (1 + (largest >= np.abs(statistics[list(chosen)]).max()).sum()) / (1 + len(draws))
    return [max(value for chosen, value in p.items() if j in chosen) for j in range(m)]


@pytest.mark.parametrize("seed", range(4))
def test_romano_wolf_is_closed_testing_with_the_largest_statistic(seed: int) -> None:
    rng = np.random.default_rng(seed)
    draws = rng.standard_normal((199, 4)) @ rng.standard_normal((4, 4))
    draws /= draws.std(axis=0)
    statistics = rng.standard_normal(4) * 2
    assert romano_wolf(statistics, draws) == pytest.approx(by_subsets(statistics, draws))


def test_romano_wolf_by_hand_with_ties_and_all_assignments() -> None:
    # Four assignments, the first the observed one. Hypothesis 2 comes first: 3 is reached by draws 1 and 4.
    draws = np.array([[2.0, -3.0], [1.0, 1.0], [-2.0, 0.5], [0.5, 3.0]])
    assert romano_wolf([2.0, -3.0], draws, sampled=False) == pytest.approx([0.5, 0.5])
    assert romano_wolf([2.0, np.nan], draws, sampled=False)[0] == pytest.approx(0.5)
    assert np.isnan(romano_wolf([2.0, np.nan], draws, sampled=False)[1])
    # The same by the rule for sampled draws: (1 + count) / (1 + 4).
    assert romano_wolf([2.0, -3.0], draws) == pytest.approx([0.6, 0.6])
    with pytest.raises(UsageError, match="do not match"):
        romano_wolf([1.0], draws)
    with pytest.raises(UsageError, match="missing"):
        romano_wolf([1.0, 2.0], np.array([[1.0, np.nan]]))


def test_romano_wolf_between_no_correction_and_holm() -> None:
    rng = np.random.default_rng(9)
    shared = rng.standard_normal((9999, 1))
    statistics = np.array([2.5, 2.2, 0.3])
    alone = [(1 + (np.abs(shared) >= s).sum()) / 10_000 for s in statistics]
    same = romano_wolf(statistics, np.repeat(shared, 3, axis=1))
    assert same == pytest.approx(alone)  # perfectly dependent tests need no correction
    apart = romano_wolf(statistics, rng.standard_normal((99_999, 3)))
    exact = 2 * stats.norm.sf(statistics)
    sidak = np.maximum.accumulate(1 - (1 - exact) ** np.array([3, 2, 1]))
    assert apart == pytest.approx(sidak, abs=4e-3)
    assert (apart <= holm(exact) + 4e-3).all()


def test_romano_wolf_holds_the_family_wise_error_rate() -> None:
    rng = np.random.default_rng(4)
    root = np.linalg.cholesky(0.5 * np.eye(5) + 0.5)
    draws = rng.standard_normal((999, 5)) @ root.T
    errors = [romano_wolf(rng.standard_normal(5) @ root.T + [4, 4, 0, 0, 0], draws)[2:].min() <= 0.05 for _ in range(1500)]
    assert np.mean(errors) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1500)


def test_gates_by_hand() -> None:
    levels = [
        {None: {"all": 0.02}},
        {"all": {"a": 0.01, "b": 0.04, "c": np.nan}},
        {"a": {("a", 1): 0.001, ("a", 2): 0.03}, "b": {("b", 1): 0.2}, "c": {("c", 1): 0.001}},
    ]
    found = gatekept(levels)
    assert found == pytest.approx(
        {"all": 0.02, "a": 0.02, "b": 0.04, "c": np.nan, ("a", 1): 0.02, ("a", 2): 0.03, ("b", 1): 0.2, ("c", 1): np.nan},
        nan_ok=True,
    )
    strong = gatekept(levels, between="bonferroni")  # three families of groups have an answer
    assert strong["a", 2] == pytest.approx(0.09)
    assert strong["b", 1] == pytest.approx(0.6)
    assert gatekept([{None: {"x": 0.5, "y": 0.5}}], "none") == {"x": 0.5, "y": 0.5}
    shut = gatekept([{None: {"all": np.nan}}, {"all": {"a": 0.01}}])
    assert np.isnan(shut["a"])


def test_gates_take_an_adjustment_from_joint_draws() -> None:
    rng = np.random.default_rng(6)
    draws = {q: rng.standard_normal(499) for q in "ab"}
    statistics = {"a": 2.6, "b": -2.1}

    def joint(questions: Sequence[Hashable], p: np.ndarray) -> np.ndarray:
        keys = [str(q) for q in questions]
        return p if keys == ["all"] else romano_wolf([statistics[k] for k in keys], np.column_stack([draws[k] for k in keys]))

    found = gatekept([{None: {"all": 0.001}}, {"all": {"a": 0.01, "b": 0.04}}], joint)
    expected = romano_wolf([2.6, -2.1], np.column_stack([draws["a"], draws["b"]]))
    assert [found["a"], found["b"]] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_gates_reject_what_a_walk_through_the_hierarchy_rejects(seed: int) -> None:
    rng = np.random.default_rng(seed)
    measures = {f"m{i}": float(rng.uniform(0, 0.08)) for i in range(4)}
    groups = {m: {(m, g): float(rng.uniform(0, 0.1)) for g in range(3)} for m in measures}
    found = gatekept([{None: {"all": 0.03}}, {"all": measures}, groups])
    for alpha in (0.01, 0.03, 0.05, 0.1):
        walked: set[Hashable] = set()
        if alpha >= 0.03:
            walked |= {"all", *step_down(measures, alpha)}
            for m in [m for m in measures if m in walked]:
                walked |= step_down(groups[m], alpha)
        assert {q for q, p in found.items() if p <= alpha} == walked


def step_down(family: Mapping[Hashable, float], alpha: float) -> set[Hashable]:
    """Holm's procedure as a walk from the smallest p value."""
    out: set[Hashable] = set()
    for i, (question, p) in enumerate(sorted(family.items(), key=lambda item: item[1])):
        if p > alpha / (len(family) - i):
            break
        out.add(question)
    return out


def test_wrong_hierarchies_are_told() -> None:
    for bad, options in (
        ([{"x": {"a": 0.1}}], {}),
        ([{None: {"a": 0.1}}, {"a": {"a": 0.1}}], {}),
        ([{None: {"a": 0.1}}], {"method": "sidak"}),
        ([{None: {"a": 0.1}}], {"between": "holm"}),
        ([{None: {"a": 1.1}}], {}),
    ):
        with pytest.raises(UsageError):
            gatekept(bad, **options)
