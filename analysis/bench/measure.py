"""One thing measured in a process of its own: the side that starts it, watches its memory and reads what it found."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

SOURCE = Path(__file__).resolve().parents[1]
OTHERS = SOURCE.parent / ".venv-bench" / "bin" / "python"
LOOK = 0.05  # seconds between looks at the memory of a process and those it started
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # linear algebra: two threads are slower on all sides


@dataclass(frozen=True)
class Measured:
    """Seconds of each repetition (the first is cold), peak memory in bytes, and the answer; `failed` says why there are none."""

    wall: tuple[float, ...] = ()
    cpu: tuple[float, ...] = ()
    peak: int = 0
    answer: Any = None
    failed: str = ""

    @property
    def first(self) -> float:
        """Seconds of the first repetition, with whatever is loaded or compiled on first use."""
        return self.wall[0] if self.wall else float("nan")

    @property
    def best(self) -> float:
        """Seconds of the fastest repetition."""
        return min(self.wall, default=float("nan"))

    def record(self) -> dict[str, Any]:
        """What `latest.json` holds of it."""
        if self.failed:
            return {"failed": self.failed}
        numbers = {"seconds": self.best, "seconds_first": self.first, "cpu_seconds": min(self.cpu), "repetitions": len(self.wall)}
        return {**{k: round(v, 5) for k, v in numbers.items()}, "peak_memory_mb": round(self.peak / 1e6)}


def measure(module: str, job: str, spec: Mapping[str, Any], *, repeat: int = 1, python: Path | None = None) -> Measured:
    """Runs `python -m module job` on a specification, `repeat` times in one fresh process.

    Peak memory is the larger of what the process itself reports and of all processes it started, seen together.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        given, target, log = (Path(scratch) / name for name in ("spec.json", "found.json", "log"))
        given.write_text(json.dumps({**spec, "repeat": repeat}), "utf-8")
        command = [str(python or sys.executable), "-m", module, job, str(given), str(target)]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), **dict.fromkeys(ONE_THREAD, "1"), "PYTHONHASHSEED": "0"}
        with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said, env=environment) as process:
            try:
                together = watch(process)
            except BaseException:
                process.kill()
                raise
        if process.returncode or not target.is_file():
            return Measured(failed=_last_line(log.read_text("utf-8", errors="replace")) or f"exit code {process.returncode}")
        found = json.loads(target.read_text("utf-8"))
    return Measured(tuple(found["wall"]), tuple(found["cpu"]), max(found["peak"], together), found["answer"])


def watch(process: subprocess.Popen[bytes]) -> int:
    """Bytes that a process and those it started held together at most, seen until it ends."""
    peak, root = 0, psutil.Process(process.pid)
    while True:
        try:
            process.wait(LOOK)
            return peak
        except subprocess.TimeoutExpired:
            peak = max(peak, _held(root))


def _held(root: psutil.Process) -> int:
    held = 0
    try:
        for one in (root, *root.children(recursive=True)):
            held += _own(one)
    except psutil.Error:
        return held
    return held


def _own(one: psutil.Process) -> int:
    """Bytes of one process; 0 where it has just ended."""
    try:
        return int(one.memory_info().rss)
    except psutil.Error:
        return 0


def _last_line(text: str) -> str:
    """What a process said last, without paths: they are of no use to a reader elsewhere."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return re.sub(r"(?:/[\w.+-]+){2,}/?", "(path)", lines[-1])[:200] if lines else ""
