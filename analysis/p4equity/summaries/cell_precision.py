"""Precision before outcomes, cell by cell: what each system could be paid on, and which measures it should carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p4equity.diagnostics.findings import primary_analysis
from p4equity.dictionary import load_dictionary
from p4equity.disparity.panel import Array, Panel
from p4equity.disparity.precision import (
    change_factor,
    detectable,
    detectable_change,
    gap_variance,
    level_factor,
    mean_gap_variance,
    worth_carrying,
    yearly_correlation,
)
from p4equity.errors import P4Error
from p4equity.estimates import NOT_ESTIMABLE, OK
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import POINTS, Context
from p4equity.inference.random_effects import tau2_estimate
from p4equity.power import reliability, shrink
from p4equity.study import Study
from p4equity.study.plan_precision import Precision

if TYPE_CHECKING:
    import pandas as pd

NAME = "precision"
POOLED = "pooled"
Flags = NDArray[np.bool_]
NO_SPREAD = 1e-6  # points: systems that do not differ beyond sampling


@dataclass(frozen=True)
class _Cells:
    """One measure in S systems before its contracts; J compared groups and, last, their mean gap (where they have a gap). Points.

    members, gap, variance, drift: (S, J + 1) mean members of a baseline year, own baseline gap (NaN where a side misses the
    minimum denominator), variance of one year's gap, change of the gap from the first to the last of all baseline years.
    correlation: of a cell's rates in two years in a row. level, change, before: variance of the baseline gap, of the change
    paid on and of `drift`, over that of one year.
    """

    members: Array
    gap: Array
    variance: Array
    drift: Array
    correlation: float
    level: float
    change: float
    before: float


@dataclass(frozen=True)
class _Spread:
    """Between systems: standard deviation of gaps and of their true changes, and gaps shrunken for reliability (S,)."""

    level: float
    change: float
    gap: Array


def precision_table(context: Context) -> pd.DataFrame:
    """One row a system, contracted measure and group, and one for their mean ("pooled"); empty without [precision].

    Denominators are those of the plan's baseline years; rates the network's in those years, so that errors do not depend on a
    system's own results; the correlation between years is that of the baseline years. No year under contract enters. Points.
    """
    import pandas as pd

    columns = list(load_dictionary().table(NAME).names)
    plan, study = context.study.precision, context.study
    if plan is None or not study.groups.compared:
        return pd.DataFrame(columns=columns)
    variant = context.variant(primary_analysis(context))
    panel, pairs = context.panel(variant), baseline_series(context, variant)
    arms = {s.id: arm for arm in ("participating", "comparison") for s in study.arm_systems(arm)}
    systems = [s for s in panel.systems if s in arms]
    matrix = study.contract_matrix()
    contracts = set(zip(matrix["system_id"], matrix["measure_id"], strict=True))
    rows: list[dict[str, Any]] = []
    for measure in study.measure_sets.contracted:
        if measure not in panel.measures or not systems:
            continue
        behind = np.array([(measure, g) in pairs for g in study.groups.compared])
        cells = _cells(context, panel, measure, systems, behind)
        spreads = [_spread(context, plan, cells, j) for j in range(len(behind) + 1)]
        for s, system in enumerate(systems):
            fixed = {
                "system_id": system,
                "arm": arms[system],
                "measure_id": measure,
                "contracted": (system, measure) in contracts,
            }
            rows += [{**fixed, **row} for row in _system_rows(context, plan, cells, spreads, behind, s)]
    return _typed(pd.DataFrame(rows).reindex(columns=columns))


def _cells(context: Context, panel: Panel, measure: str, systems: Sequence[str], behind: Flags) -> _Cells:
    """What the baseline years say of one measure. behind: (J,) groups with a baseline gap over all systems."""
    study, plan = context.study, context.study.precision
    assert plan is not None
    at = [panel.systems.index(s) for s in systems]
    names = [str(study.groups.reference), *study.groups.compared]
    series = [panel.index(measure, g) for g in names]
    den, num = panel.den[at][:, series], panel.num[at][:, series]
    rate = np.divide(num, den, out=np.full_like(num, np.nan), where=den >= max(study.inference.minimum_denominator, 1))
    years = [panel.years.index(t) for t in plan.baseline_years]
    total = den[..., years].sum(axis=(0, 2))
    rates = np.divide(num[..., years].sum(axis=(0, 2)), total, out=np.zeros(len(names)), where=total > 0)
    known = [t for t in study.baseline.pre_years if t in panel.years]
    before = [panel.years.index(t) for t in known]
    covariances = np.concatenate([panel.covariances(g, measure, measure)[np.ix_(at, before, before)] for g in names])
    correlation = yearly_correlation(covariances, known)
    yearly = POINTS * (rate[:, :1] - rate[:, 1:])
    gap, drift = yearly[..., years].mean(axis=2), yearly[..., before[-1]] - yearly[..., before[0]]
    members = den[..., years].mean(axis=2)
    single = gap_variance(rates[0], members[:, :1], rates[1:], members[:, 1:])
    used = behind & np.isfinite(gap)
    mean = np.full(len(used), np.nan)
    for s, u in enumerate(used):
        if u.any():
            mean[s] = mean_gap_variance(rates[0], members[s, 0], rates[1:][u], members[s, 1:][u])
    return _Cells(
        np.column_stack([members[:, 1:], np.where(used, members[:, 1:], 0.0).sum(axis=1)]),
        np.column_stack([gap, _mean(gap, used)]),
        POINTS**2 * np.column_stack([single, mean]),
        np.column_stack([drift, _mean(drift, used)]),
        correlation,
        level_factor(plan.baseline_years, correlation),
        change_factor(plan.baseline_years, plan.performance_years, correlation),
        change_factor(known[:1], known[-1:], correlation),
    )


def _mean(values: Array, used: Flags) -> Array:
    """(S,) mean over the used groups of each system, NaN where there is none."""
    count = used.sum(axis=1)
    out = np.full(len(values), np.nan)
    return np.asarray(np.divide(np.where(used, values, 0.0).sum(axis=1), count, out=out, where=count > 0))


def _spread(context: Context, plan: Precision, cells: _Cells, j: int) -> _Spread:
    """Between-system standard deviations of one group, those of the plan or estimated from baseline years, and shrunken gaps."""
    method, variance = context.study.inference.tau2, cells.variance[:, j]
    level = plan.level_sd or _between(cells.gap[:, j], cells.level * variance, method)
    change = plan.change_sd or _between(cells.drift[:, j], cells.before * variance, method)
    gap, used = cells.gap[:, j].copy(), np.isfinite(cells.gap[:, j])
    if used.any() and np.isfinite(level):
        gap[used] = shrink(gap[used], cells.level * variance[used], max(level, NO_SPREAD) ** 2)[0]
    return _Spread(level, change, gap)


def _between(values: Array, variances: Array, method: str) -> float:
    """Standard deviation between systems beyond sampling; NaN with too few systems, or where one year is all there is."""
    used = np.isfinite(values) & (variances > 0)
    try:
        return float(np.sqrt(tau2_estimate(values[used], np.ones((int(used.sum()), 1)), variances[used], method)))
    except P4Error:
        return float("nan")


def _system_rows(
    context: Context, plan: Precision, cells: _Cells, spreads: Sequence[_Spread], behind: Flags, s: int
) -> list[dict[str, Any]]:
    """Rows of the groups of one system and measure, then of the mean gap over those that have one."""
    groups = context.study.groups.compared
    rows: list[dict[str, Any]] = []
    for j, group in enumerate((*groups, POOLED)):
        row: dict[str, Any] = {"group": group, "status": NOT_ESTIMABLE, "correlation": cells.correlation}
        if np.isfinite(cells.gap[s, j]):
            row |= {"status": OK, "has_gap": group == POOLED or bool(behind[j])}
            row |= _numbers(context.study, plan, cells, spreads[j], s, j)
            reach = row["has_gap"] and bool(detectable(row["detectable_change"], row["baseline_gap"], plan.detectable_share))
            steady = bool(np.nan_to_num(row["reliability_change"]) >= plan.reliability)
            row |= {"detectable": reach, "payable": reach and steady}
        else:
            none = group == POOLED and not behind.any()
            row["reason"] = "no group has a baseline gap above zero" if none else "no baseline with the minimum denominator"
        rows.append(row)
    if rows[-1]["status"] == OK:
        used = [int(j) for j in np.flatnonzero(behind & np.isfinite(cells.gap[s, :-1]))]
        rows[-1]["would_carry"] = worth_carrying(
            cells.members[s, used], [spreads[j].gap[s] for j in used], rows[-1]["detectable_change"], rows[-1]["baseline_gap"],
            minimum=plan.minimum_size, groups=plan.minimum_groups, share=plan.detectable_share,
        )  # fmt: skip
    return rows


def _numbers(study: Study, plan: Precision, cells: _Cells, spread: _Spread, s: int, j: int) -> dict[str, float]:
    """Size, gap, errors, reliability and detectable change of one cell."""
    at, moved = (factor * cells.variance[s, [j]] for factor in (cells.level, cells.change))
    error = float(np.sqrt(moved[0]))
    smallest = detectable_change(error, conf_level=study.inference.conf_level, power=plan.power)
    return {
        "mean_members": float(cells.members[s, j]), "baseline_gap": float(spread.gap[s]),
        "se_level": float(np.sqrt(at[0])), "se_change": error, "sd_level": spread.level, "sd_change": spread.change,
        "reliability_level": float(reliability(spread.level**2, at)[0]),
        "reliability_change": float(reliability(spread.change**2, moved)[0]), "detectable_change": float(smallest),
    }  # fmt: skip


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns as the dictionary has them."""
    import pandas as pd

    types = {f.name: f.type for f in load_dictionary().table(NAME).fields}
    for name in frame.columns:
        if types[name] == "number":
            frame[name] = pd.to_numeric(frame[name]).astype("float64")
        elif types[name] == "boolean":
            frame[name] = frame[name].astype("boolean")
        else:
            frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
    return frame
