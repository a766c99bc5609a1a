"""Summaries stand for their tables: keys are found twice or without a parent as without them, on any number of threads."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from p4equity.extract import open_extract
from p4equity.study import Study
from p4equity.validate import validate

from .conftest import PERSON_MARK
from .test_faults import check, errors, replace, rewrite

# Different rests of a key: as many as one integer has bits, a few more, more than are marked, and one on most rows.
RESTS = {
    "one word": "'V' || (n % 4)",
    "several words": "'V' || (n % 150)",
    "too many": "'V' || (n % 400)",
    "few": "CASE WHEN n % 50 = 0 THEN 'V1' ELSE 'V0' END",
    "some null": "CASE WHEN n % 3 > 0 THEN 'V' || (n % 60) END",
    "all null": "NULL::VARCHAR",
}


def rows_of_persons(folder: Path, version: str, seed: int) -> tuple[int, int]:
    """Rewrites race_ethnicity with keys drawn at random; keys that repeat, and rows whose member is unknown, counted without
    any summary."""
    drawn = f"SELECT *, hash(rowid, {seed}) AS h, (hash(rowid, {seed + 1}) % 4000)::BIGINT AS n FROM t LIMIT 2400"
    member = f"CASE WHEN h % 31 = 0 THEN NULL WHEN h % 29 = 0 THEN 'nobody' ELSE '{PERSON_MARK}' || (h % 600) END"
    rewrite(
        folder, "race_ethnicity", f"SELECT * EXCLUDE (h, n) REPLACE ({member} AS member_id, {version} AS version) FROM ({drawn})"
    )
    with duckdb.connect() as con:
        file = f"read_parquet('{folder / 'race_ethnicity.parquet'}')"
        counted = f"SELECT member_id, version FROM {file} GROUP BY ALL HAVING count(*) > 1"
        twice = con.execute(f"SELECT count(*) FROM ({counted})").fetchall()[0][0]
        lost = con.execute(f"SELECT count(*) FROM {file} WHERE member_id = 'nobody'").fetchall()[0][0]
    return twice, lost


@pytest.mark.parametrize("rest", RESTS)
def test_keys_are_counted_as_without_summaries(extract_copy: Path, study: Study, rest: str) -> None:
    twice, lost = rows_of_persons(extract_copy, RESTS[rest], seed=len(rest))
    found = errors(extract_copy, study)
    assert found["race_ethnicity", "duplicate_key", "member_id, version"].count == twice > 0
    assert found["race_ethnicity", "orphan_key", "member_id"].count == lost > 0


def test_no_key_is_called_double_that_is_not(extract_copy: Path, study: Study) -> None:
    rewrite(extract_copy, "spending", "SELECT * REPLACE (y::INTEGER AS year) FROM t, range(1900, 2101) r(y) WHERE year = 2020")
    assert {p.rule for p in check(extract_copy, study).errors} == set()
    rewrite(extract_copy, "spending", f"SELECT * FROM t UNION ALL (SELECT * FROM t WHERE member_id = '{PERSON_MARK}7' LIMIT 3)")
    assert errors(extract_copy, study)["spending", "duplicate_key", "member_id, year"].count == 3


def test_the_report_is_the_same_on_any_number_of_threads(extract_copy: Path, study: Study) -> None:
    rows_of_persons(extract_copy, RESTS["several words"], seed=1)
    rewrite(extract_copy, "enrollment_span", 'SELECT * FROM t UNION ALL SELECT * REPLACE ("end" - 3000 AS "end") FROM t')
    rewrite(extract_copy, "attribution", replace("system_id", "NULL", "practice_id = 'P1'"))
    reports = [validate(open_extract(extract_copy), study, threads=n).to_dict() | {"seconds": 0} for n in (1, 2, 1)]
    assert reports[0] == reports[1] == reports[2]
    assert len(reports[0]["problems"]) >= 5


@pytest.mark.parametrize("year", [-(2**63), 2**31 - 1])
@pytest.mark.parametrize("table", ["attribution", "measure_event"])
def test_no_year_is_too_wrong_to_be_reported(extract_copy: Path, study: Study, table: str, year: int) -> None:
    rewrite(
        extract_copy, table, f"SELECT * REPLACE (CASE WHEN rowid % 100 = 0 THEN ({year})::BIGINT ELSE year END AS year) FROM t"
    )
    found = errors(extract_copy, study)
    assert (table, "unreadable_file", None) not in found
    assert found[table, "range", "year"].count > 0


def test_rules_wait_for_what_a_summary_is_made_of(extract_copy: Path, study: Study) -> None:
    rewrite(extract_copy, "attribution", "SELECT * EXCLUDE rule FROM t")
    not_run = check(extract_copy, study).not_run
    assert not_run["members_of_exited_systems_stay"] == "column rule of table attribution is missing or of the wrong type"
    assert "exited_systems_stay_until_exit" not in not_run
