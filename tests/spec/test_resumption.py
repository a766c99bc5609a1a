"""A run that is killed, stopped or fails leaves nothing that looks finished, and goes on from its finished stages."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from p4equity.errors import DataError
from p4equity.pipeline import run

STAGES = ("validate", "cells", "diagnose", "estimate", "calibrate", "disclosure")
ALL = ("simulate", *STAGES, "exhibits", "report", "briefings")
VERBS = ("-c", "from p4equity.cli import main; main()")
TIMES = ("manifest.json", "validation.json", "restricted/stages/validate.json")  # which say how long something took


def content(folder: Path) -> dict[str, object]:
    """Every file of a run as bytes; of those that say how long something took, or where the study lies, the rest."""
    found: dict[str, object] = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    for name in TIMES:
        document = json.loads((folder / name).read_text())
        for key in ("seconds", "written", "reused", "study_folder"):
            document.pop(key, None)
        document.get("outputs", document.get("files", {})).pop("validation.json", None)
        found[name] = document
    return found


def same(first: Path, second: Path) -> bool:
    """Whether two runs are the same to the byte, but for times; a difference is named."""
    one, other = content(first), content(second)
    assert [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)] == []
    return len(one) > 20


def working(target: Path) -> Path:
    return target.with_name(f".{target.name}.working")


def finished(target: Path) -> set[str]:
    """Stages with a record in the working folder."""
    return {p.stem for p in (working(target) / "restricted" / "stages").glob("*.json")}


def begin(*words: object, code: Sequence[object] = VERBS, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, [*code, *words])],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, **environment},
    )  # fmt: skip


def end_within(stage: str, asked: signal.Signals, *words: object, **environment: str) -> tuple[int, str, str]:
    """Begin a run that sends itself a signal when a stage is begun and not finished, and wait until it has ended."""
    begun = begin(*words, code=[Path(__file__).with_name("ended_within.py"), stage, int(asked)], **environment)
    out, err = begun.communicate(timeout=300)  # ends only when the workers have closed the pipes, too
    return begun.returncode, out, err


@pytest.fixture(scope="session")
def one_analysis(few_analyses: Any, made_once: Any) -> Path:
    """The first study with one analysis."""
    made: Path = made_once("one_analysis", lambda new: few_analyses(new / "study", ["spending"]))
    return made / "study"


@pytest.fixture(scope="session")
def uninterrupted(one_analysis: Path, extract_cells: Path, made_once: Any) -> Path:
    """A finished run of the study on the cells of the small extract, without a report."""
    made: Path = made_once("uninterrupted", lambda new: run(one_analysis, extract_cells, new / "run", workers=1, report=False))
    return made / "run"


@pytest.fixture
def words(extract_cells: Path, one_analysis: Path, tmp_path: Path) -> list[object]:
    """The command of the same run, to a folder of its own."""
    return ["estimate", extract_cells, "--study", one_analysis, "--workers", 1, "--out", tmp_path / "run"]


def test_killed_again_and_again(words: list[object], uninterrupted: Path, tmp_path: Path) -> None:
    target, scratch = tmp_path / "run", tmp_path / "t"
    scratch.mkdir()
    for stage, resume in (("cells", []), ("calibrate", ["--resume"])):
        code, _, err = end_within(stage, signal.SIGKILL, *words, *resume, TMPDIR=str(scratch))
        assert code == -signal.SIGKILL, err
        assert not target.exists()
        assert not list(working(target).rglob("manifest.json"))
        assert finished(target) == set(STAGES[: STAGES.index(stage)])
    done = begin(*words, "--resume", TMPDIR=str(scratch))
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    assert "estimate: reused" in out
    assert same(target, uninterrupted)
    facts = json.loads((target / "manifest.json").read_text())
    assert set(facts["reused"]) >= set(STAGES[:4])
    assert set(facts["reused"]) | set(facts["seconds"]) == set(STAGES)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "t"]
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(("asked", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped(words: list[object], tmp_path: Path, asked: signal.Signals, code: int) -> None:
    scratch = tmp_path / "t"
    scratch.mkdir()
    ended, out, err = end_within("cells", asked, *words, TMPDIR=str(scratch))
    assert ended == code, out + err
    assert "Stopped. No unfinished output was left." in err
    assert "Traceback" not in out + err
    assert f"Finished stages are kept in {working(tmp_path / 'run')}: validate" in out
    assert "Repeat with --resume to go on from " in out
    assert sorted(p.name for p in tmp_path.iterdir()) == [".run.working", "t"]
    assert list(scratch.iterdir()) == []


class Again:
    """A finished run, its extract and its study, all to be changed; runs it again in this process."""

    def __init__(self, extract: Path, study: Path, done: Path, folder: Path) -> None:
        self.extract, self.study, self.target = folder / "extract", folder / "study", folder / "run"
        for made, copy in ((extract, self.extract), (study, self.study), (done, self.target)):
            shutil.copytree(made, copy)

    def __call__(self, at: str = "", hook: Callable[[], object] = lambda: None) -> list[str]:
        """What was said of each stage. `hook` is called when the stage `at` begins."""
        self.said: list[str] = []

        def progress(label: str, *counts: int) -> None:
            if (label, counts[0]) == (at, 0):
                hook()

        run(self.study, self.extract, self.target, workers=1, report=False, resume=True, say=self.said.append, progress=progress)
        return self.said

    def reasons(self, at: str = "", hook: Callable[[], object] = lambda: None) -> dict[str, str]:
        """By stage, why it was done; without those that were reused."""
        pairs = (line.split(": ", 1) for line in self(at, hook))
        return {stage: why for stage, why in pairs if why != "reused"}

    def unfinished(self, *stages: str) -> None:
        """As if the run had been killed before these stages had their records."""
        self.target.rename(working(self.target))
        (working(self.target) / "manifest.json").unlink()
        for stage in stages:
            (working(self.target) / "restricted" / "stages" / f"{stage}.json").unlink()


@pytest.fixture
def again(extract_cells: Path, one_analysis: Path, uninterrupted: Path, tmp_path: Path) -> Again:
    """Copies of all three."""
    return Again(extract_cells, one_analysis, uninterrupted, tmp_path)


def stop() -> None:
    """What Ctrl-C does."""
    raise KeyboardInterrupt


def test_what_is_reused_and_what_is_not(again: Again, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in again.extract.rglob("*"):
        os.utime(path, (1, 1))
    assert again() == [f"{stage}: reused" for stage in STAGES]
    assert same(again.target, uninterrupted)

    about = again.extract / "extract.json"
    about.write_text(about.read_text().replace('"scenario"', '"note": "sent again", "scenario"'))
    reorder(next(again.extract.glob("survey_response*")))
    changed = again.target / "restricted" / "estimate.parquet"
    changed.write_bytes(changed.read_bytes()[:-1])
    why = dict.fromkeys(("validate", "cells", "disclosure"), "input changed")
    assert again.reasons() == why | {"estimate": "changed since: restricted/estimate.parquet"}  # the cells are the same
    assert json.loads((again.target / "manifest.json").read_text())["extract"]["note"] == "sent again"

    before = content(again.target)
    truth = again.study / "truth.toml"
    truth.write_text(truth.read_text() + "\n# another word\n")
    for code, why_now in (("", "study changed"), ("0" * 64, "study changed, other code")):
        if code:
            monkeypatch.setattr("p4equity.inputs.code_version", lambda: "0" * 64)
        with pytest.raises(KeyboardInterrupt):
            again("validate", stop)
        assert again.said[0] == f"validate: {why_now}"
        shutil.rmtree(working(again.target))
    assert content(again.target) == before


def reorder(table: Path) -> None:
    """The same rows in another order: other bytes."""
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE t AS SELECT * FROM '{table}' ORDER BY random()")
        con.execute(f"COPY t TO '{table}' (FORMAT parquet)")


def test_another_seed_is_another_extract(one_analysis: Path, tmp_path: Path) -> None:
    said: list[str] = []

    def progress(label: str, *_: int) -> None:
        if label == "validate":
            stop()

    for seed in (3, 3, 4):
        with pytest.raises(KeyboardInterrupt):
            run(
                one_analysis, None, tmp_path / "run", members=1000, seed=seed, workers=1, report=False, resume=True,
                progress=progress, say=said.append,
            )  # fmt: skip
    kept = f"Finished stages are kept in {working(tmp_path / 'run')}: simulate. Repeat with --resume to go on from validate."
    new = "validate: not finished before"
    assert said == [kept, "simulate: reused", new, kept, "simulate: other options", new, kept]


def test_tables_in_a_catalog_are_always_read_again(extract_cells: Path, one_analysis: Path, tmp_path: Path) -> None:
    """Nobody knows what a database holds without reading it; what depends on its cells alone is reused when they are the same."""
    database, block = tmp_path / "warehouse.duckdb", tmp_path / "data.toml"
    with duckdb.connect(str(database)) as con:
        con.execute(f"CREATE TABLE cell AS SELECT * FROM '{extract_cells / 'cell.parquet'}'")
    others = {p.stem: p for p in extract_cells.glob("*.parquet") if p.stem != "cell"}
    tables = "".join(f'{name} = "{path}"\n' for name, path in others.items())
    block.write_text(f'[data]\ntier = "B"\nsynthetic = true\n\n[data.tables]\ncell = {{ table = "cell" }}\n{tables}')
    said: list[str] = []

    def progress(label: str, *_: int) -> None:
        if label == "estimate":
            stop()

    for _ in range(2):
        said.clear()
        with pytest.raises(KeyboardInterrupt):
            run(
                one_analysis, block, tmp_path / "run", engine_url=str(database), workers=1, report=False, resume=True,
                progress=progress, say=said.append,
            )  # fmt: skip
    unknown = "its input lies in an engine's catalog, whose content cannot be known"
    expected = [f"validate: {unknown}", f"cells: {unknown}", "diagnose: reused", "estimate: not finished before"]
    assert said[:-1] == expected


def test_a_file_that_vanishes_on_the_way(again: Again, extract_cells: Path) -> None:
    gone = again.extract / "cell.parquet"
    again.unfinished(*STAGES[1:])
    with pytest.raises(DataError, match=r"cell\.parquet: a file of the extract is gone") as caught:
        again("cells", gone.unlink)
    assert caught.value.exit_code == 10
    assert finished(again.target) == {"validate"}
    assert not again.target.exists()
    shutil.copyfile(extract_cells / "cell.parquet", gone)
    with pytest.raises(KeyboardInterrupt):
        again("diagnose", stop)
    assert finished(again.target) == {"validate", "cells"}
    assert again.said[:2] == ["validate: reused", "cells: not finished before"]


def test_a_file_that_changes_while_it_is_read(again: Again) -> None:
    again.unfinished(*STAGES[1:])
    with pytest.raises(DataError, match=r"stage cells: something was changed while it was read"):
        again("cells", lambda: reorder(next(again.extract.glob("survey_response*"))))
    assert finished(again.target) == {"validate"}


def test_a_full_disk(again: Again, p4: Any, monkeypatch: pytest.MonkeyPatch, uninterrupted: Path) -> None:
    """The file that a stage writes to is a device that is always full; where a system has none, its answer is given for it."""
    again.unfinished("disclosure")
    mkdir = Path.mkdir

    def crowded(path: Path, *options: Any, **named: Any) -> None:
        mkdir(path, *options, **named)
        if path.name != "results":
            return
        if not Path("/dev/full").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        (path / ".rate.csv.part").symlink_to("/dev/full")

    words = ["estimate", again.extract, "--study", again.study, "--out", again.target, "--workers", 1, "--resume"]
    with monkeypatch.context() as here:
        here.setattr(Path, "mkdir", crowded)
        said = p4(*words)
    said.fails(1, r"the disk is full", r"Repeat with --resume to go on from disclosure", r"next: +free some space")
    assert not again.target.exists()
    assert finished(again.target) == set(STAGES[:-1])
    assert not (working(again.target) / "results").exists()
    assert p4(*words).code == 0
    assert same(again.target, uninterrupted)


def test_every_file_of_a_run_is_vouched_for(uninterrupted: Path) -> None:
    stages = [json.loads(p.read_text()) for p in (uninterrupted / "restricted" / "stages").iterdir()]
    assert len(stages) == len(STAGES)
    known = {name for record in stages for name in record["files"]}
    there = {p.relative_to(uninterrupted).as_posix() for p in uninterrupted.rglob("*") if p.is_file()}
    assert {name for name in there - known if not name.startswith("restricted/stages/")} == {"manifest.json"}


@pytest.mark.slow
def test_a_whole_run_killed_in_every_stage(process: Any, tmp_path: Path) -> None:
    """From a synthetic extract to the briefings: killed within each stage in turn, then left alone."""
    words = ["run", "--members", 20_000, "--out"]
    assert process(*words, tmp_path / "once").code == 12  # few members: gates fail, the report is written
    target, scratch = tmp_path / "run", tmp_path / "t"
    scratch.mkdir()
    for at, stage in enumerate(ALL):
        code, _, err = end_within(stage, signal.SIGKILL, *words, target, *(["--resume"] if at else []), TMPDIR=str(scratch))
        assert code == -signal.SIGKILL, err
        assert finished(target) == set(ALL[:at])
        assert not target.exists()
        assert not list(working(target).rglob("manifest.json"))
    said = process(*words, target, "--resume", TMPDIR=str(scratch))
    assert said.code == 12, said.text
    assert same(target, tmp_path / "once")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["once", "run", "t"]
    assert list(scratch.iterdir()) == []
