"""A request to end (SIGTERM) is answered as Ctrl-C is: one line, an exit code, no worker and no working folder left."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest
from p4equity.interrupts import ENDED, end_when_asked, workers_ignore_interrupts


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
