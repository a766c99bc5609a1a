"""Measures chosen because their gaps were large: the narrowing that follows by itself, and the estimates without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.exhibits.select import fresh_baselines, measure_analysis, pooled_analysis, selection_analysis
from p4equity.section import phrases
from p4equity.section.answers import Row, excludes_zero, figures

if TYPE_CHECKING:
    from p4equity.section.section import Section

POOLED = "pooled"
EXPECTED, SHRUNKEN, AGAINST = "expected_spurious_change", "gap_shrunken_baseline", "gap_selected_against_selected"


def spurious(s: Section) -> str:
    """One paragraph: the change expected from selection alone beside the primary estimate, and three estimates without it."""
    question = selection_analysis(s.study)
    if question is None:
        return ""
    expected = _row(s, question.id, EXPECTED)
    primary = _primary(s)
    if expected is None or primary is None or expected["status"] != "ok" or primary["status"] != "ok":
        return "**What selection alone would do cannot be told.** Measures were chosen for wide gaps; see the table."
    table = phrases.exhibit_ref(s, "T17", "robustness", " (")
    return f"{_head(s, expected, primary)} {_free(s, question.id)}{f'{table})' if table else ''}.{_matched(s)}{_unchosen(s)}"


def _head(s: Section, expected: Row, primary: Row) -> str:
    share = expected["estimate"] / primary["estimate"] if primary["estimate"] else 0.0
    if expected["estimate"] >= 0 or not 0 <= share <= 1:
        head = "Selection alone does not explain the primary estimate"
    else:
        head = f"Selection alone is expected to give {phrases.percent(share, 1)} of the primary estimate"
    years = phrases.years(s.study.baseline.selection_years)
    label, units = s.study.info.treatment_label, s.study.info.unit_label_plural
    return (
        f"**{head}.** Measures were chosen for wide gaps, and a gap that is wide partly by chance narrows by itself"
        f" [@daw_hatfield_2018]; {units} whose measures were not chosen do not share in it. If each {label} named a"
        f" {s.study.info.unit_label}’s widest gaps of {years}, the expected change is"
        f" {s.number(expected['row_id'], signed=True, decimals=1)} points over all contracted measures, beside an estimate of"
        f" {figures(s, primary)}."
    )


def _free(s: Section, question: str) -> str:
    """The three estimates without the effect of selection, and whether their intervals exclude zero."""
    fresh = next(iter(fresh_baselines(s.study)), None)
    named = [
        (f"with a baseline of {phrases.years(fresh.pre_years)} alone", _row(s, fresh.id, "gap")) if fresh else ("", None),
        ("with baseline gaps drawn toward the mean for their reliability", _row(s, question, SHRUNKEN)),
        ("against comparison cells that the same rule picks", _row(s, question, AGAINST)),
    ]
    found = [(words, row) for words, row in named if row is not None and row["status"] == "ok"]
    if not found:
        return "No estimate without it has a number"
    kept = sum(excludes_zero(row) for _, row in found)
    some = f"{phrases.count(kept)} exclude{'s' if kept == 1 else ''} zero" if kept else "none excludes zero"
    tail = "all exclude zero" if kept == len(found) else some
    parts = [f"{figures(s, row, with_unit=False, level=False)} {words}" for words, row in found]
    return f"With little or none of it the estimate is {phrases.join(parts)}; of the intervals, {tail}"


def _matched(s: Section) -> str:
    """The same question of units with a like baseline gap in the other arm, beside the unmatched answer."""
    analysis = next((a for a in s.study.analyses if a.caliper is not None), None)
    row = None if analysis is None else _row(s, analysis.id, "gap")
    if analysis is None or row is None or row["status"] != "ok":
        return ""
    return (
        f" Matched, that is only of {s.study.info.unit_label_plural} with one of the other arm whose baseline gap lies within"
        f" {analysis.caliper:g} points, it is {figures(s, row, with_unit=False, level=False)}. Matching can remove a bias"
        " [@ryan_2015] or bring one, since matched gaps return to the different means of their arms [@daw_hatfield_2018]: both"
        " answers are shown."
    )


def _unchosen(s: Section) -> str:
    """The answer over all measures, paid or not, of units with any contract: nobody chose among them."""
    sets, label = s.study.measure_sets, s.study.info.treatment_label
    every = {*sets.contracted, *sets.not_incentivized}
    asked = [a for a in s.study.analyses if a.pooled and a.contracts == "any" and set(s.study.measure_ids(a.measures)) == every]
    row = next((r for a in asked if (r := _row(s, a.id, "gap")) is not None and r["status"] == "ok"), None)
    if row is None or not sets.not_incentivized:
        return ""
    text = (
        f" Over all {phrases.count(len(every))} measures of {s.study.info.unit_label_plural} with a {label}, paid or not, where"
        f" nothing was chosen, gaps changed by {figures(s, row, with_unit=False, level=False)}"
    )
    if excludes_zero(row):
        return f"{text}."
    bound = s.number(row["row_id"], what="conf_high", flipped=True)
    first = _primary(s)
    own = f" of the {s.number(first['row_id'], signed=True)}" if first is not None and first["status"] == "ok" else ""
    return (
        f"{text}: the data cannot tell; a mean narrowing by more than {bound} points is excluded. Unpaid measures may thin the"
        f" effect, or selection may make part{own}."
    )


def _primary(s: Section) -> Row | None:
    """The answer over all measures; where the plan asks for none, of the first measure."""
    analysis = pooled_analysis(s.study) or measure_analysis(s.study)
    return None if analysis is None else _row(s, analysis.id, "gap")


def _row(s: Section, analysis: str, outcome: str) -> Row | None:
    """The row over all measures and systems by the first primary inference, or by the only one."""
    rows = s.run.rows({"analysis_id": analysis, "measure_id": POOLED, "outcome": outcome, "system_id": "all"})
    first = rows[rows["inference"] == s.study.inference.primary[0]]
    chosen = first if len(first) else rows
    return None if chosen.empty else s.run.row({"row_id": str(chosen["row_id"].iloc[0])})


def show(s: Section) -> None:
    """The paragraph under its heading and the table, where the plan asks the question."""
    words = spurious(s)
    if words:
        s.text(f"## Measures chosen because their gaps were wide\n\n{words}")
        phrases.show(s, "T17")
