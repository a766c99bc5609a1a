"""What a user sees when a verb does not end well: one message, an exit code, never a traceback or a value of a person."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from p4equity.errors import P4Error
from p4equity.interrupts import ENDED, INTERRUPTED, exit_code_asked_for
from p4equity.workers import WorkerStopped

DEBUG = "P4EQUITY_DEBUG"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def guarded(verb: Callable[[], object]) -> None:
    """Run the command line; errors are printed plainly and set the exit code. P4EQUITY_DEBUG=1 raises unexpected ones."""
    try:
        verb()
    except SystemExit as stop:
        if stop.code in (INTERRUPTED, ENDED):
            _say_stopped()
        raise
    except Exception as error:
        if (code := exit_code_asked_for()) is not None:
            _say_stopped()
            sys.exit(code)
        if isinstance(error, P4Error):
            _say(type(error).__name__, error.message())
            sys.exit(error.exit_code)
        if os.environ.get(DEBUG) == "1":
            raise
        _say("Error", in_words(error).message())
        sys.exit(1)


def _say_stopped() -> None:
    from p4equity.cli.progress import errors

    errors.print("Stopped. No unfinished output was left.", markup=False)


def _say(kind: str, message: str) -> None:
    from p4equity.cli.progress import errors

    errors.print(f"[bold red]{kind}[/bold red]", highlight=False)
    errors.print(message, markup=False, highlight=False, soft_wrap=True)


def in_words(error: Exception) -> P4Error:
    """An exception of the machine or of a library as a message of ours. Its own text is not repeated: it may quote a row."""
    # By class name and code, because duckdb must not be imported for a message.
    text, name = str(error), type(error).__name__
    if (isinstance(error, OSError) and error.errno in _FULL) or "No space left on device" in text:
        return P4Error(
            "the disk is full",
            where=_file(error),
            fix="free some space, or choose another --out; TMPDIR is where scratch files go",
        )
    if isinstance(error, MemoryError | WorkerStopped) or name == "OutOfMemoryException":
        return P4Error(
            "not enough memory" if not isinstance(error, WorkerStopped) else "a worker process was stopped by the system",
            found=name, fix="close other programs, use --workers 1, or take a machine with more memory",
        )  # fmt: skip
    if isinstance(error, PermissionError):
        return P4Error(
            "not permitted", where=_file(error), expected="a file or folder that this user may read, or write where output goes",
            found=os.strerror(error.errno or errno.EACCES), fix="change its permissions, or choose another place",
        )  # fmt: skip
    if isinstance(error, OSError) and error.errno:
        return P4Error("the system refused a file", where=_file(error), found=os.strerror(error.errno), fix=_fix())
    return P4Error(f"an error this program did not foresee ({name})", where=_place(error), fix=_fix())


def _fix() -> str:
    return f"repeat with {DEBUG}=1 for the traceback and report it; read it first: it may quote data"


def _file(error: Exception) -> str:
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)  # of a copy: the target
    return name if isinstance(name, str) else os.fsdecode(name) if isinstance(name, bytes) else ""


def _place(error: Exception) -> str:
    """The deepest line of this package on the way to the error."""
    package = Path(__file__).resolve().parent.parent
    inside = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(package)]
    if not inside:
        return ""
    last = inside[-1]
    return f"p4equity/{Path(last.filename).relative_to(package).as_posix()}:{last.lineno} in {last.name}"
