"""Recovery of who moved: draws of whole cell tables with known effects, the joint answer's bounds, regions and verdicts."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from p4equity.estimates import estimates_table
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.exhibits.leveling_answers import judged, leveled, row_bounds
from p4equity.inference.two_sides import covariance_of, squared_radius
from p4equity.study import Study
from p4equity.synthetic.truth import load_truth
from simulation import Setting, _sampler

POOLED = "pooled"


@cache
def _planted(scenario: str) -> dict[str, dict[str, float]]:
    study = _study()
    return {e.measure: e.points for e in load_truth(study, scenario).truth.effect if e.system is None}


@cache
def _study() -> Study:
    from p4equity.study import load_study
    from simulation import STUDY

    return load_study(STUDY)


def truth(study: Study, scenario: str, measure: str, pairs: tuple[tuple[str, str], ...]) -> np.ndarray:
    """Planted effects on reference and group, groups equal; pooled: contracted cells equal. Zero where the scenario has none."""
    planted = {} if load_truth(study, scenario).on("no_effects") else _planted(scenario)
    if measure != POOLED:
        points, groups = planted.get(measure, {}), [g for m, g in pairs if m == measure]
        return np.array([points.get(str(study.groups.reference), 0.0), np.mean([points.get(g, 0.0) for g in groups])])
    matrix = study.contract_matrix()
    launched = matrix[matrix["cohort"] == study.launch_cohort]
    return np.mean([truth(study, scenario, m, pairs) for m in launched["measure_id"] if any(k == m for k, _ in pairs)], axis=0)


def one_draw(job: tuple[Setting, int]) -> list[dict[str, object]]:
    """The joint answers of one draw, groups pooled: verdict, what remains open, whether bounds, region, share hold the truth."""
    setting, number = job
    study, sampler = _sampler(setting)
    cell, overlap = sampler.draw(np.random.default_rng([20221215, number]))
    context = Context(study, cell, overlap, "", "")
    pairs = baseline_series(context, (study.population.map, study.race.primary))
    analysis = study.analysis("leveling").model_copy(update={"groups": "pooled"})
    table = estimates_table(analysis_rows(context, analysis))
    out = []
    for measure in (POOLED, *study.measure_ids("contracted")):
        found = leveled(table, study, measure, POOLED)
        if found is None or not found.ok:
            continue
        effects = truth(study, setting.scenario, measure, pairs)
        effects = np.append(effects, effects[0] - effects[1])
        limits, named = [row_bounds(r) for r in found.sides], judged(found, study.leveling.margin)
        held = [x.low <= t <= x.high for x, t in zip(limits, effects, strict=True)]
        off = np.array([limits[k].estimate - effects[k] for k in range(2)])
        C = covariance_of(*(float(r["std_error"]) for r in found.sides))
        share = found.rows["share_from_reference"]
        out.append({
            "draw": number, "scenario": setting.scenario, "measure_id": measure,
            "n_treated": int(found.sides[2]["n_treated_clusters"]),
            "true_reference": effects[0], "true_group": effects[1],
            "verdict": named.kind, "left": " or ".join(named.left), "together": all(held),
            "region": bool(off @ np.linalg.inv(C) @ off <= squared_radius(float(found.sides[2]["df"]), 0.95)),
            "falls": limits[0].high < 0, "narrows": limits[2].high < 0,
            "share_held": None if share["status"] != "ok" or effects[2] == 0
            else bool(share["conf_low"] <= 100 * effects[0] / effects[2] <= share["conf_high"]),
            "probability_down": found.rows["probability_leveling_down"]["estimate"],
            "probability_up": found.rows["probability_leveling_up"]["estimate"],
        })  # fmt: skip
    return out


def summarize(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a scenario and measure: how often each thing held or was said."""
    found = rows.assign(
        down=rows["verdict"] == "leveling down", up=rows["verdict"] == "leveling up", announced=rows["verdict"] != "cannot tell",
        up_ruled_out=(rows["verdict"].isin(["leveling down", "mixed"])) | (rows["left"] == "leveling down or mixed"),
        down_ruled_out=(rows["verdict"].isin(["leveling up", "mixed"])) | (rows["left"] == "mixed or leveling up"),
        likely_down=rows["probability_down"].astype(float) >= 50, likely_up=rows["probability_up"].astype(float) >= 50,
        share_held=rows["share_held"].astype(float),
    )  # fmt: skip
    columns = ["together", "region", "falls", "narrows", "down", "up", "announced", "up_ruled_out", "down_ruled_out",
               "likely_down", "likely_up", "share_held", "probability_down", "probability_up"]  # fmt: skip
    keys = ["scenario", "measure_id", "n_treated"]
    groups = found.groupby(keys, sort=True)
    return groups[columns].mean().assign(draws=groups.size()).round(4).reset_index()
