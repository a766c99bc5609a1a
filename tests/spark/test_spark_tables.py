"""Spark reads every form of a table as DuckDB does, value for value."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from p4equity.engines import Engine, open_engine
from p4equity.errors import DataError
from p4equity.extract import Extract, open_extract

pytestmark = pytest.mark.spark
TABLE = "contract"
ROWS = """(SELECT * FROM (VALUES
    ('C1', 'S01', 2023, DATE '2023-01-01', DATE '2022-06-30', NULL::DATE, 1234.56::DOUBLE),
    ('C2', 'S02', 2023, DATE '2023-01-01', NULL, DATE '2024-12-31', 0.005),
    ('007', NULL, 2024, DATE '2024-02-29', NULL, NULL, 1e9),
    ('é, "x"', 'S 4', 2024, DATE '1999-12-31', NULL, NULL, 99999.995),
    (' C5 ', 'S05', 2025, DATE '2025-01-01', NULL, NULL, NULL)
) AS t (contract_id, system_id, cohort, effective, announced, ended, incentive_pmpm_max))"""
Form = Callable[[Path], str]


def write(query: str, to: Path, options: str = "FORMAT parquet") -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    duckdb.sql(f"COPY ({query}) TO '{to}' ({options})")


def parquet_in_a_folder_with_an_odd_name(folder: Path) -> str:
    write(f"FROM {ROWS}", folder / "odd [1] *{a} é" / "part 1.parquet")
    write(f"FROM {ROWS} WHERE cohort > 2023", folder / "odd [1] *{a} é" / "part-2.parquet")
    return '"odd [1] *{a} é"'


def parquet_in_other_types(folder: Path) -> str:
    other = "cohort::UTINYINT + 1 AS cohort, effective::VARCHAR AS effective, announced::TIMESTAMP AS announced, ended"
    query = f"SELECT contract_id, system_id, {other}, incentive_pmpm_max::DECIMAL(14, 4) AS incentive_pmpm_max FROM {ROWS}"
    write(query.replace("cohort::", "(cohort - 1900)::"), folder / "s.parquet")
    return '"s.parquet"'


def parquet_without_optional_columns(folder: Path) -> str:
    """And files that differ in the order of their columns."""
    write(f"SELECT ended, announced, effective, cohort, system_id, contract_id FROM {ROWS}", folder / "s" / "a.parquet")
    write(f"FROM {ROWS}", folder / "s" / "b.parquet")
    return '"s"'


def parquet_in_folders_that_name_columns(folder: Path) -> str:
    write(f"FROM {ROWS}", folder / "delivery=1999" / "s", "PARTITION_BY (effective, system_id), FORMAT parquet")
    return '"delivery=1999/s"'


def csv(folder: Path) -> str:
    write(f"FROM {ROWS}", folder / "s.csv", "FORMAT csv, HEADER")
    return '"s.csv"'


def csv_from_another_program(folder: Path) -> str:
    """Byte order mark, Windows line ends, quotes everywhere, a line break in a value, compressed."""
    lines = [
        "contract_id,system_id,cohort,effective,announced,ended,incentive_pmpm_max",
        '"C\n1","S01","2023","2023-01-01","","","10.5"',
        "C2,S02,2024,2024-02-29,,2024-12-31,.5",
    ]  # fmt: skip
    (folder / "s.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + "\r\n".join(lines).encode()))
    return '"s.csv.gz"'


def csv_in_folders_that_name_columns(folder: Path) -> str:
    write(f"FROM {ROWS}", folder / "s", "PARTITION_BY (cohort), FORMAT csv, HEADER")
    return '{ path = "s", format = "csv" }'


def renamed(folder: Path) -> str:
    write(f"SELECT * RENAME (contract_id AS id, cohort AS first) FROM {ROWS}", folder / "s.parquet")
    return '{ path = "s.parquet", columns = { contract_id = "id", cohort = "first" } }'


FORMS: list[Form] = [
    parquet_in_a_folder_with_an_odd_name, parquet_in_other_types, parquet_without_optional_columns, renamed,
    parquet_in_folders_that_name_columns, csv, csv_from_another_program, csv_in_folders_that_name_columns,
]  # fmt: skip


def described(folder: Path, table: str, place: str) -> Extract:
    (folder / "data.toml").write_text(f'[data]\ntier = "A"\n[data.tables]\n{table} = {place}\n', "utf-8")
    return open_extract(folder / "data.toml", engine="spark")


def rows(engine: Engine, extract: Extract, table: str) -> list[dict[str, object]]:
    found = engine.fetch(engine.table(extract, table)).to_pylist()
    return sorted(found, key=str)


@pytest.mark.parametrize("form", FORMS)
def test_spark_reads_what_duckdb_reads(form: Form, spark: Engine, tmp_path: Path) -> None:
    extract = described(tmp_path, TABLE, form(tmp_path))
    with open_engine("duckdb") as duck:
        expected = rows(duck, extract, TABLE)
    assert len(expected) >= 2
    assert rows(spark, extract, TABLE) == expected


def test_every_table_of_an_extract(spark: Engine, extract: Extract) -> None:
    for name in extract.tables:
        with open_engine("duckdb", threads=1) as duck:
            expected = rows(duck, extract, name)
        assert rows(spark, extract, name) == expected, name


def test_tables_of_the_catalog(spark: Engine, tmp_path: Path) -> None:
    write(f"FROM {ROWS}", tmp_path / "s.parquet")
    spark._session.sql("CREATE DATABASE IF NOT EXISTS claims")
    spark._session.read.parquet(str(tmp_path / "s.parquet")).write.saveAsTable("claims.contracts")
    extract = described(tmp_path, TABLE, '{ table = "claims.contracts" }')
    with open_engine("duckdb") as duck:
        expected = rows(duck, described(tmp_path, TABLE, '"s.parquet"'), TABLE)
    assert rows(spark, extract, TABLE) == expected


def test_a_table_that_the_catalog_lacks(spark: Engine, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such table(.|\n)*claims\.none") as caught:
        spark.table(described(tmp_path, TABLE, '{ table = "claims.none" }'), TABLE)
    assert caught.value.fix


def test_a_column_that_the_catalog_lacks(spark: Engine, tmp_path: Path) -> None:
    spark._session.sql("CREATE OR REPLACE TEMP VIEW half AS SELECT 'C1' AS contract_id, 'S01' AS system_id, 2023 AS cohort")
    with pytest.raises(DataError, match=r"table contract, column effective: a column is missing"):
        spark.table(described(tmp_path, TABLE, '{ table = "half" }'), TABLE)


@pytest.mark.parametrize("name", ["_s.parquet", ".s.parquet"])
def test_a_file_that_spark_would_pass_over(name: str, spark: Engine, tmp_path: Path) -> None:
    write(f"FROM {ROWS}", tmp_path / name)
    with pytest.raises(DataError, match="begins with"):
        spark.table(described(tmp_path, TABLE, f'"{name}"'), TABLE)


def test_folders_whose_names_spark_would_misread(spark: Engine, tmp_path: Path) -> None:
    write(f"FROM {ROWS}", tmp_path / "s", "PARTITION_BY (contract_id), FORMAT parquet")
    with pytest.raises(DataError, match="beyond ASCII") as caught:
        spark.table(described(tmp_path, TABLE, '"s"'), TABLE)
    assert caught.value.fix


def test_compression_that_the_name_hides(spark: Engine, tmp_path: Path) -> None:
    write(f"FROM {ROWS}", tmp_path / "s.csv", "FORMAT csv, HEADER, COMPRESSION gzip")
    with pytest.raises(DataError, match=r"does not end in \.gz"):
        spark.table(described(tmp_path, TABLE, '{ path = "s.csv", format = "csv.gz" }'), TABLE)
