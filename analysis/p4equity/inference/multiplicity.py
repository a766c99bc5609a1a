"""Adjusted p values for families of tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from p4equity.errors import UsageError

Array = NDArray[np.float64]


def _adjust(p_values: ArrayLike, method: str) -> Array:
    from statsmodels.stats.multitest import multipletests

    p = np.asarray(p_values, float)
    known = np.isfinite(p)
    if ((p[known] < 0) | (p[known] > 1)).any():
        raise UsageError("p values lie between 0 and 1", expected="[0, 1]", found=(float(p[known].min()), float(p[known].max())))
    out = np.full(p.shape, np.nan)
    if known.any():
        out[known] = multipletests(p[known], method=method)[1]
    return out


def holm(p_values: ArrayLike) -> Array:
    """Holm's step-down p values, controlling the family-wise error rate; NaN stays NaN and does not count as a test."""
    return _adjust(p_values, "holm")


def benjamini_hochberg(p_values: ArrayLike) -> Array:
    """Benjamini and Hochberg's p values, controlling the false discovery rate; NaN stays NaN and does not count as a test."""
    return _adjust(p_values, "fdr_bh")
