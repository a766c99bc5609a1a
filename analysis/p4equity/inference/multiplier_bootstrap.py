"""Multiplier bootstrap of influence functions: standard errors and simultaneous bands from random signs of cluster sums."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from p4equity.errors import UsageError

Array = NDArray[np.float64]
DRAWS = 9999
ENUMERATED = 2**12  # sign vectors up to which all are taken
BLOCK = 10_000_000  # draws x clusters held at once
DIGITS = 9  # digits by which clusters are put in order, so that their names do not matter
IQR_NORMAL = float(stats.norm.ppf(0.75) - stats.norm.ppf(0.25))


@dataclass(frozen=True)
class MultiplierBootstrap:
    """std_error (q,): interquartile range of the draws over that of the normal, NaN where the draws do not vary.

    critical: sup-t value, NaN without a single such error. conf_low, conf_high, p_value (q,): simultaneous limits and p.
    draws: sign vectors used. enumerated: all of them.
    """

    std_error: Array
    critical: float
    conf_low: Array
    conf_high: Array
    p_value: Array
    draws: int
    enumerated: bool


def type1_quantile(sorted_values: Array, level: float) -> Array:
    """Inverse of the empirical distribution (R's type 1) of values sorted along the first axis."""
    count = len(sorted_values)
    place = int(np.ceil(level * count * (1 - 1e-14))) - 1  # a whole number of values keeps its place despite rounding
    return np.asarray(sorted_values[min(max(place, 0), count - 1)])


def multiplier_draws(influence: Array, draws: int = DRAWS, seed: int = 0) -> tuple[Array, bool]:
    """(draws, q) sums of influence (G, q) with random signs by cluster, and whether all sign vectors were taken.

    Clusters are put in order by their influence first: neither their names nor the order of the data matter. Up to
    4,096 sign vectors are all taken.
    """
    groups, size = influence.shape
    scale = np.abs(influence).max(axis=0, initial=0.0)
    rounded = np.round(influence / np.where(scale > 0, scale, 1.0), DIGITS)
    ordered = influence[np.lexsort(rounded.T)] if groups and size else influence
    if 2**groups <= ENUMERATED:
        return np.array(list(product([1.0, -1.0], repeat=groups))) @ ordered, True
    rng = np.random.default_rng([seed, groups])
    block = max(1, BLOCK // groups)
    parts = [
        (2.0 * rng.integers(0, 2, (min(block, draws - done), groups), dtype=np.int8) - 1.0) @ ordered
        for done in range(0, draws, block)
    ]
    return np.vstack(parts), False


def robust_error(values: Array) -> Array:
    """(q,) interquartile range of draws (B, q) over that of the normal; NaN where it is zero."""
    ordered = np.sort(values, axis=0)
    out = (type1_quantile(ordered, 0.75) - type1_quantile(ordered, 0.25)) / IQR_NORMAL
    return np.asarray(np.where(out > 1e-12 * np.abs(ordered).max(axis=0, initial=0.0), out, np.nan))


def multiplier_band(sums: Array, std_error: Array, estimate: Array, conf_level: float) -> tuple[float, Array, Array, Array]:
    """Critical value, limits and p values (q,) of a band over the estimates whose draws (B, q) vary.

    The critical value is the quantile of max |draw / error|. Limits are never narrower than pointwise ones, nor p smaller.
    """
    known = np.isfinite(std_error)
    nothing = np.full(len(estimate), np.nan)
    if not known.any():
        return float("nan"), nothing, nothing, nothing
    maxima = np.sort(np.abs(sums[:, known] / std_error[known]).max(axis=1))
    critical = float(type1_quantile(maxima, conf_level))
    half = max(critical, float(stats.norm.ppf(0.5 + conf_level / 2))) * std_error
    t = np.abs(estimate / std_error)
    share = 1 - np.searchsorted(maxima, t * (1 - 1e-9), side="left") / len(maxima)
    p = np.where(known, np.maximum(share, 2 * stats.norm.sf(t)), np.nan)
    return critical, estimate - half, estimate + half, p


def multiplier_bootstrap(
    influence: Array, *, estimate: Array | None = None, draws: int = DRAWS, conf_level: float = 0.95, seed: int = 0
) -> MultiplierBootstrap:
    """Standard errors of q estimates and limits that cover all of them at once with probability `conf_level`.

    influence: (G, q) sums by cluster of the influence functions, scaled so that influence' influence is the covariance.
    estimate: (q,), zero by default. Rademacher weights, error and quantiles as in R's did. Raises UsageError for influence
    that is not finite or not (G, q). Source: Callaway and Sant'Anna (2021), algorithm 1.
    """
    values = np.asarray(influence, float)
    if values.ndim != 2 or not np.isfinite(values).all() or not len(values):
        raise UsageError("influence is not usable", expected="finite numbers (clusters, estimates)", found=values.shape)
    b = np.zeros(values.shape[1]) if estimate is None else np.asarray(estimate, float)
    sums, enumerated = multiplier_draws(values, draws, seed)
    se = robust_error(sums)
    critical, low, high, p = multiplier_band(sums, se, b, conf_level)
    return MultiplierBootstrap(se, critical, low, high, p, len(sums), enumerated)
