"""`p4equity calibrate`: its sources, what it prints and writes, its exit codes, the same bytes whatever the workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from p4equity.dictionary import load_dictionary


@pytest.fixture(scope="module")
def written(quick_run: Path, process: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """Read from a run with one worker and one hash seed."""
    out = tmp_path_factory.mktemp("calibrate") / "one.csv"
    return process("calibrate", "--run", quick_run, "--draws", 40, "--out", out, "--workers", 1, PYTHONHASHSEED="1"), out


def test_a_run_is_calibrated_again_with_the_draws_one_asks_for(written: tuple[Any, Path], quick_run: Path) -> None:
    said, out = written
    assert said.code == 0, said.text
    table = pd.read_csv(out)
    assert tuple(table.columns) == load_dictionary().table("calibration").names
    assert (quick_run / "restricted" / "calibration.parquet").is_file()
    own = pd.read_csv(quick_run / "results" / "calibration.csv")
    pd.testing.assert_frame_equal(table, own)  # the quick study registers 40 draws, too
    if (table["status"] == "ok").any():
        assert "40 draws a setting" in " ".join(said.text.split())


def test_workers_and_hash_seed_leave_no_trace(written: tuple[Any, Path], quick_run: Path, process: Any, tmp_path: Path) -> None:
    again = process(
        "calibrate", "--run", quick_run, "--draws", 40, "--out", tmp_path / "two.csv", "--workers", 2, PYTHONHASHSEED="77"
    )
    assert again.code == 0, again.text
    assert (tmp_path / "two.csv").read_bytes() == written[1].read_bytes()


def test_bad_words_and_places(p4: Any, quick_run: Path, extract: Path, tmp_path: Path) -> None:
    p4("calibrate", "--run", quick_run, "--data", extract).fails(2, r"two sources of cells")
    p4("calibrate", "--run", tmp_path / "nowhere").fails(2, r"not a finished run")
    p4("calibrate", "--run", quick_run, "--draws", 3).fails(2, r"--draws")
    p4("calibrate", "--run", quick_run, "--study", "castle_doctrine").fails(11, r"not the study this run was made with")
    p4("calibrate", "--data", tmp_path / "nowhere").fails(10, r"no such folder")


def test_a_study_of_published_aggregates_is_told_why_not(p4: Any) -> None:
    said = p4("calibrate", "--study", "castle_doctrine", "--draws", 20)
    assert said.code == 0, said.text
    assert "not available, changes with a stated sampling variance are what is simulated" in " ".join(said.text.split())
