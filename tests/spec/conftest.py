"""Driving the command line: in this process or in one of its own, on a small extract that a test may damage."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from p4equity.resources import study_dir

FIRST = "bcbsma_pay_for_equity"
LEAK = "QQLEAK"  # planted in columns about persons: must never be printed
_MEMBER = re.compile(r"\bM\d{8}\b")


@dataclass(frozen=True)
class Said:
    """What a verb left: exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Everything printed, line breaks of the terminal undone."""
        return re.sub(r"\s+", " ", re.sub(r"[│╭╮╰╯─]", " ", self.out + " " + self.err))

    def fails(self, code: int, *patterns: str) -> None:
        """The exit code, a whole message in these words, no traceback, nothing of a person."""
        assert self.code == code, self.out + self.err
        for pattern in patterns:
            assert re.search(pattern, self.text), f"{pattern!r} is not in: {self.text}"
        assert "Traceback" not in self.text
        assert "Warning" not in self.text
        assert LEAK not in self.text
        assert not _MEMBER.search(self.text)


def whole(said: Said) -> None:
    """An error of ours has all its parts: expected, found, next step."""
    for part in ("expected:", "found:", "next:"):
        assert part in said.err, f"no '{part}' in: {said.err}"


Verb = Callable[..., Said]


@pytest.fixture
def p4(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Verb:
    """Runs a verb in this process."""
    from p4equity.cli import main

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["p4equity", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return run


def in_process_of_its_own(*words: object, **environment: str) -> Said:
    """Runs a verb as a user does."""
    # COVERAGE and locale stay; hash seed and threads are what the test says.
    done = subprocess.run(
        [sys.executable, "-c", "from p4equity.cli import main; main()", *map(str, words)],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def process() -> Verb:
    """Runs a verb in a process of its own; keywords are environment variables."""
    return in_process_of_its_own


@pytest.fixture(scope="session")
def extract(made_once: Any) -> Path:
    """8,000 members, tier C."""
    from p4equity.study import load_study
    from p4equity.synthetic import simulate

    made: Path = made_once(
        "command_line", lambda new: simulate(load_study(FIRST), new / "extract", members=8000, seed=3, workers=1)
    )
    return made / "extract"


@pytest.fixture(scope="session")
def extract_cells(extract: Path, made_once: Any) -> Path:
    """The same as cells, tier B: for tests that begin where the cells are there."""
    from p4equity.cli.stages import write_tier_b

    made: Path = made_once("command_line_cells", lambda new: write_tier_b(FIRST, extract, new / "cells", 1))
    return made / "cells"


@dataclass(frozen=True)
class Damaged:
    """A copy of the extract, to be damaged."""

    path: Path

    def file(self, table: str) -> Path:
        """The (only) file of a table."""
        places = [*self.path.glob(f"{table}.*"), *(self.path / table).glob("*")]
        assert len(places) == 1, places
        return places[0]

    def rewrite(self, table: str, query: str, form: str = "parquet") -> Path:
        """Replaces a table by a query over itself (name: t)."""
        old = self.file(table)
        new = old.with_suffix(f".{form}")
        with duckdb.connect() as con:
            con.execute("CREATE TABLE t AS SELECT * FROM read_parquet(?)", [str(old)])
            old.unlink()
            options = "FORMAT parquet" if form == "parquet" else "FORMAT csv, HEADER"
            con.execute(f"COPY ({query}) TO '{new}' ({options})")
        return new


@pytest.fixture
def damaged(extract: Path, tmp_path: Path) -> Damaged:
    """A copy of the small extract, not damaged yet."""
    shutil.copytree(extract, tmp_path / "extract")
    return Damaged(tmp_path / "extract")


@pytest.fixture(name="few_analyses", scope="session")
def _few_analyses() -> Callable[..., Path]:
    """See `few_analyses`."""
    return few_analyses


def few_analyses(folder: Path, analyses: Iterable[str], **limits: float) -> Path:
    """A copy of the first study with these analyses only, quick to estimate; gates pass unless `limits` says otherwise."""
    shutil.copytree(study_dir(FIRST), folder)
    plan = folder / "study.toml"
    head, *blocks = re.split(r"(?m)^(?=\[\[analysis\]\])", plan.read_text("utf-8"))
    *blocks, last = blocks
    last, rest = re.split(r"(?m)^# Gates look", last, maxsplit=1)
    wanted = set(analyses)
    kept = [b for b in [*blocks, last] if re.search(r'(?m)^id = "(\w+)"', b).group(1) in wanted]  # type: ignore[union-attr]
    assert len(kept) == len(wanted)
    # Regressions are the slow part: one measure each.
    single = 'measures = ["CBP"]'
    kept = [b.replace('measures = "contracted"', single) if re.search(r'"(did|triple_\w+)"', b) else b for b in kept]
    parts = re.split(r"(?m)^(?=\[\[gate\]\])", rest)
    gates = []
    for part in parts[1:]:
        name = re.search(r'(?m)^id = "(\w+)"', part).group(1)  # type: ignore[union-attr]
        loose = 0.0 if 'direction = "at_least"' in part else 1e6
        gates.append(re.sub(r"(?m)^limit = .*$", f"limit = {limits.get(name, loose)}", part))
    text = head + "".join(kept) + "# Gates look" + parts[0] + "".join(gates)
    # Eight thousand members are few: small cells count too, or nothing could be estimated.
    for key, value in (("wild_draws", 999), ("minimum_denominator", 2), ("calibration_draws", 40)):
        text, found = re.subn(rf"(?m)^{key} = \d+", f"{key} = {value}", text)
        assert found == 1
    plan.write_text(text, "utf-8")
    threats = folder / "threats.csv"
    threats.write_text(threats.read_text("utf-8").splitlines()[0] + "\n", "utf-8")
    return folder


@pytest.fixture(scope="session")
def quick_study(made_once: Any) -> Path:
    """The first study with three analyses, all gates wide."""
    analyses = ["pooled", "triple_difference", "spending"]
    made: Path = made_once("quick", lambda new: few_analyses(new / "quick_study", analyses))
    return made / "quick_study"


@pytest.fixture(scope="session")
def quick_run(extract: Path, quick_study: Path, made_once: Any) -> Path:
    """A finished run of the quick study on the small extract, without a report."""
    from p4equity.pipeline import run

    made: Path = made_once("quick_run", lambda new: run(quick_study, extract, new / "run", workers=1, report=False))
    return made / "run"
