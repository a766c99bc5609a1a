"""Selection on noisy gaps: which cells a rule picks, and how far their gaps then narrow by themselves.

A cell whose gap was largest in one year was, on average, unlucky in that year: later its gap is smaller although nothing was
done. Comparison cells that no rule picked do not regress, so that a difference-in-differences keeps the whole of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, stats

from p4equity.errors import UsageError
from p4equity.symmetric import symmetric_root

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def worst(gaps: Array, k: int, eligible: Flags | None = None) -> Flags:
    """(..., n) which cells the rule picks: the k largest gaps along the last axis, among eligible cells with a gap.

    All of them where there are no more than k; of equal gaps the earlier cell.
    """
    usable = np.isfinite(gaps) if eligible is None else np.isfinite(gaps) & eligible
    place = np.argsort(np.argsort(np.where(usable, -gaps, np.inf), axis=-1, kind="stable"), axis=-1, kind="stable")
    return np.asarray((place < k) & usable)


def autoregressive(years: Sequence[int] | NDArray[np.int64], correlation: float) -> Array:
    """(T, T) correlation of errors of these years when it falls with their distance: correlation ** distance."""
    t = np.asarray(years, float)
    return np.asarray(np.where(t[:, None] == t, 1.0, float(correlation) ** np.abs(t[:, None] - t)))


@cache
def mean_of_largest(k: int, n: int) -> float:
    """Expected mean of the k largest of n independent standard normal draws.

    Integrates the density of each order statistic. Raises UsageError unless 1 <= k <= n.
    """
    if not 1 <= k <= n:
        raise UsageError("the rule picks at least one cell and at most all", where="mean_of_largest", found=f"{k} of {n}")
    return sum(_order_statistic(rank, n) for rank in range(1, k + 1)) / k


def _order_statistic(rank: int, n: int) -> float:
    """Expected `rank`-th largest of n standard normal draws."""
    law = stats.beta(n - rank + 1, rank)  # of the probability below it
    value, _ = integrate.quad(lambda z: z * law.pdf(stats.norm.cdf(z)) * stats.norm.pdf(z), -9.0, 9.0, epsabs=1e-10)
    return float(value)


def expected_narrowing(between_sd: float, error_covariance: Array, selection: Array, contrast: Array, k: int, n: int) -> float:
    """Points by which the gaps of the worst k of n alike cells narrow by themselves; positive: they narrow.

    Lasting gaps are normal with standard deviation `between_sd`; the errors of a cell's T years have `error_covariance` (T, T).
    selection (T,): weights of the years whose mean gap the rule looks at, sum 1. contrast (T,): the change that is measured, mean
    of later years minus baseline, sum 0. By the regression of the error's change on the gap looked at:
    -contrast' C selection / sqrt(between_sd^2 + selection' C selection) times the mean of the k largest of n.
    """
    seen = float(np.sqrt(between_sd**2 + selection @ error_covariance @ selection))
    return float(-(contrast @ error_covariance @ selection) / seen * mean_of_largest(k, n)) if seen > 0 else 0.0


def simulated_change(
    centre: Array, between_sd: float, seen: Array, joint: Array, k: int, draws: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Expected change (M,) of each of a system's M cells when the rule picks it and nothing happens, and how often it does.

    centre (M,): mean lasting gap of each cell; the system's own is normal around it with standard deviation `between_sd`. Of
    the errors: seen (M, M) covariance in the gaps that the rule looks at, joint (M, M) of these (rows) with the changes. Cells
    differ in size and share members, which the closed form does not know. NaN for a cell that is never picked. The change is
    the regression on the gaps looked at, so that only the picking is left to chance.
    """
    size = len(centre)
    total = seen + between_sd**2 * np.eye(size)
    gaps = rng.standard_normal((draws, size)) @ symmetric_root(total)
    picked = worst(gaps + centre, k)
    change = gaps @ np.linalg.lstsq(total, joint, rcond=None)[0]
    often = picked.sum(axis=0)
    mean = np.divide((change * picked).sum(axis=0), often, out=np.full(size, np.nan), where=often > 0)
    return mean, often / draws


def shrunken_slope(between_variance: Array | float, seen: Array, joint: Array) -> Array:
    """Slope of a later gap on the baseline gap when nothing happens: (between + joint) / (between + seen), one value a unit.

    seen: error variance of the baseline gap. joint: its covariance with the later gap's error, from members in both. A baseline
    drawn toward the mean by this slope is the best linear forecast of the later gap, however the cells were picked by it.
    Source: Morris (1983), JASA 78:47.
    """
    return np.asarray((between_variance + joint) / (between_variance + np.asarray(seen, float)))
