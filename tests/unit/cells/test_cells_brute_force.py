"""Cells, overlap moments, profiles and flow of a random extract, against loops over members written from the definitions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations_with_replacement, product
from pathlib import Path

import pandas as pd
import pytest
from p4equity.cells import CellTables
from p4equity.extract import Extract
from p4equity.study import Study

GROUPS = {"NH White": "white", "NH Black": "black", "Hispanic": "hispanic", "NH Asian": "asian", "declined": "other"}
VERSION = {"frozen": dict.fromkeys((2021, 2022, 2023), "F"), "contemporaneous": {2021: "V1", 2022: "V1", 2023: "V2"}}
STRATA = [("3_11", 3, 11), ("12_17", 12, 17), ("18_21", 18, 21)]
VARIANTS = [("baseline", "frozen"), ("as_treated", "frozen"), ("baseline", "contemporaneous")]
Tables = dict[str, pd.DataFrame]


@dataclass
class Person:
    """One member as plain dictionaries by year."""

    months: Counter[int] = field(default_factory=Counter)
    practice: dict[int, str] = field(default_factory=dict)
    race: dict[str, str] = field(default_factory=dict)
    events: dict[tuple[str, int], tuple[bool, bool, int]] = field(default_factory=dict)
    money: dict[int, tuple[int, int]] = field(default_factory=dict)

    def group(self, race: str, year: int) -> str:
        return GROUPS[self.race[version]] if (version := VERSION[race][year]) in self.race else "other"


def people(tables: Tables) -> dict[str, Person]:
    """All members of the extract."""
    found: dict[str, Person] = defaultdict(Person)
    for row in tables["enrollment_span"].itertuples():
        if row.medical:
            found[row.member_id].months[int(row.start[:4])] += 13 - int(row.start[5:7])
    for row in tables["attribution"].itertuples():
        if row.rule == "performance_year":
            found[row.member_id].practice[row.year] = row.practice_id
    for row in tables["race_ethnicity"].itertuples():
        found[row.member_id].race[row.version] = row.race_eth
    for row in tables["measure_event"].itertuples():
        if row.denominator:
            found[row.member_id].events[row.measure_id, row.year] = (row.numerator, row.has_reading is True, row.age_at_31dec)
    for row in tables["spending"].itertuples():
        found[row.member_id].money[row.year] = (row.months, round(row.allowed_total * 100))
    return found


def system(tables: Tables, practice: str | None, map: str, year: int) -> str | None:
    """The system of a practice by the definition of the two maps; None outside S01 and S02."""
    spans = [s for s in tables["practice_system_span"].itertuples() if s.practice_id == practice]
    day = "2022-12-31" if map == "baseline" else f"{year}-12-31"
    at = [s for s in spans if s.start <= day and (pd.isna(s.end) or s.end >= day)]
    if not at and map == "baseline":
        at = sorted((s for s in spans if s.start > day), key=lambda s: s.start)[:1]
    return at[0].system_id if at and at[0].system_id != "S03" else None


def admitted(stream: str, year: int, age: int) -> list[tuple[str, str]]:
    """Measures and strata that a row of an event stream enters."""
    if stream == "COL":
        lowest = 45 if year >= 2022 else 50
        return [(m, "all") for m, low in (("COL", lowest), ("COL_50_75", 50)) if low <= age <= 75]
    if stream == "WCV":
        return [("WCV", name) for name, low, high in STRATA if low <= age <= high]
    return [(stream, "all")] if 18 <= age <= {"CBP": 85, "EED": 75}[stream] else []


def places(tables: Tables, person: Person, map: str, race: str) -> dict[int, tuple[str, str]]:
    """System and group of a member in the years in which the member is eligible."""
    found = {}
    for year in (2021, 2022, 2023):
        where = system(tables, person.practice.get(year), map, year)
        if where and person.months[year] >= 10:
            found[year] = (where, person.group(race, year))
    return found


def outcomes(person: Person) -> dict[tuple[str, int], tuple[int, int]]:
    """(measure, year) -> denominator and oriented numerator of one member; spending as months and cents."""
    found = {}
    for (stream, year), (met, _, age) in person.events.items():
        for measure, _ in admitted(stream, year, age):
            found[measure, year] = (1, int(met != (measure == "EED")))
    return found | {("SPEND", year): value for year, value in person.money.items()}


@pytest.mark.parametrize(("map", "race"), VARIANTS)
def test_cells(random_tables: Tables, random_cells: CellTables, map: str, race: str) -> None:
    expected: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for person in people(random_tables).values():
        for year, (where, group) in places(random_tables, person, map, race).items():
            for (stream, of_year), (met, reading, age) in person.events.items():
                for measure, stratum in admitted(stream, year, age) if of_year == year else ():
                    cell = expected[where, person.practice[year], measure, group, year, stratum]
                    numerator = int(met != (measure == "EED"))
                    expected[where, person.practice[year], measure, group, year, stratum] = [
                        cell[0] + 1, cell[1] + numerator, cell[2] + reading, 0
                    ]  # fmt: skip
            if year in person.money:
                months, cents = person.money[year]
                cell = expected[where, person.practice[year], "SPEND", group, year, "all"]
                cell[0], cell[1], cell[3] = cell[0] + months, cell[1] + cents, cell[3] + cents**2
    f = random_cells.cell
    f = f[(f["map"] == map) & (f["race_version"] == race)]
    keys = ["system_id", "practice_id", "measure_id", "group", "year", "stratum"]
    found = {
        tuple(key): [int(den), int(num), 0 if pd.isna(reading) else int(reading), 0 if pd.isna(sq) else int(sq)]
        for key, den, num, reading, sq in zip(
            f[keys].itertuples(index=False), f["den"], f["num"], f["with_reading"], f["num_sq"], strict=True
        )
    }
    assert len(found) > 200
    assert found == {k: [*v[:2], v[2] if k[2] == "CBP" else 0, v[3]] for k, v in expected.items()}


@pytest.mark.parametrize(("map", "race"), VARIANTS)
def test_overlap(random_tables: Tables, random_cells: CellTables, map: str, race: str) -> None:
    contracted = {"COL_50_75", "CBP", "WCV"}
    expected: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for person in people(random_tables).values():
        place = places(random_tables, person, map, race)
        mine = sorted((m, y, *v) for (m, y), v in outcomes(person).items() if y in place)
        for (m1, y1, d1, n1), (m2, y2, d2, n2) in combinations_with_replacement(mine, 2):
            if place[y1] == place[y2] and (m1 == m2 or {m1, m2} <= contracted):
                sums = expected[(*place[y1], m1, y1, m2, y2)]
                for i, (a, b) in enumerate(product((d2, n2), (d1, n1))):
                    sums[i] += a * b
    f = random_cells.cell_overlap
    f = f[(f["map"] == map) & (f["race_version"] == race)]
    keys = ["system_id", "group", "measure_1", "year_1", "measure_2", "year_2"]
    moments = ["den_den", "num_den", "den_num", "num_num"]
    found = {
        tuple(key): [int(v) for v in values]
        for key, values in zip(f[keys].itertuples(index=False), f[moments].itertuples(index=False), strict=True)
    }
    assert any(k[2] != k[4] for k in found)
    assert found == dict(expected)


@pytest.mark.parametrize(("map", "race"), VARIANTS)
def test_profile_totals_and_retention(random_tables: Tables, random_cells: CellTables, map: str, race: str) -> None:
    total: Counter[tuple[object, ...]] = Counter()
    stay: Counter[tuple[object, ...]] = Counter()
    for person in people(random_tables).values():
        place = places(random_tables, person, map, race)
        total.update((*p, year) for year, p in place.items())
        later = system(random_tables, person.practice.get(2023), map, 2023)
        if 2022 in place and person.months[2023] > 0 and later == place[2022][0]:
            stay[(*place[2022], "2023")] += 1
    f = random_cells.cell_profile
    f = f[(f["map"] == map) & (f["race_version"] == race)]
    shown = {"age_band", "sex", "product", "market", "language", "adi_quintile", "race_source", "race_category"}
    assert set(f["characteristic"]) == shown | {"retention"} | ({"practice_map"} if map == "baseline" else set())
    for characteristic, rows in f[f["characteristic"] != "retention"].groupby("characteristic"):
        sums = rows.groupby(["system_id", "group", "year"])["n"].sum()
        assert {k: int(v) for k, v in sums.items()} == dict(total), characteristic
    kept = f[f["characteristic"] == "retention"].set_index(["system_id", "group", "level"])["n"]
    assert {k: int(v) for k, v in kept.items()} == dict(stay)


def test_flow_reconciles_to_the_last_member(random_tables: Tables, random_cells: CellTables) -> None:
    left: dict[int, Counter[int]] = defaultdict(Counter)
    for person in people(random_tables).values():
        for year in (2021, 2022, 2023):
            where = system(random_tables, person.practice.get(year), "baseline", year)
            entered = any(admitted(s, y, age) for (s, y), (_, _, age) in person.events.items() if y == year)
            tests = [
                person.months[year] > 0, year in person.practice, where is not None, person.months[year] >= 10,
                person.group("frozen", year) in ("white", "black", "hispanic"), entered,
            ]  # fmt: skip
            for step in range(1, 7):
                left[year][step] += all(tests[:step])
    f = random_cells.cell_flow
    for year, steps in left.items():
        found = f[f["year"] == year].groupby("step")["n"].sum()
        assert [int(found[s]) for s in range(1, 7)] == [steps[s] for s in range(1, 7)]
        dropped = [steps[s - 1] - steps[s] for s in range(2, 7)]
        assert steps[1] - sum(dropped) == int(found[6])
        assert min(dropped) > 0
    assert f[f["step"] <= 2]["system_id"].isna().all()
    assert f[f["step"] > 2]["system_id"].notna().all()


def test_sums_of_probabilities(random_tables: Tables, random_cells: CellTables) -> None:
    groups = {"white": ["p_white"], "black": ["p_black"], "hispanic": ["p_hispanic"], "asian": ["p_asian"],
              "other": ["p_aian", "p_multi"]}  # fmt: skip
    frozen = random_tables["race_probability"].query("version == 'F'").set_index("member_id")
    micro = {m: {g: sum(round(row[c] * 10**6) for c in of) for g, of in groups.items()} for m, row in frozen.iterrows()}
    expected: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    for member, person in people(random_tables).items():
        place = places(random_tables, person, "baseline", "frozen")
        for (measure, year), (_, num) in outcomes(person).items():
            if year not in place or member not in micro or measure == "SPEND":
                continue
            for first, second in combinations_with_replacement(groups, 2):
                p, other = micro[member][first], micro[member][second]
                sums = expected[place[year][0], measure, year, first, second]
                sums[0] += p * other
                if first == second:
                    sums[1] += p
                    sums[2] += p * num
    f = random_cells.cell_probability
    keys = ["system_id", "measure_id", "year", "group_1", "group_2"]
    found = {
        tuple(key): [int(pp), 0 if pd.isna(p) else int(p), 0 if pd.isna(num) else int(num)]
        for key, pp, p, num in zip(f[keys].itertuples(index=False), f["p_p"], f["p"], f["p_num"], strict=True)
    }
    assert found == dict(expected)
    assert (f["p"].isna() == (f["group_1"] != f["group_2"])).all()


def test_sums_of_members_who_reported_themselves(random_tables: Tables, random_cells: CellTables) -> None:
    groups = {"white": ["p_white"], "black": ["p_black"], "hispanic": ["p_hispanic"], "asian": ["p_asian"],
              "other": ["p_aian", "p_multi"]}  # fmt: skip
    by_category = {"NH White": "white", "NH Black": "black", "Hispanic": "hispanic", "NH Asian": "asian"}
    frozen = random_tables["race_probability"].query("version == 'F'").set_index("member_id")
    micro = {m: {g: sum(round(row[c] * 10**6) for c in of) for g, of in groups.items()} for m, row in frozen.iterrows()}
    race = random_tables["race_ethnicity"].query("version == 'F' and source.str.startswith('self_report')")
    own = {m: by_category.get(c, "other") for m, c in zip(race["member_id"], race["race_eth"], strict=True)}
    expected: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0] * 5)
    for member, person in people(random_tables).items():
        place = places(random_tables, person, "baseline", "frozen")
        for (measure, year), (_, num) in outcomes(person).items():
            if year not in place or member not in micro or member not in own or measure == "SPEND":
                continue
            for first, second in combinations_with_replacement(groups, 2):
                p, reported = micro[member][first], own[member] == first
                sums = expected[place[year][0], measure, year, first, second]
                found = (p * micro[member][second], p, p * num, reported, reported * num)
                for k, value in enumerate(found if first == second else found[:1]):
                    sums[k] += int(value)
    f = random_cells.cell_self_report
    found_sums = {
        tuple(row[:5]): [0 if pd.isna(v) else int(v) for v in row[5:]]
        for row in f.drop(columns=["map", "race_version"]).itertuples(index=False)
    }
    assert len(found_sums) > 100
    assert found_sums == dict(expected)
    assert (f["den"].isna() == (f["group_1"] != f["group_2"])).all()


def test_products_of_the_largest_amounts_are_exact(
    random_tables: Tables, small_study: Study, build: Callable[[Extract, Study], CellTables], tmp_path: Path,
    make_extract: Callable[..., Extract],
) -> None:  # fmt: skip
    money = random_tables["spending"]
    amounts = [99_999_999.99 - i if i % 7 == 0 else v for i, v in enumerate(money["allowed_total"])]
    tables = {**random_tables, "spending": money.assign(allowed_total=amounts)}
    expected: Counter[tuple[object, ...]] = Counter()
    for person in people(tables).values():
        place = places(tables, person, "baseline", "frozen")
        for first, second in combinations_with_replacement(sorted(set(place) & set(person.money)), 2):
            if place[first] == place[second]:
                expected[(*place[first], first, second)] += person.money[first][1] * person.money[second][1]
    f = build(make_extract(tmp_path / "extract", tables, as_csv=False), small_study).cell_overlap
    f = f[(f["measure_1"] == "SPEND") & (f["map"] == "baseline") & (f["race_version"] == "frozen")]
    keys = ["system_id", "group", "year_1", "year_2"]
    found = {tuple(k): int(v) for k, v in zip(f[keys].itertuples(index=False), f["num_num"], strict=True)}
    assert max(found.values()) > 2**64
    assert found == dict(expected)
