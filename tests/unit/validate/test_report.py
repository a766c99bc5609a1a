"""One report holds everything that can be said of an extract, and numbers the rows of persons who do not exist."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
from p4equity.cli.app import app
from p4equity.errors import DataError
from p4equity.study import Study
from typer.testing import CliRunner

from .test_faults import errors, replace, rewrite


def test_a_table_given_twice_and_a_broken_description_stand_in_the_one_report(extract_copy: Path, tmp_path: Path) -> None:
    (extract_copy / "extract.json").write_text("{")
    with duckdb.connect() as con:
        con.execute(f"COPY (FROM read_parquet('{extract_copy / 'grant.parquet'}')) TO '{extract_copy / 'grant.csv'}' (HEADER)")
    rewrite(extract_copy, "member", replace("sex", "'QQ'", "member_id LIKE '%77'"))
    said = tmp_path / "said.json"
    found = CliRunner().invoke(app, ["validate", str(extract_copy), "--report", str(said)])
    assert isinstance(found.exception, DataError)
    problems = {(p["table"], p["rule"]): p["problem"] for p in json.loads(said.read_text())["problems"]}
    assert "not a JSON object" in problems["extract.json", "unreadable_file"]
    assert "the table is there twice" in problems["grant", "unreadable_file"]
    assert ("member", "category") in problems


def test_rows_of_persons_are_numbered_in_a_synthetic_extract_alone(extract_copy: Path, study: Study) -> None:
    rewrite(extract_copy, "member", replace("sex", "'QQ'", "member_id LIKE '%77'"))
    folder = extract_copy / "member"
    folder.mkdir()
    with duckdb.connect() as con:
        whole = f"read_parquet('{extract_copy / 'member.parquet'}', file_row_number=true)"
        for block, rows in enumerate(("file_row_number < 100", "file_row_number >= 100")):
            query = f"SELECT * EXCLUDE file_row_number FROM {whole} WHERE {rows}"
            con.execute(f"COPY ({query}) TO '{folder / f'block-{block:04}.parquet'}' (FORMAT parquet)")
    (extract_copy / "member.parquet").unlink()
    assert errors(extract_copy, study)["member", "category", "sex"].examples == ()
    (extract_copy / "extract.json").write_text('{"tier": "C", "synthetic": true}')
    problem = errors(extract_copy, study)["member", "category", "sex"]
    first, second, third = (f"member/block-{i:04}.parquet" for i in (0, 1, 1))
    assert [(e.row, e.key, e.value) for e in problem.examples] == [
        (78, {"file": first}, None), (78, {"file": second}, None), (178, {"file": third}, None),
    ]  # fmt: skip
    (extract_copy / "extract.json").write_text('{"tier": "C"}')
    assert errors(extract_copy, study)["member", "category", "sex"].examples == ()
