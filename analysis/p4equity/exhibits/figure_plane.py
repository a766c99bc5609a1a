"""Drawing the leveling plane: the pooled answer in a large panel with named areas, the measures in small ones."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from p4equity.exhibits import text
from p4equity.exhibits.base import new_figure
from p4equity.exhibits.figure_parts import INK, MUTED, PALE, PAPER, SMALL, key

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.results import Results

UP, DOWN = "#e3f3ea", "#f9ddc6"  # also apart in gray
POOLED, POOLED_MARKER = "pooled", "X"
SIZES = (7.6, 7.0, 4.0)  # of the marks of groups, in order


def draw_plane(results: Results, shown: pd.DataFrame) -> Any:
    """Left the answer over all measures, right a panel a measure, two in a row; axes of all small panels are the same."""
    everything = shown[shown["measure_id"] == POOLED]
    measures = [m for m in results.study.measure_ids("contracted") if (shown["measure_id"] == m).any()]
    rows = max(1, -(-len(measures) // 2))
    figure = new_figure(0.6 + 1.95 * rows)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(3.0, 3.5))[0]
    small = shown[shown["measure_id"] != POOLED]
    axes = right.subplots(rows, 2, squeeze=False, sharex=True, sharey=True)
    reach = _reach(small, 1.2)
    for ax, measure in zip(axes.flat, measures, strict=False):
        _regions(ax, reach)
        own = small[small["measure_id"] == measure]
        _marks(ax, results, own, reach)
        _title(ax, text.measure_name(results, measure), own, 29)
    for ax in list(axes.flat)[len(measures) :]:
        ax.set_visible(False)
    reference = text.group_name(results, str(results.study.groups.reference))
    right.supxlabel(f"Effect on {reference} members, points", fontsize=7.6)
    if len(everything):
        ax = left.subplots()
        large = _reach(everything, 2.4)
        _regions(ax, large)
        _areas(ax, large, reference)
        _marks(ax, results, everything, large)
        _title(ax, text.measure_name(results, POOLED), everything, 44, _numbers(everything, reference))
        ax.set_xlabel(f"Effect on {reference} members, points", fontsize=7.6)
        ax.set_ylabel("Effect on the compared groups, points", fontsize=7.6)
    else:
        right.supylabel("Effect on the compared groups, points", fontsize=7.6)
    keys = _keys(results, small)
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), fontsize=SMALL, columnspacing=1.2)
    return figure


def _title(ax: Any, name: str, own: pd.DataFrame, width: int, more: str = "") -> None:
    """The name in bold, the verdict on groups pooled under it, and what more there is to say."""
    found = own.loc[own["group"] == POOLED, "verdict"]
    said = (fill(str(found.iloc[0]), width) if len(found) else "") + more
    ax.set_title(name, fontsize=8.2, pad=4 + 9.3 * (said.count("\n") + 1))
    ax.text(0.0, 1.015, said, transform=ax.transAxes, fontsize=SMALL, ha="left", va="bottom", linespacing=1.25)


def _numbers(own: pd.DataFrame, reference: str) -> str:
    """The three effects of the pooled answer, a line each."""
    row = own.iloc[0]
    out = ""
    for name, said in (("gap", "gap"), ("reference", reference), ("group", "groups")):
        keys = {"estimate": row[f"effect_{name}"], "conf_low": row[f"low_{name}"], "conf_high": row[f"high_{name}"]}
        out += f"\n{said} {text.estimate(keys)}"
    return out


def _reach(shown: pd.DataFrame, room: float) -> float:
    """Half width of the panels: room around the points; an interval that needs more ends in an arrow."""
    if shown.empty:
        return 1.0
    return room * float(np.nanmax(np.abs(shown[["effect_reference", "effect_group"]].to_numpy(float))))


def _regions(ax: Any, reach: float) -> None:
    """Above the diagonal the gap narrows: green where the group gains, orange where it does not."""
    edge = np.array([-reach, reach])
    ax.fill_between(np.array([-reach, 0, reach]), np.array([0, 0, reach]), reach, color=UP, lw=0, zorder=0)
    ax.fill_between(np.array([-reach, 0]), np.array([-reach, 0]), 0, color=DOWN, lw=0, zorder=0)
    ax.plot(edge, edge, color=MUTED, lw=0.9, ls=(0, (5, 2)), marker="none", zorder=1)
    ax.axhline(0, color=PALE, lw=0.7, zorder=1)
    ax.axvline(0, color=PALE, lw=0.7, zorder=1)
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-reach, reach)
    ax.set_aspect("equal")
    ax.grid(False)
    ax.tick_params(labelsize=SMALL)


def _areas(ax: Any, reach: float, reference: str) -> None:
    """What point estimates in each area mean, and which side of the diagonal narrows the gap."""
    areas = (
        (-0.97, 0.93, "left", f"group gains,\n{reference} fall"),
        (0.06, 0.93, "left", "both gain,\ngroup more"),
        (0.97, 0.20, "right", f"both gain,\n{reference} more"),
        (-0.97, -0.06, "left", f"both fall,\n{reference} more"),
        (-0.05, -0.80, "right", "both fall,\ngroup more"),
        (0.97, -0.80, "right", f"group falls,\n{reference} gain"),
    )
    for x, y, side, said in areas:
        ax.text(x * reach, y * reach, said, fontsize=SMALL, color="#3e4c59", ha=side, va="top", style="italic", zorder=1.5)
    for x, y, said in ((0.60, 0.68, "gap narrows"), (0.68, 0.60, "gap widens")):
        turned = {"rotation": 45, "rotation_mode": "anchor"}
        ax.text(x * reach, y * reach, said, fontsize=SMALL, color=INK, ha="center", va="center", zorder=1.5, **turned)


def _look(results: Results, group: str, behind: bool = True) -> tuple[str, str]:
    if group == POOLED:
        return INK, POOLED_MARKER
    style = results.study.group(group)
    return (style.color if behind else PALE), style.marker


def _marks(ax: Any, results: Results, own: pd.DataFrame, reach: float) -> None:
    for row in own.to_dict("records"):
        _mark(ax, results, row, reach)


def _mark(ax: Any, results: Results, row: dict[str, Any], reach: float) -> None:
    behind, pooled = bool(row["baseline_gap"]), row["group"] == POOLED
    color, marker = _look(results, str(row["group"]), behind)
    x, y = float(row["effect_reference"]), float(row["effect_group"])
    for side, low, high in (("group", "v", "^"), ("reference", "<", ">")) if pooled else ():
        at = [-np.inf if text.is_missing(row[f"low_{side}"]) else float(row[f"low_{side}"]),
              np.inf if text.is_missing(row[f"high_{side}"]) else float(row[f"high_{side}"])]  # fmt: skip
        cut = np.clip(at, -reach, reach)
        line = (cut, [y, y]) if side == "reference" else ([x, x], cut)
        ax.plot(*line, color=color, lw=1.6, marker="none", zorder=2)
        for k, arrow in enumerate((low, high)):
            if abs(at[k]) > reach:
                ax.plot(line[0][k], line[1][k], marker=arrow, ms=3.5, color=color, ls="none", clip_on=False, zorder=3)
    face, edge = (color, PAPER) if behind else (PAPER, color)
    style = {"ms": _size(results, str(row["group"])), "zorder": 3 if pooled else 4}
    ax.plot(x, y, marker=marker, color=color, mfc=face, mec=edge, mew=0.6 if behind else 1.0, ls="none", **style)


def _size(results: Results, group: str) -> float:
    """Later groups are drawn over earlier ones and smaller, so that marks in one place stay visible."""
    return 9.0 if group == POOLED else SIZES[min(list(results.study.groups.compared).index(group), len(SIZES) - 1)]


def _keys(results: Results, small: pd.DataFrame) -> list[Any]:
    keys = [key(*_look(results, POOLED), "groups pooled, with intervals", line=True, size=6.0)]
    keys += [key(*_look(results, g), text.group_name(results, g), size=_size(results, g)) for g in results.study.groups.compared]
    if len(small) and not small["baseline_gap"].all():
        keys.append(key(PALE, "o", "no baseline gap (shape: group)", hollow=True))
    return keys
