"""Eleven members, every cell counted by hand: moves, versions, months, ages, exclusions, direction, exact money."""

from __future__ import annotations

from decimal import Decimal

import pandas as pd
from p4equity.cells import CellTables


def cells(tables: CellTables, measure: str, *, map: str = "baseline", race: str = "frozen") -> set[tuple[object, ...]]:
    """system, practice, group, year, stratum, den, num of a measure."""
    f = tables.cell
    f = f[(f["map"] == map) & (f["race_version"] == race) & (f["measure_id"] == measure)]
    return set(f[["system_id", "practice_id", "group", "year", "stratum", "den", "num"]].itertuples(index=False, name=None))


def test_blood_pressure_under_the_frozen_map(hand_cells: CellTables) -> None:
    assert cells(hand_cells, "CBP") == {
        # M01 and M04 in 2021; M04 has nine months in 2022 and no medical benefit in 2023
        ("S01", "PB", "white", 2021, "all", 2, 2),
        ("S01", "PB", "white", 2022, "all", 1, 0),
        ("S01", "PB", "white", 2023, "all", 2, 1),  # M01 (not met), M02 who moved to PB
        ("S02", "PA", "white", 2021, "all", 1, 1),  # M02: PA is of S02 on the map's day, so in every year
        ("S02", "PA", "white", 2022, "all", 1, 1),
        ("S02", "PC", "white", 2022, "all", 1, 1),  # M06: PC has only a later span
        ("S02", "PC", "white", 2023, "all", 1, 0),
        ("S01", "PB", "black", 2021, "all", 1, 1),  # M03
        ("S01", "PB", "black", 2022, "all", 1, 0),
        ("S01", "PB", "black", 2023, "all", 1, 1),
        ("S01", "PB", "other", 2021, "all", 1, 1),  # M09 has no race data: unknown; excluded in 2022
    }


def test_blood_pressure_as_treated(hand_cells: CellTables) -> None:
    found = cells(hand_cells, "CBP", map="as_treated")
    assert {row for row in found if row[1] in ("PA", "PC", "PD", "PE")} == {
        ("S01", "PA", "white", 2021, "all", 1, 1),  # PA was of S01 until June 2022
        ("S02", "PA", "white", 2022, "all", 1, 1),
        ("S02", "PC", "white", 2023, "all", 1, 0),  # no system before March 2023
        ("S02", "PD", "white", 2021, "all", 1, 1),  # in the study until the end of 2021, so not on the map's day
    }


def test_contemporaneous_race_follows_the_version_of_the_year(hand_cells: CellTables) -> None:
    found = {row for row in cells(hand_cells, "CBP", race="contemporaneous") if row[2] in ("black", "hispanic")}
    assert found == {
        ("S01", "PB", "hispanic", 2021, "all", 1, 1),
        ("S01", "PB", "hispanic", 2022, "all", 1, 0),
        ("S01", "PB", "black", 2023, "all", 1, 1),
    }


def test_ages_decide_which_measures_an_event_enters(hand_cells: CellTables) -> None:
    assert cells(hand_cells, "COL_50_75") == {
        ("S01", "PB", "white", 2022, "all", 1, 1),  # M05 at 50
        ("S02", "PA", "white", 2022, "all", 1, 0),  # M02 at 75
    }
    assert cells(hand_cells, "COL") == {
        ("S01", "PB", "white", 2022, "all", 2, 2),  # M05, and M01 at 46: admitted from 2022 on
        ("S02", "PA", "white", 2022, "all", 1, 0),
    }
    assert cells(hand_cells, "WCV") == {
        ("S01", "PB", "white", 2021, "3_11", 1, 1),
        ("S01", "PB", "white", 2022, "12_17", 1, 0),
    }


def test_a_measure_where_lower_is_better_enters_as_its_complement(hand_cells: CellTables) -> None:
    assert cells(hand_cells, "EED") == {
        ("S01", "PB", "white", 2021, "all", 1, 0),
        ("S01", "PB", "white", 2022, "all", 1, 1),
    }


def test_readings_are_counted_where_the_measure_has_them(hand_cells: CellTables) -> None:
    f = hand_cells.cell[(hand_cells.cell["map"] == "baseline") & (hand_cells.cell["race_version"] == "frozen")]
    pressure = f[f["measure_id"] == "CBP"].set_index(["practice_id", "group", "year"])["with_reading"]
    assert pressure["PB", "white", 2023] == 1  # M02; M01 has none
    assert pressure["PB", "white", 2021] == 2
    assert f[f["measure_id"] != "CBP"]["with_reading"].isna().all()


def test_money_is_exact_and_needs_the_minimum_months(hand_cells: CellTables) -> None:
    f = hand_cells.cell
    f = f[(f["measure_id"] == "SPEND") & (f["map"] == "baseline") & (f["race_version"] == "frozen")].set_index("year")
    assert f["den"].to_dict() == {2021: 12, 2022: 12, 2023: 6}  # M04 has nine months in 2022
    assert f["num"].to_dict() == {2021: 10010, 2022: 29, 2023: 250000001}
    assert f["num_sq"].to_dict() == {2021: 10010**2, 2022: 29**2, 2023: Decimal(250000001) ** 2}


def test_overlap_of_one_member_over_years(hand_cells: CellTables) -> None:
    f = hand_cells.cell_overlap
    f = f[(f["map"] == "baseline") & (f["race_version"] == "frozen") & (f["system_id"] == "S01") & (f["group"] == "white")]
    rows = f.set_index(["measure_1", "year_1", "measure_2", "year_2"])[["den_den", "num_den", "den_num", "num_num"]]
    # M01 and M04 in 2021, of whom only M01 in 2022 (not met); M02 comes from another system and joins in 2023.
    assert rows.loc["CBP", 2021, "CBP", 2021].astype(int).tolist() == [2, 2, 2, 2]
    assert rows.loc["CBP", 2021, "CBP", 2022].astype(int).tolist() == [1, 1, 0, 0]
    assert rows.loc["CBP", 2022, "CBP", 2023].astype(int).tolist() == [1, 0, 0, 0]
    money = [12 * 6, 10010 * 6, 12 * 250000001, 10010 * 250000001]
    assert [int(v) for v in rows.loc["SPEND", 2021, "SPEND", 2023]] == money
    # M05 alone is in the colorectal measure, and in no other contracted one.
    assert not [key for key in rows.index if key[0] != key[2] and "COL_50_75" in key]


def test_overlap_ends_where_a_member_changes_system_or_group(hand_cells: CellTables) -> None:
    f = hand_cells.cell_overlap
    f = f[(f["measure_1"] == "CBP") & (f["measure_2"] == "CBP") & (f["year_1"] == 2022) & (f["year_2"] == 2023)]
    keys = set(f[["map", "race_version", "system_id", "group"]].itertuples(index=False, name=None))
    assert ("baseline", "frozen", "S01", "black") in keys
    assert ("baseline", "contemporaneous", "S01", "black") not in keys  # M03: hispanic in 2022, black in 2023
    assert ("as_treated", "frozen", "S02", "white") not in keys  # M02: S02 in 2022, S01 in 2023


def flow(tables: CellTables, step: int, year: int) -> int:
    f: pd.DataFrame = tables.cell_flow
    return int(f.loc[(f["step"] == step) & (f["year"] == year), "n"].sum())


def test_flow_to_the_last_member(hand_cells: CellTables) -> None:
    assert [flow(hand_cells, step, 2021) for step in range(1, 7)] == [11, 11, 9, 9, 8, 5]
    # 2022: PX is a practice of no system; PD and PE are in none of the map; M04 has nine months; M09 is in no group compared.
    assert [flow(hand_cells, step, 2022) for step in range(1, 7)] == [11, 11, 8, 7, 6, 6]
    # 2023: M04 has no medical benefit, M10 no practice.
    assert [flow(hand_cells, step, 2023) for step in range(1, 7)] == [10, 9, 7, 7, 6, 4]


def test_profile_and_retention(hand_cells: CellTables) -> None:
    f = hand_cells.cell_profile
    f = f[(f["map"] == "baseline") & (f["race_version"] == "frozen") & (f["system_id"] == "S01")]
    named = f.set_index(["characteristic", "group", "year", "level"])["n"].sort_index()
    # White members of S01 with ten months in 2021: M01, M04, M05, M10, M11.
    assert named["age_band", "white", 2021].to_dict() == {"0-17": 1, "35-49": 1, "50-64": 3}
    assert named["adi_quintile", "white", 2021].to_dict() == {"1": 1, "2": 1, "3": 1, "5": 1, "unknown": 1}
    assert named["race_source", "black", 2021].to_dict() == {"self_report": 1}
    assert named["race_category", "white", 2021].to_dict() == {"NH White": 5}
    # Of M01, M05 and M11 in 2022 all are there in 2023.
    assert named["retention", "white", 2022].to_dict() == {"2023": 3}
    other = hand_cells.cell_profile
    later = other[(other["characteristic"] == "practice_map") & (other["level"] == "later span")]
    assert set(later["system_id"]) == {"S02"}
    assert later["n"].tolist() == [1, 1, 1] * 2  # M06 in three years, under both race versions
