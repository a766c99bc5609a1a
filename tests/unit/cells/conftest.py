"""A small study and two extracts of it: one made by hand and counted by hand, one random."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from p4equity.cells import CellTables, build_cells
from p4equity.dictionary import load_dictionary
from p4equity.extract import Extract, open_extract
from p4equity.study import Study, load_study

STUDY = """
[study]
id = "small"
title = "Small"
short_title = "Small"
evaluator = "Tests"
funder = "None"
report_date = 2026-01-01
registration = "none"
registered_on = 2026-01-01
ethics = "none"
synthetic_default = false
estimand = "none"
[data]
kind = "counts"
years = [2021, 2022, 2023]
[population]
map = "baseline"
map_date = 2022-12-31
map_sensitivity = "as_treated"
minimum_months = 10
[groups]
scheme = "race_ethnicity_5"
reference = "white"
compared = ["black", "hispanic"]
[race]
primary = "frozen"
frozen_version = "F"
contemporaneous_versions = { 2021 = "V1", 2022 = "V1", 2023 = "V2" }
[baseline]
pre_years = [2021, 2022]
reference_year = 2022
weights_years = [2021, 2022]
[measures]
contracted = ["COL_50_75", "CBP", "WCV"]
not_incentivized = ["EED"]
broken_series = ["COL"]
spending = "SPEND"
[inference]
conf_level = 0.95
alpha = 0.05
primary = ["knapp_hartung"]
multiplicity = "none"
[[analysis]]
id = "measure"
registered = "primary"
outcome = "gap"
estimator = "meta_regression"
measures = "contracted"
groups = "pooled"
inference = ["knapp_hartung"]
[disclosure]
threshold = 11
system_names = "public"
[report]
sections = ["at_a_glance"]
"""

# Sensitivity analyses that read everything, so that every variant has every measure: a plan that asks for less gets less.
STUDY += "".join(
    f"""
[[analysis]]
id = "{variant}_{outcome}"
registered = "secondary"
outcome = "{outcome}"
estimator = "meta_regression"
measures = {measures}
groups = "pooled"
inference = ["knapp_hartung"]
contracts = "any"
{key} = "{variant}"
"""
    for key, variant in (("map", "as_treated"), ("race_version", "contemporaneous"))
    for outcome, measures in (("gap", '["COL", "EED"]'), ("spending", '"spending"'))
)

SYSTEMS = """
[[system]]
id = "S01"
name = "One"
arm = "participating"
stratum = "adult"
[[system]]
id = "S02"
name = "Two"
arm = "comparison"
stratum = "adult"
[[system]]
id = "S03"
name = "Three"
arm = "excluded"
stratum = "adult"
[[contract]]
contract_id = "C1"
system_id = "S01"
cohort = 2023
effective = 2023-01-01
measures = ["COL_50_75", "CBP", "WCV"]
"""


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Three years, systems S01 and S02 (S03 excluded), and EED turned into a measure where lower is better."""
    folder = tmp_path_factory.mktemp("study") / "small"
    folder.mkdir()
    (folder / "study.toml").write_text(STUDY)
    (folder / "systems.toml").write_text(SYSTEMS)
    study = load_study(folder)
    lower = replace(study.measures["EED"], higher_is_better=False)
    return replace(study, measures={**study.measures, "EED": lower})


ARROW = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(), "date": pa.date32()}


def write_extract(folder: Path, tables: Mapping[str, pd.DataFrame], *, as_csv: bool) -> Extract:
    """An extract of tier A with every column of the dictionary, those that `tables` does not give being null."""
    dictionary = load_dictionary()
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        full = frame.reindex(columns=list(dictionary.table(name).names)).convert_dtypes()
        if as_csv:
            for column in full.columns:
                if full[column].dtype == "boolean":
                    full[column] = full[column].map({True: "true", False: "false"})
            full.to_csv(folder / f"{name}.csv", index=False)
        else:
            for column in ("start", "end"):
                if column in full:
                    full[column] = pd.to_datetime(full[column]).dt.date
            kinds = {f.name: ARROW[f.type] for f in dictionary.table(name).fields}
            rows = pa.table({c: pa.array([None if pd.isna(v) else v for v in full[c]], kind) for c, kind in kinds.items()})
            (folder / name).mkdir()
            half = len(rows) // 2
            pq.write_table(rows.slice(0, half), folder / name / "block-0000.parquet")
            pq.write_table(rows.slice(half), folder / name / "block-0001.parquet")
    return open_extract(folder)


@pytest.fixture(scope="session")
def make_extract() -> Callable[..., Extract]:
    """`write_extract`, for tests that change the tables first."""
    return write_extract


def spans(*rows: tuple[str, str, str | None, str]) -> pd.DataFrame:
    """Practices in systems: practice, first day, last day, system."""
    return pd.DataFrame(rows, columns=["practice_id", "start", "end", "system_id"])


def enrolled(*rows: tuple[str, str, str], medical: bool = True) -> pd.DataFrame:
    """Coverage: member, first day, last day."""
    frame = pd.DataFrame(rows, columns=["member_id", "start", "end"])
    return frame.assign(product="HMO", market="self_insured", medical=medical)


Build = Callable[[Extract, Study], CellTables]


@pytest.fixture(scope="session")
def build() -> Build:
    """Cells of an extract on one thread."""
    return lambda extract, study: build_cells(extract, study, load_dictionary(), threads=1)


@pytest.fixture(scope="session")
def random_tables() -> dict[str, pd.DataFrame]:
    """600 members who move between practices, change recorded group, miss months, and recur in measures."""
    rng = np.random.default_rng(20)
    members = [f"M{i:04d}" for i in range(600)]
    practices = [f"P{i:02d}" for i in range(9)]
    places = spans(
        *[(p, "2010-01-01", None, f"S0{1 + i % 3}") for i, p in enumerate(practices[:6])],
        ("P06", "2010-01-01", "2022-08-31", "S01"), ("P06", "2022-09-01", None, "S02"),
        ("P07", "2023-02-01", None, "S01"), ("P08", "2010-01-01", "2022-03-31", "S02"),
    )  # fmt: skip
    rows: dict[str, list[dict[str, object]]] = {k: [] for k in ("member", "enrollment_span", "attribution", "race_ethnicity")}
    events: list[dict[str, object]] = []
    money: list[dict[str, object]] = []
    for m in members:
        born = int(rng.integers(1940, 2018))
        rows["member"].append(
            {"member_id": m, "birth_year": born, "sex": rng.choice(["F", "M"]), "adi_national_pct": int(rng.integers(1, 101)),
             "language_pref": rng.choice(["English", "Spanish"])}
        )  # fmt: skip
        for version in ("F", "V1", "V2"):
            if rng.random() < 0.95:
                group = rng.choice(["NH White", "NH White", "NH Black", "Hispanic", "NH Asian", "declined"])
                source = rng.choice(["self_report_portal", "imputed"])
                rows["race_ethnicity"].append({"member_id": m, "version": version, "race_eth": group, "source": source})
        for year in (2021, 2022, 2023):
            if rng.random() < 0.9:
                first = int(rng.choice([1, 1, 1, 2, 4]))
                rows["enrollment_span"].append(
                    {"member_id": m, "start": f"{year}-{first:02d}-01", "end": f"{year}-12-31", "medical": rng.random() < 0.97,
                     "product": rng.choice(["HMO", "PPO"]), "market": "self_insured"}
                )  # fmt: skip
            if rng.random() < 0.95:
                rows["attribution"].append(
                    {"member_id": m, "year": year, "rule": "performance_year", "practice_id": rng.choice(practices)}
                )
            rows["attribution"].append({"member_id": m, "year": year, "rule": "pcp_of_record", "practice_id": practices[0]})
            for stream in ("COL", "CBP", "WCV", "EED"):
                if rng.random() < 0.7:
                    met = bool(rng.random() < 0.6)
                    out = "hospice" if rng.random() < 0.05 else None
                    events.append(
                        {"member_id": m, "measure_id": stream, "year": year, "denominator": out is None, "exclusion": out,
                         "numerator": met and out is None, "age_at_31dec": year - born,
                         "has_reading": (met or bool(rng.random() < 0.5)) if stream == "CBP" else None}
                    )  # fmt: skip
            if rng.random() < 0.9:
                amount = round(float(rng.lognormal(9, 2)), 2)
                money.append({"member_id": m, "year": year, "months": int(rng.integers(1, 13)), "allowed_total": amount})
    tables = {name: pd.DataFrame(r) for name, r in rows.items()}
    tables["race_probability"] = _probabilities(members)
    return {**tables, "practice_system_span": places, "measure_event": pd.DataFrame(events), "spending": pd.DataFrame(money)}


def _probabilities(members: list[str]) -> pd.DataFrame:
    """Probabilities of four in five members in the version of the study, and of everyone in another one."""
    rng = np.random.default_rng(21)
    columns = ["p_white", "p_black", "p_hispanic", "p_asian", "p_aian", "p_multi"]
    parts = []
    for version, share in (("F", 0.8), ("G", 1.0)):
        known = [m for m in members if rng.random() < share]
        drawn = rng.dirichlet(np.full(len(columns), 0.4), len(known)).round(4)
        parts.append(pd.DataFrame(drawn, columns=columns).assign(member_id=known, version=version))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="session")
def random_extract(tmp_path_factory: pytest.TempPathFactory, random_tables: dict[str, pd.DataFrame]) -> Extract:
    """The random members as Parquet files in two blocks a table."""
    return write_extract(tmp_path_factory.mktemp("random") / "extract", random_tables, as_csv=False)


@pytest.fixture(scope="session")
def random_cells(random_extract: Extract, small_study: Study, build: Build) -> CellTables:
    """The cells of the random members."""
    return build(random_extract, small_study)


def hand_tables() -> dict[str, pd.DataFrame]:
    """Eleven members whose every count can be said without a computer."""
    places = spans(
        ("PA", "2015-01-01", "2022-06-30", "S01"), ("PA", "2022-07-01", None, "S02"),
        ("PB", "2015-01-01", None, "S01"),
        ("PC", "2023-03-01", None, "S02"),
        ("PD", "2015-01-01", "2021-12-31", "S02"),
        ("PE", "2015-01-01", None, "S03"),
    )  # fmt: skip
    whole = ("2021-01-01", "2023-12-31")
    coverage = pd.concat(
        [
            enrolled(*[(m, *whole) for m in ("M01", "M02", "M03", "M05", "M06", "M07", "M08", "M09", "M10", "M11")]),
            # M04: 2021 in two spans, 6 and 4 months; 2022 nine months (the last by its 15th); 2023 without medical benefit.
            enrolled(("M04", "2021-01-01", "2021-06-30"), ("M04", "2021-09-01", "2021-12-31")),
            enrolled(("M04", "2022-01-01", "2022-09-15")),
            enrolled(("M04", "2023-01-01", "2023-12-31"), medical=False),
        ]
    )
    practice = dict.fromkeys(["M01", "M03", "M04", "M05", "M09", "M11"], "PB") | {"M06": "PC", "M07": "PD", "M08": "PE"}
    where = [(m, y, p) for m, p in practice.items() for y in (2021, 2022, 2023)]
    where += [("M02", 2021, "PA"), ("M02", 2022, "PA"), ("M02", 2023, "PB"), ("M10", 2021, "PB"), ("M10", 2022, "PX")]
    attribution = pd.DataFrame(where, columns=["member_id", "year", "practice_id"]).assign(rule="performance_year")
    members = [f"M{i:02d}" for i in range(1, 12)]
    race = pd.DataFrame([(m, v, "NH White", "imputed") for m in members for v in ("F", "V1", "V2") if m not in ("M03", "M09")],
                        columns=["member_id", "version", "race_eth", "source"])  # fmt: skip
    race.loc[len(race)] = ["M03", "F", "NH Black", "self_report_portal"]
    race.loc[len(race)] = ["M03", "V1", "Hispanic", "imputed"]
    race.loc[len(race)] = ["M03", "V2", "NH Black", "self_report_provider"]
    born = {"M05": 1972, "M11": 2010}
    member = pd.DataFrame({"member_id": members, "birth_year": [born.get(m, 1960) for m in members], "sex": "F"})
    return {
        "member": member.assign(language_pref="English", adi_national_pct=[1, 20, 21, 40, 41, 60, 61, 80, 81, 100, None]),
        "enrollment_span": coverage,
        "practice_system_span": places,
        "attribution": attribution,
        "race_ethnicity": race,
        "measure_event": _hand_events(),
        "spending": pd.DataFrame(
            [("M01", 2021, 12, 100.10), ("M01", 2022, 12, 0.29), ("M01", 2023, 6, 2500000.01), ("M04", 2022, 9, 50.0)],
            columns=["member_id", "year", "months", "allowed_total"],
        ),
    }


def _hand_events() -> pd.DataFrame:
    """member, stream, year, age, met, reading; M09 in 2022 is excluded."""
    rows = [
        ("M01", "CBP", 2021, 61, True, True), ("M01", "CBP", 2022, 62, False, True), ("M01", "CBP", 2023, 63, False, False),
        ("M02", "CBP", 2021, 61, True, True), ("M02", "CBP", 2022, 62, True, True), ("M02", "CBP", 2023, 63, True, True),
        ("M03", "CBP", 2021, 61, True, True), ("M03", "CBP", 2022, 62, False, True), ("M03", "CBP", 2023, 63, True, True),
        ("M04", "CBP", 2021, 61, True, True), ("M04", "CBP", 2022, 62, True, True), ("M04", "CBP", 2023, 63, True, True),
        # 49 in 2021 (no measure: the specification began at 50), 50 in 2022 (both), 75 and 76 for M02, 46 for M01.
        ("M05", "COL", 2021, 49, True, None), ("M05", "COL", 2022, 50, True, None),
        ("M02", "COL", 2022, 75, False, None), ("M02", "COL", 2023, 76, True, None), ("M01", "COL", 2022, 46, True, None),
        ("M06", "CBP", 2022, 62, True, True), ("M06", "CBP", 2023, 63, False, True),
        ("M07", "CBP", 2021, 61, True, True), ("M08", "CBP", 2022, 62, True, True),
        ("M09", "CBP", 2021, 61, True, True), ("M09", "CBP", 2022, 62, False, None),
        ("M11", "WCV", 2021, 11, True, None), ("M11", "WCV", 2022, 12, False, None),
        ("M01", "EED", 2021, 61, True, None), ("M01", "EED", 2022, 62, False, None),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["member_id", "measure_id", "year", "age_at_31dec", "numerator", "has_reading"])
    excluded = (frame["member_id"] == "M09") & (frame["year"] == 2022)
    return frame.assign(denominator=~excluded, exclusion=np.where(excluded, "hospice", None))


@pytest.fixture(scope="session")
def hand_cells(tmp_path_factory: pytest.TempPathFactory, small_study: Study, build: Build) -> CellTables:
    """The cells of the members made by hand, read from CSV."""
    return build(write_extract(tmp_path_factory.mktemp("hand") / "extract", hand_tables(), as_csv=True), small_study)
