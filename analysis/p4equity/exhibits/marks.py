"""What every time axis carries: contract starts, years set apart, dated events, and breaks of a series; with keys and words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from p4equity.results import Results

CONTRACT, APART, BREAK, SPAN = "#1f2933", "#e6e9ee", "#6b7785", "#f5efdc"
DASHED, DOTTED = (0, (4, 2)), (0, (1, 1.5))
EVENT_SCOPES = ("policy", "market")
MANY_COHORTS = 2  # more starts than this are shown as a span, not as lines
MANY_EVENTS = 3  # more events than this stay in the timeline: a reader could not tell their ticks apart


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
    """Shade the years set apart, draw contract starts, breaks and exits; tick the events along the top when they are few."""
    study = results.study
    for year in study.baseline.apart:
        ax.axvspan(year - 0.5, year + 0.5, color=APART, lw=0, zorder=0)
    begun = starts(results, measure)
    if len(begun) > MANY_COHORTS:
        ax.axvspan(begun[0] - 0.5, begun[-1] - 0.5, color=SPAN, lw=0, zorder=0)
        begun = begun[:1]
    for year in begun:
        ax.axvline(year - 0.5, color=CONTRACT, lw=0.9, ls=DASHED, zorder=1)
    for year in breaks_of(results, measure) if measure in study.measures and measure else []:
        ax.axvline(year - 0.5, color=BREAK, lw=1.1, ls=DOTTED, zorder=1)
    if events:
        for _, x in few_events(results):
            ax.plot([x, x], [0.945, 1.0], transform=ax.get_xaxis_transform(), color=CONTRACT, lw=1.1, marker="none", zorder=1)
    for x in exits(results, measure) if leavers else ():
        ax.plot(x, 0.0, marker="v", ms=5, color=CONTRACT, transform=ax.get_xaxis_transform(), clip_on=False, ls="none", zorder=3)


def marks_keys(results: Results, measures: Sequence[str]) -> list[Any]:
    """Legend handles of the marks that these measures' panels carry."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    info, apart = results.study.info, results.study.baseline.apart
    many = any(len(starts(results, m)) > MANY_COHORTS for m in measures)
    head = f"first {info.treatment_label}" if many else f"{info.treatment_label}s start"
    keys: list[Any] = [Line2D([], [], color=CONTRACT, lw=0.9, ls=DASHED, marker="none", label=head)]
    if many:
        keys.append(Patch(color=SPAN, label=f"more {info.treatment_label}s start"))
    if any(breaks_of(results, m) for m in measures):
        keys.append(Line2D([], [], color=BREAK, lw=1.1, ls=DOTTED, marker="none", label="specification changes"))
    if apart:
        keys.append(Patch(color=APART, label=f"{', '.join(str(y) for y in apart)}, outside baselines"))
    if any(exits(results, m) for m in measures):
        keys.append(Line2D([], [], color=CONTRACT, marker="v", ms=5, ls="none", label=f"a contracted {info.unit_label} leaves"))
    return keys


def exits(results: Results, measure: str | None) -> list[float]:
    """Where systems contracted on a measure leave the study."""
    matrix = results.study.contract_matrix()
    mine = set(matrix.loc[matrix["measure_id"] == measure, "system_id"])
    return [year_position(e.date) for e in results.study.exits if e.system_id in mine]


def few_events(results: Results) -> list[tuple[str, float]]:
    """Label and position of the dated events inside the study's years, in order of date; none when they are many."""
    low, high = min(results.study.years) - 0.5, max(results.study.years) + 0.5
    found = results.study.events
    found = found[found["scope"].isin(EVENT_SCOPES)]
    dated = [(f"{r['label']} ({r['date']:%b %Y})", year_position(r["date"].date())) for r in found.to_dict("records")]
    inside = [(label, x) for label, x in dated if low < x < high]
    return inside if len(inside) <= MANY_EVENTS else []


def marks_note(results: Results, measures: Sequence[str], *, events: bool = True) -> str:
    """What the legend of the marks cannot say: what changed, who left, which events the ticks are."""
    study, parts = results.study, []
    broken = [
        f"{study.measure(m).shown_title} {b.year} ({b.note[:1].lower()}{b.note[1:]})"
        for m in measures
        for b in study.measure(m).breaks
        if b.year in breaks_of(results, m)
    ]
    if broken:
        parts.append(f"Changes of specification: {'; '.join(broken)}.")
    if any(exits(results, m) for m in measures):
        gone = ", ".join(f"{results.label(e.system_id)} in {e.date:%B %Y}" for e in study.exits)
        parts.append(f"Leaves: {gone}; data until the year before.")
    if events and few_events(results):
        parts.append("Ticks at the top: " + ", ".join(label for label, _ in few_events(results)) + ".")
    return " ".join(parts)
