"""T12: how much of race and ethnicity was self-reported, by arm, group, system and year: whether it drifts, and differently."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.base import Align
from p4equity.exhibits.builder import TableBuilder

if TYPE_CHECKING:
    from p4equity.exhibits.base import Exhibit
    from p4equity.results import Results

ID, KIND = "T12", "table"
ARMS = ("participating", "comparison")
SHARE = "self_reported_share"


def build(results: Results) -> Exhibit | None:
    """A row an arm, its groups and its systems, a column a year: percent self-reported in that year's version."""
    source, systems, study = results.table("race_source"), results.table("race_source_system"), results.study
    if source.empty or study.race is None:
        results.skip(ID, "the study holds no race and ethnicity data of persons")
        return None
    years = sorted(int(y) for y in source["year"].unique())
    right: Align = "r"
    table = TableBuilder(("", *(str(y) for y in years)), ("l", *(right for _ in years)))
    data: list[dict[str, Any]] = []
    for arm in ARMS:
        own = source[source["arm"] == arm]
        table.group(f"{arm.capitalize()} {study.info.unit_label_plural}")
        for group in ("all", *study.group_ids):
            cells = {y: _one(own, group, y) for y in years}
            name = text.group_name(results, group)
            table.row(name if group == "all" else f"\u2003{name}", *(_said(c) for c in cells.values()))
            data.append({"arm": arm, "unit": "all", "group": group, **_data(cells)})
        for system in sorted((s.id for s in study.arm_systems(arm)), key=results.label) if len(systems) else ():
            mine = systems[systems["system_id"] == system]
            for group in ("all", *study.group_ids) if len(mine) else ():
                cells = {y: _one(mine, group, y) for y in years}
                if group == "all":
                    table.row(results.label(system), *(_said(c) for c in cells.values()))
                data.append({"arm": arm, "unit": results.label(system), "group": group, **_data(cells)})
    hidden = " Suppressed: small counts, not zero." if (source["status"] != "ok").any() else ""
    fixed = (
        " The primary analysis uses one back-cast version for all years, which this drift cannot move."
        if study.race is not None and study.race.primary == "frozen"
        else ""
    )
    note = (
        "Percent of members whose recorded category is their own report, each year in the version of the data that was in "
        f"use; the rest is imputed.{fixed} Groups of each {study.info.unit_label}: in the data of this table."
        f"{hidden}{text.synthetic_note(results)}"
    )
    title = "Self-reported share of race and ethnicity, version in use each year, in percent"
    return replace(table.exhibit(ID, title, _alt(source, years), note), data=pd.DataFrame(data))


def _one(own: pd.DataFrame, group: str, year: int) -> dict[str, Any] | None:
    found = own[(own["group"] == group) & (own["year"] == year)]
    return dict(found.iloc[0]) if len(found) else None


def _said(row: dict[str, Any] | None) -> str:
    return text.MISSING if row is None else "suppressed" if row["status"] != "ok" else text.number(row[SHARE], 0)


def _data(cells: dict[int, dict[str, Any] | None]) -> dict[str, Any]:
    return {f"share_{y}": None if c is None or c["status"] != "ok" else c[SHARE] for y, c in cells.items()}


def _alt(source: pd.DataFrame, years: list[int]) -> str:
    ends, moves = [], []
    for arm in ARMS:
        found = [_one(source[source["arm"] == arm], "all", y) for y in (years[0], years[-1])]
        if all(f is not None and f["status"] == "ok" for f in found):
            first, last = (float(f[SHARE]) for f in found if f is not None)
            ends.append(f"{arm} from {text.number(first, 0)}% in {years[0]} to {text.number(last, 0)}% in {years[-1]}")
            moves.append(last - first)
    gap = f"; the rise differs by {text.number(moves[0] - moves[1], 1)} points between arms" if len(moves) == len(ARMS) else ""
    return f"Self-reported share: {'; '.join(ends)}{gap}."
