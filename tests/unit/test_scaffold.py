"""A new study loads, simulates and validates as it is; its templates are the dictionary's tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from p4equity.dictionary import load_dictionary
from p4equity.errors import UsageError
from p4equity.extract import open_extract
from p4equity.scaffold import TEMPLATES, new_study
from p4equity.study import load_study
from p4equity.synthetic import simulate
from p4equity.validate import validate


def test_new_study_loads_and_takes_its_id_from_the_folder(tmp_path: Path) -> None:
    files = new_study(tmp_path / "programs" / "My-Program")
    study = load_study(tmp_path / "programs" / "My-Program")
    assert study.id == "my_program"
    assert not [f for f in files if "@STUDY@" in f.read_text() or "@FOLDER@" in f.read_text()]
    assert [p.name for p in (tmp_path / "programs").iterdir()] == ["My-Program"]


def test_templates_are_the_tables_of_the_dictionary(tmp_path: Path) -> None:
    new_study(tmp_path / "s")
    d = load_dictionary()
    for tier in ("A", "B"):
        folder = tmp_path / "s" / TEMPLATES / f"tier_{tier}"
        templates = {p.stem: p.read_text().strip().split(",") for p in folder.glob("*.csv")}
        assert templates == {t.name: list(t.names) for t in d.in_tier(tier)}
        report = validate(open_extract(folder))
        structural = ("missing_table", "missing_column", "unknown_column", "unknown_file", "unreadable_file", "origin_not_stated")
        assert report.tier == tier
        assert not [p for p in report.problems if p.rule in structural]


def test_new_study_simulates_and_its_extract_is_valid(tmp_path: Path) -> None:
    new_study(tmp_path / "s")
    study = load_study(tmp_path / "s")
    simulate(study, tmp_path / "extract", members=3000, workers=1)
    report = validate(open_extract(tmp_path / "extract"), study)
    assert report.problems == ()
    assert report.tier == "C"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty") as e:
        new_study(tmp_path / "full")
    assert e.value.exit_code == 2
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    new_study(tmp_path / "empty")
    assert (tmp_path / "empty" / "study.toml").is_file()


def test_a_folder_without_letters_gives_no_id(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gives no id"):
        new_study(tmp_path / "2024")
    assert list(tmp_path.iterdir()) == []
