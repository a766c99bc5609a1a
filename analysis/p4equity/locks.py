"""Locks on files: held while a block runs, and free as soon as the process that holds them is gone, however it ended."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)


def taken(handle: IO[str]) -> bool:
    """Whether the lock of an open file could be taken; closing the file gives it back. Raises OSError where there are none."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def holding(path: Path) -> Iterator[str | None]:
    """Hold the lock at `path` for a block. Yields None, or the number of the process that holds it already.

    The system keeps the lock, not the file: one that a killed process left behind is open, whatever stands in it.
    """
    handle = path.open("a+")
    while (ours := _taken_if_there_are_locks(handle)) and not _still_there(handle, path):
        handle.close()  # its last holder removed the file meanwhile
        handle = path.open("a+")
    try:
        if ours:
            handle.truncate(0)
            handle.write(f"{os.getpid()}\n")
            handle.flush()
        handle.seek(0)
        yield None if ours else handle.read().strip() or "unknown"
    finally:
        if ours:
            path.unlink(missing_ok=True)
        handle.close()


def _taken_if_there_are_locks(handle: IO[str]) -> bool:
    """As `taken`; a shared file system that knows no locks keeps nobody out."""
    try:
        return taken(handle)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return True


def _still_there(handle: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False
