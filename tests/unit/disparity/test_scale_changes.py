"""Changes on other scales: the linear one is the gap's own, sampling variance and lack of bias by simulation of members."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from p4equity.disparity.changes import combine, gap_changes
from p4equity.disparity.panel import ALL, Array, Panel
from p4equity.disparity.scale_changes import AT_THE_EDGE, NO_COMPARISON, TOO_SMALL, Asked, scale_changes, scale_levels
from p4equity.disparity.scales import LINEAR, LOG_FAILURE, LOG_ODDS, LOG_SUCCESS, THEIL, VARIANCE, Scale

YEARS, PRE, POST = (1, 2, 3, 4), (1, 2), (3, 4)
GROUPS = ("a", "b", "c")
SIZES = (300, 120, 80)
PERSISTENCE = 0.5
BEFORE, AFTER = np.array([0.80, 0.70, 0.66]), np.array([0.80, 0.75, 0.72])
AGAINST, MIX = np.array([1.0, -0.5, -0.5]), np.array([0.6, 0.24, 0.16])
CASES = [(LINEAR, AGAINST), (LOG_SUCCESS, AGAINST), (LOG_FAILURE, AGAINST), (LOG_ODDS, AGAINST), (VARIANCE, MIX), (THEIL, MIX)]


def members(rng: np.random.Generator, systems: int, size: int, rates: tuple[float, ...]) -> Array:
    """(S, n, T) outcomes of the same members in every year; an outcome's luck lasts to the next year with `PERSISTENCE`."""
    luck = rng.random((systems, size))
    out = []
    for rate in rates:
        out.append(luck < rate)
        luck = np.where(rng.random(luck.shape) < PERSISTENCE, luck, rng.random(luck.shape))
    return np.stack(out, axis=2)


def panel_of(outcomes: dict[str, Array]) -> Panel:
    """A panel of one measure in which each member is in every year."""
    systems, T = len(next(iter(outcomes.values()))), len(YEARS)
    names = tuple(f"S{i:05}" for i in range(systems))
    groups = [*outcomes, ALL]
    den, num = np.zeros((systems, len(groups), T)), np.zeros((systems, len(groups), T))
    overlap, kappa = {}, {}
    for i, (group, y) in enumerate(outcomes.items()):
        den[:, i], num[:, i] = y.shape[1], y.sum(axis=1)
        overlap[group] = np.full((systems, T, T), float(y.shape[1]))
        centred = y - y.mean(axis=1, keepdims=True)
        kappa[group] = np.einsum("snt,snu->tu", centred, centred) / (y.shape[0] * y.shape[1])
    return Panel(names, ("m",), tuple(("m", g) for g in groups), YEARS, den, num, overlap, kappa, None)


@cache
def simulated(changing: bool, systems: int = 900) -> Panel:
    rng = np.random.default_rng(20 + changing)
    after = AFTER if changing else BEFORE
    return panel_of(
        {
            g: members(rng, systems, n, (BEFORE[i], BEFORE[i], after[i], after[i]))
            for i, (g, n) in enumerate(zip(GROUPS, SIZES, strict=True))
        }
    )


def asked(panel: Panel, weights: Array) -> list[Asked]:
    return [Asked("m", GROUPS, np.tile(weights, (len(panel.systems), 1)))]


def joined(first: Panel, second: Panel, n: int) -> Panel:
    """The first n systems of each, so that comparison systems center those that change."""
    names = tuple(f"T{i:05}" for i in range(n)) + tuple(f"C{i:05}" for i in range(n))
    overlap = {g: np.concatenate([first.overlap[g][:n], second.overlap[g][:n]]) for g in first.overlap}
    kappa = {g: (first.kappa[g] + second.kappa[g]) / 2 for g in first.kappa}
    den, num = (np.concatenate([a[:n], b[:n]]) for a, b in ((first.den, second.den), (first.num, second.num)))
    return Panel(names, first.measures, first.series, YEARS, den, num, overlap, kappa, None)


@pytest.mark.parametrize(("scale", "weights"), CASES)
def test_changes_are_unbiased_and_vary_as_stated(scale: Scale, weights: Array) -> None:
    """900 systems of 500 members each with and without a change: the mean is that of the true rates, the variance as stated."""
    n = 900
    panel = joined(simulated(True), simulated(False), n)
    windows = dict.fromkeys(panel.systems, (PRE, POST))
    found = scale_changes(panel, scale, asked(panel, weights), windows, panel.systems[n:], 11)
    change, stated = found.gap[:n, 0], found.gap_covariance[:n, 0, 0]
    truth = scale.shape(AFTER, weights).value - scale.shape(BEFORE, weights).value
    assert change.mean() == pytest.approx(truth, abs=4 * change.std() * np.sqrt(2 / n))
    assert stated.mean() == pytest.approx(change.var(), rel=0.2)
    still = found.gap[n:, 0]
    assert still.mean() == pytest.approx(0, abs=1e-12), "comparison systems are centred"
    assert found.gap_covariance[n:, 0, 0].mean() == pytest.approx(still.var(), rel=0.2)


@pytest.mark.parametrize(("scale", "weights"), CASES)
def test_levels_are_unbiased_and_vary_as_stated(scale: Scale, weights: Array) -> None:
    panel = simulated(False)
    values, variances, observed = scale_levels(panel, scale, asked(panel, weights)[0], PRE, 11)
    truth = scale.shape(BEFORE, weights).value
    assert values.mean() == pytest.approx(truth, abs=4 * values.std() / np.sqrt(len(values)))
    assert variances.mean() == pytest.approx(values.var(), rel=0.2)
    at_first = panel.rate[0][:, np.isin(panel.years, PRE)].mean(axis=1)[: len(weights)]
    assert observed[0] == pytest.approx(scale.shape(at_first, weights).value), "as the rates of the years give it"
    assert np.isnan(scale_levels(panel, scale, asked(panel, weights)[0], PRE, 1000)[0]).all()


def test_without_the_correction_the_between_group_variance_would_be_too_large() -> None:
    """Levels, not changes, show the bias: what is taken off is what sampling adds."""
    panel = simulated(False)
    first = panel.rate[:, : len(GROUPS), 0]
    plain = np.array([VARIANCE.shape(r, MIX).value for r in first])
    noise = float(MIX @ ((1 - MIX) * BEFORE * (1 - BEFORE) / np.array(SIZES)))
    excess = plain.mean() - VARIANCE.shape(BEFORE, MIX).value
    error = plain.std() / np.sqrt(len(plain))
    assert excess == pytest.approx(noise, abs=4 * error)
    assert excess > 4 * error


def test_the_linear_scale_is_the_gap() -> None:
    panel = joined(simulated(True), simulated(False), 6)
    windows = dict.fromkeys(panel.systems, (PRE, POST))
    mine = scale_changes(panel, LINEAR, asked(panel, AGAINST), windows, panel.systems[6:], 11)
    gaps = gap_changes(panel, [("m", "b"), ("m", "c")], "a", windows, panel.systems[6:], 11)
    value, variance = combine(gaps, {0: 1.0, 1: 1.0}, "gap")
    np.testing.assert_allclose(mine.gap[:, 0], value, rtol=1e-12)
    np.testing.assert_allclose(mine.gap_covariance[:, 0, 0], variance, rtol=1e-12)


def test_two_series_of_a_system_share_their_reference_group() -> None:
    panel = simulated(False)
    windows = dict.fromkeys(panel.systems, (PRE, POST))
    series = [Asked("m", ("a", g), np.tile([1.0, -1.0], (len(panel.systems), 1)), g) for g in ("b", "c")]
    found = scale_changes(panel, LOG_ODDS, series, windows, panel.systems, 11)
    assert found.series == (("m", "b"), ("m", "c"))
    seen = np.cov(found.gap.T)
    stated = found.gap_covariance.mean(axis=0)
    assert stated[0, 1] > 0.1 * stated[1, 1]
    np.testing.assert_allclose(stated, seen, atol=0.15 * stated[1, 1])


def test_systems_without_a_change_say_why() -> None:
    panel = joined(simulated(True), simulated(False), 4)
    den, num = panel.den.copy(), panel.num.copy()
    den[0, 1], num[0, 1] = 5, 3  # too few
    num[1, 1, 2:] = den[1, 1, 2:]  # everyone succeeds under the contract
    edited = Panel(panel.systems, panel.measures, panel.series, YEARS, den, num, panel.overlap, panel.kappa, None)
    windows = dict.fromkeys(panel.systems, (PRE, POST)) | {panel.systems[2]: (PRE, ())}
    found = scale_changes(edited, LOG_ODDS, asked(edited, AGAINST), windows, panel.systems[4:], 11)
    reasons = {system: reason for system, _, _, reason in found.dropped}
    assert reasons == {panel.systems[0]: TOO_SMALL, panel.systems[1]: AT_THE_EDGE, panel.systems[2]: TOO_SMALL}
    assert np.isfinite(found.gap[:, 0]).tolist() == [False, False, False, True, True, True, True, True]
    alone = scale_changes(edited, LOG_ODDS, asked(edited, AGAINST), windows, (), 11)
    assert {reason for *_, reason in alone.dropped} == {TOO_SMALL, AT_THE_EDGE, NO_COMPARISON}


def test_a_system_that_leaves_is_compared_with_the_years_it_has() -> None:
    """Every rate rises by 5 points in the last year: a system without that year must not look as if it had fallen behind."""
    rng = np.random.default_rng(4)
    rates = {"a": (0.8, 0.8, 0.8, 0.85), "b": (0.7, 0.7, 0.7, 0.6)}
    panel = panel_of({g: members(rng, 400, 2000, r) for g, r in rates.items()})
    windows = dict.fromkeys(panel.systems, (PRE, POST)) | {panel.systems[0]: (PRE, (3,))}
    series = [Asked("m", ("a", "b"), np.tile([1.0, -1.0], (400, 1)))]
    for scale in (LINEAR, LOG_ODDS):
        found = scale_changes(panel, scale, series, windows, panel.systems[1:], 11)
        assert abs(found.gap[0, 0]) < 4 * np.sqrt(found.gap_covariance[0, 0, 0])
        assert found.contrasts[0, 0].tolist() == [-0.5, -0.5, 1.0, 0.0]
