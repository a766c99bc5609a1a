"""A validation takes the threads it is given: by the verb, and in the stage of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from p4equity.cli.app import app
from p4equity.run_state import Run, Source
from p4equity.stages import cell_stages
from p4equity.study import Study
from p4equity.validate import run
from typer.testing import CliRunner


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What the engine said of itself in each validation."""
    said: list[int] = []
    views = run.create_views

    def create_views(con: duckdb.DuckDBPyConnection, *sources: object) -> None:
        said.extend(con.cursor().execute("SELECT current_setting('threads')").fetchall()[0])
        views(con, *sources)

    monkeypatch.setattr(run, "create_views", create_views)
    yield said
    assert len(said) == 1


@pytest.mark.parametrize(("words", "expected"), [(["--workers", "1"], 1), (["--workers", "3"], 3), ([], 2)])
def test_of_the_verb(good_extract: Path, threads: list[int], words: list[str], expected: int) -> None:
    found = CliRunner().invoke(app, ["validate", str(good_extract), *words])
    assert found.exit_code == 0, found.output
    assert threads == [expected]


@pytest.mark.parametrize("workers", [1, 3])
def test_of_the_stage(good_extract: Path, study: Study, tmp_path: Path, threads: list[int], workers: int) -> None:
    state = Run(study, tmp_path, workers=workers, source=Source(good_extract))
    next(stage for stage in cell_stages(state) if stage.name == "validate").work(state)
    assert (tmp_path / "validation.json").is_file()
    assert threads == [workers]
