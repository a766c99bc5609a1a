"""The formula: what an improvement earns, and what must hold before anything is paid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from p4equity.errors import StudyError
from p4equity.study.vocabulary import PAYMENT_STATISTICS

Array = NDArray[np.float64]
STATISTICS = PAYMENT_STATISTICS
GAPS = ("pairwise_gap", "gap_to_best", "weighted_mean_gap")  # statistics that end where nobody is behind


@dataclass(frozen=True)
class Formula:
    """Nothing up to `threshold` of improvement, then `slope` of the maximum a unit of it, at most `cap` of the maximum.

    `gate_margin`: points by which the overall rate may change before nothing is paid (negative: a fall that is tolerated).
    `reference_margin`: the same for the reference group's rate; `group_gain`: points by which the paid group's rate must rise, or
    more. With both, a gap that closes because the reference group falls is not paid for. `shrinkage`: improvements are first
    drawn toward their mean for their reliability. `per_year`: improvement a year that passed between the windows, so that the
    same narrowing earns more the faster it comes. `past_zero`: a gap that turns round is paid for beyond zero; by default what is
    paid for ends where the group is no longer behind (statistics in GAPS; a variance ends there by itself). `efficiency_share` of
    the maximum is paid, where the overall rate held, for spending that rose by at most `efficiency_margin` beyond others.
    Raises StudyError for a statistic this module does not know, a negative slope, a cap that is not positive, or a share of
    efficiency beyond 1.
    """

    threshold: float
    slope: float
    cap: float
    gate_margin: float
    statistic: str = "pairwise_gap"
    reference_margin: float | None = None
    group_gain: float | None = None
    shrinkage: Literal["none", "empirical_bayes"] = "none"
    per_year: bool = False
    past_zero: bool = False
    efficiency_share: float = 0.0
    efficiency_margin: float = 0.0

    def __post_init__(self) -> None:
        if self.statistic not in STATISTICS:
            raise StudyError(
                "unknown payment statistic", where="[payment] statistic", expected=" or ".join(STATISTICS), found=self.statistic
            )
        if self.slope < 0 or self.cap <= 0:
            raise StudyError(
                "a payment formula needs slope >= 0 and cap > 0", where="[payment]", found=f"slope {self.slope}, cap {self.cap}"
            )
        if not 0 <= self.efficiency_share <= 1:
            raise StudyError(
                "the share paid for efficiency lies between 0 and 1", where="[payment] efficiency_share",
                found=self.efficiency_share,
            )  # fmt: skip


def narrowing(gap_base: ArrayLike, gap_perf: ArrayLike, *, past_zero: bool = True) -> Array:
    """Points by which the gap is smaller in the performance years than at baseline (positive: smaller).

    Without `past_zero` a gap below zero counts as none: a group that was not behind cannot catch up.
    """
    least = -np.inf if past_zero else 0.0
    return np.asarray(np.maximum(np.asarray(gap_base, float), least) - np.maximum(np.asarray(gap_perf, float), least))


def score(points: ArrayLike, formula: Formula) -> Array:
    """Share of the maximum earned by an improvement, before any gate: clip((points - threshold) * slope, 0, cap)."""
    return np.asarray(np.clip((np.asarray(points, float) - formula.threshold) * formula.slope, 0.0, formula.cap))


def gate_met(overall_change: ArrayLike, formula: Formula) -> NDArray[np.bool_]:
    """Whether the change of the overall rate (points) is no worse than the margin; a missing change does not meet it."""
    change = np.asarray(overall_change, float)
    return np.asarray(np.isfinite(change) & (change >= formula.gate_margin))


def guard_met(reference_change: ArrayLike, group_change: ArrayLike, formula: Formula) -> NDArray[np.bool_]:
    """Whether the reference group did not fall by more than its margin and the paid group gained; true without a guard.

    Both arguments in points, of one shape or broadcast. A missing change does not meet a guard.
    """
    reference, group = np.asarray(reference_change, float), np.asarray(group_change, float)
    held = np.ones(np.broadcast_shapes(reference.shape, group.shape), bool)
    if formula.reference_margin is not None:
        held &= reference >= formula.reference_margin
    if formula.group_gain is not None:
        held &= group > formula.group_gain
    return held
