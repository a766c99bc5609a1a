"""Drawing the first page's figure of gaps: before and after by arm, effect on the gap, effect on each side of it."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from p4equity.exhibits import text
from p4equity.exhibits.base import new_figure
from p4equity.exhibits.figure_parts import ARM_LOOKS, INK, MUTED, PALE, PAPER, SMALL, directions, interval_mark, key, zero_line
from p4equity.exhibits.select import OK

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.results import Results

ROW = 0.25  # inches a measure
SHIFT = 0.19  # of the two marks of a measure from its line
GROUPS_MARKER = "X"  # as for groups pooled in the leveling plane


def draw_glance(results: Results, points: pd.DataFrame) -> Any:
    """Three panels with a line a measure: raw gaps, effect on the gap, effects on the reference and on the groups."""
    labels = list(dict.fromkeys(points["label"]))
    places = {label: len(labels) - i for i, label in enumerate(labels)}
    figure = new_figure(0.93 + ROW * len(labels))
    raw, effect, moved = figure.subplots(1, 3, sharey=True, width_ratios=(1.25, 1.0, 1.0))
    reach = 1.5 * float(np.nanmax(np.abs(points["estimate"].to_numpy(float))))
    gaps = points[points["side"] == "gap"]
    _raw_panel(raw, gaps, places)
    for row in gaps.to_dict("records"):
        hollow = not row["beyond_chance"]
        _effect(effect, row, places[row["label"]], reach, color=INK, marker="D", size=5.5, hollow=hollow)
    style = results.study.group(str(results.study.groups.reference))
    for row in points[points["side"] != "gap"].to_dict("records"):
        first = row["side"] == "reference"
        look = {"color": style.color, "marker": style.marker} if first else {"color": INK, "marker": GROUPS_MARKER}
        _effect(moved, row, places[row["label"]] + (SHIFT if first else -SHIFT), reach, size=5.5 if first else 6.8, **look)
    _finish(results, (raw, effect, moved), places, reach)
    return figure


def _finish(results: Results, axes: tuple[Any, Any, Any], places: dict[str, int], reach: float) -> None:
    raw, effect, moved = axes
    reference = text.group_name(results, str(results.study.groups.reference))
    raw.set_title("Gap, before and after", fontsize=8.5, pad=14)
    effect.set_title(f"Effect of the {results.study.info.treatment_label}s", fontsize=8.5, pad=14)
    moved.set_title("Who moved", fontsize=8.5, pad=14)
    directions(effect, "gap narrows", "widens")
    directions(moved, "falls", "rises")
    style = results.study.group(str(results.study.groups.reference))
    keys = (
        [key(*look, arm, line=True) for arm, look in ARM_LOOKS.items()],
        [key(INK, "D", "beyond chance"), key(INK, "D", "cannot tell", hollow=True)],
        [key(style.color, style.marker, reference), key(INK, GROUPS_MARKER, "groups behind")],
    )
    names = ("Points (open: before, filled: after)", "Effect on the gap, points", "Effect on the rate, points")
    for ax, handles, name in zip(axes, keys, names, strict=True):
        zero_line(ax)
        ax.axhspan(len(places) - 0.5, len(places) + 0.5, color="#eef2f6", lw=0, zorder=0)
        ax.grid(axis="y", visible=False)
        ax.grid(axis="x", visible=True)
        ax.tick_params(axis="y", length=0)
        ax.tick_params(axis="x", labelsize=SMALL)
        ax.set_xlabel(name, fontsize=SMALL + 0.3, labelpad=2)
        ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.27), ncols=2, fontsize=SMALL,
                  handletextpad=0.3, columnspacing=1.0, borderaxespad=0.0)  # fmt: skip
    for ax in (effect, moved):
        ax.set_xlim(-reach, reach)
        ax.spines["left"].set_visible(False)
    raw.spines["left"].set_visible(False)
    raw.set_ylim(0.45, len(places) + 0.55)
    raw.set_yticks(list(places.values()), [fill(label, 15) for label in places], fontsize=8)
    raw.get_yticklabels()[0].set_fontweight("bold")


def _raw_panel(ax: Any, gaps: pd.DataFrame, places: dict[str, int]) -> None:
    """A line from the open mark (before) to the filled one (after), an arm above the other, the numbers at the right."""
    columns = [f"{when}_{arm}" for arm in ARM_LOOKS for when in ("before", "after")]
    known = [c for c in columns if c in gaps]
    values = gaps[known].to_numpy(float)[~gaps[known].isna().all(axis=1)] if known else np.zeros((0, 0))
    top = float(values.max()) if values.size else 1.0
    low = min(0.0, float(values.min())) if values.size else 0.0
    ax.set_xlim(low - 0.08 * (top - low), top + 0.62 * (top - low))
    ax.set_xticks([t for t in ax.get_xticks() if low - 1 <= t <= top + 1])
    for row in gaps.to_dict("records"):
        for (arm, (color, marker)), shift in zip(ARM_LOOKS.items(), (SHIFT, -SHIFT), strict=True):
            before, after = row.get(f"before_{arm}"), row.get(f"after_{arm}")
            y = places[row["label"]] + shift
            if text.is_missing(before) or text.is_missing(after):
                continue
            ax.plot([before, after], [y, y], color=color, lw=1.3, marker="none", zorder=2)
            ax.plot(before, y, marker=marker, ms=4.2, mfc=PAPER, mec=color, ls="none", zorder=3)
            ax.plot(after, y, marker=marker, ms=4.2, color=color, ls="none", zorder=4)
            said = f"{text.number(before)} → {text.number(after)}"
            ax.text(0.995, y, said, transform=ax.get_yaxis_transform(), fontsize=SMALL, color=color, ha="right", va="center")
    ax.annotate("no gap", (0, 1.0), xycoords=ax.get_xaxis_transform(), xytext=(0, 2), textcoords="offset points",
                fontsize=SMALL, color=MUTED, ha="center", va="bottom")  # fmt: skip


def _effect(ax: Any, row: dict[str, Any], y: float, reach: float, **look: Any) -> None:
    if row["status"] == OK:
        interval_mark(ax, row, y, reach, **look)
    else:
        said = text.STATUS.get(str(row["status"]), str(row["status"]))
        ax.text(0, y, said, fontsize=SMALL, ha="center", va="center", color=PALE)
