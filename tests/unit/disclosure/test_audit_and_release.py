"""What an attacker or an accident may leave in a run folder: the release stops at each with exit code 13 and leaves nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from p4equity.audit import audit_folder, audit_frame
from p4equity.audit.texts import audit_text
from p4equity.errors import DisclosureError, StudyError, UsageError
from p4equity.manifest import list_again, run_outputs
from p4equity.release import release
from p4equity.resources import studies_dir
from p4equity.study import load_study

THRESHOLD = 11
Plant = Callable[[Path], object]


@pytest.fixture(scope="module")
def audited(small_run: Path) -> Path:
    """The run before anything is planted: the auditor finds nothing in it."""
    assert audit_folder(small_run, THRESHOLD) == []
    return small_run


@pytest.fixture
def copy(audited: Path, tmp_path: Path) -> Path:
    out = tmp_path / "run"
    shutil.copytree(audited, out)
    return out


def table(name: str, change: Callable[[pd.DataFrame], object]) -> Plant:
    def plant(folder: Path) -> None:
        frame = pd.read_csv(folder / name, dtype=object, keep_default_na=False)
        change(frame)
        frame.to_csv(folder / name, index=False)

    return plant


def at(column: str, value: object, status: str = "ok") -> Callable[[pd.DataFrame], object]:
    def change(frame: pd.DataFrame) -> None:
        frame.loc[frame.index[frame["status"] == status][0], column] = value

    return change


def new(name: str, text: str) -> Plant:
    def plant(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    return plant


def flow(frame: pd.DataFrame) -> None:
    rows = frame.index[(frame["arm"] == frame["arm"].iloc[-1]) & (frame["group"] == frame["group"].iloc[-1])][:2]
    frame.loc[rows[1], ["n", "dropped"]] = [str(int(frame.loc[rows[0], "n"]) - 3), ""]


SEEN: dict[str, Plant] = {
    "a suppressed row with den": table("results/cells.csv", at("den", "500", "suppressed")),
    "a suppressed row with num": table("results/cells.csv", at("num", "500", "suppressed")),
    "a small count as text": table("results/rate.csv", at("den", "3")),
    "text in a column of counts": table("results/rate.csv", lambda f: (at("den", "<11")(f), at("num", "4")(f))),
    "a flow step three below the last": table("results/flow_chart.csv", flow),
    "a table with other names": new("exhibits/T99.csv", "group,count,members\nblack,5,7\n"),
    "a table in a subfolder": new("results/sub/x.csv", "group,den,num\nblack,50,3\n"),
    "a table with a capital suffix": new("results/x.CSV", "den\n3\n"),
    "ids of members": new("exhibits/M.csv", "member_id,year\nM0001,2022\n"),
    "records as JSON": new("raw.json", json.dumps([{"group": "g", "den": 3, "num": 2}])),
    "columns as JSON": new("raw.json", json.dumps({"group": {"0": "g", "1": "h"}, "den": {"0": 40, "1": 3}})),
    "an exhibit's data": new("exhibits/T98.json", json.dumps({"id": "T98", "alt": "x", "data": [{"n": 3}]})),
    "an exhibit's sentence": new("exhibits/T98.json", json.dumps({"id": "T98", "alt": "3 members of one group"})),
    "an exhibit's table": new("exhibits/T98.json", json.dumps({"columns": ["Group", "n"], "rows": [["g", "3"]]})),
    "a table of the page": new("page.html", "<table><tr><th>Group</th><th>n</th></tr><tr><td>g</td><td>3</td></tr></table>"),
    "a sentence of the page": new("page.html", "<p>Only <b>3</b> members</p>"),
}
UNLISTED: dict[str, Plant] = {
    "cells under other column names": new("results/raw.csv", "a,b,d,x\nS01,g,3,2\n"),
    "a picture": new("exhibits/F99.png", "x"),
    "a changed page": lambda folder: (folder / "diagnostics.csv").write_text("gate_id\nx\n"),
    "no results": lambda folder: shutil.rmtree(folder / "results"),
    "a missing table": lambda folder: (folder / "results" / "profile.csv").unlink(),
}


@pytest.mark.parametrize("name", SEEN)
def test_the_auditor_sees(name: str, copy: Path) -> None:
    SEEN[name](copy)
    assert audit_folder(copy, THRESHOLD)


@pytest.mark.parametrize("name", ["a suppressed row with den", "a table in a subfolder", *UNLISTED])
def test_a_planted_leak_stops_the_release(name: str, copy: Path, tmp_path: Path) -> None:
    ({**SEEN, **UNLISTED}[name])(copy)
    with pytest.raises(DisclosureError) as caught:
        release(copy, tmp_path / "edition")
    assert caught.value.exit_code == 13
    assert not (tmp_path / "edition").exists()
    if name in UNLISTED:
        assert any(words in str(caught.value) for words in ("not written by the run", "not as the run wrote it", "missing"))


def test_rendering_again_lists_its_own_files_and_nothing_planted(copy: Path, tmp_path: Path) -> None:
    before = run_outputs(copy)
    (copy / "report.json").write_text("{}")
    list_again(copy, before)
    assert "report.json" in release(copy, tmp_path / "first")
    (copy / "results" / "raw.csv").write_text("a,x\ng,3\n")
    before = run_outputs(copy)
    (copy / "report.json").write_text('{"study": "x"}')
    list_again(copy, before)
    with pytest.raises(DisclosureError, match=r"results/raw\.csv: not written by the run"):
        release(copy, tmp_path / "second")


def changed_study(folder: Path, **replace: str) -> Path:
    own = folder / "study"
    shutil.copytree(studies_dir() / "bcbsma_pay_for_equity", own)
    text = (own / "study.toml").read_text()
    for old, value in replace.items():
        text = text.replace(f"\n{old} = 11 ", f"\n{old} = {value} ")
    (own / "study.toml").write_text(text)
    return own


def test_another_study_or_another_plan_is_refused(copy: Path, tmp_path: Path) -> None:
    for study in ("castle_doctrine", changed_study(tmp_path, threshold="5")):
        with pytest.raises(StudyError, match="not the study this run was made with") as caught:
            release(copy, tmp_path / "edition", study)
        assert caught.value.exit_code == 11
    assert not (tmp_path / "edition").exists()


@pytest.mark.parametrize("threshold", ["0", "1"])
def test_counts_of_members_need_a_threshold(threshold: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="need a disclosure threshold"):
        load_study(changed_study(tmp_path, threshold=threshold))


def test_an_edition_does_not_lie_in_its_run(copy: Path) -> None:
    before = sorted(copy.rglob("*"))
    with pytest.raises(UsageError, match="change its own input"):
        release(copy, copy / "edition")
    assert sorted(copy.rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "found"),
    [("3 members", True), ("Counts of persons from 1 to 10 are hidden", False), ("fewer than 10 members", False),
     ("1,003 members", False), ("10.5 persons", False), ("in 7 people", True)],
)  # fmt: skip
def test_small_numbers_of_people_in_words(text: str, found: bool) -> None:
    assert bool(audit_text(text, THRESHOLD)) == found


def test_counts_of_systems_are_not_counts_of_people() -> None:
    design = pd.DataFrame({"n_contracted": [3], "n_comparison": [7], "n_assignments": [9], "n_clusters": [10], "n_members": [50]})
    assert audit_frame(design, THRESHOLD) == []
    members = pd.DataFrame({"n_participating": [300], "n_comparison": [4]})
    assert audit_frame(members, THRESHOLD) == ["column n_comparison: 1 counts of 1 to 10"]
