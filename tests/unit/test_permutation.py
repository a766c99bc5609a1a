"""Permutation of contracts: counts, exactness, ties and inversion."""

from __future__ import annotations

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from p4equity.errors import StudyError
from p4equity.inference import permutation
from p4equity.inference.permutation import (
    count_assignments,
    enumerate_assignments,
    null_weights,
    permutation_test,
    standardized_difference,
)


def test_counts_of_the_program() -> None:
    for treated, systems, expected in ((5, 12, 792), (3, 10, 120), (2, 9, 36), (1, 8, 8)):
        arm = np.arange(systems) < treated
        strata = np.zeros(systems, int)
        assert count_assignments(arm, strata) == expected
        table = enumerate_assignments(arm, strata)
        assert len({tuple(row) for row in table}) == expected
        assert (table.sum(axis=1) == treated).all()


def test_strata_are_permuted_apart() -> None:
    arm = np.array([True, False, False, True, False])
    strata = np.array([0, 0, 0, 1, 1])
    table = enumerate_assignments(arm, strata)
    assert len(table) == count_assignments(arm, strata) == 6
    assert (table[:, :3].sum(axis=1) == 1).all()
    assert (table[:, 3:].sum(axis=1) == 1).all()


def test_against_a_loop_over_all_assignments() -> None:
    rng = np.random.default_rng(2)
    y, v = rng.normal(size=9), rng.uniform(0.2, 3, 9)
    arm = np.isin(np.arange(9), [1, 4, 7])
    w = null_weights(y, v, "PM")

    def statistic(rows: tuple[int, ...]) -> float:
        a = np.isin(np.arange(9), rows)
        difference = np.average(y[a], weights=w[a]) - np.average(y[~a], weights=w[~a])
        return float(difference / np.sqrt(1 / w[a].sum() + 1 / w[~a].sum()))

    everything = np.array([statistic(rows) for rows in combinations(range(9), 3)])
    own = statistic((1, 4, 7))
    expected = np.mean(np.abs(everything) >= abs(own) - 1e-12)
    result = permutation_test(y, arm, v)
    assert result.p_value == pytest.approx(expected)
    assert result.statistic == pytest.approx(own)
    assert float(standardized_difference(y, arm[None].astype(float), w)[0]) == pytest.approx(own)


def test_mirror_assignments_raise_the_smallest_p() -> None:
    # Three of six: every assignment has a mirror with the same size of difference, so the smallest p is 2/20.
    y = np.array([10.0, 11.0, 12.0, 0.0, 1.0, 2.0])
    result = permutation_test(y, np.arange(6) < 3)
    assert result.p_attainable == pytest.approx(0.1)
    assert result.p_value == pytest.approx(0.1)


def test_interval_is_the_set_of_effects_not_rejected() -> None:
    rng = np.random.default_rng(8)
    v = rng.uniform(0.5, 2, 12)
    arm = np.arange(12) < 5
    y = rng.normal(0, np.sqrt(v)) + 3 * arm
    result = permutation_test(y, arm, v)
    inside, outside = result.conf_low + 1e-3, result.conf_low - 1e-3
    assert permutation_test(y - inside * arm, arm, v).p_value > 0.05
    assert permutation_test(y - outside * arm, arm, v).p_value <= 0.05
    assert (result.p_value <= 0.05) == (not result.conf_low <= 0 <= result.conf_high)


def test_one_treated_of_eight_cannot_reach_five_percent() -> None:
    y = np.array([50.0, 0, 1, 2, 3, 4, 5, 6])
    result = permutation_test(y, np.arange(8) < 1, np.ones(8))
    assert result.p_value == result.p_attainable == pytest.approx(0.125)
    assert result.conf_low == -np.inf
    assert result.conf_high == np.inf


def test_sampling_above_the_limit_is_said_and_seeded() -> None:
    rng = np.random.default_rng(4)
    y, arm = rng.normal(size=20), np.arange(20) < 10
    first, second = (permutation_test(y, arm, limit=500, seed=9) for _ in range(2))
    assert first.sampled
    assert first.monte_carlo_error > 0
    assert first == second


def test_shuffled_units_give_the_same_answer() -> None:
    rng = np.random.default_rng(6)
    y, v, arm = rng.normal(size=10), rng.uniform(0.3, 2, 10), np.arange(10) < 4
    order = rng.permutation(10)
    a, b = permutation_test(y, arm, v), permutation_test(y[order], arm[order], v[order])
    assert a.p_value == b.p_value
    assert a.conf_low == pytest.approx(b.conf_low, abs=1e-5)


def test_no_comparison_unit() -> None:
    with pytest.raises(StudyError):
        permutation_test(np.arange(4.0), np.ones(4, bool))


def test_blocks_and_one_piece_give_the_same_draws_and_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    y, v, arm = rng.normal(size=24), rng.uniform(0.3, 2, 24), np.arange(24) % 2 == 0
    strata = np.repeat([0, 1, 2], 8)
    whole = permutation_test(y, arm, v, strata=strata, limit=3000, seed=5)
    monkeypatch.setattr(permutation, "BLOCK", 500)
    assert permutation_test(y, arm, v, strata=strata, limit=3000, seed=5) == whole
    assert whole.n_draws == 3000


def test_a_table_stays_within_its_cells_and_says_so() -> None:
    rng = np.random.default_rng(1)
    y, arm = rng.normal(size=400), np.arange(400) < 130
    drawn = permutation.assignments(arm, np.zeros(400, int), 1_000_000, 0)
    assert drawn.sampled
    assert drawn.table.nbytes <= permutation.CELLS
    assert drawn.table.shape == (permutation.CELLS // 400, 400)
    few = permutation_test(y, arm, limit=2000)
    assert few.sampled
    assert few.monte_carlo_error == pytest.approx(np.sqrt(few.p_value * (1 - few.p_value) / 2000))
    tracemalloc.start()
    permutation_test(y[:300], arm[:300], np.ones(300), limit=20_000)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_fixed_weights_without_variances_are_two_sums_for_all_effects() -> None:
    rng = np.random.default_rng(2)
    y, arm = rng.normal(size=10) + 2 * (np.arange(10) < 4), np.arange(10) < 4
    result = permutation_test(y, arm)
    for end, outward in ((result.conf_low, -1), (result.conf_high, 1)):
        assert permutation_test(y - (end - outward * 1e-5) * arm, arm).p_value > 0.05
        assert permutation_test(y - (end + outward * 1e-5) * arm, arm).p_value <= 0.05
    w = rng.uniform(1, 3, 10)
    held = permutation_test(y, arm, np.ones(10), weights=w)
    assert held.estimate == pytest.approx(np.average(y[arm], weights=w[arm]) - np.average(y[~arm], weights=w[~arm]))


def test_drawn_assignments_do_not_depend_on_the_order_or_names_of_units() -> None:
    rng = np.random.default_rng(8)
    y, v = rng.standard_normal(30), np.exp(rng.standard_normal(30))
    arm = np.arange(30) < 9
    turn = rng.permutation(30)
    one, two = (permutation_test(y[o], arm[o], v[o], limit=500, seed=3) for o in (np.arange(30), turn))
    assert one.sampled
    assert one.p_value == two.p_value
    assert one.conf_low == pytest.approx(two.conf_low, abs=1e-6)
