"""Rendering a run again: a damaged run or another study stops it before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from p4equity.cli.app import app
from p4equity.cli.stages import render_again
from p4equity.errors import DataError, P4Error, StudyError, UsageError
from p4equity.explain import explain
from p4equity.finished import whole_facts
from p4equity.manifest import folder_hashes
from p4equity.results import read_results
from p4equity.study import load_study
from p4equity.verify import verify
from typer.testing import CliRunner

FIRST, OTHER = "bcbsma_pay_for_equity", "castle_doctrine"


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The skeleton of a finished run of the first study."""
    folder = tmp_path / "run"
    (folder / "results").mkdir(parents=True)
    for name in ("results/estimates.csv", "results/diagnostics.csv", "results/rate.csv", "estimates.csv", "report.html"):
        (folder / name).write_text("a,b\n1,2\n")
    write(folder, "manifest.json", json.dumps({**facts(), "outputs": folder_hashes(folder)}))
    return folder


def facts() -> dict[str, object]:
    """A whole manifest but for the files."""
    return {"study": FIRST, "plan_hash": load_study(FIRST).plan_hash, "data_hash": "d", "tier": "C", "synthetic": True}


def write(folder: Path, name: str, text: str) -> None:
    """Replaces a file."""
    (folder / name).write_text(text)


def refused(folder: Path, study: str | None = None) -> P4Error:
    """The error of rendering again, which must leave every file as it is."""
    before = folder_hashes(folder)
    with pytest.raises(P4Error) as caught:
        render_again(folder, study, 1, lambda *_: None)
    assert folder_hashes(folder) == before
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("text", ["{", "[]", '{"study": "foo"}', f'{{"study": "{FIRST}"}}', '{"study": 5}', "\x00"])
def test_a_damaged_manifest_is_a_data_error(finished: Path, text: str) -> None:
    write(finished, "manifest.json", text)
    error = refused(finished)
    assert isinstance(error, DataError)
    assert "manifest.json: the manifest is damaged" in str(error)
    with pytest.raises(DataError, match="the manifest is damaged"):
        verify(finished)
    for words in (["release", finished, finished.with_name("edition")], ["compare", finished, finished]):
        found = CliRunner().invoke(app, [str(word) for word in words])
        if '"study": "' not in text or words[0] == "release":
            assert isinstance(found.exception, DataError), words
    if '"study": "' not in text:
        with pytest.raises(DataError, match="the manifest is damaged"):
            explain("row", finished)
    assert [p.name for p in finished.parent.iterdir()] == ["run"]


@pytest.mark.parametrize("name", ["results/estimates.csv", "results/rate.csv", "estimates.csv"])
def test_results_that_changed_or_are_gone(finished: Path, name: str) -> None:
    write(finished, name, "a,b\n1,3\n")
    error = refused(finished)
    assert error.exit_code == 10
    assert f"{name}: not as the run wrote it" in str(error)
    (finished / name).unlink()
    error = refused(finished)
    assert f"{name}: missing" in str(error)
    assert "p4equity run" in error.fix


def test_a_table_that_the_run_did_not_write(finished: Path) -> None:
    write(finished, "results/mine.csv", "a,b\n1,3\n")
    assert "results/mine.csv: not written by the run" in str(refused(finished))


def test_another_study_and_another_plan(finished: Path) -> None:
    error = refused(finished, OTHER)
    assert isinstance(error, StudyError)
    assert OTHER in str(error)
    kept = json.loads((finished / "manifest.json").read_text())
    write(finished, "manifest.json", json.dumps({**kept, "plan_hash": "0" * 64}))
    error = refused(finished)
    assert isinstance(error, StudyError)
    assert "0000" in str(error)


def test_no_manifest_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a finished run"):
        whole_facts(tmp_path)


def test_a_table_of_garbage_names_itself(finished: Path) -> None:
    (finished / "results" / "rate.csv").write_bytes(b'\xff\xfe\x00"')
    with pytest.raises(DataError, match=r"rate\.csv: the table cannot be read as CSV"):
        read_results(finished / "results", load_study(FIRST), masked=True, synthetic=True)
