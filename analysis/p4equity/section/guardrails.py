"""Guardrails in words: overall quality and spending against a planned margin, and whether a change is care or documentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from p4equity.disparity.guardrail import CANNOT_TELL, HARM, NO_WORSE, WORSE, guardrail_verdict, margin_excluded
from p4equity.evaluation.cost import ASSUMED, MAIN
from p4equity.evaluation.margins import AGAINST_MARGIN
from p4equity.section import phrases
from p4equity.section.answers import Answer, Row, answers, figures, primary_question, unit, without_number
from p4equity.section.payments import per_month

if TYPE_CHECKING:
    from p4equity.section.section import Section

NONE = "no answer"


@dataclass(frozen=True)
class Guardrail:
    """One effect with a margin: the row of its first inference, and the verdict over all of them."""

    row: Row
    margin: float
    verdict: str


def guardrails(s: Section, *, spending: bool | None = None) -> list[Guardrail]:
    """All effects of analyses with a margin; `spending` True or False keeps those of that kind."""
    out = []
    for analysis in s.study.analyses:
        if analysis.margin is None or (spending is not None and (analysis.outcome == "spending") != spending):
            continue
        for a in answers(s, analysis.id):
            rows, margin = [a.main, *a.others, *a.checks], float(analysis.margin)
            if any(r["status"] != "ok" for r in rows):
                out.append(Guardrail(a.main, margin, NONE if not a.ok else CANNOT_TELL))
                continue
            intervals = [(r["conf_low"], r["conf_high"]) for r in rows]
            above, excluded = analysis.direction != "below", margin_excluded(_tests(s, a), a.alpha, claimable=a.claimable)
            said = guardrail_verdict(intervals, margin, above=above, claimed=a.claimed, excluded=excluded)
            out.append(Guardrail(a.main, margin, said))
    return out


def _tests(s: Section, a: Answer) -> list[float | None]:
    """The p values of the registered one-sided tests against the margin; None where a test has no answer."""
    what = {"analysis_id": a.analysis_id, "measure_id": a.measure_id, "group": a.group}
    found = s.run.rows({**what, "outcome": f"{a.main['outcome']}{AGAINST_MARGIN}"})
    rows = [s.run.row({"row_id": str(r)}) for r in found["row_id"]]
    return [r["p_value"] if r["status"] == "ok" else None for r in rows]


def overall(s: Section, *, brief: bool = False) -> str:
    """Where overall quality is shown to have fallen, where a fall of the margin is excluded, and where neither can be said.

    brief: without the list of the last where nothing is excluded.
    """
    found = guardrails(s, spending=False)
    if not found:
        return ""
    absent = [g for g in found if g.verdict == NONE]
    if len(absent) == len(found):
        return f"Whether overall quality fell has no answer: {without_number(s, absent[0].row)}."
    limit = f"{phrases.plain(abs(found[0].margin))} {unit(found[0].row)}"
    said = []
    for kind, by in ((WORSE, f" by more than {limit}"), (HARM, "")):
        if fell := [g for g in found if g.verdict == kind]:
            said.append(f"Among all members, {_fallen(s, fell, by)}.")
    met = [g for g in found if g.verdict == NO_WORSE]
    said.append(f"A fall by more than {limit} is excluded for {_names(s, met) if met else 'no measure'}.")
    rest = [g for g in found if g.verdict == CANNOT_TELL]
    if rest and (met or not brief):
        said.append(f"The data cannot tell for {_names(s, rest)}.")
    if absent:
        said.append(f"There is no answer for {_names(s, absent)}.")
    return " ".join(said)


def _fallen(s: Section, fell: list[Guardrail], by: str) -> str:
    """Which rates fell, each with its figures; the level and the unit of the first hold for all."""
    if len(fell) == 1:
        return f"{_name(s, fell[0])} fell{by}: {figures(s, fell[0].row)}"
    parts = [f"{_name(s, g)} {figures(s, g.row, level=g is fell[0], with_unit=g is fell[0])}" for g in fell]
    return f"{phrases.count(len(fell))} rates fell{by}: {'; '.join(parts)}"


def _name(s: Section, g: Guardrail) -> str:
    measure = g.row["measure_id"]
    return "all measures together" if measure == phrases.POOLED else phrases.lower(phrases.measure(s, measure))


def _names(s: Section, found: list[Guardrail]) -> str:
    """The measures, what is said of all together last."""
    return phrases.join([_name(s, g) for g in sorted(found, key=lambda g: g.row["measure_id"] == phrases.POOLED)])


def spending_sentence(s: Section) -> str:
    """One sentence on spending: the estimate first, then what the margin says."""
    found = guardrails(s, spending=True)
    if not found:
        return ""
    g = found[0]
    if g.verdict == NONE:
        return f"Spending: {without_number(s, g.row)}."
    limit = f"{phrases.plain(g.margin, 0)} {unit(g.row)}"
    said = {
        NO_WORSE: f"a rise by {limit} or more is excluded",
        WORSE: f"a rise by more than {limit} is shown",
        HARM: f"a rise is shown, and one by {limit} or more is not excluded",
        CANNOT_TELL: f"a rise by {limit} or more is not excluded",
    }[g.verdict]
    return f"Spending changed by {figures(s, g.row)}; {said}."


def cost_sentence(s: Section, *, brief: bool = False) -> str:
    """What each point of narrowing went with in spending, and (if not brief) in payments; or why there is no number."""
    for analysis in s.study.analyses:
        if analysis.estimator == "cost_per_point":
            row = s.run.row({"analysis_id": analysis.id, "sample": MAIN})
            if row["status"] != "ok":
                return f"Cost of a point narrowed: {without_number(s, row)}."
            said = figures(s, row, with_unit=False)
            assumed = "" if brief else _assumed(s, analysis.id)
            text = f"Each point narrowed went with {said} USD of spending a member-month{assumed}."
            if brief:
                return text
            narrowed = primary_question(s)
            points = -float(narrowed.main["estimate"]) if narrowed is not None and narrowed.ok else 0.0
            return f"{text} {per_month(s, points if points > 0 else None)}".rstrip()
    return ""


def _assumed(s: Section, analysis_id: str) -> str:
    """How far the upper end moves with the correlation of both effects, which a dozen units hardly tell."""
    rows = [s.run.row({"analysis_id": analysis_id, "sample": sample}) for sample in ASSUMED.values()]
    if any(r["status"] != "ok" for r in rows):
        return ""
    ends = [s.number(r["row_id"], what="conf_high") for r in rows]
    low, high = (phrases.plain(c) for c in ASSUMED)
    return f" (upper end {ends[0]} if both effects correlate by {low}, {ends[1]} if by {high})"


def companions(s: Section) -> str:
    """Tested, and controlled among the tested: whether a change of a rate is care or documentation, one sentence a measure."""
    parts = []
    for analysis in s.study.analyses:
        if analysis.outcome != "companion":
            continue
        found = s.run.rows({"analysis_id": analysis.id})
        for measure_id in dict.fromkeys(found["measure_id"]):
            part = found[found["measure_id"] == measure_id]
            said = []
            for outcome, words in (("tested", "share with a reading"), ("controlled_given_tested", "controlled among those")):
                ids = part.loc[part["outcome"] == outcome, "row_id"]
                said += [f"{words} {figures(s, s.run.row({'row_id': str(ids.iloc[0])}), level=False)}"] if len(ids) else []
            if said:
                parts.append(f"{phrases.measure(s, str(measure_id))}: {', '.join(said)}")
    if not parts:
        return ""
    return (
        "**Care or documentation.** Where a missing reading counts as a failure, a rate can rise because more readings reach"
        f" the payer. So the rate is split. {'; '.join(parts)}."
    )
