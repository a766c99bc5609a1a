"""The illustrative payment formula: what a narrowing of a gap earns, and what it would earn by chance alone.

No contract's formula is public; this one is a stand-in that a study states in its plan. Narrowing and standard errors are in
percentage points, scores are shares of the maximum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from p4equity.errors import StudyError

Array = NDArray[np.float64]
STATISTICS = ("pairwise_gap",)  # the gap of one group to the reference group


@dataclass(frozen=True)
class Formula:
    """Nothing up to `threshold` points of narrowing, then `slope` of the maximum a point, at most `cap` of the maximum.

    `gate_margin`: points by which the overall rate may change before nothing is paid (negative: a fall that is tolerated).
    Raises StudyError for a statistic this module does not know, a negative slope or a cap that is not positive.
    """

    threshold: float
    slope: float
    cap: float
    gate_margin: float
    statistic: str = "pairwise_gap"

    def __post_init__(self) -> None:
        if self.statistic not in STATISTICS:
            raise StudyError(
                "unknown payment statistic", where="[payment] statistic", expected=" or ".join(STATISTICS), found=self.statistic
            )
        if self.slope < 0 or self.cap <= 0:
            raise StudyError(
                "a payment formula needs slope >= 0 and cap > 0", where="[payment]", found=f"slope {self.slope}, cap {self.cap}"
            )


def narrowing(gap_base: ArrayLike, gap_perf: ArrayLike) -> Array:
    """Points by which the gap is smaller in the performance years than at baseline (positive: smaller)."""
    return np.asarray(np.asarray(gap_base, float) - np.asarray(gap_perf, float))


def score(points: ArrayLike, formula: Formula) -> Array:
    """Share of the maximum earned by a narrowing, before the gate: clip((points - threshold) * slope, 0, cap)."""
    return np.asarray(np.clip((np.asarray(points, float) - formula.threshold) * formula.slope, 0.0, formula.cap))


def gate_met(overall_change: ArrayLike, formula: Formula) -> NDArray[np.bool_]:
    """Whether the change of the overall rate (points) is no worse than the margin; a missing change does not meet it."""
    change = np.asarray(overall_change, float)
    return np.asarray(np.isfinite(change) & (change >= formula.gate_margin))


def expected_score_by_chance(std_error: ArrayLike, formula: Formula) -> Array:
    """Expected score when nothing changed and the observed narrowing is normal with mean 0 and this standard error.

    slope * (L(threshold) - L(threshold + cap / slope)) with the normal loss L(a) = s * phi(a / s) - a * (1 - Phi(a / s)); the
    gate is taken as met. With threshold 0, slope 1 and no cap this is s / sqrt(2 pi). Standard errors must be positive.
    """
    s = np.asarray(std_error, float)
    if formula.slope == 0:
        return np.zeros_like(s)
    upper = formula.threshold + formula.cap / formula.slope
    beyond = _normal_loss(s, upper) if np.isfinite(upper) else np.zeros_like(s)
    return np.asarray(formula.slope * (_normal_loss(s, formula.threshold) - beyond))


def chance_of_narrowing(std_error: ArrayLike, points: float, cells: int = 1) -> Array:
    """Probability that at least one of `cells` independent gaps narrows by `points` or more although nothing changed."""
    one = stats.norm.sf(points / np.asarray(std_error, float))
    return np.asarray(1 - (1 - one) ** cells)


def _normal_loss(s: Array, a: float) -> Array:
    """E max(Z - a, 0) for Z normal with mean 0 and standard deviation s."""
    return np.asarray(s * stats.norm.pdf(a / s) - a * stats.norm.sf(a / s))
