"""Categorical effects taken out of columns: weighted residuals, exact to rounding whatever the scale of a column."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

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


class Absorber:
    """Effects of rows, made ready once and taken out of any columns: what depends on the effects alone is kept.

    effects: integer codes (N,) each. weights, cluster: (N,). Where all levels of an effect lie in one cluster it is nested, and
    swept out cluster by cluster.
    """

    def __init__(self, effects: Sequence[Codes], weights: Array, cluster: Codes) -> None:
        inside = [is_nested(e, cluster) for e in effects]
        self.effects, self.weights, self.cluster = effects, weights, cluster
        self._latest: tuple[Array, Array] | None = (
            None  # columns and their residuals: regressions that share effects share outcomes
        )
        self.nested = [e for e, nested in zip(effects, inside, strict=True) if nested]
        self.crossed = [e for e, nested in zip(effects, inside, strict=True) if not nested]

    @cached_property
    def _means(self) -> tuple[Codes, Array]:
        """Level of each row, and the weight of each level, of a single nested effect."""
        _, position = np.unique(self.nested[0], return_inverse=True)
        return np.asarray(position, np.int64), np.asarray(np.bincount(position, self.weights), float)

    @cached_property
    def _bases(self) -> list[tuple[NDArray[np.int64], Array, Array]]:
        """Rows, root weights and an orthonormal basis of the nested effects of each cluster."""
        out = []
        for rows in by_cluster(self.cluster):
            root = np.sqrt(self.weights[rows])[:, None]
            out.append((rows, root, orthonormal(root * np.hstack([dummies(e[rows]) for e in self.nested]))))
        return out

    @cached_property
    def _others(self) -> tuple[Array, Array, int]:
        """Dummies (N, levels) of the effects that are not nested, these less those that are, and the rank of the latter."""
        columns = np.hstack([np.zeros((len(self.weights), 0)), *(dummies(e) for e in self.crossed)])
        return columns, *self.sweep(columns)

    @cached_property
    def _crossed_basis(self) -> Array:
        """Orthonormal basis (N, r) of the weighted effects that are not nested, less those that are."""
        rest = np.sqrt(self.weights)[:, None] * self._others[1]
        return orthonormal(rest) if self.crossed else rest

    @property
    def rank(self) -> int:
        """Rank of the nested effects."""
        return self._others[2]

    @cached_property
    def others(self) -> Array:
        """Dummies (N, levels) of the effects that are not nested, less those that are; zero where only rounding is left."""
        columns, rest, _ = self._others
        return self._rounded(rest, columns)

    def sweep(self, columns: Array) -> tuple[Array, int]:
        """Weighted residuals of columns (N, m) on the nested effects, and the rank of those effects."""
        if not self.nested:
            return columns, 0
        out = columns.copy()
        if len(self.nested) == 1:
            position, total = self._means
            for j, column in enumerate(columns.T):
                out[:, j] -= (np.bincount(position, self.weights * column) / total)[position]
            return out, len(total)
        for rows, root, basis in self._bases:
            whitened = root * columns[rows]
            out[rows] = (whitened - basis @ (basis.T @ whitened)) / root
        return out, sum(basis.shape[1] for _, _, basis in self._bases)

    def residuals(self, columns: Array) -> Array:
        """Weighted residuals of columns (N, m) on all effects, nested in the clusters or not.

        Frisch, Waugh and Lovell: a regression on these residuals has the coefficients, scores and cluster moments of the
        regression with the effects as dummies, but a column that is mostly a common trend keeps its digits.
        """
        if self._latest is not None and self._latest[0] is columns:
            return self._latest[1]
        root, basis, out = np.sqrt(self.weights)[:, None], self._crossed_basis, columns
        for _ in range(PASSES):
            out, _ = self.sweep(out)
            out = out - basis @ (basis.T @ (root * out)) / root
        self._latest = (columns, np.asarray(out))
        return self._latest[1]

    def take_out(self, columns: Array) -> Array:
        """Regressors (N, m) less all effects, as `residuals`, and exactly zero where nothing but rounding is left."""
        latest = self._latest
        out = self.residuals(columns)
        self._latest = latest
        return self._rounded(out, columns)

    def _rounded(self, rest: Array, columns: Array) -> Array:
        """What is left of columns (N, m), exactly zero where it is rounding."""
        return np.asarray(rest * (np.sqrt(self.weights @ rest**2) > ABSORBED * np.sqrt(self.weights @ columns**2)))


def sweep(columns: Array, effects: Sequence[Codes], weights: Array, cluster: Codes) -> tuple[Array, int]:
    """Weighted residuals of columns (N, m) on nested effects, and the rank of those effects."""
    return Absorber(effects, weights, cluster).sweep(columns)


def take_out(columns: Array, effects: Sequence[Codes], weights: Array, cluster: Codes) -> Array:
    """`Absorber.take_out`, for effects that are used once."""
    return Absorber(effects, weights, cluster).take_out(columns)


def residuals(columns: Array, effects: Sequence[Codes], weights: Array, cluster: Codes) -> Array:
    """`Absorber.residuals`, for effects that are used once."""
    return Absorber(effects, weights, cluster).residuals(columns)


def orthonormal(columns: Array) -> Array:
    """Orthonormal basis (N, r) of the columns' span."""
    left, values, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, values > RANK * values.max(initial=0.0)])
