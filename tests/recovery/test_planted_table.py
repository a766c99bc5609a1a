"""The table of planted features (README.md) names every scenario, every switch, and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from p4equity.study import load_study
from p4equity.synthetic.truth import Switch, load_truth
from simulation import STUDY

HERE = Path(__file__).parent
ROWS = [line for line in (HERE / "README.md").read_text("utf-8").splitlines() if line.startswith("| ")][1:]


def test_every_scenario_and_switch_has_a_row_with_a_test() -> None:
    named = {word for row in ROWS for word in re.findall(r"`([a-z_]+)`", " ".join(row.split("|")[1:3]))}
    assert set(load_truth(load_study(STUDY)).truth.scenario) <= named
    assert set(get_args(Switch)) <= named


def test_every_row_names_tests_that_exist_and_says_what_they_found() -> None:
    assert len(ROWS) > 20
    for row in ROWS:
        cells = [cell.strip() for cell in row.split("|")[1:-1]]
        assert len(cells) == 5
        assert all(cells)
        files = re.findall(r"`([a-z_]+\.(?:py|csv))`", cells[2])
        assert any(name.startswith("test_") for name in files), row
        assert all((HERE / name).is_file() for name in files), row
        assert not re.search(r"[A-Z]{5,}", cells[4]), row
