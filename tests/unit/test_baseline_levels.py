"""Rates and gaps before any contract at the same ages: by hand, against a library's weights, and what cannot be said."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from p4equity.estimates import estimates_table
from p4equity.evaluation.baseline import baseline_rows
from p4equity.evaluation.baseline_level import GAP, LEVELS, RATE, level_rows
from p4equity.evaluation.composition import LACKING
from p4equity.evaluation.context import Context
from p4equity.exhibits import t23_baseline_levels
from p4equity.results import Results
from p4equity.study import Study

MEASURE, BANDS = "CBP", {"18-39": 0.50, "40-54": 0.60, "55-64": 0.80}  # rate of every group by age
MEMBERS = {"white": (100, 200, 700), "black": (600, 300, 100), "hispanic": (200, 300, 500), "asian": (300, 400, 300)}


def made(study: Study, worse: float = 0.0) -> Context:
    """Groups of other ages; Black members at each age are `worse` (a share) off."""
    rows = [
        (s.id, MEASURE, g, year, band, n, round(n * (rate - worse * (g == "black"))))
        for s, g, year in product(study.systems, study.group_ids, study.years)
        for (band, rate), n in zip(BANDS.items(), MEMBERS[g], strict=True)
    ]
    aged = pd.DataFrame(rows, columns=["system_id", "measure_id", "group", "year", "age_band", "den", "num"])
    aged = aged.assign(map="baseline", race_version="frozen", den_stayed=0, num_stayed=0)
    keys = ["system_id", "measure_id", "group", "year", "map", "race_version"]
    cell = aged.groupby(keys, as_index=False)[["den", "num"]].sum().assign(with_reading=np.nan)
    pairs = cell.rename(columns={"measure_id": "measure_1", "year": "year_1"})
    overlap = pairs.assign(measure_2=MEASURE, year_2=pairs["year_1"], den_den=pairs["den"], num_den=pairs["num"])
    return Context(study, cell, overlap.assign(den_num=overlap["num"], num_num=overlap["num"]), "data", "code", ages=aged)


def levels(context: Context) -> pd.Series:
    rows = pd.DataFrame(level_rows(context))
    rows = rows[rows["measure_id"] == MEASURE]
    return rows.set_index(["outcome", "group", "sample"])["estimate"]


def test_groups_that_differ_in_age_alone_have_no_gap_at_the_same_ages(study: Study) -> None:
    """Raw rates by hand: 73, 58 ...; the same rate for all under the ages of all members."""
    found = levels(made(study))
    assert found[RATE, "white", "open"] == pytest.approx(100 * (0.1 * 0.5 + 0.2 * 0.6 + 0.7 * 0.8))
    assert found[RATE, "black", "open"] == pytest.approx(100 * (0.6 * 0.5 + 0.3 * 0.6 + 0.1 * 0.8))
    mix = np.array(list(MEMBERS.values())).sum(axis=0)
    same = 100 * np.average(list(BANDS.values()), weights=mix)
    for group in study.group_ids:
        assert found[RATE, group, "age_standardized"] == pytest.approx(same)
    for group in study.groups.compared:
        assert found[GAP, group, "age_standardized"] == pytest.approx(0, abs=1e-9)


def test_a_gap_at_every_age_is_what_is_left(study: Study) -> None:
    found = levels(made(study, worse=0.05))
    assert found[GAP, "black", "age_standardized"] == pytest.approx(5.0)
    assert found[RATE, "white", "open"] - found[RATE, "black", "open"] == pytest.approx(17 + 5)
    assert (found[RATE, "white", "age_standardized"] - found[RATE, "black", "age_standardized"]) == pytest.approx(5.0)


def test_without_ages_the_rows_say_so_and_a_table_shows_both(study: Study) -> None:
    context = made(study, worse=0.05)
    bare = Context(study, context.cell, context.overlap, "data", "code")
    rows = pd.DataFrame(level_rows(bare))
    assert set(rows.loc[rows["sample"] == "age_standardized", "reason"]) == {LACKING}
    table = estimates_table([*baseline_rows(context), *level_rows(context)])
    exhibit = t23_baseline_levels.build(Results(study, table, {}, True, True))
    assert exhibit is not None
    assert exhibit.table is not None
    black = next(r for r, d in zip(exhibit.table.rows, exhibit.data.to_dict("records"), strict=True)
                 if (d["measure_id"], d["group"]) == (MEASURE, "black"))  # fmt: skip
    assert black[1].startswith("51.0")
    assert black[3].startswith("22.0 (")
    assert black[4].startswith("5.0 (")
    assert "17.0 points" in exhibit.alt
    assert set(table.loc[table["analysis_id"] == LEVELS, "interval"]) == {"pointwise"}
