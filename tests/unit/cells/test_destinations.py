"""Where members of systems that left were later, against a loop over members."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest
from p4equity.cells import CellTables
from p4equity.extract import Extract
from p4equity.study import Study
from p4equity.study.roster import Exit
from p4equity.summaries.movers import movers_by_group, movers_table

Tables = dict[str, pd.DataFrame]
GROUPS = {"NH White": "white", "NH Black": "black", "Hispanic": "hispanic", "NH Asian": "asian", "declined": "other"}
EXITS = {"S01": 2023, "S02": 2022}
ARM = {"S01": "participating", "S02": "comparison", None: "outside"}


@pytest.fixture(scope="module")
def profile(random_extract: Extract, small_study: Study, build: Callable[[Extract, Study], CellTables]) -> pd.DataFrame:
    return build(random_extract, leaving(small_study)).cell_profile


def leaving(study: Study) -> Study:
    gone = tuple(Exit(system_id=s, date=dt.date(year, 5, 6), reason="sold") for s, year in EXITS.items())
    return replace(study, exits=gone)


def as_treated(tables: Tables, practice: str, year: int) -> str | None:
    """The system of a practice on 31 December; None outside S01 and S02."""
    for row in tables["practice_system_span"].itertuples():
        if row.practice_id == practice and row.start <= f"{year}-12-31" <= (row.end if isinstance(row.end, str) else "9999"):
            return row.system_id if row.system_id in EXITS else None
    return None


def test_every_member_of_a_system_that_left_is_counted_at_one_place_a_year(random_tables: Tables, profile: pd.DataFrame) -> None:
    months: Counter[tuple[str, int]] = Counter()
    for row in random_tables["enrollment_span"].itertuples():
        if row.medical:
            months[row.member_id, int(row.start[:4])] += 13 - int(row.start[5:7])
    own = random_tables["attribution"].query("rule == 'performance_year'")
    practice = {(r.member_id, r.year): r.practice_id for r in own.itertuples()}
    race = {r.member_id: GROUPS[r.race_eth] for r in random_tables["race_ethnicity"].itertuples() if r.version == "F"}
    expected: Counter[tuple[object, ...]] = Counter()
    for left, exit_year in EXITS.items():
        base = exit_year - 1
        for (member, year), before in practice.items():
            if year != base or as_treated(random_tables, before, base) != left or months[member, base] < 10:
                continue
            for n in (n for n in (1, 2) if base + n <= 2023):
                now = practice.get((member, base + n)) if months[member, base + n] else None
                same = "same" if now == before else "other"
                spot = f"{same} practice, {ARM[as_treated(random_tables, now, base + n)]}" if now else "not covered"
                expected[left, race.get(member, "other"), base, f"{n}: {spot}"] += 1
    rows = profile[profile["characteristic"] == "destination"]
    found = rows.set_index(["system_id", "group", "year", "level"])["n"]
    assert {k: int(v) for k, v in found.items()} == dict(expected)
    assert {k[3].split(": ")[1] for k in expected} >= {
        "same practice, participating",
        "other practice, comparison",
        "not covered",
    }


def test_the_summary_adds_up_to_the_members_of_the_last_full_year(small_study: Study, profile: pd.DataFrame) -> None:
    table = movers_table(leaving(small_study), profile)
    shares = table.groupby(["system_id", "years_later"])["share"].sum()
    assert list(shares.index) == [("S01", 1), ("S02", 1), ("S02", 2)]
    assert shares.round(9).eq(100).all()
    whole = table.groupby(["system_id", "years_later"])["n"].sum()
    assert whole["S02", 1] == whole["S02", 2]
    assert table.loc[table["place"] == "not covered", "practice"].eq("").all()


def test_groups_add_up_to_all_members_at_each_place(small_study: Study, profile: pd.DataFrame) -> None:
    study = leaving(small_study)
    whole, by_group = movers_table(study, profile), movers_by_group(study, profile)
    keys = ["system_id", "years_later", "place"]
    pd.testing.assert_series_equal(whole.groupby(keys)["n"].sum(), by_group.groupby(keys)["n"].sum())
    shares = by_group.groupby(["system_id", "years_later", "group"])["share"].sum()
    assert shares.round(9).eq(100).all()
    assert len(set(by_group["group"])) > 2
    assert movers_by_group(small_study, profile.iloc[:0]).empty


def test_without_an_exit_nothing_is_counted(small_study: Study, random_cells: CellTables) -> None:
    found = random_cells.cell_profile
    assert "destination" not in set(found["characteristic"])
    assert movers_table(small_study, found).empty
