"""F5: system by system and measure by measure: each system's change beyond the comparison systems, raw and shrunken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.base import COLORS, Exhibit, exhibit_style
from p4equity.exhibits.forest import Line, Point, draw_forest, numbers
from p4equity.exhibits.select import OK, measure_analysis, one, rows_of, system_analysis

if TYPE_CHECKING:
    from p4equity.results import Results

ID, KIND = "F5", "figure"
RAW, SHRUNKEN = "raw", "shrunken"
INK = "#1f2933"
RELIABLE = 0.05  # below this no difference between systems is left after shrinkage
COLUMNS = ("row_id", "measure_id", "system_id", "sample", "estimate", "conf_low", "conf_high", "statistic", "status", "reason")


def build(results: Results) -> Exhibit | None:
    """Under each measure its contracted systems (hollow raw, filled shrunken, size by reliability) and the measure's effect."""
    analysis, main = system_analysis(results.study), measure_analysis(results.study)
    rows = rows_of(results, analysis)
    if analysis is None or rows.empty:
        results.skip(ID, "the plan has no analysis of single systems")
        return None
    pooled = rows_of(results, main, outcome="gap", inference=results.study.inference.primary[0])
    lines: list[Line] = []
    shown = []
    for measure in results.study.measure_ids(analysis.measures):
        own = rows[rows["measure_id"] == measure]
        if own.empty:
            continue
        lines.append(Line(text.measure_name(results, measure), heading=True))
        for system in sorted(dict.fromkeys(own["system_id"]), key=results.label):
            lines.append(_line(results, own[own["system_id"] == system], system))
        total = one(pooled, measure_id=measure)
        if total is not None:
            lines.append(_total(dict(total)))
            shown.append(str(total["row_id"]))
    xlabel = "Change in the gap beyond comparison systems, points"
    with exhibit_style():
        figure = draw_forest(
            lines, xlabel, "Raw | shrunken (reliability)\nAll contracted: effect (interval)", reach=_reach(rows), legend=_legend()
        )
    data = rows.assign(system=[results.label(s) for s in rows["system_id"]])[["system", *COLUMNS]]
    data = data.drop(columns="system_id").rename(columns={"statistic": "reliability"}).reset_index(drop=True)
    data = pd.concat([data, _totals(pooled, shown)], ignore_index=True)
    title = "Change in the equity gap by system and measure, raw and shrunken for reliability"
    ids = (*rows["row_id"], *shown)
    return Exhibit(ID, "figure", title, _alt(results, rows), _note(results, rows, pooled), ids, data, figure)


def _totals(pooled: pd.DataFrame, shown: list[str]) -> pd.DataFrame:
    part = pooled[pooled["row_id"].isin(shown)]
    return part[[c for c in COLUMNS if c not in ("system_id", "statistic")]].assign(system="all contracted", reliability=None)


def _line(results: Results, rows: pd.DataFrame, system: str) -> Line:
    raw, shrunken = one(rows, sample=RAW), one(rows, sample=SHRUNKEN)
    if raw is None or raw["status"] != OK:
        status = "not shown" if raw is None else text.STATUS.get(str(raw["status"]), "not shown")
        return Line(results.label(system), printed=status, muted=True)
    points = [Point(*numbers(raw), color=COLORS[5], marker="o", size=4.5, hollow=True, shift=0.17)]
    said = text.number(raw["estimate"])
    if shrunken is not None and shrunken["status"] == OK:
        share = float(str(shrunken["statistic"]))
        points.append(Point(*numbers(shrunken), color=COLORS[0], marker="s", size=3.0 + 5.0 * share, shift=-0.17))
        said += f"  |  {text.number(shrunken['estimate'])} ({text.number(share, 2)})"
    return Line(results.label(system), points, said)


def _total(row: dict[str, Any]) -> Line:
    label = "All contracted"
    if row["status"] != OK:
        return Line(label, printed=text.estimate(row), muted=True)
    return Line(label, [Point(*numbers(row), color=INK, marker="D", size=6.0)], text.estimate(row))


def _reach(rows: pd.DataFrame) -> float:
    ok = rows[rows["status"] == OK]
    return 1.6 * float(ok["estimate"].abs().max()) if len(ok) else 1.0


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=COLORS[5], marker="o", mfc="white", ms=4.5, lw=0.8, label="raw"),
        Line2D([], [], color=COLORS[0], marker="s", ms=6, lw=1.6, label="shrunken, larger = more reliable"),
        Line2D([], [], color=INK, marker="D", ms=6, lw=1.6, label="effect over all contracted systems"),
    ]


def _alt(results: Results, rows: pd.DataFrame) -> str:
    shrunken = rows[(rows["sample"] == SHRUNKEN) & (rows["status"] == OK)]
    if shrunken.empty:
        return "No single system's change could be estimated."
    share = shrunken["statistic"].astype(float)
    told = f"Reliability of a system's change is {text.span(share, 2)}"
    raw = rows[(rows["sample"] == RAW) & (rows["status"] == OK)]
    clear = int(((raw["conf_low"] > 0) | (raw["conf_high"] < 0)).sum())
    ends = []
    for r in (raw.loc[raw["estimate"].idxmin()], raw.loc[raw["estimate"].idxmax()]):
        name = f"{results.label(r['system_id'])} on {text.measure_name(results, r['measure_id'])}"
        ends.append(f"{name} ({text.number(r['estimate'])} points)")
    noise = "; systems cannot be told apart, and shrunken changes equal their measure's mean" if share.max() < RELIABLE else ""
    count = f"{clear} of {len(raw)} have a sampling interval that excludes zero"
    return f"Raw changes run from {ends[0]} to {ends[1]}; {count}. {told}{noise}."


def _note(results: Results, rows: pd.DataFrame, pooled: pd.DataFrame) -> str:
    return (
        "Hollow circles: a system's change in the gap minus the mean change of comparison systems, with sampling error only. "
        "Squares: "
        "the same shrunken by empirical Bayes; size and number in parentheses: reliability, the share of variance that is "
        "not noise. "
        "Diamonds: effect over all contracted systems. Arrows: the interval leaves the panel. "
        f"{text.base_note(pd.concat([rows, pooled]), results)}{text.missing_note(rows)}{text.synthetic_note(results)}"
    )
