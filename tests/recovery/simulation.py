"""Recovery of planted effects over draws of whole cell tables: coverage, bias and rejection of the registered primary rows."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
import pandas as pd
from p4equity.cells import read_cells
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.study import Study, load_study
from p4equity.synthetic.cell_draws import CellSampler
from p4equity.synthetic.truth import load_truth

STUDY = "bcbsma_pay_for_equity"


@dataclass(frozen=True)
class Setting:
    """What one simulation draws from: cells on disk (tier B), and the scenario whose effects hold."""

    cells: Path
    scenario: str = "clean"


@cache
def _sampler(setting: Setting) -> tuple[Study, CellSampler]:
    study = load_study(STUDY)
    tables = read_cells(setting.cells)
    contracted = list(study.measure_sets.contracted)
    variant = (study.population.map, study.race.primary)
    cell = Context.rows(tables.cell, variant)
    overlap = Context.rows(tables.cell_overlap, variant)
    cell = cell[cell["measure_id"].isin(contracted)]
    overlap = overlap[overlap["measure_1"].isin(contracted) & overlap["measure_2"].isin(contracted)]
    return study, CellSampler(study, cell, overlap, scenario=setting.scenario)


def true_gap_effect(study: Study, scenario: str, measure: str, groups: list[str]) -> float:
    """Planted effect on the gap averaged over groups with equal weights, in points (constant over contracted systems)."""
    blocks = [e.points for e in load_truth(study, scenario).truth.effect if e.measure == measure and e.system is None]
    points = blocks[0] if blocks else {}
    reference = points.get(str(study.groups.reference), 0.0)
    return float(np.mean([reference - points.get(g, 0.0) for g in groups]))


def one_draw(job: tuple[Setting, int]) -> list[dict[str, object]]:
    """Primary rows of one draw with the truth beside them."""
    setting, number = job
    study, sampler = _sampler(setting)
    cell, overlap = sampler.draw(np.random.default_rng([20221215, number]))
    context = Context(study, cell, overlap, "", "")
    pairs = baseline_series(context, (study.population.map, study.race.primary))
    rows = []
    for row in analysis_rows(context, study.analysis("measure")):
        if row["outcome"] != "gap" or row["status"] != "ok":
            continue
        groups = [g for m, g in pairs if m == row["measure_id"]]
        truth = true_gap_effect(study, setting.scenario, row["measure_id"], groups)
        rows.append(_record(row, number, truth))
    truth = _pooled_truth(study, setting.scenario, pairs)
    rows += [_record(row, number, truth) for row in _pooled(context, study)]
    return rows


def _pooled(context: Context, study: Study) -> list[dict[str, object]]:
    """Pooled answers but the permutation, which takes seconds."""
    analysis = study.analysis("pooled").model_copy(update={"inference": ("averaged_t", "knapp_hartung")})
    return [r for r in analysis_rows(context, analysis) if r["outcome"] == "gap"]


def _pooled_truth(study: Study, scenario: str, pairs: tuple[tuple[str, str], ...]) -> float:
    """The pooled estimand: planted gap effects averaged over contracted cells, each counting the same."""
    matrix = study.contract_matrix()
    launched = matrix[matrix["cohort"] == study.launch_cohort]
    measures = [m for m in launched["measure_id"] if any(k == m for k, _ in pairs)]
    return float(np.mean([true_gap_effect(study, scenario, m, [g for k, g in pairs if k == m]) for m in measures]))


def _record(row: dict[str, object], number: int, truth: float) -> dict[str, object]:
    low, high = row.get("conf_low"), row.get("conf_high")
    return {
        "draw": number,
        "measure_id": row["measure_id"],
        "inference": row["inference"],
        "n_treated": row["n_treated_clusters"],
        "truth": truth,
        "estimate": row["estimate"],
        "p_value": row["p_value"],
        "covered": (low is None or low <= truth) and (high is None or truth <= high),
        "width": np.inf if low is None or high is None else high - low,
    }


def simulate(setting: Setting, draws: int, workers: int = 2) -> pd.DataFrame:
    """All draws as rows."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        parts = pool.map(one_draw, [(setting, i) for i in range(draws)], chunksize=10)
        return pd.DataFrame([row for part in parts for row in part])


def summarize(rows: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Coverage, rejection, bias and width by measure and inference."""
    out = []
    for (measure, inference), part in rows.groupby(["measure_id", "inference"]):
        out.append(
            {
                "measure_id": measure,
                "inference": inference,
                "n_treated": int(part["n_treated"].max()),
                "draws": len(part),
                "truth": part["truth"].mean(),
                "mean_estimate": part["estimate"].mean(),
                "bias": (part["estimate"] - part["truth"]).mean(),
                "coverage": part["covered"].mean(),
                "rejected": (part["p_value"] <= alpha).mean(),
                "median_width": part["width"].median(),
            }
        )
    return pd.DataFrame(out).sort_values(["measure_id", "inference"], ignore_index=True)
