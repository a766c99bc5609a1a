"""F2: raw rates by year, each group in contracted and in comparison systems, and the gap in both, with the marks of a trend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import marks, text
from p4equity.exhibits.base import COLORS, MARKERS, Exhibit, exhibit_style, new_figure
from p4equity.exhibits.broken_twin import broken_key, broken_note, broken_of, draw_broken, from_break, jumps
from p4equity.exhibits.figure_facts import gap_groups
from p4equity.exhibits.figure_parts import ARM_LOOKS, SMALL
from p4equity.exhibits.select import OK

if TYPE_CHECKING:
    from p4equity.results import Results

ID, KIND = "F2", "figure"
ARMS = ("contracted", "comparison")
GAP = "gap"  # stands in the column of groups for the mean gap of the groups behind at baseline
Z95 = 1.959964


@dataclass(frozen=True)
class _Line:
    label: str
    color: str
    marker: str
    rows: pd.DataFrame


def build(results: Results) -> Exhibit | None:
    """A row a measure: rates by group in each arm, then the gap of both; without groups one panel a measure, a line an arm."""
    study, rate = results.study, results.table("rate")
    sets, compared = study.measure_sets, bool(study.groups.compared)
    wanted = [*sets.contracted] if compared else [*sets.contracted, *sets.negative_control]
    measures = [m for m in wanted if len(rate) and (rate["measure_id"] == m).any()]
    if not measures:
        results.skip(ID, "the study has no rates by year")
        return None
    groups = list(study.group_ids) if compared else ["all"]
    used = rate[rate["measure_id"].isin(measures) & rate["group"].isin(groups) & rate["arm"].isin(ARMS)].copy()
    broken: dict[str, pd.DataFrame] = {}
    if compared:
        broken = {m: rows for m in measures if len(rows := _broken(results, rate, m))}
        used = pd.concat([used, *(_gap_rows(results, used, m) for m in measures)], ignore_index=True)
    with exhibit_style():
        figure = _draw_groups(results, used, measures, groups, broken) if compared else _draw_arms(results, used, measures)
    used = pd.concat([used, *broken.values()], ignore_index=True)
    data = used.drop(columns=[c for c in ("num",) if c in used]).reset_index(drop=True)
    first, last = int(used["year"].min()), int(used["year"].max())
    what = "Rates and gaps" if compared else "Mean outcomes"
    units, noun = study.info.unit_label_plural, study.info.treatment_label
    title = f"{what} by year, {first} to {last}, in {units} with a {noun} and in comparison {units}"
    return Exhibit(ID, "figure", title, _alt(results, used, measures), _note(results, measures, used), (), data, figure)


def _broken(results: Results, rate: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Gaps of the broken series of a measure from its break on, for the groups of the measure itself."""
    series = broken_of(results, measure)
    if series is None or jumps(results, measure).empty:
        return pd.DataFrame()
    rows = rate[rate["arm"].isin(ARMS)]
    return from_break(results, measure, _gap_rows(results, rows, series, gap_groups(results, measure)))


def _gap_rows(results: Results, used: pd.DataFrame, measure: str, behind: list[str] | None = None) -> pd.DataFrame:
    """Reference rate minus the mean rate of the groups behind at baseline, by arm and year; groups share no member."""
    groups, out = behind or gap_groups(results, measure), []
    wanted = [str(results.study.groups.reference), *groups]
    own = used[(used["measure_id"] == measure) & used["group"].isin(wanted)]
    for (arm, year), rows in own.groupby(["arm", "year"]) if groups else ():
        rows = rows.set_index("group")
        row = {"arm": arm, "measure_id": measure, "group": GAP, "year": int(year), "unit_kind": "percent"}
        if not set(wanted) <= set(rows.index) or (rows["status"] != OK).any():
            out.append({**row, "status": "suppressed", "reason": "the rate of a group in it is suppressed"})
            continue
        rates, errors = rows["rate"].astype(float), rows["std_error"].astype(float)
        gap = rates[wanted[0]] - rates[groups].mean()
        error = (errors[wanted[0]] ** 2 + (errors[groups] ** 2).sum() / len(groups) ** 2) ** 0.5
        out.append({**row, "rate": float(gap), "std_error": float(error), "status": OK, "reason": None})
    return pd.DataFrame(out)


def _draw_groups(
    results: Results, used: pd.DataFrame, measures: list[str], groups: list[str], broken: dict[str, pd.DataFrame]
) -> Any:
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(0.85 + 1.5 * len(measures))
    axes = figure.subplots(len(measures), len(ARMS) + 1, sharex=True, squeeze=False)
    for i, measure in enumerate(measures):
        own = used[used["measure_id"] == measure]
        for j, arm in enumerate(ARMS):
            lines = []
            for g in groups:
                style = results.study.group(g)
                rows = own[(own["arm"] == arm) & (own["group"] == g)]
                lines.append(_Line(style.label, style.color, style.marker, rows))
            _panel(axes[i, j], results, measure, lines, leavers=arm == ARMS[0])
        axes[i, 1].sharey(axes[i, 0])
        axes[i, 1].tick_params(labelleft=False)
        gaps = [_Line(f"{arm}", *ARM_LOOKS[arm], own[(own["arm"] == arm) & (own["group"] == GAP)]) for arm in ARMS]
        _panel(axes[i, 2], results, measure, gaps)
        if measure in broken:
            draw_broken(axes[i, 2], broken[measure], {arm: ARM_LOOKS[arm] for arm in ARMS})
        axes[i, 2].axhline(0, color="#52606d", lw=0.8, zorder=1)
        axes[i, 2].yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes[i, 2].set_visible(bool(len(gaps[0].rows)))
        name = text.measure_name(results, measure)
        for ax, what in zip(axes[i], ("contracted", "comparison", "gap, points"), strict=True):
            ax.set_title(f"{name}: {what}", fontsize=7.6)
        axes[i, 0].set_ylabel("Rate, %", fontsize=7.6)
    keys = _keys(axes[0, 0]) + _keys(axes[0, 2]) + ([broken_key()] if broken else [])
    return _finish(figure, axes, results, measures, keys)


def _draw_arms(results: Results, used: pd.DataFrame, measures: list[str]) -> Any:
    height = -(-len(measures) // 2)
    figure = new_figure(0.8 + 1.6 * height)
    axes = figure.subplots(height, 2, sharex=True, squeeze=False)
    for ax, measure in zip(axes.flat, measures, strict=False):
        rows = used[used["measure_id"] == measure]
        names = {"contracted": f"with a {results.study.info.treatment_label}", "comparison": "comparison"}
        _panel(ax, results, measure, [_Line(names[a], COLORS[k], MARKERS[k], rows[rows["arm"] == a]) for k, a in enumerate(ARMS)])
        ax.set_title(text.measure_name(results, measure), fontsize=8.5)
        ax.set_ylabel(f"Mean, {results.study.measure(measure).unit}", fontsize=7.6)
    for ax in list(axes.flat)[len(measures) :]:
        ax.set_visible(False)
        axes[-2, 1].tick_params(labelbottom=True)
    return _finish(figure, axes, results, measures, _keys(axes[0, 0]))


def _panel(ax: Any, results: Results, measure: str, lines: list[_Line], leavers: bool = True) -> None:
    marks.draw_marks(ax, results, measure, leavers=leavers)
    broken = marks.breaks_of(results, measure)
    hidden: list[tuple[int, str]] = []
    for line in lines:
        ok = line.rows[line.rows["status"] == OK].set_index("year").sort_index()
        hidden += [(int(y), line.color) for y in line.rows.loc[line.rows["status"] != OK, "year"]]
        for k, piece in enumerate(marks.runs([int(y) for y in ok.index], broken)):
            part = ok.loc[piece]
            rate, error = part["rate"].to_numpy(float), part["std_error"].fillna(0.0).to_numpy(float)
            ax.fill_between(piece, rate - Z95 * error, rate + Z95 * error, color=line.color, alpha=0.14, lw=0)
            ax.plot(piece, rate, color=line.color, marker=line.marker, ms=3.4, lw=1.2, label=line.label if k == 0 else None)
    for n, (year, color) in enumerate(hidden):
        x = year + 0.12 * (n % 3 - 1)
        ax.plot(x, 0.035, marker="x", ms=4.5, mew=1.1, color=color, transform=ax.get_xaxis_transform(), ls="none")


def _keys(ax: Any) -> list[Any]:
    return list(ax.get_legend_handles_labels()[0])


def _finish(figure: Any, axes: Any, results: Results, measures: list[str], keys: list[Any]) -> Any:
    years = results.study.years
    for ax in axes.flat:
        ax.set_xlim(min(years) - 0.5, max(years) + 0.5)
        ax.set_xticks(list(years), [f"{y}" if k % 2 == 0 else "" for k, y in enumerate(years)])
        ax.tick_params(labelsize=7.4)
    figure.legend(handles=keys, loc="outside upper center", ncols=len(keys), fontsize=7.6, columnspacing=1.4)
    below = marks.marks_keys(results, measures)
    figure.legend(handles=below, loc="outside lower center", ncols=len(below), fontsize=SMALL, columnspacing=1.4)
    return figure


def _alt(results: Results, used: pd.DataFrame, measures: list[str]) -> str:
    """The gap of the groups behind at baseline (or the mean) in the last year before the contracts and in the last, by arm."""
    study = results.study
    before, last = study.baseline.reference_year, int(used["year"].max())
    compared = bool(study.groups.compared)
    names = text.ARMS if compared else text.ARMS | {"contracted": f"with a {study.info.treatment_label}"}
    ok = used[(used["status"] == OK) & (used["group"] == (GAP if compared else "all"))]
    sentences, closer, total = [], 0, 0
    for measure in measures:
        levels = ok[ok["measure_id"] == measure].set_index(["arm", "year"])["rate"]
        if any((arm, year) not in levels.index for arm in ARMS for year in (before, last)):
            continue
        change = {arm: float(levels[arm, last] - levels[arm, before]) for arm in ARMS}
        closer, total = closer + (change[ARMS[0]] < change[ARMS[1]]), total + 1
        moves = [f"{names[a]} {text.number(levels[a, before], 2 - compared)} to {text.number(levels[a, last], 2 - compared)}"
                 for a in ARMS]  # fmt: skip
        sentences.append(f"{text.measure_name(results, measure)}: {', '.join(moves)}")
    what = "the raw gap shrinks more" if compared else "the raw mean falls more or rises less"
    who = f"contracted {study.info.unit_label_plural}" if compared else f"{study.info.unit_label_plural} {names['contracted']}"
    hidden = int(((used["status"] != OK) & (used["group"] != GAP)).sum())
    tail = f" {text.plural(hidden, 'point')} suppressed." if hidden else ""
    others = f"comparison {study.info.unit_label_plural} on {closer} of {total} measures"
    head = f"From {before} to {last} {what} in {who} than in {others}."
    unit = "Gaps, points: " if compared else "Means: "
    return f"{head} {unit}{'; '.join(sentences)}.{tail}" if total else f"No gap has both years.{tail}"


def _note(results: Results, measures: list[str], used: pd.DataFrame) -> str:
    study = results.study
    hidden = " Crosses on the axis: suppressed, not zero." if (used["status"] != OK).any() else ""
    if study.groups.compared:
        reference = text.group_name(results, str(study.groups.reference))
        base = (
            "Raw rates, not adjusted or smoothed, pooled over the members of an arm; bands: 95% sampling intervals. Gap: "
            f"{reference} minus the mean of the groups behind {reference} at baseline ({_behind(results, measures)})."
        )
    else:
        base = f"Means over {study.info.unit_label_plural}, each counting by its weight; bands: 95% intervals."
    return f"{base} {marks.marks_note(results, measures)}{broken_note(results, measures)}{hidden}{text.synthetic_note(results)}"


def _behind(results: Results, measures: list[str]) -> str:
    """The groups in the gap of each measure, measures with the same groups together."""
    found: dict[str, list[str]] = {}
    for measure in measures:
        groups = text.listing([text.group_name(results, g) for g in gap_groups(results, measure)])
        found.setdefault(groups, []).append(text.measure_name(results, measure))
    return "; ".join(f"{text.listing(names)}: {groups}" for groups, names in found.items())
