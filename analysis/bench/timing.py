"""One thing measured in a process of its own: the job's side, which needs nothing beyond the standard library.

A job is a function that takes a specification (what JSON holds) and returns two functions: the work that is timed, and what
turns the work's result into an answer that JSON can hold.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Job = Callable[[Mapping[str, Any]], tuple[Callable[[], Any], Callable[[Any], Any]]]
KIBIBYTE = 1024 if sys.platform != "darwin" else 1  # the unit of ru_maxrss


def run_job(jobs: Mapping[str, Job]) -> None:
    """Runs the job named on the command line on a specification file and writes seconds, memory and answer to another file."""
    name, given, target = sys.argv[1:4]
    spec = json.loads(Path(given).read_text("utf-8"))
    work, answer = jobs[name](spec)
    wall, cpu, result = [], [], None
    for _ in range(int(spec["repeat"])):
        result = None
        gc.collect()
        before, start = _cpu(), time.perf_counter()
        result = work()
        wall.append(time.perf_counter() - start)
        cpu.append(_cpu() - before)
    found = {"wall": wall, "cpu": cpu, "peak": _peak(), "answer": answer(result)}
    Path(target).write_text(json.dumps(found), "utf-8")


def _cpu() -> float:
    """Seconds of processor time of this process, all its threads, and of processes it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _peak() -> int:
    """Bytes of memory this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBIBYTE
