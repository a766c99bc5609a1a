"""Race and ethnicity as probabilities, 20 seeds with a known truth: the bracket of levels, changes, drift."""

from __future__ import annotations

import numpy as np
import pytest
from calibrated_race import BLACK, RATES, WHITE, Members, members
from p4equity.disparity.race_drift import observed_share, spurious_difference, spurious_drift
from p4equity.disparity.race_probability import (
    RaceSums,
    gap_and_error,
    linear_rates,
    linear_spread,
    squared_correlation,
    sums_of,
    weighted_rates,
    weighted_spread,
)

SEEDS = range(20)
SIZE, STRENGTH = 60_000, 2.4  # corr(p, Black) = 0.83
LATER = RATES + np.array([-0.02, 0.03, 0.01, 0.0, 0.0])  # White falls, Black gains: the gap narrows by 5 points


def gaps(found: Members, y: np.ndarray) -> dict[str, float]:
    sums = sums_of(found.p, y)
    truth = weighted_rates(sums_of(np.eye(len(RATES))[found.group], y))
    rates = {"weighted": weighted_rates(sums), "truth": truth, "linear": linear_rates(sums)}
    return {name: 100 * float(r[WHITE] - r[BLACK]) for name, r in rates.items()}


@pytest.mark.parametrize("own", [1.0, 0.5, 0.0], ids=["own group", "half and half", "context"])
def test_weighted_truth_and_regression_keep_their_order(own: float) -> None:
    """In the mean of 20 seeds exactly, and in each up to three sampling errors of the difference of two estimates."""
    drawn = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        found = members(SIZE, STRENGTH, rng)
        drawn.append(gaps(found, found.results(RATES, own, rng)))
    weighted, truth, linear = (np.array([d[name] for d in drawn]) for name in ("weighted", "truth", "linear"))
    below, above = truth - weighted, linear - truth
    assert (below > -3 * below.std(ddof=1)).all()
    assert (above > -3 * above.std(ddof=1)).all()
    error = {"below": below.std(ddof=1) / np.sqrt(len(SEEDS)), "above": above.std(ddof=1) / np.sqrt(len(SEEDS))}
    assert below.mean() > (3 if own else -2) * error["below"]  # strict where the results follow the own group
    assert above.mean() > (3 if own < 1 else -2) * error["above"]  # strict where they follow the context


def test_changes_need_not_lie_between() -> None:
    """The own group's part narrows while the context's part widens: both estimates of the change lie above the truth."""
    found = members(400_000, STRENGTH, np.random.default_rng(1))
    context = found.p @ RATES
    before, after = RATES[found.group] / 2 + context / 2, RATES[found.group] / 4 + 1.2 * context
    change = {name: gaps(found, after)[name] - value for name, value in gaps(found, before).items()}
    assert min(change["weighted"], change["linear"]) > change["truth"] + 0.3
    # The conditions of a level hold for a change of which both parts go the same way.
    alike = LATER[found.group] / 2 + found.p @ LATER / 2
    change = {name: gaps(found, alike)[name] - value for name, value in gaps(found, before).items()}
    assert change["linear"] < change["truth"] < change["weighted"] < 0


@pytest.mark.parametrize("method", ["weighted", "linear"])
def test_intervals_cover_what_the_method_estimates(method: str) -> None:
    """400 draws of 4,000 members: nominal 95% within 92 to 98% (three Monte Carlo errors)."""
    rates, spread = {"weighted": (weighted_rates, weighted_spread), "linear": (linear_rates, linear_spread)}[method]
    large = members(400_000, STRENGTH, np.random.default_rng(99))
    target = rates(sums_of(large.p, large.results(RATES, 1.0, None)))
    rng, held = np.random.default_rng(4), 0
    for _ in range(400):
        found = members(4_000, STRENGTH, rng)
        sums = sums_of(found.p, found.results(RATES, 1.0, rng))
        gap, error = gap_and_error(rates(sums), spread(sums), WHITE, BLACK)
        held += abs(float(gap) - (target[WHITE] - target[BLACK])) < 1.96 * float(error)
    assert 0.92 < held / 400 < 0.98


def _reported(found: Members, share: float, rng: np.random.Generator) -> np.ndarray:
    """Probabilities as a payer has them when a share reports itself."""
    said = rng.random(len(found.group)) < share
    return np.where(said[:, None], np.eye(len(RATES))[found.group], found.p)


def test_drift_of_self_report_is_recovered() -> None:
    """Participants go from 15% to 60% self-report, the others stay: the spurious effect of 20 seeds against the formula."""
    found_effects, predicted = [], []
    shares = {"participating": (0.15, 0.60), "comparison": (0.15, 0.15)}
    for seed in SEEDS:
        rng = np.random.default_rng(100 + seed)
        change, kept = {}, {}
        for arm, (before, after) in shares.items():
            ends = []
            for share in (before, after):
                found = members(SIZE, STRENGTH, rng)
                y = found.results(RATES, 1.0, rng)
                rates = weighted_rates(RaceSums(*_sums(_reported(found, share, rng), y)))
                ends.append(100 * float(rates[WHITE] - rates[BLACK]))
                kept[arm] = float(squared_correlation(sums_of(found.p, y))[BLACK])
            change[arm] = ends[1] - ends[0]
        found_effects.append(change["participating"] - change["comparison"])
        level = {a: tuple(observed_share(s, kept[a]) for s in shares[a]) for a in shares}
        truth = 100 * (RATES[WHITE] - RATES[BLACK])
        predicted.append(spurious_drift(truth, level["participating"], level["comparison"]))
    error = np.std(found_effects, ddof=1) / np.sqrt(len(SEEDS))
    assert np.mean(predicted) > 3 * error  # there is something to recover
    assert np.mean(found_effects) == pytest.approx(np.mean(predicted), abs=3 * error)


def _sums(p: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sums = sums_of(p, y)
    return sums.p, sums.p_num, sums.p_p


def test_a_change_common_to_both_arms_looks_like_an_effect_where_they_are_measured_unequally() -> None:
    """Both gaps narrow by 5 points; the probabilities of one arm are weaker."""
    strengths = {"participating": 2.0, "comparison": 2.8}
    change, kept = {}, {}
    for arm, strength in strengths.items():
        found = members(400_000, strength, np.random.default_rng(6))
        ends = [gaps(found, found.results(rates, 1.0, None)) for rates in (RATES, LATER)]
        change[arm] = ends[1]["weighted"] - ends[0]["weighted"]
        kept[arm] = ends[0]["weighted"] / ends[0]["truth"]
    spurious = change["participating"] - change["comparison"]
    assert spurious > 0.5
    assert spurious == pytest.approx(spurious_difference(-5.0, kept["participating"], kept["comparison"]), abs=0.15)
