"""A request to end (SIGTERM) is answered as Ctrl-C is: one line, an exit code, no worker and no working folder left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from p4equity.interrupts import ENDED, end_when_asked, workers_ignore_interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals to a process group")


@pytest.fixture
def listening() -> Iterator[None]:
    """The handler in this process, taken away afterwards."""
    before, hook = signal.getsignal(signal.SIGTERM), threading.excepthook
    end_when_asked()
    yield
    signal.signal(signal.SIGTERM, before)
    threading.excepthook = hook


@pytest.mark.usefixtures("listening")
def test_it_is_answered_at_once_or_after_the_workers_were_started() -> None:
    with pytest.raises(SystemExit) as caught:
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.code == ENDED
    reached = []

    def begin_workers() -> None:
        with workers_ignore_interrupts():
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append("the end of the block")

    with pytest.raises(SystemExit) as caught:
        begin_workers()
    assert caught.value.code == ENDED
    assert reached
    with workers_ignore_interrupts():
        pass  # answered once


@pytest.mark.parametrize("whole_group", [False, True])
def test_a_simulation_that_is_asked_to_end_leaves_nothing(tmp_path: Path, whole_group: bool) -> None:
    words = ["simulate", "--members", "4000000", "--workers", "2", "--out", str(tmp_path / "extract")]
    begun = subprocess.Popen(
        [sys.executable, "-c", "from p4equity.cli import main; main()", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    last = time.monotonic() + 60
    while not list(tmp_path.glob(".extract.*/extract/*/*")) and time.monotonic() < last:
        time.sleep(0.05)
    (os.killpg if whole_group else os.kill)(begun.pid, signal.SIGTERM)
    out, err = begun.communicate(timeout=60)  # ends only when the workers have closed the pipes, too
    assert begun.returncode == ENDED, out + err
    assert "Stopped. No unfinished output was left." in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
