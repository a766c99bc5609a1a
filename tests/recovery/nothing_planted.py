"""False alarms: draws of whole cell tables in which no contract has an effect, and whatever the report would announce there."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
import pandas as pd
from announcements import by_holm, guardrails, leveling, others
from broken_draws import Broken, broken, members_of
from p4equity.cells import read_cells
from p4equity.evaluation.announcements import announced
from p4equity.evaluation.claims import _is_check, claim_rows
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.study import Study, load_study
from p4equity.synthetic.cell_draws import CellSampler
from side_draws import SideSampler

STUDY = "bcbsma_pay_for_equity"
SCENARIO = "nothing"
SEED = 20230101
HIERARCHY = "claims of the hierarchy"
Row = dict[str, Any]


@dataclass(frozen=True)
class _Samplers:
    """What draws quality measures, what draws spending, member-months and staying, and what draws the broken series."""

    study: Study
    quality: CellSampler
    sides: SideSampler
    broken: Broken


@cache
def _samplers(cells: Path) -> _Samplers:
    study, tables = load_study(STUDY), read_cells(cells).numeric()
    variant = (study.population.map, study.race.primary)
    cell, overlap, ages = (Context.rows(t, variant) for t in (tables.cell, tables.cell_overlap, tables.cell_age))
    spending = cell["measure_id"] == study.measure_sets.spending
    both = overlap[["measure_1", "measure_2"]].eq(study.measure_sets.spending).any(axis=1)
    quality = CellSampler(study, cell[~spending], overlap[~both], scenario=SCENARIO)
    sides = SideSampler(study, cell[spending], overlap[both], ages, scenario=SCENARIO)
    return _Samplers(study, quality, sides, broken(study, *members_of(study, cell), scenario=SCENARIO, alike=True))


def one_draw(job: tuple[Path, int]) -> Row:
    """What one draw announces: for each family of announcements, whether it holds a false alarm."""
    cells, number = job
    made = _samplers(cells)
    quality, beside, ages = (np.random.default_rng(s) for s in ([SEED, number], [SEED, number, 1], [SEED, number, 2]))
    cell, overlap = made.quality.draw(quality)
    sides = made.sides.draw(beside)
    tables = pd.concat([cell, sides.cell]), pd.concat([overlap, sides.overlap])
    context = Context(made.study, *tables, "", "", ages=sides.ages)
    jump = [dict.fromkeys(("p_value", "n_treated_clusters", "n_clusters")) | row for row in made.broken.rows(ages)]
    return {
        "draw": number, **_claims(context), **guardrails(context), **leveling(context), **by_holm(context), **others(context),
        "jump of a broken series": bool(announced(jump, made.study.inference.alpha)),
    }  # fmt: skip


def _claims(context: Context) -> Row:
    """Whether any claim is made within the hierarchy of the contracted measures, and in each analysis outside it."""
    study = context.study
    asked = [
        a for a in study.analyses
        if (a.estimator, a.outcome, a.leave_out) == ("meta_regression", "gap", None) and not _is_check(study, a)
    ]  # fmt: skip
    primary = {"inference": study.inference.primary}
    rows = [row for a in asked for row in analysis_rows(context, a.model_copy(update=primary))]
    found: dict[str, bool] = {}
    for row in claim_rows(context, rows):
        if row["status"] == "ok":
            family = HIERARCHY if "hierarchy" in str(row["reason"]) else f"claims of {row['analysis_id']}"
            found[family] = found.get(family, False) or bool(row["p_value"] <= study.inference.alpha)
    return found


def simulate(cells: Path, draws: int, workers: int = 2) -> pd.DataFrame:
    """A row a draw, a column a family of announcements."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return pd.DataFrame(list(pool.map(one_draw, [(cells, i) for i in range(draws)], chunksize=10)))
