"""Bounds for the years that a unit was not there: what it may have been in them is given a range, not guessed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
MOST = 100.0  # a rate moves by no more points than these
STEP = 1.0  # points between the ranges looked at first


def missing_share(seen: NDArray[np.int64], missing: NDArray[np.int64]) -> Array:
    """(n,) share of the years wanted that are missing; 0 for a unit without any year, whose change is not formed at all."""
    total = seen + missing
    return np.asarray(np.divide(missing, total, out=np.zeros(len(total)), where=seen > 0))


def at_bound(change: Array, share: Array, treated: Flags, points: float) -> Array:
    """Changes had the missing years been `points` above the mean of those seen in treated units, and below it in the others.

    change: (n,) or (n, m) means over the years seen; share: missing share of each; the mean over all years wanted moves by
    share times points. Between -points and +points every estimate with positive weights on treated units and negative ones on the
    others lies between the two ends: worst-case bounds under a bounded deviation. Sources: Manski (1990), American Economic
    Review 80(2):319; Manski and Pepper (2018), Review of Economics and Statistics 100(2):232.
    """
    return np.asarray(change + np.where(treated, points, -points) * share)


def turning_point(interval: Callable[[float], tuple[float, float]], most: float = MOST) -> float | None:
    """The least range of missing years, in points, at which the interval at one of the bounds includes zero.

    interval: of the estimate by the deviation of the missing years, which widens it as well as moves it. 0 where it includes zero
    without any deviation; None where no range up to `most` makes it. Looked for from point to point, then by Brent's method.
    """

    def clear(points: float) -> float:  # how far the nearer of both intervals is from zero; below 0: it includes it
        return min(max(low, -high) for low, high in (interval(points), interval(-points)))

    if clear(0.0) <= 0:
        return 0.0
    ranges = np.arange(STEP, most + STEP / 2, STEP)
    first = next((float(r) for r in ranges if clear(float(r)) <= 0), None)
    return None if first is None else float(optimize.brentq(clear, first - STEP, first))
