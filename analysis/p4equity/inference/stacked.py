"""Pooled question over measures: stacked system rows, generalized least squares, permutation of whole contract rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import factorial, prod

import numpy as np
from numpy.typing import NDArray

from p4equity.errors import StudyError
from p4equity.inference.permutation import PermutationResult, invert, two_sided_p
from p4equity.inference.random_effects import RandomEffectsFit, t_answer

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
CORRELATIONS = (0.0, 0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Stacked:
    """Changes of systems by measure, and who is contracted on what.

    y: (S, M) changes, NaN where a system has none. contracts: (S, M) bool. covariance: (S, M, M) sampling covariance of a
    system's changes, which carries the shared reference group and the members that measures share. strata: (S,) ints.
    A contracted system counts only in its contracted measures: its other cells leave both arms.
    """

    y: Array
    contracts: Flags
    covariance: Array
    strata: NDArray[np.int64]

    @cached_property
    def present(self) -> Flags:
        """(S, M): cells with a change."""
        return np.isfinite(self.y)

    def included(self, contracts: Flags) -> Flags:
        """(S, M): cells that enter under an assignment of contract rows."""
        return np.asarray(self.present & (contracts | ~contracts.any(axis=1, keepdims=True)))


def random_covariance(size: int, tau2: float, correlation: float) -> Array:
    """Between-system covariance of the changes in `size` measures: variance tau2, equal correlation between measures."""
    between: Array = tau2 * ((1 - correlation) * np.eye(size) + correlation * np.ones((size, size)))
    return between


def _moments(
    data: Stacked, mask: Flags, rows: Flags, tau2: float, correlation: float, y: Array
) -> tuple[Array, Array, float, float]:
    """Sums over systems of X'WX, X'Wy, y'Wy and log|V| for intercepts by measure and one treatment column."""
    m = data.y.shape[1]
    A, b, yy, logdet = np.zeros((m + 1, m + 1)), np.zeros(m + 1), 0.0, 0.0
    between = random_covariance(m, tau2, correlation)
    for s in range(len(data.y)):
        A_s, b_s, yy_s, logdet_s = _system_moments(data.covariance[s] + between, mask[s], rows[s], y[s])
        A, b, yy, logdet = A + A_s, b + b_s, yy + yy_s, logdet + logdet_s
    return _with_empty_measures(A), b, yy, logdet


def _with_empty_measures(A: Array) -> Array:
    """Sums of X'WX in which the intercept of a measure without any cell has a one, so that the others can be solved."""
    out = A.copy()
    m = A.shape[-1] - 1
    diagonal = np.arange(m)
    block = out[..., diagonal, diagonal]
    out[..., diagonal, diagonal] = np.where(block == 0, 1.0, block)
    return out


def _system_moments(V: Array, mask: Flags, row: Flags, y: Array) -> tuple[Array, Array, float, float]:
    m = len(y)
    index = np.flatnonzero(mask)
    A, b = np.zeros((m + 1, m + 1)), np.zeros(m + 1)
    if not len(index):
        return A, b, 0.0, 0.0
    block = V[np.ix_(index, index)]
    W = np.linalg.inv(block)
    X = np.zeros((len(index), m + 1))
    X[np.arange(len(index)), index] = 1
    X[:, m] = row[index]
    WX, Wy = W @ X, W @ y[index]
    return X.T @ WX, X.T @ Wy, float(y[index] @ Wy), float(np.linalg.slogdet(block)[1])


def _fit_variance(data: Stacked, mask: Flags, rows: Flags | None, y: Array) -> tuple[float, float]:
    """REML estimate of (tau2, correlation) with (`rows`) or without (None: the null) the treatment column."""
    used = np.zeros_like(mask) if rows is None else rows
    keep = slice(None) if rows is not None else slice(0, data.y.shape[1])
    scale = (float(np.nanvar(np.where(mask, y, np.nan))) if mask.any() else 0.0) + 1e-12

    def deviance(tau2: float, correlation: float) -> float:
        A, b, yy, logdet = _moments(data, mask, used, tau2, correlation, y)
        A, b = A[keep, keep], b[keep]
        return logdet + float(np.linalg.slogdet(A)[1]) + yy - float(b @ np.linalg.solve(A, b))

    grid = np.concatenate([[0.0], np.geomspace(1e-3, 4.0, 14) * scale])
    found = min((deviance(t, r), t, r) for t in grid for r in CORRELATIONS)
    best, tau2, correlation = found
    step = 1.8
    while step > 1.01 and tau2 > 0:
        candidates = [(deviance(t, correlation), t) for t in (tau2 / step, tau2 * step)]
        value, t = min(candidates)
        if value < best:
            best, tau2 = value, t
        else:
            step = step**0.5
    return tau2, correlation


def stacked_meta_regression(data: Stacked, conf_level: float = 0.95) -> RandomEffectsFit:
    """Mean effect over contracted system x measure cells: generalized least squares, Knapp-Hartung scale, t with S - 2 df.

    Random effects with variance tau2 and an equal correlation between a system's measures, by restricted maximum likelihood. The
    degrees of freedom count systems, not cells. `weights` of the answer are (S, M): estimate = sum(weights * y).
    """
    _check(data)
    mask = data.included(data.contracts)
    y = np.where(mask, data.y, 0.0)
    tau2, correlation = _fit_variance(data, mask, data.contracts, y)
    A, b, yy, _ = _moments(data, mask, data.contracts, tau2, correlation, y)
    bread: Array = np.asarray(np.linalg.inv(A), float)
    q = (yy - float(b @ bread @ b)) / (int(mask.sum()) - len(b))
    weights = _linear_weights(data, mask, tau2, correlation, bread)
    df = int(mask.any(axis=1).sum()) - 2
    estimate = float((weights * y).sum())
    return t_answer(estimate, float(np.sqrt(q * bread[-1, -1])), df, tau2, q, weights, conf_level)


def stacked_standard_error(data: Stacked, tau2: float, correlation: float = 0.0) -> float:
    """Standard error of the pooled effect by generalized least squares, given the between-system variance and correlation."""
    _check(data)
    mask = data.included(data.contracts)
    A = _moments(data, mask, data.contracts, tau2, correlation, np.zeros_like(data.y))[0]
    return float(np.sqrt(np.linalg.inv(A)[-1, -1]))


def _linear_weights(data: Stacked, mask: Flags, tau2: float, correlation: float, bread: Array) -> Array:
    m = data.y.shape[1]
    between = random_covariance(m, tau2, correlation)
    out = np.zeros_like(data.y)
    for s in range(len(data.y)):
        index = np.flatnonzero(mask[s])
        if len(index):
            W = np.linalg.inv((data.covariance[s] + between)[np.ix_(index, index)])
            X = np.zeros((len(index), m + 1))
            X[np.arange(len(index)), index] = 1
            X[:, m] = data.contracts[s, index]
            out[s, index] = bread[-1] @ (X.T @ W)
    return out


def stacked_component(data: Stacked, weights: Array, conf_level: float = 0.95) -> RandomEffectsFit:
    """The pooled weights applied to another outcome of the same cells (reference or group), with its own variance and q."""
    own = stacked_meta_regression(data, conf_level)
    mask = data.included(data.contracts)
    between = random_covariance(data.y.shape[1], own.tau2, 0.0)
    variance = sum(
        float(weights[s] @ np.where(np.outer(mask[s], mask[s]), data.covariance[s] + between, 0.0) @ weights[s])
        for s in range(len(weights))
    )
    estimate = float((weights * np.where(mask, data.y, 0.0)).sum())
    return t_answer(estimate, float(np.sqrt(own.q * variance)), own.df, own.tau2, own.q, weights, conf_level)


def _check(data: Stacked) -> None:
    treated = data.contracts.any(axis=1)
    if not treated.any() or treated.all():
        arm = "contracted" if not treated.any() else "comparison"
        raise StudyError(f"no {arm} system left for the pooled question", fix="check contracts and arms in systems.toml")


def contract_patterns(contracts: Flags) -> tuple[Flags, NDArray[np.int64]]:
    """Distinct contract rows (K, M) and the row each system holds (S,)."""
    patterns, held = np.unique(contracts, axis=0, return_inverse=True)
    return patterns.astype(bool), held.reshape(-1)


def enumerate_rows(held: NDArray[np.int64], strata: NDArray[np.int64]) -> NDArray[np.int64]:
    """All distinct permutations of contract rows over systems within strata: (n_assignments, S), entries index patterns."""
    table = np.zeros((1, len(held)), np.int64)
    for s in np.unique(strata):
        index = np.flatnonzero(strata == s)
        block = _distinct_permutations(held[index])
        size = len(table)
        table = np.repeat(table, len(block), axis=0)
        table[:, index] = np.tile(block, (size, 1))
    return table


def _distinct_permutations(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    values, counts = np.unique(labels, return_counts=True)
    order = np.argsort(counts)
    rows = [(np.full(len(labels), values[order[-1]], np.int64), np.arange(len(labels)))]
    for k in order[:-1]:
        grown = []
        for row, free in rows:
            for pick in combinations(range(len(free)), int(counts[k])):
                new = row.copy()
                new[free[list(pick)]] = values[k]
                grown.append((new, np.delete(free, list(pick))))
        rows = grown
    return np.array([row for row, _ in rows])


def count_rows(held: NDArray[np.int64], strata: NDArray[np.int64]) -> int:
    """Number of distinct permutations of contract rows within strata."""
    total = 1
    for s in np.unique(strata):
        counts = np.unique(held[strata == s], return_counts=True)[1]
        total *= factorial(int(counts.sum())) // prod(factorial(int(c)) for c in counts)
    return total


def _statistics(data: Stacked, patterns: Flags, table: NDArray[np.int64], tau2: float, correlation: float, y: Array) -> Array:
    """Standardized pooled effect of every assignment, from precomputed moments of each system under each contract row."""
    m = y.shape[1]
    between = random_covariance(m, tau2, correlation)
    A = np.zeros((len(table), m + 1, m + 1))
    b = np.zeros((len(table), m + 1))
    for s in range(len(y)):
        parts = [
            _system_moments(data.covariance[s] + between, data.present[s] & (row | ~row.any()), row, y[s]) for row in patterns
        ]
        A += np.stack([p[0] for p in parts])[table[:, s]]
        b += np.stack([p[1] for p in parts])[table[:, s]]
    A = _with_empty_measures(A)
    # The treatment column after sweeping out the intercepts (Schur complement); not identified where nothing of it is left.
    swept = np.linalg.solve(A[:, :m, :m], np.stack([A[:, :m, m], b[:, :m]], axis=2))
    information = A[:, m, m] - (A[:, m, None, :m] @ swept[:, :, :1])[:, 0, 0]
    score = b[:, m] - (A[:, m, None, :m] @ swept[:, :, 1:])[:, 0, 0]
    identified = information > 1e-9 * A[:, m, m]
    return np.where(identified, score / np.sqrt(np.where(identified, information, 1.0)), np.nan)


def stacked_permutation(data: Stacked, conf_level: float = 0.95, limit: int = 1_000_000, seed: int = 0) -> PermutationResult:
    """Permutation of whole contract rows over systems, of the pooled effect standardized by weights fitted under the null.

    Assignments under which the effect is not identified (cells missing) are not admissible and not counted.
    """
    _check(data)
    patterns, held = contract_patterns(data.contracts)
    total = count_rows(held, data.strata)
    sampled = total > limit
    table = _sample_rows(held, data.strata, limit, seed) if sampled else enumerate_rows(held, data.strata)
    own = held[None, :]

    def test(theta: float) -> tuple[float, float, int]:
        y = np.where(data.present, data.y - theta * data.contracts, 0.0)
        tau2, correlation = _fit_variance(data, data.present, None, y)
        statistics = _statistics(data, patterns, table, tau2, correlation, y)
        observed = float(_statistics(data, patterns, own, tau2, correlation, y)[0])
        usable = statistics[np.isfinite(statistics)]
        return two_sided_p(usable, observed), observed, len(usable)

    p, statistic, admissible = test(0.0)
    total = total if sampled else admissible
    centre = stacked_meta_regression(data, conf_level)
    error = float(np.sqrt(p * (1 - p) / limit)) if sampled else 0.0
    low, high = invert(
        lambda t: test(t)[0], centre.estimate, 4 * centre.std_error + 1e-12, 1 - conf_level, 1 / admissible, tolerance=2e-4
    )
    return PermutationResult(centre.estimate, statistic, p, low, high, 1 / admissible, total, sampled, error)


def _sample_rows(held: NDArray[np.int64], strata: NDArray[np.int64], draws: int, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    table = np.tile(held, (draws, 1))
    for s in np.unique(strata):
        index = np.flatnonzero(strata == s)
        table[1:, index] = held[index][np.argsort(rng.random((draws - 1, len(index))), axis=1)]
    return table
