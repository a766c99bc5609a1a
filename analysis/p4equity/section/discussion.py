"""What follows from the results, by rule: the conclusion with its conditions, and where it may and may not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.disparity.leveling import CANNOT_TELL
from p4equity.section import phrases
from p4equity.section.answers import Answer, excludes_zero, primary_question, size
from p4equity.section.confidence import checks, rating
from p4equity.section.guardrails import overall
from p4equity.section.leveling import judge

if TYPE_CHECKING:
    from p4equity.section.section import Section


def conclusion(s: Section) -> str:
    """What an evaluator would conclude from the primary answer, and what the other sections add to it."""
    first = primary_question(s)
    if first is None or not first.ok:
        return "The primary question has no number, so this study supports no conclusion."
    start = "**If these data were real, we would conclude that" if s.synthetic else "**We conclude that"
    info = s.study.info
    gap = bool(s.study.groups.compared)
    what = "gaps" if gap else phrases.lower(phrases.measure(s, first.measure_id))
    if not first.claimed:
        share = phrases.plain(100 * s.study.inference.meaningful_share, 0)
        meaning = f" A change the size of {share}% of the baseline gap may or may not have happened." if gap else ""
        return (
            f"{start} the data cannot tell whether the {info.treatment_label}s changed {what}.** That is not a finding of no"
            f" effect.{meaning} {_confidence(s, first)}"
        )
    down = bool(first.main["estimate"] < 0)
    verb = ("narrowed" if down else "widened") if gap else ("fell" if down else "rose")
    text = (
        f"{start} {what} {verb} with the {info.treatment_label}s,** by {size(s, first.main, down=down)} beyond comparison"
        f" {info.unit_label_plural}. {_confidence(s, first)}"
    )
    return f"{text} {_movers(s, first)} {overall(s)}".strip()


def _confidence(s: Section, a: Answer) -> str:
    level, reason = rating(s, a)
    return f"Our confidence in this is {level}: {reason}."


def _movers(s: Section, a: Answer) -> str:
    """What whose movement means for the conclusion."""
    if a.reference is None or a.rate is None:
        return ""
    verdict = judge(s, a).verdict
    if verdict == CANNOT_TELL:
        return "Whose rates moved the data cannot tell, and a narrowing that comes from lower rates is no success."
    reference = phrases.reference(s)
    fell = bool(a.reference["estimate"] < 0)
    others = [judge(s, b).verdict for b in checks(s, a) if b.reference is not None and b.rate is not None]
    same = sum(v == verdict for v in others)
    text = f"The pattern is {verdict}"
    if others:
        text += (
            f", a verdict that {phrases.count(same) if same else 'none'} of"
            f" {phrases.plural(len(others), 'changed analysis', 'changed analyses')} {'repeats' if same < 2 else 'repeat'}"
        )
    if not fell:
        return f"{text}. The rate of {reference} members did not fall by these estimates."
    if not excludes_zero(a.reference):
        return (
            f"{text}. A fall of the rate of {reference} members is neither shown nor excluded, so rates belong beside every gap."
        )
    return (
        f"{text}. Part of the change is a lower rate of {reference} members, which is no success, so rates belong beside every"
        " gap."
    )


def transport(s: Section) -> str:
    """Where the results may hold: whom they are about, and who is outside them."""
    study, info = s.study, s.study.info
    after = [t for t in study.years if t >= study.launch_cohort and t not in study.baseline.apart]
    whom = f"the members of one payer in {info.unit_label_plural}" if info.payer else info.unit_label_plural
    text = (
        f"**Where this may hold.** The results are about {whom} of this study, under the {info.treatment_label}s in force in"
        f" {phrases.years(after)}. They are averages over the {info.unit_label_plural} that have a {info.treatment_label}; others"
        " might respond differently, and so might the same ones in later years."
    )
    if info.payer:
        text += (
            " Patients of other payers, whose coverage, incomes and sites of care may differ, are outside the data. Contracts"
            " with other measures, stakes or rules for what counts as a narrowing are other interventions."
        )
    return text
