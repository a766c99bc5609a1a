"""Files of one table: folders named key=value, columns that differ between files, what is no data, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from p4equity.errors import DataError
from p4equity.extract import open_extract
from p4equity.validate import validate

Row = dict[str, Any]
EVENT: Row = {
    "member_id": "M1", "measure_id": "CBP", "denominator": True, "exclusion": None, "numerator": False, "numerator_admin": False,
    "numerator_supplemental": False, "has_reading": None, "value": None, "event_date": None, "data_source": "claims",
    "age_at_31dec": 50,
}  # fmt: skip
MEMBER: Row = {"member_id": "M1", "birth_year": 1980, "sex": "F", "adi_national_pct": 5, "language_pref": "English",
               "death_year": None}  # fmt: skip


def put(file: Path, *rows: Row) -> Path:
    """Writes rows as Parquet, or as CSV where the name says so."""
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(rows))
    if file.name.endswith((".csv", ".csv.gz")):
        with duckdb.connect() as con:
            con.register("t", table)
            con.execute(f"COPY t TO '{file}' (HEADER)")
    else:
        pq.write_table(table, file)
    return file


def read(folder: Path, table: str, columns: str) -> list[tuple[Any, ...]]:
    """Columns of a table of an extract, sorted, with the types that DuckDB finds."""
    with duckdb.connect() as con:
        return con.execute(f"SELECT {columns} FROM {open_extract(folder).relation(table)} ORDER BY ALL").fetchall()


@pytest.mark.parametrize("end", ["parquet", "csv", "csv.gz"])
def test_folders_name_columns_with_the_dictionary_types(tmp_path: Path, end: str) -> None:
    rest = {k: v for k, v in EVENT.items() if k != "measure_id"}
    for year, measure, member in ((2021, "CBP", "M1"), (2021, "007", "M2"), (2022, "A%20B", "M3")):
        put(tmp_path / f"measure_event/year={year}/measure_id={measure}/part-0.{end}", rest | {"member_id": member})
    found = read(tmp_path, "measure_event", "member_id, year, measure_id, typeof(year), typeof(measure_id), age_at_31dec")
    text, whole = "VARCHAR", "BIGINT"
    assert found == [
        ("M1", 2021, "CBP", whole, text, 50),
        ("M2", 2021, "007", whole, text, 50),
        ("M3", 2022, "A B", whole, text, 50),
    ]
    source = open_extract(tmp_path).source("measure_event")
    assert source.columns["year"] == "BIGINT"
    assert source.names[0] == f"measure_event/year=2021/measure_id=007/part-0.{end}"


def test_the_null_folder_is_null_and_values_that_do_not_fit_are_text(tmp_path: Path) -> None:
    for place in ("start=2021-01-01", "start=__HIVE_DEFAULT_PARTITION__"):
        put(tmp_path / f"enrollment_span/{place}/a.parquet", {"member_id": "M1"})
    put(tmp_path / "measure_event/year=2021/a.parquet", EVENT)
    extract = open_extract(tmp_path)
    assert extract.source("enrollment_span").columns["start"] == "DATE"
    with duckdb.connect() as con:
        dates = con.execute(f"SELECT start::VARCHAR FROM {extract.source('enrollment_span').reader} ORDER BY ALL").fetchall()
    assert dates == [("2021-01-01",), (None,)]
    put(tmp_path / "measure_event/year=later/a.parquet", EVENT)
    assert open_extract(tmp_path).source("measure_event").columns["year"] == "VARCHAR"


def test_folders_above_the_extract_name_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "year=2025" / "x"
    put(folder / "measure_event" / "a.parquet", EVENT | {"year": 2019})
    assert read(folder, "measure_event", "year") == [(2019,)]
    put(folder / "spending" / "year=2020" / "a.parquet", {"member_id": "M1"})
    with pytest.raises(DataError, match="a folder above the table is named like one of its columns"):
        open_extract(folder).relation("spending")


def test_names_are_no_patterns(tmp_path: Path) -> None:
    for place, year in (("x*", 2019), ("x[1]", 2020), ("xx", 2021), ("x1", 2022)):
        for end in ("parquet", "csv"):
            put(tmp_path / place / end / f"measure_event/a.{end}", EVENT | {"year": year})
            put(tmp_path / place / end / f"spending/year={year}/a.{end}", {"member_id": "M1"})
    for place, year in (("x*", 2019), ("x[1]", 2020)):
        for end in ("parquet", "csv"):
            assert read(tmp_path / place / end, "measure_event", "year") == [(year,)]
            with duckdb.connect() as con:
                source = open_extract(tmp_path / place / end).source("spending")
                assert con.execute(f"SELECT year FROM {source.reader}").fetchall() == [(year,)]


def test_folders_of_one_table_nest_alike(tmp_path: Path) -> None:
    put(tmp_path / "measure_event/year=2021/a.parquet", EVENT)
    put(tmp_path / "measure_event/b.parquet", EVENT | {"year": 2022})
    with pytest.raises(DataError, match=r"measure_event/year=2021/a.parquet.*name different columns"):
        open_extract(tmp_path)


def test_what_is_no_data(tmp_path: Path) -> None:
    put(tmp_path / "measure_event/year=2021/a.parquet", EVENT)
    for name in ("_SUCCESS", "_metadata", ".a.parquet.crc", "_old/a.parquet", "year=2021/_b.parquet", ".tmp/c.parquet"):
        hidden = tmp_path / "measure_event" / name
        hidden.parent.mkdir(exist_ok=True)
        hidden.write_text("no table")
    (tmp_path / "measure_event/year=2021/part-1").write_text("a name that says no format")
    (tmp_path / "measure_event/year=2021/loop").symlink_to(tmp_path / "measure_event")
    extract = open_extract(tmp_path)
    assert extract.source("measure_event").names == ("measure_event/year=2021/a.parquet",)
    assert extract.strangers() == ("measure_event/year=2021/part-1",)


@pytest.mark.parametrize(("mark", "words"), [("_delta_log", "a Delta table"), ("metadata/v1.metadata.json", "an Iceberg table")])
def test_files_whose_rows_a_log_knows_are_refused(tmp_path: Path, mark: str, words: str) -> None:
    put(tmp_path / "measure_event/data/a.parquet", EVENT | {"year": 2021})
    (tmp_path / "measure_event" / mark).mkdir(parents=True)
    with pytest.raises(DataError, match=f"the folder is {words}"):
        open_extract(tmp_path)


@pytest.mark.parametrize("end", ["parquet", "csv"])
def test_files_may_order_columns_differently_and_lack_optional_ones(tmp_path: Path, end: str) -> None:
    put(tmp_path / "measure_event.parquet", EVENT)
    put(tmp_path / f"member/a.{end}", MEMBER)
    put(tmp_path / f"member/b.{end}", {"zip3": "021", **dict(reversed(MEMBER.items())), "member_id": "M2", "death_year": 2024})
    found = read(tmp_path, "member", "member_id, birth_year, sex, death_year, zip3")
    assert found == [("M1", 1980, "F", None, None), ("M2", 1980, "F", 2024, "021")]
    put(tmp_path / f"member/c.{end}", {k: v for k, v in MEMBER.items() if k != "sex"})
    with pytest.raises(DataError, match=r"member/c.*column sex: a file of the table lacks a column that others have"):
        open_extract(tmp_path).source("member")


def test_numbers_of_any_width_and_empty_columns_go_together(tmp_path: Path) -> None:
    put(tmp_path / "measure_event.parquet", EVENT)
    put(tmp_path / "member/a.parquet", MEMBER)
    put(tmp_path / "member/b.parquet", MEMBER | {"member_id": "M2", "birth_year": 1981.0, "death_year": 2024})
    assert read(tmp_path, "member", "member_id, birth_year, death_year, typeof(birth_year)") == [
        ("M1", 1980, None, "BIGINT"), ("M2", 1981, 2024, "BIGINT"),
    ]  # fmt: skip
    put(tmp_path / "member/c.parquet", MEMBER | {"birth_year": "1982"})
    with pytest.raises(DataError, match=r"member/c.parquet: table member: files of one table have different types"):
        open_extract(tmp_path).relation("member")


def test_a_column_without_any_value_has_the_type_of_the_dictionary(tmp_path: Path) -> None:
    put(tmp_path / "measure_event.parquet", EVENT | {"year": 2021})
    put(tmp_path / "member.parquet", MEMBER)
    assert read(tmp_path, "measure_event", "event_date, value, has_reading") == [(None, None, None)]
    assert [p.column for p in validate(open_extract(tmp_path)).problems if p.rule == "wrong_type"] == []


def test_rows_are_numbered_in_their_files(tmp_path: Path) -> None:
    put(tmp_path / "measure_event.parquet", EVENT)
    put(tmp_path / "member/a.parquet", MEMBER, MEMBER | {"member_id": "M2"})
    put(tmp_path / "member/b.parquet", MEMBER | {"member_id": "M3", "zip3": "021"})
    with duckdb.connect() as con:
        for one, expected in zip(open_extract(tmp_path).source("member").each(), ([1, 2], [1]), strict=True):
            rows = con.execute(f"SELECT n FROM {one.numbered_reader('n')} ORDER BY n").fetchall()
            assert [n for (n,) in rows] == expected


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    put(tmp_path / "measure_event.parquet", EVENT)
    put(tmp_path / "member/a.parquet", MEMBER)
    gone = put(tmp_path / "member/b.parquet", MEMBER)
    extract = open_extract(tmp_path)
    gone.unlink()
    with pytest.raises(DataError, match=r"member/b.parquet: table member: the file is gone"):
        extract.relation("member")


def test_the_hash_follows_folders_and_what_renames(tmp_path: Path) -> None:
    hashes = set()
    for i, place in enumerate(("year=2021/a", "year=2022/a", "a")):
        put(tmp_path / str(i) / f"measure_event/{place}.parquet", EVENT)
        hashes.add(open_extract(tmp_path / str(i)).content_hash())
    assert len(hashes) == 3
    block = {"path": "2/measure_event/a.parquet"}
    for columns in ({}, {"member_id": "other"}):
        written = json.dumps(block | {"columns": columns}).replace('": ', '" = ')
        (tmp_path / "x.toml").write_text(f"[data]\ntables.measure_event = {written}\n")
        hashes.add(open_extract(tmp_path / "x.toml").content_hash())
    assert len(hashes) == 5
