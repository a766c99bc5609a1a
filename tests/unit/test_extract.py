"""Opening extracts: tier, layouts, types, fingerprint, and a message of its own for each way a folder can be wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import duckdb
import pytest
from p4equity.errors import DataError
from p4equity.extract import open_extract

MEMBER = """SELECT 'M1' AS member_id, 1980.0 AS birth_year, 'F' AS sex, 5 AS adi_national_pct, 'English' AS language_pref,
    NULL::INT AS death_year"""


def put(file: Path, query: str) -> None:
    """Writes a table."""
    file.parent.mkdir(parents=True, exist_ok=True)
    form = "FORMAT parquet" if file.suffix == ".parquet" else "FORMAT csv, HEADER"
    with duckdb.connect() as con:
        con.execute(f"COPY ({query}) TO '{file}' ({form})")


def event(file: Path) -> None:
    """A marker table of tier A."""
    put(file, "SELECT 'M1' AS member_id")


def test_tier_is_stated_or_seen(tmp_path: Path) -> None:
    event(tmp_path / "a" / "measure_event.parquet")
    put(tmp_path / "b" / "cell.csv", "SELECT 'S01' AS system_id")
    event(tmp_path / "c" / "measure_event" / "block-0000.parquet")
    (tmp_path / "c" / "extract.json").write_text(json.dumps({"tier": "C", "seed": 1}))
    assert [open_extract(tmp_path / t).tier for t in "abc"] == ["A", "B", "C"]
    assert open_extract(tmp_path / "c").metadata["seed"] == 1


@pytest.mark.parametrize(
    "layout", ["member.parquet", "member.csv", "member.csv.gz", "member/block-0000.parquet", "member/part.csv"]
)
def test_layouts_read_alike_with_the_dictionary_types(tmp_path: Path, layout: str) -> None:
    event(tmp_path / "measure_event.parquet")
    put(tmp_path / layout, MEMBER.replace("1980.0", "1980"))
    extract = open_extract(tmp_path)
    with duckdb.connect() as con:
        rows = con.execute(f"SELECT member_id, birth_year, death_year, zip3 FROM {extract.relation('member')}")
        assert [str(d[1]) for d in rows.description[:2]] == ["VARCHAR", "BIGINT"] or "parquet" in layout
        assert rows.fetchall() == [("M1", 1980, None, None)]
    assert extract.source("member").names == (layout,)


def test_whole_numbers_in_floats_are_read_as_integers(tmp_path: Path) -> None:
    event(tmp_path / "measure_event.parquet")
    put(tmp_path / "member.parquet", MEMBER)
    with duckdb.connect() as con:
        found = con.execute(f"SELECT typeof(birth_year) FROM {open_extract(tmp_path).relation('member')}").fetchone()
    assert found == ("BIGINT",)


def test_fingerprint_follows_bytes_and_names_only(tmp_path: Path) -> None:
    event(tmp_path / "x" / "measure_event" / "block-0000.parquet")
    event(tmp_path / "y" / "measure_event" / "block-0000.parquet")
    first = open_extract(tmp_path / "x").content_hash()
    os.utime(tmp_path / "y" / "measure_event" / "block-0000.parquet", (0, 0))
    (tmp_path / "y" / "extract.json").write_text('{"tier": "C"}')
    assert open_extract(tmp_path / "y").content_hash() == first
    (tmp_path / "y" / "measure_event" / "block-0000.parquet").rename(tmp_path / "y" / "measure_event" / "block-0001.parquet")
    assert open_extract(tmp_path / "y").content_hash() != first


def test_folders_that_are_no_extract(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        open_extract(tmp_path / "absent")
    with pytest.raises(DataError, match="not an extract"):
        open_extract(tmp_path)
    event(tmp_path / "measure_event.parquet")
    (tmp_path / "extract.json").write_text("{")
    with pytest.raises(DataError, match="not a JSON object"):
        open_extract(tmp_path)
    (tmp_path / "extract.json").unlink()
    event(tmp_path / "measure_event" / "block-0000.parquet")
    with pytest.raises(DataError, match="there twice"):
        open_extract(tmp_path)


def test_tables_and_columns_that_are_not_there(tmp_path: Path) -> None:
    event(tmp_path / "measure_event.parquet")
    put(tmp_path / "member.parquet", "SELECT 'M1' AS member_id, 1980 AS birthyear")
    extract = open_extract(tmp_path)
    with pytest.raises(DataError, match="table spending: the table is missing"):
        extract.relation("spending")
    with pytest.raises(DataError, match="did you mean 'birthyear'"):
        extract.relation("member")
    assert "practice" in {t.name for t in extract.missing()}


def test_broken_files_raise_when_they_are_used(tmp_path: Path) -> None:
    event(tmp_path / "measure_event.parquet")
    put(tmp_path / "member.parquet", MEMBER)
    whole = (tmp_path / "member.parquet").read_bytes()
    for content, message in ((whole[:-20], "truncated"), (b"", "empty"), (b"PK not parquet at all", "not a Parquet file")):
        (tmp_path / "member.parquet").write_bytes(content)
        with pytest.raises(DataError, match=message) as e:
            open_extract(tmp_path).relation("member")
        assert "member.parquet" in str(e.value)
        assert e.value.exit_code == 10


def test_csv_headers_are_checked(tmp_path: Path) -> None:
    event(tmp_path / "measure_event.parquet")
    (tmp_path / "member.csv").write_text("member_id,sex,sex\n")
    with pytest.raises(DataError, match="named twice"):
        open_extract(tmp_path).relation("member")
    (tmp_path / "member.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        open_extract(tmp_path).relation("member")


def test_what_validation_can_say_does_not_stop_it(tmp_path: Path) -> None:
    event(tmp_path / "measure_event.parquet")
    put(tmp_path / "member.parquet", MEMBER)
    put(tmp_path / "member.csv", MEMBER)
    (tmp_path / "extract.json").write_text("{")
    extract = open_extract(tmp_path, to_validate=True)
    assert {name: [f.problem for f in found] for name, found in extract.faults.items()} == {
        "member": ["the table is there twice"],
        "extract.json": ["not a JSON object"],
    }
    assert extract.metadata == {}
    with pytest.raises(DataError, match="there twice"):
        extract.relation("member")
