"""F1: from enrolled members to the analysis, by arm and group, in the last baseline year; counts reconcile step by step."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.base import Exhibit, exhibit_style, new_figure

if TYPE_CHECKING:
    from p4equity.results import Results

ID, KIND = "F1", "figure"
COLUMNS = ("step", "label", "arm", "group", "year", "n", "dropped", "status", "reason")
ALL = "all"
ARMS = ("participating", "comparison")
EDGE, FACE = "#52606d", "#f7f8fa"
GAP, LINE = 0.30, 0.155  # inches between boxes, and of a line of text


def build(results: Results) -> Exhibit | None:
    """Boxes for all members until they belong to a system, then one column an arm; what is lost stands beside each step."""
    flow = results.table("flow_chart")
    if flow.empty:
        results.skip(ID, "the study has no member-level flow")
        return None
    year = max(results.study.baseline.pre_years)
    flow = flow[flow["year"] == year]
    split = int(flow.loc[flow["arm"].isin(ARMS), "step"].min())
    last = int(flow["step"].max())
    common = flow[(flow["arm"] == ALL) & (flow["group"] == ALL) & (flow["step"] <= split)].sort_values("step")
    arms = flow[flow["arm"].isin(ARMS) & (flow["group"] == ALL)].sort_values(["arm", "step"], ascending=[False, True])
    groups = flow[flow["arm"].isin(ARMS) & (flow["group"] != ALL) & (flow["step"] == last)]
    groups = groups[groups["group"].isin(results.study.group_ids)]
    with exhibit_style():
        figure = _draw(results, common[common["step"] < split], common[common["step"] == split], arms, groups)
    data = pd.concat([common, arms, groups], ignore_index=True)[list(COLUMNS)]
    title = f"Flow chart: members in {year}, the last baseline year, by arm and group"
    return Exhibit(ID, "figure", title, _alt(results, common, arms), _note(results, data), (), data, figure)


def _count(row: Any, name: str = "n") -> str:
    return "suppressed" if row["status"] != "ok" or text.is_missing(row[name]) else text.number(row[name], 0)


def _draw(results: Results, common: pd.DataFrame, into: pd.DataFrame, arms: pd.DataFrame, groups: pd.DataFrame) -> Any:
    """Coordinates are inches from the top left corner, so that boxes and words keep their proportions."""
    columns = [_arm_boxes(results, arm, arms[arms["arm"] == arm], groups[groups["arm"] == arm]) for arm in ARMS]
    trunk = [_Box(f"{row['label']}\nn = {_count(row)}", _count(row, "dropped")) for row in common.to_dict("records")]
    stems = [_height(trunk) + GAP, max(_height(column) for column in columns)]
    figure = new_figure(sum(stems) + 0.1)
    figure.set_layout_engine("none")
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set_xlim(0, 6.5)
    ax.set_ylim(-sum(stems) - 0.05, 0.05)
    ax.set_axis_off()
    y = _stack(ax, 3.25, 2.6, 0.0, trunk)
    middle = y - 0.55 * GAP
    ax.plot([3.25, 3.25], [y, middle], color=EDGE, lw=0.9, marker="none")
    ax.plot([1.65, 4.85], [middle, middle], color=EDGE, lw=0.9, marker="none")
    _lost(ax, 3.25, y - 0.27 * GAP, _count(into.iloc[0], "dropped"))
    for x, column in zip((1.65, 4.85), columns, strict=True):
        _arrow(ax, (x, middle), (x, y - GAP))
        _stack(ax, x, 2.95, y - GAP, column)
    return figure


@dataclass(frozen=True)
class _Box:
    """The words of a box, and how many members were lost on the way to it."""

    words: str
    lost: str

    @property
    def tall(self) -> float:
        return LINE * (self.words.count("\n") + 1) + 0.14


def _arm_boxes(results: Results, arm: str, rows: pd.DataFrame, groups: pd.DataFrame) -> list[_Box]:
    """One arm, from the step that puts members into systems to the last with its groups."""
    n, unit = len(results.study.arm_systems(arm)), results.study.info.unit_label_plural
    boxes, records = [], rows.to_dict("records")
    for k, row in enumerate(records):
        lines = [fill(str(row["label"]), 38), f"n = {_count(row)}"]
        if k == 0:
            lines.insert(0, f"{arm.capitalize()}, {n} {unit}")
        if k == len(records) - 1:
            lines += _groups(results, groups)
        boxes.append(_Box("\n".join(lines), _count(row, "dropped")))
    return boxes


def _groups(results: Results, groups: pd.DataFrame) -> list[str]:
    found = {str(r["group"]): _count(r) for r in groups.to_dict("records")}
    said = [f"{text.group_name(results, g)} {found[g]}" for g in results.study.group_ids if g in found]
    return ["     ".join(said[i : i + 2]) for i in range(0, len(said), 2)]


def _height(boxes: list[_Box]) -> float:
    return sum(box.tall for box in boxes) + GAP * (len(boxes) - 1)


def _stack(ax: Any, x: float, width: float, top: float, boxes: list[_Box]) -> float:
    """Boxes one below the other with arrows and losses between them; returns the lower edge."""
    from matplotlib.patches import FancyBboxPatch

    y = top
    for k, box in enumerate(boxes):
        if k:
            _arrow(ax, (x, y), (x, y - GAP))
            _lost(ax, x, y - 0.5 * GAP, box.lost)
            y -= GAP
        corner = (x - width / 2, y - box.tall)
        ax.add_patch(FancyBboxPatch(corner, width, box.tall, boxstyle="round,pad=0,rounding_size=0.05", fc=FACE, ec=EDGE, lw=0.8))
        ax.text(x, y - box.tall / 2, box.words, ha="center", va="center", fontsize=8, linespacing=1.3)
        y -= box.tall
    return y


def _lost(ax: Any, x: float, y: float, count: str) -> None:
    said = "lost: suppressed" if count == "suppressed" else f"− {count}"
    ax.text(x + 0.1, y, said, ha="left", va="center", fontsize=7.5, color="#8a3b00")


def _arrow(ax: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", "color": EDGE, "lw": 0.9, "shrinkA": 0, "shrinkB": 0})


def _alt(results: Results, common: pd.DataFrame, arms: pd.DataFrame) -> str:
    first, parts = common.iloc[0], []
    for arm in ARMS:
        rows = arms[arms["arm"] == arm].sort_values("step")
        if len(rows):
            last = rows.iloc[-1]
            unit = results.study.info.unit_label_plural
            parts.append(f"{_count(rows.iloc[0])} belong to {arm} {unit} and {_count(last)} of them enter the analysis")
    return f"Of {_count(first)} enrolled members, {'; '.join(parts)}."


def _note(results: Results, data: pd.DataFrame) -> str:
    study = results.study
    rule = f" Suppressed: a count of 1 to {study.disclosure.threshold - 1}, or one from which such a count follows."
    hidden = rule if (data["status"] != "ok").any() else ""
    mapped = f"{study.info.unit_label_plural.capitalize()} as mapped at {study.population.map_date or 'each year'}."
    return (
        "Beside each arrow the members who do not pass the next step. Other years are in the table of results. "
        f"{mapped}{hidden}{text.synthetic_note(results)}"
    )
