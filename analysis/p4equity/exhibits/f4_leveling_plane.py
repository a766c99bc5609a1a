"""F4: the leveling plane: effect on the reference group against effect on the compared group, and what each place means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.disparity.leveling import CANNOT_TELL, Bounds, share_from_reference, verdict
from p4equity.exhibits import text
from p4equity.exhibits.base import Exhibit, exhibit_style
from p4equity.exhibits.figure_facts import CONDITION, claimed, gap_groups, qualified
from p4equity.exhibits.figure_parts import ends
from p4equity.exhibits.figure_plane import draw_plane
from p4equity.exhibits.select import OK, SIDES, group_analysis, measure_analysis, one, pooled_analysis, rows_of

if TYPE_CHECKING:
    from p4equity.results import Results
    from p4equity.study import Analysis

ID, KIND = "F4", "figure"
POOLED = "pooled"


def build(results: Results) -> Exhibit | None:
    """The pooled answer large, then a panel a contracted measure: groups pooled with both intervals, and each group."""
    study = results.study
    if measure_analysis(study) is None or study.leveling is None:
        results.skip(ID, "the study compares no groups, so there is no gap to decompose")
        return None
    points = plane_points(results)
    shown = points[points["status"] == OK]
    if shown.empty:
        results.skip(ID, "no effect on reference and group could be estimated")
        return None
    with exhibit_style():
        figure = draw_plane(results, shown)
    ids = tuple(i for row in points["row_ids"] for i in row)
    data = points.drop(columns="row_ids").reset_index(drop=True)
    title = "Leveling up or down: effect on the reference group against effect on the compared groups"
    return Exhibit(ID, "figure", title, _alt(results, points), _note(results, points), ids, data, figure)


def plane_points(results: Results) -> pd.DataFrame:
    """One row a question: all measures pooled, then a measure with groups pooled and each group; effects, share, verdict."""
    study = results.study
    asked: list[tuple[Analysis | None, str, str]] = [(pooled_analysis(study), POOLED, POOLED)]
    for measure in study.measure_ids("contracted"):
        asked.append((measure_analysis(study), measure, POOLED))
        asked += [(group_analysis(study), measure, group) for group in study.groups.compared]
    found = [_point(results, *question) for question in asked]
    return pd.DataFrame([row for row in found if row is not None])


def _point(results: Results, analysis: Analysis | None, measure: str, group: str) -> dict[str, Any] | None:
    rows = rows_of(results, analysis, inference=results.study.inference.primary[0])
    found = [one(rows, measure_id=measure, group=group, outcome=side) for side in SIDES]
    sides = [dict(r) for r in found if r is not None]
    if not sides:
        return None
    row: dict[str, Any] = {"measure_id": measure, "group": group, "row_ids": tuple(str(s["row_id"]) for s in sides)}
    bad = next((s for s in sides if s["status"] != OK), sides[0] if len(sides) < len(SIDES) else None)
    if bad is not None:
        return {**row, "status": bad["status"], "reason": bad["reason"]}
    for name, side in zip(("gap", "reference", "group"), sides, strict=True):
        row |= {f"effect_{name}": side["estimate"], f"low_{name}": side["conf_low"], f"high_{name}": side["conf_high"]}
    gap, reference, own = (Bounds(float(str(x["estimate"])), *ends(x)) for x in sides)
    assert results.study.leveling is not None
    behind = group == POOLED or group in gap_groups(results, measure)
    firm = claimed(results, analysis, measure, group)
    named = verdict(gap, reference, own, results.study.leveling.margin) if behind else CANNOT_TELL
    share = share_from_reference(reference.estimate, own.estimate)
    return {
        **row, "share_from_reference": share, "baseline_gap": behind, "claimed": firm, "verdict": qualified(named, firm),
        "status": OK, "reason": None,
    }  # fmt: skip


def _alt(results: Results, points: pd.DataFrame) -> str:
    """The pooled verdict with who moved, then the verdict of each measure; groups only as a count, as in the text."""
    parts = []
    reference = text.group_name(results, str(results.study.groups.reference))
    for row in points[points["group"] == POOLED].to_dict("records"):
        name = text.measure_name(results, str(row["measure_id"]))
        if row["status"] != OK:
            parts.append(f"{name}: {text.STATUS.get(str(row['status']), row['status'])}")
            continue
        moved, groups = (text.number(row[f"effect_{side}"], signed=True) for side in ("reference", "group"))
        parts.append(f"{name}: {row['verdict']} ({reference} {moved}, groups compared {groups} points)")
    single = points[(points["group"] != POOLED) & (points["status"] == OK)]
    firm = int(single["claimed"].sum())
    tail = f"{firm} of {len(single)} single groups carry a claim of their own" if len(single) else "No single group is shown"
    return f"{'; '.join(parts)}. {tail}."


def _note(results: Results, points: pd.DataFrame) -> str:
    study = results.study
    assert study.leveling is not None
    ids = {i for row in points["row_ids"] for i in row}
    rows = results.estimates[results.estimates["row_id"].isin(ids)]
    margin, reference = text.number(study.leveling.margin), text.group_name(results, str(study.groups.reference))
    none = points["baseline_gap"].eq(False).any() if "baseline_gap" in points else False
    grey = f" Gray, open: no baseline gap shown; a fall below zero would widen the group's lead over {reference}." if none else ""
    members = f"{reference} members"
    return (
        "Words in the areas say what point estimates in them mean (green: the gap narrows and the group gains; orange: it "
        "narrows although the group does not); the verdict in a title needs interval bounds. Leveling up: the gap narrows, the "
        f"groups gain (at least {margin} points), {members} are not shown to fall. Leveling down: the gap narrows, {members} "
        f"fall, the groups are not shown to gain. Mixed: the gap narrows, {members} fall and the groups gain. "
        f"“{_cap(CONDITION)}”: the change of the gap is no claim after adjustment.{grey} Bars: intervals of each effect"
        " alone (arrow: beyond the panel); single groups are point estimates, their intervals stand in the main table. "
        f"{text.base_note(rows, results)}{text.missing_note(points)}{text.synthetic_note(results)}"
    )


def _cap(words: str) -> str:
    return words[:1].upper() + words[1:]
