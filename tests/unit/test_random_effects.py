"""Random-effects regression against published values and limiting cases."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.errors import StudyError, UsageError
from p4equity.inference.random_effects import linear_component, meta_regression, tau2_estimate
from scipy import stats

# BCG vaccine trials: log risk ratios and sampling variances, Colditz and others (1994) as tabulated in the documentation of the R
# package metafor (dat.bcg), whose rma() reports tau2 = 0.3132 (REML), 0.3088 (DL), 0.3181 (PM) for the model without moderators.
BCG_Y = np.array(
    [-0.8893, -1.5854, -1.3481, -1.4416, -0.2175, -0.7861, -1.6209, 0.0120, -0.4694, -1.3713, -0.3394, 0.4459, -0.0173]
)
BCG_V = np.array([0.3256, 0.1946, 0.4154, 0.0200, 0.0512, 0.0069, 0.2230, 0.0040, 0.0564, 0.0730, 0.0124, 0.5325, 0.0714])


@pytest.mark.parametrize(("method", "published"), [("REML", 0.3132), ("DL", 0.3088), ("PM", 0.3181)])
def test_between_trial_variance_of_the_bcg_trials(method: str, published: float) -> None:
    # Four decimals are published for data and answer, so agreement is to three digits.
    assert tau2_estimate(BCG_Y, np.ones((13, 1)), BCG_V, method) == pytest.approx(published, abs=6e-4)


def test_equal_variances_give_the_two_sample_t_test() -> None:
    # With one common sampling variance below the observed spread, Knapp-Hartung is the classical t test whatever tau2.
    rng = np.random.default_rng(3)
    y, arm = rng.normal(0, 2, 12), np.arange(12) < 5
    fit = meta_regression(y, arm, np.full(12, 0.01))
    t, p = stats.ttest_ind(y[arm], y[~arm])
    assert fit.statistic == pytest.approx(t, rel=1e-9)
    assert fit.p_value == pytest.approx(p, rel=1e-9)


def test_without_heterogeneity_the_weights_are_inverse_variances() -> None:
    v = np.array([1.0, 4.0, 1.0, 4.0])
    arm = np.array([True, True, False, False])
    y = np.array([1.0, 1.1, 0.0, 0.1])  # spread far below sampling error: tau2 = 0
    fit = meta_regression(y, arm, v)
    assert fit.tau2 == 0
    assert fit.estimate == pytest.approx((0.8 * 1.0 + 0.2 * 1.1) - (0.8 * 0.0 + 0.2 * 0.1))
    assert fit.weights @ y == pytest.approx(fit.estimate)


def test_components_add_up_to_the_gap() -> None:
    rng = np.random.default_rng(11)
    reference, group = rng.normal(size=10), rng.normal(size=10)
    v_r, v_g = rng.uniform(0.1, 1, 10), rng.uniform(0.5, 2, 10)
    arm = np.arange(10) < 3
    gap = meta_regression(reference - group, arm, v_r + v_g)
    sides = [linear_component(y, v, arm, gap.weights, method="PM", conf_level=0.95) for y, v in ((reference, v_r), (group, v_g))]
    assert sides[0].estimate - sides[1].estimate == pytest.approx(gap.estimate, abs=1e-12)


def test_truncation_never_narrows() -> None:
    y, v = np.array([0.0, 0.1, 0.05, 0.02, 0.0]), np.ones(5)
    arm = np.array([True, True, False, False, False])
    free, held = meta_regression(y, arm, v), meta_regression(y, arm, v, truncate=True)
    assert free.q < 1 == held.q
    assert held.std_error > free.std_error


@pytest.mark.parametrize("treated", [np.zeros(4, bool), np.ones(4, bool)])
def test_an_empty_arm_is_a_study_error(treated: np.ndarray) -> None:
    with pytest.raises(StudyError, match="unit left"):
        meta_regression(np.arange(4.0), treated, np.ones(4))


def test_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="PM, REML, DL"):
        tau2_estimate(BCG_Y, np.ones((13, 1)), BCG_V, "SJ")


def test_size_under_the_null_with_known_sampling_errors() -> None:
    # 12 systems of unequal size, 5 treated, between-system variance as large as the typical sampling variance.
    rng = np.random.default_rng(5)
    v = 1.7**2 * 100 / np.array([230, 190, 80, 25, 100, 130, 45, 35, 30, 45, 45, 12])
    arm = np.arange(12) < 5
    draws = 800
    rejected = sum(meta_regression(rng.normal(0, np.sqrt(v + 2.25)), arm, v).p_value < 0.05 for _ in range(draws))
    assert 0.02 < rejected / draws < 0.08  # 5% with a Monte Carlo error of 0.8 points


def test_a_component_follows_a_scale_held_at_one() -> None:
    y, arm = np.array([1.0, 1.1, 0.2, 0.1, 0.15, 0.05]), np.array([True, True, False, False, False, False])
    v = np.full(6, 1.0)
    free, held = (meta_regression(y, arm, v, truncate=t) for t in (False, True))
    assert free.q < 1
    assert held.std_error == pytest.approx(free.std_error / np.sqrt(free.q))
    parts = [linear_component(y, v, arm, free.weights, method="PM", conf_level=0.95, truncate=t) for t in (False, True)]
    assert [p.std_error for p in parts] == pytest.approx([free.std_error, held.std_error])
