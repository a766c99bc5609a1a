"""Cells of every measure a contract could have named, without an extract: sizes and mixes of the synthetic blocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from p4equity.study import Study

STAYING = 0.7  # members of a year who are there a year later


def candidate_cells(study: Study, size: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells of the candidate measures with the study's sizes times `size`, and the overlap of their members; no numerators."""
    assert study.race is not None
    assert study.scheme is not None
    version = (study.population.map, study.race.primary)
    cells, overlap = [], []
    for system in study.systems:
        for measure in (*study.measure_sets.contracted, *study.measure_sets.not_incentivized):
            hints = study.measure(measure).synthetic
            for group in study.scheme.ids:
                mix = system.synthetic.race_mix.get(group, 0.0) if system.synthetic and system.stratum == "adult" else 0.0
                n = round(size * (system.synthetic.members if system.synthetic else 0) * mix * hints["denominator_share"])
                for i, t in enumerate(study.years if n else ()):
                    cells.append((*version, system.id, measure, group, t, n, 0))
                    for u in study.years[i:]:
                        both = n if u == t else int(n * STAYING ** (u - t))
                        overlap.append((*version, system.id, group, measure, t, measure, u, both, 0, 0, 0))
    first = ["map", "race_version", "system_id"]
    cell = pd.DataFrame(cells, columns=[*first, "measure_id", "group", "year", "den", "num"]).assign(with_reading=np.nan)
    pairs = ["group", "measure_1", "year_1", "measure_2", "year_2", "den_den", "num_den", "den_num", "num_num"]
    return cell, pd.DataFrame(overlap, columns=[*first, *pairs])
