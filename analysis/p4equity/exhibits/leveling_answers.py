"""The joint answers on both sides of a gap, as figures and text read them: bounds that hold together, and their verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from scipy import stats

from p4equity.disparity.leveling import CANNOT_TELL, Bounds, bounds, left_open, verdict
from p4equity.evaluation.claims import FEWEST
from p4equity.evaluation.leveling import BOUNDED, NO_OWN_GAP, OUTCOMES, PROBABILITIES
from p4equity.exhibits.select import OK
from p4equity.exhibits.text import is_missing
from p4equity.inference.two_sides import pointwise_level

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.study import Analysis, Study

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """A kind of change, and the kinds that remain where a narrowing is shown and its kind is not."""

    kind: str
    left: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The kind; where only two remain, which."""
        return f"{CANNOT_TELL} (" + " or ".join(self.left) + ")" if len(self.left) == 2 else self.kind


@dataclass(frozen=True)
class Leveled:
    """The rows of one question by outcome; behind: there is a baseline gap that could narrow."""

    rows: Mapping[str, Row]
    behind: bool

    @property
    def sides(self) -> tuple[Row, Row, Row]:
        """Reference, group, gap."""
        reference, group, gap = (self.rows[o] for o in BOUNDED)
        return reference, group, gap

    @property
    def ok(self) -> bool:
        """Whether both effects have numbers."""
        return all(r["status"] == OK for r in self.sides)


def leveling_analysis(study: Study) -> Analysis | None:
    """The question on both sides of a gap together."""
    return next((a for a in study.analyses if a.estimator == "leveling"), None)


def leveled(estimates: pd.DataFrame, study: Study, measure: str, group: str) -> Leveled | None:
    """The joint answer of a measure and group, or of all measures pooled; None where the plan has no such question."""
    analysis = leveling_analysis(study)
    if analysis is None:
        return None
    found = estimates[
        (estimates["analysis_id"] == analysis.id) & (estimates["measure_id"] == measure) & (estimates["group"] == group)
        & (estimates["inference"] == analysis.inference[0])
    ]  # fmt: skip
    rows = {str(r["outcome"]): r for r in found.to_dict("records")}
    if not set(OUTCOMES) <= set(rows):
        return None
    return Leveled(rows, all(rows[o].get("reason") != NO_OWN_GAP for o in PROBABILITIES))


def judged(found: Leveled, margin: float) -> Verdict:
    """The verdict by the bounds of a joint answer; none where nothing could narrow or an arm has too few systems for a claim."""
    if not found.ok or not found.behind:
        return Verdict(CANNOT_TELL)
    reference, group, gap = (row_bounds(r) for r in found.sides)
    return by_bounds(gap, reference, group, margin, found.sides[2])


def by_bounds(gap: Bounds, reference: Bounds, group: Bounds, margin: float, row: Row) -> Verdict:
    """The verdict by three bounds that hold together; row: who stands behind them."""
    if too_few(row):
        return Verdict(CANNOT_TELL)
    return Verdict(verdict(gap, reference, group, margin), left_open(gap, reference, group, margin))


def too_few(row: Row) -> bool:
    """Whether an arm has too few systems for anything to be said of a row."""
    known = [row.get(c) for c in ("n_treated_clusters", "n_clusters")]
    if any(is_missing(n) for n in known):
        return False
    treated, every = (int(float(str(n))) for n in known)
    return min(treated, every - treated) < FEWEST


def row_bounds(row: Row) -> Bounds:
    """The bounds of a row; an end that is missing is open."""
    low, high = (None if is_missing(row[k]) else float(row[k]) for k in ("conf_low", "conf_high"))
    return bounds(float(row["estimate"]), low, high)


def widened(row: Row) -> Bounds:
    """A row's own interval made one of three that hold together: each end as much further out as its t quantile.

    For answers without joint rows: the plan's sensitivity analyses, each with the interval of one effect alone.
    """
    own, df = row_bounds(row), row.get("df")
    level = float(row["conf_level"])
    factor = float(stats.norm.ppf((1 + pointwise_level(level)) / 2) / stats.norm.ppf((1 + level) / 2))
    if not is_missing(df):
        factor = float(stats.t.ppf((1 + pointwise_level(level)) / 2, df) / stats.t.ppf((1 + level) / 2, df))
    return replace(
        own, low=own.estimate - factor * (own.estimate - own.low), high=own.estimate + factor * (own.high - own.estimate)
    )
