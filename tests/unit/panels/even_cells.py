"""Cells of one measure in which every count follows from two rates and one size."""

from __future__ import annotations

import numpy as np
import pandas as pd
from p4equity.evaluation.context import Context
from p4equity.study import Study

DEN, STAY = 900, 0.7
MEASURE = 1


def made_context(
    study: Study, *, low: float = 0.60, sizes: dict[tuple[str, str], int] | None = None, after: float = 0.0, tilt: float = 0.0
) -> Context:
    """One measure; reference 0.80, compared groups `low`. STAY of a year's members are there in the next, results independent.

    sizes: members of (system, group). after: added to every rate from the launch on. tilt: spread of compared rates by system.
    """
    assert study.race is not None
    measure, cells, overlap = study.measure_sets.contracted[MEASURE], [], []
    for i, system in enumerate(study.systems):
        for group in study.group_ids:
            n = (sizes or {}).get((system.id, group), DEN)
            base = 0.80 if group == study.groups.reference else low + tilt * (i % 2 - 0.5)
            count = {t: round(n * (base + after * (t >= study.launch_cohort))) for t in study.years}
            for t in study.years:
                cells.append((system.id, measure, group, t, n, count[t]))
                overlap.append((system.id, group, measure, t, measure, t, n, *[count[t]] * 3))
                for u in (u for u in study.years if u > t):
                    both = round(n * STAY ** (u - t))
                    one, two = both * count[t] / n, both * count[u] / n
                    overlap.append((system.id, group, measure, t, measure, u, both, one, two, one * count[u] / n))
    keys = {"map": study.population.map, "race_version": study.race.primary}
    names = ["system_id", "measure_id", "group", "year", "den", "num"]
    cell = pd.DataFrame(cells, columns=names).assign(with_reading=np.nan, **keys)
    columns = ["system_id", "group", "measure_1", "year_1", "measure_2", "year_2", "den_den", "num_den", "den_num", "num_num"]
    return Context(study, cell, pd.DataFrame(overlap, columns=columns).assign(**keys), "data", "code")
