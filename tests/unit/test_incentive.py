"""The payment formula against arithmetic, quadrature and the published chance table (domain: paying for noise)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from p4equity.errors import StudyError
from p4equity.incentive import Formula, chance_of_narrowing, expected_score_by_chance, gate_met, narrowing, score
from scipy import integrate, stats

FORMULA = Formula(threshold=0.5, slope=0.25, cap=1.0, gate_margin=-1.0)
LINEAR = Formula(threshold=0.0, slope=1.0, cap=math.inf, gate_margin=-1.0)


def test_score_is_zero_up_to_the_threshold_then_linear_then_capped() -> None:
    points = narrowing([8.0, 8.0, 8.0, 8.0, 5.0], [9.0, 7.5, 5.5, 1.0, 0.5])
    assert score(points, FORMULA) == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0])


def test_gate_is_met_at_the_margin_and_not_by_a_missing_change() -> None:
    assert gate_met([-1.0, -1.01, 2.0, np.nan], FORMULA).tolist() == [True, False, True, False]


# Standard error of the change; P(>= 1), P(>= 2), mean earned if linear above 0, P(one of four >= 2).
TABLE = [
    (1.0, 0.16, 0.02, 0.4, 0.09),
    (1.6, 0.27, 0.11, 0.6, 0.36),
    (2.0, 0.31, 0.16, 0.8, 0.50),
    (2.7, 0.36, 0.23, 1.1, 0.65),
    (3.4, 0.38, 0.28, 1.4, 0.73),
]


@pytest.mark.parametrize(("se", "one", "two", "earned", "any_of_four"), TABLE)
def test_chance_table(se: float, one: float, two: float, earned: float, any_of_four: float) -> None:
    assert float(chance_of_narrowing(se, 1.0)) == pytest.approx(one, abs=0.006)
    assert float(chance_of_narrowing(se, 2.0)) == pytest.approx(two, abs=0.006)
    assert float(expected_score_by_chance(se, LINEAR)) == pytest.approx(se / math.sqrt(2 * math.pi), rel=1e-12)
    assert float(expected_score_by_chance(se, LINEAR)) == pytest.approx(earned, abs=0.051)
    assert float(chance_of_narrowing(se, 2.0, cells=4)) == pytest.approx(any_of_four, abs=0.011)


@pytest.mark.parametrize("se", [0.3, 1.6, 5.0])
def test_expected_score_equals_quadrature(se: float) -> None:
    def integrand(z: float) -> float:
        return float(score(z, FORMULA)) * float(stats.norm.pdf(z, scale=se))

    upper = FORMULA.threshold + FORMULA.cap / FORMULA.slope
    middle, _ = integrate.quad(integrand, FORMULA.threshold, upper)
    by_hand = middle + FORMULA.cap * float(stats.norm.sf(upper, scale=se))
    assert float(expected_score_by_chance(se, FORMULA)) == pytest.approx(by_hand, rel=1e-9)


def test_no_slope_earns_nothing() -> None:
    flat = Formula(threshold=0.5, slope=0.0, cap=1.0, gate_margin=-1.0)
    assert expected_score_by_chance([1.0, 3.0], flat).tolist() == [0.0, 0.0]


def test_unknown_statistic_is_a_study_error() -> None:
    with pytest.raises(StudyError, match="statistic"):
        Formula(threshold=0.5, slope=0.25, cap=1.0, gate_margin=-1.0, statistic="variance")
