"""Ctrl-C belongs to the process that talks to the user: workers it starts do not answer, and are stopped with it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def workers_ignore_interrupts() -> Iterator[None]:
    """Processes started inside never see Ctrl-C, so that none dies with a traceback of its own.

    The signal is blocked, not ignored: children inherit the block, and an interrupt that arrives meanwhile is answered here
    afterwards instead of being lost. Where signals cannot be blocked (Windows) nothing changes.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
