"""What happens when a choice is changed, a system is left out, or the question is asked where no effect should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p4equity.evaluation.announcements import announced
from p4equity.section import phrases
from p4equity.section.answers import (
    Answer,
    answers,
    by_measure,
    excludes_zero,
    figures,
    p_value,
    primary_question,
    without_number,
)
from p4equity.section.confidence import checks, holding_zero, of_checks
from p4equity.section.leveling import judge
from p4equity.section.questions import changed

if TYPE_CHECKING:
    from p4equity.section.section import Section


def sensitivity(s: Section) -> str:
    """How far the estimates move when a choice is changed: the primary answer first, then each measure."""
    first = primary_question(s)
    if first is None or not first.ok:
        return "The primary question has no number, so there is nothing to set the sensitivity analyses beside."
    return phrases.paragraphs(_primary(s, first), _measures(s))


def _primary(s: Section, a: Answer) -> str:
    found = checks(s, a)
    if not found:
        return "**The primary answer was not asked again.** The plan has no sensitivity analysis of it."
    turned = sum((b.main["estimate"] < 0) != (a.main["estimate"] < 0) for b in found)
    weak = holding_zero(found)
    head = (
        f"The primary answer changes sign in {of_checks(turned, len(found))}"
        if turned
        else (
            f"The primary answer keeps its sign, but its interval includes zero in {of_checks(weak, len(found))}"
            if weak
            else "The primary answer stands when a choice is changed"
        )
    )
    low, high = (f(found, key=lambda b: b.main["estimate"]) for f in (min, max))
    text = f"**{head}.** The primary estimate is {figures(s, a.main)}. "
    if len(found) > 1:
        text += (
            f"Over {phrases.plural(len(found), 'analysis', 'analyses')} that each change one choice it runs from"
            f" {_named(s, low)} to {_named(s, high)}."
        )
    else:
        text += f"With one choice changed it is {_named(s, low)}."
    return text + _same_movers(s, a, found)


def _named(s: Section, a: Answer) -> str:
    what = phrases.join(changed(s, s.study.analysis(a.analysis_id)))
    return figures(s, a.main) + (f" with {what}" if what else "")


def _same_movers(s: Section, a: Answer, found: list[Answer]) -> str:
    """How often the verdict on who moved stays the same; it rests on two more intervals and is less steady than the gap."""
    own = judge(s, a).verdict
    others = [judge(s, b).verdict for b in found if b.reference is not None and b.rate is not None]
    if a.reference is None or not others:
        return ""
    same = sum(v == own for v in others)
    return (
        f" The verdict on who moved ({own}) is reached again in {phrases.count(same) if same else 'none'} of"
        f" {phrases.count(len(others))}" + (": it is much less certain than the narrowing itself." if same < len(others) else ".")
    )


def span(s: Section, a: Answer, *, down: bool = False, brief: bool = False) -> str:
    """One sentence: the range over the sensitivity analyses, and whether any interval includes zero; `down` counts a fall.

    `brief` leaves intervals that include zero to the confidence, which names them.
    """
    found = checks(s, a)
    if not found:
        return "The plan has no sensitivity analysis of this answer."
    order = (max, min) if down else (min, max)
    low, high = (f(found, key=lambda b: b.main["estimate"]) for f in order)
    places = phrases.decimals(str(a.main["outcome_unit"]))
    ends = [s.number(b.main["row_id"], signed=not down, flipped=down, decimals=places) for b in (low, high)]
    weak = holding_zero(found)
    if len(found) == 1:
        return f"With one choice of method changed it is {ends[0]}, with an interval that {'in' if weak else 'ex'}cludes zero."
    tail = f"; {phrases.count(weak)} with an interval that includes zero" if weak else "; no interval includes zero"
    tail = "" if weak and brief else tail
    return f"Changing one choice at a time ({phrases.count(len(found))} analyses) gives {ends[0]} to {ends[1]}{tail}."


def _measures(s: Section) -> str:
    """The range of each measure's estimate over its sensitivity analyses."""
    base, parts, flips = by_measure(s), [], 0
    known = [(a, checks(s, a)) for a in base if a.ok]
    if not any(found for _, found in known):
        return ""
    for a, found in known:
        name = phrases.lower(phrases.measure(s, a.measure_id))
        if not found:
            parts.append(f"{name}: no number")
            continue
        flips += any((b.main["estimate"] < 0) != (a.main["estimate"] < 0) for b in found)
        low, high = (f(found, key=lambda b: b.main["estimate"]) for f in (min, max))
        places = phrases.decimals(str(a.main["outcome_unit"]))
        own, *ends = (s.number(b.main["row_id"], signed=True, decimals=places) for b in (a, low, high))
        parts.append(f"{name} {ends[0]} to {ends[1]} (primary {own})")
    head = (
        "No single measure changes sign"
        if not flips
        else (
            f"{phrases.capital(phrases.count(flips))} of {phrases.plural(len(known), 'measure')}"
            f" {'changes' if flips == 1 else 'change'} sign"
        )
    )
    return f"**{head} over the same analyses.** {phrases.capital('; '.join(parts))}."


def left_out(s: Section) -> str:
    """Range of the primary estimate when each unit is left out in turn, and whose absence matters most."""
    unit = s.study.info.unit_label
    for analysis in s.study.analyses:
        if not (analysis.leave_out and analysis.pooled):
            continue
        rows = [s.run.row({"row_id": str(r)}) for r in s.run.rows({"analysis_id": analysis.id})["row_id"]]
        ok = [r for r in rows if r["status"] == "ok"]
        if not ok:
            return f"Leaving each {unit} out in turn gives no number: {without_number(s, rows[0])}." if rows else ""
        low, high = min(ok, key=lambda r: r["estimate"]), max(ok, key=lambda r: r["estimate"])
        weak = sum(not excludes_zero(r) for r in ok)
        head = (
            f"The interval includes zero in {phrases.count(weak)} of {phrases.count(len(ok))} analyses that leave one {unit} out"
            if weak
            else f"The primary answer does not hang on one {unit}"
        )
        return (
            f"**{head}.** With each left out in turn, the estimate runs from {figures(s, low)} {_sample(s, low)} to"
            f" {figures(s, high)} {_sample(s, high)}."
        )
    return ""


def _sample(s: Section, row: dict[str, Any]) -> str:
    return phrases.with_labels(s, str(row["sample"]))


def elsewhere(s: Section) -> str:
    """Measures without a contract, the negative control and later cohorts: one paragraph each."""
    return phrases.paragraphs(_other(s), _control(s), _later(s))


def planted(s: Section) -> str:
    """Beside the primary answer the effect that a synthetic extract was made with; nothing for real data."""
    first = primary_question(s)
    if not s.synthetic or first is None or not first.ok or not (s.run_dir / "results" / "planted.csv").is_file():
        return ""
    truth = s.results("planted")
    truth = truth[(truth["measure_id"] == first.measure_id) & (truth["group"] == first.group)]
    if len(truth) != 1:
        return ""
    value = float(truth["gap"].iloc[0])
    held = first.main["conf_low"] is not None and first.main["conf_low"] <= value <= first.main["conf_high"]
    return (
        f"**The interval of the primary answer {'holds' if held else 'does not hold'} the planted effect.** Because these data"
        f" are synthetic, the truth is known: an effect of {phrases.plain(value, signed=True)} points was planted, and"
        f" {figures(s, first.main)} was found. A single comparison can fail or succeed by chance."
    )


def elsewhere_heading(s: Section) -> str:
    """The heading over them."""
    return f"## Where no effect should be{', and later ' + s.study.info.treatment_label + 's' if _later(s) else ''}"


def _of_set(s: Section, ids: tuple[str, ...]) -> list[tuple[Any, list[Answer]]]:
    return [
        (a, answers(s, a.id))
        for a in s.study.analyses
        if ids and set(s.study.measure_ids(a.measures)) <= set(ids) and a.outcome in ("gap", "value")
    ]


def _other(s: Section) -> str:
    """Measures without a contract, one by one, and all of them together where the plan asks."""
    label = s.study.info.treatment_label
    out = []
    asked = _of_set(s, s.study.measure_sets.not_incentivized)
    together = "".join(_together(s, a) for analysis, items in asked if analysis.pooled for a in items)
    for items in [items for analysis, items in asked if not analysis.pooled]:
        claimed = [a for a in items if a.claimed]
        open_ = [a for a in items if a.ok and not excludes_zero(a.main)]
        head = (
            f"Gaps on measures without a {label}: nothing is claimed"
            if not claimed
            else f"A gap moved on {phrases.measures(s, [a.measure_id for a in claimed])}, which no {label} covers"
        )
        wide = (
            "intervals this wide exclude neither"
            if len(open_) == len(items)
            else "the intervals say how much of either is possible"
        )
        tail = f" A change here would mean that effort spilled over to other care, or was taken from it; {wide}."
        out.append(f"**{head}.** {_each(s, items)}{tail}{together}")
    return phrases.paragraphs(*out)


def _together(s: Section, a: Answer) -> str:
    """All measures pooled: the estimate, and which changes its interval excludes."""
    if not a.ok:
        return f" All of them together: {without_number(s, a.main)}."
    text = f" All of them together: {figures(s, a.main)}"
    permuted = next((r for r in (*a.others, *a.checks) if r["inference"] == "permutation" and r["status"] == "ok"), None)
    text += f", {p_value(s, permuted)} by permutation" if permuted else ""
    if excludes_zero(a.main):
        return f"{text}."
    ends = [s.number(a.main["row_id"], what="conf_high", flipped=narrowing) for narrowing in (True, False)]
    return f"{text}: a mean narrowing by more than {ends[0]} points and a mean widening by more than {ends[1]} are excluded."


def _control(s: Section) -> str:
    out = []
    for _, items in _of_set(s, s.study.measure_sets.negative_control):
        moved = announced([a.main for a in items], s.study.inference.alpha)
        known = [a for a in items if a.ok]
        head = (
            "Negative control: no change is shown where none was expected"
            if known and not moved
            else "Negative control: it changed, which speaks against the comparison"
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
            reasons = {without_number(s, a.claim) for a in items if a.claim is not None and a.claim["status"] != "ok"}
            why = f" The claim is {phrases.join(sorted(reasons))}." if reasons else ""
            head = "no claim is possible" if reasons else "the estimates"
            out.append(f"**{_cohort(s, analysis.cohorts)}: {head}.** {_each(s, items)}{why}")
    return phrases.paragraphs(*out)


def _cohort(s: Section, cohorts: tuple[int, ...]) -> str:
    return f"{phrases.capital(s.study.info.treatment_label)}s that began in {phrases.years(cohorts)}"


def _each(s: Section, items: list[Answer]) -> str:
    parts = [
        f"{phrases.lower(phrases.measure(s, a.measure_id))} {figures(s, a.main) if a.ok else without_number(s, a.main)}"
        for a in items
    ]
    return phrases.capital("; ".join(parts)) + "." if parts else ""
