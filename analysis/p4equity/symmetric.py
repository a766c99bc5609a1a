"""The symmetric root of a covariance, from which correlated normal draws are made."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def symmetric_root(covariance: Array) -> Array:
    """(..., n, n) the one symmetric R without negative eigenvalues for which R R = covariance; negative eigenvalues count as 0.

    A root of the eigenvectors alone (or of a singular value decomposition) turns with their signs, and with their order where
    eigenvalues are equal: both differ between processors, and what is drawn with such a root differs with them.
    """
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]) @ np.swapaxes(vectors, -1, -2))
