"""Precision before outcomes: errors of gaps and of their changes from denominators, planning rates and overlap alone.

Nothing here reads an outcome under contract. A year's rate has binomial variance; rates of two years correlate by
`correlation` for each year between them: the share of members who stay times the correlation of a member's results.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from p4equity.errors import UsageError

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def rate_variance(rate: ArrayLike, den: ArrayLike) -> Array:
    """Binomial variance rate (1 - rate) / den of a share; infinite where nobody is in the denominator."""
    p, n = np.broadcast_arrays(np.asarray(rate, float), np.asarray(den, float))
    return np.asarray(np.divide(p * (1 - p), n, out=np.full(p.shape, np.inf), where=n > 0))


def gap_variance(reference_rate: ArrayLike, reference_den: ArrayLike, rate: ArrayLike, den: ArrayLike) -> Array:
    """Variance of reference minus group in one year: two independent binomial shares."""
    return np.asarray(rate_variance(reference_rate, reference_den) + rate_variance(rate, den))


def mean_gap_variance(reference_rate: float, reference_den: ArrayLike, rates: ArrayLike, dens: ArrayLike) -> Array:
    """Variance of the mean gap over groups that share one reference. rates: (J,); dens: (..., J); equal weights."""
    groups = rate_variance(rates, dens)
    return np.asarray(rate_variance(reference_rate, reference_den) + groups.sum(axis=-1) / groups.shape[-1] ** 2)


def contrast_factor(years: Sequence[int], weights: Iterable[float], correlation: float) -> float:
    """Variance of the weighted sum of yearly values that have variance 1 and correlation `correlation` ** (years between)."""
    t, w = np.asarray(years, float), np.asarray(list(weights), float)
    if len(t) != len(w) or not 0 <= correlation <= 1:
        raise UsageError(
            "a contrast needs one weight a year and a correlation", expected="a correlation of 0 to 1",
            found=(len(t), len(w), correlation), fix="give one weight a year, and the correlation of two years in a row",
        )  # fmt: skip
    return float(w @ correlation ** np.abs(np.subtract.outer(t, t)) @ w)


def change_factor(pre: Sequence[int], post: Sequence[int], correlation: float) -> float:
    """Variance of mean(post) - mean(pre) over the variance of one year."""
    weights = [-1 / len(pre)] * len(pre) + [1 / len(post)] * len(post)
    return contrast_factor([*pre, *post], weights, correlation)


def level_factor(years: Sequence[int], correlation: float) -> float:
    """Variance of the mean over `years`, over the variance of one year."""
    return contrast_factor(years, [1 / len(years)] * len(years), correlation)


def yearly_correlation(covariance: Array, years: Sequence[int]) -> float:
    """Correlation of two years in a row, from sampling covariances (..., T, T) of yearly rates; 0 when no pair of years is seen.

    Least squares of the pairs' pooled correlations on its powers. Cells count by their members (the inverse of their variance),
    so that large cells, whose overlap is known best, do not drown in many small ones; so do pairs of years.
    """
    V = np.asarray(covariance, float).reshape(-1, len(years), len(years))
    spread = np.sqrt(np.einsum("stt->st", V))
    found: list[tuple[int, float, float]] = []  # years between, correlation, weight
    for i in range(len(years)):
        for j in range(i):
            scale = spread[:, i] * spread[:, j]
            used = scale > 0
            if used.any():
                weight = 1 / scale[used]
                pooled = float(np.average(V[used, i, j] / scale[used], weights=weight))
                found.append((abs(years[i] - years[j]), pooled, float(weight.sum())))
    if not found:
        return 0.0
    lag, pooled_at, size = (np.array(column, float) for column in zip(*found, strict=True))

    def slope(r: float) -> float:
        return float(size @ ((r**lag - pooled_at) * lag * r ** (lag - 1)))

    # The best of a grid, then the root of the slope next to it: a search of the squares knows its place to half the digits.
    grid = np.linspace(0.0, 1.0, 101)
    best = int(np.argmin([size @ (pooled_at - r**lag) ** 2 for r in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, 100)]
    if not slope(low) < 0 < slope(high):
        return float(grid[best])
    return float(optimize.brentq(slope, low, high, xtol=1e-14))


def same_year_correlation(covariance: Array, first: Array, second: Array) -> float:
    """Correlation of two measures' rates in one year, from their sampling covariances (..., T, T); 0 when they share no members.

    covariance: between them; first, second: of each. Cells count by their members, as in `yearly_correlation`.
    """
    both, own, other = (np.einsum("...tt->...t", x).ravel() for x in (covariance, first, second))
    scale = np.sqrt(own * other)
    used = scale > 0
    return float(np.average(both[used] / scale[used], weights=1 / scale[used])) if used.any() else 0.0


def detectable_change(std_error: ArrayLike, *, conf_level: float = 0.95, power: float = 0.8) -> Array:
    """Smallest true change of one cell that its own two-sided normal test finds with the stated power; unit of the error.

    (z at 1 - alpha/2 plus z at power) times the standard error: 2.80 of them at 5% and 80%.
    """
    return np.asarray((stats.norm.ppf(0.5 + conf_level / 2) + stats.norm.ppf(power)) * np.asarray(std_error, float))


def detectable(smallest: ArrayLike, gap: ArrayLike, share: float) -> Flags:
    """Whether closing `share` of the gap would be found: the smallest detectable change is no larger, and there is a gap."""
    g = np.nan_to_num(np.asarray(gap, float))
    return np.asarray((g > 0) & (np.asarray(smallest, float) <= share * g))


def worth_carrying(
    dens: ArrayLike, gaps: ArrayLike, smallest: float, mean_gap: float, *, minimum: float, groups: int, share: float
) -> bool:
    """The program's selection rule for one system and measure: scale, diversity, and a gap whose improvement can be seen.

    dens, gaps: (J,) members and baseline gaps of the groups; smallest: detectable change of their mean gap `mean_gap`. Scale and
    diversity: at least `groups` groups of at least `minimum` members with a gap above 0. Seen: see `detectable`.
    """
    n, g = np.asarray(dens, float), np.nan_to_num(np.asarray(gaps, float))
    return int(((n >= minimum) & (g > 0)).sum()) >= groups and bool(detectable(smallest, mean_gap, share))
