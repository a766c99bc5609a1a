"""F7: the effect on the gap by each way to know race and ethnicity, and how much of it was self-reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.base import COLORS, Exhibit, exhibit_style, new_figure
from p4equity.exhibits.figure_parts import INK, MUTED, PAPER, SMALL, directions, ends, key, zero_line
from p4equity.exhibits.select import OK, measure_analysis, one, pooled_analysis, rows_of, sensitivities

if TYPE_CHECKING:
    from p4equity.results import Results
    from p4equity.study import Analysis, Study

ID, KIND = "F7", "figure"
POOLED = "pooled"
STEP, BAND = 0.15, 0.5  # inches a mark, and the space between two measures, in marks
RANGE = "#dbe4ec"  # of the bar between the two estimates from probabilities
ARMS = {"participating": (INK, "o", "-"), "comparison": ("#6b7785", "s", "--")}


@dataclass(frozen=True)
class Way:
    """One way to know race and ethnicity: the analyses that use it (by measure, pooled) and how it is drawn."""

    name: str
    label: str
    analyses: tuple[Analysis, ...]
    color: str
    marker: str
    hollow: bool = False


def build(results: Results) -> Exhibit | None:
    """Left: a block a measure, a mark a way, a bar between both estimates from probabilities. Right: self-report over years."""
    ways = ways_of(results.study)
    if len(ways) < 2:
        results.skip(ID, "the plan asks no question by another source of race and ethnicity")
        return None
    main = measure_analysis(results.study)
    assert main is not None
    measures = [POOLED, *results.study.measure_ids(main.measures)]
    found = {(m, w.name): row for m in measures for w in ways if (row := _row(results, w, m)) is not None}
    measures = [m for m in measures if any((m, w.name) in found for w in ways)]
    source = results.table("race_source")
    with exhibit_style():
        figure = _draw(results, ways, measures, found, source)
    data = pd.DataFrame([{"way": w, **{c: row[c] for c in COLUMNS}} for (_, w), row in found.items()], columns=["way", *COLUMNS])
    note = _note(results, pd.DataFrame(list(found.values())))
    return Exhibit(
        ID, "figure", "Effect on the equity gap by source of race and ethnicity, and self-reported share by year",
        _alt(results, ways, measures, found), note, tuple(str(r["row_id"]) for r in found.values()), data, figure,
    )  # fmt: skip


COLUMNS = ("row_id", "measure_id", "estimate", "conf_low", "conf_high", "p_value", "n_members", "status", "reason")


def ways_of(study: Study) -> list[Way]:
    """The registered ways: the primary one first, then another version, both estimates from probabilities, self-reports alone,
    imputation."""
    main = measure_analysis(study)
    if main is None or study.race is None:
        return []
    whole = pooled_analysis(study)
    primary = tuple(a for a in (whole, main) if a is not None)
    others = [
        a for a in sensitivities(study)
        if (a.pre_years, a.map, a.exits, a.clusters) == (main.pre_years, main.map, main.exits, main.clusters)
    ]  # fmt: skip
    version = tuple(a for a in others if a.race_version != main.race_version)
    by = {m: tuple(a for a in others if a.race_method == m) for m in ("weighted", "linear", "self_report", "imputed")}
    label = (
        "Recorded class, one version for all years" if study.race.primary == "frozen" else "Recorded class, as in use each year"
    )
    other = "Recorded class, version in use each year" if study.race.primary == "frozen" else "Recorded class, one version"
    ways = [
        Way("primary", label, primary, COLORS[0], "o"),
        Way("other_version", other, version, COLORS[0], "o", hollow=True),
        Way("weighted", "Probabilities as weights", by["weighted"], COLORS[1], "s"),
        Way("linear", "Regression on probabilities", by["linear"], COLORS[1], "D", hollow=True),
        Way("self_report", "Self-reported only", by["self_report"], COLORS[2], "^"),
        Way("imputed", "Imputed several times", by["imputed"], COLORS[3], "P"),
    ]
    return [w for w in ways if w.analyses]


def _row(results: Results, way: Way, measure: str) -> Mapping[str, Any] | None:
    first = results.study.inference.primary[0]
    for analysis in way.analyses:
        method = first if first in analysis.inference else analysis.inference[0]  # imputations are combined from another's errors
        row = one(rows_of(results, analysis, measure_id=measure, outcome="gap", inference=method))
        if row is not None:
            return row
    return None


def _draw(
    results: Results, ways: Sequence[Way], measures: Sequence[str], found: Mapping[tuple[str, str], Mapping[str, Any]],
    source: pd.DataFrame,
) -> Any:  # fmt: skip
    block = len(ways) + BAND
    figure = new_figure(1.15 + STEP * block * len(measures))
    panels: dict[str, Any] = figure.subplot_mosaic(
        [["ways", "shares"], ["ways", "."]], width_ratios=(2.6, 1.0), height_ratios=(1.0, 0.8)
    )
    ax, side = panels["ways"], panels["shares"]
    limits = [v for row in found.values() if row["status"] == OK for v in ends(row) if np.isfinite(v)]
    reach = min(max([abs(v) for v in limits], default=1.0), 3 * float(np.median(np.abs(limits))) if limits else 1.0)
    for i, measure in enumerate(measures):
        at = {w.name: -(i * block + k) for k, w in enumerate(ways)}
        pair = [found.get((measure, n)) for n in ("weighted", "linear")]
        if all(r is not None and r["status"] == OK for r in pair):
            low, high = sorted(float(r["estimate"]) for r in pair if r is not None)
            ax.fill_between([low, high], at["linear"] - 0.5, at["weighted"] + 0.5, color=RANGE, lw=0, zorder=0)
        for way in ways:
            row = found.get((measure, way.name))
            if row is not None and row["status"] == OK:
                _mark(ax, row, at[way.name], reach, way)
        if not any(found[measure, w.name]["status"] == OK for w in ways if (measure, w.name) in found):
            ax.text(0.3 * reach, -(i * block + (len(ways) - 1) / 2), "not estimable", fontsize=SMALL, color=MUTED, va="center")
        if i:
            ax.axhline(-(i * block) + 0.5 + BAND / 2, color="#e4e7eb", lw=0.6)
    names = ["Pooled" if m == POOLED else text.measure_name(results, m) for m in measures]
    ax.set_yticks([-(i * block + (len(ways) - 1) / 2) for i in range(len(measures))], names, fontsize=7.8)
    ax.set_ylim(-(len(measures) * block - BAND - 0.5), 0.6)
    ax.set_xlim(-1.05 * reach, 1.05 * reach)
    ax.tick_params(axis="y", length=0, pad=6)
    ax.spines["left"].set_visible(False)
    ax.grid(False)
    ax.grid(True, axis="x")
    zero_line(ax)
    ax.set_xlabel("Effect on the gap, points")
    directions(ax, "gap narrows", "gap widens")
    _shares(side, source, results)
    handles = [key(w.color, w.marker, w.label, hollow=w.hollow, line=True) for w in ways]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, fontsize=SMALL)
    return figure


def _mark(ax: Any, row: Mapping[str, Any], y: float, reach: float, way: Way) -> None:
    low, high = ends(row)
    cut = np.clip([low, high], -1.05 * reach, 1.05 * reach)
    ax.plot(cut, [y, y], color=way.color, lw=0.9 if way.hollow else 1.3, marker="none", zorder=2)
    for out, x, arrow in ((low < cut[0], cut[0], "<"), (high > cut[1], cut[1], ">")):
        if out:
            ax.plot(x, y, marker=arrow, ms=3.5, color=way.color, ls="none", clip_on=False, zorder=3)
    x = float(np.clip(float(row["estimate"]), -1.05 * reach, 1.05 * reach))
    ax.plot(x, y, marker=way.marker, ms=4.5, mfc=PAPER if way.hollow else way.color, mec=way.color, ls="none", zorder=3)


def _shares(ax: Any, source: pd.DataFrame, results: Results) -> None:
    """Self-reported share of all members by arm; years whose counts are hidden are left open."""
    from matplotlib.ticker import MaxNLocator

    ax.set_title("Self-reported share, %", fontsize=7.8, loc="left")
    if source.empty:
        ax.set_axis_off()
        return
    own = source[(source["group"] == "all") & (source["status"] == OK)]
    for arm, (color, marker, line) in ARMS.items():
        mine = own[own["arm"] == arm].sort_values("year")
        label = f"{arm.capitalize()} {results.study.info.unit_label_plural}"
        years, share = mine["year"].astype(int), mine["self_reported_share"].astype(float)
        ax.plot(years, share, color=color, marker=marker, ls=line, ms=3.5, lw=1.2, label=label)
    ax.set_ylim(0, max(1.25 * float(own["self_reported_share"].astype(float).max()), 10.0) if len(own) else 100)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    ax.tick_params(labelsize=SMALL, colors=MUTED)
    ax.legend(fontsize=SMALL, loc="lower right", frameon=False)


def _alt(
    results: Results, ways: Sequence[Way], measures: Sequence[str], found: Mapping[tuple[str, str], Mapping[str, Any]]
) -> str:
    parts = []
    for measure in measures:
        known = [(w, found[measure, w.name]) for w in ways if (measure, w.name) in found]
        values = [f"{text.number(r['estimate'])} ({w.label[:1].lower()}{w.label[1:]})" for w, r in known if r["status"] == OK]
        if values:
            name = "Pooled" if measure == POOLED else text.measure_name(results, measure)
            parts.append(f"{name}: {', '.join(values)}")
    return f"Effects on the gap in points. {'; '.join(parts)}." if parts else "No effect could be estimated."


def _note(results: Results, rows: pd.DataFrame) -> str:
    return (
        "Lines: intervals. Shaded: from the estimate with probabilities as weights to the regression on probabilities. If "
        "results follow a member's own group and what its probability predicts in the same direction, the true level of a gap "
        "lies between the two; the true change need not. Members without probabilities are in neither; who declined or is "
        f"unknown is in no compared group. {text.base_note(rows, results)}{text.missing_note(rows)}{text.synthetic_note(results)}"
    )
