"""One covariate beside the contract: identities, outside libraries, all permutations by hand, level with few systems."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import statsmodels.api as sm
from p4equity.errors import StudyError
from p4equity.inference.averaged_t import averaged_design
from p4equity.inference.covariate import covariate_answer, effect_regression, interaction_regression, slope_regression
from p4equity.inference.residual_permutation import residual_permutation
from p4equity.inference.stacked import Stacked

DOSE = np.array([1.0, 1.2, 2.1, 6.0, 1.6, 1.3, 2.2, 2.3, 2.7, 2.2, 0.0, 5.0])  # as unequal as the study's grants, tens of USD
VARIANCE = np.array([0.6, 0.8, 2.0, 3.0, 1.5, 1.0, 2.5, 4.0, 4.0, 2.0, 2.0, 6.0])
ARMS = {"5 v 7": list(range(12)), "3 v 7": [2, 3, 4, *range(5, 12)]}


def one_measure(y: np.ndarray, treated: np.ndarray, variance: np.ndarray) -> Stacked:
    return Stacked(y[:, None], treated[:, None], variance[:, None, None], np.zeros(len(y), np.int64))


def two_measures(rng: np.random.Generator, tau: float, correlation: float = 0.5) -> Stacked:
    """Twelve systems, five contracted on the first measure and two of them on the second; sampling errors correlated too."""
    mixed = correlation * np.ones((2, 2)) + (1 - correlation) * np.eye(2)
    sampling = VARIANCE[:, None, None] * mixed
    y = np.stack([rng.multivariate_normal(np.zeros(2), V + tau**2 * mixed) for V in sampling])
    contracts = np.zeros((12, 2), bool)
    contracts[:5, 0] = contracts[3:5, 1] = True
    return Stacked(y, contracts, sampling, np.zeros(12, np.int64))


def drawn(arms: str, rng: np.random.Generator, tau: float = 1.0) -> tuple[Stacked, np.ndarray]:
    at = ARMS[arms]
    y = rng.normal(size=len(at)) * np.sqrt(VARIANCE[at] + tau**2)
    return one_measure(y, np.arange(len(at)) < len(at) - 7, VARIANCE[at]), DOSE[at]


def test_the_effect_is_a_difference_between_arms_in_which_the_covariate_is_the_same() -> None:
    """Weights sum to one over contracted, to minus one over comparison systems, and to zero times the dose."""
    data, dose = drawn("5 v 7", np.random.default_rng(1))
    weights = covariate_answer(effect_regression(data, dose), 0.95).weights
    treated = data.contracts[:, 0]
    assert weights[treated].sum() == pytest.approx(1)
    assert weights[~treated].sum() == pytest.approx(-1)
    assert weights @ dose == pytest.approx(0, abs=1e-12)
    exact = one_measure(2 + 3 * treated - 0.5 * dose, treated, VARIANCE)
    assert covariate_answer(effect_regression(exact, dose), 0.95).estimate == pytest.approx(3)
    assert covariate_answer(slope_regression(exact, dose), 0.95).estimate == pytest.approx(-0.5)


def test_how_much_more_the_effect_is_along_a_covariate_is_a_difference_of_slopes() -> None:
    """With one variance: the slope of contracted systems less that of the others, each fitted by itself; and an exact law."""
    data, dose = drawn("5 v 7", np.random.default_rng(2))
    treated = data.contracts[:, 0]
    even = one_measure(data.y[:, 0], treated, np.ones(12))
    regression = interaction_regression(even, dose)
    slopes = [np.polyfit(dose[arm], data.y[arm, 0], 1)[0] for arm in (treated, ~treated)]
    assert (np.linalg.pinv(regression.X) @ regression.y) @ regression.contrast == pytest.approx(slopes[0] - slopes[1])
    exact = one_measure(2 + 3 * treated - 0.5 * dose + 0.75 * dose * treated, treated, VARIANCE)
    assert covariate_answer(interaction_regression(exact, dose), 0.95).estimate == pytest.approx(0.75)
    result = residual_permutation(regression, even.strata, conf_level=0.95, draws=199, seed=1)
    assert result.estimate == pytest.approx(slopes[0] - slopes[1], abs=0.5)
    with pytest.raises(StudyError, match="too few contracted systems"):
        interaction_regression(one_measure(data.y[:, 0], np.arange(12) < 2, VARIANCE), dose)


def test_where_there_is_no_interaction_its_t_test_holds_its_level() -> None:
    """2,000 draws without any effect, five contracted systems beside seven, with and without spread beyond sampling."""
    rng = np.random.default_rng(6)
    data, dose = drawn("5 v 7", rng)
    made = interaction_regression(data, dose)
    design = averaged_design(made.X, made.contrast, made.sampling, made.system, made.treated)
    for tau in (0.0, 1.0, 2.5):
        y = rng.normal(size=(2000, 12)) * np.sqrt(VARIANCE + tau**2)
        assert 0.02 <= np.mean(design.mixture(y).p_values <= 0.05) <= 0.075


def test_three_pairs_by_hand() -> None:
    """Three systems an arm, doses 0, 1, 2 in both, one variance: the effect is the difference of means."""
    treated, dose = np.array([1, 1, 1, 0, 0, 0], bool), np.array([0.0, 1, 2, 0, 1, 2])
    data = one_measure(np.array([-4.0, -2, -3, 0.5, 0, 1]), treated, np.ones(6))
    result = residual_permutation(effect_regression(data, dose), data.strata, conf_level=0.95, draws=99, seed=1)
    assert result.estimate == pytest.approx(-3.5)


@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_neither_origin_nor_unit_of_the_covariate_matter_for_the_effect(shift: float) -> None:
    data, dose = drawn("5 v 7", np.random.default_rng(2))
    for form, factor in ((effect_regression, 1.0), (slope_regression, 10.0)):
        one, other = (covariate_answer(form(data, z), 0.95) for z in (dose, shift + dose / 10))
        assert (factor * one.estimate, factor * one.conf_low) == pytest.approx((other.estimate, other.conf_low))
        assert other.p_value == pytest.approx(one.p_value)


def test_systems_of_one_size_give_the_slope_of_least_squares() -> None:
    rng = np.random.default_rng(3)
    treated = np.arange(12) < 5
    data = one_measure(rng.normal(size=12) + 0.4 * DOSE, treated, np.full(12, 2.0))
    own, other = covariate_answer(slope_regression(data, DOSE), 0.95), sm.OLS(data.y[5:, 0], sm.add_constant(DOSE[5:])).fit()
    assert own.estimate == pytest.approx(other.params[1])
    assert (own.conf_low, own.conf_high) == pytest.approx(tuple(other.conf_int()[1]))
    assert own.p_value == pytest.approx(other.pvalues[1])


def test_draws_of_residuals_come_to_the_share_over_all_their_permutations() -> None:
    """Six systems of one size: all 720 orders of the residuals of a regression on the dose, each with its own least squares t."""
    rng, treated, dose = np.random.default_rng(4), np.arange(6) < 3, DOSE[:6]
    y = rng.normal(size=6) - 1.5 * treated + dose
    data = one_measure(y, treated, np.ones(6))
    result = residual_permutation(effect_regression(data, dose), data.strata, conf_level=0.95, draws=20_000, seed=1)
    X = np.column_stack([np.ones(6), treated, dose])
    null = sm.OLS(y, X[:, [0, 2]]).fit()
    t = [sm.OLS(null.fittedvalues + null.resid[list(order)], X).fit().tvalues[1] for order in permutations(range(6))]
    observed = sm.OLS(y, X).fit()
    assert result.estimate == pytest.approx(observed.params[1])
    share = float(np.mean(np.abs(t) >= abs(observed.tvalues[1]) * (1 - 1e-9)))
    assert abs(result.p_value - share) < 4 * np.sqrt(share * (1 - share) / 20_000) + 1e-4


def test_the_interval_of_draws_ends_where_the_test_begins_to_reject_and_no_renaming_changes_it() -> None:
    """The effect at an end taken out of the changes gives p = 0.05, but for other draws: four Monte Carlo errors."""
    data, dose = drawn("5 v 7", np.random.default_rng(5))
    settings = {"conf_level": 0.95, "draws": 4999, "seed": 3}
    result = residual_permutation(effect_regression(data, dose), data.strata, **settings)
    for end in (result.conf_low, result.conf_high):
        moved = one_measure(data.y[:, 0] - end * data.contracts[:, 0], data.contracts[:, 0], VARIANCE)
        p = residual_permutation(effect_regression(moved, dose), data.strata, **settings).p_value
        assert p == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 4999))
    order = np.random.default_rng(6).permutation(12)
    renamed = one_measure(data.y[order, 0], data.contracts[order, 0], VARIANCE[order])
    again = residual_permutation(effect_regression(renamed, dose[order]), data.strata, **settings)
    assert (again.p_value, again.conf_low) == pytest.approx((result.p_value, result.conf_low))


@pytest.mark.parametrize("arms", list(ARMS))
def test_level_of_both_tests_beside_a_dose_that_matters(arms: str) -> None:
    """5% of 600 draws within three Monte Carlo errors and a point, whether systems differ beyond sampling or not."""
    for tau in (0.0, 2.0):
        rng, rejected, y = np.random.default_rng([7, int(tau)]), 0, []
        for seed in range(600):
            data, dose = drawn(arms, rng, tau)
            data = one_measure(data.y[:, 0] + dose, data.contracts[:, 0], data.covariance[:, 0, 0])
            regression = effect_regression(data, dose)
            rejected += residual_permutation(regression, data.strata, conf_level=0.95, draws=199, seed=seed).p_value <= 0.05
            y.append(regression.y)
        design = averaged_design(regression.X, regression.contrast, regression.sampling, regression.system, regression.treated)
        assert 0.02 < rejected / 600 < 0.087
        assert 0.02 < float((design.mixture(np.array(y)).p_values <= 0.05).mean()) < 0.087


def test_level_of_the_pooled_question() -> None:
    rng, rejected, covered = np.random.default_rng(8), 0, 0
    for seed in range(300):
        data = two_measures(rng, 1.0)
        regression = effect_regression(data, DOSE)
        rejected += residual_permutation(regression, data.strata, conf_level=0.95, draws=199, seed=seed).p_value <= 0.05
        if seed < 60:
            fit = covariate_answer(regression, 0.95)
            covered += fit.conf_low <= 0 <= fit.conf_high
    assert 0.01 < rejected / 300 < 0.1
    assert covered >= 52


def test_too_few_systems_and_a_covariate_that_is_the_arm_are_refused() -> None:
    treated = np.arange(7) < 3
    y = np.arange(7.0) ** 2
    with pytest.raises(StudyError, match="too few systems for a covariate: 5"):
        effect_regression(one_measure(y[:5], treated[:5], np.ones(5)), DOSE[:5])
    with pytest.raises(StudyError, match="too few systems for a covariate: 4"):
        slope_regression(one_measure(y, treated, np.ones(7)), DOSE[:7])
    with pytest.raises(StudyError, match="does not vary within arms"):
        effect_regression(one_measure(y, treated, np.ones(7)), treated.astype(float))
    two = one_measure(np.arange(9.0) ** 2, np.arange(9) < 2, np.ones(9))
    with pytest.raises(StudyError, match="3 contracted systems or more: 2"):
        residual_permutation(effect_regression(two, DOSE[:9]), two.strata, conf_level=0.95, draws=99, seed=1)


def test_where_every_other_draw_changes_nothing_the_interval_has_no_end() -> None:
    """Pairs that alone may change places leave the one comparison pair: as it is in half of all draws, it fits any slope.

    Far from zero a covariate is held by the regressors but for rounding, which must not end the interval at a large slope.
    """
    pairs = np.array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 5])
    for seed in range(10):
        regression = slope_regression(two_measures(np.random.default_rng(seed), 1.0), 1000 + 37.3 * DOSE)
        result = residual_permutation(regression, pairs, conf_level=0.95, draws=199, seed=1)
        assert (result.conf_low, result.conf_high) == (-np.inf, np.inf)
