"""What happens when a choice is changed, a system is left out, or the question is asked where no effect should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p4equity.section import phrases
from p4equity.section.answers import Answer, answers, by_measure, excludes_zero, figures, primary_question, without_number
from p4equity.section.confidence import is_sensitivity
from p4equity.section.questions import question

if TYPE_CHECKING:
    from p4equity.section.section import Section


def sensitivity(s: Section) -> str:
    """How far the estimates move over the registered sensitivity analyses, measure by measure."""
    analyses = [a for a in s.study.analyses if is_sensitivity(s, a.id)]
    if not analyses:
        return ""
    base = by_measure(s) or [x for x in [primary_question(s)] if x is not None]
    parts, flips = [], 0
    if not any(a.ok for a in base):
        return "No primary question has a number, so there is nothing to set the sensitivity analyses beside."
    for a in base:
        rows = [b for x in analyses for b in answers(s, x.id) if (b.measure_id, b.group) == (a.measure_id, a.group)]
        ok = [b for b in rows if b.ok]
        if not a.ok or not ok:
            parts.append(f"{phrases.lower(phrases.measure(s, a.measure_id))}: no number")
            continue
        flips += any((b.main["estimate"] < 0) != (a.main["estimate"] < 0) for b in ok)
        low, high = (f(ok, key=lambda b: b.main["estimate"]) for f in (min, max))
        places = phrases.decimals(str(a.main["outcome_unit"]))
        ends = [s.number(b.main["row_id"], signed=True, decimals=places) for b in (low, high)]
        span = f"{ends[0]} to {ends[1]}" if len(ok) > 1 else ends[0]
        parts.append(
            f"{phrases.lower(phrases.measure(s, a.measure_id))} {span} (primary"
            f" {s.number(a.main['row_id'], signed=True, decimals=places)})"
        )
    head = (
        "No estimate changes sign"
        if not flips
        else (
            f"{phrases.capital(phrases.count(flips))} of {phrases.plural(len(base), 'estimate')}"
            f" {'changes' if flips == 1 else 'change'} sign"
        )
    )
    many = len(analyses) > 1
    checks = f"{phrases.count(len(analyses))} registered sensitivity analyses" if many else "registered sensitivity analysis"
    return f"**{head} over the {checks}.** {phrases.capital('; '.join(parts))}."


def left_out(s: Section) -> str:
    """Range of the primary estimate when each unit is left out in turn, and whose absence matters most."""
    for analysis in s.study.analyses:
        if not analysis.leave_out:
            continue
        found = s.run.rows({"analysis_id": analysis.id})
        rows = [s.run.row({"row_id": str(r)}) for r in found["row_id"]]
        ok = [r for r in rows if r["status"] == "ok"]
        if not ok:
            return (
                f"Leaving each {s.study.info.unit_label} out in turn gives no number: {without_number(s, rows[0])}."
                if rows
                else ""
            )
        low, high = min(ok, key=lambda r: r["estimate"]), max(ok, key=lambda r: r["estimate"])
        weak = [r for r in ok if not excludes_zero(r)]
        state = (
            "The pooled estimate does not hang on one"
            if not weak
            else f"Without one of {phrases.count(len(weak))} the interval holds zero"
        )
        return (
            f"**{state} {s.study.info.unit_label}.** With each left out in turn it runs from {figures(s, low)}"
            f" {_sample(s, low)} to {figures(s, high)} {_sample(s, high)}."
            if not weak
            else (
                f"**{state}.** With each {s.study.info.unit_label} left out in turn the estimate runs from {figures(s, low)}"
                f" {_sample(s, low)} to {figures(s, high)} {_sample(s, high)}."
            )
        )
    return ""


def _sample(s: Section, row: dict[str, Any]) -> str:
    return phrases.with_labels(s, str(row["sample"]))


def elsewhere(s: Section) -> str:
    """Measures without a contract, the negative control and later cohorts: one paragraph each."""
    return phrases.paragraphs(_other(s), _control(s), _later(s))


def _of_set(s: Section, ids: tuple[str, ...]) -> list[tuple[Any, list[Answer]]]:
    return [
        (a, answers(s, a.id))
        for a in s.study.analyses
        if ids and set(s.study.measure_ids(a.measures)) <= set(ids) and a.outcome in ("gap", "value")
    ]


def _other(s: Section) -> str:
    label = s.study.info.treatment_label
    out = []
    for _, items in _of_set(s, s.study.measure_sets.not_incentivized):
        claimed = [a for a in items if a.claimed]
        head = (
            f"Gaps on measures without a {label}: no claim"
            if not claimed
            else f"A gap moved on {phrases.measures(s, [a.measure_id for a in claimed])}, which no {label} covers"
        )
        out.append(
            f"**{head}.** {_each(s, items)} A change here would mean spillover or effort taken from elsewhere; intervals this"
            " wide exclude neither."
        )
    return phrases.paragraphs(*out)


def _control(s: Section) -> str:
    out = []
    for _, items in _of_set(s, s.study.measure_sets.negative_control):
        moved = [a for a in items if excludes_zero(a.main)]
        known = [a for a in items if a.ok]
        head = (
            "Negative control: nothing moved beyond its interval"
            if known and not moved
            else "Negative control: it moved, which speaks against the comparison"
            if moved
            else "Negative control: no answer"
        )
        out.append(f"**{head}.** {_each(s, items)}")
    return phrases.paragraphs(*out)


def _later(s: Section) -> str:
    first, out = s.study.launch_cohort, []
    for analysis in s.study.analyses:
        if analysis.outcome == "gap" and analysis.cohorts and min(analysis.cohorts) > first:
            items = answers(s, analysis.id)
            reasons = {without_number(s, r) for a in items for r in a.others if r["status"] != "ok"}
            why = f" Permutation: {phrases.join(sorted(reasons))}." if reasons else ""
            out.append(
                f"**Later cohort ({phrases.years(analysis.cohorts)}): {'no claim is possible' if reasons else 'see below'}.**"
                f" {_each(s, items)}{why}"
            )
    return phrases.paragraphs(*out)


def _each(s: Section, items: list[Answer]) -> str:
    parts = [f"{phrases.measure(s, a.measure_id)} {figures(s, a.main) if a.ok else without_number(s, a.main)}" for a in items]
    return phrases.capital("; ".join(parts)) + "." if parts else ""


def listed(s: Section) -> list[str]:
    """The questions of all registered sensitivity analyses, in words."""
    return [question(s, a) for a in s.study.analyses if is_sensitivity(s, a.id)]
