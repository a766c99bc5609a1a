"""The baseline gap beside which an effect on a gap is read: how large it is, and whether there was one to close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from p4equity.exhibits import text
from p4equity.exhibits.select import OK, one

if TYPE_CHECKING:
    from p4equity.results import Results

POOLED = "pooled"
MARK = "†"  # on a baseline gap whose interval does not lie above zero
Row = Mapping[str, Any]


def described(results: Results, measure: str, group: str) -> Row | None:
    """The descriptive row of one measure and group; None for what is pooled and for measures without one."""
    rows = results.estimates
    return one(rows[(rows["estimator"] == "descriptive") & (rows["outcome"] == "gap")], measure_id=measure, group=group)


def is_gap(results: Results, measure: str, group: str) -> bool:
    """Whether the interval of the baseline gap lies above zero; pooled rows hold only groups for which it does."""
    if group == POOLED:
        return True
    row = described(results, measure, group)
    return row is not None and row["status"] == OK and not text.is_missing(row["conf_low"]) and float(row["conf_low"]) > 0


def value(results: Results, measure: str, group: str) -> float | None:
    """Points of the baseline gap; of what is pooled, the mean the table of detectable changes holds."""
    row = described(results, measure, group)
    if row is not None:
        return float(row["estimate"]) if row["status"] == OK else None
    power = results.table("power")
    found: Row | None = None if power.empty else one(power, measure_id=measure, group=group)
    return None if found is None or text.is_missing(found["baseline_gap"]) else float(found["baseline_gap"])


def cell(results: Results, measure: str, group: str) -> str:
    """The baseline gap as a table shows it, marked where there was no gap to close."""
    points = value(results, measure, group)
    mark = "" if points is None or is_gap(results, measure, group) else MARK
    return f"{text.number(points)}{mark}"


def group_label(results: Results, measure: str, group: str) -> str:
    """The group's label; of pooled groups that are not all of them, which ones they are."""
    compared = results.study.groups.compared
    held = [g for g in compared if is_gap(results, measure, g)]
    if group != POOLED or measure == POOLED or not held or len(held) == len(compared):
        return text.group_name(results, group)
    names = text.listing([text.group_name(results, g) for g in held])
    return f"{names} only" if len(held) == 1 else f"{names} pooled"


def note(results: Results) -> str:
    """What the mark means, where a shown measure and group carries it; else ""."""
    study = results.study
    shown = [(m, g) for m in study.measure_ids("contracted") for g in study.groups.compared if value(results, m, g) is not None]
    if all(is_gap(results, m, g) for m, g in shown):
        return ""
    return (
        f" {MARK} The interval of the baseline gap does not lie above zero: there was no gap to close, so a negative effect "
        "narrows nothing (where the group was ahead, it widens its lead), and the row stays out of every pooled number."
    )
