"""Reassignment of dates: an estimate under every distinct permutation of the units' first treated periods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial, prod

import numpy as np
from numpy.typing import NDArray

from p4equity.inference.law import Law
from p4equity.inference.permutation import CELLS, PermutationResult

Array = NDArray[np.float64]
Labels = NDArray[np.int16]
Codes = NDArray[np.int64]
BLOCK = 20_000  # assignments evaluated at once
LIMIT = 1_000_000  # assignments enumerated; beyond, that many are drawn


@dataclass(frozen=True)
class Reassignments:
    """Label vectors (N, n): which date each of n units is given. total: distinct ones there are. sampled: drawn, the
    observed one first; else all of them, the observed one in row `observed`.
    """

    table: Labels
    total: int
    sampled: bool
    observed: int

    def monte_carlo_error(self, p: float) -> float:
        """Standard error of p from drawing, 0 when all assignments were taken."""
        return float(np.sqrt(p * (1 - p) / len(self.table))) if self.sampled else 0.0


def count_reassignments(labels: Codes, strata: Codes) -> int:
    """Number of distinct permutations of labels (n,) within strata (n,)."""
    total = 1
    for s in np.unique(strata):
        counts = np.unique(labels[strata == s], return_counts=True)[1]
        total *= factorial(int(counts.sum())) // prod(factorial(int(c)) for c in counts)
    return total


def reassignments(
    labels: Codes, strata: Codes | None = None, *, limit: int = LIMIT, seed: int = 0, order: Callable[[], Codes] | None = None
) -> Reassignments:
    """All distinct permutations of labels (n,) within strata, or `limit` random ones where there are more.

    labels: code of each unit's date, never treated being one of them. The table stays within CELLS. order: makes positions of
    the units in an order that follows from their data, strata together (see `canonical`), in which permutations are drawn;
    as they are given without it.
    """
    groups = np.zeros(len(labels), np.int64) if strata is None else np.asarray(strata)
    total, most = count_reassignments(labels, groups), min(limit, max(CELLS // len(labels), 2))
    own = labels.astype(np.int16)
    if total > most:
        places = np.arange(len(labels)) if order is None else order()
        return Reassignments(_sample(own, groups, most, seed, places), total, True, 0)
    table = np.zeros((total, len(labels)), np.int16)
    repeat = total
    for s in np.unique(groups):
        index = np.flatnonzero(groups == s)
        rows = distinct_permutations(own[index])
        repeat //= len(rows)
        table[:, index] = np.tile(np.repeat(rows, repeat, axis=0), (total // (repeat * len(rows)), 1))
    return Reassignments(table, total, False, int((table == own).all(axis=1).argmax()))


def distinct_permutations(labels: Labels) -> Labels:
    """All distinct permutations of labels (n,), rarest labels placed first."""
    values, counts = np.unique(labels, return_counts=True)
    order = np.argsort(counts, kind="stable")
    rows = np.full((1, len(labels)), values[order[-1]], np.int16)
    free = np.arange(len(labels), dtype=np.int16)[None, :]
    for k in order[:-1]:
        places, size = free.shape[1], int(counts[k])
        picks = np.array(list(combinations(range(places), size)), np.int64).reshape(-1, size)
        left = np.ones((len(picks), places), bool)
        np.put_along_axis(left, picks, False, axis=1)
        rest = np.nonzero(left)[1].reshape(len(picks), places - size)
        rows, old = np.repeat(rows, len(picks), axis=0), len(rows)
        taken = free[:, picks].reshape(old * len(picks), size)
        np.put_along_axis(rows, taken.astype(np.int64), values[k], axis=1)
        free = free[:, rest].reshape(old * len(picks), places - size)
    return rows


def _sample(labels: Labels, strata: Codes, draws: int, seed: int, places: Codes) -> Labels:
    """Random permutations of labels within strata, the observed one first; units and strata in the order of places."""
    rng = np.random.default_rng(seed)
    table = np.tile(labels, (draws, 1))
    for s in dict.fromkeys(strata[places].tolist()):
        index = places[strata[places] == s]
        for low in range(1, draws, BLOCK):
            high = min(low + BLOCK, draws)
            table[low:high, index] = labels[index][np.argsort(rng.random((high - low, len(index))), axis=1)]
    return table


def law(drawn: Reassignments, evaluate: Callable[[Labels], tuple[Array, ...]], block: int = BLOCK) -> Law:
    """Law of an estimate over reassignments.

    evaluate: label vectors (B, n) -> estimates (B,) of the outcome and of the effect's own direction (what the estimate
    gives when the outcome is the treatment that took place), and, for a studentized statistic, the variance of the first,
    their covariance, the variance of the second; NaN where an assignment identifies no effect.
    """
    return laws(drawn, lambda table: [part[None, :] for part in evaluate(table)], block)[0]


def laws(drawn: Reassignments, evaluate: Callable[[Labels], Sequence[Array]], block: int = BLOCK) -> list[Law]:
    """Laws of p estimates at once: `law` with (p, B) in place of (B,)."""
    parts = [evaluate(drawn.table[low : low + block]) for low in range(0, len(drawn.table), block)]
    columns = [np.concatenate(column, axis=1) for column in zip(*parts, strict=True)]
    out = []
    for i in range(len(columns[0])):
        n0, n1, *variances = (column[i] for column in columns)
        v0, v1, v2 = variances or (None, None, None)
        out.append(Law(n0, n1, v0, v1, v2, drawn.observed))
    return out


def one_by_one(estimate: Callable[[Labels], tuple[float, ...]]) -> Callable[[Labels], tuple[Array, ...]]:
    """`law`'s function from one that takes a single label vector (n,)."""

    def evaluate(table: Labels) -> tuple[Array, ...]:
        return tuple(np.array(column, float) for column in zip(*(estimate(row) for row in table), strict=True))

    return evaluate


def reassignment_test(
    drawn: Reassignments, found: Law, strata: Codes | None = None, conf_level: float = 0.95
) -> PermutationResult:
    """Is the estimate larger than giving the same dates to other units would make it?

    Two-sided share of admissible assignments with a statistic at least as large; interval by inversion under a constant
    effect. Exact when units are exchangeable within strata, so that every assignment of these dates was as likely.
    n_assignments counts those that identify the effect.
    """
    p, count = found.p_value(), found.admissible
    floor = (2 if _mirrored(drawn, strata) else 1) / count
    low, high = found.interval(1 - conf_level, floor)
    error = drawn.monte_carlo_error(p)
    total = drawn.total if drawn.sampled else count
    b = float(found.n0[found.observed])
    return PermutationResult(
        b, found.statistic(), p, low, high, floor, total, drawn.sampled, error, len(drawn.table) if drawn.sampled else 0
    )


def _mirrored(drawn: Reassignments, strata: Codes | None) -> bool:
    """Whether exchanging two dates for each other turns the observed assignment into another one, of equal size."""
    own = drawn.table[drawn.observed]
    values = np.unique(own)
    if len(values) != 2:
        return False
    groups = np.zeros(len(own), np.int64) if strata is None else strata
    return all(int((own[groups == s] == values[0]).sum()) * 2 == int((groups == s).sum()) for s in np.unique(groups))
