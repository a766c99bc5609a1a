"""Each planted fault gives its own message; good data passes; several faults come in one report."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from p4equity.errors import DataError
from p4equity.extract import open_extract
from p4equity.study import Study
from p4equity.validate import Problem, ValidationReport, validate


def rewrite(folder: Path, table: str, query: str) -> None:
    """Replaces a table by a query over itself (name: t)."""
    file = next(f for f in folder.iterdir() if f.name.split(".")[0] == table)
    kind = "HEADER" if file.suffix == ".csv" else "FORMAT parquet"
    with duckdb.connect() as con:
        reader = "read_csv(?, all_varchar=true)" if file.suffix == ".csv" else "read_parquet(?)"
        con.execute(f"CREATE TABLE t AS SELECT * FROM {reader}", [str(file)])
        con.execute(f"COPY ({query}) TO '{file}' ({kind})")


def replace(column: str, value: str, where: str) -> str:
    """A query that sets a column where a condition holds."""
    return f'SELECT * REPLACE (CASE WHEN {where} THEN {value} ELSE "{column}" END AS "{column}") FROM t'


def errors(folder: Path, study: Study) -> dict[tuple[str, str, str | None], Problem]:
    """Errors by table, rule and column."""
    return {(p.table, p.rule, p.column): p for p in check(folder, study).errors}


def check(folder: Path, study: Study) -> ValidationReport:
    """The report on a folder."""
    return validate(open_extract(folder), study)


def test_good_data_passes(good_extract: Path, good_cells: Path, study: Study) -> None:
    for folder in (good_extract, good_cells):
        report = check(folder, study)
        assert report.problems == ()
        assert report.not_run == {}
        assert report.ok
        report.raise_for_problems()
    assert check(good_extract, study).tables["member"].rows == 600


MEMBER_FAULTS = [
    ("member", replace("birth_year", "NULL", "member_id LIKE '%7'"), ("member", "required", "birth_year"), 60),
    ("member", replace("sex", "'QQ'", "member_id LIKE '%77'"), ("member", "category", "sex"), 6),
    ("member", "SELECT * EXCLUDE (sex) FROM t", ("member", "missing_column", "sex"), 1),
    ("member", "SELECT * REPLACE (birth_year::VARCHAR AS birth_year) FROM t", ("member", "wrong_type", "birth_year"), 1),
    ("member", "SELECT * REPLACE (birth_year + 0.5 AS birth_year) FROM t", ("member", "wrong_type", "birth_year"), 600),
    ("spending", replace("months", "13", "year = 2020"), ("spending", "range", "months"), 600),
    ("spending", replace("risk_score", "'nan'::DOUBLE", "year = 2020"), ("spending", "finite", "risk_score"), 600),
    ("spending", replace("paid_plan", "90000", "year = 2020"), ("spending", "paid_within_allowed", None), 600),
    ("attribution", "SELECT * FROM t UNION ALL SELECT * FROM t WHERE year = 2019",
     ("attribution", "duplicate_key", "member_id, year, rule"), 600),
    ("member", "SELECT * FROM t WHERE member_id NOT LIKE '%99'", ("spending", "orphan_key", "member_id"), 48),
    ("measure_event", replace("numerator", "true", "NOT denominator"),
     ("measure_event", "numerator_implies_denominator", None), None),
    ("race_probability", replace("p_white", "0.9", "true"), ("race_probability", "probabilities_sum_to_one", None), 600),
    ("enrollment_span", replace("start", "DATE '2021-06-01'", "start = DATE '2022-01-01'"),
     ("enrollment_span", "enrollment_spans_do_not_overlap", None), 600),
    ("enrollment_span", replace("end", "DATE '2001-06-01'", "start = DATE '2022-01-01'"),
     ("enrollment_span", "end_not_before_start", None), 600),
    ("attribution", replace("system_id", "NULL", "practice_id = 'P1'"),
     ("attribution, practice_system_span", "attribution_follows_practice", None), 160),
    ("race_ethnicity", "SELECT * FROM t WHERE NOT (member_id LIKE '%9' AND version = 'V5_BACKCAST')",
     ("member, race_ethnicity", "frozen_version_covers_members", None), 60),
    ("race_ethnicity", "SELECT * FROM t WHERE version <> 'V3'", ("race_ethnicity", "plan_coverage", "version"), 1),
    ("measure_event", replace("event_date", "make_date(year::INT + 1, 1, 1)", "year = 2020"),
     ("measure_event", "event_not_after_year", None), None),
    ("measure_event", replace("event_date", "make_date(year::INT - 11, 1, 1)", "year = 2020"),
     ("measure_event", "event_not_after_year", None), None),
    ("measure_event", "SELECT * REPLACE (120.0 AS value, make_date(year::INT - 1, 12, 31) AS event_date) FROM t",
     ("measure_event", "result_of_the_year", None), None),
    ("member", replace("birth_year", "birth_year - 3", "member_id LIKE '%5'"),
     ("measure_event, member", "age_follows_birth_year", None), None),
    ("spending", replace("allowed_total", "1e14", "year = 2020"), ("spending", "range", "allowed_total"), 600),
    ("spending", replace("paid_member", "1e300", "year = 2020"), ("spending", "range", "paid_member"), 600),
    ("measure_event", replace("age_at_31dec", "110", "member_id LIKE '%01' AND measure_id = 'CBP'"),
     ("measure_event", "events_within_ages", None), None),
]  # fmt: skip


@pytest.mark.parametrize(("table", "query", "expected", "count"), MEMBER_FAULTS, ids=[str(f[2]) for f in MEMBER_FAULTS])
def test_fault_in_member_tables(
    extract_copy: Path, study: Study, table: str, query: str, expected: tuple[str, str, str | None], count: int | None
) -> None:
    rewrite(extract_copy, table, query)
    found = errors(extract_copy, study)
    assert expected in found
    problem = found[expected]
    assert problem.examples == ()
    assert problem.next
    assert count is None or problem.count == count
    assert problem.count > 0


def test_exited_system_must_not_vanish_before_its_exit(extract_copy: Path, study: Study) -> None:
    exited = study.exits[0].system_id
    rewrite(extract_copy, "attribution", f"SELECT * FROM t WHERE NOT (year = 2022 AND system_id = '{exited}')")
    assert ("attribution, system", "exited_systems_stay_until_exit", None) in errors(extract_copy, study)


def test_a_system_without_an_exit_keeps_its_members(extract_copy: Path, study: Study) -> None:
    stays = next(s.id for s in study.systems if study.exit_year(s.id) is None and s.arm == "participating")
    rewrite(extract_copy, "attribution", f"SELECT * FROM t WHERE NOT (year >= 2024 AND system_id = '{stays}')")
    rule = ("attribution, system, practice_system_span", "systems_keep_their_members", None)
    found = errors(extract_copy, study)[rule]
    assert [e.key for e in found.examples] == [{"system_id": stays, "year": y} for y in study.years if y >= 2024]


def test_members_of_a_system_that_left_are_not_dropped(extract_copy: Path, study: Study) -> None:
    left = study.exits[0]
    former = f"(SELECT member_id FROM t WHERE year = {left.date.year - 1} AND system_id = '{left.system_id}')"
    year = left.date.year
    closed = f"CASE WHEN year >= {year} AND system_id = '{left.system_id}' THEN NULL ELSE system_id END AS system_id"
    rewrite(extract_copy, "attribution", f"SELECT * REPLACE ({closed}) FROM t")
    rule = ("attribution, system, enrollment_span", "members_of_exited_systems_stay", None)
    assert rule not in errors(extract_copy, study)
    rewrite(extract_copy, "attribution", f"SELECT * FROM t WHERE year < {year} OR member_id NOT IN {former}")
    found = errors(extract_copy, study)[rule]
    assert [e.key for e in found.examples] == [{"system_id": left.system_id, "year": y} for y in study.years if y >= year]


def test_missing_tables_are_all_named_at_once(extract_copy: Path, study: Study) -> None:
    (extract_copy / "practice.parquet").unlink()
    (extract_copy / "spending.parquet").unlink()
    missing = {key[0] for key in errors(extract_copy, study) if key[1] == "missing_table"}
    assert missing == {"practice", "spending"}


def test_truncated_and_foreign_files(extract_copy: Path, study: Study) -> None:
    whole = (extract_copy / "member.parquet").read_bytes()
    (extract_copy / "member.parquet").write_bytes(whole[: len(whole) // 2])
    (extract_copy / "grant.parquet").write_text("grant_id,system_id\n")
    found = {k[0]: p for k, p in errors(extract_copy, study).items() if k[1] == "unreadable_file"}
    assert "member.parquet: the Parquet file is truncated" in found["member"].problem
    assert "grant.parquet: not a Parquet file" in found["grant"].problem


def test_broken_pages_name_the_file(extract_copy: Path, study: Study) -> None:
    folder = extract_copy / "spending"
    folder.mkdir()
    data = (extract_copy / "spending.parquet").read_bytes()
    (extract_copy / "spending.parquet").unlink()
    (folder / "block-0000.parquet").write_bytes(data)
    (folder / "block-0001.parquet").write_bytes(data[:8] + bytes(len(data) // 2) + data[8 + len(data) // 2 :])
    found = errors(extract_copy, study)[("spending", "unreadable_file", None)]
    assert found.problem.startswith("spending/block-0001.parquet")


def test_blocks_with_different_types(extract_copy: Path, study: Study) -> None:
    folder = extract_copy / "spending"
    folder.mkdir()
    (extract_copy / "spending.parquet").rename(folder / "block-0000.parquet")
    with duckdb.connect() as con:
        first = f"read_parquet('{folder / 'block-0000.parquet'}')"
        con.execute(
            f"COPY (SELECT * REPLACE ('12' AS months) FROM {first}) TO '{folder / 'block-0001.parquet'}' (FORMAT parquet)"
        )
    found = errors(extract_copy, study)[("spending", "unreadable_file", None)]
    assert "block-0001.parquet" in found.problem
    assert found.found == "months VARCHAR"


def test_study_facts_name_both_values(extract_copy: Path, study: Study) -> None:
    treated = study.contracts[0]
    grant = study.grants[0]
    rewrite(extract_copy, "system", replace("arm", "'comparison'", f"system_id = '{treated.system_id}'"))
    rewrite(extract_copy, "contract", replace("announced", "DATE '2020-01-01'", f"contract_id = '{treated.contract_id}'"))
    rewrite(
        extract_copy, "contract_measure", f"SELECT * FROM t WHERE NOT (contract_id = '{treated.contract_id}' AND year = 2024)"
    )
    rewrite(extract_copy, "grant", replace("amount", "amount + 1", f"grant_id = '{grant.grant_id}'"))
    found = errors(extract_copy, study)
    arm = found[("system", "study_fact", "arm")]
    assert (arm.expected, arm.found) == ("study: participating", "extract: comparison")
    announced = found[("contract", "study_fact", "announced")]
    assert (announced.expected, announced.found) == (f"study: {treated.announced}", "extract: 2020-01-01")
    assert found[("contract_measure", "study_fact", "incentivized")].examples[0].key["year"] == "2024"
    assert found[("grant", "study_fact", "amount")].expected == f"study: {grant.amount}"


def test_unknown_and_absent_systems(extract_copy: Path, study: Study) -> None:
    last = study.systems[-1].id
    rewrite(extract_copy, "system", replace("system_id", "'S99'", f"system_id = '{last}'"))
    report = check(extract_copy, study)
    facts = [p for p in report.errors if p.table == "system" and p.rule == "study_fact"]
    assert {p.problem for p in facts} == {"the study does not know it", "the row is missing"}
    assert ("practice_system_span", "orphan_key", "system_id") in {(p.table, p.rule, p.column) for p in report.errors}


CELL_FAULTS = [
    ("cell", replace("group", "'martian'", "rowid = 4"), ("cell", "category", "group"), "row 6"),
    ("cell", replace("measure_id", "'NOPE'", "rowid = 4"), ("cell", "category", "measure_id"), "'NOPE'"),
    ("cell", replace("num", "'999'", "rowid = 4 AND num_sq IS NULL"), ("cell", "numerator_within_denominator", None), "row 6"),
    ("cell", replace("den", "'forty'", "rowid = 2"), ("cell", "wrong_type", "den"), "'forty'"),
    ("cell", replace("den", "'40.5'", "rowid = 2"), ("cell", "wrong_type", "den"), "'40.5'"),
    ("cell", "SELECT * FROM t UNION ALL SELECT * FROM t WHERE rowid = 2", ("cell", "duplicate_key", None), "system_id="),
    ("cell", replace("year", "'2031'", "rowid = 2"), ("cell", "study_fact", "year"), "2031"),
    ("cell", replace("system_id", "'S77'", "rowid = 2"), ("cell", "study_fact", "system_id"), "S77"),
    ("cell_overlap", replace("den_den", "(den_den::INT + 1)::VARCHAR", "rowid = 2"),
     ("cell, cell_overlap", "overlap_reconciles_to_cells", None), "system_id="),
    ("cell_flow", replace("n", "'1'", "step = '4'"), ("cell, cell_flow", "cells_within_flow", None), "measure_id="),
    ("cell_flow", replace("n", "'50000'", "step = '3'"), ("cell_flow", "flow_steps_only_lose", None), "step=3"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "query", "expected", "words"), CELL_FAULTS, ids=[f"{f[2]}{f[3]}" for f in CELL_FAULTS])
def test_fault_in_cells_names_row_key_and_value(
    cells_copy: Path, study: Study, table: str, query: str, expected: tuple[str, str, str | None], words: str
) -> None:
    rewrite(cells_copy, table, query)
    found = {k: p for k, p in errors(cells_copy, study).items() if k[:2] == expected[:2]}
    problem = found[expected] if expected[2] else next(iter(found.values()))
    assert words in problem.words()


def test_ragged_csv_names_the_line(cells_copy: Path, study: Study) -> None:
    lines = (cells_copy / "cell_flow.csv").read_text().splitlines()
    lines[4] += ",surplus"
    (cells_copy / "cell_flow.csv").write_text("\n".join(lines))
    found = errors(cells_copy, study)[("cell_flow", "unreadable_file", None)]
    assert found.problem == "cell_flow.csv: line 5 cannot be read"


def test_counts_need_overlap_moments(cells_copy: Path, study: Study) -> None:
    (cells_copy / "cell_overlap.csv").unlink()
    assert ("cell_overlap", "missing_table", None) in errors(cells_copy, study)


def test_several_faults_in_one_report_and_exit_code_10(extract_copy: Path, study: Study, tmp_path: Path) -> None:
    rewrite(extract_copy, "member", replace("sex", "'QQ'", "member_id LIKE '%77'"))
    rewrite(extract_copy, "spending", replace("months", "13", "year = 2020"))
    (extract_copy / "practice.parquet").unlink()
    report = check(extract_copy, study)
    assert {("member", "category"), ("spending", "range"), ("practice", "missing_table")} <= {
        (p.table, p.rule) for p in report.errors
    }
    report.write_json(tmp_path / "out" / "validation.json")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["validation.json"]
    with pytest.raises(DataError, match=r"validation\.json") as e:
        report.raise_for_problems(tmp_path / "out" / "validation.json")
    assert e.value.exit_code == 10


def test_unknown_column_is_a_warning(extract_copy: Path, study: Study) -> None:
    rewrite(extract_copy, "member", "SELECT *, 1 AS adi_natl_pct FROM t")
    report = check(extract_copy, study)
    assert report.ok
    assert [(p.rule, p.column, p.severity) for p in report.problems] == [("unknown_column", "adi_natl_pct", "warning")]
    assert "adi_national_pct" in str(report.problems[0].expected)


def test_an_extract_that_does_not_say_whether_it_is_real_is_pointed_out(extract_copy: Path, study: Study) -> None:
    (extract_copy / "extract.json").unlink()
    report = check(extract_copy, study)
    assert [(p.rule, p.severity) for p in report.problems] == [("origin_not_stated", "warning")]
    assert report.ok
    assert '"synthetic": false' in report.problems[0].next


def test_a_column_in_capitals_is_recognized(extract_copy: Path, study: Study) -> None:
    rewrite(extract_copy, "practice", 'SELECT * EXCLUDE practice_id, practice_id AS "PRACTICE_ID_" FROM t')
    unknown = next(p for p in check(extract_copy, study).problems if p.rule == "unknown_column")
    assert "did you mean 'practice_id'?" in str(unknown.expected)


def test_misspelled_file_is_named_beside_the_missing_table(extract_copy: Path, study: Study) -> None:
    (extract_copy / "practice.parquet").rename(extract_copy / "practices.parquet")
    report = check(extract_copy, study)
    missing = next(p for p in report.errors if p.rule == "missing_table")
    assert "did you mean 'practices'" in missing.next
    assert [(p.table, p.severity) for p in report.problems if p.rule == "unknown_file"] == [("practices.parquet", "warning")]


def test_extract_of_another_study_is_pointed_out(extract_copy: Path, study: Study) -> None:
    (extract_copy / "extract.json").write_text('{"tier": "A", "study": "elsewhere", "synthetic": true}')
    report = check(extract_copy, study)
    assert [(p.rule, p.found) for p in report.problems] == [("other_study", "elsewhere")]
    assert report.ok
