"""Drawing a forest: labelled rows, points with intervals, printed numbers at the right; shared by several exhibits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from p4equity.exhibits.base import COLORS, new_figure
from p4equity.exhibits.figure_parts import directions
from p4equity.exhibits.text import is_missing

ROW = 0.2  # inches a row
WORDS = 0.5  # least width of a side of zero, as a share of the other: what lies there is said over it


@dataclass(frozen=True)
class Point:
    """One estimate on a line: null numbers are not drawn. `size` is the marker's, `hollow` draws it open and its bar thin."""

    estimate: float | None
    low: float | None
    high: float | None
    color: str = COLORS[0]
    marker: str = "o"
    size: float = 5.0
    hollow: bool = False
    shift: float = 0.0


@dataclass(frozen=True)
class Line:
    """One line of the forest: its label, its points, its printed text; a heading has no points."""

    label: str
    points: Sequence[Point] = ()
    printed: str = ""
    heading: bool = False
    muted: bool = False


def numbers(row: Mapping[str, object]) -> tuple[float | None, float | None, float | None]:
    """Estimate and limits of a row of the estimates, None where missing: the start of a `Point`."""
    estimate, low, high = (None if is_missing(row[k]) else float(str(row[k])) for k in ("estimate", "conf_low", "conf_high"))
    return estimate, low, high


def draw_forest(
    lines: Sequence[Line],
    xlabel: str,
    header: str,
    *,
    reach: float | None = None,
    legend: Sequence[Any] = (),
    ways: tuple[str, str] = ("gap narrows", "gap widens"),
) -> Any:
    """A figure 6.5 in wide with one line below the other; intervals beyond `reach` end in an arrow at the edge.

    `ways` say over the panel what lies left and right of zero.
    """
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(0.72 + 0.12 * header.count("\n") + (0.25 if legend else 0.0) + ROW * len(lines))
    ax, side = figure.subplots(1, 2, width_ratios=(2.9, 1.75), sharey=True)
    low, high = _window(lines, reach)
    for k, line in enumerate(lines):
        for point in line.points:
            _point(ax, point, -k + point.shift, (low, high))
        style = {"fontsize": 7.8, "va": "center", "color": "#52606d" if line.muted else "#1f2933"}
        if line.heading:
            ax.axhline(-k - 0.5, color="#e4e7eb", lw=0.6)
        side.text(0.0, -k, line.printed, transform=side.get_yaxis_transform(), **style)
    ax.axvline(0, color="#52606d", lw=0.8, zorder=1)
    ax.set_xlim(low, high)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
    ax.set_ylim(-len(lines) + 0.4, 0.6)
    ax.set_yticks([-k for k in range(len(lines))], [line.label for line in lines], fontsize=7.8)
    for tick, line in zip(ax.get_yticklabels(), lines, strict=True):
        tick.set_fontweight("bold" if line.heading else "normal")
    ax.tick_params(axis="y", length=0, pad=8)
    ax.spines["left"].set_visible(False)
    ax.grid(False)
    ax.grid(True, axis="x")
    ax.set_xlabel(xlabel)
    directions(ax, *ways)
    side.set_axis_off()
    side.set_title(header, fontsize=7.8, loc="left")
    if legend:
        figure.legend(handles=list(legend), loc="outside upper left", ncols=len(legend), fontsize=7.6)
    return figure


def _window(lines: Sequence[Line], reach: float | None) -> tuple[float, float]:
    """From the lowest to the highest end, not beyond `reach`; on the emptier side of zero room for its words."""
    ends = [v for line in lines for p in line.points for v in (p.estimate, p.low, p.high) if v is not None and np.isfinite(v)]
    limit = reach or np.inf
    low, high = max(-limit, 1.08 * min([*ends, 0.0])), min(limit, 1.08 * max([*ends, 0.0]))
    return (min(low, -WORDS * high), max(high, -WORDS * low)) if high > low else (-1.0, 1.0)


def _point(ax: Any, point: Point, y: float, window: tuple[float, float]) -> None:
    """An interval cut at the window's edges, with an arrow where it is cut, and its point."""
    if point.estimate is None:
        return
    low, high = (e if v is None else v for v, e in ((point.low, -np.inf), (point.high, np.inf)))
    cut = np.clip([low, high], *window)
    ax.plot(cut, [y, y], color=point.color, lw=0.8 if point.hollow else 1.6, marker="none", zorder=2)
    for out, x, arrow in ((low < window[0], cut[0], "<"), (high > window[1], cut[1], ">")):
        if out:
            ax.plot(x, y, marker=arrow, ms=4, color=point.color, ls="none", clip_on=False, zorder=3)
    face = "white" if point.hollow else point.color
    x = np.clip(point.estimate, *window)
    ax.plot(x, y, marker=point.marker, ms=point.size, mfc=face, mec=point.color, ls="none", zorder=3)
