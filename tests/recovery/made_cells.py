"""Cells of the study's own systems without an extract: sizes and mixes of its synthetic blocks, members who stay and leave."""

from __future__ import annotations

import pandas as pd
from p4equity.study import Study
from p4equity.synthetic.places import real_sizes

SHARE = {"COL_50_75": 0.26, "CBP": 0.10, "HBD_CTRL": 0.045, "WCV": 0.20}  # of members in a measure's denominator
STAYS = 0.8  # share of a denominator that is in the next year's too
VARIANT = {"map": "baseline", "race_version": "frozen"}


def made_cells(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables `cell` and `cell_overlap` of the contracted measures in one variant; numerators are there to be drawn."""
    assert study.scheme is not None
    cells, overlap = [], []
    for system, size in zip(study.systems, real_sizes(study), strict=True):
        for group in study.scheme.ids:
            mix = system.synthetic.race_mix.get(group, 0.0) if system.synthetic else 0.0
            for measure, share in SHARE.items():
                n = round(size * share * mix)
                if n < 2:
                    continue
                key = {**VARIANT, "system_id": system.id, "group": group}
                cells += [
                    {**key, "measure_id": measure, "year": t, "den": n, "num": n // 2, "with_reading": n} for t in study.years
                ]
                for t in study.years:
                    pairs = {"measure_1": measure, "year_1": t, "measure_2": measure}
                    later = [u for u in study.years if u >= t]
                    overlap += [{**key, **pairs, "year_2": u, "den_den": round(n * STAYS ** (u - t))} for u in later]
    return pd.DataFrame(cells), pd.DataFrame(overlap).assign(num_den=0, den_num=0, num_num=0)
