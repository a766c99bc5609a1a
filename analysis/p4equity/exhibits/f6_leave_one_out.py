"""F6: the pooled effect without each system in turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.base import COLORS, Exhibit, exhibit_style
from p4equity.exhibits.figure_parts import ARM_LOOKS
from p4equity.exhibits.forest import Line, Point, draw_forest, numbers
from p4equity.exhibits.select import OK, leave_out_analysis, one, pooled_analysis, rows_of

if TYPE_CHECKING:
    from p4equity.results import Results

ID, KIND = "F6", "figure"


def build(results: Results) -> Exhibit | None:
    """The primary pooled effect on top, then one line a system left out, participating systems first."""
    study = results.study
    rows = rows_of(results, leave_out_analysis(study), outcome="gap")
    main = one(rows_of(results, pooled_analysis(study), outcome="gap", inference=study.inference.primary[0]))
    if rows.empty or main is None:
        results.skip(ID, "the plan leaves no system out")
        return None
    without = {s.id: rows[rows["sample"] == f"without {s.id}"] for s in study.systems}
    lines = [Line("All systems", [_point(main, "D", COLORS[0])], text.estimate(main))]
    for arm in ("participating", "comparison"):
        mine = [s.id for s in study.arm_systems(arm) if len(without[s.id])]
        lines += [Line(f"Without one {arm} {study.info.unit_label}", heading=True)] if mine else []
        for system in sorted(mine, key=results.label):
            row = without[system].iloc[0].to_dict()
            color, marker = ARM_LOOKS["contracted" if arm == "participating" else arm]
            points = [_point(row, marker, color)]
            lines.append(Line(results.label(system), points if row["status"] == OK else (), text.estimate(row)))
    xlabel = "Pooled effect on the gap, points"
    with exhibit_style():
        figure = draw_forest(lines, xlabel, "Estimate (interval)")
    names = {f"without {s.id}": results.label(s.id) for s in study.systems}
    both = pd.concat([pd.DataFrame([main]), rows])
    data = both.assign(without=both["sample"].map(names))[
        ["row_id", "without", "estimate", "conf_low", "conf_high", "p_value", "status", "reason"]
    ]
    note = (
        "Each line repeats the primary pooled analysis without one system. "
        f"{text.base_note(both, results)}{text.missing_note(rows)}{text.synthetic_note(results)}"
    )
    ids = tuple(both["row_id"])
    return Exhibit(
        ID,
        "figure",
        "Pooled effect on the equity gap without each system in turn",
        _alt(main, rows, names, study.info.unit_label),
        note,
        ids,
        data,
        figure,
    )


def _point(row: Mapping[str, object], marker: str, color: str) -> Point:
    return Point(*numbers(row), color=color, marker=marker, size=5.5)


def _alt(main: Mapping[str, object], rows: pd.DataFrame, names: dict[str, str], unit: str) -> str:
    ok = rows[rows["status"] == OK]
    if ok.empty:
        return "No estimate without a system could be made."
    clear = int(((ok["conf_low"] > 0) | (ok["conf_high"] < 0)).sum())
    low, high = (text.number(ok["estimate"].agg(end)) for end in ("min", "max"))
    moved = (ok["estimate"].astype(float) - float(str(main["estimate"]))).abs()
    most = ok.loc[moved.idxmax()]
    return (
        f"The pooled effect does not hang on one {unit}: {clear} of {len(ok)} intervals exclude zero" if clear == len(ok)
        else f"Without one {unit}, {clear} of {len(ok)} intervals exclude zero"
    ) + (
        f". With all, {text.estimate(main)} points; left out one at a time, estimates run from {low} to {high}."
        f" {names[most['sample']]} moves it most: {text.estimate(dict(most))} without it."
    )  # fmt: skip
