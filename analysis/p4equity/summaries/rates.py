"""Raw rates by arm, measure, group and year, and the system-level cells an edition may carry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from p4equity.disparity.panel import ALL, aggregate, rate_covariance
from p4equity.evaluation.context import POINTS, USD, Context
from p4equity.study import Analysis

CONTRACTED, COMPARISON, OTHER, EXITED = "contracted", "comparison", "participating_other", "exited"


def arm_of(context: Context, analysis: Analysis, measure: str) -> dict[str, str]:
    """Arm of every system for one measure: contracted on it, participating on others only, or comparison."""
    contracted = {s.id for s in context.study.arm_systems("participating") if context.study.cohort_of(s.id, measure) is not None}
    if measure not in context.study.measure_sets.contracted:
        contracted = {s.id for s in context.study.arm_systems("participating") if context.study.cohort_of(s.id) is not None}
    out = {s.id: COMPARISON for s in context.study.arm_systems("comparison")}
    out |= {s.id: CONTRACTED if s.id in contracted else OTHER for s in context.study.arm_systems("participating")}
    del analysis
    return out


def rate_table(context: Context, analysis: Analysis) -> pd.DataFrame:
    """One row an arm, measure, group and year: members, rate in points (USD for spending) and its sampling error.

    Members pooled within the arm; a system that left is counted until the year before its exit. The sampling error of a rate is
    the binomial one of the arm's own two counts, sqrt(p (1 - p) / den), and of nothing else: a variance within systems would be
    a second equation beside the totals, from which suppressed counts of systems can be solved. That of spending, whose cells
    are not published, comes from the spread of members within systems.
    """
    study, panel = context.study, context.panel(context.variant(analysis))
    rows: list[dict[str, Any]] = []
    for measure in context.measures:
        arms = arm_of(context, analysis, measure)
        spending = measure == study.measure_sets.spending
        scale = USD if spending else POINTS
        for arm in (CONTRACTED, COMPARISON, OTHER):
            ids = [s for s in panel.systems if arms.get(s) == arm]
            for group in [ALL] if spending else [*context.groups, ALL]:
                series = panel.index(measure, group)
                for k, year in enumerate(panel.years):
                    at = [panel.systems.index(s) for s in ids if _in_study(context, s, year)]
                    den, num = panel.den[at, series, k].sum(), panel.num[at, series, k].sum()
                    if not at or den == 0:
                        continue
                    share = num / den
                    variance = share * (1 - share) / den
                    if spending:
                        parts = (panel.den[at, series, k] / den) ** 2
                        own = [rate_covariance(panel, i, group, measure, measure)[k, k] for i in at]
                        variance = float(parts @ np.array(own))
                    rows.append(
                        {
                            "arm": arm, "measure_id": measure, "group": group, "year": year, "den": int(den), "num": int(num),
                            "rate": scale * num / den, "std_error": scale * float(np.sqrt(variance)),
                            "unit_kind": panel_unit(spending),
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows)


def panel_unit(spending: bool) -> str:
    """Unit of a rate."""
    return "USD per member-month" if spending else "percent"


def _in_study(context: Context, system: str, year: int) -> bool:
    leave = context.study.exit_year(system)
    return leave is None or year < leave or context.study.population.exit_rule == "carry"


def cell_table(context: Context, analysis: Analysis) -> pd.DataFrame:
    """System x measure x group x year counts of the registered variant, without practices and strata: the releasable cells."""
    cells = context.rows(context.cell, context.variant(analysis))
    measures = [m for m in context.measures if m != context.study.measure_sets.spending]
    groups = sorted(set(cells["group"]))
    table = aggregate(cells, measures, groups)
    table = table[table["group"] != ALL].drop(columns="with_reading").astype({"den": "int64", "num": "int64"})
    arms = {m: arm_of(context, analysis, m) for m in measures}
    pairs = zip(table["measure_id"], table["system_id"], strict=True)
    table = table.assign(arm=[arms[m].get(s, "excluded") for m, s in pairs])
    table = table[table["arm"] != "excluded"]
    # Years after an exit stay for replication, apart from the arm's totals, which end with the system's last full year.
    stayed = [_in_study(context, s, t) for s, t in zip(table["system_id"], table["year"], strict=True)]
    table["arm"] = table["arm"].where(stayed, EXITED)
    return table.sort_values(["measure_id", "system_id", "group", "year"], ignore_index=True)


def value_table(context: Context) -> pd.DataFrame:
    """Means of a published panel by cohort and year: the raw trends of a value study, weighted and not."""
    rows = []
    cohort = {s.id: context.study.cohort_of(s.id) for s in context.study.systems}
    cells = context.cell.assign(arm=[CONTRACTED if cohort[s] else COMPARISON for s in context.cell["system_id"]])
    for (arm, measure, year), part in cells.groupby(["arm", "measure_id", "year"]):
        used = part.dropna(subset=["value"])
        weights = used["weight"] if used["weight"].notna().all() else None
        mean = np.average(used["value"], weights=weights)
        rows.append(
            {"arm": arm, "measure_id": measure, "group": ALL, "year": int(year), "den": len(used), "rate": float(mean),
             "std_error": float(used["value"].std(ddof=1) / np.sqrt(len(used))) if len(used) > 1 else None,
             "unit_kind": "value"}
        )  # fmt: skip
    return pd.DataFrame(rows)
