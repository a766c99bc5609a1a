"""Who the members are: the primary question of other members, who left, and what a change of specification does by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p4equity.evaluation.announcements import announced
from p4equity.section import phrases
from p4equity.section.answers import figures, primary_question
from p4equity.section.confidence import checks
from p4equity.section.heads import familywise
from p4equity.study.names import MEMBERS_NAMES

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section

CHURN, BREAK = "retention", "specification_break"


def applies(s: Section) -> bool:
    """Whether the plan asks about other members, about staying, or about a broken series."""
    return any(a.members != "open" or a.estimator in (CHURN, BREAK) for a in s.study.analyses)


def text(s: Section) -> str:
    """Three short paragraphs, each with its finding first."""
    return phrases.paragraphs(_others(s), _churn(s), _breaks(s))


def _others(s: Section) -> str:
    """The primary answer at constant ages, of those who stayed, and of those weighted to all."""
    a = primary_question(s)
    if a is None or not a.ok:
        return ""
    found = [(s.study.analysis(b.analysis_id), b) for b in checks(s, a)]
    found = [(x, b) for x, b in found if x.members != "open"]
    if not found:
        return ""
    same = all((b.main["estimate"] < 0) == (a.main["estimate"] < 0) for _, b in found)
    head = (
        "The estimate keeps its sign for every kind of member" if same else "The answer changes sign with the members it is about"
    )
    parts = [f"{MEMBERS_NAMES[x.members]}: {figures(s, b.main)}" for x, b in found]
    return (
        f"**{head}.** Beside {figures(s, a.main)} for the members of each year: {'; '.join(parts)}. Those who stayed were with"
        f" one practice from {max(s.study.baseline.pre_years)} to {max(s.study.years)}; their errors are upper limits. Weights"
        " know group and age, and not how anyone did before leaving. Checks by"
        " measure stand in [@tbl:T3]."
    )


def _rows(s: Section, estimator: str) -> list[dict[str, Any]]:
    """The first inference's rows of the outcome itself."""
    found = []
    for a in s.study.analyses:
        if a.estimator == estimator:
            rows = s.run.rows({"analysis_id": a.id, "outcome": a.outcome, "inference": a.inference[0]})
            found += [s.run.row({"row_id": str(i)}) for i in rows["row_id"]]
    return found


def _churn(s: Section) -> str:
    """How many differences in staying are announced by Holm's rule over all of them, and the largest."""
    rows = [r for r in _rows(s, CHURN) if r["status"] == "ok"]
    if not rows:
        return ""
    shown = announced(rows, s.study.inference.alpha)
    top = max(shown or rows, key=lambda r: abs(r["estimate"]))
    units = s.study.info.unit_label_plural
    head = (
        f"Staying differs between groups and arms in {phrases.count(len(shown))} of {phrases.count(len(rows))} questions"
        if shown
        else f"Whether any group leaves {units} with a {s.study.info.treatment_label} more, the data cannot tell"
    )
    who = f"{phrases.group(s, str(top['group']))} members in {phrases.lower(phrases.measure(s, str(top['measure_id'])))}"
    return (
        f"**{head}** ({familywise(s, rows)}). Over {phrases.count(len(rows))} pairs of measure and group the largest difference"
        f" {'shown ' if shown else ''}beyond {phrases.reference(s)} members and comparison {units} is {figures(s, top)} ({who};"
        " positive: the group left more; [@tbl:staying])."
    )


def _breaks(s: Section) -> str:
    """The mechanical jump of each group's gap at a change of ages, announced by Holm's rule over the groups."""
    rows = [r for r in _rows(s, BREAK) if r["status"] == "ok"]
    if not rows:
        return ""
    parts = [f"{phrases.group(s, str(r['group']))} {figures(s, r)}" for r in rows]
    name, year = phrases.measure(s, str(rows[0]["measure_id"])), int(rows[0]["first_year"])
    shown = announced(rows, s.study.inference.alpha)
    head = (
        f"The change of ages in {year} moves gaps by itself"
        if shown
        else f"Whether the change of ages in {year} moves gaps by itself, the data cannot tell"
    )
    return (
        f"**{head}** ({familywise(s, rows)}, sampling error). {name}: {'; '.join(parts)}, against nothing in the twin of constant"
        " ages, which is the one that estimates use. No care changed with it: a comparison across the break would read it as an"
        " effect."
    )


def churn_table(s: Section) -> pd.DataFrame | None:
    """One row a measure and group: effects on staying of the reference and the group, and their difference with its interval."""
    import pandas as pd

    out = []
    for row in _rows(s, CHURN):
        same = {"analysis_id": row["analysis_id"], "measure_id": row["measure_id"], "group": row["group"]}
        sides = [s.run.rows({**same, "outcome": f"{CHURN}_{side}"}) for side in ("reference", "group")]
        cells = [s.number(str(f["row_id"].iloc[0]), signed=True) if len(f) and row["status"] == "ok" else "–" for f in sides]
        whole = s.number(str(row["row_id"]), what="interval") if row["status"] == "ok" else "–"
        value = s.number(str(row["row_id"]), signed=True)
        out.append([phrases.measure(s, str(row["measure_id"])), phrases.group(s, str(row["group"])), *cells, value, whole])
    heads = ["Measure", "Group", f"{phrases.reference(s)}", "The group", "Difference", "Interval"]
    return pd.DataFrame(out, columns=heads) if out else None


def show(s: Section) -> None:
    """The part of a section on who the members are; nothing where the plan does not ask."""
    if not applies(s):
        return
    said = text(s)
    if said:
        s.text(f"## Who the members are {{#sec:composition}}\n\n{said}")
    table = churn_table(s)
    if table is not None:
        years = f"{max(s.study.baseline.pre_years)} to {max(s.study.years)}"
        s.table(
            table,
            caption=f"Staying with one practice, {years}: contracted minus comparison {s.study.info.unit_label_plural}",
            id="staying",
            footnote=(
                "Percentage points, of the members in the measure's denominator in the last baseline year. Difference:"
                " reference minus group; positive: the group leaves more, beyond comparison. Staying is measured once, so a"
                " lasting difference between arms counts."
            ),
        )
