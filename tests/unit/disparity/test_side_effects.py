"""Readings or control, paid against unpaid, attributed shares: by hand, by identities, and against simulated members."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.disparity.attributed_share import share_changes, share_covariance
from p4equity.disparity.changes import Changes
from p4equity.disparity.paid_contrast import paid_contrast
from p4equity.disparity.panel import ALL, Panel
from p4equity.disparity.readings import crossed_means, reading_crosses, split_change, split_variance

NAN = np.nan


def panel(den: np.ndarray, num: np.ndarray, read: np.ndarray, overlap: dict[str, np.ndarray] | None = None) -> Panel:
    """Systems x (one group, all members) x years of one measure M."""
    S, _, T = den.shape
    systems = tuple("ABCD"[:S])
    joint = overlap or {g: np.zeros((S, T, T)) for g in ("g", ALL)}
    kappa = {g: np.zeros((T, T)) for g in ("g", ALL)}
    return Panel(systems, ("M",), (("M", "g"), ("M", ALL)), tuple(range(2020, 2020 + T)), den, num, joint, kappa, read)


def test_readings_and_control_add_up_by_hand() -> None:
    # Readings from 80 to 90 of 100, controlled among those from 40 of 80 to 54 of 90: the rate rises from .40 to .54.
    crossed = crossed_means(np.array([0.8, 0.9]), np.array([0.5, 0.6]), np.array([-1.0, 1.0]))
    readings, control = split_change(0.14, crossed)
    assert readings == pytest.approx(0.10 * 0.55)
    assert control == pytest.approx(0.10 * 0.85)
    assert readings + control == pytest.approx(0.14)


def test_with_several_years_each_part_is_the_mean_over_pairs_of_years() -> None:
    rng = np.random.default_rng(7)
    reading, control = rng.uniform(0.7, 0.95, 5), rng.uniform(0.4, 0.8, 5)
    line = np.array([-0.5, -0.5, 0.0, 0.5, 0.5])
    change = float(line @ (reading * control))
    pairs = [(a, b) for a in (0, 1) for b in (3, 4)]
    expected = [
        np.mean([(reading[b] - reading[a]) * (control[a] + control[b]) / 2 for a, b in pairs]),
        np.mean([(control[b] - control[a]) * (reading[a] + reading[b]) / 2 for a, b in pairs]),
    ]
    assert split_change(change, crossed_means(reading, control, line)) == pytest.approx(expected, abs=1e-15)


def test_the_variance_of_the_parts_is_that_of_drawn_members() -> None:
    rng = np.random.default_rng(1)
    den, reading, control = np.array([900.0, 800, 1100]), np.array([0.8, 0.82, 0.88]), np.array([0.6, 0.62, 0.66])
    line = np.array([-0.5, -0.5, 1.0])
    tested = rng.binomial(den.astype(int), reading, (20_000, 3)).astype(float)
    num = rng.binomial(tested.astype(int), control).astype(float)
    drawn = [split_change(float(line @ (x / den)), crossed_means(t / den, x / t, line)) for t, x in zip(tested, num, strict=True)]
    stated = split_variance(den, den * reading, den * reading * control, line)
    assert np.array(drawn).var(axis=0) == pytest.approx(stated, rel=0.03)


def test_parts_of_systems_are_their_own_less_the_mean_of_comparison_systems() -> None:
    rng = np.random.default_rng(2)
    den = rng.integers(200, 900, (4, 2, 4)).astype(float)
    read = np.round(den * rng.uniform(0.7, 0.95, den.shape))
    num = np.round(read * rng.uniform(0.4, 0.8, den.shape))
    line = np.array([-0.5, -0.5, 0.5, 0.5])
    crossed, variances = reading_crosses(panel(den, num, read), "M", "g", np.tile(line, (4, 1)), ("C", "D"))
    rate, reading, control = (num / den)[:, 0], (read / den)[:, 0], (num / read)[:, 0]
    change = rate @ line - (rate @ line)[2:].mean()
    raw = [split_change(float(rate[s] @ line), crossed_means(reading[s], control[s], line)) for s in range(4)]
    found = np.stack(split_change(change, crossed), axis=1)
    assert found == pytest.approx(np.array(raw) - np.array(raw)[2:].mean(axis=0), abs=1e-15)
    assert found.sum(axis=1) == pytest.approx(change, abs=1e-15)
    assert (variances > 0).all()


def test_a_year_without_readings_has_no_parts() -> None:
    den = np.full((3, 2, 2), 100.0)
    read = np.full((3, 2, 2), 50.0)
    read[0, :, 1] = 0
    crossed, _ = reading_crosses(panel(den, read / 2, read), "M", "g", np.tile([-1.0, 1.0], (3, 1)), ("B", "C"))
    assert np.isnan(crossed[0])
    assert np.isfinite(crossed[1:]).all()


def changes(gap: np.ndarray, covariance: np.ndarray) -> Changes:
    series = (("M1", "g"), ("M1", "h"), ("M2", "g"), ("M3", "g"))
    zero, none = np.zeros_like(gap), np.zeros_like(covariance)
    contrasts = np.zeros((*gap.shape, 2))
    return Changes(tuple("AB"), series, gap, zero, zero, covariance, none, none, contrasts, ())


UNPAID = {"A": {"M3": 1.0}, "B": {"M3": 1.0}}


def test_a_measure_on_both_sides_of_a_system_without_a_contract_counts_with_the_difference() -> None:
    """Two contracted systems hold one of two measures each: in a comparison system both sides hold half of both."""
    gap = np.array([[-4.0, -2.0, -1.0, 0.5], [0.0, 1.0, 2.0, 0.0]])
    covariance = np.stack([np.eye(4)] * 2)
    half = {"M2": 0.5, "M3": 0.5}
    value, _ = paid_contrast(
        changes(gap, covariance),
        dict.fromkeys(range(4), 1.0),
        {"A": {"M2": 1.0}, "B": half},
        {"A": {"M3": 1.0}, "B": {"M3": 1.0}},
    )
    assert value == pytest.approx([-1.0 - 0.5, 0.5 * (2.0 - 0.0)])


def test_paid_less_unpaid_by_hand() -> None:
    gap = np.array([[-4.0, -2.0, -1.0, 0.5], [0.0, 1.0, NAN, 0.0]])
    covariance = np.stack([np.diag([1.0, 4.0, 9.0, 16.0]) + 0.5 * (1 - np.eye(4))] * 2)
    weights = dict.fromkeys(range(4), 1.0)
    value, variance = paid_contrast(changes(gap, covariance), weights, {"A": {"M1": 0.5, "M2": 0.5}, "B": {"M1": 1.0}}, UNPAID)
    line = np.array([0.25, 0.25, 0.5, -1.0])
    assert value == pytest.approx([-0.5 * 3 - 0.5 * 1 - 0.5, 0.5])
    assert variance[0] == pytest.approx(line @ covariance[0] @ line)


def test_a_measure_that_a_system_lacks_leaves_and_a_system_without_a_side_has_no_contrast() -> None:
    gap = np.array([[-4.0, NAN, -1.0, 0.5], [-1.0, -1.0, -1.0, NAN]])
    covariance = np.stack([np.eye(4)] * 2)
    paid = {system: {"M1": 0.5, "M2": 0.5} for system in "AB"}
    value, variance = paid_contrast(changes(gap, covariance), dict.fromkeys(range(4), 1.0), paid, UNPAID)
    assert value[0] == pytest.approx(-1.0 - 0.5)  # M1 lacks a group: M2 alone
    assert np.isnan(value[1])
    assert variance[1] == 0


def test_the_covariance_of_a_share_is_that_of_drawn_members() -> None:
    """Members with unequal months, some in both years, are in the group or not: a ratio of sums of months."""
    rng = np.random.default_rng(4)
    months = np.where(rng.random((800, 2)) < 0.8, rng.integers(1, 13, (800, 2)), 0).astype(float)
    draws = []
    p = 0.3
    for _ in range(6_000):
        own = rng.random(800) < p
        draws.append((months * own[:, None]).sum(axis=0) / months.sum(axis=0))
    own = rng.random(800) < p
    joint = {g: (months * w[:, None]).T @ months for g, w in (("g", own.astype(float)), (ALL, np.ones(800)))}
    den = np.stack([months[own].sum(axis=0), months.sum(axis=0)])[None]
    found = share_covariance(panel(den, den, den, {g: j[None] for g, j in joint.items()}), "M", "g")[0]
    assert found == pytest.approx(np.cov(np.array(draws).T), rel=0.2)


def test_shares_of_all_groups_change_by_zero_together() -> None:
    rng = np.random.default_rng(5)
    own = rng.integers(100, 400, (3, 2)).astype(float)
    rest = rng.integers(500, 900, (3, 2)).astype(float)
    windows = dict.fromkeys("ABC", ((2020,), (2021,)))
    joint = {g: np.stack([np.diag([1.0, 1.0])] * 3) for g in ("g", ALL)}
    total = own + rest
    first = share_changes(
        panel(np.stack([own, total], 1), own[:, None], own[:, None], joint), "M", ("g",), windows, ("B", "C"), 11
    )
    second = share_changes(
        panel(np.stack([rest, total], 1), own[:, None], own[:, None], joint), "M", ("g",), windows, ("B", "C"), 11
    )
    assert first.gap + second.gap == pytest.approx(np.zeros((3, 1)))
    expected = own[:, 1] / total[:, 1] - own[:, 0] / total[:, 0]
    assert first.gap[:, 0] == pytest.approx(expected - expected[1:].mean())
