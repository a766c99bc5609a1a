"""F4: the leveling plane: effect on the reference group against effect on the compared group, with joint confidence regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.disparity.leveling import CANNOT_TELL
from p4equity.evaluation.leveling import PROBABILITIES
from p4equity.exhibits import text
from p4equity.exhibits.base import Exhibit, exhibit_style
from p4equity.exhibits.figure_facts import CONDITION, claimed, qualified
from p4equity.exhibits.figure_plane import draw_plane
from p4equity.exhibits.leveling_answers import Leveled, Verdict, judged, leveled, leveling_analysis, row_bounds
from p4equity.exhibits.select import OK, group_analysis, measure_analysis, pooled_analysis

if TYPE_CHECKING:
    from p4equity.results import Results

ID, KIND = "F4", "figure"
POOLED = "pooled"
SIDES = ("reference", "group", "gap")
WAYS = dict(zip(("down", "mixed", "up", "no_gain"), PROBABILITIES, strict=True))


def build(results: Results) -> Exhibit | None:
    """The answer over all measures large, then a panel a contracted measure: groups pooled and each group."""
    study = results.study
    if leveling_analysis(study) is None or study.leveling is None:
        results.skip(ID, "the plan does not ask whose rates moved when a gap moved")
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
    """One row a question: all measures pooled, then a measure with groups pooled and each group; effects, bounds, verdict."""
    study = results.study
    asked = [(POOLED, POOLED)]
    for measure in study.measure_ids("contracted"):
        asked += [(measure, POOLED), *((measure, group) for group in study.groups.compared)]
    found = [(question, leveled(results.estimates, study, *question)) for question in asked]
    return pd.DataFrame([_point(results, *question, answer) for question, answer in found if answer is not None])


def _point(results: Results, measure: str, group: str, found: Leveled) -> dict[str, Any]:
    study = results.study
    assert study.leveling is not None
    ids = tuple(str(r["row_id"]) for r in found.rows.values())
    row: dict[str, Any] = {"measure_id": measure, "group": group, "row_ids": ids}
    bad = next((r for r in found.sides if r["status"] != OK), None)
    if bad is not None:
        return {**row, "status": bad["status"], "reason": bad["reason"]}
    for name, side in zip(SIDES, found.sides, strict=True):
        limits = row_bounds(side)
        row |= {f"effect_{name}": limits.estimate, f"low_{name}": limits.low, f"high_{name}": limits.high}
        row |= {f"error_{name}": side["std_error"]}
    asked = pooled_analysis(study) if measure == POOLED else measure_analysis(study) if group == POOLED else group_analysis(study)
    named, firm = judged(found, study.leveling.margin), claimed(results, asked, measure, group)
    share = found.rows["share_from_reference"]
    chances = {name: found.rows[outcome] for name, outcome in WAYS.items()}
    return {
        **row, "df": found.sides[2]["df"], "conf_level": found.sides[2]["conf_level"],
        "percent_from_reference": share["estimate"], "percent_low": share["conf_low"], "percent_high": share["conf_high"],
        **{f"probability_{name}": r["estimate"] for name, r in chances.items()},
        **{f"before_{name}": r["statistic"] for name, r in chances.items()},
        "baseline_gap": found.behind, "claimed": firm, "verdict": _said(named, firm), "status": OK, "reason": None,
    }  # fmt: skip


def _said(named: Verdict, firm: bool) -> str:
    return named.words if named.kind == CANNOT_TELL else qualified(named.kind, firm)


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
    firm = int((~single["verdict"].astype(str).str.startswith(CANNOT_TELL)).sum()) if len(single) else 0
    tail = f"{firm} of {len(single)} single groups have a verdict of their own" if len(single) else "No single group is shown"
    return f"{'; '.join(parts)}. {tail}."


def _note(results: Results, points: pd.DataFrame) -> str:
    study = results.study
    assert study.leveling is not None
    ids = {i for row in points["row_ids"] for i in row}
    rows = results.estimates[results.estimates["row_id"].isin(ids)]
    bounded = rows[rows["interval"] == "simultaneous"]
    margin, spread = text.number(study.leveling.margin), text.number(study.leveling.prior_sd)
    members = f"{text.group_name(results, str(study.groups.reference))} members"
    none = points["baseline_gap"].eq(False).any() if "baseline_gap" in points else False
    gray = " Gray, open, without a region: no baseline gap shown, so nothing that could narrow." if none else ""
    return (
        "Ellipses: joint confidence regions of both effects (cut at the panel's edge). A verdict needs the simultaneous bounds"
        f" of both effects and of the gap, not the place of the point. Leveling up: the gap narrows, the groups gain {margin}"
        f" points or more, {members} do not fall by more."
        f" Leveling down: it narrows, {members} fall, the groups gain less than {margin}."
        f" Mixed: {members} fall by more than {margin}, the groups gain that or more."
        " In brackets: what remains open once a narrowing is shown. Probabilities:"
        f" after the data, if both effects were normal around zero (SD {spread} points) before. “{_cap(CONDITION)}”: the change"
        f" of the gap is no claim after adjustment for other questions.{gray} "
        f"{text.base_note(bounded, results)}{text.missing_note(points)}{text.synthetic_note(results)}"
    )


def _cap(words: str) -> str:
    return words[:1].upper() + words[1:]
