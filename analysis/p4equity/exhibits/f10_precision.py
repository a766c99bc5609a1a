"""F10: what each system could be paid on, before any outcome: detectable change and reliability by measure and group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.base import MISSING, Exhibit, exhibit_style, new_figure
from p4equity.exhibits.figure_parts import INK, MUTED, PAPER, SMALL
from p4equity.exhibits.select import OK

if TYPE_CHECKING:
    from p4equity.results import Results

ID, KIND = "F10", "figure"
POOLED = "pooled"
PAYABLE, DETECTABLE, NO_GAP, LINE = "#8fc1e3", "#dbeaf6", "#eceff1", "#c9d0d6"
BETWEEN = 0.35  # space between measures, and between arms
LESS = 7.0  # size of the second line in a cell
ROW = 0.32  # inches a system
FLAGS = ("contracted", "has_gap", "detectable", "payable", "would_carry")
COLUMNS = (
    "arm", "measure_id", "group", "contracted", "mean_members", "has_gap", "baseline_gap", "se_level", "se_change",
    "reliability_level", "reliability_change", "detectable_change", "detectable", "payable", "would_carry", "status", "reason",
)  # fmt: skip


def build(results: Results) -> Exhibit | None:
    """Systems by measure and group: detectable change over reliability of the change; contracted cells are outlined."""
    table = results.table("precision")
    if table.empty or not (table["status"] == OK).any():
        results.skip(ID, "the plan has no section [precision], or no cell reaches the minimum denominator")
        return None
    table = table.assign(system=[results.label(s) for s in table["system_id"]])
    with exhibit_style():
        figure = _draw(results, table)
    data = table[["system", *COLUMNS]].copy()
    for name in FLAGS:
        data[name] = data[name].astype(object).where(data[name].notna(), None)
    title = f"What each {results.study.info.unit_label} could be paid on: smallest detectable change and its reliability"
    return Exhibit(ID, "figure", title, _alt(results, table), _note(results), (), data, figure)


def yes(values: pd.Series) -> pd.Series:
    """A column of booleans, read from CSV or not; missing is no."""
    return values.astype("string").fillna("").str.lower() == "true"


def _draw(results: Results, table: pd.DataFrame) -> Any:
    measures = list(dict.fromkeys(table["measure_id"]))
    groups = (*results.study.groups.compared, POOLED)
    step = len(groups) + BETWEEN
    places = {(m, g): i * step + j for i, m in enumerate(measures) for j, g in enumerate(groups)}
    lines = _lines(results, table)
    bottom = min(lines.values())
    figure = new_figure(1.75 - ROW * bottom)
    ax = figure.subplots()
    for row in table.assign(**{name: yes(table[name]) for name in FLAGS}).to_dict("records"):
        x, y = places[row["measure_id"], row["group"]], lines[row["system_id"]]
        _cell(ax, row, x, y)
        if row["contracted"] and row["group"] == POOLED:
            _box(
                ax, places[row["measure_id"], groups[0]] - 0.5, y - 0.48, len(groups), 0.96, fill=False, ec=INK, lw=1.5, zorder=5
            )
    bold: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": SMALL, "fontweight": "bold"}
    for i, measure in enumerate(measures):
        ax.text(i * step + (len(groups) - 1) / 2, 1.62, text.measure_name(results, measure), **bold)
    for (_, group), x in places.items():
        name = "Mean gap" if group == POOLED else text.group_name(results, group)
        ax.text(x, -0.42, name, rotation=90, ha="center", va="bottom", fontsize=SMALL, color=INK)
    ax.set_xlim(-0.55, max(places.values()) + 0.55)
    ax.set_ylim(bottom - 0.55, 2.1)
    ax.set_yticks(list(lines.values()), [results.label(s) for s in lines], fontsize=SMALL)
    ax.set_xticks([])
    ax.tick_params(axis="y", length=0)
    ax.grid(False)
    for side in ax.spines.values():
        side.set_visible(False)
    figure.legend(handles=_keys(results), loc="outside lower center", ncols=4, fontsize=SMALL, columnspacing=1.2)
    return figure


def _lines(results: Results, table: pd.DataFrame) -> dict[str, float]:
    """Height of each system: participating ones by label, then, after a space, the others."""
    arms = dict(zip(table["system_id"], table["arm"], strict=True))
    lines: dict[str, float] = {}
    y = 0.0
    for part in ([s for s in arms if arms[s] == "participating"], [s for s in arms if arms[s] != "participating"]):
        for system in sorted(part, key=results.label):
            y -= 1
            lines[system] = y
        y -= BETWEEN if part else 0
    return lines


def _box(ax: Any, x: float, y: float, width: float, height: float, **look: Any) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((x, y), width, height, **look))


def _cell(ax: Any, row: Mapping[str, Any], x: float, y: float) -> None:
    """Detectable change above, reliability of the change below; a dot in the corner where the rule would give the measure."""
    shown = row["status"] == OK
    face = PAPER
    if shown:
        face = PAYABLE if row["payable"] else DETECTABLE if row["detectable"] else PAPER if row["has_gap"] else NO_GAP
    _box(ax, x - 0.48, y - 0.46, 0.96, 0.92, fc=face, ec=LINE, lw=0.4, zorder=2)
    middle = {"ha": "center", "va": "center", "zorder": 4}
    if not shown:
        ax.text(x, y, MISSING, fontsize=SMALL, color=MUTED, **middle)
        return
    value = float(row["detectable_change"])
    said = text.number(value, 1 if value < 9.95 else 0)
    ax.text(x, y + 0.19, said, fontsize=SMALL, color=INK if row["has_gap"] else MUTED, **middle)
    ax.text(x, y - 0.24, text.number(row["reliability_change"], 2), fontsize=LESS, color=MUTED, **middle)
    if row["would_carry"]:
        ax.plot(x + 0.36, y + 0.31, marker="o", ms=2.6, color=INK, ls="none", zorder=5)


def _keys(results: Results) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Patch(fc=PAYABLE, ec=LINE, lw=0.4, label="detectable and reliable"),
        Patch(fc=DETECTABLE, ec=LINE, lw=0.4, label="detectable only"),
        Patch(fc=PAPER, ec=INK, lw=1.3, label=f"{results.study.info.treatment_label} on it"),
        Line2D([], [], color=INK, marker="o", ms=2.6, ls="none", label="the rule would give this measure"),
    ]


def _alt(results: Results, table: pd.DataFrame) -> str:
    """How many contracted cells could be paid on, singly and as a mean; what the rule would give; the best cell."""
    ok, noun = table[table["status"] == OK], results.study.info.treatment_label
    single, mean = ok[(ok["group"] != POOLED) & yes(ok["has_gap"])], ok[ok["group"] == POOLED]
    own, measures = single[yes(single["contracted"])], mean[yes(mean["contracted"])]
    payable, reach = (f"{int(yes(own[name]).sum())} of {len(own)}" for name in ("payable", "detectable"))
    mean_payable, mean_reach = (f"{int(yes(measures[name]).sum())} of {len(measures)}" for name in ("payable", "detectable"))
    kept = int(yes(measures["would_carry"]).sum())
    more = int((yes(mean["would_carry"]) & ~yes(mean["contracted"])).sum())
    said = (
        f"Of the gaps under {noun}, {payable} are detectable and reliable, {reach} detectable; of their means by measure, "
        f"{mean_payable} and {mean_reach}. The rule would give {kept} of the measures under {noun} and {more} others"
    )
    if own.empty:
        return f"{said}."
    best = own.loc[own["detectable_change"].astype(float).idxmin()]
    name = f"{text.measure_name(results, str(best['measure_id']))}, {text.group_name(results, str(best['group']))}"
    return (
        f"{said}. The smallest detectable change is {text.number(best['detectable_change'])} points ({best['system']}, {name})."
    )


def _note(results: Results) -> str:
    plan, info = results.study.precision, results.study.info
    assert plan is not None
    units, share = info.unit_label_plural, text.number(100 * plan.detectable_share, 0)
    base, then = (text.listing([str(t) for t in years]) for years in (plan.baseline_years, plan.performance_years))
    spread = "estimated from the baseline years" if plan.change_sd is None else f"{text.number(plan.change_sd)} points assumed"
    return (
        f"Upper figure: change of the gap from {base} to {then}, points, that a {info.unit_label}’s own test finds with "
        f"{text.number(100 * plan.power, 0)}% power; lower: its reliability (spread of true changes between {units}: {spread}). "
        f"From members of the baseline years, rates over all {units} and overlap; no year under {info.treatment_label} enters. "
        f"Detectable: closing {share}% of the own baseline gap (shrunken). Reliable: {text.number(plan.reliability)} "
        f"or more. Gray: no baseline gap over all {units}. Mean gap: over groups with one. Dot: {plan.minimum_groups} groups or "
        f"more of {plan.minimum_size} members with a gap, and a detectable mean. {MISSING}: too few members, or suppressed."
        f"{text.synthetic_note(results)}"
    )
