"""The cells that formulas pay on, one a system and measure, contracted or not, for every registered formula."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from p4equity.disparity.changes import contrast
from p4equity.disparity.panel import ALL, Array, Panel, rate_covariance
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import POINTS, USD, Context
from p4equity.incentive import Cell, Formula
from p4equity.study.plan_contracts import Payment

Key = tuple[str, str, str]  # system, measure, group
PAIRWISE = "pairwise_gap"
TERMS = ("threshold", "slope", "cap", "gate_margin", "statistic", "past_zero")  # as in [payment] where a formula leaves them out
GUARDS = ("reference_margin", "group_gain")


@dataclass(frozen=True)
class Registered:
    """One formula of the plan with its windows and its maximum: USD per member-month, or a share of spending."""

    id: str
    label: str
    formula: Formula
    baseline_years: tuple[int, ...]
    performance_years: tuple[int, ...]
    pmpm_maximum: float
    pmpm_share: float | None = None


@dataclass(frozen=True)
class Paid:
    """A cell that is paid on: `groups` are the units of pay, `maximum` of each in USD (1 where spending is not known).

    thrift: USD per member-month by which spending rose beyond comparison systems. months: member-months of the system in its
    performance years. Both are missing where spending is not known.
    """

    system: str
    measure: str
    groups: tuple[str, ...]
    cell: Cell
    maximum: float
    thrift: float
    months: float


def registered_formulas(plan: Payment) -> list[Registered]:
    """The formula of [payment], then those of [[payment.formula]], each with what it leaves out filled in."""
    base = Formula(
        plan.threshold,
        plan.slope,
        plan.cap,
        plan.gate_margin,
        plan.statistic,
        plan.reference_margin,
        plan.group_gain,
        past_zero=plan.past_zero,
    )
    found = [Registered("default", plan.label, base, plan.baseline_years, plan.performance_years, plan.pmpm_maximum)]
    for own in plan.formula:
        said = {name: getattr(own, name) for name in TERMS}
        terms = {name: value if value is not None else getattr(plan, name) for name, value in said.items()}
        guards = {g: getattr(plan, g) if getattr(own, g) is None else getattr(own, g) for g in GUARDS if own.guarded}
        formula = Formula(
            **terms, **guards, shrinkage=own.shrinkage,
            per_year=own.per_year, efficiency_share=own.efficiency_share, efficiency_margin=own.efficiency_margin,
        )  # fmt: skip
        maximum = plan.pmpm_maximum if own.pmpm_maximum is None else own.pmpm_maximum
        found.append(
            Registered(
                own.id, own.label, formula, own.baseline_years or plan.baseline_years,
                own.performance_years or plan.performance_years, maximum, own.pmpm_share,
            )
        )  # fmt: skip
    return found


def eligible_systems(context: Context) -> list[str]:
    """Systems that hold a contract, and comparison systems, which could have held one."""
    contracted = set(context.study.contract_matrix()["system_id"])
    compared = {s.id for s in context.study.arm_systems("comparison")}
    return [s.id for s in context.study.systems if s.id in contracted | compared]


def paid_cells(context: Context, own: Registered, measure: str, hidden: Collection[Key]) -> list[Paid]:
    """Cells of all eligible systems on a measure: with a contract or not, those that have the numbers."""
    study = context.study
    variant = (study.population.map, study.race.primary if study.race else "frozen")
    groups = [g for m, g in baseline_series(context, variant) if m == measure]
    panel, found = context.panel(variant), []
    spending = _spending(context, panel, own, paid_measure=measure)
    for system in eligible_systems(context):
        reference = (system, measure, str(study.groups.reference))
        shown = [g for g in groups if (system, measure, g) not in hidden and reference not in hidden]
        if system not in panel.systems or not shown:
            continue
        s = panel.systems.index(system)
        usd, thrift, months = spending.get(system, (None, np.nan, np.nan))
        for part in [[g] for g in shown] if own.formula.statistic == PAIRWISE else [shown]:
            cell = _cell(context, panel, s, measure, part, own)
            if cell is not None:
                units = 1 if own.formula.statistic not in (PAIRWISE, "gap_to_best") else len(part)
                share = len(part) / len(groups) / units
                found.append(Paid(system, measure, tuple(part), cell, share * usd if usd else share, thrift, months))
    return found


def _cell(context: Context, panel: Panel, s: int, measure: str, groups: Sequence[str], own: Registered) -> Cell | None:
    """The cell of a system, measure and groups in the years in which all of them have the minimum denominator."""
    study, system = context.study, panel.systems[s]
    names = [str(study.groups.reference), *groups]
    at = [panel.index(measure, g) for g in names]
    den = panel.den[s, at]
    years = _years(context, system, measure, own)
    enough = den.min(axis=0) >= max(study.inference.minimum_denominator, 1)
    weights = contrast(panel.years, own.baseline_years, years, enough)
    if weights is None:
        return None
    used = weights != 0
    covariance = np.array([rate_covariance(panel, s, g, measure, measure) for g in names])[:, used][:, :, used]
    if not (np.einsum("gtt->gt", covariance) > 0).all():
        return None  # every member alike: nothing to draw errors from
    members = panel.den[s, panel.index(measure, ALL)]
    overall = np.nan_to_num(POINTS * panel.rate[s, panel.index(measure, ALL)])
    rates = POINTS * panel.rate[s, at][:, used]
    return Cell(
        rates, den[:, used], POINTS**2 * covariance, np.asarray(panel.years, float)[used], np.maximum(-weights[used], 0.0),
        np.maximum(weights[used], 0.0), den[:, used].sum(axis=1) / members[used].sum(), float(weights @ overall),
    )  # fmt: skip


def _years(context: Context, system: str, measure: str, own: Registered) -> list[int]:
    """Performance years under a contract (without one: from the launch on), up to the system's exit."""
    start, leave = context.study.cohort_of(system, measure), context.study.exit_year(system)
    start = start or context.study.launch_cohort
    return [t for t in own.performance_years if t >= start and (leave is None or t < leave)]


def _spending(context: Context, panel: Panel, own: Registered, paid_measure: str) -> dict[str, tuple[float, float, float]]:
    """By system: USD at stake on one measure, the rise of spending per member-month beyond comparison systems, member-months."""
    measure, study = context.study.measure_sets.spending, context.study
    if measure is None or measure not in panel.measures:
        return {}
    series = panel.index(measure, ALL)
    stake: dict[str, float] = {}
    rise: dict[str, float] = {}
    lived: dict[str, float] = {}
    for system in eligible_systems(context):
        if system not in panel.systems:
            continue
        s = panel.systems.index(system)
        years = _years(context, system, paid_measure, own)
        weights = contrast(panel.years, own.baseline_years, years, panel.den[s, series] > 0)
        if weights is None:
            continue
        usd = USD * np.nan_to_num(panel.rate[s, series])
        months = float(panel.den[s, series][np.isin(panel.years, years)].sum())
        per_month = own.pmpm_maximum if own.pmpm_share is None else own.pmpm_share * float(np.maximum(-weights, 0.0) @ usd)
        stake[system], rise[system], lived[system] = per_month * months, float(weights @ usd), months
    others = [rise[s.id] for s in study.arm_systems("comparison") if s.id in rise]
    mean = float(np.mean(others)) if others else np.nan
    return {system: (stake[system], rise[system] - mean, lived[system]) for system in stake}


def unit_count(own: Registered, paid: Paid) -> int:
    """How many units a cell is paid in: a group each, or all together."""
    return len(paid.groups) if own.formula.statistic in (PAIRWISE, "gap_to_best") else 1


def stakes(own: Registered, cells: Sequence[Paid]) -> Array:
    """(U,) maximum of each unit of these cells."""
    return np.repeat([c.maximum for c in cells], [unit_count(own, c) for c in cells])
