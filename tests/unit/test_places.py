"""Places that cannot hold output are refused before any work, as a mistake of usage."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from p4equity.cli.app import app
from p4equity.errors import UsageError
from p4equity.pipeline import run
from p4equity.places import check_place
from p4equity.scaffold import new_study
from p4equity.study import load_study
from p4equity.synthetic import simulate
from typer.testing import CliRunner

FIRST = "bcbsma_pay_for_equity"
MAKERS: dict[str, Callable[[Path], object]] = {
    "simulate": lambda out: simulate(load_study(FIRST), out, members=1000, seed=1, workers=1),
    "run": lambda out: run(FIRST, None, out, members=1000, workers=1),
    "new-study": new_study,
    "check": check_place,
}


@pytest.mark.parametrize("maker", MAKERS)
def test_below_a_file(maker: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match=r"no folder can be made here(.|\n)*found: .*file is a file(.|\n)*next: "):
        MAKERS[maker](tmp_path / "file" / "a" / "b")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("maker", MAKERS)
def test_in_a_folder_of_the_system(maker: str) -> None:
    with pytest.raises(UsageError, match="no folder can be made here") as caught:
        MAKERS[maker](Path("/proc/zz"))
    assert caught.value.exit_code == 2


def test_a_new_place_is_left_as_it_was(tmp_path: Path) -> None:
    check_place(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_study_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "plan").write_text("mine")
    with pytest.raises(UsageError, match="there is a file of this name"):
        new_study(tmp_path / "plan")
    assert (tmp_path / "plan").read_text() == "mine"


def test_a_report_needs_the_name_of_a_file(small_cells_folder: Path, tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["validate", str(small_cells_folder), "--report", str(tmp_path)])
    assert isinstance(found.exception, UsageError)
    assert "the file to write is a folder" in str(found.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_cells_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like an extract."""
    folder = tmp_path_factory.mktemp("cells")
    (folder / "cell.csv").write_text("system_id\n")
    return folder


def test_more_members_than_any_machine_makes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"too many members(.|\n)*at most 200,000,000"):
        simulate(load_study(FIRST), tmp_path / "x", members=99_999_999_999, workers=1)
    with pytest.raises(UsageError, match="too many members"):
        run(FIRST, None, tmp_path / "run", members=sys.maxsize, workers=1)
    assert list(tmp_path.iterdir()) == []
