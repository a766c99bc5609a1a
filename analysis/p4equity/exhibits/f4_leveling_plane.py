"""F4: the leveling plane: effect on the reference group against effect on the compared group, and what each place means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from p4equity.disparity.leveling import CANNOT_TELL, Bounds, share_from_reference, verdict
from p4equity.exhibits import text
from p4equity.exhibits.base import Exhibit, exhibit_style, new_figure
from p4equity.exhibits.select import OK, SIDES, group_analysis, measure_analysis, one, rows_of

if TYPE_CHECKING:
    from p4equity.results import Results

ID, KIND = "F4", "figure"
UP, DOWN, PALE = "#e7f4ee", "#fdf0e6", "#8a939d"
LABELS = (
    (-0.60, 0.91, "mixed"), (0.50, 0.91, "leveling up"), (0.74, 0.22, "outpaced"), (-0.72, -0.12, "leveling down"),
    (0.56, -0.90, "group falls behind"),
)  # fmt: skip
POOLED_COLOR, POOLED_MARKER = "#1f2933", "X"


def build(results: Results) -> Exhibit | None:
    """A panel a contracted measure, a point a group (and all groups pooled), bars the intervals of both effects."""
    study = results.study
    if measure_analysis(study) is None or study.leveling is None:
        results.skip(ID, "the study compares no groups, so there is no gap to decompose")
        return None
    points = plane_points(results)
    shown = points[points["status"] == OK]
    if shown.empty:
        results.skip(ID, "no effect on reference and group could be estimated")
        return None
    measures = [m for m in study.measure_ids("contracted") if (shown["measure_id"] == m).any()]
    with exhibit_style():
        figure = _draw(results, shown, measures)
    ids = tuple(i for row in points["row_ids"] for i in row)
    data = points.drop(columns="row_ids").reset_index(drop=True)
    title = "Leveling plane: effect on the reference group and on each compared group"
    return Exhibit(ID, "figure", title, _alt(results, points), _note(results, points), ids, data, figure)


def plane_points(results: Results) -> pd.DataFrame:
    """One row a measure and group (and groups pooled): effects on gap, reference and group with bounds, share, verdict."""
    study = results.study
    rows = pd.concat(
        [rows_of(results, a, inference="knapp_hartung") for a in (measure_analysis(study), group_analysis(study)) if a]
    )
    out = []
    for measure in study.measure_ids("contracted"):
        for group in ("pooled", *study.groups.compared):
            found = [one(rows, measure_id=measure, group=group, outcome=side) for side in SIDES]
            if any(r is None for r in found):
                first = found[0]
                if first is not None:
                    out.append(
                        {
                            "measure_id": measure,
                            "group": group,
                            "status": first["status"],
                            "reason": first["reason"],
                            "row_ids": (first["row_id"],),
                        }
                    )
                continue
            out.append(_point(results, measure, group, [dict(r) for r in found if r is not None]))
    return pd.DataFrame(out)


def _point(results: Results, measure: str, group: str, sides: list[dict[str, Any]]) -> dict[str, Any]:
    bad = next((s for s in sides if s["status"] != OK), None)
    row: dict[str, Any] = {"measure_id": measure, "group": group, "row_ids": tuple(str(s["row_id"]) for s in sides)}
    if bad is not None:
        return {**row, "status": bad["status"], "reason": bad["reason"]}
    for name, side in zip(("gap", "reference", "group"), sides, strict=True):
        row |= {f"effect_{name}": side["estimate"], f"low_{name}": side["conf_low"], f"high_{name}": side["conf_high"]}
    gap, reference, own = (
        Bounds(float(x["estimate"]), _open(x["conf_low"], -np.inf), _open(x["conf_high"], np.inf)) for x in sides
    )
    assert results.study.leveling is not None
    share = share_from_reference(reference.estimate, own.estimate)
    named = verdict(gap, reference, own, results.study.leveling.margin)
    return {**row, "share_from_reference": share, "verdict": named, "status": OK, "reason": None}


def _open(value: Any, end: float) -> float:
    return end if text.is_missing(value) else float(value)


def _draw(results: Results, shown: pd.DataFrame, measures: list[str]) -> Any:
    height = -(-len(measures) // 2)
    figure = new_figure(0.5 + 3.05 * height)
    axes = figure.subplots(height, 2, squeeze=False)
    reach = _reach(shown)
    for ax, measure in zip(axes.flat, measures, strict=False):
        _regions(ax, reach)
        own = shown[shown["measure_id"] == measure]
        for row in own.to_dict("records"):
            _mark(ax, results, row, reach)
        found = own.loc[own["group"] == "pooled", "verdict"]
        ax.set_title(text.measure_name(results, measure) + (f": {found.iloc[0]}" if len(found) else ""))
    for ax in list(axes.flat)[len(measures) :]:
        ax.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel(f"Effect on {text.group_name(results, str(results.study.groups.reference))} (reference), points")
    for ax in axes[:, 0]:
        ax.set_ylabel("Effect on the compared group, points")
    figure.legend(handles=_legend(results), loc="outside upper center", ncols=5, columnspacing=1.2)
    return figure


def _reach(shown: pd.DataFrame) -> float:
    """Half width of the panels: room around the points; an interval that needs more ends in an arrow."""
    return 1.5 * float(np.nanmax(np.abs(shown[["effect_reference", "effect_group"]].to_numpy(float))))


def _regions(ax: Any, reach: float) -> None:
    """Above the diagonal the gap narrows: green where the group gains, orange where it does not."""
    edge = np.array([-reach, reach])
    ax.fill_between(np.array([-reach, 0, reach]), np.array([0, 0, reach]), reach, color=UP, lw=0, zorder=0)
    ax.fill_between(np.array([-reach, 0]), np.array([-reach, 0]), 0, color=DOWN, lw=0, zorder=0)
    ax.plot(edge, edge, color="#52606d", lw=0.9, ls=(0, (5, 2)), marker="none", zorder=1)
    ax.axhline(0, color=PALE, lw=0.7, zorder=1)
    ax.axvline(0, color=PALE, lw=0.7, zorder=1)
    for x, y, label in LABELS:
        ax.text(x * reach, y * reach, label, fontsize=7, style="italic", color="#3e4c59", ha="center", va="center", zorder=1.5)
    ax.text(
        0.74 * reach,
        0.66 * reach,
        "gap unchanged",
        fontsize=6.3,
        color="#52606d",
        rotation=45,
        ha="center",
        va="center",
        zorder=1.5,
    )
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-reach, reach)
    ax.set_aspect("equal")
    ax.grid(False)


def _style(results: Results, group: str) -> tuple[str, str]:
    if group == "pooled":
        return POOLED_COLOR, POOLED_MARKER
    style = results.study.group(group)
    return style.color, style.marker


def _mark(ax: Any, results: Results, row: dict[str, Any], reach: float) -> None:
    color, marker = _style(results, str(row["group"]))
    x, y = float(row["effect_reference"]), float(row["effect_group"])
    pooled = row["group"] == "pooled"
    width = 1.6 if pooled else 0.9
    for side, low, high in (("reference", "<", ">"), ("group", "v", "^")):
        ends = [_open(row[f"low_{side}"], -np.inf), _open(row[f"high_{side}"], np.inf)]
        cut = np.clip(ends, -reach, reach)
        line = (cut, [y, y]) if side == "reference" else ([x, x], cut)
        ax.plot(*line, color=color, lw=width, marker="none", zorder=2)
        for k, arrow in enumerate((low, high)):
            if abs(ends[k]) > reach:
                ax.plot(line[0][k], line[1][k], marker=arrow, ms=4, color=color, ls="none", clip_on=False, zorder=3)
    ax.plot(x, y, marker=marker, ms=8 if pooled else 5.5, color=color, mec="white", mew=0.6, ls="none", zorder=4 if pooled else 3)


def _legend(results: Results) -> list[Any]:
    from matplotlib.lines import Line2D

    names = [("pooled", "groups pooled"), *((g, text.group_name(results, g)) for g in results.study.groups.compared)]
    return [
        Line2D([], [], color=c, marker=m, ls="-", lw=1.0, ms=5.5, label=label)
        for group, label in names
        for c, m in [_style(results, group)]
    ]


def _alt(results: Results, points: pd.DataFrame) -> str:
    """The verdict of every measure, then how many groups have one."""
    parts = []
    for row in points[points["group"] == "pooled"].to_dict("records"):
        name = text.measure_name(results, str(row["measure_id"]))
        if row["status"] != OK:
            parts.append(f"{name}: {text.STATUS.get(str(row['status']), row['status'])}")
            continue
        reference, groups = (text.number(row[f"effect_{side}"], signed=True) for side in ("reference", "group"))
        parts.append(f"{name}: {row['verdict']} (reference {reference}, groups {groups} points)")
    single = points[(points["group"] != "pooled") & (points["status"] == OK)]
    told = single[single["verdict"] != CANNOT_TELL]
    which = [
        f"{text.measure_name(results, r['measure_id'])}, {text.group_name(results, r['group'])}: {r['verdict']}"
        for r in told.to_dict("records")
    ]
    tail = f"For {len(single) - len(told)} of {len(single)} single groups the data cannot tell"
    return f"Groups pooled: {'; '.join(parts)}. {tail}{'; ' + '; '.join(which) if which else ''}."


def _note(results: Results, points: pd.DataFrame) -> str:
    study = results.study
    assert study.leveling is not None
    reference = text.group_name(results, str(study.groups.reference))
    ids = {i for row in points["row_ids"] for i in row}
    rows = results.estimates[results.estimates["row_id"].isin(ids)]
    margin = text.number(study.leveling.margin)
    return (
        f"Above the diagonal the gap to {reference} narrows, below it widens. Green: it narrows and the group gains; orange: "
        "it "
        "narrows although the group does not gain. A verdict (in titles: groups pooled) needs interval bounds. Leveling up: "
        "the gap "
        f"narrows, the group gains (at least {margin} points) and the reference is not shown to fall. Leveling down: the gap "
        "narrows, "
        "the reference falls and the group is not shown to gain. Where bounds leave it open, the data cannot tell. Bars: "
        "intervals of "
        "each effect alone (an arrow where they leave the panel), not adjusted for the number of points; both effects use "
        "the weights "
        "of the gap. "
        f"{text.base_note(rows, results)}{text.missing_note(points)}{text.synthetic_note(results)}"
    )
