"""F3: the event study: effect on the gap (or the outcome) by year, with pointwise and simultaneous intervals."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from p4equity.exhibits import marks, text
from p4equity.exhibits.base import COLORS, Exhibit, exhibit_style, new_figure
from p4equity.exhibits.figure_facts import gap_groups
from p4equity.exhibits.figure_parts import PALE, SMALL
from p4equity.exhibits.figure_parts import key as key_of
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
    figure = new_figure(0.95 + (1.6 if gaps else 2.1) * len(panels))
    axes = figure.subplots(len(panels), columns, sharex=True, sharey="row", squeeze=False)
    for i, line in enumerate(panels):
        for j, key in enumerate(line):
            _panel(axes[i, j], results, key, _select(shown, key), _select(pre, key), gaps)
        for j in range(len(line), columns):
            axes[i, j].set_visible(False)
        axes[i, 0].set_ylabel(_label(results, line[0], shown), fontsize=7.6)
        _limits(axes[i], pd.concat([_select(shown, key) for key in line]))
    if not (gaps and len(results.study.cohorts)):
        for ax in axes[-1]:
            ax.set_xlabel(f"Years since the {results.study.info.treatment_label}", fontsize=7.6)
    keys = [
        _interval_key(2.6, "pointwise interval"), _interval_key(0.9, "simultaneous interval"),
        key_of("#52606d", "o", "reference", hollow=True),
    ]  # fmt: skip
    if gaps:
        keys += marks.marks_keys(results, [line[0][1] for line in panels])
    if (shown["status"] != OK).any():
        keys.append(key_of("#52606d", "x", "not estimable"))
    figure.legend(handles=keys, loc="outside lower center", ncols=min(4, len(keys)), fontsize=SMALL, columnspacing=1.4)
    return figure


def _interval_key(width: float, label: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color="#52606d", lw=width, alpha=0.55 if width > 1 else 1, marker="none", label=label)


def _select(frame: pd.DataFrame, key: Key) -> pd.DataFrame:
    return frame[(frame["analysis_id"] == key[0]) & (frame["measure_id"] == key[1]) & (frame["group"] == key[2])]


def _label(results: Results, key: Key, shown: pd.DataFrame) -> str:
    unit = _select(shown, key)["outcome_unit"]
    name = "gap, points" if results.study.groups.compared else str(unit.iloc[0] if len(unit) else "")
    words = ("narrows", "widens") if results.study.groups.compared else ("falls", "rises")
    return f"Effect{' on' if results.study.groups.compared else ','} {name}\n← {words[0]}   {words[1]} →"


def _panel(ax: Any, results: Results, key: Key, rows: pd.DataFrame, pre: pd.DataFrame, gaps: bool) -> None:
    study = results.study
    start = study.launch_cohort if gaps else 0
    ax.axhline(0, color="#52606d", lw=0.8, zorder=1)
    if gaps:
        marks.draw_marks(ax, results, key[1], events=False)
    else:
        ax.axvline(-0.5, color=marks.CONTRACT, lw=0.9, ls=(0, (4, 2)), zorder=1)
    ok = rows[rows["status"] == OK]
    behind = not gaps or key[2] in gap_groups(results, key[1])
    color = (study.group(key[2]).color if behind else PALE) if gaps else COLORS[0]
    marker = study.group(key[2]).marker if gaps else "o"
    for kind, width in (("simultaneous", 0.9), ("pointwise", 2.6)):
        part = ok[ok["interval"] == kind].sort_values("event_time")
        x = part["event_time"].to_numpy(float) + start
        ends = (part["conf_low"].to_numpy(float), part["conf_high"].to_numpy(float))
        ax.vlines(x, *ends, color=color, lw=width, alpha=0.55 if width > 1 else 1)
        if kind == "pointwise":
            ax.plot(x, part["estimate"].to_numpy(float), ls="none", marker=marker, ms=4.2, color=color)
    if len(ok):
        for x in _reference(start, ok):
            ax.plot(x, 0, marker="o", ms=4.2, mfc="white", mec="#52606d", ls="none")
    bad = rows[(rows["status"] != OK) & (rows["interval"] == "pointwise")]["event_time"].to_numpy(float) + start
    ax.plot(bad, np.full(len(bad), 0.04), marker="x", ms=4, color="#52606d", ls="none", transform=ax.get_xaxis_transform())
    if gaps:
        ax.set_xlim(min(study.years) - 0.6, max(study.years) + 0.6)
        ax.set_xticks(list(study.years), [f"{y}" if k % 2 == 0 else "" for k, y in enumerate(study.years)])
    ax.tick_params(labelsize=SMALL)
    title = _title(results, key)
    ax.set_title(fill(title, 46), fontsize=7.6, pad=15)
    said = f"pre-trend p {text.p(pre['p_value'].iloc[0])}" if len(pre) and pre["status"].iloc[0] == OK else "pre-trend not tested"
    said = said if len(ok) else "not estimable"
    said += "" if behind else "; no baseline gap"
    ax.text(0.0, 1.02, said, transform=ax.transAxes, fontsize=SMALL, ha="left", va="bottom", color="#3e4c59")


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
    """How many intervals exclude zero before and after, and the direction of the estimates of groups with a gap; then numbers."""
    out, below, above = [], 0, 0
    counts = {"before": [0, 0], "after": [0, 0]}
    compared = bool(results.study.groups.compared)
    for key in (k for line in panels for k in line):
        rows = _select(shown, key)
        ok = rows[rows["status"] == OK]
        for name, part in (("before", ok[ok["event_time"] < 0]), ("after", ok[ok["event_time"] >= 0])):
            band = part[part["interval"] == "simultaneous"]
            counts[name][0] += int(((band["conf_low"] > 0) | (band["conf_high"] < 0)).sum())
            counts[name][1] += len(band)
        after = ok[(ok["interval"] == "pointwise") & (ok["event_time"] >= 0)].sort_values("event_time")
        aside = compared and key[2] not in gap_groups(results, key[1])
        if len(after) and not aside:
            below, above = below + int((after["estimate"] < 0).sum()), above + int((after["estimate"] > 0).sum())
        mark = " (no baseline gap)" if aside else ""
        places = text.decimals(after.iloc[0].to_dict()) if len(after) else 1
        said = " then ".join(text.number(v, places) for v in after["estimate"]) if len(after) else "not estimable"
        out.append(f"{_title(results, key)}{mark}: {said}")
    what = "a narrower gap" if compared else "a lower outcome"
    scope = " for groups with a baseline gap" if compared else ""
    low, tested = int((pre["p_value"] < results.study.inference.alpha).sum()), int(pre["p_value"].notna().sum())
    bands = "; ".join(f"{n} of {m} simultaneous intervals {name} the start exclude zero" for name, (n, m) in counts.items())
    return (
        f"{below} of {below + above} estimates after the start{scope} point to {what}. {bands}; {low} of {tested} joint"
        f" pre-trend tests have p below {results.study.inference.alpha}. Estimates after the start: {'; '.join(out)}."
    )


def _note(results: Results, panels: list[list[Key]], shown: pd.DataFrame) -> str:
    study, drawn = results.study, [key[1] for line in panels for key in line[:1]]
    where = f"the reference year {study.baseline.reference_year}" if study.groups.compared else "the reference period"
    parts = [
        f"Zero by construction in {where}. Simultaneous over the years of a panel; cut where an interval leaves it. "
        "Pre-trend p: joint test that all periods before the start are zero, without years that stand apart; a large p is no "
        "evidence of parallel trends."
    ]
    early = max(int(study.analysis(key[0]).options.get("anticipation", 0)) for line in panels for key in line)
    if early:
        last = "period" if early == 1 else f"{early} periods"
        parts.append(f"The last {last} before the start: anticipation allowed for, in no pre-trend test.")
    if study.groups.compared:
        parts.append(f"Below zero the gap is narrower than in {study.baseline.reference_year}.")
        if any(key[2] not in gap_groups(results, key[1]) for line in panels for key in line):
            parts.append("Gray: no baseline gap shown; below zero the group's lead is wider.")
        parts.append(marks.marks_note(results, drawn, events=False))
        parts += [_short(results, shown, measure) for measure in drawn]
        absent = [text.measure_name(results, m) for m in dict.fromkeys(shown["measure_id"]) if m not in drawn]
        if absent:
            reasons = shown[~shown["measure_id"].isin(drawn)]
            parts.append(f"No panel for {text.listing(absent)}: no year could be estimated ({_reasons(reasons)}).")
    elif (shown["status"] != OK).any():
        parts.append(text.missing_note(shown).strip())
    return " ".join(p for p in parts if p) + f" {text.base_note(shown, results)}{text.synthetic_note(results)}"


def _short(results: Results, shown: pd.DataFrame, measure: str) -> str:
    """Which years of a measure have no estimate, and why; "" when all have one."""
    bad = shown[(shown["measure_id"] == measure) & (shown["status"] != OK)]
    if bad.empty:
        return ""
    years = sorted({int(e) + results.study.launch_cohort for e in bad["event_time"]})
    named = text.listing([str(y) for y in years])
    return f"{text.measure_name(results, measure)} has no estimate in {named} ({_reasons(bad)})."


def _reasons(rows: pd.DataFrame) -> str:
    return "; ".join(dict.fromkeys(str(r) for r in rows["reason"] if not text.is_missing(r)))
