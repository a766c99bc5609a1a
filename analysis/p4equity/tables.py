"""All result tables of a run after disclosure control: what exhibits, notebooks and editions may read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from p4equity.diagnostics.findings import primary_analysis
from p4equity.disclosure import (
    SMALL,
    nested_pairs,
    protect,
    protect_cells,
    protect_estimates,
    protect_group_movers,
    protect_implementation,
    protect_levels,
    protect_pooled,
    protect_population,
    protect_precision,
    protect_systems,
)
from p4equity.estimates import SUPPRESSED
from p4equity.evaluation.context import Context
from p4equity.study import Study
from p4equity.summaries.cell_precision import precision_table
from p4equity.summaries.implementation import implementation_table
from p4equity.summaries.movers import movers_by_group, movers_table
from p4equity.summaries.payment_cells import registered_formulas
from p4equity.summaries.payment_formulas import payment_formula_tables
from p4equity.summaries.payments import payment_table
from p4equity.summaries.population import flow_table, profile_table, race_source_systems, race_source_table
from p4equity.summaries.precision import power_table
from p4equity.summaries.rates import CONTRACTED, cell_table, rate_table, value_table
from p4equity.summaries.within_between import within_between_table

if TYPE_CHECKING:
    from p4equity.cells import CellTables


def result_tables(
    context: Context, cells: CellTables, small: Mapping[str, pd.DataFrame], estimates: pd.DataFrame, diagnostics: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Result tables by name, each with `status` and `reason` where numbers may be hidden."""
    study, threshold = context.study, context.study.disclosure.threshold
    common: dict[str, pd.DataFrame] = {"estimates": protect_estimates(estimates, threshold), "diagnostics": diagnostics}
    if study.data.kind == "value":
        shown = cells.cell[["system_id", "measure_id", "year", "value", "weight"]]
        return {**common, "rate": value_table(context).assign(status="ok", reason=None), "cells": shown}
    analysis = primary_analysis(context)
    nested = nested_pairs(study.measures[m] for m in context.measures)
    own_cells, rates = protect_cells(cell_table(context, analysis), rate_table(context, analysis), threshold, nested)
    flow, profile = flow_table(study, cells.cell_flow), profile_table(context, cells.cell_profile)
    flow, profile = protect_population(flow, profile, threshold, max(study.baseline.pre_years))
    people = {
        "flow_chart": flow,
        "profile": profile,
        "race_source": _race_source(race_source_table(study, cells.cell_profile), threshold),
        "race_source_system": race_source_systems(study, cells.cell_profile, threshold),
        "implementation": protect_implementation(implementation_table(study, small, cells.cell), threshold),
    }
    used = own_cells[_of_groups(own_cells, study) & ~own_cells["year"].isin(study.baseline.apart)]
    common["estimates"] = protect_pooled(protect_systems(common["estimates"], used), own_cells[_of_groups(own_cells, study)])
    before = _of_groups(rates, study) & (rates["arm"] == CONTRACTED) & rates["year"].isin(list(study.baseline.pre_years))
    common["estimates"] = protect_levels(common["estimates"], rates[before])
    if study.exits:
        whole = protected_movers(movers_table(study, cells.cell_profile), threshold)
        by_group = protect_group_movers(movers_by_group(study, cells.cell_profile), whole, threshold)
        people |= {"movers": whole, "movers_by_group": by_group}
    payments = _all_payments(context, own_cells) if study.payment else {}
    precision = {}
    if study.precision and study.groups.compared:
        years = study.precision.baseline_years
        precision["precision"] = protect_precision(precision_table(context), own_cells, years, study.group_ids)
    parts = {"gap_parts": within_between_table(context, own_cells)} if study.groups.compared else {}
    shown = {"cells": own_cells, "rate": rates, "power": power_table(context)}
    return {**common, **shown, **parts, **precision, **people, **payments}


def _of_groups(cells: pd.DataFrame, study: Study) -> pd.Series:
    return cells["group"].isin(study.group_ids)


def _race_source(table: pd.DataFrame, threshold: int) -> pd.DataFrame:
    pairs = (("n", "n_self_reported"),)
    out = protect(
        table, counts=("n", "n_self_reported"), numbers=("n", "n_self_reported"), lines=[("arm", "year")], threshold=threshold,
        complements=pairs,
    )  # fmt: skip
    share = 100 * out["n_self_reported"].astype("Float64") / out["n"].astype("Float64")
    return out.assign(self_reported_share=share)


def protected_movers(table: pd.DataFrame, threshold: int) -> pd.DataFrame:
    """All places of one system and year together are its members, so two or more are hidden where one is small."""
    lines = [("system_id", "years_later")]
    return protect(table, counts=("n",), numbers=("n", "share"), lines=lines, threshold=threshold)


def _all_payments(context: Context, cells: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What the plan's formula pays cell by cell, and every formula in all; what is hidden enters none of the latter."""
    study = context.study
    own = registered_formulas(study.payment) if study.payment else []
    years = {t for f in own for t in (*f.baseline_years, *f.performance_years)}
    hidden = _hidden(cells, years)
    formulas, curve = payment_formula_tables(context, hidden)
    paid = _payments(payment_table(context, hidden), hidden, study)
    return {"payment_result": paid, "payment_formula": formulas, "payment_curve": curve}


def _hidden(cells: pd.DataFrame, years: Collection[int]) -> set[tuple[str, str, str]]:
    """System, measure and group of cells that are suppressed in one of these years."""
    own = cells[(cells["status"] == SUPPRESSED) & cells["year"].isin(list(years))]
    return set(zip(own["system_id"], own["measure_id"], own["group"], strict=True))


def _payments(table: pd.DataFrame, keys: Collection[tuple[str, str, str]], study: Study) -> pd.DataFrame:
    """Payment rows by system and group: hidden where a cell behind their rates is (`keys`: system, measure, group)."""
    reference = study.groups.reference
    flags = [
        (s, m, g) in keys or (s, m, reference) in keys
        for s, m, g in zip(table["system_id"], table["measure_id"], table["group"], strict=True)
    ]
    out = table.astype({"status": object, "reason": object})
    numbers = [c for c in out.columns if out[c].dtype.kind == "f"]
    out.loc[flags, numbers] = float("nan")
    out.loc[flags, [c for c in out.columns if out[c].dtype.name == "boolean"]] = pd.NA
    out.loc[flags, "status"], out.loc[flags, "reason"] = SUPPRESSED, SMALL
    whole = {(s, m) for s, m, _ in keys}  # a change over all groups less those of the shown groups would tell the hidden one's
    telling = [pair in whole for pair in zip(table["system_id"], table["measure_id"], strict=True)]
    out.loc[telling, "overall_change"] = float("nan")
    return out
