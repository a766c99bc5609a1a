"""What a machine or a library does wrong ends in one message as well: no traceback, no value of a person, nothing half-made."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from p4equity.workers import WorkerStopped

LEAK = "QQLEAK"
FAILURES: dict[str, tuple[BaseException, int, list[str]]] = {
    "disk full": (OSError(errno.ENOSPC, "No space left on device", "/d/c.parquet"), 1, [r"/d/c\.parquet: the disk is full"]),
    "disk full in a library": (duckdb.IOException(f"{LEAK}: No space left on device"), 1, [r"the disk is full", r"TMPDIR"]),
    "not permitted": (PermissionError(errno.EACCES, "Permission denied", "/d/o"), 1, [r"/d/o: not permitted", r"expected: "]),
    "input or output error": (OSError(errno.EIO, "Input/output error", "/d/x"), 1, [r"/d/x: the system refused a file"]),
    "out of memory": (MemoryError(LEAK), 1, [r"not enough memory", r"--workers 1"]),
    "out of memory in a library": (duckdb.OutOfMemoryException(LEAK), 1, [r"not enough memory", r"--workers 1"]),
    "a worker was killed": (WorkerStopped(LEAK), 1, [r"a worker process was stopped by the system"]),
    "a query that quotes a row": (
        duckdb.ConversionException(f"Could not convert string '{LEAK}' to INT64"), 1,
        [r"an error this program did not foresee \(ConversionException\)", r"P4EQUITY_DEBUG=1"],
    ),
    "a mistake of ours": (
        KeyError(LEAK), 1,
        [r"p4equity/resumption\.py:\d+ in _do_or_reuse: an error this program did not foresee \(KeyError\)", r"next: "],
    ),
    "interrupted": (KeyboardInterrupt(), 130, [r"Stopped\. No unfinished output was left"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAILURES)
def test_failures_are_said_plainly(
    kind: str, extract: Path, quick_study: Path, p4: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, code, words = FAILURES[kind]

    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("p4equity.stages._validate", broken)
    p4("estimate", extract, "--study", quick_study, "--out", tmp_path / "run").fails(code, *words)
    assert list(tmp_path.iterdir()) == []


def test_the_traceback_comes_on_request(extract: Path, p4: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr("p4equity.stages._validate", broken)
    monkeypatch.setenv("P4EQUITY_DEBUG", "1")
    with pytest.raises(KeyError, match="a mistake of ours"):
        p4("estimate", extract, "--out", tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_may_not_be_read(damaged: Any, p4: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not bind an administrator, so opening is made to fail."""
    opened, barred = Path.open, damaged.file("system")

    def refuse(path: Path, *words: Any, **options: Any) -> Any:
        if path == barred:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *words, **options)

    monkeypatch.setattr(Path, "open", refuse)
    p4("validate", damaged.path).fails(
        10, r"table system: system\.parquet: the file cannot be opened: Permission denied", r"next: "
    )


@pytest.mark.parametrize(("asked", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_query_that_is_stopped(asked: signal.Signals, code: int) -> None:
    """DuckDB answers a signal during a query with a RuntimeError, and what the handler raised is lost."""
    script = f"""
import os
from p4equity.cli.guard import guarded
from p4equity.interrupts import end_when_asked
end_when_asked()
def query():
    try:
        os.kill(os.getpid(), {int(asked)})
    except BaseException:
        pass
    raise RuntimeError("Query interrupted")
guarded(query)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    assert done.stderr.strip() == "Stopped. No unfinished output was left."


@pytest.mark.parametrize(
    ("asked", "whole_group", "code"), [(signal.SIGINT, True, 130), (signal.SIGTERM, True, 143), (signal.SIGTERM, False, 143)]
)
def test_a_simulation_that_is_stopped_leaves_nothing(tmp_path: Path, asked: signal.Signals, whole_group: bool, code: int) -> None:
    words = ["simulate", "--members", "4000000", "--workers", "2", "--out", str(tmp_path / "extract")]
    begun = subprocess.Popen(
        [sys.executable, "-c", "from p4equity.cli import main; main()", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    last = time.monotonic() + 60
    while not list(tmp_path.glob(".extract.*.partial/extract/*/*")) and time.monotonic() < last:  # blocks are on their way
        time.sleep(0.05)
    (os.killpg if whole_group else os.kill)(begun.pid, asked)
    out, err = begun.communicate(timeout=60)  # ends only when the workers have closed the pipes, too
    assert begun.returncode == code, out + err
    assert "Stopped. No unfinished output was left." in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
