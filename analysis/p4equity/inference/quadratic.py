"""Quadratic forms of many vectors in many matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def quadratic_forms(Y: Array, matrices: Array) -> Array:
    """(R, K) values y' A y of outcomes Y (R, N) in symmetric matrices (K, N, N): products of pairs, then one matrix product."""
    i, j = np.triu_indices(Y.shape[1])
    twice = np.where(i == j, 1.0, 2.0)
    return np.asarray((Y[:, i] * Y[:, j]) @ (twice * matrices[:, i, j]).T)
