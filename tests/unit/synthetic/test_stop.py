"""A simulation that is stopped waits for no block that has not begun, and leaves nothing; a killed one leaves it to the next."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from p4equity.extract import open_extract
from p4equity.scratch import folder_in_use
from p4equity.study import load_study
from p4equity.synthetic import SimulationSummary, simulate
from p4equity.validate import validate

FIRST = "bcbsma_pay_for_equity"
KILLED = f"""
import os, signal, sys
from pathlib import Path
from p4equity.synthetic import simulate
end = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
simulate({FIRST!r}, Path(sys.argv[1]), members=1000, seed=1, workers=1, progress=end)
"""


def test_an_interrupt_while_blocks_are_made(tmp_path: Path) -> None:
    def interrupted(*_: int) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        simulate(load_study(FIRST), tmp_path / "x", members=3_000_000, seed=1, workers=2, progress=interrupted)
    assert time.monotonic() - began < 40  # all blocks would take minutes
    assert list(tmp_path.iterdir()) == []


def killed(out: Path) -> Path:
    """The hidden folder that a simulation leaves when it is killed with all its tables written."""
    before = set(out.parent.iterdir())
    done = subprocess.run([sys.executable, "-c", KILLED, out], stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = set(out.parent.iterdir()) - before
    assert (left / "extract" / "system.parquet").is_file()
    return left


def test_the_next_simulation_removes_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "x[1]"  # a name that is also a pattern
    others = [killed(tmp_path / "y"), tmp_path / ".x[1].mine.partial", tmp_path / ".x[1].working", tmp_path / "x1"]
    for mine in others[1:]:
        mine.mkdir()
        (mine / "notes").write_text("mine")
    with folder_in_use(tmp_path, ".x[1].", ".partial") as alive:
        left = killed(out)
        assert set(tmp_path.iterdir()) == {left, alive, *others}
        simulate(load_study(FIRST), out, members=1000, seed=1, workers=1)
        assert set(tmp_path.iterdir()) == {out, alive, *others}
    assert all((mine / "notes").read_text() == "mine" for mine in others[1:])
    assert {p.name for p in out.iterdir()} == {p.name for p in (others[0] / "extract").iterdir()} | {"extract.json", "truth.json"}


def test_no_verb_sees_what_a_killed_simulation_left(summary: SimulationSummary, tmp_path: Path) -> None:
    place = shutil.copytree(summary.out, tmp_path / "x")
    before = open_extract(place)
    killed(place / "y")
    killed(place / "spending" / "y")
    after = open_extract(place)
    assert after.data_files() == before.data_files()
    assert after.content_hash() == before.content_hash()
    assert validate(after, load_study(FIRST)).problems == ()
