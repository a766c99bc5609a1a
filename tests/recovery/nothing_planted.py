"""False alarms: draws of whole cell tables in which no contract has an effect, and whatever the report would announce there."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
import pandas as pd
from p4equity.cells import read_cells
from p4equity.disparity.guardrail import HARM, WORSE, guardrail_verdict, margin_excluded
from p4equity.disparity.leveling import CANNOT_TELL, Bounds, bounds, verdict
from p4equity.evaluation.claims import claim_rows
from p4equity.evaluation.context import Context
from p4equity.evaluation.leveling import BOUNDED
from p4equity.evaluation.plan import analysis_rows
from p4equity.study import Analysis, Study, load_study
from p4equity.synthetic.cell_draws import CellSampler

STUDY = "bcbsma_pay_for_equity"
SEED = 20230101
HIERARCHY = "claims of the hierarchy"
Row = dict[str, Any]


@cache
def _sampler(cells: Path) -> tuple[Study, CellSampler, pd.DataFrame, pd.DataFrame]:
    """The study, what draws its quality measures, and the cells and overlap of spending, which stay as they are."""
    study, tables = load_study(STUDY), read_cells(cells)
    variant = (study.population.map, study.race.primary)
    cell, overlap = Context.rows(tables.cell, variant), Context.rows(tables.cell_overlap, variant)
    spending = cell["measure_id"] == study.measure_sets.spending
    both = overlap[["measure_1", "measure_2"]].eq(study.measure_sets.spending).any(axis=1)
    sampler = CellSampler(study, cell[~spending], overlap[~both], scenario="nothing")
    return study, sampler, cell[spending], overlap[both]


def one_draw(job: tuple[Path, int]) -> Row:
    """What one draw announces: for each family of announcements, whether it holds a false alarm."""
    cells, number = job
    study, sampler, *_ = _sampler(cells)
    cell, overlap = sampler.draw(np.random.default_rng([SEED, number]))
    context = Context(study, cell, overlap, "", "")
    return {"draw": number, **_claims(context), **_guardrails(context), **_leveling(context)}


def _claims(context: Context) -> Row:
    """Whether any claim is made within the hierarchy of the contracted measures, and in each analysis outside it."""
    study = context.study
    asked = [
        a for a in study.analyses
        if (a.estimator, a.outcome, a.leave_out) == ("meta_regression", "gap", None) and _has_cells(context, a)
    ]  # fmt: skip
    primary = {"inference": study.inference.primary}
    rows = [row for a in asked for row in analysis_rows(context, a.model_copy(update=primary))]
    found: dict[str, bool] = {}
    for row in claim_rows(context, rows):
        if row["status"] == "ok":
            family = HIERARCHY if "hierarchy" in str(row["reason"]) else f"claims of {row['analysis_id']}"
            found[family] = found.get(family, False) or bool(row["p_value"] <= study.inference.alpha)
    return found


def _has_cells(context: Context, analysis: Analysis) -> bool:
    """Draws hold one map and one race version."""
    return len(context.rows(context.cell, context.variant(analysis))) > 0


def _leveling(context: Context) -> Row:
    """Whether any kind of change is named: of all measures pooled, or of any measure with its groups pooled."""
    study, found = context.study, {"leveling, pooled": False, "leveling, a measure": False}
    margin = study.leveling.margin if study.leveling else 0.0
    for analysis in study.analyses:
        if analysis.estimator != "leveling":
            continue
        sides: dict[str, dict[str, Bounds]] = {}
        for row in analysis_rows(context, analysis.model_copy(update={"groups": "pooled"})):
            if row["outcome"] in BOUNDED and row["status"] == "ok":
                sides.setdefault(row["measure_id"], {})[row["outcome"]] = bounds(
                    row["estimate"], row["conf_low"], row["conf_high"]
                )
        for measure, own in sides.items():
            gap, reference, group = (own[f"leveling_{side}"] for side in ("gap", "reference", "group"))
            name = "leveling, pooled" if measure == "pooled" else "leveling, a measure"
            found[name] |= verdict(gap, reference, group, margin) != CANNOT_TELL
    return dict(found)


def _guardrails(context: Context) -> Row:
    """Whether any measure is said to have become worse for everyone, at all or by more than the margin."""
    found: dict[str, bool] = {}
    for analysis in context.study.analyses:
        if analysis.margin is None or analysis.outcome != "rate":
            continue
        rows = [r for r in analysis_rows(context, analysis) if r["status"] == "ok"]
        effects, tests = ([r for r in rows if (r["outcome"] == "rate") == own] for own in (True, False))
        alpha, above = context.study.inference.alpha, analysis.direction != "below"
        claims = {r["measure_id"]: r["p_value"] for r in claim_rows(context, effects) if r["status"] == "ok"}
        said = []
        for m in dict.fromkeys(r["measure_id"] for r in effects):
            intervals = [(r["conf_low"], r["conf_high"]) for r in effects if r["measure_id"] == m]
            excluded = margin_excluded([r["p_value"] for r in tests if r["measure_id"] == m], alpha, claimable=m in claims)
            claimed = claims.get(m, 1.0) <= alpha
            said.append(guardrail_verdict(intervals, analysis.margin, above=above, claimed=claimed, excluded=excluded))
        found[f"a measure worse ({analysis.id})"] = any(s in (WORSE, HARM) for s in said)
    return found


def simulate(cells: Path, draws: int, workers: int = 2) -> pd.DataFrame:
    """A row a draw, a column a family of announcements."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return pd.DataFrame(list(pool.map(one_draw, [(cells, i) for i in range(draws)], chunksize=10)))
