"""Cells of one measure and group whose gap narrows by the same three points in every system, contracted or not."""

from __future__ import annotations

import numpy as np
import pandas as pd
from p4equity.evaluation.context import Context
from p4equity.study import Study

DEN = 4000


def made_context(study: Study, small: str | None = None, overlap_share: float = 0.0) -> Context:
    """One measure and one compared group below the reference by 8 points until the contract and 5 after; flat overall otherwise.

    `small`: a system whose compared group has five members. `overlap_share`: members of a year who are there in each other.
    """
    assert study.race is not None
    measure, low = study.measure_sets.contracted[1], study.groups.compared[0]
    cells, overlap = [], []
    for system in study.systems:
        for group in study.group_ids:
            n = 5 if system.id == small and group == low else DEN
            rates = {t: 0.80 - (0.08 if t < study.launch_cohort else 0.05) * (group == low) for t in study.years}
            for t, rate in rates.items():
                cells.append((system.id, measure, group, t, n, round(rate * n)))
                cells.append((system.id, study.measure_sets.spending, group, t, 12 * n, 50_000 * 12 * n))
                x = round(rate * n)
                overlap.append((system.id, group, measure, t, measure, t, n, x, x, x))
                for later in [u for u in rates if u > t and overlap_share]:
                    both = overlap_share * n
                    met = min(rate, rates[later]) * both
                    overlap.append((system.id, group, measure, t, measure, later, both, rate * both, rates[later] * both, met))
    keys = {"map": study.population.map, "race_version": study.race.primary}
    cell = pd.DataFrame(cells, columns=["system_id", "measure_id", "group", "year", "den", "num"]).assign(
        with_reading=np.nan, **keys
    )
    columns = ["system_id", "group", "measure_1", "year_1", "measure_2", "year_2", "den_den", "num_den", "den_num", "num_num"]
    return Context(study, cell, pd.DataFrame(overlap, columns=columns).assign(**keys), "data", "code")
