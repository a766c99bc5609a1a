"""Confidence sets under each bound, and the largest bound at which they exclude zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from p4equity.errors import UsageError, did_you_mean
from p4equity.inference.sensitivity import restrictions
from p4equity.inference.sensitivity.conditional_test import accepted
from p4equity.inference.sensitivity.fixed_length import Frontier, fixed_length, working_covariance
from p4equity.inference.sensitivity.path import Path

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
MAGNITUDES, SMOOTHNESS = "relative_magnitudes", "smoothness"
METHODS = {MAGNITUDES: ("hybrid", "conditional"), SMOOTHNESS: ("fixed_length", "hybrid", "conditional")}  # first: default
POINTS, REACH = 1000, 20.0  # the grid of values: its points, and how many standard errors it reaches (R HonestDiD's)
EMPTY = "no effect fits: the estimates before the reference period reject the restriction itself"


@dataclass(frozen=True)
class SensitivitySet:
    """Smallest and largest value that fits under one bound; infinite where the set runs to the end of the grid.

    Both NaN and `reason` filled where no value fits.
    """

    bound: float
    low: float
    high: float
    reason: str = ""

    @property
    def holds_zero(self) -> bool:
        """Whether zero lies between the limits; False for an empty set."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True)
class Sensitivity:
    """A path under one restriction.

    restriction: relative_magnitudes (trends part from one period to the next by at most bound x the largest change
    before) or smoothness (the slope of the difference in trends changes by at most `bound`, in units of the outcome,
    from one period to the next; 0 is a linear difference). method: hybrid (C-LF with kappa = alpha / 10), conditional,
    or fixed_length (FLCI; smoothness only, its default). df: degrees of freedom of the target's standard error, for the
    small-sample version (covariance as in `Path.scaled`; weights of fixed_length by `working_covariance`); None: the
    normal version, R's.
    Source: Rambachan and Roth (2023); R HonestDiD 0.2.6, createSensitivityResults_relativeMagnitudes and
    createSensitivityResults.
    """

    path: Path
    restriction: str
    method: str | None = None
    conf_level: float = 0.95
    df: float | None = None

    def __post_init__(self) -> None:
        for word, words, what in (
            (self.restriction, tuple(METHODS), "restriction"),
            (self._method, METHODS.get(self.restriction, ()), "set"),
        ):
            if word not in words:
                fix = did_you_mean(str(word), words)
                raise UsageError(f"unknown {what}", expected=", ".join(words), found=word, fix=fix)

    @property
    def _method(self) -> str:
        return METHODS.get(self.restriction, ("",))[0] if self.method is None else self.method

    @cached_property
    def _scaled(self) -> Path:
        return self.path.scaled(self.df, self.conf_level)

    @cached_property
    def _frontier(self) -> Frontier:
        return Frontier(self._scaled, None if self._scaled is self.path else working_covariance(self._scaled))

    def fits(self, theta: Array, bound: float) -> Flags:
        """Which values (G,) of the target the tests accept (not for fixed_length)."""
        alpha, find = 1 - self.conf_level, getattr(restrictions, self.restriction)
        kappa = alpha / 10 if self._method == "hybrid" else None
        out = np.zeros(len(theta), bool)
        for part in find(self._scaled, bound):
            open_ = ~out
            if open_.any():
                out[open_] = accepted(part, theta[open_], alpha=alpha, kappa=kappa)
        return out

    def set_at(self, bound: float) -> SensitivitySet:
        """The set under one bound. Raises UsageError for a negative bound."""
        if not np.isfinite(bound) or bound < 0:
            raise UsageError("a bound is not a number from 0 on", expected="0 or larger", found=bound)
        if self._method == "fixed_length":
            found = fixed_length(self._scaled, self._frontier, bound, alpha=1 - self.conf_level)
            return SensitivitySet(bound, found.low, found.high)
        reach = REACH * self._scaled.std_error
        reach += bound * restrictions.largest_bias(self._scaled) if self.restriction == SMOOTHNESS else 0.0
        grid = np.linspace(-reach, reach, POINTS)
        held = self.fits(grid, bound)
        if not held.any():
            return SensitivitySet(bound, np.nan, np.nan, EMPTY)
        low = -np.inf if held[0] else float(grid[held][0])
        return SensitivitySet(bound, low, np.inf if held[-1] else float(grid[held][-1]))

    def sets(self, bounds: Sequence[float]) -> list[SensitivitySet]:
        """The sets under several bounds."""
        return [self.set_at(float(m)) for m in bounds]

    @property
    def unit(self) -> float:
        """What bounds are measured in for `breakdown`: 1 for relative magnitudes, the target's standard error for smoothness."""
        return 1.0 if self.restriction == MAGNITUDES else self._scaled.std_error

    def breakdown(self, *, largest: float = 100.0, tolerance: float = 1e-3) -> float:
        """Largest bound at which the set excludes zero, by bisection to `tolerance` units.

        0 when the set without violation (bound 0) holds zero already; infinite when the set still excludes it at
        `largest` units; NaN when no effect fits at bound 0. Zero itself is tested, not the nearest point of the grid.
        Where sets are not nested the value is one of the crossings.
        """
        first = self.set_at(0.0)
        if first.reason or not self._excludes_zero(0.0):
            return np.nan if first.reason else 0.0
        low, high = 0.0, 1.0
        while self._excludes_zero(high * self.unit):
            if high >= largest:
                return float("inf")
            low, high = high, min(2 * high, largest)
        while high - low > tolerance:
            middle = (low + high) / 2
            low, high = (middle, high) if self._excludes_zero(middle * self.unit) else (low, middle)
        return low * self.unit

    def _excludes_zero(self, bound: float) -> bool:
        if self._method != "fixed_length" and self.fits(np.zeros(1), bound)[0]:
            return False
        found = self.set_at(bound)
        return bool(not found.holds_zero)
