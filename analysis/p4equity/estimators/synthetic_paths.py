"""What synthetic difference-in-differences compares: weights of units and periods, paths of treated and synthetic units."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from p4equity.estimators.synthetic_panel import Balanced, Block
from p4equity.estimators.synthetic_replicates import estimable

Labels = tuple[Mapping[float, object], Mapping[float, object]]  # of times, of cohorts
Record = dict[str, object]


def records(sources: tuple[Balanced, ...], outcomes: tuple[str, ...], labels: Labels, method: str) -> Record:
    """unit_weights, time_weights, fit and paths of every cohort with an estimate, each a list of records of plain values."""
    out: dict[str, list[Record]] = {"unit_weights": [], "time_weights": [], "fit": [], "paths": []}
    for source in sources:
        for block in estimable(source):
            head, paths = _head(source, block, labels), synthetic_paths(source, block, outcomes, labels)
            mine = np.flatnonzero(np.isin(source.codes, block.others))
            largest = sorted((-float(block.unit[i]), source.units[i]) for i in mine)
            out["unit_weights"] += [head | {"unit": unit, "weight": -weight} for weight, unit in largest]
            before = paths[(paths["outcome"] == outcomes[0]) & paths["time_weight"].notna()]
            periods = zip(before["period"], before["time_weight"], strict=True)
            out["time_weights"] += [head | {"period": period, "weight": float(weight)} for period, weight in periods]
            out["fit"].append(head | {"method": method} | _fit(before, block, method))
            out["paths"] += paths.astype(object).where(paths.notna(), None).to_dict("records")
    return dict(out)


def synthetic_paths(source: Balanced, block: Block, outcomes: tuple[str, ...], labels: Labels) -> pd.DataFrame:
    """Paths of one cohort, ready for a figure: a row an outcome and period.

    group, cohort, outcome ('' or gap, reference, group), period, event_time; treated: mean of treated units; synthetic: weighted
    mean of comparison units; counterfactual: synthetic shifted by the time-weighted distance before treatment; effect: treated
    less counterfactual, whose mean after treatment is the estimate; time_weight, before treatment only. Outcome units.
    """
    times = source.times[block.columns]
    parts = []
    for j, outcome in enumerate(outcomes):
        Y = source.Y[j][:, block.columns]
        treated, synthetic = Y[source.codes == block.code].mean(axis=0), block.unit @ Y
        shift = float((treated - synthetic)[: block.n_before] @ block.time)
        columns = {
            "outcome": outcome,
            "period": [str(labels[0][float(t)]) for t in times],
            "event_time": (times - source.starts[block.code - 1]).astype(int),
            "treated": treated,
            "synthetic": synthetic,
            "counterfactual": synthetic + shift,
            "effect": treated - synthetic - shift,
            "time_weight": np.append(block.time, np.full(len(times) - block.n_before, np.nan)),
        }
        parts.append(pd.DataFrame(_head(source, block, labels) | columns))
    return pd.concat(parts, ignore_index=True)


def _head(source: Balanced, block: Block, labels: Labels) -> Record:
    cohort = labels[1][float(source.starts[block.code - 1])]
    return {"group": source.group, "cohort": cohort if isinstance(cohort, int) else str(cohort)}


def _fit(before: pd.DataFrame, block: Block, method: str) -> Record:
    """Distance of the paths before treatment (root mean square; about its mean but for sc), penalties, effective numbers."""
    distance = (before["treated"] - before["synthetic"]).to_numpy(float)
    distance = distance if method == "sc" else distance - distance.mean()
    return {
        "rmse_before": float(np.sqrt(np.mean(distance**2))),
        "noise": block.penalty.noise,
        "ridge_units": block.penalty.unit,
        "ridge_times": block.penalty.time,
        "effective_units": float(1 / np.sum(block.unit**2)),
        "effective_times": float(1 / np.sum(block.time**2)) if block.time.any() else None,
    }
