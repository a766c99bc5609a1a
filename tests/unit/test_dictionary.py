"""Reading the dictionary: look-ups, vocabularies, ages by year, and messages for a broken dictionary."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from p4equity import resources
from p4equity.dictionary import load_dictionary
from p4equity.errors import DataError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the dictionary to break."""
    return Path(shutil.copytree(resources.dictionary_dir(), tmp_path / "data_dictionary"))


def test_look_ups_suggest_the_nearest_name() -> None:
    d = load_dictionary()
    assert d.table("member").field("birth_year").type == "integer"
    for look_up in (
        lambda: d.table("membr"),
        lambda: d.table("member").field("birthyear"),
        lambda: d.measure("CPB"),
        lambda: d.scheme("race_ethnicity"),
        lambda: d.scheme("race_ethnicity_5").group("blak"),
    ):
        with pytest.raises(UsageError, match="did you mean"):
            look_up()


def test_vocabularies_become_allowed_values() -> None:
    d = load_dictionary()
    assert d.tables["contract_measure"].field("measure_id").enum == tuple(d.measures)
    streams = d.tables["measure_event"].field("measure_id").enum
    assert streams is not None
    assert set(streams) == {m.events for m in d.measures.values()}
    assert d.tables["member"].field("sex").label("F") == "Female"
    assert d.tables["member"].field("sex").label("Q") == "Q"


def test_ages_follow_breaks_of_specification() -> None:
    d = load_dictionary()
    broken = next(m for m in d.measures.values() if any(b.age_min_before for b in m.breaks))
    change = next(b for b in broken.breaks if b.age_min_before)
    assert broken.ages(change.year - 1) == (change.age_min_before, broken.age_max)
    assert broken.ages(change.year) == (broken.age_min, broken.age_max)
    assert next(m for m in d.measures.values() if m.kind == "spending").ages(2020) is None


def test_tables_by_tier() -> None:
    d = load_dictionary()
    assert "cell" in {t.name for t in d.in_tier("B")}
    assert "member" not in {t.name for t in d.in_tier("B")}
    assert {t.name for t in d.in_tier("A")} == {t.name for t in d.in_tier("C")} | {"payment"}


def _append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def test_broken_dictionary_names_file_and_key(folder: Path) -> None:
    cases = [
        ("measures.toml", "\n[X]\ntitle = 'x'\n", r"measures.toml \[X\]: the key 'short_title' is missing"),
        ("measures.toml", "\n[X\n", "measures.toml: not valid TOML"),
        ("rules.toml", "\n[r]\ntables = ['membr']\n", "did you mean 'member'"),
        ("rules.toml", "\n[summaries.s]\nof = 'member'\nby = ['membr_id']\n", "did you mean 'member_id'"),
        ("tables/member.yaml", "\n  - : [", "tables/member.yaml: not valid YAML"),
    ]
    for i, (name, text, message) in enumerate(cases):
        copy = Path(shutil.copytree(folder, folder.parent / f"copy{i}"))
        _append(copy / name, text)
        with pytest.raises(DataError, match=message):
            load_dictionary(copy)


def test_misspelled_keys_and_types_are_refused(folder: Path) -> None:
    cases = [
        ("measures.toml", "has_reading =", "has_readings =", "did you mean 'has_reading'"),
        ("tables/member.yaml", "type: integer", "type: integr", "did you mean 'integer'"),
        ("tables/spending.yaml", "primaryKey: [member_id, year]", "primaryKey: [member_id, yaer]", "did you mean 'year'"),
        ("tables/spending.yaml", "resource: member,", "resource: membr,", "did you mean 'member'"),
        ("tables/spending.yaml", "p4e:disclosure: identifier", "p4e:disclosure: identifer", "did you mean 'identifier'"),
    ]
    for i, (name, old, new, message) in enumerate(cases):
        copy = Path(shutil.copytree(folder, folder.parent / f"copy{i}"))
        text = (copy / name).read_text()
        assert old in text
        (copy / name).write_text(text.replace(old, new, 1))
        with pytest.raises(DataError, match=message):
            load_dictionary(copy)


def test_missing_parts_are_named(folder: Path) -> None:
    (folder / "groups.toml").unlink()
    with pytest.raises(DataError, match=r"groups\.toml"):
        load_dictionary(folder)
    shutil.rmtree(folder / "tables")
    (folder / "groups.toml").write_text("")
    with pytest.raises(DataError, match="no table is described"):
        load_dictionary(folder)
