"""Cells by band of age and of members who stayed, against a loop over members."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest
from p4equity.cells import CellTables
from p4equity.extract import Extract
from p4equity.study import Study
from p4equity.study.plan_composition import Composition

STARTS = (0, 18, 50)
NAMES = ("0 to 17", "18 to 49", "50 and over")
AGES = {"COL_50_75": ("COL", 50, 75), "CBP": ("CBP", 18, 85), "WCV": ("WCV", 3, 21)}
GROUPS = {"NH White": "white", "NH Black": "black", "Hispanic": "hispanic", "NH Asian": "asian", "declined": "other"}
STAY = (2022, 2023)
SYSTEMS = ("S01", "S02")


@pytest.fixture(scope="module")
def cells(random_extract: Extract, small_study: Study, build: Callable[[Extract, Study], CellTables]) -> CellTables:
    return build(random_extract, replace(small_study, composition=Composition(age_bands=STARTS)))


def band(age: int) -> str:
    return NAMES[sum(age >= start for start in STARTS[1:])]


def baseline_system(spans: pd.DataFrame, practice: str) -> str | None:
    """The system of a practice on the day of the map, or its first later one."""
    own = spans[(spans["practice_id"] == practice) & (spans["end"].fillna("9999") >= "2022-12-31")].sort_values("start")
    found = own["system_id"].iloc[0] if len(own) else None
    return found if found in SYSTEMS else None


def test_cells_by_age_are_counts_of_members(random_tables: dict[str, pd.DataFrame], cells: CellTables) -> None:
    months: Counter[tuple[str, int]] = Counter()
    for row in random_tables["enrollment_span"].itertuples():
        if row.medical:
            months[row.member_id, int(row.start[:4])] += 13 - int(row.start[5:7])
    own = random_tables["attribution"].query("rule == 'performance_year'")
    practice = {(r.member_id, r.year): r.practice_id for r in own.itertuples() if months[r.member_id, r.year] >= 10}
    race = {r.member_id: GROUPS[r.race_eth] for r in random_tables["race_ethnicity"].itertuples() if r.version == "F"}
    system = {p: baseline_system(random_tables["practice_system_span"], p) for p in set(practice.values())}
    expected: dict[str, Counter[tuple[object, ...]]] = {n: Counter() for n in ("den", "num", "den_stayed", "num_stayed")}
    for row in random_tables["measure_event"].itertuples():
        where = practice.get((row.member_id, row.year))
        if not row.denominator or where is None or system[where] is None:
            continue
        stayed = all(practice.get((row.member_id, t)) == where for t in STAY)
        for measure, (events, low, high) in AGES.items():
            if row.measure_id == events and low <= row.age_at_31dec <= high:
                key = (system[where], measure, race.get(row.member_id, "other"), row.year)
                at_base = band(row.age_at_31dec - row.year + STAY[0])
                expected["den"][*key, band(row.age_at_31dec)] += 1
                expected["num"][*key, band(row.age_at_31dec)] += row.numerator
                expected["den_stayed"][*key, at_base] += stayed
                expected["num_stayed"][*key, at_base] += stayed and row.numerator
    found = cells.cell_age.set_index(["system_id", "measure_id", "group", "year", "age_band"])
    for name, counts in expected.items():
        assert {k: int(v) for k, v in found[name].items() if v} == {k: v for k, v in counts.items() if v}, name
    assert found["den_stayed"].sum() > 20


def test_bands_add_up_to_the_cells(cells: CellTables) -> None:
    keys = ["map", "race_version", "system_id", "measure_id", "group", "year"]
    by_age = cells.cell_age.groupby(keys)[["den", "num"]].sum()
    by_age = by_age[by_age["den"] > 0]
    plain = cells.cell.groupby(keys)[["den", "num"]].sum().reindex(by_age.index)
    pd.testing.assert_frame_equal(by_age.astype("int64"), plain.astype("int64"))
    assert set(cells.cell_age["map"]) == {"baseline"}
    assert set(cells.cell_age["race_version"]) == {"frozen"}


def test_a_plan_without_bands_has_no_cells_by_age(random_cells: CellTables) -> None:
    assert random_cells.cell_age.empty
