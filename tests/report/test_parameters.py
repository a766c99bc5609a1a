"""Parameters are strict: papermill alone would only warn about a misspelt one."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from p4equity.errors import UsageError
from p4equity.report import run_notebooks
from p4equity.report.parameters import check, declared

from .conftest import write_notebook


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    return write_notebook(
        tmp_path / "n.ipynb",
        "1",
        parameters='run_dir: str = ""\nn: int = 3  # help\nx: float = 0.5\nflag: bool = True\n',
    )


def _check(path: Path, **given: object) -> dict[str, object]:
    return check(nbformat.read(path, as_version=4), path.name, given)


def test_declared_parameters_are_read_without_running(notebook: Path) -> None:
    found = declared(nbformat.read(notebook, as_version=4), "n.ipynb")
    assert {name: (p.type, p.default) for name, p in found.items()} == {
        "run_dir": ("str", ""),
        "n": ("int", 3),
        "x": ("float", 0.5),
        "flag": ("bool", True),
    }


def test_good_values_pass(notebook: Path) -> None:
    assert _check(notebook, n=4, x=1, flag=False, run_dir="..") == {"n": 4, "x": 1, "flag": False, "run_dir": ".."}


def test_unknown_name_names_notebook_parameter_and_nearest(notebook: Path) -> None:
    with pytest.raises(UsageError) as error:
        _check(notebook, run_dri="..")
    assert "n.ipynb: run_dri" in str(error.value)
    assert "did you mean 'run_dir'?" in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [("n", "4", "int"), ("n", True, "int"), ("flag", 1, "bool"), ("x", "a", "float"), ("run_dir", 3, "str")],
)
def test_ill_typed_value_names_the_type(notebook: Path, name: str, value: object, wanted: str) -> None:
    with pytest.raises(UsageError) as error:
        _check(notebook, **{name: value})
    assert f"n.ipynb: {name}" in str(error.value)
    assert f"expected: {wanted}" in str(error.value)


def test_names_that_are_code_do_not_pass(notebook: Path) -> None:
    with pytest.raises(UsageError, match="unknown parameter"):
        _check(notebook, **{"n=1;import os;n": 1})


@pytest.mark.parametrize("source", ["n = 3", "n: int = open", "n: list = []", "n: int = 'a'", "import os", "n: int"])
def test_the_parameters_cell_holds_annotated_plain_values_only(tmp_path: Path, source: str) -> None:
    path = write_notebook(tmp_path / "bad.ipynb", "1", parameters=source)
    with pytest.raises(UsageError, match=r"bad\.ipynb: parameters cell, line 1"):
        _check(path)


def test_exactly_one_parameters_cell(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "two.ipynb", "a: int = 1")
    node = nbformat.read(path, as_version=4)
    node.cells[1].metadata["tags"] = ["parameters"]
    with pytest.raises(UsageError, match="exactly one cell"):
        check(node, "two.ipynb", {})
    node.cells = []
    with pytest.raises(UsageError, match="exactly one cell"):
        check(node, "none.ipynb", {})


def test_wrong_parameters_stop_before_anything_runs(notebook: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        run_notebooks([notebook], tmp_path / "out", {"nn": 1})
    assert not (tmp_path / "out").exists()
