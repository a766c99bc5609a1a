"""Committed notebooks carry no outputs, plain ids and one parameters cell."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from p4equity.report.hygiene import clean, problems
from p4equity.resources import notebooks_dir

from .conftest import write_notebook

COMMITTED = sorted(notebooks_dir().glob("*.ipynb")) if notebooks_dir().is_dir() else []


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_committed_notebooks_are_clean(path: Path) -> None:
    assert problems(path) == []


def test_every_kind_of_dirt_is_seen_and_cleaned(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "1", "2", "3")
    node = nbformat.read(path, as_version=4)
    node.cells[1].outputs = [nbformat.v4.new_output("stream", text="left over")]
    node.cells[1].execution_count = 3
    node.cells[2]["id"] = "0a1b2c3d"
    node.cells[3].metadata["collapsed"] = True
    node.metadata["papermill"] = {"duration": 1.0}
    nbformat.write(node, path)
    found = " | ".join(problems(path))
    for part in (
        "has outputs",
        "execution count",
        "'0a1b2c3d' is random",
        "metadata other than tags",
        "other than the kernelspec",
    ):
        assert part in found
    assert clean(path)
    assert problems(path) == []
    assert not clean(path)


def test_missing_parameters_are_named(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "1", parameters='run_dir: str = ""\nedition: str = ""')
    clean(path)
    assert problems(path) == ["parameters missing: audience, mask_systems"]
