"""The first page: findings in a reader's words with intervals and a confidence by rule, caveats, and what stays unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.disparity.leveling import CANNOT_TELL, LEVELING_UP
from p4equity.section import leveling, phrases
from p4equity.section.answers import (
    EVERYONE,
    Answer,
    answers,
    by_measure,
    detectable,
    evidence,
    excludes_zero,
    figures,
    members,
    p_value,
    primary_question,
    size,
    without_number,
)
from p4equity.section.confidence import MANY, checks, rated
from p4equity.section.guardrails import cost_sentence, overall, spending_sentence
from p4equity.section.implementation import increment
from p4equity.section.payments import totals
from p4equity.section.reversal import passed_zero
from p4equity.section.robustness import span

if TYPE_CHECKING:
    from p4equity.section.section import Section


def question(s: Section) -> str:
    """The question of the study, the sentence that says what is estimated, and the years compared."""
    info = s.study.info
    first = next((a for a in s.study.analyses if a.registered == "primary"), None)
    if s.study.groups.compared:
        cost = ", and at what cost" if s.study.measure_sets.spending else ""
        asked = (
            f"Did the {info.treatment_label}s narrow gaps in quality between {phrases.reference(s)} members and"
            f" {phrases.groups(s)} members? By whose movement, beyond chance{cost}?"
        )
    else:
        asked = (first.question if first else None) or "Did the outcome change?"
    years = "" if s.study.groups.compared else f" {_years(s)}"
    return f"**The question.** {asked} **What is estimated.** {info.estimand}{years}"


def _after(s: Section) -> list[int]:
    """The years from the first start on, without those that stand apart."""
    return [t for t in s.study.years if t >= s.study.launch_cohort and t not in s.study.baseline.apart]


def _years(s: Section) -> str:
    return (
        f"Years before: {phrases.years(s.study.baseline.pre_years)}. Years with {s.study.info.treatment_label}s:"
        f" {phrases.years(_after(s))}."
    )


def findings(s: Section) -> str:
    """Up to five numbered findings, each first in words, then in numbers."""
    found = _gap_findings(s) if s.study.groups.compared else _value_findings(s)
    return "\n".join(f"{i}. {text}" for i, text in enumerate([f for f in found if f], start=1))


def _gap_findings(s: Section) -> list[str]:
    first = primary_question(s)
    if first is None:
        return []
    cost = f"{overall(s, brief=True)} {spending_sentence(s)} {cost_sentence(s, brief=True)} {totals(s, brief=True)}".strip()
    return [_first(s, first), _movers(s, first), _single_measures(s), f"**At what cost.** {cost}" if cost else ""]


def _first(s: Section, a: Answer) -> str:
    """The primary finding: the gap before, its change beyond comparison units, the inferences, the range over checks."""
    if not a.ok:
        return f"**Whether gaps narrowed has no answer.** {phrases.capital(without_number(s, a.main))}."
    down = bool(a.main["estimate"] < 0)
    head = (
        f"Gaps {'narrowed' if down else 'widened'}, beyond chance" if a.claimed else "Whether gaps narrowed, the data cannot tell"
    )
    units, label = s.study.info.unit_label_plural, s.study.info.treatment_label
    estimate = s.number(a.main["row_id"], flipped=down)
    interval = s.number(a.main["row_id"], what="interval", flipped=down)
    return (
        f"**{head}.** {_before(s, a)} By {phrases.years(_after(s))} they had {'narrowed' if down else 'widened'} by {estimate}"
        f" points more ({phrases.level(s)} interval {interval}) in {units} with a {label} than in comparison {units}."
        f"{_by_members(s, a, down)} {_chance(s, a)} {span(s, a, down=down, brief=True)} {rated(s, a)}"
    )


def _by_members(s: Section, a: Answer, down: bool) -> str:
    """Which weighting the estimate has, and the other one: the effect on a unit beside that on a member."""
    for b in checks(s, a):
        if s.study.analysis(b.analysis_id).weighting == "patient":
            unit = s.study.info.unit_label_plural
            return f" Weighted by members, not {unit} by precision, it is {size(s, b.main, down=down)}."
    return ""


def _before(s: Section, a: Answer) -> str:
    """How wide the gaps behind the answer were at baseline: smallest to largest, each from its own row."""
    found = s.run.rows({"analysis_id": "baseline_gap", "status": "ok"})
    contracted = list(s.study.measure_sets.contracted) if a.measure_id == phrases.POOLED else [a.measure_id]
    found = found[found["measure_id"].isin(contracted) & (found["conf_low"] > 0)]
    if found.empty:
        return "No gap was shown at baseline."
    ends = [s.number(str(found.loc[found["estimate"].agg(f), "row_id"])) for f in ("idxmin", "idxmax")]
    wide = f"{ends[0]} to {ends[1]} points wide, depending on measure and group" if len(found) > 1 else f"{ends[0]} points wide"
    return f"In {phrases.years(s.study.baseline.pre_years)} gaps over both arms were {wide}."


def _chance(s: Section, a: Answer) -> str:
    """What the rule for claims says, without the names of the methods."""
    if a.claimed:
        row = a.claim or max([a.main, *a.others], key=lambda r: r["p_value"])
        adjusted = f"{p_value(s, row)} after adjustment for the other questions"
        return f"Chance alone would rarely give this ({adjusted}{_cross_checked(s, a)})."
    if a.claim is not None and a.claim["status"] == "ok" and excludes_zero(a.main):
        return (
            "Chance is not excluded: the interval alone excludes zero, but a claim rests on the largest p of all primary analyses"
            f" of the question, adjusted for the others ({p_value(s, a.claim)})."
        )
    limit = detectable(s, a)
    return f"Chance is not excluded{' (' + limit + ')' if limit else ''}."


def _cross_checked(s: Section, a: Answer) -> str:
    """Which of the other methods of inference agree that chance is excluded, before adjustment; and which do not."""
    seen = [r for r in a.checks if r["status"] == "ok"]
    agree = [phrases.method(r["inference"]) for r in seen if r["p_value"] < a.alpha]
    other = [r for r in seen if not r["p_value"] < a.alpha]
    text = f"; {phrases.join(agree)} {'agrees' if len(agree) == 1 else 'agree'}" if agree else ""
    named = [f"{phrases.method(r['inference'])} (p = {s.number(r['row_id'], what='p_value')})" for r in other]
    return text + (f"; not by {phrases.join(named)}" if named else "")


def _movers(s: Section, a: Answer) -> str:
    """Who moved in the primary question, how steady that verdict is, and every measure whose verdict is leveling down."""
    if a.reference is None or a.rate is None or not a.ok:
        return "**By whose movement: no answer.** The effects on the groups are not estimable."
    level = leveling.judge(s, a)
    name = "the data cannot tell" if leveling.words(level) == CANNOT_TELL else leveling.words(level)
    said = (
        leveling.who_moved(s, a),
        leveling.share_words(s, a, brief=True),
        leveling.reference_by_members(s, a),
        leveling.probability_words(s, a, brief=True),
    )
    text = f"**By whose movement: {name}.** {' '.join(x for x in said if x)}"
    others = [leveling.judge(s, b).verdict for b in checks(s, a) if b.reference is not None and b.rate is not None]
    if others and level.verdict != CANNOT_TELL:
        same = sum(v == level.verdict for v in others)
        text += (
            " The verdict rests on bounds that hold together, not on the rule for claims, and returns in"
            f" {phrases.count(same) if same else 'none'} of the {phrases.count(len(others))} changed analyses."
        )
    levels = [(b, leveling.judge(s, b)) for b in by_measure(s)]
    shown = [b.measure_id for b, x in levels if x.verdict == leveling.DOWN]
    left = [b for b, x in levels if leveling.DOWN in x.left and LEVELING_UP not in x.left]
    if shown:
        text += f" On {phrases.measures(s, shown)} leveling down is shown."
    if left:
        text += f" Leveling up is ruled out on {leveling.with_down_chance(s, left)}."
    return text


def _single_measures(s: Section) -> str:
    """Which measures carry a claim of their own; the rest with their intervals, and why an interval alone is not enough."""
    items = [a for a in by_measure(s) if a.ok]
    absent = [a for a in by_measure(s) if not a.ok]
    claimed, open_ = [a for a in items if a.claimed], [a for a in items if not a.claimed]
    head = "No single measure supports a claim of its own" if items else "No single measure has an answer"
    if claimed:
        does = "supports a claim of its own" if len(claimed) == 1 else "support claims of their own"
        head = f"{phrases.capital(phrases.count(len(claimed)))} of {phrases.plural(len(items), 'measure')} {does}"
    text = f"**{head}.**"
    if claimed:
        text += f" Claimed: {_changes(s, claimed)}."
    if open_:
        text += f" {'Not claimed: ' if claimed else ''}{phrases.capital(_changes(s, open_))}."
    alone = [a for a in open_ if excludes_zero(a.main)]
    if alone:
        text += (
            f" Alone, {phrases.count(len(alone))} of these intervals {'excludes' if len(alone) == 1 else 'exclude'} zero; with"
            f" several questions and few {s.study.info.unit_label_plural}, chance is not excluded."
        )
    for a in absent:
        text += f" {phrases.measure(s, a.measure_id)}: {without_number(s, a.main)}."
    return text + _turned(s, items)


def _turned(s: Section, items: list[Answer]) -> str:
    """Measures whose raw gap passed zero in contracted units: there the reference group is behind now."""
    found = [(a, gap) for a in items if (gap := passed_zero(s, a)) is not None]
    if not found:
        return ""
    parts = [
        f"{phrases.lower(phrases.measure(s, a.measure_id))} ({phrases.plain(gap.before)} to {phrases.plain(gap.after)} points)"
        for a, gap in found
    ]
    return (
        f" In contracted {s.study.info.unit_label_plural} the raw gap passed zero on {phrases.join(parts)}:"
        f" {phrases.reference(s)} members are now behind."
    )


def _changes(s: Section, items: list[Answer]) -> str:
    """Measures with their changes, the unit once; groups are named where a measure does not hold all of them."""
    parts = []
    for a in items:
        who = members(s, a)
        name = phrases.lower(phrases.measure(s, a.measure_id)) + ("" if who == EVERYONE else f" ({who})")
        parts.append(f"{name} {figures(s, a.main, level=False, with_unit=False)}")
    return f"{'; '.join(parts)} points"


def _value_findings(s: Section) -> list[str]:
    """One finding a set of measures of a published panel: its first analysis, then the same with other weights."""
    out: dict[object, str] = {}
    for analysis in s.study.analyses:
        items = answers(s, analysis.id) if analysis.estimator != "event_study" else []
        if not items:
            continue
        title, key = analysis.title or analysis.id.replace("_", " "), analysis.measures
        if analysis.registered == "primary":
            out[key] = (
                f"**{_value_head(s, items[0])}** {title}: {evidence(s, items[0])}. {span(s, items[0])} {rated(s, items[0])}"
            )
        elif key in out:
            out[key] += f" {phrases.capital(title.rsplit(', ', 1)[-1])}: {_listed(s, items)}."
        else:
            clear = sum(excludes_zero(a.main) for a in items)
            many = f"{phrases.count(clear)} of {phrases.count(len(items))} intervals" if len(items) > 1 else "its interval"
            head = (
                f"{many} {'excludes' if clear == 1 else 'exclude'} zero, secondary and unadjusted"
                if clear
                else "the data cannot tell"
            )
            out[key] = f"**{title}: {head}.** {phrases.capital(_listed(s, items))}."
    return list(out.values())[:5]


def _listed(s: Section, items: list[Answer]) -> str:
    """Estimates with intervals of several measures, then the unit once."""
    named = len(items) > 1
    parts = [
        (f"{phrases.lower(phrases.measure(s, a.measure_id))} " if named else "")
        + figures(s, a.main, level=False, with_unit=False)
        for a in items
    ]
    return f"{'; '.join(parts)} {items[0].main['outcome_unit']}"


def _value_head(s: Section, a: Answer) -> str:
    name = phrases.measure(s, a.measure_id)
    if not a.ok:
        return f"{name}: no answer."
    if not a.claimed:
        return f"{name}: the data cannot tell."
    return f"{name} {'fell' if a.main['estimate'] < 0 else 'rose'}, beyond chance."


def caveats(s: Section) -> str:
    """The limits that matter most here, from the plan and the data, and what the study cannot answer at all."""
    first = primary_question(s)
    study, items = s.study, []
    units, label = study.info.unit_label_plural, study.info.treatment_label
    few = ""
    if first is not None and (first.main["n_treated_clusters"] or MANY) < MANY:
        treated, every = int(first.main["n_treated_clusters"]), int(first.main["n_clusters"])
        few = f"; only {phrases.count(treated)} of {phrases.count(every)} {'has' if treated == 1 else 'have'} one"
    items.append(f"*Assignment was not random:* {units} with a {label} may have been on another path anyway{few}.")
    if study.cointerventions:
        items.append(f"*Help on both sides:* {phrases.lower(increment(s, brief=True))}")
    return f"**Before using these numbers.** {' '.join(items)} *Not answered here:* {cannot_tell(s)}"


def cannot_tell(s: Section) -> str:
    """What this study cannot answer, whatever its numbers."""
    study, items = s.study, []
    if study.cointerventions:
        items.append("the effect of the whole package")
    unanswered = study.threats[study.threats["evidence"].isna()] if len(study.threats) else study.threats
    if study.groups.compared:
        items.append(f"effects on one {study.info.unit_label}")
    items.append(
        f"effects of {study.info.treatment_label}s elsewhere" + (", for other payers" if study.info.payer else "") + " or later"
    )
    where = phrases.section_ref(s, "limits", " (")
    tail = (
        f" {phrases.capital(phrases.plural(len(unanswered), 'threat'))} to validity without a test{where}{')' if where else ''}."
        if len(unanswered)
        else ""
    )
    return f"{phrases.join(items, 'or')}.{tail}"
