"""A study of published values: from its panel and from a tier-B folder of the same values, with the same verbs and answers."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from p4equity.pipeline import run
from p4equity.resources import study_dir

CASTLE = "castle_doctrine"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The castle-doctrine study with its two analyses of homicide, and nothing that names the others."""
    folder = tmp_path_factory.mktemp("value") / "homicide"
    shutil.copytree(study_dir(CASTLE), folder)
    plan = folder / "study.toml"
    head, *blocks = re.split(r"(?m)^(?=\[\[(?:analysis|gate)\]\])", plan.read_text("utf-8"))
    kept = [b for b in blocks if re.search(r'id = "(homicide_(un)?weighted|completeness)"', b)]
    assert len(kept) == 3
    plan.write_text(head + "".join(kept), "utf-8")
    (folder / "published.toml").unlink()
    threats = folder / "threats.csv"
    threats.write_text(threats.read_text("utf-8").splitlines()[0] + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def from_panel(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the panel that the study names."""
    return run(study, None, tmp_path_factory.mktemp("panel") / "run", report=False).folder


@pytest.fixture
def tier_b(study: Path, tmp_path: Path) -> Path:
    """The panel's values as someone would hand them over: one CSV of cells."""
    from p4equity.cells import value_cells
    from p4equity.study import load_study

    folder = tmp_path / "values"
    folder.mkdir()
    cells = value_cells(load_study(study)).cell
    cells.to_csv(folder / "cell.csv", index=False)
    return folder


def test_a_folder_of_values_gives_the_answers_of_the_panel(
    study: Path, from_panel: Path, tier_b: Path, p4: Any, tmp_path: Path
) -> None:
    said = p4("estimate", tier_b, "--study", study, "--out", tmp_path / "run")
    assert said.code == 0, said.text
    assert (tmp_path / "run" / "estimates.csv").read_bytes() == (from_panel / "estimates.csv").read_bytes()
    facts = json.loads((tmp_path / "run" / "manifest.json").read_text("utf-8"))
    assert (facts["tier"], facts["synthetic"]) == ("B", False)
    estimates = pd.read_csv(tmp_path / "run" / "estimates.csv")
    assert set(estimates["analysis_id"]) == {"homicide_weighted", "homicide_unweighted"}
    assert (estimates["status"] == "ok").all()


def test_faults_of_a_folder_of_values_are_named_with_row_and_key(study: Path, tier_b: Path, p4: Any, tmp_path: Path) -> None:
    cells = tier_b / "cell.csv"
    frame = pd.read_csv(cells, dtype=str)
    damaged = frame.copy()
    damaged.loc[4, "year"] = "two thousand"
    damaged.to_csv(cells, index=False)
    said = p4("estimate", tier_b, "--study", study, "--out", tmp_path / "run")
    said.fails(10, r"table cell, column year: not a value of type integer", r"row 6 .*system_id=", r"'two thousand'", r"next: ")
    frame.assign(system_id="S99").to_csv(cells, index=False)
    p4("validate", tier_b, "--study", study).fails(10, r"table cell, column system_id: the study has no such system_id", r"S99")
    frame.drop(columns="value").to_csv(cells, index=False)
    assert p4("estimate", tier_b, "--study", study, "--out", tmp_path / "run").code == 10
    assert not (tmp_path / "run").exists()


def test_an_arm_that_is_empty_in_the_values(study: Path, tier_b: Path, p4: Any, tmp_path: Path) -> None:
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE t AS SELECT * FROM '{tier_b / 'cell.csv'}' WHERE year < 2006")
        con.execute(f"COPY t TO '{tier_b / 'cell.csv'}' (HEADER)")
    said = p4("estimate", tier_b, "--study", study, "--out", tmp_path / "run")
    said.fails(10, r"table cell, column year: the plan needs values that never occur", r"no row with 2006, 2007")


def test_verbs_that_need_members(p4: Any, tmp_path: Path) -> None:
    said = p4("simulate", "--study", CASTLE, "--out", tmp_path / "extract")
    said.fails(11, r"has no members to simulate", r"kind = \"value\"", r"next: .*p4equity run --study castle_doctrine")
    assert list(tmp_path.iterdir()) == []
