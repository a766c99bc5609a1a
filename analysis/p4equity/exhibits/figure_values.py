"""The first page's figure of a study of published values: the effect on each outcome, by weighting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.base import COLORS, Exhibit, exhibit_style, new_figure
from p4equity.exhibits.figure_parts import SMALL, directions, ends, interval_mark, key, zero_line
from p4equity.exhibits.select import OK, overall
from p4equity.study.names import estimator_name

if TYPE_CHECKING:
    from p4equity.results import Results

ROW = 0.29  # inches an outcome
SHIFT = 0.17
LOOKS = ((COLORS[0], "o"), (COLORS[1], "s"), (COLORS[2], "D"))


def value_figure(results: Results, exhibit_id: str) -> Exhibit | None:
    """A line an outcome, a mark a weighting, the primary question on top."""
    points = value_points(results)
    shown = points[points["status"] == OK] if len(points) else points
    if shown.empty:
        results.skip(exhibit_id, "no primary question has a number")
        return None
    with exhibit_style():
        figure = _draw(points, str(shown["outcome_unit"].iloc[0]))
    title = f"Effect of the {results.study.info.treatment_label}s on each outcome"
    ids = tuple(str(i) for i in points["row_id"])
    data = points.drop(columns="row_id").reset_index(drop=True)
    return Exhibit(exhibit_id, "figure", title, _alt(points), _note(results, points), ids, data, figure)


def value_points(results: Results) -> pd.DataFrame:
    """One row an outcome, estimator and weighting: effect with its interval, and whether the plan calls it primary.

    Other estimators of an outcome than the primary question's stand on lines of their own, under it.
    """
    study, out = results.study, []
    usual = next((a.estimator for a in study.analyses if a.registered == "primary"), None)
    names = {"patient": "weighted", "system": f"{study.info.unit_label_plural} counting the same"}
    for analysis in study.analyses:
        if analysis.outcome != "value" or analysis.estimator == "event_study":
            continue
        for row in overall(results, analysis, inference=analysis.inference[0]).to_dict("records"):
            kept = {k: row[k] for k in ("estimate", "conf_low", "conf_high", "outcome_unit", "status", "reason", "row_id")}
            label = text.measure_name(results, str(row["measure_id"]))
            other = "" if analysis.estimator == usual else estimator_name(analysis.estimator).head
            weights = names.get(analysis.weighting, analysis.weighting)
            out.append(
                {
                    "label": label,
                    "other_estimator": other,
                    "weighting": weights,
                    "primary": analysis.registered == "primary",
                    **kept,
                }
            )
    order = list(dict.fromkeys(p["label"] for p in out))
    return pd.DataFrame(sorted(out, key=lambda p: order.index(p["label"])))


def _draw(points: pd.DataFrame, unit: str) -> Any:
    lines = list(dict.fromkeys(zip(points["label"], points["other_estimator"], strict=True)))
    kinds = list(dict.fromkeys(points["weighting"]))
    first = set(points.loc[points["primary"], "label"])
    places = {line: len(lines) - i for i, line in enumerate(lines)}
    looks = {kind: (*LOOKS[i % len(LOOKS)], SHIFT * (1 - 2 * i) if len(kinds) > 1 else 0.0) for i, kind in enumerate(kinds)}
    shown = points[points["status"] == OK]
    figure = new_figure(0.85 + ROW * len(lines))
    ax = figure.subplots()
    limits = [e for r in shown.to_dict("records") for e in (*ends(r), r["estimate"]) if np.isfinite(e)]
    ax.set_xlim(min(*limits, 0.0) - 0.06 * np.ptp(limits), max(*limits, 0.0) + 0.06 * np.ptp(limits))
    for row in points.to_dict("records"):
        color, marker, shift = looks[row["weighting"]]
        y = places[row["label"], row["other_estimator"]] + (0.0 if row["other_estimator"] else shift)
        if row["status"] == OK:
            interval_mark(
                ax, row, y, np.inf, color=color, marker=marker, hollow=not row["primary"], size=6.8 if row["primary"] else 5.8
            )
        else:
            ax.text(0, y, text.STATUS.get(str(row["status"]), ""), fontsize=SMALL, ha="center", va="center")
    zero_line(ax)
    directions(ax, "falls", "rises")
    ax.grid(axis="y", visible=False)
    ax.grid(axis="x", visible=True)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(0.45, len(lines) + 0.55)
    ax.set_yticks(list(places.values()), [other or label for label, other in lines])
    for tick, (label, other) in zip(ax.get_yticklabels(), lines, strict=True):
        tick.set_fontweight("bold" if label in first and not other else "normal")
        tick.set_fontstyle("italic" if other else "normal")
    ax.set_xlabel(f"Effect, {unit}")
    keys = [key(*looks[k][:2], k, line=True, hollow=True) for k in kinds]
    keys.append(key(LOOKS[0][0], LOOKS[0][1], "filled: primary"))
    figure.legend(handles=keys, loc="outside upper right", ncols=len(keys), fontsize=8)
    return figure


def _note(results: Results, points: pd.DataFrame) -> str:
    info = results.study.info
    rows = results.estimates[results.estimates["row_id"].isin(set(points["row_id"]))]
    ok = rows[rows["status"] == OK]
    level = text.span(100 * ok["conf_level"].astype(float))
    methods = text.listing([text.method(m) for m in dict.fromkeys(ok["inference"])])
    article = "an" if info.treatment_label[:1] in "aeiou" else "a"
    return (
        f"Bars: {level}% intervals of each answer alone, {methods}, degrees of freedom"
        f" {text.span(ok['df'], 1)}; {text.span(ok['n_clusters'])} {info.unit_label_plural},"
        f" {text.span(ok['n_treated_clusters'])} of them with {article} {info.treatment_label}.{_weights(results)} Bold:"
        f" the primary question; the others are secondary, their intervals not adjusted for their number.{_others(points)}"
        f"{text.missing_note(points)}"
    )


def _others(points: pd.DataFrame) -> str:
    return " Italic: the outcome above by other estimators." if points["other_estimator"].any() else ""


def _weights(results: Results) -> str:
    value = results.study.data.value
    return f" Weighted: by {value.weight_label}." if value is not None and value.weight_label else ""


def _alt(points: pd.DataFrame) -> str:
    """The primary answer, how many of the others exclude zero and which, then all estimates."""
    ok = points[points["status"] == OK]
    clear = [r for r in ok.to_dict("records") if r["conf_low"] > 0 or r["conf_high"] < 0]
    rest = [_named(r) for r in clear if not r["primary"]]
    main = [r for r in ok.to_dict("records") if r["primary"]]
    head = "; ".join(f"Primary, {_named(r)}: {text.estimate(r)}" for r in main)
    others = len(ok) - len(main)
    middle = f"{len(rest)} of {others} other intervals exclude zero{': ' + text.listing(rest) if rest else ''}"
    tail = "; ".join(f"{_named(r)} {text.estimate(r)}" for r in ok.to_dict("records") if not r["primary"])
    return f"{head}. {middle}. Other estimates: {tail}."


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['label']} ({', '.join(x for x in (str(row['other_estimator']).lower(), row['weighting']) if x)})"
