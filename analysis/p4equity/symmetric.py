"""The symmetric root of a covariance, from which correlated normal draws are made."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ROUNDING = 1e-13  # of the largest eigenvalue


def symmetric_root(covariance: Array) -> Array:
    """(..., n, n) the one symmetric R without negative eigenvalues for which R R = covariance.

    Eigenvalues that are zero but for rounding count as zero, or their roots would be 1e-8 on one processor and 0 on another.

    A root of the eigenvectors alone (or of a singular value decomposition) turns with their signs, and with their order where
    eigenvalues are equal: both differ between processors, and what is drawn with such a root differs with them.
    """
    values, vectors = np.linalg.eigh(covariance)
    values = np.where(values > ROUNDING * values.max(axis=-1, keepdims=True), values, 0.0)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]) @ np.swapaxes(vectors, -1, -2))
