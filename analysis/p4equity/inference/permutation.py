"""Permutation of contracts over systems: exact enumeration of the null-standardized difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import comb, prod

import numpy as np
from numpy.typing import NDArray

from p4equity.errors import UsageError
from p4equity.inference.random_effects import check_inputs, tau2_estimate

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
TIE = 1e-9  # relative tolerance: statistics this close count as ties


@dataclass(frozen=True)
class PermutationResult:
    """Outcome of a permutation test.

    estimate: the weighted difference with the null weights. statistic: the standardized difference of the observed assignment.
    p_value: two-sided share of assignments at least as extreme, the observed one included.
    conf_low, conf_high: interval by inversion under a constant effect; infinite where the attainable p exceeds alpha.
    p_attainable: 1 / number of assignments that give a distinct statistic size (two-sided, ties counted).
    sampled: whether assignments were drawn instead of enumerated; monte_carlo_error then is the standard error of p.
    """

    estimate: float
    statistic: float
    p_value: float
    conf_low: float
    conf_high: float
    p_attainable: float
    n_assignments: int
    sampled: bool
    monte_carlo_error: float


def count_assignments(treated: Flags, strata: NDArray[np.int64]) -> int:
    """Number of distinct assignments that keep the number of treated units in each stratum."""
    return prod(comb(int((strata == s).sum()), int(treated[strata == s].sum())) for s in np.unique(strata))


def enumerate_assignments(treated: Flags, strata: NDArray[np.int64]) -> Flags:
    """All assignments as rows (n_assignments, n); the observed one is among them."""
    blocks: list[tuple[NDArray[np.int64], Flags]] = []
    for s in np.unique(strata):
        index = np.flatnonzero(strata == s)
        picks = list(combinations(range(len(index)), int(treated[index].sum())))
        rows = np.zeros((len(picks), len(index)), bool)
        for row, pick in zip(rows, picks, strict=True):
            row[list(pick)] = True
        blocks.append((index, rows))
    total = prod(len(rows) for _, rows in blocks)
    out = np.zeros((total, len(treated)), bool)
    repeat = total
    for index, rows in blocks:
        repeat //= len(rows)
        out[:, index] = np.tile(np.repeat(rows, repeat, axis=0), (total // (repeat * len(rows)), 1))
    return out


def sample_assignments(treated: Flags, strata: NDArray[np.int64], draws: int, seed: int) -> Flags:
    """`draws` random assignments within strata, the observed one first."""
    rng = np.random.default_rng(seed)
    out = np.zeros((draws, len(treated)), bool)
    out[0] = treated
    for s in np.unique(strata):
        index = np.flatnonzero(strata == s)
        order = np.argsort(rng.random((draws - 1, len(index))), axis=1)
        out[1:, index] = treated[index][order]
    return out


def standardized_difference(y: Array, assignments: Array, w: Array) -> Array:
    """Weighted difference between arms over its standard error under the null weights `w`, one value an assignment row."""
    total, weighted = w.sum(), float(w @ y)
    treated_weight = assignments @ w
    other_weight = total - treated_weight
    treated_mean = (assignments @ (w * y)) / treated_weight
    other_mean = (weighted - assignments @ (w * y)) / other_weight
    return np.asarray((treated_mean - other_mean) / np.sqrt(1 / treated_weight + 1 / other_weight))


def null_weights(y: Array, v: Array, method: str) -> Array:
    """Random-effects weights 1 / (v + tau2) with tau2 fitted without treatment: the same for every assignment."""
    return 1 / (v + tau2_estimate(y, np.ones((len(y), 1)), v, method))


def two_sided_p(statistics: Array, observed: float) -> float:
    """Share of statistics at least as large in size as the observed one, ties counted with a relative tolerance."""
    return float(np.mean(np.abs(statistics) >= abs(observed) * (1 - TIE)))


def permutation_test(
    y: Array,
    treated: Flags,
    sampling_variance: Array | None = None,
    *,
    strata: NDArray[np.int64] | None = None,
    conf_level: float = 0.95,
    limit: int = 1_000_000,
    seed: int = 0,
    method: str = "PM",
) -> PermutationResult:
    """Is the difference in mean change between arms larger than reassigning the contracts would give?

    y: (n,) changes; treated: (n,) bool; sampling_variance: (n,) or None for equal weights; strata: (n,) ints within which labels
    may be exchanged. Exact enumeration up to `limit` assignments, else that many random ones with a Monte Carlo error. Exact
    when systems are exchangeable given their sampling variances; the interval assumes a constant effect.
    """
    y, arm = np.asarray(y, float), np.asarray(treated, bool)
    v = np.asarray(sampling_variance, float) if sampling_variance is not None else np.ones(len(y))
    check_inputs(y, arm, v)
    if len(y) < 3:
        raise UsageError("a permutation test needs three units or more", expected=">= 3", found=len(y))
    groups = np.zeros(len(y), np.int64) if strata is None else np.asarray(strata)
    total = count_assignments(arm, groups)
    sampled = total > limit
    table = sample_assignments(arm, groups, limit, seed) if sampled else enumerate_assignments(arm, groups)
    grid = table.astype(float)
    observed_row = arm.astype(float)[None, :]

    def test(theta: float) -> tuple[float, float, float]:
        shifted = y - theta * arm
        w = null_weights(shifted, v, method) if sampling_variance is not None else np.ones(len(y))
        statistics = standardized_difference(shifted, grid, w)
        observed = float(standardized_difference(shifted, observed_row, w)[0])
        estimate = float(np.average(y[arm], weights=w[arm]) - np.average(y[~arm], weights=w[~arm]))
        return two_sided_p(statistics, observed), observed, estimate

    p, statistic, estimate = test(0.0)
    floor = attainable_p(grid)
    error = float(np.sqrt(p * (1 - p) / limit)) if sampled else 0.0
    spread = 2 * (float(np.ptp(y)) + float(np.sqrt(v.max()))) + 1e-12
    low, high = invert(lambda t: test(t)[0], estimate, spread, 1 - conf_level, floor)
    return PermutationResult(estimate, statistic, p, low, high, floor, total, sampled, error)


def attainable_p(table: Array) -> float:
    """Smallest two-sided p: the observed assignment, and its mirror where the mirror is itself an assignment."""
    first = table[0]
    mirror = bool((table == 1 - first).all(axis=1).any())
    return (2 if mirror else 1) / len(table)


def invert(
    p_value: Callable[[float], float], centre: float, spread: float, alpha: float, floor: float, tolerance: float = 1e-7
) -> tuple[float, float]:
    """Ends of the set of constant effects that are not rejected at `alpha`, by bisection outward from `centre`.

    `tolerance` is relative to `spread`. Infinite when no assignment can reach alpha, or when the end is not found within a
    thousand spreads.
    """
    if floor > alpha:
        return -np.inf, np.inf
    ends = []
    for sign in (-1.0, 1.0):
        inside, step = centre, spread
        outside = centre + sign * step
        while p_value(outside) > alpha:
            inside, step = outside, step * 2
            outside = centre + sign * step
            if step > 1000 * spread:
                break
        if step > 1000 * spread:
            ends.append(sign * np.inf)
            continue
        while abs(outside - inside) > tolerance * spread:
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if p_value(middle) > alpha else (inside, middle)
        ends.append(inside)
    return float(ends[0]), float(ends[1])
