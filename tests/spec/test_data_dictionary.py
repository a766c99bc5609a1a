"""The data dictionary agrees with itself, with Table Schema, and with what the rooms of the toolkit expect of it."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from frictionless import Resource, Schema
from p4equity import resources
from p4equity.dictionary import Dictionary, Table, load_dictionary

FOLDER = resources.dictionary_dir()
FILES = sorted((FOLDER / "tables").glob("*.yaml"))
ESTIMATE = [
    *("row_id", "analysis_id", "estimand", "estimator", "measure_id", "outcome", "group", "reference_group", "system_id"),
    *("cohort", "event_time", "sample", "race_version", "weighting"),
    *("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "conf_level", "interval", "outcome_unit"),
    *("inference", "df", "n_clusters", "n_treated_clusters", "p_attainable"),
    *("n_members", "n_cells", "first_year", "last_year"),
    *("status", "reason", "registered"),
    *("plan_hash", "data_hash", "code_version", "seed"),
]
DOMAIN = {
    *("system", "practice", "practice_system_span", "provider", "member", "enrollment_span", "attribution", "contract"),
    *("contract_measure", "measure", "measure_event", "race_ethnicity", "race_probability", "stratified_report", "grant"),
    *("ta_participation", "spending", "payment", "survey_response", "interview", "interview_code", "cell", "event_log"),
    *("protocol", "deviation", "external_context"),
}


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    return load_dictionary()


def test_every_table_of_the_domain_is_described(dictionary: Dictionary) -> None:
    assert set(dictionary.tables) >= DOMAIN
    assert {"estimate", "diagnostic", "cell_overlap", "cell_profile", "cell_flow"} <= set(dictionary.tables)


def test_estimate_columns_are_the_design_in_order(dictionary: Dictionary) -> None:
    assert list(dictionary.tables["estimate"].names) == ESTIMATE


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_frictionless_accepts_the_descriptor(path: Path) -> None:
    descriptor = yaml.safe_load(path.read_text())
    names = [f["name"] for f in descriptor["schema"]["fields"]]
    resource = Resource.from_descriptor(descriptor | {"data": [names]})
    assert resource.schema.field_names == names
    assert Schema.from_descriptor(descriptor["schema"]).primary_key == descriptor["schema"].get("primaryKey", [])


def test_frictionless_finds_what_the_schema_forbids() -> None:
    descriptor = yaml.safe_load((FOLDER / "tables" / "practice.yaml").read_text())
    names = ["practice_id", "practice_type", "n_pcps"]
    schema = {"fields": [f for f in descriptor["schema"]["fields"] if f["name"] in names], "primaryKey": ["practice_id"]}
    good: list[list[Any]] = [names, ["P1", "adult", 3], ["P2", "mixed", 0]]
    assert Resource(data=good, schema=Schema.from_descriptor(schema)).validate().valid
    for bad in (["P3", "adult", -1], ["P1", "adult", 3], ["P3", None, 3]):
        assert not Resource(data=[*good, bad], schema=Schema.from_descriptor(schema)).validate().valid


def test_a_column_has_one_type_and_unit_everywhere(dictionary: Dictionary) -> None:
    seen: dict[str, dict[tuple[str, str | None], list[str]]] = {}
    for table in dictionary.tables.values():
        for f in table.fields:
            seen.setdefault(f.name, {}).setdefault((f.type, f.unit), []).append(table.name)
    assert {name: kinds for name, kinds in seen.items() if len(kinds) > 1} == {}


def test_numbers_have_units_and_every_field_words(dictionary: Dictionary) -> None:
    for table, f in ((t, f) for t in dictionary.tables.values() for f in t.fields):
        assert f.description
        assert f.type != "number" or f.unit, f"{table.name}.{f.name} has no unit"


def test_tables_about_persons_say_so(dictionary: Dictionary) -> None:
    for table in dictionary.tables.values():
        about_members = "member_id" in table.names or "respondent_id" in table.names or "interview_id" in table.names
        assert table.person_level or not about_members, table.name
        assert not (table.person_level and table.role == "extract" and "B" in table.tiers and "member_id" in table.names)


def _column(table: Table, name: str) -> str:
    types = {"string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE"}
    return f'"{name}" {types[table.field(name).type]}'


def test_every_sql_rule_binds_to_the_columns(dictionary: Dictionary) -> None:
    with duckdb.connect() as con:
        con.execute("CREATE TABLE dictionary_measure (measure_id VARCHAR, events VARCHAR, kind VARCHAR)")
        con.execute("CREATE TABLE dictionary_age (events VARCHAR, year INTEGER, age_min INTEGER, age_max INTEGER)")
        con.execute("CREATE TABLE study_parameter (name VARCHAR, value VARCHAR)")
        for table in dictionary.tables.values():
            con.execute(f'CREATE TABLE "{table.name}" ({", ".join(_column(table, n) for n in table.names)})')
            for rule in table.rules:
                con.execute(f'SELECT count_if(NOT ({rule.check})) FROM "{table.name}"')
        for s in dictionary.summaries:
            kept = "".join(f', {sql} AS "{column}"' for column, sql in s.keep.items())
            by = ", ".join(f'"{c}"' for c in s.by)
            con.execute(f'CREATE TABLE "{s.name}" AS SELECT {by}, count(*) AS n{kept} FROM "{s.of}" GROUP BY {by}')
        for cross in dictionary.rules:
            names = [d[0] for d in con.execute(cross.sql).description]
            assert all(n.startswith("key_") for n in names), cross.id
            read = {s.of for s in dictionary.summaries if re.search(rf"\b{s.name}\b", cross.sql)}
            assert read <= set(cross.tables), cross.id


def test_groups_partition_the_recorded_categories(dictionary: Dictionary) -> None:
    recorded = {c.value for c in dictionary.tables["race_ethnicity"].field("race_eth").categories}
    for scheme in dictionary.schemes.values():
        mapped = list(itertools.chain.from_iterable(g.categories for g in scheme.groups))
        assert len(mapped) == len(set(mapped))
        assert set(mapped) in (recorded, set())
        assert len({g.color for g in scheme.groups}) == len({g.marker for g in scheme.groups}) == len(scheme.groups)


def test_measures_are_whole(dictionary: Dictionary) -> None:
    for m in dictionary.measures.values():
        assert (m.age_min is None) == (m.age_max is None)
        assert m.kind != "proportion" or m.age_min is not None, m.id
        if m.strata:
            assert (m.strata[0].age_min, m.strata[-1].age_max) == (m.age_min, m.age_max)
            assert all(b.age_min == a.age_max + 1 for a, b in itertools.pairwise(m.strata))


def test_synthetic_hints_are_explained_and_know_their_groups(dictionary: Dictionary) -> None:
    explained = set(re.findall(r"`(\w+)`", (FOLDER / "README.md").read_text()))
    groups = {g for s in dictionary.schemes.values() for g in s.ids}
    for m in dictionary.measures.values():
        assert set(m.synthetic) <= explained, m.id
        for key in ("gaps", "propensity", "reading_gaps", "group_ratio"):
            assert set(m.synthetic.get(key, {})) <= groups


def test_readme_explains_every_own_key() -> None:
    used = {k for f in FILES for k in re.findall(r"(p4e:\w+)", f.read_text())}
    assert used == set(re.findall(r"(p4e:\w+)", (FOLDER / "README.md").read_text()))
