"""F0: the first page's figure: the gap before and after in both arms, the effect on it, and who moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import figure_values, text
from p4equity.exhibits.base import Exhibit, exhibit_style
from p4equity.exhibits.figure_facts import claimed, gap_groups
from p4equity.exhibits.figure_glance import draw_glance
from p4equity.exhibits.marks import starts
from p4equity.exhibits.select import OK, SIDES, measure_analysis, one, pooled_analysis, rows_of

if TYPE_CHECKING:
    from p4equity.results import Results

ID, KIND = "F0", "figure"
POOLED = "pooled"
ARMS = ("contracted", "comparison")
SIDE_NAMES = ("gap", "reference", "group")


def build(results: Results) -> Exhibit | None:
    """Gaps before and after, effects on gap, reference and groups, a line a measure; a study of values: effects alone."""
    if not results.study.groups.compared:
        return figure_values.value_figure(results, ID)
    points = glance_points(results)
    shown = points[points["status"] == OK] if len(points) else points
    if shown.empty:
        results.skip(ID, "no primary question has a number")
        return None
    with exhibit_style():
        figure = draw_glance(results, points)
    info = results.study.info
    reference = text.group_name(results, str(results.study.groups.reference))
    title = f"Did gaps to {reference} members narrow under the {info.treatment_label}s, beyond chance, and who moved?"
    ids = tuple(dict.fromkeys(str(i) for i in points["row_id"]))
    return Exhibit(ID, "figure", title, _alt(results, points), _note(results, points), ids, points.drop(columns="row_id"), figure)


def glance_points(results: Results) -> pd.DataFrame:
    """One row a measure (the pooled one first) and side: effect with interval, and the raw gap before and after by arm."""
    study, out = results.study, []
    raw = {m: raw_gaps(results, m) for m in study.measure_ids("contracted")}
    for analysis in (pooled_analysis(study), measure_analysis(study)):
        rows = rows_of(results, analysis, inference=study.inference.primary[0], group=POOLED)
        for measure in dict.fromkeys(rows["measure_id"]):
            firm = claimed(results, analysis, str(measure), POOLED)
            gaps = _mean_gaps(list(raw.values())) if measure == POOLED else raw.get(str(measure), {})
            for side, name in zip(SIDES, SIDE_NAMES, strict=True):
                row = one(rows, measure_id=measure, outcome=side)
                if row is not None:
                    kept = {
                        k: row[k] for k in ("estimate", "conf_low", "conf_high", "outcome_unit", "status", "reason", "row_id")
                    }
                    label = text.measure_name(results, str(measure))
                    beyond = {"beyond_chance": firm, **gaps} if name == "gap" else {}
                    out.append({"measure_id": measure, "label": label, "side": name, **kept, **beyond})
    return pd.DataFrame(out)


def raw_gaps(results: Results, measure: str) -> dict[str, float]:
    """Raw gap, mean over the groups that pooled rows hold, before the contracts and once all of a measure are in force."""
    study, rate = results.study, results.table("rate")
    groups = gap_groups(results, measure)
    if rate.empty or not groups:
        return {}
    own = rate[(rate["measure_id"] == measure) & (rate["status"] == OK)]
    out: dict[str, float] = {}
    for arm in ARMS:
        table = own[own["arm"] == arm].pivot(index="year", columns="group", values="rate")
        wanted = [str(study.groups.reference), *groups]
        if not set(wanted) <= set(table.columns):
            return {}
        gap = (table[wanted[0]] - table[groups].mean(axis=1, skipna=False)).dropna()
        before, after = gap[gap.index.isin(study.baseline.pre_years)], gap[gap.index >= max(starts(results, measure))]
        if before.empty or after.empty:
            return {}
        out |= {f"before_{arm}": float(before.mean()), f"after_{arm}": float(after.mean())}
    return out | {"groups": len(groups)}


def _mean_gaps(found: list[dict[str, float]]) -> dict[str, float]:
    """The mean over measures, each group of a measure counting the same, as in the pooled question."""
    kept = [f for f in found if f]
    total = sum(f["groups"] for f in kept)
    keys = [k for k in kept[0] if k != "groups"] if kept else []
    return {k: sum(f[k] * f["groups"] for f in kept) / total for k in keys} | ({"groups": total} if kept else {})


def _note(results: Results, points: pd.DataFrame) -> str:
    """The base in a few lines: the first page has no room for more; the main table has the rest."""
    study, info = results.study, results.study.info
    rows = results.estimates[results.estimates["row_id"].isin(set(points["row_id"]))]
    ok = rows[rows["status"] == OK]
    level = text.span(100 * ok["conf_level"].astype(float))
    before = text.listing([str(y) for y in study.baseline.pre_years])
    systems = f"{text.span(ok['n_clusters'])} {info.unit_label_plural}, {text.span(ok['n_treated_clusters'])} contracted"
    return (
        f"Gaps: raw, mean over groups behind {text.group_name(results, str(study.groups.reference))} members at baseline;"
        f" before: {before}; after: years with all {info.treatment_label}s on the measure in force. Effects weight"
        f" {info.unit_label_plural} rather than members, so they need not equal the difference of raw changes. Bars: {level}%"
        f" intervals of each answer alone ({text.method(ok['inference'].iloc[0])}; {systems})."
        " Beyond chance: the primary test rejects after adjustment for the number of questions."
        f"{text.missing_note(points)}"
    )


def _past_zero(results: Results, points: pd.DataFrame) -> str:
    """Where the raw gap of contracted units was above zero and is below it now: no narrower gap, but one the other way round."""
    ends = [f"{when}_{ARMS[0]}" for when in ("before", "after")]
    if not set(ends) <= set(points.columns):
        return ""
    turned = points[(points[ends[0]] > 0) & (points[ends[1]] < 0)]
    if turned.empty:
        return ""
    reference, names = text.group_name(results, str(results.study.groups.reference)), text.listing(list(turned["label"]))
    return f" Past zero in contracted {results.study.info.unit_label_plural} ({names}): {reference} members are now behind there."


def _alt(results: Results, points: pd.DataFrame) -> str:
    """The pooled answer, who moved, the raw gaps; then each measure in one clause."""
    parts, units = [], results.study.info.unit_label_plural
    reference = text.group_name(results, str(results.study.groups.reference))
    for label, own in points.groupby("label", sort=False):
        sides = {str(r["side"]): r for r in own.to_dict("records")}
        gap = sides["gap"]
        if gap["status"] != OK:
            parts.append(f"{label}: {text.STATUS.get(str(gap['status']), gap['status'])}")
            continue
        word = "narrows" if gap["estimate"] < 0 else "widens"
        head = f"the gap {word}, beyond chance" if gap["beyond_chance"] else "the data cannot tell"
        said = f"{label}: {head}, effect on the gap {text.estimate(gap)}"
        names = {"reference": f"{reference} members", "group": "groups compared"}
        moved = [f"{name} {text.estimate(sides[side])}" for side, name in names.items() if side in sides]
        raw = _raw_words(gap, units) if not parts and not text.is_missing(gap.get(f"before_{ARMS[0]}")) else ""
        parts.append(f"{said}; {', '.join(moved)}{raw}")
    return ". ".join(parts) + f".{_past_zero(results, points)}"


def _raw_words(gap: dict[str, Any], units: str) -> str:
    ends = {arm: [text.number(gap[f"{when}_{arm}"]) for when in ("before", "after")] for arm in ARMS}
    return (
        f"; raw gap {' to '.join(ends[ARMS[0]])} points in contracted {units}, {' to '.join(ends[ARMS[1]])} in comparison {units}"
    )
