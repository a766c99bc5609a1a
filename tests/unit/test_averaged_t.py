"""The averaged t test: against a second implementation, its exact average size, and what it does not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from decision_grid import averaged_p
from p4equity.errors import P4Error
from p4equity.inference import averaged_t as module
from p4equity.inference.averaged_t import averaged_component, averaged_t, single_design, stacked_design
from p4equity.inference.stacked import Stacked
from scipy import stats


def draw(seed: int, n: int = 12, n1: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    v = np.exp(0.9 * rng.standard_normal(n))
    arm = np.zeros(n, bool)
    arm[rng.choice(n, n1, replace=False)] = True
    return rng.standard_normal(n) * np.sqrt(v + 0.5), arm, v


@pytest.mark.parametrize(("n", "n1"), [(12, 5), (12, 1), (20, 3), (5, 2), (3, 1)])
@pytest.mark.parametrize("varying", [False, True])
def test_it_equals_a_second_implementation(n: int, n1: int, varying: bool) -> None:
    cases = [draw(s, n, n1) for s in range(20)]
    y, arm, v = (np.stack(x) for x in zip(*cases, strict=True))
    expected = averaged_p(y, arm, v, varying=varying)
    found = [averaged_t(a, b, c, varying=varying).p_value for a, b, c in cases]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_with_one_pattern_it_is_the_t_test_of_two_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHAPES", ((0.0, 0, 1.0),))
    monkeypatch.setattr(module, "RATIO", ((0.0, 1.0),))
    y, arm, v = draw(4)
    v = np.full_like(v, 2.0)
    module._single.cache_clear()
    found = averaged_t(y, arm, v)
    module._single.cache_clear()
    t = stats.ttest_ind(y[arm], y[~arm])
    interval = t.confidence_interval(0.95)
    np.testing.assert_allclose(
        [found.estimate, found.p_value, found.conf_low, found.conf_high],
        [y[arm].mean() - y[~arm].mean(), t.pvalue, interval.low, interval.high], atol=1e-9,
    )  # fmt: skip


def test_its_size_is_exact_on_average_over_the_patterns() -> None:
    """Severini, Mukerjee and Ghosh (2002): 20,000 draws, pattern drawn from the prior; Monte Carlo error 0.0015."""
    rng = np.random.default_rng(20261123)
    _, arm, v = draw(9, 12, 3)
    design = single_design(v, arm)
    from p4equity.inference.averaged_t import _patterns

    V, log_prior = _patterns(np.diag(v), np.arange(12), arm, False)
    k = rng.choice(len(V), 20_000, p=np.exp(log_prior))
    Y = rng.standard_normal((20_000, 12)) * np.sqrt(np.einsum("kii->ki", V)[k])
    rate = float((design.mixture(Y).p_values <= 0.05).mean())
    assert abs(rate - 0.05) < 0.005


def test_scale_of_variances_and_location_do_not_matter() -> None:
    y, arm, v = draw(5)
    one, two = averaged_t(y, arm, v), averaged_t(100 * y + 7, arm, 9 * v)
    np.testing.assert_allclose([two.estimate / 100, two.conf_low / 100, two.p_value], [one.estimate, one.conf_low, one.p_value])
    shifted = averaged_t(y + 3 * arm, arm, v)
    np.testing.assert_allclose([shifted.estimate - 3, shifted.conf_high - 3], [one.estimate, one.conf_high])


def test_interval_and_p_agree_and_the_interval_inverts_the_test() -> None:
    for seed in range(30):
        y, arm, v = draw(seed)
        fit = averaged_t(y, arm, v)
        assert (fit.p_value <= 0.05) == (fit.conf_low > 0 or fit.conf_high < 0)
        assert averaged_t(y - fit.conf_low * arm, arm, v).p_value == pytest.approx(0.05, abs=1e-6)


def test_parts_of_the_gap_add_up() -> None:
    y, arm, v = draw(6)
    other = draw(7)[0]
    gap = averaged_t(y - other, arm, v)
    parts = [averaged_component(x, arm, v, gap.weights, conf_level=0.95).estimate for x in (y, other)]
    assert gap.estimate == pytest.approx(parts[0] - parts[1], abs=1e-12)


def test_varying_effects_widen_the_interval() -> None:
    wider = 0
    for seed in range(40):
        y, arm, v = draw(seed)
        fits = [averaged_t(y, arm, v, varying=flag) for flag in (False, True)]
        wider += fits[1].conf_high - fits[1].conf_low > fits[0].conf_high - fits[0].conf_low
    assert wider >= 36


def test_without_variation_there_is_no_p() -> None:
    arm = np.array([True] * 3 + [False] * 4)
    fit = averaged_t(np.where(arm, 2.0, 1.0), arm, np.ones(7))
    assert np.isnan([fit.p_value, fit.conf_low]).all()
    assert fit.estimate == pytest.approx(1.0)


@pytest.mark.parametrize("arm", [np.ones(5, bool), np.zeros(5, bool)])
def test_an_empty_arm_is_an_error(arm: np.ndarray) -> None:
    with pytest.raises(P4Error):
        averaged_t(np.arange(5.0), arm, np.ones(5))


def test_two_units_are_too_few() -> None:
    with pytest.raises(P4Error, match="too few units"):
        averaged_t(np.array([1.0, 2.0]), np.array([True, False]), np.ones(2))


def test_one_measure_stacked_is_the_single_question() -> None:
    y, arm, v = draw(8)
    data = Stacked(y[:, None], arm[:, None], v[:, None, None], np.zeros(12, np.int64))
    design, mask = stacked_design(data)
    assert mask.all()
    found = module.answer(design, y, 0.95)
    single = averaged_t(y, arm, v)
    np.testing.assert_allclose(
        [found.estimate, found.p_value, found.conf_low], [single.estimate, single.p_value, single.conf_low]
    )


def test_two_measures_against_generalized_least_squares_by_hand() -> None:
    """One pattern, equal variances, no correlation: the average of two differences in means, pooled residual variance."""
    rng = np.random.default_rng(3)
    y = rng.standard_normal((10, 2))
    contracts = np.zeros((10, 2), bool)
    contracts[:4] = True
    data = Stacked(y, contracts, np.tile(np.eye(2), (10, 1, 1)), np.zeros(10, np.int64))
    design, _ = stacked_design(data)
    V0 = design.V[0]
    k = int(np.argmin([np.abs(V - np.eye(20) * V[0, 0]).max() for V in design.V]))
    assert V0.shape == (20, 20)
    difference = (y[:4].mean(axis=0) - y[4:].mean(axis=0)).mean()
    assert y.reshape(-1) @ design.lines[k] == pytest.approx(difference, abs=1e-12)
    assert design.unit[k] / design.V[k, 0, 0] == pytest.approx((1 / 4 + 1 / 6) / 2, abs=1e-12)
    assert design.residual == 16
