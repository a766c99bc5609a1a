"""F2: raw rates by year, each group in contracted and in comparison systems, with every mark a reader needs to judge a trend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p4equity.exhibits import marks, text
from p4equity.exhibits.base import COLORS, MARKERS, Exhibit, exhibit_style, new_figure

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.results import Results

ID, KIND = "F2", "figure"
ARMS = ("contracted", "comparison")
Z95 = 1.959964


@dataclass(frozen=True)
class _Line:
    label: str
    color: str
    marker: str
    rows: pd.DataFrame


def build(results: Results) -> Exhibit | None:
    """Small multiples: a row a measure, a column an arm, a line a group; without groups one panel a measure, a line an arm."""
    study, rate = results.study, results.table("rate")
    sets = study.measure_sets
    wanted = [*sets.contracted, *sets.broken_series] if study.groups.compared else [*sets.contracted, *sets.negative_control]
    measures = [m for m in wanted if len(rate) and (rate["measure_id"] == m).any()]
    if not measures:
        results.skip(ID, "the study has no rates by year")
        return None
    groups = list(study.group_ids) if study.groups.compared else ["all"]
    used = rate[rate["measure_id"].isin(measures) & rate["group"].isin(groups) & rate["arm"].isin(ARMS)].copy()
    with exhibit_style():
        figure = _draw_groups(results, used, measures, groups) if study.groups.compared else _draw_arms(results, used, measures)
    data = used.drop(columns=[c for c in ("num",) if c in used]).reset_index(drop=True)
    first, last = int(used["year"].min()), int(used["year"].max())
    what = "Rates" if study.groups.compared else "Mean outcomes"
    units, noun = study.info.unit_label_plural, study.info.treatment_label
    title = f"{what} by year, {first} to {last}, in {units} with a {noun} and in comparison {units}"
    return Exhibit(ID, "figure", title, _alt(results, used, measures, groups), _note(results, measures, used), (), data, figure)


def _draw_groups(results: Results, used: pd.DataFrame, measures: list[str], groups: list[str]) -> Any:
    figure = new_figure(0.55 + 1.34 * len(measures))
    axes = figure.subplots(len(measures), len(ARMS), sharex=True, sharey="row", squeeze=False)
    for i, measure in enumerate(measures):
        for j, arm in enumerate(ARMS):
            lines = []
            for g in groups:
                style = results.study.group(g)
                rows = used[(used["measure_id"] == measure) & (used["arm"] == arm) & (used["group"] == g)]
                lines.append(_Line(style.label, style.color, style.marker, rows))
            _panel(axes[i, j], results, measure, lines, leavers=arm == ARMS[0])
            axes[i, j].set_title(f"{text.measure_name(results, measure)}: {arm}", fontsize=8.5)
        axes[i, 0].set_ylabel("Rate, %")
    return _finish(figure, axes, results)


def _draw_arms(results: Results, used: pd.DataFrame, measures: list[str]) -> Any:
    height = -(-len(measures) // 2)
    figure = new_figure(0.6 + 1.75 * height)
    axes = figure.subplots(height, 2, sharex=True, squeeze=False)
    for ax, measure in zip(axes.flat, measures, strict=False):
        rows = used[used["measure_id"] == measure]
        names = {"contracted": f"with a {results.study.info.treatment_label}", "comparison": "comparison"}
        _panel(ax, results, measure, [_Line(names[a], COLORS[k], MARKERS[k], rows[rows["arm"] == a]) for k, a in enumerate(ARMS)])
        ax.set_title(text.measure_name(results, measure), fontsize=8.5)
        ax.set_ylabel(f"Mean, {_short_unit(results, measure)}")
    for ax in list(axes.flat)[len(measures) :]:
        ax.set_visible(False)
    return _finish(figure, axes, results)


def _short_unit(results: Results, measure: str) -> str:
    return results.study.measure(measure).unit


def _panel(ax: Any, results: Results, measure: str, lines: list[_Line], leavers: bool = True) -> None:
    marks.draw_marks(ax, results, measure, leavers=leavers)
    broken = marks.breaks_of(results, measure)
    hidden: list[tuple[int, str]] = []
    for line in lines:
        ok = line.rows[line.rows["status"] == "ok"].set_index("year").sort_index()
        hidden += [(int(y), line.color) for y in line.rows.loc[line.rows["status"] != "ok", "year"]]
        for k, piece in enumerate(marks.runs([int(y) for y in ok.index], broken)):
            part = ok.loc[piece]
            rate, error = part["rate"].to_numpy(float), part["std_error"].fillna(0.0).to_numpy(float)
            ax.fill_between(piece, rate - Z95 * error, rate + Z95 * error, color=line.color, alpha=0.14, lw=0)
            ax.plot(piece, rate, color=line.color, marker=line.marker, ms=3.4, lw=1.2, label=line.label if k == 0 else None)
    for n, (year, color) in enumerate(hidden):
        ax.plot(
            year + 0.12 * (n % 3 - 1),
            0.035,
            marker="x",
            ms=4.5,
            mew=1.1,
            color=color,
            transform=ax.get_xaxis_transform(),
            ls="none",
        )


def _finish(figure: Any, axes: Any, results: Results) -> Any:
    years = results.study.years
    for ax in axes.flat:
        ax.set_xlim(min(years) - 0.5, max(years) + 0.5)
        ax.set_xticks(list(years), [f"{y}" if k % 2 == 0 else "" for k, y in enumerate(years)])
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


def _alt(results: Results, used: pd.DataFrame, measures: list[str], groups: list[str]) -> str:
    """Distance from the reference (or the mean) in the last year before the first contract and in the last year, by arm."""
    study = results.study
    before, last = study.baseline.reference_year, int(used["year"].max())
    shown = [m for m in measures if m not in study.measure_sets.broken_series]
    names = text.ARMS if study.groups.compared else text.ARMS | {"contracted": f"with a {study.info.treatment_label}"}
    sentences = []
    for measure in shown:
        own = used[(used["measure_id"] == measure) & (used["status"] == "ok")]
        moves = []
        for arm in ARMS:
            ends = [_level(own[(own["arm"] == arm) & (own["year"] == year)], groups) for year in (before, last)]
            if None not in ends:
                places = 1 if study.groups.compared else 2
                moves.append(f"{names[arm]} {text.number(ends[0], places)} to {text.number(ends[1], places)}")
        if moves:
            sentences.append(f"{text.measure_name(results, measure)}: {', '.join(moves)}")
    what = "Mean gap of the compared groups to the reference, points" if study.groups.compared else "Mean outcome"
    hidden = int((used["status"] != "ok").sum())
    tail = f" {text.plural(hidden, 'point')} suppressed." if hidden else ""
    return f"{what}, {before} to {last}. {'; '.join(sentences)}.{tail}"


def _level(rows: pd.DataFrame, groups: list[str]) -> float | None:
    """Reference rate minus the mean of the others; with a single group its rate; None when any is missing."""
    rate = rows.set_index("group")["rate"]
    if not set(groups) <= set(rate.index):
        return None
    return float(rate[groups[0]] - rate[groups[1:]].mean()) if len(groups) > 1 else float(rate[groups[0]])


def _note(results: Results, measures: list[str], used: pd.DataFrame) -> str:
    study = results.study
    hidden = " Crosses on the axis: suppressed, not zero." if (used["status"] != "ok").any() else ""
    if study.groups.compared:
        base = "Raw rates, not adjusted or smoothed, pooled over the members of an arm; bands: 95% sampling intervals."
    else:
        base = f"Means over {study.info.unit_label_plural}, each counting by its weight; bands: 95% intervals."
    return f"{base} {marks.marks_note(results, measures)}{hidden}{text.synthetic_note(results)}"
