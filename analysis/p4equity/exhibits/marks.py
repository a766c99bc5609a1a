"""What every time axis carries: contract starts, years set apart, dated events, and breaks of a series."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from p4equity.results import Results

CONTRACT, APART, BREAK = "#1f2933", "#eef0f3", "#8a939d"
EVENT_SCOPES = ("policy", "market")
MANY_COHORTS = 2  # more starts than this are shown as a span, not as lines


def year_position(day: dt.date) -> float:
    """Where a day stands on an axis on which the number of a year is its middle."""
    return day.year - 0.5 + (day.timetuple().tm_yday - 1) / 365.25


def runs(years: Sequence[int], breaks: Sequence[int]) -> list[list[int]]:
    """Years in unbroken pieces: a new piece starts at each break and after each missing year."""
    pieces: list[list[int]] = []
    for year in sorted(years):
        if pieces and year == pieces[-1][-1] + 1 and year not in breaks:
            pieces[-1].append(year)
        else:
            pieces.append([year])
    return pieces


def starts(results: Results, measure: str | None) -> list[int]:
    """First contract years on a measure, or on one computed from the same events; on any measure when none is contracted."""
    matrix, measures = results.study.contract_matrix(), results.study.measures
    same = [m for m in measures if measure in measures and measure and measures[m].events == measures[measure].events]
    own = matrix[matrix["measure_id"].isin([measure] if (matrix["measure_id"] == measure).any() else same)]
    return sorted({int(c) for c in (own if len(own) else matrix)["cohort"]})


def breaks_of(results: Results, measure: str) -> list[int]:
    """Years in which a measure's specification changed, inside the study's years."""
    years = results.study.years
    return [b.year for b in results.study.measure(measure).breaks if min(years) < b.year <= max(years)]


def draw_marks(ax: Any, results: Results, measure: str | None, *, events: bool = True, leavers: bool = True) -> None:
    """Shade the years set apart, draw contract starts, breaks and exits, tick the events along the top."""
    study = results.study
    for year in study.baseline.apart:
        ax.axvspan(year - 0.5, year + 0.5, color=APART, lw=0, zorder=0)
    begun = starts(results, measure)
    if len(begun) > MANY_COHORTS:
        ax.axvspan(begun[0] - 0.5, begun[-1] - 0.5, facecolor="none", edgecolor=BREAK, hatch="////", lw=0, alpha=0.35, zorder=0)
        begun = begun[:1]
    for year in begun:
        ax.axvline(year - 0.5, color=CONTRACT, lw=0.9, ls=(0, (4, 2)), zorder=1)
    for year in breaks_of(results, measure) if measure in study.measures and measure else []:
        ax.axvline(year - 0.5, color=BREAK, lw=0.8, ls=(0, (1, 1.5)), zorder=1)
    if events:
        for _, x in shown_events(results):
            ax.plot([x, x], [0.955, 1.0], transform=ax.get_xaxis_transform(), color=BREAK, lw=0.9, marker="none", zorder=1)
    for x in exits(results, measure) if leavers else ():
        ax.plot(x, 0.0, marker="v", ms=5, color=CONTRACT, transform=ax.get_xaxis_transform(), clip_on=False, ls="none", zorder=3)


def exits(results: Results, measure: str | None) -> list[float]:
    """Where systems contracted on a measure leave the study."""
    matrix = results.study.contract_matrix()
    mine = set(matrix.loc[matrix["measure_id"] == measure, "system_id"])
    return [year_position(e.date) for e in results.study.exits if e.system_id in mine]


def shown_events(results: Results) -> list[tuple[str, float]]:
    """Label and position of the dated events inside the study's years, in order of date."""
    low, high = min(results.study.years) - 0.5, max(results.study.years) + 0.5
    found = results.study.events
    found = found[found["scope"].isin(EVENT_SCOPES)]
    dated = [(f"{r['label']} ({r['date']:%b %Y})", year_position(r["date"].date())) for r in found.to_dict("records")]
    return [(label, x) for label, x in dated if low < x < high]


def marks_note(results: Results, measures: Sequence[str], *, events: bool = True) -> str:
    """The marks in words."""
    study = results.study
    begun = sorted({year for m in measures for year in starts(results, m)})
    noun = study.info.treatment_label
    if len(begun) > MANY_COHORTS:
        parts = [f"Dashed line: first {noun} ({begun[0]}); hatched: {noun}s start until {begun[-1]}"]
    else:
        parts = [f"Dashed line: {noun}s start ({' and '.join(str(y) for y in begun)})"]
    if study.baseline.apart:
        parts.append(f"grey: {', '.join(str(y) for y in study.baseline.apart)}, outside every baseline")
    broken = [
        f"{study.measure(m).short_title} {b.year} ({b.note})"
        for m in measures
        for b in study.measure(m).breaks
        if b.year in breaks_of(results, m)
    ]
    if broken:
        parts.append("dotted line and broken series: change of specification, " + "; ".join(broken))
    if any(exits(results, m) for m in measures):
        gone = ", ".join(f"{results.label(e.system_id)} {e.date:%b %Y}" for e in study.exits)
        parts.append(f"triangle on the axis: a contracted {study.info.unit_label} leaves ({gone}), its data end the year before")
    if events and shown_events(results):
        parts.append("ticks at the top: " + ", ".join(label for label, _ in shown_events(results)))
    return "; ".join(parts) + "."
