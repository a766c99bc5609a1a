"""Fieller's confidence set of a ratio: an interval, all but an interval, or the whole line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from p4equity.errors import UsageError

Kind = Literal["interval", "complement", "line"]
ROUNDING = 1e-9  # how far a correlation may lie beyond one by rounding


@dataclass(frozen=True)
class FiellerSet:
    """The ratios that a test of `numerator - ratio * denominator = 0` does not reject.

    interval: low to high. complement: every number up to `low` and every number from `high` on, what lies between is rejected;
    an end may be infinite, then only the other part is left. line: every number (low and high are infinite).
    """

    kind: Kind
    low: float
    high: float

    def __contains__(self, ratio: float) -> bool:
        if self.kind == "complement":
            return ratio <= self.low or ratio >= self.high
        return self.low <= ratio <= self.high


def fieller(
    numerator: float,
    denominator: float,
    numerator_variance: float,
    denominator_variance: float,
    covariance: float,
    critical: float,
) -> FiellerSet:
    """The set of ratios r with |numerator - r denominator| <= critical * its standard error.

    critical: of the statistic's law, e.g. a t quantile with the degrees of freedom of the variances. The set is an interval
    exactly when the denominator differs from zero by its own test; otherwise a large ratio of either sign cannot be excluded,
    and no finite interval can have the stated coverage. Ratio, variances and covariance in the units of the two estimates.
    Source: Fieller (1954), JRSS B 16:175; Franz (2007), arXiv 0710.2024, sections 3 and 4.
    Raises UsageError for a covariance that is none, or when numerator and denominator are both zero without error.
    """
    _check(numerator, denominator, numerator_variance, denominator_variance, covariance, critical)
    square = critical**2
    # a r^2 - 2 b r + c <= 0
    a = denominator**2 - square * denominator_variance
    b = numerator * denominator - square * covariance
    c = numerator**2 - square * numerator_variance
    root = float(np.sqrt(max(b**2 - a * c, 0.0)))
    if a > 0:
        first, second = _roots(a, b, c, root)
        return FiellerSet("interval", first, second)
    if b**2 <= a * c:
        return FiellerSet("line", -np.inf, np.inf)
    if a == 0:  # the parabola is a line: one half of the numbers is left
        return FiellerSet("complement", -np.inf, c / (2 * b)) if b > 0 else FiellerSet("complement", c / (2 * b), np.inf)
    return FiellerSet("complement", *_roots(a, b, c, root))


def _roots(a: float, b: float, c: float, root: float) -> tuple[float, float]:
    """Both roots in order, without the loss of digits of a difference of near equal numbers."""
    larger = b + np.copysign(root, b)
    found = (larger / a, c / larger) if larger != 0 else (0.0, 0.0)
    return float(min(found)), float(max(found))


def _check(
    numerator: float,
    denominator: float,
    numerator_variance: float,
    denominator_variance: float,
    covariance: float,
    critical: float,
) -> None:
    values = (numerator, denominator, numerator_variance, denominator_variance, covariance, critical)
    largest = float(np.sqrt(max(numerator_variance, 0.0) * max(denominator_variance, 0.0)))
    if not np.isfinite(values).all() or min(numerator_variance, denominator_variance) < 0 or critical < 0:
        raise UsageError(
            "Fieller's set needs finite estimates, variances and a critical value of zero or more",
            fix="estimate both effects and their covariance from the same units first",
        )
    if abs(covariance) > largest * (1 + ROUNDING):
        raise UsageError(
            "the covariance is larger than the variances allow", expected="a correlation between -1 and 1",
            fix="take both variances and the covariance from one estimate",
        )  # fmt: skip
    if denominator == 0 and denominator_variance == 0:
        raise UsageError(
            "a ratio to zero that is known without error", fix="ask for a ratio only where the denominator can differ"
        )
