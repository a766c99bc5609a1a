"""Spark tests share one small synthetic extract and what DuckDB makes of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from p4equity.cells import CellTables, build_cells
from p4equity.dictionary import load_dictionary
from p4equity.engines import Engine, open_engine
from p4equity.extract import Extract, open_extract
from p4equity.study import Study, load_study
from p4equity.synthetic import simulate

MEMBERS, SEED, LOCAL = 1000, 7, "local[2]"


@pytest.fixture(scope="session", autouse=True)
def _quick_java() -> Iterator[None]:
    """Java compiles in haste: on a thousand members its careful compiler takes longer than the work."""
    with pytest.MonkeyPatch.context() as patch:
        if "SPARK_SUBMIT_OPTS" not in os.environ:
            patch.setenv("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1")
        patch.setenv("SPARK_DRIVER_MEMORY", "2g")
        yield


@pytest.fixture(scope="session")
def study() -> Study:
    return load_study("bcbsma_pay_for_equity")


@pytest.fixture(scope="session")
def extract(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Extract:
    """The default scenario: spending, both versions of race and ethnicity, every registered measure."""
    folder = tmp_path_factory.mktemp("synthetic") / "x"
    simulate(study, folder, members=MEMBERS, seed=SEED)
    return open_extract(folder, load_dictionary())


@pytest.fixture(scope="session")
def by_duckdb(extract: Extract, study: Study) -> CellTables:
    return build_cells(extract, study, load_dictionary(), threads=1)


@pytest.fixture(scope="module")
def spark() -> Iterator[Engine]:
    """One session for the tests of a module that do not end it."""
    with open_engine("spark", url=LOCAL) as engine:
        yield engine


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of this test alone."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder
