"""Each planted feature is in the data, alone, and of the size that truth.json states."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from p4equity.study import Study, load_study
from p4equity.synthetic import simulate
from p4equity.synthetic.truth_record import largest_of

Open = Callable[[str], Callable[[str], pd.DataFrame]]
MEMBERS, SEED = 50_000, 9
KEYS = ["member_id", "measure_id", "year"]


@pytest.fixture(scope="module")
def scenario(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Open:
    """SQL over the extract of a scenario; each is made once, all from the same seed."""
    import duckdb

    folder, made = tmp_path_factory.mktemp("scenarios"), {}

    def get(name: str) -> Callable[[str], pd.DataFrame]:
        if name not in made:
            out = simulate(study, folder / name, members=MEMBERS, seed=SEED, scenario=name, workers=1).out
            con = duckdb.connect()
            for table in ("measure_event", "race_ethnicity", "attribution"):
                con.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{out}/{table}/*.parquet')")
            con.execute(f"CREATE VIEW practice_system_span AS SELECT * FROM read_parquet('{out}/practice_system_span.parquet')")
            made[name] = lambda sql: con.sql(sql).df()
        return made[name]

    return get


@pytest.fixture(scope="module")
def bias(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], pd.DataFrame]:
    def get(name: str) -> pd.DataFrame:
        out = simulate(study, tmp_path_factory.mktemp("truth") / name, members=100, scenario=name).out
        return pd.DataFrame(json.loads((out / "truth.json").read_text(encoding="utf-8"))["predicted_bias"])

    return get


def events(query: Callable[[str], pd.DataFrame]) -> pd.DataFrame:
    return (
        query(
            """SELECT e.member_id, e.measure_id, e.year, e.numerator, e.has_reading, a.system_id
        FROM measure_event e LEFT JOIN attribution a USING (member_id, year) WHERE e.denominator"""
        )
        .set_index(KEYS)
        .sort_index()
    )


def test_clean_says_nothing_else_happens(scenario: Open, study: Study, bias: Callable[[str], pd.DataFrame]) -> None:
    clean = scenario("clean")
    assert bias("clean").empty
    assert clean("""SELECT count(*) AS n FROM practice_system_span WHERE "end" IS NOT NULL""")["n"][0] == 0
    years = clean(f"SELECT DISTINCT year FROM attribution WHERE system_id = '{study.exits[0].system_id}'")["year"]
    assert set(years) == set(study.years)
    classes = clean(
        "SELECT count(*) AS n FROM (SELECT member_id FROM race_ethnicity GROUP BY 1 HAVING count(DISTINCT race_eth) > 1)"
    )
    assert classes["n"][0] == 0


def test_the_exit_dissolves_the_system(scenario: Open, study: Study) -> None:
    default, leaving = scenario("default"), study.exits[0]
    years = default(f"SELECT DISTINCT year FROM attribution WHERE system_id = '{leaving.system_id}'")["year"]
    assert set(years) == {y for y in study.years if y < leaving.date.year}
    spans = default(
        f"""SELECT b.system_id AS buyer, a."end" FROM practice_system_span a LEFT JOIN practice_system_span b
        ON a.practice_id = b.practice_id AND b."start" > a."end" WHERE a.system_id = '{leaving.system_id}'"""
    )
    assert spans["end"].notna().all()
    assert 0.25 < spans["buyer"].notna().mean() < 0.75
    stays = default(
        f"""SELECT avg((b.practice_id = a.practice_id)::INT) AS stays, avg((b.system_id IS NULL)::INT) AS outside
        FROM attribution a JOIN attribution b ON a.member_id = b.member_id AND b.year = {leaving.date.year}
        WHERE a.year = {leaving.date.year - 1} AND a.system_id = '{leaving.system_id}'"""
    )
    assert 0.5 < stays["stays"][0] < 0.95
    assert 0.1 < stays["outside"][0] < 0.8


def test_effects_are_at_contracted_cells_only_and_of_the_stated_size(
    study: Study, edited: Callable[[str, str, str], Path], tmp_path: Path, scenario: Open
) -> None:
    import duckdb

    old = "points = { white = 0.0, black = 4.0, hispanic = 3.0, asian = 0.0 }"
    without = load_study(edited("truth.toml", old, "points = { white = 0.0, black = 0.0, hispanic = 0.0, asian = 0.0 }"))
    out = simulate(without, tmp_path / "x", members=MEMBERS, seed=SEED, scenario="clean", workers=1).out
    con = duckdb.connect()
    for table in ("measure_event", "attribution"):
        con.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{out}/{table}/*.parquet')")
    clean = scenario("clean")
    here, there = events(clean), events(lambda sql: con.sql(sql).df())
    gained = here["numerator"].astype(int) - there["numerator"].reindex(here.index).astype(int)
    changed = here[gained != 0].reset_index()
    contracted = study.contract_matrix()
    contracted = contracted[contracted["measure_id"] == "CBP"]
    assert set(changed["measure_id"]) == {"CBP"}
    assert set(changed["system_id"]) <= set(contracted["system_id"])
    assert changed["year"].min() >= study.launch_cohort
    frozen = clean("SELECT member_id, race_eth FROM race_ethnicity WHERE version = 'V5_BACKCAST'").set_index("member_id")[
        "race_eth"
    ]
    rows = here.reset_index().assign(gain=gained.to_numpy(), race=lambda d: d["member_id"].map(frozen))
    rows = rows[(rows["measure_id"] == "CBP") & (rows["year"] >= 2023) & rows["system_id"].isin(["S01", "S02", "S04", "S05"])]
    for race, points in (("NH White", 0.0), ("NH Black", 4.0), ("Hispanic", 3.0), ("NH Asian", 0.0)):
        mine = rows[rows["race"] == race]
        assert abs(100 * mine["gain"].mean() - points) < 0.001 + 4 * 100 * np.sqrt(points / 100 / len(mine))


def test_noise_selection_moves_the_selection_year_of_contracted_systems_only(study: Study, scenario: Open) -> None:
    here, there = events(scenario("noise_selected_baselines")), events(scenario("clean"))
    lost = there["numerator"].astype(int) - here["numerator"].astype(int)
    changed = here[lost != 0].reset_index()
    streams = {study.measure(m).events for m in study.measure_ids("contracted")}
    assert set(changed["measure_id"]) == streams
    assert set(changed["year"]) == set(study.baseline.selection_years)
    assert set(changed["system_id"].dropna()) <= set(study.contract_matrix()["system_id"])
    assert lost.sum() > 0


def test_noise_selection_leaves_a_third_of_itself_in_the_baseline(bias: Callable[[str], pd.DataFrame]) -> None:
    table = bias("noise_selected_baselines").set_index(["analysis_id", "measure_id", "group"]).sort_index()
    assert largest_of(12) == pytest.approx(1.6292, abs=1e-4)
    assert table.loc[("measure", "CBP", "pooled"), "points"] == pytest.approx(-4.0 * largest_of(12) / 3, abs=1e-3)
    assert table.loc[("measure_fresh_baseline", "CBP", "pooled"), "points"] == 0.0
    assert abs(table.loc["measure", "realized"].mean() - table.loc["measure", "points"].mean()) < 1.0


def test_what_reaches_systems_nearby_takes_its_share_from_the_contrast(
    scenario: Open, bias: Callable[[str], pd.DataFrame]
) -> None:
    """Three of seven comparison systems gain half of the 4 and 3 points; beside an extract without it, only they gain."""
    table = bias("spillover").set_index(["analysis_id", "measure_id", "group"]).sort_index()
    assert table.loc[("measure", "CBP", "black"), "points"] == pytest.approx(4.0 / 2 * 3 / 7, abs=1e-3)
    assert table.loc[("measure", "CBP", "hispanic"), "points"] == pytest.approx(3.0 / 2 * 3 / 7, abs=1e-3)
    here, there = events(scenario("spillover")), events(scenario("clean"))
    moved = here[here["numerator"] != there["numerator"]].reset_index()
    assert set(moved["system_id"]) == {"S07", "S09", "S10"}
    assert moved["year"].min() == 2023


def test_documentation_gain_adds_readings_not_control(scenario: Open, bias: Callable[[str], pd.DataFrame]) -> None:
    here, there = events(scenario("documentation_gain")), events(scenario("clean"))
    more = here["has_reading"].fillna(False).astype(int) - there["has_reading"].fillna(False).astype(int)
    changed = here[more != 0].reset_index()
    assert (more >= 0).all()
    assert set(changed["measure_id"]) == {"CBP", "HBD_CTRL"}
    assert changed["year"].min() == 2023
    known = there["has_reading"].fillna(False).astype(bool)
    assert (here["numerator"][known] == there["numerator"][known]).all()
    post = here.reset_index().assign(more=more.to_numpy())
    post = post[(post["measure_id"] == "CBP") & (post["year"] >= 2023) & post["system_id"].isin(["S01", "S02", "S05"])]
    assert 3.5 < 100 * post["more"].mean() < 5.5
    gap = bias("documentation_gain").set_index(["analysis_id", "measure_id", "group"])["points"]
    # Black members gain 7 points of readings, White ones 4; about 0.75 and 0.8 of readings are under control.
    assert gap[("measure", "CBP", "black")] == pytest.approx(4 * 0.81 - 7 * 0.78, abs=0.4)
    assert "COL_50_75" not in gap.index.get_level_values("measure_id")


def test_race_drift_is_in_participating_systems_and_late_versions_only(scenario: Open) -> None:
    share = scenario("race_data_drift")(
        """SELECT version, system_id, avg((source <> 'imputed')::INT) AS s FROM race_ethnicity
        JOIN attribution USING (member_id) WHERE year = 2022 AND system_id IN ('S01', 'S02', 'S07', 'S12') GROUP BY ALL"""
    ).set_index(["version", "system_id"])["s"]
    for system in ("S01", "S02"):
        assert abs(share[("V3", system)] - 0.21) < 0.02
        assert abs(share[("V5", system)] - 0.60) < 0.02
    for system in ("S07", "S12"):
        assert abs(share[("V5", system)] - 0.28) < 0.03


def test_race_drift_bias_follows_the_attenuation_formula(bias: Callable[[str], pd.DataFrame]) -> None:
    table: Any = bias("race_data_drift").set_index(["analysis_id", "measure_id", "group"])["points"]
    before = 0.15 / 3 + 0.21 * 2 / 3  # self-report of 2019, 2021, 2022
    drift = (0.60 - 0.27) * 0.345  # extra self-report after the contracts times the error it removes
    effect = (0.60 + 0.40 * 0.655 - 1) * -4.0  # and the planted effect is attenuated
    assert 0.17 < before < 0.2
    assert table[("sensitivity_race_version", "CBP", "black")] == pytest.approx(drift * 8.6 + effect, abs=0.9)
    assert set(table.index.get_level_values("analysis_id")) == {"sensitivity_race_version"}


def test_default_breaks_the_series_as_specified_and_clean_does_not(scenario: Open) -> None:
    sql = "SELECT year, avg(numerator::INT) AS r FROM measure_event WHERE measure_id = 'COL' AND denominator GROUP BY 1"
    broken = scenario("default")(sql).set_index("year")["r"]
    whole = scenario("clean")(sql).set_index("year")["r"]
    assert broken[2022] - broken[2021] < -0.04
    assert abs(whole[2022] - whole[2021]) < 0.03
