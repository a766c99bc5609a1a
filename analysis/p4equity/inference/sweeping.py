"""Categorical effects taken out of columns: weighted residuals, exact to rounding whatever the scale of a column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
ABSORBED = 1e-9  # a column whose norm falls below this share when effects are taken out has nothing left
RANK = 1e-9  # singular values below this share count as zero
PASSES = 2  # one pass leaves rounding of the order of a column's trend, the second removes it


def is_nested(effect: Codes, cluster: Codes) -> bool:
    """Whether every level of an effect lies in one cluster."""
    levels, position = np.unique(effect, return_inverse=True)
    low, high = np.full(len(levels), np.iinfo(np.int64).max), np.full(len(levels), np.iinfo(np.int64).min)
    np.minimum.at(low, position, cluster)
    np.maximum.at(high, position, cluster)
    return bool((low == high).all())


def dummies(codes: Codes) -> Array:
    """(N, levels) indicator columns of integer codes."""
    levels, position = np.unique(codes, return_inverse=True)
    out = np.zeros((len(codes), len(levels)))
    out[np.arange(len(codes)), position] = 1.0
    return out


def by_cluster(cluster: Codes) -> list[NDArray[np.int64]]:
    """Row numbers of each cluster, in the order of its codes: one sort instead of a search a cluster."""
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order])) + 1
    return [np.asarray(part, np.int64) for part in np.split(order, starts)]


def sweep(columns: Array, effects: Sequence[Codes], weights: Array, cluster: Codes) -> tuple[Array, int]:
    """Weighted residuals of columns (N, m) on nested effects, and the rank of those effects."""
    if not effects:
        return columns, 0
    if len(effects) == 1:
        _, position = np.unique(effects[0], return_inverse=True)
        total = np.bincount(position, weights)
        out = columns.copy()
        for j, column in enumerate(columns.T):
            out[:, j] -= (np.bincount(position, weights * column) / total)[position]
        return out, len(total)
    out, rank = columns.copy(), 0
    for rows in by_cluster(cluster):
        root = np.sqrt(weights[rows])[:, None]
        basis = orthonormal(root * np.hstack([dummies(e[rows]) for e in effects]))
        whitened = root * columns[rows]
        out[rows] = (whitened - basis @ (basis.T @ whitened)) / root
        rank += basis.shape[1]
    return out, rank


def take_out(columns: Array, effects: Sequence[Codes], weights: Array, cluster: Codes) -> Array:
    """Regressors (N, m) less all effects, as `residuals`, and exactly zero where nothing but rounding is left."""
    out = residuals(columns, effects, weights, cluster)
    return np.asarray(out * (np.sqrt(weights @ out**2) > ABSORBED * np.sqrt(weights @ columns**2)))


def residuals(columns: Array, effects: Sequence[Codes], weights: Array, cluster: Codes) -> Array:
    """Weighted residuals of columns (N, m) on all effects, nested in the clusters or not.

    Frisch, Waugh and Lovell: a regression on these residuals has the coefficients, scores and cluster moments of the
    regression with the effects as dummies, but a column that is mostly a common trend keeps its digits.
    """
    nested = [e for e in effects if is_nested(e, cluster)]
    crossed = [dummies(e) for e in effects if not is_nested(e, cluster)]
    root = np.sqrt(weights)[:, None]
    basis = orthonormal(root * sweep(np.hstack(crossed), nested, weights, cluster)[0]) if crossed else np.zeros((len(root), 0))
    out = columns
    for _ in range(PASSES):
        out, _ = sweep(out, nested, weights, cluster)
        out = out - basis @ (basis.T @ (root * out)) / root
    return np.asarray(out)


def orthonormal(columns: Array) -> Array:
    """Orthonormal basis (N, r) of the columns' span."""
    left, values, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, values > RANK * values.max(initial=0.0)])
