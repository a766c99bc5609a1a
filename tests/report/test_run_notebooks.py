"""Notebooks run two at a time, in the running interpreter, to the same bytes; a failing one is kept and explained."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pytest
from p4equity.errors import P4Error
from p4equity.report import run_notebooks

from .conftest import write_notebook

PARAMETERS = "n: int = 1\n"


def test_failing_notebook_names_cell_error_and_kept_copy(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "fails.ipynb", "x = 1", "raise ValueError(f'went wrong with {n}')", parameters=PARAMETERS)
    with pytest.raises(P4Error) as error:
        run_notebooks([path], tmp_path / "out", {"n": 7}, failed_dir=tmp_path / "failed")
    message = str(error.value)
    assert "fails.ipynb, cell [4]" in message
    assert "ValueError: went wrong with 7" in message
    assert "failed/fails.ipynb" in message
    kept = json.loads((tmp_path / "failed" / "fails.ipynb").read_text("utf-8"))
    assert any(o["output_type"] == "error" for c in kept["cells"] for o in c.get("outputs", ()))
    assert list((tmp_path / "out").iterdir()) == []


def test_killed_kernel_is_a_message_not_a_hang(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "dies.ipynb", "import os\nos._exit(1)", parameters=PARAMETERS)
    with pytest.raises(P4Error, match=r"dies\.ipynb") as error:
        run_notebooks([path], tmp_path / "out", {}, failed_dir=tmp_path / "failed")
    assert "DeadKernelError" in str(error.value)


def test_a_long_name_of_the_temporary_folder_leaves_room_for_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    path = write_notebook(tmp_path / "runs.ipynb", "print(n)", parameters=PARAMETERS)
    assert [done.path.name for done in run_notebooks([path], tmp_path / "out", {"n": 3})] == ["runs.ipynb"]


def test_executed_copies_are_the_same_bytes_and_name_no_machine_path(tmp_path: Path) -> None:
    same = f"sys.executable == {sys.executable!r}"
    cells = ["import os, sys", f"print(n, {same}, os.environ['OPENBLAS_NUM_THREADS'])"]
    paths = [write_notebook(tmp_path / f"{name}.ipynb", *cells, parameters=PARAMETERS) for name in "ab"]
    first = [e.path.read_bytes() for e in run_notebooks(paths, tmp_path / "one", {"n": 2}, workers=2)]
    second = [e.path.read_bytes() for e in run_notebooks(paths, tmp_path / "two", {"n": 2}, workers=1)]
    assert first == second
    text = first[0].decode()
    assert "2 True 1" in text
    assert "papermill" not in text
    assert str(tmp_path) not in text.replace(sys.executable, "")


def test_the_kernel_works_beside_the_executed_copy(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "cwd.ipynb", "import pathlib\nprint(pathlib.Path().resolve().name)", parameters=PARAMETERS)
    done = run_notebooks([path], tmp_path / "place {n}", {"n": 2})
    assert done[0].path.parent.name == "place {n}"
    assert "place {n}" in done[0].path.read_text("utf-8")
