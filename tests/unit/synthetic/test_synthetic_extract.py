"""The written extract: valid, reproducible to the byte, never half-made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from p4equity.dictionary import load_dictionary
from p4equity.errors import StudyError, UsageError
from p4equity.extract import open_extract
from p4equity.study import Study, load_study
from p4equity.synthetic import SimulationSummary, build, simulate
from p4equity.validate import validate


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.rglob("*")) if f.is_file()
    }


def test_every_table_validates(study: Study, summary: SimulationSummary) -> None:
    report = validate(open_extract(summary.out, load_dictionary()), study, load_dictionary())
    assert report.problems == ()
    assert summary.rows["member"] == summary.members
    assert {"measure_event", "spending", "race_probability", "survey_response", "interview_code"} <= set(summary.rows)


@pytest.mark.parametrize("scenario", ["clean", "noise_selected_baselines", "race_data_drift", "documentation_gain"])
def test_every_scenario_validates(study: Study, tmp_path: Path, scenario: str) -> None:
    simulate(study, tmp_path / "x", members=6_000, scenario=scenario, workers=1)
    assert validate(open_extract(tmp_path / "x", load_dictionary()), study, load_dictionary()).problems == ()


def test_same_seed_same_bytes_whatever_the_workers(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "BLOCK", 1_500)
    for name, workers in (("one", 1), ("two", 2)):
        simulate(study, tmp_path / name, members=7_000, seed=3, workers=workers)
    simulate(study, tmp_path / "other", members=7_000, seed=4, workers=1)
    one, two, other = (hashes(tmp_path / name) for name in ("one", "two", "other"))
    assert len([f for f in one if f.startswith("member/")]) == 5
    assert one == two
    assert one["measure_event/block-0000.parquet"] != other["measure_event/block-0000.parquet"]


def test_a_block_does_not_depend_on_how_many_follow(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "BLOCK", 2_000)
    for members in (2_000, 4_000):
        simulate(study, tmp_path / str(members), members=members, workers=1)
    small, large = hashes(tmp_path / "2000"), hashes(tmp_path / "4000")
    blocks = [name for name in small if name.endswith("block-0000.parquet")]
    assert len(blocks) == 7
    assert all(small[name] == large[name] for name in blocks)


def test_description_of_the_extract(study: Study, summary: SimulationSummary) -> None:
    about = json.loads((summary.out / "extract.json").read_text(encoding="utf-8"))
    assert about["synthetic"] is True
    assert (about["tier"], about["study"], about["scenario"]) == ("C", study.id, "default")
    assert (about["seed"], about["members"]) == (summary.seed, summary.members)
    assert about["extract_date"] == study.info.report_date.isoformat()


def test_progress_counts_blocks(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "BLOCK", 500)
    seen: list[tuple[int, int]] = []
    simulate(study, tmp_path / "x", members=1_400, workers=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_one_member_is_enough(study: Study, tmp_path: Path) -> None:
    assert simulate(study, tmp_path / "x", members=1).rows["member"] == 1


def test_refuses_a_folder_that_is_something_else(study: Study, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="taken"):
        simulate(study, tmp_path, members=100)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_replaces_an_earlier_extract(study: Study, tmp_path: Path) -> None:
    for members in (100, 200):
        simulate(study, tmp_path / "x", members=members)
    assert json.loads((tmp_path / "x" / "extract.json").read_text(encoding="utf-8"))["members"] == 200
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_failure_leaves_nothing_behind(study: Study, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise RuntimeError(f"{done} of {total}")

    with pytest.raises(RuntimeError):
        simulate(study, tmp_path / "x", members=100, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("turnover =", "turnovr =", "did you mean 'turnover'"),
        ('measure = "CBP"', 'measure = "CBPP"', "did you mean 'CBP'"),
        ("black = 4.0, hispanic = 3.0", "blak = 4.0, hispanic = 3.0", "did you mean 'black'"),
        ("[stream.URI]", "[stream.URIX]", "did you mean 'URI'"),
        ('"spec_break"', '"spec_brake"', "did you mean 'spec_break'"),
        ('scenario = "leveling_down"', 'scenario = "levelling_down"', "did you mean 'leveling_down'"),
        ("self_report = { V1 = 0.15, V3 = 0.21,", "self_report = { V1 = 0.15,", "V3"),
        ("[practice_changes]\njoined_share = 0.03", "[practice_changes]\njoined_share = 3", "less than or equal to 1"),
    ],
)
def test_mistakes_in_truth_are_named(
    edited: Callable[[str, str, str], Path], tmp_path: Path, old: str, new: str, message: str
) -> None:
    folder = edited("truth.toml", old, new)
    with pytest.raises(StudyError, match=message):
        simulate(load_study(folder), tmp_path / "x", members=100)
    assert not (tmp_path / "x").exists()


def test_unknown_scenario(study: Study, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="did you mean 'clean'"):
        simulate(study, tmp_path / "x", members=100, scenario="claen")


def test_a_study_of_aggregates_cannot_be_simulated(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="published aggregates"):
        simulate("castle_doctrine", tmp_path / "x", members=100)


def test_no_member_at_all(study: Study, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="positive"):
        simulate(study, tmp_path / "x", members=0)


def test_truth_lists_every_contract(study: Study, truth: dict[str, Any]) -> None:
    cells = {(row["system_id"], row["measure_id"]) for row in truth["effects"]}
    assert cells == set(study.contract_matrix()[["system_id", "measure_id"]].itertuples(index=False, name=None))
    for row in truth["effects"]:
        assert row["effect_gap"] == pytest.approx(row["effect_reference"] - row["effect_group"])
        assert row["first_year"] == row["cohort"]
        left = study.exit_year(row["system_id"])
        assert row["last_year"] == (study.years[-1] if left is None else left - 1)
