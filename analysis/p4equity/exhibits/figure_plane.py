"""Drawing the leveling plane: the pooled answer in a large panel with named areas, the measures in small ones."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.leveling import CANNOT_TELL, LEVELING_DOWN, LEVELING_UP, MIXED, Region, regions
from p4equity.exhibits import text
from p4equity.exhibits.base import new_figure
from p4equity.exhibits.figure_parts import INK, MUTED, PALE, PAPER, SMALL, key
from p4equity.inference.two_sides import covariance_of, ellipse

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.results import Results

COLORS = {LEVELING_UP: "#e3f3ea", LEVELING_DOWN: "#f9ddc6", MIXED: "#fbf3dc"}  # also apart in gray
NAMES = "#3e4c59"
POOLED, POOLED_MARKER = "pooled", "X"
SIZES = (7.6, 7.0, 4.0)  # of the marks of groups, in order
NARROW, WIDE = 24, 46  # letters of a line over a small and over the large panel
WIDEST, LEAST = (1.3, 2.5), 0.55  # largest effects that small panels and the large one hold at most; least reach on a side
Window = tuple[float, float, float, float]


def draw_plane(results: Results, shown: pd.DataFrame) -> Any:
    """Left the answer over all measures, right a panel a measure, two in a row; axes of all small panels are the same."""
    everything = shown[shown["measure_id"] == POOLED]
    measures = [m for m in results.study.measure_ids("contracted") if (shown["measure_id"] == m).any()]
    rows = max(1, -(-len(measures) // 2))
    figure = new_figure(0.75 + 2.3 * rows)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(2.9, 3.6))[0]
    small = shown[shown["measure_id"] != POOLED]
    axes = right.subplots(rows, 2, squeeze=False, sharex=True, sharey=True)
    window = _window(small, WIDEST[0])
    for at, row in enumerate(axes):
        here = measures[2 * at : 2 * at + 2]
        own = [small[small["measure_id"] == m] for m in here]
        lines = max((_lines(found, NARROW).count("\n") + 1 for found in own), default=1)
        for ax, measure, found in zip(row, here, own, strict=False):
            _regions(ax, results, window)
            _marks(ax, results, found)
            _title(ax, text.measure_name(results, measure), _lines(found, NARROW), lines)
    for ax in list(axes.flat)[len(measures) :]:
        ax.set_visible(False)
    reference = text.group_name(results, str(results.study.groups.reference))
    right.supxlabel(f"Effect on {reference} members, points", fontsize=7.6)
    if len(everything):
        ax = left.subplots()
        _regions(ax, results, _window(everything, WIDEST[1]))
        _areas(ax, results)
        _marks(ax, results, everything)
        said = _lines(everything, WIDE) + _numbers(everything, reference)
        _title(ax, text.measure_name(results, POOLED), said, said.count("\n") + 1)
        ax.set_xlabel(f"Effect on {reference} members, points", fontsize=7.6)
        ax.set_ylabel("Effect on the compared groups, points", fontsize=7.6)
    else:
        right.supylabel("Effect on the compared groups, points", fontsize=7.6)
    keys = _keys(results, small)
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), fontsize=SMALL, columnspacing=1.2)
    return figure


def _lines(own: pd.DataFrame, width: int) -> str:
    """The verdict on groups pooled and the probabilities, a line or two."""
    found = own[own["group"] == POOLED]
    if not len(found):
        return ""
    row = found.iloc[0]
    said = fill(str(row["verdict"]), width)
    if not text.is_missing(row["probability_down"]):
        parts = ", ".join(f"{way} {_percent(row[f'probability_{way}'])}" for way in ("down", "mixed", "up"))
        said += f"\nprobability: {parts}" if width == WIDE else f"\n{parts.replace('%', '')}%"  # once: a panel holds 25 letters
    return said


def _title(ax: Any, name: str, said: str, lines: int) -> None:
    """The name in bold and what is said under it; panels of one row leave room for as many lines."""
    ax.set_title(name, fontsize=8.2, pad=4 + 9.3 * lines)
    style = {"fontsize": SMALL, "ha": "left", "va": "bottom", "linespacing": 1.25, "in_layout": False}
    ax.text(0.0, 1.012, said + "\n" * (lines - 1 - said.count("\n")), transform=ax.transAxes, **style)


def _percent(value: Any) -> str:
    return "<1%" if float(value) < 1 else ">99%" if float(value) > 99 else f"{text.number(value, 0)}%"


def _numbers(own: pd.DataFrame, reference: str) -> str:
    """The three effects of the pooled answer with their simultaneous bounds, a line each."""
    row = own.iloc[0]
    out = ""
    for name, said in (("gap", "gap"), ("reference", reference), ("group", "groups")):
        keys = {"estimate": row[f"effect_{name}"], "conf_low": row[f"low_{name}"], "conf_high": row[f"high_{name}"]}
        out += f"\n{said} {text.estimate(keys)}"
    return out


def _window(shown: pd.DataFrame, widest: float) -> Window:
    """Left, right, bottom, top of the panels: all points and the regions of groups pooled, unless they are far wider."""
    if shown.empty:
        return -1.0, 1.0, -1.0, 1.0
    points = shown[["effect_reference", "effect_group"]].to_numpy(float)
    pooled = shown[shown["group"] == POOLED]
    parts = [points, np.zeros((1, 2)), *(_edge(row) for row in pooled.to_dict("records") if row["baseline_gap"])]
    cut = widest * float(np.abs(points).max())
    everything = np.clip(np.concatenate(parts), -cut, cut)
    (x0, y0), (x1, y1) = everything.min(axis=0), everything.max(axis=0)
    least = LEAST * max(-x0, x1, -y0, y1)  # all areas can be seen
    ends = np.array([min(x0, -least), max(x1, least), min(y0, -least), max(y1, least)])
    left, right, bottom, top = (float(x) for x in 1.06 * ends)
    return left, right, bottom, top


def _margin(results: Results) -> float:
    assert results.study.leveling is not None
    return float(results.study.leveling.margin)


def _regions(ax: Any, results: Results, window: Window) -> None:
    """Where leveling up, leveling down and mixed lie; above the diagonal the gap narrows; the margin a dotted line."""
    m, (left, right, bottom, top) = _margin(results), window
    far = 2 * max(-left, right, -bottom, top) + m
    for kind, region in regions(m).items():
        ax.fill(*outline(region, far).T, color=COLORS[kind], lw=0, zorder=0)
    ax.plot([-far, far], [-far, far], color=MUTED, lw=0.9, ls=(0, (5, 2)), marker="none", zorder=1)
    ax.axhline(0, color=PALE, lw=0.7, zorder=1)
    ax.axvline(0, color=PALE, lw=0.7, zorder=1)
    ax.axhline(m, color=MUTED, lw=0.7, ls=":", zorder=1)
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    ax.set_aspect("equal")
    ax.grid(False)
    ax.tick_params(labelsize=SMALL)


def outline(region: Region, far: float) -> NDArray[np.float64]:
    """(points, 2) corners of what narrows the gap in a region, above the diagonal; open ends lie at `far`."""
    left, right, bottom, top = (
        float(np.clip(end, -far, far)) for side in (region.reference, region.group) for end in (side.low, side.high)
    )
    right = min(right, top)  # beyond, the diagonal lies above the region
    lowest = max(left, bottom)
    return np.array([(left, lowest), (left, top), (right, top), (right, max(right, bottom)), (min(lowest, right), lowest)])


def _areas(ax: Any, results: Results) -> None:
    """What the areas are called, which side of the diagonal narrows the gap, and the margin."""
    (left, right), (bottom, top), m = ax.get_xlim(), ax.get_ylim(), _margin(results)
    pad = 0.025 * (right - left)
    areas = (
        (right - pad, top - pad, "right", "top", "leveling\nup"), (left + pad, top - pad, "left", "top", "mixed"),
        (left + pad, -pad, "left", "top", "leveling\ndown"), (right - pad, m + 0.35 * (right - m), "right", "center", "outpaced"),
        (right - pad, bottom + pad, "right", "bottom", "group\nloses"),
    )  # fmt: skip
    for x, y, side, edge, said in areas:
        style = {"color": NAMES, "fontweight": "bold", "fontsize": SMALL + 0.4, "linespacing": 1.1, "zorder": 5}
        ax.text(x, y, said, ha=side, va=edge, multialignment=side, **style)
    at, off = 0.6 * max(left, bottom), 0.035 * (right - left)
    turned = {"rotation": 45, "rotation_mode": "anchor", "fontsize": SMALL, "color": INK, "zorder": 5, "ha": "center"}
    ax.text(at - off, at + off, "gap narrows", va="center", **turned)
    ax.text(at + off, at - off, "gap widens", va="center", **turned)
    ax.text(right - pad / 2, m, "margin", fontsize=SMALL, color=MUTED, ha="right", va="bottom", zorder=5)


def _look(results: Results, group: str, behind: bool = True) -> tuple[str, str]:
    if group == POOLED:
        return INK, POOLED_MARKER
    style = results.study.group(group)
    return (style.color if behind else PALE), style.marker


def _marks(ax: Any, results: Results, own: pd.DataFrame) -> None:
    for row in own.to_dict("records"):
        if row["baseline_gap"]:
            _region(ax, results, row)
    for row in own.to_dict("records"):
        _mark(ax, results, row)


def _region(ax: Any, results: Results, row: dict[str, Any]) -> None:
    """The joint confidence region: filled for groups pooled, an outline for one group."""
    color, pooled, edge = _look(results, str(row["group"]))[0], row["group"] == POOLED, _edge(row)
    if pooled:
        ax.fill(edge[:, 0], edge[:, 1], color=color, alpha=0.13, lw=0, zorder=1.8)
    line = {"lw": 1.1, "alpha": 0.9} if pooled else {"lw": 0.7, "alpha": 0.55}
    ax.plot(edge[:, 0], edge[:, 1], color=color, marker="none", zorder=2, **line)


def _edge(row: Mapping[str, Any]) -> NDArray[np.float64]:
    """(points, 2) boundary of the joint confidence region."""
    covariance = covariance_of(float(row["error_reference"]), float(row["error_group"]), float(row["error_gap"]))
    at = np.array([row["effect_reference"], row["effect_group"]], float)
    return ellipse(at, covariance, float(row["df"]), float(row["conf_level"]))


def _mark(ax: Any, results: Results, row: dict[str, Any]) -> None:
    """The point; a single group without a verdict of its own is pale."""
    behind, pooled = bool(row["baseline_gap"]), row["group"] == POOLED
    color, marker = _look(results, str(row["group"]), behind)
    face, edge = (color, PAPER) if behind else (PAPER, color)
    pale = not pooled and behind and str(row["verdict"]).startswith(CANNOT_TELL)
    style = {"ms": _size(results, str(row["group"])), "zorder": 4 if pooled else 3, "alpha": 0.6 if pale else 1.0}
    x, y = float(row["effect_reference"]), float(row["effect_group"])
    ax.plot(x, y, marker=marker, color=color, mfc=face, mec=edge, mew=0.6 if behind else 1.0, ls="none", **style)


def _size(results: Results, group: str) -> float:
    """Later groups are drawn over earlier ones and smaller, so that marks in one place stay visible."""
    return 8.0 if group == POOLED else SIZES[min(list(results.study.groups.compared).index(group), len(SIZES) - 1)]


def _keys(results: Results, small: pd.DataFrame) -> list[Any]:
    keys = [key(*_look(results, POOLED), "groups pooled", line=True, size=6.0)]
    keys += [key(*_look(results, g), text.group_name(results, g), size=_size(results, g)) for g in results.study.groups.compared]
    if len(small) and not small["baseline_gap"].all():
        keys.append(key(PALE, "o", "no baseline gap (shape: group)", hollow=True))
    return keys
