"""Small parts of several figures: an interval with its point, cut at the panel's edge, and worded directions over a panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from p4equity.exhibits.text import is_missing

INK, MUTED, PALE, PAPER = "#1f2933", "#52606d", "#8a939d", "#ffffff"
ARM_LOOKS = {"contracted": (INK, "o"), "comparison": ("#6b7785", "s")}
SMALL = 7.2  # smallest size of words at the printed width, points


def ends(row: Mapping[str, Any]) -> tuple[float, float]:
    """Limits of a row's interval; an open end is infinite."""
    low, high = row["conf_low"], row["conf_high"]
    return -np.inf if is_missing(low) else float(low), np.inf if is_missing(high) else float(high)


def interval_mark(
    ax: Any, row: Mapping[str, Any], y: float, reach: float, *, color: str, marker: str, size: float = 5.5, hollow: bool = False
) -> None:
    """A horizontal interval with its point; an end beyond the panel is an arrow at its edge."""
    low, high = ends(row)
    cut = np.clip([low, high], -reach, reach)
    ax.plot(cut, [y, y], color=color, lw=1.3, marker="none", zorder=2)
    for end, x, arrow in ((low, cut[0], "<"), (high, cut[1], ">")):
        if abs(end) > reach:
            ax.plot(x, y, marker=arrow, ms=4, color=color, ls="none", clip_on=False, zorder=3)
    face, edge = (PAPER, color) if hollow else (color, PAPER)
    width = 1.1 if hollow else 0.5
    ax.plot(float(row["estimate"]), y, marker=marker, ms=size, mfc=face, mec=edge, mew=width, ls="none", zorder=3)


def directions(ax: Any, left: str, right: str, *, at: float = 0.0, size: float = SMALL) -> None:
    """Worded arrows over a panel on both sides of the value `at`, inside its upper edge."""
    place = ax.get_xaxis_transform()
    style = {"xycoords": place, "textcoords": "offset points", "fontsize": size, "color": MUTED, "va": "bottom"}
    ax.annotate(f"← {left}", (at, 1.0), xytext=(-3, 2), ha="right", **style)
    ax.annotate(f"{right} →", (at, 1.0), xytext=(3, 2), ha="left", **style)


def zero_line(ax: Any) -> None:
    """The line of no effect."""
    ax.axvline(0, color=MUTED, lw=0.8, zorder=1)


def key(color: str, marker: str, label: str, *, hollow: bool = False, line: bool = False, size: float = 5.0) -> Any:
    """A legend handle of one mark."""
    from matplotlib.lines import Line2D

    face = PAPER if hollow else color
    return Line2D(
        [], [], color=color, marker=marker, ms=size, mfc=face, mec=color, ls="-" if line else "none", lw=1.1, label=label
    )
