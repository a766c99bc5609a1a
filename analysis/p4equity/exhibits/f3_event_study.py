"""F3: the event study: effect on the gap (or the outcome) by year, with pointwise and simultaneous intervals."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from p4equity.exhibits import marks, text
from p4equity.exhibits.base import COLORS, Exhibit, exhibit_style, new_figure
from p4equity.exhibits.select import OK, analysis_title, event_studies, rows_of

if TYPE_CHECKING:
    from p4equity.results import Results
    from p4equity.study import Analysis

ID, KIND = "F3", "figure"
COLUMNS = (
    "row_id", "analysis_id", "measure_id", "group", "event_time", "estimate", "conf_low", "conf_high", "interval", "status",
    "reason",
)  # fmt: skip
Key = tuple[str, str, str]  # analysis, measure, group


def build(results: Results) -> Exhibit | None:
    """A panel a measure and group; pointwise intervals thick, simultaneous thin; the reference period hollow at zero."""
    study = results.study
    analyses = event_studies(study)
    found = [rows_of(results, a, outcome=a.outcome) for a in analyses]
    rows = pd.concat(found) if found else pd.DataFrame()
    if rows.empty or rows["event_time"].isna().all():
        results.skip(ID, "the plan has no event study")
        return None
    shown = rows[rows["event_time"].notna()]
    panels = _panels(results, analyses, shown)
    if not panels:
        results.skip(ID, "no event study could be estimated: " + text.missing_note(shown).strip())
        return None
    pre = pd.concat([rows_of(results, a, outcome=f"pretrend_{a.outcome}") for a in analyses])
    with exhibit_style():
        figure = _draw(results, panels, shown, pre, bool(study.groups.compared))
    data = shown[list(COLUMNS)]
    ids = tuple(dict.fromkeys([*shown["row_id"], *pre["row_id"]]))
    what = "the equity gap" if study.groups.compared else "the outcome"
    units, noun = study.info.unit_label_plural, study.info.treatment_label
    title = f"Event study: difference in {what} between {units} with a {noun} and comparison {units}, by year"
    note = _note(results, panels, shown)
    return Exhibit(ID, "figure", title, _alt(results, panels, shown, pre), note, ids, data.reset_index(drop=True), figure)


def _panels(results: Results, analyses: list[Analysis], shown: pd.DataFrame) -> list[list[Key]]:
    """Rows of panels: a measure with its groups, where any year could be estimated; without groups two analyses side by "
    "side."""
    ok = shown[shown["status"] == OK]
    if results.study.groups.compared:
        a = analyses[0]
        lines = [[(a.id, m, g) for g in results.study.groups.compared] for m in results.study.measure_ids(a.measures)]
        return [line for line in lines if any(len(_select(ok, key)) for key in line)]
    flat = [(a.id, m, "all") for a in analyses for m in results.study.measure_ids(a.measures)]
    flat = [key for key in flat if len(_select(ok, key))]
    return [flat[i : i + 2] for i in range(0, len(flat), 2)]


def _draw(results: Results, panels: list[list[Key]], shown: pd.DataFrame, pre: pd.DataFrame, gaps: bool) -> Any:
    columns = max(len(line) for line in panels)
    figure = new_figure(0.55 + (1.55 if gaps else 2.3) * len(panels))
    axes = figure.subplots(len(panels), columns, sharex="row", sharey="row", squeeze=False)
    for i, line in enumerate(panels):
        for j, key in enumerate(line):
            _panel(axes[i, j], results, key, _select(shown, key), _select(pre, key), gaps)
        for j in range(len(line), columns):
            axes[i, j].set_visible(False)
        axes[i, 0].set_ylabel(_label(results, line[0], shown), fontsize=7.5)
        _limits(axes[i], pd.concat([_select(shown, key) for key in line]))
    for ax in axes[-1]:
        ax.set_xlabel("Year" if gaps and len(results.study.cohorts) else f"Years since the {results.study.info.treatment_label}")
    return figure


def _select(frame: pd.DataFrame, key: Key) -> pd.DataFrame:
    return frame[(frame["analysis_id"] == key[0]) & (frame["measure_id"] == key[1]) & (frame["group"] == key[2])]


def _label(results: Results, key: Key, shown: pd.DataFrame) -> str:
    unit = _select(shown, key)["outcome_unit"]
    return "Gap, points\nnarrows ←  → widens" if results.study.groups.compared else f"Effect, {unit.iloc[0] if len(unit) else ''}"


def _panel(ax: Any, results: Results, key: Key, rows: pd.DataFrame, pre: pd.DataFrame, gaps: bool) -> None:
    study = results.study
    start = study.launch_cohort if gaps else 0
    ax.axhline(0, color="#52606d", lw=0.8, zorder=1)
    if gaps:
        marks.draw_marks(ax, results, key[1], events=False)
        ax.axvspan(min(study.years) - 0.5, start - 0.5, color="#f7f8fa", lw=0, zorder=-1)
    else:
        ax.axvline(-0.5, color=marks.CONTRACT, lw=0.9, ls=(0, (4, 2)), zorder=1)
    ok = rows[rows["status"] == OK]
    color = study.group(key[2]).color if gaps else COLORS[0]
    marker = study.group(key[2]).marker if gaps else "o"
    for kind, width in (("simultaneous", 0.9), ("pointwise", 2.6)):
        part = ok[ok["interval"] == kind].sort_values("event_time")
        x = part["event_time"].to_numpy(float) + start
        ax.vlines(
            x,
            part["conf_low"].to_numpy(float),
            part["conf_high"].to_numpy(float),
            color=color,
            lw=width,
            alpha=0.55 if width > 1 else 1,
        )
        if kind == "pointwise":
            ax.plot(x, part["estimate"].to_numpy(float), ls="none", marker=marker, ms=4.2, color=color)
    if len(ok):
        for x in _reference(start, ok):
            ax.plot(x, 0, marker="o", ms=4.2, mfc="white", mec="#52606d", ls="none")
    bad = rows[(rows["status"] != OK) & (rows["interval"] == "pointwise")]["event_time"].to_numpy(float) + start
    ax.plot(bad, np.full(len(bad), 0.04), marker="x", ms=4, color="#52606d", ls="none", transform=ax.get_xaxis_transform())
    if gaps:
        ax.set_xlim(min(study.years) - 0.6, max(study.years) + 0.6)
        ax.set_xticks(list(study.years), [f"{y % 100:02d}" for y in study.years], fontsize=7)
    ax.set_title(fill(_title(results, key), 30 if gaps else 44), fontsize=7.5)
    said = f"pre-trend p {text.p(pre['p_value'].iloc[0])}" if len(pre) and pre["status"].iloc[0] == OK else "pre-trend not tested"
    box = {"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1.0}
    ax.text(
        0.99, 0.98, said if len(ok) else "not estimable", transform=ax.transAxes, fontsize=6.8, ha="right", va="top", bbox=box
    )


def _reference(start: int, ok: pd.DataFrame) -> list[float]:
    """The period without a coefficient: inside the range, absent from the rows."""
    have = {int(e) for e in ok["event_time"]}
    return [float(e + start) for e in range(min(have), max(have) + 1) if e not in have]


def _title(results: Results, key: Key) -> str:
    if results.study.groups.compared:
        return f"{text.measure_name(results, key[1])}: {text.group_name(results, key[2])}"
    return analysis_title(results.study.analysis(key[0]), results.study)


def _limits(axes: Any, rows: pd.DataFrame) -> None:
    """Wide enough for the pointwise intervals; a simultaneous one may run out of the panel, as the note says."""
    part = rows[(rows["status"] == OK) & (rows["interval"] == "pointwise")]
    if len(part):
        reach = 1.4 * float(np.nanmax(np.abs(part[["conf_low", "conf_high"]].to_numpy(float))))
        axes[0].set_ylim(-reach, reach)


def _alt(results: Results, panels: list[list[Key]], shown: pd.DataFrame, pre: pd.DataFrame) -> str:
    out, count, total = [], 0, 0
    for key in (k for line in panels for k in line):
        rows = _select(shown, key)
        after = rows[(rows["status"] == OK) & (rows["interval"] == "pointwise") & (rows["event_time"] >= 0)].sort_values(
            "event_time"
        )
        if after.empty:
            out.append(f"{_title(results, key)}: not estimable")
            continue
        places = text.decimals(after.iloc[0].to_dict())
        out.append(f"{_title(results, key)}: {' then '.join(text.number(v, places) for v in after['estimate'])}")
        band = rows[(rows["interval"] == "simultaneous") & (rows["event_time"] >= 0) & (rows["status"] == OK)]
        total += len(band)
        count += int(((band["conf_low"] > 0) | (band["conf_high"] < 0)).sum())
    low = int((pre["p_value"] < 0.05).sum())
    tests = f"{low} of {int(pre['p_value'].notna().sum())} joint pre-trend tests have p below 0.05"
    bands = f"{count} of {total} simultaneous intervals after the start exclude zero"
    return f"{bands}; {tests}. Estimates after the start: {'; '.join(out)}."


def _note(results: Results, panels: list[list[Key]], shown: pd.DataFrame) -> str:
    study, drawn = results.study, [key[1] for line in panels for key in line[:1]]
    where = f"the reference year {study.baseline.reference_year}" if study.groups.compared else "the reference period"
    parts = [
        f"Hollow: {where}, zero by construction. Thick: pointwise intervals; thin: simultaneous over the years of a panel, cut "
        "where they leave it. Crosses on the axis: not estimable.",
        "Pre-trend p: joint test that all periods before the start are zero; a large p is no evidence of parallel trends.",
    ]
    if study.groups.compared:
        below = f"Below zero the gap is narrower than in {study.baseline.reference_year}."
        parts.insert(1, f"{below} {marks.marks_note(results, drawn, events=False)}")
        absent = [text.measure_name(results, m) for m in dict.fromkeys(shown["measure_id"]) if m not in drawn]
        if absent:
            parts.append(f"No panel for {text.listing(absent)}: no year could be estimated.")
    return " ".join(parts) + f" {text.base_note(shown, results)}{text.missing_note(shown)}{text.synthetic_note(results)}"
