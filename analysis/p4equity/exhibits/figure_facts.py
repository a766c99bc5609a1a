"""What several figures ask of the estimates: which groups had a baseline gap, and which answers are more than chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from p4equity.disparity.leveling import CANNOT_TELL, EQUAL_LIFT
from p4equity.exhibits.baseline_gap import is_gap
from p4equity.exhibits.select import OK, one, rows_of

if TYPE_CHECKING:
    from p4equity.results import Results
    from p4equity.study import Analysis

CONDITION = "if the change is more than chance"


def gap_groups(results: Results, measure: str) -> list[str]:
    """Groups whose baseline gap on a measure has its interval above zero: those that pooled rows hold."""
    return [g for g in results.study.groups.compared if is_gap(results, measure, g)]


def claimed(results: Results, analysis: Analysis | None, measure: str, group: str) -> bool:
    """Whether the registered rule calls an answer more than chance: its claim row, else all primary inferences of a primary."""
    if analysis is None:
        return False
    rows = rows_of(results, analysis, measure_id=measure, group=group, outcome=analysis.outcome)
    claim = one(rows, inference="claim")
    mine = [claim] if claim is not None else [one(rows, inference=m) for m in results.study.inference.primary]
    if claim is None and analysis.registered != "primary":
        return False
    return all(_rejects(row, results.study.inference.alpha) for row in mine)


def _rejects(row: Mapping[str, Any] | None, alpha: float) -> bool:
    return row is not None and row["status"] == OK and bool(row["p_value"] <= alpha)


def qualified(verdict: str, firm: bool) -> str:
    """A verdict; where the change of the gap is no claim, with that condition, as in the table of verdicts."""
    return verdict if firm or verdict in (CANNOT_TELL, EQUAL_LIFT) else f"{verdict}, {CONDITION}"
