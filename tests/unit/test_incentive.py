"""The payment model against arithmetic, quadrature, brute simulation and the one-at-a-time shrinkage of the package."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from p4equity.errors import StudyError
from p4equity.incentive import (
    Cell,
    Formula,
    Outcome,
    chance_of_narrowing,
    disparity,
    empirical_bayes,
    expected_score,
    expected_score_by_chance,
    gate_met,
    guard_met,
    narrowing,
    observed,
    sampling_variance,
    score,
    simulated,
)
from p4equity.inference.random_effects import tau2_estimate
from p4equity.power import shrink
from scipy import integrate, stats

FORMULA = Formula(threshold=0.5, slope=0.25, cap=1.0, gate_margin=-1.0)
LINEAR = Formula(threshold=0.0, slope=1.0, cap=math.inf, gate_margin=-1.0)


def test_score_is_zero_up_to_the_threshold_then_linear_then_capped() -> None:
    points = narrowing([8.0, 8.0, 8.0, 8.0, 5.0], [9.0, 7.5, 5.5, 1.0, 0.5])
    assert score(points, FORMULA) == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0])


def test_gate_is_met_at_the_margin_and_not_by_a_missing_change() -> None:
    assert gate_met([-1.0, -1.01, 2.0, np.nan], FORMULA).tolist() == [True, False, True, False]


@pytest.mark.parametrize(("se", "true"), [(0.3, 0.0), (1.6, 0.0), (5.0, 0.0), (1.6, 2.0), (0.3, 4.4), (2.0, -1.0)])
def test_expected_score_equals_quadrature(se: float, true: float) -> None:
    def integrand(z: float) -> float:
        return float(score(z, FORMULA)) * float(stats.norm.pdf(z, loc=true, scale=se))

    upper = FORMULA.threshold + FORMULA.cap / FORMULA.slope
    middle, _ = integrate.quad(integrand, FORMULA.threshold, upper)
    by_hand = middle + FORMULA.cap * float(stats.norm.sf(upper, loc=true, scale=se))
    assert float(expected_score(se, FORMULA, true)) == pytest.approx(by_hand, rel=1e-7)
    if not true:
        assert float(expected_score_by_chance(se, FORMULA)) == pytest.approx(by_hand, rel=1e-9)


def test_linear_pay_without_a_cap_and_several_measures() -> None:
    assert float(expected_score(2.0, LINEAR)) == pytest.approx(2.0 / math.sqrt(2 * math.pi), rel=1e-12)
    assert float(chance_of_narrowing(2.0, 2.0, cells=4)) == pytest.approx(1 - stats.norm.cdf(1.0) ** 4, rel=1e-12)


def test_no_slope_earns_nothing() -> None:
    flat = Formula(threshold=0.5, slope=0.0, cap=1.0, gate_margin=-1.0)
    assert expected_score_by_chance([1.0, 3.0], flat).tolist() == [0.0, 0.0]


def test_unknown_statistic_is_a_study_error() -> None:
    with pytest.raises(StudyError, match="statistic"):
        Formula(threshold=0.5, slope=0.25, cap=1.0, gate_margin=-1.0, statistic="variance")
    with pytest.raises(StudyError, match="share paid for efficiency"):
        Formula(threshold=0.5, slope=0.25, cap=1.0, gate_margin=-1.0, efficiency_share=1.5)


# --- statistics and guards

DEN = np.array([[800.0, 800.0], [200.0, 200.0], [100.0, 100.0]])
RATES = np.array([[80.0, 81.0], [70.0, 74.0], [76.0, 83.0]])  # reference, two groups; baseline and performance year


def made_cell(rates: np.ndarray = RATES, **more: object) -> Cell:
    """Two years, three groups, a quarter of the members in none of them; errors of 1, 2 and 3 points without memory."""
    base: dict[str, object] = {
        "rates": rates, "den": DEN, "covariance": np.array([1.0, 4.0, 9.0])[:, None, None] * np.eye(2),
        "years": np.array([2022.0, 2024.0]), "before": np.array([1.0, 0.0]), "after": np.array([0.0, 1.0]),
        "shares": np.array([0.5, 0.15, 0.1]), "overall_change": 1.0,
    }  # fmt: skip
    return Cell(**(base | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("statistic", "values"),
    [
        ("pairwise_gap", [[10.0, 7.0], [4.0, -2.0]]),
        ("gap_to_best", [[10.0, 9.0], [4.0, 0.0]]),  # the best group of the second year is another
        ("weighted_mean_gap", [[8.0, 4.0]]),
        ("worst_group_rate", [[-70.0, -74.0]]),
    ],
)
def test_statistics_of_a_cell_by_hand(statistic: str, values: list[list[float]]) -> None:
    assert disparity(statistic, RATES, DEN) == pytest.approx(np.array(values))
    assert disparity(statistic, np.stack([RATES] * 3), DEN).shape == (3, *np.shape(values))
    whole = observed(made_cell(), Formula(0, 1, 1, -1, statistic=statistic, past_zero=True)).improvement
    assert whole == pytest.approx(np.array(values) @ [1.0, -1.0])


def test_what_is_paid_for_ends_where_the_group_is_no_longer_behind() -> None:
    """The second group of the cell was 4 points behind and is 2 ahead: four points are paid for, or six past zero."""
    assert observed(made_cell(), Formula(0, 1, 1, -1)).improvement == pytest.approx([3.0, 4.0])
    assert observed(made_cell(), Formula(0, 1, 1, -1, past_zero=True)).improvement == pytest.approx([3.0, 6.0])
    ahead = made_cell(np.array([[80.0, 81.0], [70.0, 74.0], [80.29, 85.9]]))  # ahead before, and further ahead after
    assert observed(ahead, Formula(0, 1, 1, -1)).improvement == pytest.approx([3.0, 0.0])
    assert observed(ahead, Formula(0, 1, 1, -1, past_zero=True)).improvement == pytest.approx([3.0, 4.61])
    # A group that falls behind from ahead is paid for as wider by what it is behind.
    assert narrowing([-2.0], [3.0], past_zero=False).tolist() == [-3.0]
    # Rates have no such end: the worst group's rate and the variance are paid for as they are.
    for statistic in ("worst_group_rate", "between_group_variance"):
        ends, past = (observed(made_cell(), Formula(0, 1, 1, -1, statistic=statistic, past_zero=p)) for p in (False, True))
        assert ends.improvement.tolist() == past.improvement.tolist()


def test_noise_is_paid_less_for_where_pay_ends_at_zero() -> None:
    cell = made_cell()
    noise = cell.noise(4_000, np.random.default_rng(5))
    paid = {}
    for past in (False, True):
        formula = Formula(0.5, 0.25, 1.0, -50.0, past_zero=past)
        drawn = simulated(cell, formula, noise)
        paid[past] = drawn.paid(drawn.improvement, formula).mean(axis=0)
        assert sampling_variance(cell, formula, noise) == pytest.approx(drawn.improvement.var(axis=0, ddof=1), rel=0.06)
    assert paid[False][0] == pytest.approx(paid[True][0], abs=0.02)  # a gap of 8.5 points seldom reaches zero
    assert paid[False][1] < 0.8 * paid[True][1]  # one of a point does half of the time


def test_variance_between_groups_is_free_of_its_sampling_part() -> None:
    found = disparity("between_group_variance", RATES, DEN)
    w = DEN[:, 0] / DEN[:, 0].sum()
    mean = w @ RATES[:, 0]
    sampling = (w * (1 - w) * RATES[:, 0] * (100 - RATES[:, 0]) / (DEN[:, 0] - 1)).sum()
    assert found[0, 0] == pytest.approx(w @ (RATES[:, 0] - mean) ** 2 - sampling)


def test_a_gap_that_closes_from_above_is_not_paid_under_the_guard() -> None:
    down = made_cell(np.array([[80.0, 76.0], [70.0, 70.0], [76.0, 77.0]]))
    plain = Formula(0, 0.25, 1, -9, past_zero=True)
    guard = replace(plain, reference_margin=-0.5, group_gain=0.0)
    seen = observed(down, plain)
    assert seen.improvement == pytest.approx([4.0, 5.0])
    assert seen.paid(seen.improvement, plain) == pytest.approx([1.0, 1.0])
    assert seen.guarded(guard).tolist() == [False, False]  # the reference group fell by 4
    assert seen.paid(seen.improvement, guard) == pytest.approx([0.0, 0.0])
    held = Outcome(*(np.array(x) for x in ([4.0, 4.0], [-0.5, 0.0], [3.5, 0.0], [1.0, 1.0])))
    assert held.guarded(guard).tolist() == [True, False]  # at the margin it holds; no gain is no gain
    assert guard_met([-9.0], [-9.0], plain).tolist() == [True]


def test_speed_efficiency_and_the_gate() -> None:
    cell = made_cell()
    assert observed(cell, Formula(0, 1, 1, -1, per_year=True, past_zero=True)).improvement == pytest.approx(
        [1.5, 3.0]
    )  # two years apart
    saving = Formula(0, 0.1, 1, -1, efficiency_share=0.25, past_zero=True)
    seen = observed(cell, saving)
    assert seen.paid(seen.improvement, saving, np.array([True, False])) == pytest.approx([0.75 * 0.3 + 0.25, 0.75 * 0.6])
    fallen = observed(made_cell(overall_change=-1.5), saving)
    assert fallen.paid(fallen.improvement, saving, True) == pytest.approx([0.0, 0.0])


# --- noise


def test_simulated_pay_for_no_change_is_the_closed_form_and_grows_with_the_truth() -> None:
    cell, formula = made_cell(), Formula(0.5, 0.25, 1.0, -50.0, past_zero=True)
    noise = cell.noise(40_000, np.random.default_rng(5))
    assert noise.var(axis=0) == pytest.approx(np.array([[1, 1], [4, 4], [9, 9]]), rel=0.04)
    errors = np.sqrt(2 * np.array([1 + 4, 1 + 9]))  # two years each
    assert np.sqrt(sampling_variance(cell, formula, noise)) == pytest.approx(errors)
    for true in (0.0, 2.0):
        drawn = simulated(cell, formula, noise, true)
        assert drawn.improvement.mean(axis=0) == pytest.approx([true, true], abs=0.08)
        paid = drawn.paid(drawn.improvement, formula).mean(axis=0)
        assert paid == pytest.approx(expected_score(errors, formula, true), abs=0.008)  # Monte Carlo error 0.002
    for statistic in ("gap_to_best", "worst_group_rate", "between_group_variance"):
        other = Formula(0.0, 1.0, 1.0, -50.0, statistic=statistic)
        found = simulated(cell, other, noise).improvement
        assert found.mean(axis=0) == pytest.approx(0.0, abs=0.15), statistic  # whatever bias noise gives is there in both years
        assert sampling_variance(cell, other, noise) == pytest.approx(found.var(axis=0, ddof=1))


def test_many_data_sets_shrink_as_one_at_a_time() -> None:
    rng = np.random.default_rng(6)
    points, variances = 3 * rng.standard_normal((40, 7)), rng.uniform(0.5, 8.0, (40, 7))
    points[0], points[1, 3:], points[2, 1:] = 1.0, np.nan, np.nan  # alike; four that are not there; a single one
    found = empirical_bayes(points, variances)
    for y, v, drawn in zip(points, variances, found, strict=True):
        known = np.isfinite(y)
        if known.sum() < 2:
            assert drawn[known] == pytest.approx(y[known])
            continue
        tau2 = tau2_estimate(y[known], np.ones((int(known.sum()), 1)), v[known], "PM")
        assert drawn[known] == pytest.approx(shrink(y[known], v[known], max(tau2, 1e-12))[0], abs=1e-8)
        assert np.isnan(drawn[~known]).all()
    certain = np.concatenate([points[3:4], [[9.0]]], axis=1), np.concatenate([variances[3:4], [[0.0]]], axis=1)
    assert empirical_bayes(*certain)[0] == pytest.approx([*found[3], 9.0])  # what cannot vary draws nobody
