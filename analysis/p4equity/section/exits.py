"""A system that leaves: what the way of counting it changes, what its missing years could change, where its members went."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from p4equity.exhibits.select import exit_bounds_analysis
from p4equity.section import phrases
from p4equity.section.answers import Answer, excludes_zero, figures, primary_question
from p4equity.section.confidence import checks

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section

ORDER = {"same": 0, "other": 1, "": 2}
GONE = "not covered"
ABOUT = ("exits", "map", "clusters")  # choices that say how a unit that left is counted


def applies(s: Section) -> bool:
    """Whether a unit of the study leaves and gaps are asked about."""
    return bool(s.study.exits) and bool(s.study.groups.compared)


def heading(s: Section) -> str:
    """The heading over the paragraph."""
    return f"## A {s.study.info.unit_label} that leaves {{#sec:exit}}"


def text(s: Section) -> str:
    """Who left and when, the range over the ways to count it, the bounds, and where its members went."""
    return phrases.paragraphs(_counted(s), _bounded(s), _moved(s))


def _counted(s: Section) -> str:
    """How the primary answer changes with the way a unit that left is counted."""
    a = primary_question(s)
    who = phrases.join(f"{s.label(e.system_id)} ({e.date.year})" for e in s.study.exits)
    verb = "leaves" if len(s.study.exits) == 1 else "leave"
    if a is None or not a.ok:
        return f"**{who} {verb} the study.** The primary question has no number to set other ways of counting beside."
    first = s.study.analysis(a.analysis_id)
    found = [b for b in checks(s, a) if any(getattr(s.study.analysis(b.analysis_id), k) != getattr(first, k) for k in ABOUT)]
    if not found:
        return f"**{who} {verb} the study.** The plan counts it in one way only."
    same = all((b.main["estimate"] < 0) == (a.main["estimate"] < 0) for b in found)
    weak = sum(not excludes_zero(b.main) for b in found)
    head = (
        "the primary answer keeps its sign in every way to count it" if same else "the primary answer hangs on how it is counted"
    )
    low, high = (f(found, key=_estimate) for f in (min, max))
    ends = [s.number(b.main["row_id"], signed=True) for b in (low, high)]
    zero = f"; the interval includes zero in {phrases.count(weak)} of them" if weak else "; no interval includes zero"
    return (
        f"**{who} {verb}, and {head}.** Beside the primary estimate of {figures(s, a.main)}, {phrases.count(len(found))} other"
        f" ways to count units, practices or the years after an exit give {ends[0]} to {ends[1]}{zero} ([@tbl:T19])."
    )


def _estimate(a: Answer) -> float:
    return float(a.main["estimate"])


def _bounded(s: Section) -> str:
    """The bounds of the pooled answer, and the range from which on an interval at one of its ends includes zero."""
    analysis, points = exit_bounds_analysis(s.study), s.study.population.exit_range
    if analysis is None or points is None:
        return ""
    rows = {str(r["sample"]): r for r in _rows(s, analysis.id) if r["status"] == "ok"}
    if not {"lowest", "highest"} <= set(rows):
        return ""
    low, high = rows["lowest"], rows["highest"]
    ends = [s.number(r["row_id"], signed=True) for r in (low, high)]
    turning = rows.get("turning")
    tail = f" From a range of {s.number(turning['row_id'])} points on, the interval at one end includes zero." if turning else ""
    verdict = _verdict(s, low, high)
    return (
        f"**The years after the exit {verdict}, if gaps there lie within {phrases.plain(points)} points of the years before.**"
        f" Over all {s.study.info.treatment_label} years the pooled effect then is between {ends[0]} and {ends[1]} points.{tail}"
    )


def _verdict(s: Section, low: dict[str, Any], high: dict[str, Any]) -> str:
    """Whether the range leaves the primary answer as it is."""
    a = primary_question(s)
    if (low["estimate"] < 0) != (high["estimate"] < 0):
        return "could turn the sign of the answer"
    if a is not None and a.ok and not excludes_zero(a.main):
        return "do not turn the sign of the answer, which is open with and without them"
    return (
        "cannot undo the answer"
        if all(map(excludes_zero, (low, high)))
        else "could undo it: at one end the interval includes zero"
    )


def _rows(s: Section, analysis_id: str) -> list[dict[str, Any]]:
    found = s.run.rows({"analysis_id": analysis_id, "measure_id": phrases.POOLED})
    return [s.run.row({"row_id": str(i)}) for i in found["row_id"]]


def _moved(s: Section) -> str:
    """Where the members were in the last year that is known: a sentence a unit that left."""
    table = movers(s)
    if table is None:
        return ""
    out = []
    for system, own in table.groupby("system_id"):
        last = own[own["years_later"] == own["years_later"].max()]
        if (last["status"] != "ok").any() or not (last["practice"] == "same").any():
            continue
        year, later = int(last["year"].iloc[0]), int(last["years_later"].iloc[0])
        same, other = (_percent(last[last["practice"] == kind]) for kind in ("same", "other"))
        gone, covered = _percent(last[last["place"] == GONE]), last[last["place"] != GONE]
        arms = phrases.join([f"{_percent(part)} {_arm(s, str(place))}" for place, part in covered.groupby("place", sort=False)])
        arms = arms.replace("% ", "% were ", 1)
        out.append(
            f"Of the members of {s.label(str(system))} in {year}, {same} were still with their practice"
            f" {phrases.plural(later, 'year')} later, {other} with another and {gone} not covered. Of all of them"
            f" {arms}{_by_group(s, str(system))}. Under the frozen map practices bought by either arm stay with the"
            f" {s.study.info.unit_label} that left, and enter no arm after its exit."
        )
    return " ".join(out)


def _percent(part: pd.DataFrame) -> str:
    return f"{phrases.plain(part['share'].sum(), 0)}%"


def _by_group(s: Section, system: str) -> str:
    """By how much the groups differ at most in where their members are, in the last year that is known."""
    table = group_movers_shown(s)
    if table is None:
        return ""
    own = table[table["Left"] == s.label(system)]
    rows = [
        [float(row[phrases.group(s, g)]) for g in s.study.group_ids if row[phrases.group(s, g)] != "–"]
        for row in own.to_dict("records")
    ]
    apart = [max(shares) - min(shares) for shares in rows if len(shares) > 1]
    return f"; shares of groups differ by at most {math.ceil(max(apart))} points" if apart else ""


def movers(s: Section) -> pd.DataFrame | None:
    """The released table of members of units that left; None when there is none."""
    if not (s.run_dir / "results" / "movers.csv").is_file():
        return None
    table = s.results("movers")
    return table if len(table) else None


def movers_shown(s: Section) -> pd.DataFrame | None:
    """One row a unit and place, one column a number of years later: percent of the members of its last full year."""
    import pandas as pd

    table = movers(s)
    if table is None:
        return None
    rows, columns = [], sorted(table["years_later"].unique())
    table = table.fillna({"practice": ""}).sort_values("practice", key=lambda c: c.map(ORDER), kind="stable")
    for (system, practice, place), own in table.groupby(["system_id", "practice", "place"], sort=False):
        shares = own.set_index("years_later")["share"]
        name = phrases.capital(f"{practice} practice, {_arm(s, place)}" if practice else str(place))
        cells = [phrases.plain(shares.get(n)) if n in shares.index else "–" for n in columns]
        rows.append([s.label(str(system)), int(own["year"].iloc[0]), name, *cells])
    heads = [phrases.capital(f"{phrases.plural(int(n), 'year')} later") for n in columns]
    return pd.DataFrame(rows, columns=["Left", "Members of", "Where", *heads])


def group_movers_shown(s: Section) -> pd.DataFrame | None:
    """One row a unit and arm, one column a group: percent of the group's members, in the last year that is known."""
    import pandas as pd

    if not (s.run_dir / "results" / "movers_by_group.csv").is_file():
        return None
    table, rows = s.results("movers_by_group"), []
    table = table[table["years_later"] == table.groupby("system_id")["years_later"].transform("max")]
    for (system, place), own in table.groupby(["system_id", "place"], sort=False):
        shares = own[own["status"] == "ok"].set_index("group")["share"]
        name = phrases.capital(str(place) if place == GONE else _arm(s, str(place)))
        cells = [phrases.plain(shares.get(g)) if g in shares.index else "–" for g in s.study.group_ids]
        rows.append([s.label(str(system)), name, *cells])
    heads = [phrases.group(s, g) for g in s.study.group_ids]
    return pd.DataFrame(rows, columns=["Left", "Where", *heads]) if rows else None


def _arm(s: Section, place: str) -> str:
    unit = s.study.info.unit_label
    return f"in no {unit} of the study" if place == "outside" else f"in a {place} {unit}"


def show(s: Section) -> None:
    """The part of a section on units that leave; nothing where none does."""
    if not applies(s):
        return
    s.text(f"{heading(s)}\n\n{text(s)}")
    phrases.show(s, "T19")
    table = movers_shown(s)
    if table is not None:
        s.table(
            table,
            caption=f"Where the members of a {s.study.info.unit_label} that left were afterwards, percent",
            id="movers",
            footnote=(
                "Members with the minimum months in its last full year, all groups. Later: covered in any month and attributed to"
                f" a practice; the arm is that of the practice's {s.study.info.unit_label} on 31 December of that year. Shares of"
                " persons, not of net differences; –: suppressed, or none."
            ),
        )
    table = group_movers_shown(s)
    if table is not None:
        s.table(
            table,
            caption="The same by group, in the last year that is known, percent of the group",
            id="movers_by_group",
            footnote="Same and other practices together. –: suppressed, since a place holds few members of the group, or none.",
        )
