"""Non-inferiority: overall quality and spending against a registered margin, one bound each; a failure is inconclusive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from p4equity.section import phrases
from p4equity.section.answers import Row, answers, figures, unit, without_number

if TYPE_CHECKING:
    from p4equity.section.section import Section

MET, OPEN, BEYOND, NONE = "not worse than the margin", "inconclusive", "worse than the margin", "no answer"


@dataclass(frozen=True)
class Guardrail:
    """One row with a margin and its verdict."""

    row: Row
    margin: float
    above: bool
    verdict: str


def guardrails(s: Section, *, spending: bool | None = None) -> list[Guardrail]:
    """All rows of analyses with a margin; `spending` True or False keeps those of that kind."""
    out = []
    for analysis in s.study.analyses:
        if analysis.margin is None or (spending is not None and (analysis.outcome == "spending") != spending):
            continue
        out += [_judge(a.main, float(analysis.margin), analysis.direction != "below") for a in answers(s, analysis.id)]
    return out


def _judge(row: Row, margin: float, above: bool) -> Guardrail:
    """Not worse: the interval's bound lies on the good side of the margin. Worse: the whole interval lies on the other side."""
    low, high = row["conf_low"], row["conf_high"]
    if row["status"] != "ok" or low is None or high is None:
        return Guardrail(row, margin, above, NONE)
    met, beyond = (low > margin, high < margin) if above else (high < margin, low > margin)
    return Guardrail(row, margin, above, MET if met else BEYOND if beyond else OPEN)


def overall(s: Section) -> str:
    """One sentence on overall quality: for how many measures a fall of the margin is excluded, and where it is shown."""
    found = guardrails(s, spending=False)
    if not found:
        return ""
    met, beyond = [g for g in found if g.verdict == MET], [g for g in found if g.verdict == BEYOND]
    limit = phrases.plain(abs(found[0].margin))
    rest, absent = [g for g in found if g.verdict == OPEN], [g for g in found if g.verdict == NONE]
    if len(absent) == len(found):
        return f"Whether overall quality fell has no answer: {without_number(s, absent[0].row)}."
    parts = [
        (
            f"excluded for {phrases.measures(s, [g.row['measure_id'] for g in met])}"
            if met
            else "excluded for no contracted measure"
        ),
        f"open for {phrases.measures(s, [g.row['measure_id'] for g in rest])}" if rest else "",
        f"without an answer for {phrases.measures(s, [g.row['measure_id'] for g in absent])}" if absent else "",
    ]
    for g in beyond:
        parts.append(f"shown for {phrases.lower(phrases.measure(s, g.row['measure_id']))}: {figures(s, g.row, level=False)}")
    return f"A fall of overall quality by more than {limit} {unit(found[0].row)} is {', '.join(p for p in parts if p)}."


def spending_sentence(s: Section) -> str:
    """One sentence on spending."""
    found = guardrails(s, spending=True)
    if not found:
        return ""
    g = found[0]
    limit = f"{phrases.plain(g.margin, 0)} {unit(g.row)}"
    if g.verdict == NONE:
        return f"Spending: {without_number(s, g.row)}."
    said = {
        MET: f"A rise of spending by {limit} is excluded",
        OPEN: f"A rise of spending by {limit} is open",
        BEYOND: f"Spending rose by more than {limit}",
    }[g.verdict]
    return f"{said}: {figures(s, g.row)}."


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
            parts.append(f"{phrases.measure(s, str(measure_id))}: {', '.join(said)}")
    if not parts:
        return ""
    return (
        "**Care or documentation.** Where a missing reading counts as a failure, a rate can rise because more readings reach"
        f" the payer. So the rate is split. {'; '.join(parts)}."
    )
