"""Bounds for the years that a unit was not there: what it may have been in them is given a range, not guessed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
MOST = 100.0  # a rate moves by no more points than these


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


def turning_point(here: float, one_point_on: float, most: float = MOST) -> float | None:
    """The least range of missing years, in points, at which one of the bounds reaches zero; None where none up to `most` does.

    here, one_point_on: the estimate with no deviation, and with one of a point; it is linear in the deviation.
    """
    slope = abs(one_point_on - here)
    if here == 0:
        return 0.0
    return abs(here) / slope if slope * most >= abs(here) else None
