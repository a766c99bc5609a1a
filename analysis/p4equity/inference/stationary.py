"""Where the slopes of a function are zero within bounds: the last digits of a maximum likelihood estimate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Array = NDArray[np.float64]
TIE = 1e-9  # values of a likelihood this close (absolutely, or relative to the best) count as equal: the first of them is taken
TOUCH, STILL = 1e-8, 1e-10  # distance from a bound that is none, and a slope there that is none


def first_smallest(values: Array) -> NDArray[np.intp]:
    """(...,) position of the smallest of (..., n) values; of equal ones the first.

    Where a parameter does not matter all its values are equally likely, but for rounding, which differs between processors.
    """
    smallest = values.min(axis=-1, keepdims=True)
    return np.asarray((values <= smallest + TIE * np.maximum(np.abs(smallest), 1.0)).argmax(axis=-1))


def stationary(slopes: Callable[[Array], Array], near: Array, bounds: Array) -> Array:
    """(k,) the minimum next to `near` by its slopes (k,), on a bound where the function falls beyond it. bounds: (k, 2).

    A search by values knows the place of a minimum to half the digits only, for there the values differ by rounding; slopes
    tell it to nearly all. `near` where they lead away from it.
    """
    low, high = bounds.T
    at = near.copy()
    for _ in range(1 + len(near)):  # each time one parameter more may come to its bound
        slope = slopes(at)
        lowest, highest = (at <= low + TOUCH) & (slope >= -STILL), (at >= high - TOUCH) & (slope <= STILL)
        at = np.where(lowest, low, np.where(highest, high, at))
        free = ~(lowest | highest)
        if not free.any():
            return at
        found = _root(slopes, at, free)
        if not np.isfinite(found).all():
            return near
        inside = bool(((found >= low) & (found <= high)).all())
        at = np.clip(found, low, high)
        if inside:
            return at
    return at


def _root(slopes: Callable[[Array], Array], at: Array, free: NDArray[np.bool_]) -> Array:
    """`at` with its free parameters where their slopes are zero."""

    def moved(values: Array) -> Array:
        out = at.copy()
        out[free] = values
        return out

    return moved(optimize.root(lambda x: slopes(moved(x))[free], at[free], options={"xtol": 1e-14, "factor": 1.0}).x)
