"""Permutation of contracts over systems: exact enumeration of a difference, raw, studentized or standardized under the null."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import comb, prod

import numpy as np
from numpy.typing import NDArray

from p4equity.errors import StudyError, UsageError, did_you_mean
from p4equity.inference.canonical import order_of_units
from p4equity.inference.random_effects import check_inputs, tau2_estimate

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
STATISTICS = ("standardized", "raw", "studentized")
TIE = 1e-9  # relative tolerance: statistics this close count as ties
CELLS = 50_000_000  # assignments x units of a table, one byte each: beyond, fewer assignments are drawn
BLOCK = 1_000_000  # assignments x units turned into floats at once


@dataclass(frozen=True)
class PermutationResult:
    """Outcome of a permutation test.

    estimate: the weighted difference that is permuted. statistic: the statistic of the observed assignment.
    p_value: two-sided share of assignments at least as extreme, the observed one included.
    conf_low, conf_high: interval by inversion under a constant effect; infinite where the attainable p exceeds alpha.
    p_attainable: 1 / number of assignments that give a distinct statistic size (two-sided, ties counted).
    n_assignments: all admissible ones. sampled: whether assignments were drawn instead of enumerated; n_draws of them, and
    monte_carlo_error is the standard error of p.
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
    n_draws: int = 0


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
    for s in dict.fromkeys(strata.tolist()):  # in the order in which strata appear, not that of their codes
        index = np.flatnonzero(strata == s)
        for rows in _blocks(draws - 1, len(index)):
            order = np.argsort(rng.random((rows.stop - rows.start, len(index))), axis=1)
            out[rows.start + 1 : rows.stop + 1, index] = treated[index][order]
    return out


def _blocks(rows: int, columns: int) -> list[slice]:
    """Slices of `rows` rows, each of about BLOCK cells."""
    step = max(1, BLOCK // max(columns, 1))
    return [slice(low, min(low + step, rows)) for low in range(0, rows, step)]


@dataclass(frozen=True)
class Assignments:
    """Table (N, n) of zeros and ones, one byte a cell, with its sums made block by block; total: admissible assignments."""

    table: Flags
    total: int
    sampled: bool

    def sums(self, *columns: Array) -> list[Array]:
        """(N,) sum over treated units of each column (n,)."""
        right = np.stack(columns, axis=1)
        parts = [self.table[rows].astype(float) @ right for rows in _blocks(*self.table.shape)]
        return list(np.concatenate(parts).T)

    def statistics(self, y: Array, w: Array) -> Array:
        """(N,) standardized differences, see `standardized_difference`."""
        weights, values = self.sums(w, w * y)
        return _standardized(weights, values, float(w.sum()), float(w @ y))

    def position(self, treated: Flags) -> int:
        """Row of one assignment."""
        return int((self.table == treated).all(axis=1).argmax())

    def monte_carlo_error(self, p: float) -> float:
        """Standard error of p from drawing, 0 when all assignments were taken."""
        return float(np.sqrt(p * (1 - p) / len(self.table))) if self.sampled else 0.0


def _most(limit: int, units: int) -> int:
    """Assignments that are all taken, and so many drawn where there are more."""
    return min(limit, max(CELLS // units, 2))


def assignments(treated: Flags, strata: NDArray[np.int64], limit: int, seed: int) -> Assignments:
    """All assignments up to `limit`, else that many random ones, the observed one first; the table stays within CELLS."""
    total, most = count_assignments(treated, strata), _most(limit, len(treated))
    if total > most:
        return Assignments(sample_assignments(treated, strata, most, seed), total, True)
    return Assignments(enumerate_assignments(treated, strata), total, False)


def _standardized(weights: Array, values: Array, total: float, weighted: float) -> Array:
    """Standardized differences from the treated units' sums (N,) of weights and weighted outcomes, and those of all units."""
    other = total - weights
    difference = values / weights - (weighted - values) / other
    return np.asarray(difference / np.sqrt(1 / weights + 1 / other))


def standardized_difference(y: Array, assignments: Array, w: Array) -> Array:
    """Weighted difference between arms over its standard error under the null weights `w`, one value an assignment row."""
    return _standardized(assignments @ w, assignments @ (w * y), float(w.sum()), float(w @ y))


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
    weights: Array | None = None,
    statistic: str = "standardized",
) -> PermutationResult:
    """Is the difference in mean change between arms larger than reassigning the contracts would give?

    y: (n,) changes; treated: (n,) bool; sampling_variance: (n,) or None for equal weights; strata: (n,) ints within which labels
    may be exchanged; weights: (n,) null weights held fixed, instead of those fitted from the sampling variances. Exact
    enumeration up to `limit` assignments (and CELLS // n), else that many random ones with a Monte Carlo error: at 1,000,000
    draws 0.0002 at p = 0.05. Exact when systems are exchangeable given their sampling variances; the interval assumes a
    constant effect. statistic: standardized by the null weights' error; raw, the difference in means (weighted only by
    `weights`); studentized, the difference with those same weights over an error from each arm's own spread.
    """
    if statistic not in STATISTICS:
        raise UsageError(
            "unknown statistic", expected=", ".join(STATISTICS), found=statistic, fix=did_you_mean(str(statistic), STATISTICS)
        )
    y, arm = np.asarray(y, float), np.asarray(treated, bool)
    v = np.asarray(sampling_variance, float) if sampling_variance is not None else np.ones(len(y))
    check_inputs(y, arm, v)
    if len(y) < 3:
        raise UsageError("a permutation test needs three units or more", expected=">= 3", found=len(y))
    if statistic == "studentized" and not 2 <= arm.sum() <= len(y) - 2:
        raise StudyError("one unit alone in an arm has no spread", expected="two units or more an arm", found=int(arm.sum()))
    groups = np.zeros(len(y), np.int64) if strata is None else np.asarray(strata)
    if count_assignments(arm, groups) > _most(limit, len(arm)):  # drawn: in an order that no renaming of units changes
        extra = np.zeros(len(y)) if weights is None else np.asarray(weights, float)
        order = order_of_units(np.column_stack([y, v, extra, arm]), groups)
        y, arm, v, groups = y[order], arm[order], v[order], groups[order]
        weights = None if weights is None else np.asarray(weights, float)[order]
    drawn = assignments(arm, groups, limit, seed)
    held = np.ones(len(y)) if weights is None and (sampling_variance is None or statistic == "raw") else weights
    make = _standardized_tests if statistic == "standardized" else _law_tests
    test = make(drawn, y, arm, held, lambda shifted: null_weights(shifted, v, method), statistic)
    p, observed, estimate = test(0.0)
    floor = attainable_p(drawn.table)
    spread = 2 * (float(np.ptp(y)) + float(np.sqrt(v.max()) if weights is None else 1 / np.sqrt(weights.min()))) + 1e-12
    low, high = invert(lambda t: test(t)[0], estimate, spread, 1 - conf_level, floor)
    error = drawn.monte_carlo_error(p)
    return PermutationResult(
        estimate, observed, p, low, high, floor, drawn.total, drawn.sampled, error, len(drawn.table) if drawn.sampled else 0
    )


Test = Callable[[float], tuple[float, float, float]]  # constant effect taken out -> p, observed statistic, estimate


def _standardized_tests(
    drawn: Assignments, y: Array, arm: Flags, held: Array | None, refit: Callable[[Array], Array], _: str
) -> Test:
    """Tests of the standardized difference. held: fixed null weights; refit: weights from changes without the effect."""
    # With weights that do not change, the statistic is linear in the effect taken out: two sums serve all effects.
    slopes = [drawn.statistics(x, held) for x in (y, arm.astype(float))] if held is not None else []
    observed_row = arm.astype(float)[None, :]

    def test(theta: float) -> tuple[float, float, float]:
        shifted = y - theta * arm
        w = refit(shifted) if held is None else held
        statistics = slopes[0] - theta * slopes[1] if slopes else drawn.statistics(shifted, w)
        observed = float(standardized_difference(shifted, observed_row, w)[0])
        estimate = float(np.average(y[arm], weights=w[arm]) - np.average(y[~arm], weights=w[~arm]))
        return two_sided_p(statistics, observed), observed, estimate

    return test


def _law_tests(
    drawn: Assignments, y: Array, arm: Flags, held: Array | None, refit: Callable[[Array], Array], statistic: str
) -> Test:
    """Tests of the raw or studentized difference, as `_standardized_tests`."""
    from p4equity.inference.permutation_statistics import raw_law, studentized_law

    make = raw_law if statistic == "raw" else studentized_law
    fixed = make(drawn, y, arm, held) if held is not None else None

    def test(theta: float) -> tuple[float, float, float]:
        law = fixed or make(drawn, y, arm, refit(y - theta * arm))
        return law.p_value(theta), law.statistic(theta), float(law.n0[law.observed])

    return test


def attainable_p(table: Array | Flags) -> float:
    """Smallest two-sided p: the observed assignment, and its mirror where the mirror is itself an assignment."""
    first = table[0]
    mirror = any((table[rows] == 1 - first).all(axis=1).any() for rows in _blocks(*table.shape))
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
