"""Random cells of every system of a study, and the overlap of each with itself, for the tests of registered questions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from p4equity.evaluation.context import Context
from p4equity.study import Study


def random_context(study: Study, maps: tuple[str, ...] = ("baseline",)) -> Context:
    """Gaps of about 15 points in contracted measures, groups and years, drawn anew for each map; most members have readings."""
    rng = np.random.default_rng(5)
    keys = [
        (s.id, m, g, t, assigned, "frozen")
        for assigned in maps for s in study.systems for m in study.measure_sets.contracted for g in study.group_ids
        for t in study.years
    ]  # fmt: skip
    cell = pd.DataFrame(keys, columns=["system_id", "measure_id", "group", "year", "map", "race_version"])
    den = rng.integers(300, 4000, len(cell))
    rate = np.where(cell["group"] == study.groups.reference, 0.8, 0.65) + rng.normal(0, 0.02, len(cell))
    cell = cell.assign(den=den, num=np.round(den * rate).astype(int), with_reading=np.round(den * 0.95).astype(int))
    pairs = cell.rename(columns={"measure_id": "measure_1", "year": "year_1"})
    overlap = pairs.assign(
        measure_2=pairs["measure_1"], year_2=pairs["year_1"], den_den=den, num_den=cell["num"], den_num=cell["num"],
        num_num=cell["num"],
    )  # fmt: skip
    return Context(study, cell, overlap, "data", "code")
