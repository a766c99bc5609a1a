"""The first page: findings with intervals and a confidence by rule, caveats, and what the data cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.disparity.leveling import CANNOT_TELL
from p4equity.section import phrases
from p4equity.section.answers import (
    Answer,
    answers,
    by_measure,
    evidence,
    excludes_zero,
    figures,
    primary_question,
    verdict,
    without_number,
)
from p4equity.section.confidence import MANY, rated
from p4equity.section.guardrails import overall, spending_sentence
from p4equity.section.leveling import DOWN, MEANINGS, judge, margin, words
from p4equity.section.payments import totals

if TYPE_CHECKING:
    from p4equity.section.section import Section


def question(s: Section) -> str:
    """The question of the study and the sentence that says what is estimated."""
    info = s.study.info
    first = next((a for a in s.study.analyses if a.registered == "primary"), None)
    if s.study.groups.compared:
        cost = ", and at what cost" if s.study.measure_sets.spending else ""
        asked = (
            f"Did the {info.treatment_label}s narrow gaps between {phrases.reference(s)} members and {phrases.groups(s)}"
            f" members, by whose movement, beyond chance{cost}?"
        )
    else:
        asked = (first.question if first else None) or "Did the outcome change?"
    return f"**The question.** {asked} **What is estimated.** {info.estimand}"


def findings(s: Section) -> str:
    """Three to five numbered findings, each first in words, then in numbers."""
    found = _gap_findings(s) if s.study.groups.compared else _value_findings(s)
    return "\n".join(f"{i}. {text}" for i, text in enumerate([f for f in found if f], start=1))


def _gap_findings(s: Section) -> list[str]:
    first = primary_question(s)
    if first is None:
        return []
    head = {
        "The gap narrows": "Gaps narrowed, beyond chance.",
        "The gap widens": "Gaps widened, beyond chance.",
        "No answer": "Whether gaps narrowed has no answer.",
    }.get(verdict(s, first), "Whether gaps narrowed: the data cannot tell.")
    return [
        f"**{head}** Over {phrases.lower(_scope(s, first))}: {evidence(s, first)}. {rated(s, first)}",
        _movers(s, first),
        _single_measures(s),
        f"**At what cost.** {phrases.join([overall(s)])} {spending_sentence(s)}".strip(),
        totals(s),
    ]


def _scope(s: Section, a: Answer) -> str:
    return phrases.measure(s, a.measure_id)


def _movers(s: Section, a: Answer) -> str:
    """Who moved in the primary question, and every measure whose verdict is leveling down."""
    if a.reference is None or a.rate is None or not a.ok:
        return "**By whose movement: no answer.** The effects on the groups are not estimable."
    level = judge(a, margin(s))
    text = (
        f"**By whose movement: {words(level)}**{'' if level.verdict == CANNOT_TELL else f' ({MEANINGS[level.verdict]})'}**.**"
        f" The groups compared moved by {figures(s, a.rate, level=False)}, {phrases.reference(s)} members by"
        f" {figures(s, a.reference, level=False)}."
    )
    down = [b for b in by_measure(s) if judge(b, margin(s)).verdict == DOWN]
    for b in down:
        assert b.reference is not None
        text += (
            f" {phrases.measure(s, b.measure_id)}: {words(judge(b, margin(s)))}; "
            f"{phrases.reference(s)} members moved by {figures(s, b.reference, level=False)}."
        )
    return text


def _single_measures(s: Section) -> str:
    """Which measures carry a claim of their own, the rest with their intervals."""
    items = [a for a in by_measure(s) if a.ok]
    absent = [a for a in by_measure(s) if not a.ok]
    claimed, open_ = [a for a in items if a.claimed], [a for a in items if not a.claimed]
    parts = [f"{phrases.measure(s, a.measure_id)} {figures(s, a.main, level=False, with_unit=False)}" for a in claimed]
    rest = [f"{phrases.measure(s, a.measure_id)} {figures(s, a.main, level=False, with_unit=False)}" for a in open_]
    head = "No single measure supports a claim of its own" if items else "No single measure has an answer"
    if claimed:
        verb = "supports" if len(claimed) == 1 else "support"
        head = (
            f"{phrases.capital(phrases.count(len(claimed)))} of {phrases.plural(len(items), 'measure')} {verb} a claim of its own"
        )
    text = f"**{head}.**"
    if parts:
        text += f" Claimed: {'; '.join(parts)} points."
    if rest:
        text += f" The data cannot tell for {'; '.join(rest)} points."
    for a in absent:
        text += f" {phrases.measure(s, a.measure_id)}: {without_number(s, a.main)}."
    return text


def _value_findings(s: Section) -> list[str]:
    """One finding a set of measures of a published panel: its first analysis, then the same with other weights."""
    out: dict[object, str] = {}
    for analysis in s.study.analyses:
        items = answers(s, analysis.id) if analysis.estimator != "event_study" else []
        if not items:
            continue
        title, key = analysis.title or analysis.id.replace("_", " "), analysis.measures
        if analysis.registered == "primary":
            out[key] = f"**{_value_head(s, items[0])}** {title}: {evidence(s, items[0])}. {rated(s, items[0])}"
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
    """The three limits that matter most here, from the plan and the data, and what the study cannot answer at all."""
    first = primary_question(s)
    study, items = s.study, []
    if s.synthetic:
        items.append("**Synthetic data.** Nothing here is about a real payer or system.")
    if first is not None and (first.main["n_treated_clusters"] or MANY) < MANY:
        treated, units = int(first.main["n_treated_clusters"]), int(first.main["n_clusters"])
        items.append(
            f"**Few {study.info.unit_label_plural}.** {phrases.capital(phrases.count(treated))} with a"
            f" {study.info.treatment_label}, of {units}: small effects would go unseen."
        )
    if study.cointerventions:
        items.append(
            f"**Help on both sides.** Comparison {study.info.unit_label_plural} had the same data, coaching and grants; only"
            f" the {study.info.treatment_label}'s increment is estimated."
        )
    items.append(
        f"**Assignment was not random.** {phrases.capital(study.info.unit_label_plural)} that took part may have been on"
        " another path; the years before are shown, and cannot prove otherwise."
    )
    return phrases.bullets([*items[:3], f"**What this study cannot tell.** {cannot_tell(s)}"])


def cannot_tell(s: Section) -> str:
    """What this study cannot answer, whatever its numbers."""
    study, items = s.study, []
    if study.cointerventions:
        items.append("the effect of the whole package")
    unanswered = study.threats[study.threats["evidence"].isna()] if len(study.threats) else study.threats
    if study.groups.compared:
        items.append(f"single cells of one {study.info.unit_label}, measure and group")
        items.append("patients of other payers")
    if len(unanswered):
        items.append(
            f"{phrases.plural(len(unanswered), 'threat')} without a test in this"
            f" edition{phrases.section_ref(s, 'limits', ' (')}{')' if phrases.has_section(s, 'limits') else ''}"
        )
    items.append(f"other {study.info.treatment_label}s, places or years")
    return phrases.capital("; ".join(items)) + "."
