"""Members by results before and after the contracts, and bins of their probabilities, against a loop over members."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pytest
from p4equity.cells import CellTables, write_tier_b
from p4equity.cells.histories import BAND_STARTS, BANDS, bin_of
from p4equity.cells.plan import Window, plan_of
from p4equity.dictionary import load_dictionary
from p4equity.engines import open_engine
from p4equity.extract import Extract, open_extract
from p4equity.study import Study, load_study
from p4equity.validate import validate

AGES = {"COL_50_75": ("COL", 50, 75), "CBP": ("CBP", 18, 85), "WCV": ("WCV", 3, 21)}
BY_CATEGORY = {"NH White": "white", "NH Black": "black", "Hispanic": "hispanic", "NH Asian": "asian", "declined": "other"}
GROUPS = {"white": ["p_white"], "black": ["p_black"], "hispanic": ["p_hispanic"], "asian": ["p_asian"],
          "other": ["p_aian", "p_multi"]}  # fmt: skip
YEARS, SYSTEMS = (2021, 2022, 2023), ("S01", "S02")
# Probabilities in tenths of a percent, their bin: ties, and both sides of every border.
BINS = [
    ((500, 500, 0, 0, 0, 0), ("white", "black", 0)), ((0, 0, 500, 500, 0, 0), ("hispanic", "asian", 0)),
    ((100, 300, 300, 0, 150, 150), ("black", "hispanic", 0)), ((549, 0, 0, 451, 0, 0), ("white", "asian", 0)),
    ((0, 450, 550, 0, 0, 0), ("hispanic", "black", 1)), ((251, 749, 0, 0, 0, 0), ("black", "white", 1)),
    ((0, 0, 0, 250, 350, 400), ("other", "asian", 2)), ((0, 0, 0, 899, 0, 101), ("asian", "other", 2)),
    ((900, 0, 0, 0, 0, 0), ("white", "black", 3)), ((5, 979, 5, 5, 6, 0), ("black", "other", 3)),
    ((20, 980, 0, 0, 0, 0), ("black", "black", 4)), ((0, 0, 0, 0, 1000, 0), ("other", "other", 4)),
]  # fmt: skip
Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def tables(random_tables: Tables) -> Tables:
    """The random members, the first of them with the probabilities of BINS; a third lack any."""
    probabilities = random_tables["race_probability"].copy()
    frozen = probabilities.index[probabilities["version"] == "F"][: 20 * len(BINS)]
    of_bin = [BINS[i % len(BINS)][0] for i in range(len(frozen))]
    columns = [name for names in GROUPS.values() for name in names]
    probabilities.loc[frozen, columns] = [[value / 1000 for value in row] for row in of_bin]
    return {**random_tables, "race_probability": probabilities}


@pytest.fixture(scope="module", params=["baseline", "as_treated"])
def mapped(request: pytest.FixtureRequest, small_study: Study) -> Study:
    """The study with one of the two maps as its primary one: under the other, practices change their system."""
    return replace(small_study, population=small_study.population.model_copy(update={"map": request.param}))


@pytest.fixture(scope="module")
def extract(tables: Tables, make_extract: Callable[..., Extract], tmp_path_factory: pytest.TempPathFactory) -> Extract:
    return make_extract(tmp_path_factory.mktemp("histories") / "extract", tables, as_csv=False)


@pytest.fixture(scope="module")
def cells(extract: Extract, mapped: Study, build: Callable[[Extract, Study], CellTables]) -> CellTables:
    return build(extract, mapped)


def system_of(spans: pd.DataFrame, practice: str, map: str, year: int) -> str | None:
    """The system of a practice: on the day of the map, or from its first later day; or at the end of each year."""
    day = "2022-12-31" if map == "baseline" else f"{year}-12-31"
    own = spans[(spans["practice_id"] == practice) & (spans["end"].fillna("9999") >= day)].sort_values("start")
    own = own if map == "baseline" else own[own["start"] <= day]
    found = own["system_id"].iloc[0] if len(own) else None
    return found if found in SYSTEMS else None


def bins_of(tables: Tables) -> dict[str, tuple[tuple[str, str, int], dict[str, int]]]:
    """Bin and micro-units by group of each member with probabilities."""
    found = {}
    for row in tables["race_probability"].query("version == 'F'").to_dict("records"):
        p = {group: sum(round(row[name] * 10**6) for name in names) for group, names in GROUPS.items()}
        first, second = sorted(p, key=lambda g: -p[g])[:2]  # a stable sort: of equal groups the first of the scheme
        band = sum(p[first] >= start for start in BAND_STARTS)
        found[row["member_id"]] = ((first, first if band == len(BAND_STARTS) else second, band), p)
    return found


def histories(tables: Tables, map: str) -> dict[tuple[Any, ...], list[int]]:
    """(member, system, measure) -> years before in denominator and numerator, years after in both."""
    months: Counter[tuple[str, int]] = Counter()
    for row in tables["enrollment_span"].itertuples():
        if row.medical:
            months[row.member_id, int(row.start[:4])] += 13 - int(row.start[5:7])
    own = tables["attribution"].query("rule == 'performance_year'")
    practice = {(r.member_id, r.year): r.practice_id for r in own.itertuples() if months[r.member_id, r.year] >= 10}
    known = {(p, y): system_of(tables["practice_system_span"], p, map, y) for p in set(practice.values()) for y in YEARS}
    found: dict[tuple[Any, ...], list[int]] = {}
    for row in tables["measure_event"].itertuples():
        system = known.get((practice.get((row.member_id, row.year)), row.year))
        for measure, (events, low, high) in AGES.items():
            if row.denominator and system and row.measure_id == events and low <= row.age_at_31dec <= high:
                counts = found.setdefault((row.member_id, system, measure), [0, 0, 0, 0])
                counts[2 * (row.year == 2023)] += 1
                counts[2 * (row.year == 2023) + 1] += row.numerator
    return found


def test_histories_are_counts_of_members(tables: Tables, cells: CellTables, mapped: Study) -> None:
    race = tables["race_ethnicity"].query("version == 'F' and source.str.startswith('self_report')")
    own = {row.member_id: BY_CATEGORY[row.race_eth] for row in race.itertuples()}
    bins = bins_of(tables)
    expected: Counter[tuple[Any, ...]] = Counter()
    for (member, system, measure), counts in histories(tables, mapped.population.map).items():
        if member in bins:
            expected[mapped.population.map, "frozen", system, measure, own.get(member, "none"), *bins[member][0], *counts] += 1
    found = {tuple(row[:-1]): row[-1] for row in cells.cell_history.itertuples(index=False)}
    assert found == dict(expected)
    assert len(found) > 300
    assert {key[4] for key in found} == {*GROUPS, "none"}
    assert max(expected.values()) > 1


def test_bins_hold_each_member_once_a_measure(tables: Tables, cells: CellTables, mapped: Study) -> None:
    bins = bins_of(tables)
    expected: dict[tuple[Any, ...], list[int]] = {}
    found_in = histories(tables, mapped.population.map)
    members = {(member, measure) for member, _, measure in found_in if member in bins}
    for member, measure in members:
        of_bin, p = bins[member]
        for group, value in p.items():
            sums = expected.setdefault((mapped.population.map, "frozen", measure, *of_bin, group), [0, 0])
            sums[0] += 1
            sums[1] += value
    found = {tuple(row[:-2]): list(row[-2:]) for row in cells.race_bin.itertuples(index=False)}
    assert found == expected
    assert len(members) < sum(member in bins for member, _, _ in found_in)  # some were in both systems


@pytest.mark.parametrize(("shares", "expected"), BINS, ids=["-".join(map(str, b)) for _, b in BINS])
def test_a_bin_is_as_said_by_hand(small_study: Study, shares: tuple[int, ...], expected: tuple[str, str, int]) -> None:
    plan = plan_of(small_study, load_dictionary())
    micro = [value * 1000 for value in (*shares[:4], shares[4] + shares[5])]
    one = ibis.memtable(pd.DataFrame([{f"p_{i}": value for i, value in enumerate(micro)}]))
    with open_engine("duckdb", threads=1) as engine:
        pair, band = divmod(engine.fetch(one.select(bin=bin_of(one, plan))).to_pylist()[0]["bin"], BANDS)
    likely, second = divmod(pair, len(plan.groups))
    assert (plan.groups[likely], plan.groups[second], band) == expected


def test_without_contracts_there_are_no_histories(
    extract: Extract, small_study: Study, build: Callable[[Extract, Study], CellTables]
) -> None:
    without = build(extract, replace(small_study, contracts=()))
    assert len(without.cell_history) == len(without.race_bin) == 0
    assert len(without.cell_probability) > 0


def windows(study: Study) -> dict[tuple[str, str], Window]:
    plan = plan_of(study, load_dictionary())
    return {(plan.systems[w.system], plan.measures[w.measure].id): w for w in plan.windows}


def test_years_before_and_after_are_those_of_the_registered_questions() -> None:
    study = load_study("bcbsma_pay_for_equity")
    found = windows(study)
    assert {w.pre for w in found.values()} == {study.baseline.pre_years}
    gone = {s.id: year for s in study.arm_systems("participating") if (year := study.exit_year(s.id)) is not None}
    assert gone
    late = {(r.system_id, r.measure_id): r.cohort for r in study.contract_matrix().itertuples() if r.cohort > study.launch_cohort}
    assert late
    for (system, measure), window in found.items():
        first, end = late.get((system, measure), study.launch_cohort), gone.get(system, max(study.years) + 1)
        assert window.post == tuple(range(first, end)), (system, measure)
    carried = windows(replace(study, population=study.population.model_copy(update={"exit_rule": "carry"})))
    assert all(w.post[-1] == max(study.years) for w in carried.values())
    apart = windows(replace(study, baseline=study.baseline.model_copy(update={"apart": (2024,)})))
    assert all(2024 not in w.post for w in apart.values())


def broken_rules(cells: CellTables, study: Study, folder: Path) -> set[tuple[str, str]]:
    """Table and rule of the faults that validation finds in the histories and bins."""
    write_tier_b(cells, study, folder)
    found = validate(open_extract(folder), study, load_dictionary()).errors
    return {(problem.table, problem.rule) for problem in found if "cell_history" in problem.table or "race_bin" in problem.table}


FAULTS = [
    ("cell_history", "pre_num", lambda f: f["pre_den"] + 1, "years_in_numerator_within_denominator"),
    ("cell_history", "post_den", lambda f: f["post_den"] + 63, "range"),
    ("cell_history", "second_group", lambda f: f["likely_group"], "highest_band_has_one_group"),
    ("cell_history", "reported_group", lambda f: f["reported_group"].replace("none", "nobody"), "category"),
    ("cell_history", "likely_group", lambda f: f["likely_group"].replace("white", "none"), "category"),
    ("cell_history", "members", lambda f: 0 * f["members"], "range"),
    ("race_bin", "second_group", lambda f: f["likely_group"], "highest_band_names_one_group"),
    ("race_bin", "p", lambda f: f["members"] * 2_000_000, "bin_probability_within_members"),
    ("race_bin", "members", lambda f: f["members"] + 500, "bins_hold_members_of_histories"),
    ("race_bin", "members", lambda f: f["members"].where(f["group"] != "black", 1), "bins_hold_members_of_histories"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "column", "wrong", "rule"), FAULTS, ids=[f"{f[1]}-{f[3]}" for f in FAULTS])
def test_faults_of_histories_are_found(
    random_cells: CellTables, small_study: Study, tmp_path: Path,
    table: str, column: str, wrong: Callable[[pd.DataFrame], pd.Series], rule: str,
) -> None:  # fmt: skip
    frame = getattr(random_cells, table)
    faulty = replace(random_cells, **{table: frame.assign(**{column: wrong(frame)})})
    assert rule in {found for _, found in broken_rules(faulty, small_study, tmp_path / "b")}


def test_histories_and_bins_are_valid(cells: CellTables, mapped: Study, tmp_path: Path) -> None:
    assert broken_rules(cells, mapped, tmp_path / "b") == set()
