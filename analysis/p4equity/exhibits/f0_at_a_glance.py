"""F0: the first page's figure: each primary answer with its interval, and beside it who moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.base import Exhibit, exhibit_style, new_figure
from p4equity.exhibits.select import OK, SIDES, measure_analysis, one, pooled_analysis, rows_of

if TYPE_CHECKING:
    from p4equity.results import Results
    from p4equity.study import Analysis

ID, KIND = "F0", "figure"
INK, COLORS, MARKERS = "#1f2933", ("#1f2933", "#0072B2", "#D55E00"), ("D", "o", "s")


def build(results: Results) -> Exhibit | None:
    """A forest of the primary answers: gap, reference group and groups side by side; published values in one panel."""
    groups = bool(results.study.groups.compared)
    points = _gap_points(results) if groups else _value_points(results)
    shown = points[points["status"] == OK] if len(points) else points
    if shown.empty:
        results.skip(ID, "no primary question has a number")
        return None
    panels = list(dict.fromkeys(points["panel"]))
    labels = list(dict.fromkeys(points["label"]))
    with exhibit_style():
        figure = _draw(points, panels, labels, str(shown["unit"].iloc[0]))
    noun = results.study.info.treatment_label
    title = f"Effect of the {noun}s on {'gaps, and who moved' if groups else 'each outcome'}"
    ids = tuple(str(i) for i in points["row_id"])
    rows = results.estimates[results.estimates["row_id"].isin(ids)]
    return Exhibit(ID, "figure", title, _alt(points, panels[0]), _note(results, rows, points), ids, _data(points), figure)


def _note(results: Results, rows: pd.DataFrame, points: pd.DataFrame) -> str:
    """The base in two lines: the first page has no room for more; the main table has the rest."""
    info, ok = results.study.info, rows[rows["status"] == OK]
    level = text.span(100 * ok["conf_level"].astype(float))
    moves = "Left of zero a gap moves toward the group. " if results.study.groups.compared else ""
    return (
        f"{moves}Bars: {level}% intervals of each answer alone, {text.SHORT.get(str(ok['inference'].iloc[0]), '')}, degrees"
        f" of freedom {text.span(ok['df'], 1)}; {text.span(ok['n_clusters'])} {info.unit_label_plural},"
        f" {text.span(ok['n_treated_clusters'])} of them with a {info.treatment_label}.{text.missing_note(points)}"
    )


def _data(points: pd.DataFrame) -> pd.DataFrame:
    return points.drop(columns="row_id").reset_index(drop=True)


def _gap_points(results: Results) -> pd.DataFrame:
    study = results.study
    reference = text.group_name(results, str(study.groups.reference))
    names = dict(zip(SIDES, ("Gap", f"{reference} members", "Groups compared"), strict=True))
    out = []
    for analysis in (pooled_analysis(study), measure_analysis(study)):
        if analysis is None:
            continue
        rows = rows_of(results, analysis, inference=study.inference.primary[0], group="pooled")
        for measure in dict.fromkeys(rows["measure_id"]):
            for side, panel in names.items():
                row = one(rows, measure_id=measure, outcome=side)
                if row is not None:
                    out.append(_point(dict(row), text.measure_name(results, str(measure)), panel))
    return pd.DataFrame(out)


def _value_points(results: Results) -> pd.DataFrame:
    study, out = results.study, []
    for analysis in study.analyses:
        if analysis.outcome != "value" or analysis.estimator == "event_study":
            continue
        rows = rows_of(results, analysis, inference=study.inference.primary[0])
        out += [_point(dict(r), _value_label(results, analysis, r), "Effect") for r in rows.to_dict("records")]
    return pd.DataFrame(out)


def _value_label(results: Results, analysis: Analysis, row: dict[Any, Any]) -> str:
    how = {"patient": "weighted", "system": f"{results.study.info.unit_label_plural} equal"}.get(analysis.weighting, "")
    return f"{text.measure_name(results, str(row['measure_id']))}{f', {how}' if how else ''}"


def _point(row: dict[str, Any], label: str, panel: str) -> dict[str, Any]:
    keys = ("estimate", "conf_low", "conf_high", "status", "reason", "row_id")
    return {"label": label, "panel": panel, **{k: row[k] for k in keys}, "unit": row["outcome_unit"]}


def _draw(points: pd.DataFrame, panels: list[str], labels: list[str], unit: str) -> Any:
    figure = new_figure(0.8 + 0.17 * len(labels))
    axes = figure.subplots(1, len(panels), sharey=True, sharex=True, squeeze=False)[0]
    places = {label: len(labels) - i for i, label in enumerate(labels)}
    for ax, panel, color, marker in zip(axes, panels, COLORS, MARKERS, strict=False):
        for row in points[points["panel"] == panel].to_dict("records"):
            y = places[row["label"]]
            if row["status"] != OK:
                ax.text(
                    0,
                    y,
                    text.STATUS.get(str(row["status"]), str(row["status"])),
                    fontsize=7,
                    ha="center",
                    va="center",
                    color="#52606d",
                )
                continue
            ax.plot([row["conf_low"], row["conf_high"]], [y, y], color=color, lw=1.3, marker="none")
            ax.plot(row["estimate"], y, marker=marker, ms=5.5, color=color, ls="none")
        ax.axvline(0, color="#52606d", lw=0.8)
        ax.set_title(panel if len(panels) > 1 else "")
        ax.grid(axis="y", visible=False)
        ax.set_ylim(0.4, len(labels) + 0.6)
    axes[0].set_yticks([places[label] for label in labels], labels)
    figure.supxlabel(f"Effect with its interval, {unit}", fontsize=8)
    return figure


def _alt(points: pd.DataFrame, panel: str) -> str:
    """The estimate and interval of every answer in the first panel."""
    parts = []
    for row in points[points["panel"] == panel].to_dict("records"):
        if row["status"] != OK:
            parts.append(f"{row['label']}: {text.STATUS.get(str(row['status']), row['status'])}")
        else:
            parts.append(f"{row['label']} {text.estimate({**row, 'outcome_unit': row['unit']})}")
    return f"{panel}, estimates with intervals: {'; '.join(parts)}."
