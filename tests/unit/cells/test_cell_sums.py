"""Cells added up while they are read: the same sums as of the cells themselves, from a folder and from an extract."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from p4equity.cells import CellTables, cell_sums, read_cells, write_cells
from p4equity.cells.tables import canonical
from p4equity.errors import DataError, UsageError
from p4equity.extract import open_extract

BY = ("measure_id", "system_id", "group", "year")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells of two maps, two systems with two practices each, two measures, groups, years and strata."""
    keys = [
        (m, "frozen", s, f"{s}P{p}", measure, g, y, stratum)
        for m in ("baseline", "as_treated") for s in ("S01", "S02") for p in (1, 2) for measure in ("A1", "B2")
        for g in ("white", "black") for y in (2021, 2022) for stratum in ("young", "old")
    ]  # fmt: skip
    names = ["map", "race_version", "system_id", "practice_id", "measure_id", "group", "year", "stratum"]
    cell = pd.DataFrame(keys, columns=names)
    cell["den"], cell["num"] = range(100, 100 + len(cell)), range(len(cell))
    target = tmp_path_factory.mktemp("cells")
    rest = {name: canonical(name, pd.DataFrame()) for name in ("cell_overlap", "cell_profile", "cell_flow")}
    write_cells(CellTables(cell=canonical("cell", cell), **rest), target)
    (target / "extract.json").write_text('{"tier": "B", "synthetic": true}', "utf-8")
    return target


def test_sums_are_those_of_the_cells(folder: Path) -> None:
    where = {"map": ["baseline"], "measure_id": ["A1"], "year": [2022]}
    found = cell_sums(folder, BY, where)
    cell = read_cells(folder).numeric().cell
    cell = cell[(cell["map"] == "baseline") & (cell["measure_id"] == "A1") & (cell["year"] == 2022)]
    expected = cell.groupby(list(BY), as_index=False)[["den", "num"]].sum()
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert len(found) == 4  # two systems, two groups
    assert found[["den", "num"]].dtypes.astype(str).tolist() == ["int64", "int64"]


def test_an_extract_gives_the_same_as_its_folder(folder: Path) -> None:
    where = {"map": ["as_treated"], "group": ["white", "black"]}
    pd.testing.assert_frame_equal(cell_sums(open_extract(folder), BY, where), cell_sums(folder, BY, where))


def test_suppressed_rows_do_not_count(folder: Path, tmp_path: Path) -> None:
    stored = pd.read_parquet(folder / "cell.parquet")
    stored.assign(suppressed=stored["practice_id"] == "S01P1").to_parquet(tmp_path / "cell.parquet")
    kept = stored[stored["practice_id"] != "S01P1"]
    assert cell_sums(tmp_path, ("system_id",), {})["den"].tolist() == kept.groupby("system_id")["den"].sum().tolist()


def test_what_is_no_key_and_what_is_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no key of a cell") as caught:
        cell_sums(folder, ("system",), {})
    assert "system_id" in str(caught.value)
    with pytest.raises(DataError, match="the table is missing"):
        cell_sums(tmp_path, BY, {})
    (tmp_path / "cell.parquet").write_bytes(b"no cells")
    with pytest.raises(DataError):
        cell_sums(tmp_path, BY, {})
