"""Permutation of whole contract rows over systems: exact enumeration of the pooled effect standardized under the null."""

from __future__ import annotations

from math import factorial, prod

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from p4equity.inference.canonical import order_of_units
from p4equity.inference.permutation import PermutationResult, invert, two_sided_p
from p4equity.inference.reassignment import distinct_permutations
from p4equity.inference.stacked import (
    Array,
    Flags,
    Stacked,
    normal_equations,
    null_problem,
    precision,
    random_covariance,
    restricted_likelihood,
    stacked_standard_error,
)

NOT_IDENTIFIED = 1e-9  # a pivot this small beside its diagonal


def contract_patterns(contracts: Flags) -> tuple[Flags, NDArray[np.int64]]:
    """Distinct contract rows (K, M) and the row each system holds (S,)."""
    patterns, held = np.unique(contracts, axis=0, return_inverse=True)
    return patterns.astype(bool), held.reshape(-1)


def enumerate_rows(held: NDArray[np.int64], strata: NDArray[np.int64]) -> NDArray[np.int64]:
    """All distinct permutations of contract rows over systems within strata: (n_assignments, S), entries index patterns."""
    table = np.zeros((1, len(held)), np.int64)
    for s in np.unique(strata):
        index = np.flatnonzero(strata == s)
        block = distinct_permutations(held[index].astype(np.int16))
        size = len(table)
        table = np.repeat(table, len(block), axis=0)
        table[:, index] = np.tile(block, (size, 1))
    return table


def count_rows(held: NDArray[np.int64], strata: NDArray[np.int64]) -> int:
    """Number of distinct permutations of contract rows within strata."""
    total = 1
    for s in np.unique(strata):
        counts = np.unique(held[strata == s], return_counts=True)[1]
        total *= factorial(int(counts.sum())) // prod(factorial(int(c)) for c in counts)
    return total


def turned_rows(contracts: Flags, present: Flags) -> Flags:
    """(S, K) contract rows under which a system's cells (S, M) stay in the comparison and change arms; see `contract_patterns`.

    Where every system holds one of these, arms are exchanged and nothing else: the statistic only changes its sign.
    """
    patterns, _ = contract_patterns(contracts)
    asked = present & contracts.any(axis=0)
    now = asked & (contracts | ~contracts.any(axis=1, keepdims=True))
    then = asked[:, None, :] & (patterns | ~patterns.any(axis=1, keepdims=True))
    same = (then == now[:, None, :]) & ((patterns != contracts[:, None, :]) | ~now[:, None, :])
    return np.asarray(same.all(axis=2))


def attainable(contracts: Flags, present: Flags, strata: NDArray[np.int64], limit: int) -> tuple[int, float]:
    """Number of assignments of contract rows, and the smallest two-sided p of a permutation over them.

    contracts, present: (S, M) contracts and cells with a change, of one measure or several. The observed assignment counts, and
    its mirror where contract rows can be handed out so. Where there are more than `limit`, so many are drawn, the observed among
    them.
    """
    held, turned = contract_patterns(contracts)[1], turned_rows(contracts, present)
    total = count_rows(held, strata)
    mirrored = True
    for s in np.unique(strata):
        index = np.flatnonzero(strata == s)
        given = turned[np.ix_(index, held[index])]  # by system, whether each of the stratum's rows turns it
        mirrored &= bool(given[linear_sum_assignment(given, maximize=True)].all())
    return total, max((2 if mirrored else 1) / total, 1 / limit if total > limit else 0.0)


def sample_rows(held: NDArray[np.int64], strata: NDArray[np.int64], draws: int, seed: int) -> NDArray[np.int64]:
    """`draws` random permutations of contract rows within strata, the observed one first."""
    rng = np.random.default_rng(seed)
    table = np.tile(held, (draws, 1))
    for s in np.unique(strata):
        index = np.flatnonzero(strata == s)
        table[1:, index] = held[index][np.argsort(rng.random((draws - 1, len(index))), axis=1)]
    return table


def stacked_permutation(data: Stacked, conf_level: float = 0.95, limit: int = 1_000_000, seed: int = 0) -> PermutationResult:
    """Permutation of whole contract rows over systems, of the pooled effect standardized by weights fitted under the null.

    The statistic is the average of the measures' effects with the registered cell weights, over its standard error, both with
    the covariance fitted without effects; the estimate is that average. Exact when systems are exchangeable given their
    sampling covariances and contracts move no other measure; the interval assumes a constant effect. Assignments under which a
    measure's effect is not identified (cells missing) are not admissible and not counted. Raises StudyError when an arm is empty.
    """
    patterns, held = contract_patterns(data.contracts)
    total, table = assignment_table(data, limit, seed)
    sampled = total > limit
    everyone = np.concatenate([table, held[None, :]])  # the observed assignment last
    holds = _holds(everyone, len(patterns))

    def test(theta: float) -> tuple[float, float, float, int]:
        effects, errors = assignment_effects(data, patterns, everyone, theta, holds)
        statistics = effects / errors
        usable = statistics[:-1][np.isfinite(statistics[:-1])]
        return two_sided_p(usable, float(statistics[-1])), float(statistics[-1]), float(effects[-1]) + theta, len(usable)

    p, statistic, estimate, admissible = test(0.0)
    turned = turned_rows(data.contracts, data.present & (data.measure_weights > 0))
    floor = (2 if turned[np.arange(len(held)), table].all(axis=1).any() else 1) / admissible
    error = float(np.sqrt(p * (1 - p) / limit)) if sampled else 0.0
    spread = 4 * stacked_standard_error(data, float(np.nanvar(data.y))) + 1e-12
    low, high = invert(lambda t: test(t)[0], estimate, spread, 1 - conf_level, floor, tolerance=2e-4)
    count = total if sampled else admissible
    return PermutationResult(estimate, statistic, p, low, high, floor, count, sampled, error)


def assignment_table(data: Stacked, limit: int, seed: int) -> tuple[int, NDArray[np.int64]]:
    """Number of assignments of contract rows, and all of them (N, S), or `limit` drawn ones where there are more."""
    held = contract_patterns(data.contracts)[1]
    total = count_rows(held, data.strata)
    if total <= limit:
        return total, enumerate_rows(held, data.strata)
    places = _order(data)
    stratum = np.cumsum(np.diff(data.strata[places], prepend=data.strata[places[0]]) != 0)
    table = np.empty((limit, len(held)), np.int64)
    table[:, places] = sample_rows(held[places], stratum, limit, seed)
    return total, table


def _order(data: Stacked) -> NDArray[np.int64]:
    """(S,) systems in an order that follows from their contracts, changes, covariances and weights."""
    weights = np.ones_like(data.y) if data.cell_weights is None else data.cell_weights
    values = np.hstack([data.contracts, data.y, data.covariance.reshape(len(data.y), -1), weights])
    return order_of_units(values, data.strata)


def assignment_effects(
    data: Stacked, patterns: Flags, table: NDArray[np.int64], theta: float, holds: Array | None = None
) -> tuple[Array, Array]:
    """(N,) pooled effects and their standard errors under the assignments in `table` (N, S), NaN where not identified.

    At the variances fitted without effects, after taking a constant effect `theta` from the observed contracted cells. holds:
    the table as zeros and ones, made once where several effects are tried.
    """
    problem = null_problem(data, theta)
    V = data.covariance + random_covariance(len(data.measure_weights), *restricted_likelihood(problem))
    parts = _by_pattern(data, patterns, V, problem.y)
    solution, b_all, variance = _solutions(parts, _holds(table, len(patterns)) if holds is None else holds, data.measure_weights)
    effects = sum(x * b for x, b in zip(solution, b_all, strict=True))
    return np.asarray(effects), np.sqrt(variance)


def assignment_lines(data: Stacked, patterns: Flags, table: NDArray[np.int64], V: Array) -> tuple[Array, Array]:
    """(N, S, M) linear weights of those effects and (N,) their standard errors, at given covariances V (S, M, M)."""
    parts = _by_pattern(data, patterns, V, np.zeros_like(data.y))
    solution, _, variance = _solutions(parts, _holds(table, len(patterns)), data.measure_weights)
    m = len(data.measure_weights)
    x = np.stack(solution, axis=1)
    lines = np.zeros((len(table), *data.y.shape))
    for k, row in enumerate(patterns):
        mask = _entering(data, row)
        own = np.einsum("smn,an->asm", precision(V, mask)[0], x[:, :m] + row * x[:, m:])
        lines += np.where((table == k)[:, :, None], own, 0.0)
    return lines, np.sqrt(variance)


def _entering(data: Stacked, row: Flags) -> Flags:
    """(S, M) cells that enter for a system that holds the contract row."""
    return np.asarray(data.present & (row | ~row.any()) & (data.measure_weights > 0))


def _by_pattern(data: Stacked, patterns: Flags, V: Array, y: Array) -> tuple[Array, Array]:
    """(S, K, 2M, 2M) and (S, K, 2M) normal equations of each system for each contract row it might hold."""
    parts, values = [], []
    for row in patterns:
        mask = _entering(data, row)
        rows = np.tile(row, (len(V), 1))
        A, b = normal_equations(precision(V, mask)[0], rows & mask, np.where(mask, y, 0.0))
        parts.append(A)
        values.append(b)
    return np.stack(parts, axis=1), np.stack(values, axis=1)


def _holds(table: NDArray[np.int64], patterns: int) -> Array:
    """(S K, N) zeros and ones: which pattern each system holds. Sums over systems are then one matrix product."""
    held = table.T[:, None, :] == np.arange(patterns)[:, None]
    return np.asarray(held.reshape(-1, len(table)), float)


def _solutions(parts: tuple[Array, Array], holds: Array, weights: Array) -> tuple[list[Array], Array, Array]:
    """What solves each assignment's normal equations for the pooled effect, their right sides, and the effects' variances."""
    A_parts, b_parts = parts
    size = 2 * len(weights)
    upper = np.triu_indices(size)
    flat = np.concatenate([A_parts[:, :, upper[0], upper[1]], b_parts], axis=2)
    sums = flat.reshape(-1, flat.shape[2]).T @ holds
    A_all: list[list[Array]] = [[np.empty(0)] * size for _ in range(size)]
    for k, (i, j) in enumerate(zip(*upper, strict=True)):
        A_all[i][j] = sums[k]
    contrast = np.concatenate([np.zeros(len(weights)), weights])
    solution = _solve(A_all, contrast)
    variance = sum(c * x for c, x in zip(contrast, solution, strict=True) if c)
    return solution, sums[len(upper[0]) :], np.asarray(variance)


def _solve(A: list[list[Array]], contrast: Array) -> list[Array]:
    """Solve many small symmetric systems at once: upper triangles A[i][j] of (N,), one right side; NaN where singular.

    Elimination step by step over all systems is a few vector operations a step, where a solver call each would take longest.
    Columns without any cell (zero on the diagonal) are no unknowns, unless the contrast asks for them. A is overwritten.
    """
    size, work = len(contrast), np.empty_like(A[0][0])
    right = [np.full_like(work, c) for c in contrast]
    singular = np.zeros(len(work), bool)
    least = [NOT_IDENTIFIED * A[k][k] for k in range(size)]
    for k in range(size):
        lost = ~(A[k][k] > least[k])
        some = bool(lost.any())
        if contrast[k]:
            singular |= lost
        A[k][k][lost] = 1.0
        for i in range(k + 1, size):
            factor = A[k][i] / A[k][k]
            if some:
                factor[lost] = 0.0
            for j in range(i, size):
                A[i][j] -= np.multiply(factor, A[k][j], out=work)
            if contrast[: k + 1].any():  # before that, the right side is zero
                right[i] -= np.multiply(factor, right[k], out=work)
        if not contrast[k]:
            right[k][lost] = 0.0
    solution: list[Array] = [np.empty(0)] * size
    for k in reversed(range(size)):
        known = np.zeros_like(work)
        for j in range(k + 1, size):
            known += np.multiply(A[k][j], solution[j], out=work)
        solution[k] = (right[k] - known) / A[k][k]
    for x in solution:
        x[singular] = np.nan
    return solution
