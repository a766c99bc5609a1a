"""Statistics of many assignments as functions of a constant effect: p values and intervals without computing them anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p4equity.inference.permutation import TIE, invert

Array = NDArray[np.float64]
EXACT = 1e-14  # variances below this share of the largest count as 0: all that is left is rounding


@dataclass(frozen=True)
class Law:
    """Statistic of each assignment when a constant effect theta is taken out of the observed treated units.

    n0, n1: (N,) numerators n0 - theta n1. v0, v1, v2: (N,) variances v0 - 2 theta v1 + theta^2 v2 in the denominator, or
    nothing: then the statistic is the numerator. NaN: the assignment identifies no effect, and is not admissible.
    observed: row of the assignment that took place.
    """

    n0: Array
    n1: Array
    v0: Array | None = None
    v1: Array | None = None
    v2: Array | None = None
    observed: int = 0

    def statistics(self, theta: float = 0.0) -> Array:
        """(N,) statistics; infinite where a difference has no variance."""
        numerator = self.n0 - theta * self.n1
        if self.v0 is None or self.v1 is None or self.v2 is None:
            return np.asarray(numerator)
        variance = self.v0 - 2 * theta * self.v1 + theta**2 * self.v2
        scale = np.abs(self.v0) + theta**2 * np.abs(self.v2)
        exact = variance <= EXACT * max(float(np.nanmax(scale, initial=0.0)), 1e-300)
        size = np.sqrt(np.where(exact, 1.0, variance))
        zero = np.abs(numerator) <= np.sqrt(EXACT) * np.sqrt(np.maximum(scale, 1e-300))
        return np.where(exact, np.where(zero, 0.0, np.copysign(np.inf, numerator)), numerator / size)

    def statistic(self, theta: float = 0.0) -> float:
        """The observed one."""
        return float(self.statistics(theta)[self.observed])

    @property
    def admissible(self) -> int:
        """Assignments that identify the effect."""
        return int(np.isfinite(self.n0).sum())

    def p_value(self, theta: float = 0.0) -> float:
        """Two-sided share of admissible assignments at least as extreme as the observed one, ties counted."""
        size = np.abs(self.statistics(theta))
        return float(np.mean(size[np.isfinite(self.n0)] >= size[self.observed] * (1 - TIE)))

    def interval(self, alpha: float, floor: float) -> tuple[float, float]:
        """Ends of the set of constant effects that are not rejected; see `permutation.invert`."""
        b, unit = float(self.n0[self.observed]), float(self.n1[self.observed])
        spread = 4 * float(np.nanstd(self.n0)) + 1e-9 * abs(b) + 1e-300
        return invert(self.p_value, b / unit, spread, alpha, floor)
