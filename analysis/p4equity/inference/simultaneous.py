"""Simultaneous bands: one critical value for several coefficients, from their joint covariance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from p4equity.errors import UsageError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SimultaneousBand:
    """critical: sup-t value on the normal scale. conf_low, conf_high, p_value: (q,) limits and adjusted p values."""

    critical: float
    conf_low: Array
    conf_high: Array
    p_value: Array


def sup_draws(covariance: Array, draws: int, seed: int) -> Array:
    """(draws,) maxima of |Z| for Z normal with the correlation of `covariance` (q, q), which may be singular."""
    sd = np.sqrt(np.diag(covariance))
    if not np.isfinite(covariance).all() or (sd <= 0).any():
        raise UsageError("a simultaneous band needs a finite covariance with positive variances", found=covariance.shape)
    values, vectors = np.linalg.eigh(covariance / np.outer(sd, sd))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(np.abs(_normal(draws, len(sd), seed) @ root.T).max(axis=1))


@lru_cache(maxsize=4)
def _normal(draws: int, size: int, seed: int) -> Array:
    """Standard normal draws, kept: the bands of one study share them."""
    return np.random.default_rng([seed, size]).standard_normal((draws, size))


def simultaneous_band(
    estimate: Array, covariance: Array, df: Array, *, conf_level: float = 0.95, draws: int = 100_000, seed: int = 0
) -> SimultaneousBand:
    """Limits that cover all q coefficients at once with probability `conf_level`.

    estimate (q,), covariance (q, q), df (q,) degrees of freedom of each coefficient's t. The sup-t value of the joint
    normal fixes the pointwise level that gives joint coverage; each limit is then the t quantile of its own df at that
    level, so that a band is never narrower than the pointwise interval. With infinite df it is the usual sup-t band.
    Source: Montiel Olea and Plagborg-Moller (2019).
    """
    maxima = np.sort(sup_draws(covariance, draws, seed))
    critical = float(maxima[int(np.ceil(conf_level * draws)) - 1])
    se = np.sqrt(np.diag(covariance))
    half = stats.t.isf(stats.norm.sf(critical), df) * se
    # The normal value with the same tail as the t statistic; the share of maxima at or above it is the adjusted p.
    equivalent = stats.norm.isf(stats.t.sf(np.abs(estimate) / se, df))
    adjusted = 1 - np.searchsorted(maxima, equivalent, side="left") / draws
    pointwise = 2 * stats.t.sf(np.abs(estimate) / se, df)
    return SimultaneousBand(critical, estimate - half, estimate + half, np.maximum(adjusted, pointwise))
