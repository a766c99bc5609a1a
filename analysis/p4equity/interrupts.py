"""Ctrl-C and SIGTERM belong to the process that talks to the user: it stops its workers and leaves nothing unfinished."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType

INTERRUPTED, ENDED = 128 + signal.SIGINT, 128 + signal.SIGTERM  # exit codes of a process that was asked to end
_waiting: list[bool] = []  # one item a block that must not be left half-way
_asked = False
_interrupted = False


def end_when_asked() -> None:
    """From now on SIGTERM ends this process as Ctrl-C does: with all that was begun undone. Only for a main thread."""
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, as in the background of a shell
        signal.signal(signal.SIGINT, _interrupt)


def asked_to_end() -> bool:
    """Whether SIGTERM came, even where the exception it raised was lost (in a destructor, say)."""
    return _asked


def exit_code_asked_for() -> int | None:
    """The exit code when this process was asked to end. A library may answer a signal with an error of its own, DuckDB does."""
    return ENDED if _asked else INTERRUPTED if _interrupted else None


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _interrupted
    _interrupted = True
    signal.default_int_handler(number, frame)


def _end(number: int, frame: FrameType | None) -> None:
    global _asked
    del number, frame
    _asked = True
    if not _waiting:
        sys.exit(ENDED)


@contextmanager
def workers_ignore_interrupts() -> Iterator[None]:
    """Processes started inside never see Ctrl-C, so that none dies with a traceback of its own.

    The signal is blocked, not ignored: children inherit the block, and an interrupt that arrives meanwhile is answered here
    afterwards instead of being lost. Where signals cannot be blocked (Windows) nothing changes. SIGTERM is not blocked, because
    children could then not be ended; it is answered afterwards, too.
    """
    global _asked
    before = None
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # begun by the first child otherwise, and what it does to begin lifts the block
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    _waiting.append(True)
    try:
        yield
    finally:
        _waiting.pop()
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if _asked and not _waiting:
        _asked = False
        sys.exit(ENDED)
