"""As if contracts had begun earlier: what the primary question says of dates before there was a contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p4equity.section import phrases
from p4equity.section.answers import Row, excludes_zero, figures, without_number

if TYPE_CHECKING:
    from p4equity.section.section import Section


def text(s: Section) -> str:
    """The pooled answer at each placebo date, and how many of single measures exclude zero; nothing where none is planned.

    It announces nothing: drift that is found is a reason for doubt, and drift that is not found may be there.
    """
    asked = [(a, found) for a in s.study.analyses if a.estimator == "placebo_date" and (found := _rows(s, a))]
    if not asked:
        return ""
    label, said = s.study.info.treatment_label, "; ".join(_pooled(s, a, found) for a, found in asked)
    return (
        f"**At a date before any {label} the same question should find nothing.** {phrases.capital(said)}."
        f" {_singles(s, asked)}{_selected(s, asked)}"
    )


def _rows(s: Section, analysis: Any) -> list[Row]:
    found = s.run.rows({"analysis_id": analysis.id, "outcome": analysis.outcome, "inference": analysis.inference[0]})
    return [s.run.row({"row_id": str(i)}) for i in found["row_id"]]


def _pooled(s: Section, analysis: Any, rows: list[Row]) -> str:
    row = next((r for r in rows if r["measure_id"] == phrases.POOLED), rows[0])
    years = f"from {analysis.placebo} against {phrases.years(analysis.pre_years)}"
    return f"{years}: {figures(s, row) if row['status'] == 'ok' else without_number(s, row)}"


def _singles(s: Section, asked: list[tuple[Any, list[Row]]]) -> str:
    """How many answers of one measure exclude zero, and the reminder that wide intervals are weak comfort."""
    own = [r for _, rows in asked for r in rows if r["measure_id"] != phrases.POOLED and r["status"] == "ok"]
    if not own:
        return ""
    clear = sum(excludes_zero(r) for r in own)
    verb, units = "excludes" if clear < 2 else "exclude", s.study.info.unit_label_plural
    return (
        f"Of {phrases.plural(len(own), 'answer')} about one measure, {phrases.count(clear) if clear else 'none'} {verb} zero,"
        f" unadjusted ([@tbl:T3]); with so few {units} only a large drift would."
    )


def _selected(s: Section, asked: list[tuple[Any, list[Row]]]) -> str:
    """Whether years by which measures were chosen are among those after a placebo date."""
    chosen = [y for y in s.study.baseline.selection_years if any(a.placebo <= y < s.study.launch_cohort for a, _ in asked)]
    if not chosen:
        return ""
    year = "the year" if len(chosen) == 1 else "years"
    return (
        f" The earlier answer contains {phrases.years(chosen)}, {year} by which measures were chosen for wide gaps; this"
        " raises it and could hide an early narrowing."
    )
