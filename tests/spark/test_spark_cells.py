"""Cells by Spark are the cells by DuckDB, integer for integer, from Parquet and from CSV; DuckDB's threads change nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from p4equity.cells import CellTables, build_cells, cells_hash, read_cells
from p4equity.dictionary import load_dictionary
from p4equity.extract import Extract, open_extract
from p4equity.study import Study

pytestmark = pytest.mark.spark
LOCAL = "local[2]"


def assert_equal(one: CellTables, other: CellTables) -> None:
    for (name, frame), (_, same) in zip(one.items(), other.items(), strict=True):
        pd.testing.assert_frame_equal(frame, same, obj=name, check_exact=True)
    assert cells_hash(one) == cells_hash(other)


def test_the_cells_to_compare_hold_what_a_study_can_have(by_duckdb: CellTables, study: Study) -> None:
    assert {name for name, frame in by_duckdb.items() if len(frame) <= 100} == set()
    assert set(by_duckdb.cell["race_version"]) == {"frozen", "contemporaneous"}
    assert set(by_duckdb.cell["measure_id"]) >= {*study.measure_ids("contracted"), *study.measure_ids("spending")}
    assert by_duckdb.cell["num_sq"].notna().sum() > 100


def test_threads_of_duckdb_change_nothing(extract: Extract, study: Study, by_duckdb: CellTables) -> None:
    assert_equal(build_cells(extract, study, load_dictionary(), threads=2), by_duckdb)


def test_cells_of_parquet_files_by_spark(extract: Extract, study: Study, by_duckdb: CellTables) -> None:
    assert_equal(build_cells(extract, study, load_dictionary(), engine="spark", engine_url=LOCAL), by_duckdb)


def as_csv(extract: Extract, folder: Path) -> None:
    """The extract again as CSV: plain, compressed, or in folders that name the year."""
    for name in extract.tables:
        relation = extract.relation(name)
        if name in ("measure_event", "spending"):
            options = "PARTITION_BY (year), FORMAT csv, HEADER"
            duckdb.sql(f"COPY (SELECT * FROM {relation}) TO '{folder / name}' ({options})")
        else:
            suffix = "csv.gz" if name == "attribution" else "csv"
            duckdb.sql(f"COPY (SELECT * FROM {relation}) TO '{folder / name}.{suffix}' (FORMAT csv, HEADER)")
    (folder / "extract.json").write_text((extract.path / "extract.json").read_text("utf-8"), "utf-8")


def test_cells_of_csv_files_by_the_command_line(extract: Extract, by_duckdb: CellTables, tmp_path: Path, scratch: Path) -> None:
    """And the command says nothing of Spark, and leaves nothing but its output."""
    data, out, here = tmp_path / "csv", tmp_path / "out", tmp_path / "here"
    data.mkdir()
    here.mkdir()
    as_csv(extract, data)
    words = ["cells", str(data), "--out", str(out), "--engine", "spark", "--engine-url", LOCAL]
    done = subprocess.run(
        [sys.executable, "-c", "from p4equity.cli import main; main()", *words],
        cwd=here, env={**os.environ, "TMPDIR": str(scratch)}, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "spark" not in done.stdout.lower()
    assert [*here.iterdir(), *scratch.iterdir()] == []
    assert_equal(read_cells(open_extract(out, load_dictionary())), by_duckdb)
