"""One regression under many label vectors: sums over units of what each one's label brings, and many small systems at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p4equity.inference.reassignment import Labels

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
PIVOT = 1e-9  # a pivot this small beside its diagonal: the label vector identifies no effect
ROUNDING = 1e-13  # differences this small beside the largest part are rounding
MOST = 12  # factors up to which parts of all units are multiples of a few


@dataclass(frozen=True)
class Sums:
    """Sums over units i of parts[i, label of i], as left (n, r) times right (C, r, k).

    In a balanced panel the parts of all units are the same but for their weight: one factor in place of n. fixed: (k,), the
    sum where units of a stratum have the same parts, so that exchanging their labels does not change it.
    """

    left: Array
    right: Array
    fixed: Array | None = None

    @property
    def used(self) -> list[int]:
        """Labels that bring anything."""
        return [] if self.fixed is not None else [c for c, part in enumerate(self.right) if part.any()]

    def total(self, ones: Sequence[Array]) -> Array:
        """(k, B) sums under B label vectors, or (k, 1) where all have the same. ones: by label, (B, n) zeros and ones."""
        if self.fixed is not None:
            return self.fixed[:, None]
        out = np.zeros((self.right.shape[2], len(ones[0])))
        for c in self.used:
            out += self.right[c].T @ (ones[c] @ self.left).T
        return out


def sums(parts: Array, labels: Codes, strata: Codes) -> Sums:
    """How to add up parts (n, C, k). labels: (n,) the observed ones; strata: (n,) within which they are exchanged."""
    n, C, k = parts.shape
    flat = parts.reshape(n, -1)
    rounding = ROUNDING * float(np.abs(flat).max(initial=0.0))
    first = np.unique(strata, return_index=True)[1][np.unique(strata, return_inverse=True)[1]]
    if np.abs(flat - flat[first]).max(initial=0.0) <= rounding:
        return Sums(np.zeros((n, 0)), np.zeros((C, 0, k)), parts[np.arange(n), labels].sum(axis=0))
    left: list[Array] = []
    right: list[Array] = []
    rest = flat.copy()
    for _ in range(min(MOST, n // 3) + 1):  # elimination with complete pivoting
        i, j = np.unravel_index(int(np.abs(rest).argmax()), rest.shape)
        if abs(rest[i, j]) <= rounding:
            return Sums(np.stack(left, axis=1), np.stack(right).reshape(-1, C, k).transpose(1, 0, 2))
        left.append(rest[:, j] / rest[i, j])
        right.append(rest[i].copy())
        rest -= np.outer(left[-1], right[-1])
    return Sums(np.eye(n), parts.transpose(1, 0, 2))


def zeros_and_ones(table: Labels, labels: int, wanted: Collection[int]) -> list[Array]:
    """By label, (B, n) whether units have it; empty for labels that are not wanted."""
    return [(table == c).astype(float) if c in wanted else np.zeros((len(table), 0)) for c in range(labels)]


def solved(moment: Array, scale: Array, right: Array) -> Array:
    """(K, R, B) solutions of M x = right (K, R, B) of many symmetric positive moments (K, K, B), NaN where a pivot is lost.

    scale: (K, B) diagonals before anything was taken out. Elimination step by step over all systems is a few vector operations
    a step, where a solver call each would take longest. One moment (B = 1) serves all right sides.
    """
    K = len(moment)
    M, x = moment.copy(), right.copy()
    singular = np.zeros(M.shape[2], bool)
    for k in range(K):
        lost = ~(M[k, k] > PIVOT * scale[k])
        singular |= lost
        M[k, k, lost] = 1.0
        for i in range(k + 1, K):
            factor = M[k, i] / M[k, k]
            M[i, i:] -= factor * M[k, i:]
            x[i] -= factor * x[k]
    for k in reversed(range(K)):
        for j in range(k + 1, K):
            x[k] -= M[k, j] * x[j]
        x[k] /= M[k, k]
    return np.where(singular, np.nan, x)
