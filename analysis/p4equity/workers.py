"""Independent pieces of work in processes of their own, sharing no lock that a killed process could leave closed."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from p4equity.interrupts import ENDED, asked_to_end, workers_ignore_interrupts

Job = TypeVar("Job")
Answer = TypeVar("Answer")
_GRACE = 0.2  # seconds in which a signal that ended a worker reaches this process, too, if it was meant for both


class WorkerStopped(RuntimeError):
    """A worker process ended before its answer: killed by the system, often for want of memory."""


def in_processes(
    work: Callable[[Job], Answer], jobs: Sequence[Job], workers: int, *, here: bool = False
) -> Iterator[tuple[int, Answer]]:
    """(position of the job, its answer) as answers come; the first jobs start first.

    work: picklable, called as work(job); what all jobs share is best bound to it (functools.partial), since it is sent once a
    process. workers: processes at most; with one (or one job) all is done here. here: this process is one of them, for work so
    short that starting a process is a good part of it, and for jobs of a few kB, two of which wait in a pipe. An exception of
    `work` is raised here and the rest is given up; no process outlives the iterator. Raises WorkerStopped when a process ends by
    itself.

    Each process has a pipe of its own, so that one which is killed half-way leaves nothing locked for the others
    (concurrent.futures shares its queues' locks, and can wait for ever for a killed process to open them).
    """
    if workers < 2 or len(jobs) < 2:
        for i, job in enumerate(jobs):
            yield i, work(job)
        return
    crew: dict[Connection, BaseProcess] = {}
    try:
        with workers_ignore_interrupts():
            for _ in range(min(workers, len(jobs)) - here):
                crew.update([_begin()])
        for ours in crew:
            _send(ours, work)
        waiting = enumerate(jobs)
        held = {ours: int(_hand(ours, waiting)) for ours in crew}
        mine = next(waiting, None) if here else None
        for ours in crew if here else ():  # who works here, too, answers late: a second job keeps the others busy until then
            held[ours] += _hand(ours, waiting)
        while mine or any(held.values()):
            if mine is not None:
                yield mine[0], work(mine[1])
            ready = wait([o for o in crew if held[o]], timeout=0 if mine is not None else None)
            for ours in [o for o in crew if o in ready]:
                i, answer, error = _answer(ours, crew[ours])
                if error is not None:
                    raise error
                held[ours] += _hand(ours, waiting) - 1
                yield i, answer
            mine = next(waiting, None) if here else None
    finally:
        for process in crew.values():
            process.kill()
        for ours, process in crew.items():
            process.join()
            ours.close()


def _begin() -> tuple[Connection, BaseProcess]:
    """A process that waits for its work: begun with it, one that ends too early to read a large piece would be waited for."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()  # so that the end of the process is the end of the pipe
    return ours, process


def _hand(ours: Connection, waiting: Iterator[tuple[int, Any]]) -> bool:
    """Hand over the next job, if there is one."""
    numbered = next(waiting, None)
    if numbered is None:
        return False
    _send(ours, numbered)
    return True


def _send(ours: Connection, content: object) -> None:
    with suppress(OSError):  # the process is gone: waiting for its answer says so
        ours.send(content)


def _answer(ours: Connection, process: BaseProcess) -> tuple[int, Any, Exception | None]:
    try:
        i, answer, error = ours.recv()
    except (EOFError, OSError):
        time.sleep(_GRACE)
        if asked_to_end():
            sys.exit(ENDED)
        process.join()
        raise WorkerStopped(f"exit code {process.exitcode}") from None
    return i, answer, error


def _serve(theirs: Connection) -> None:
    """Life of a worker: its work, a numbered job, its answer, the next, until its pipe closes or its parent is gone."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work = theirs.recv()
    except EOFError:
        return
    while True:
        try:
            i, job = theirs.recv()
        except EOFError:
            return
        answer, failure = None, None
        try:
            answer = work(job)
        except Exception as error:
            error.add_note("in a worker process:\n" + traceback.format_exc())
            failure = error
        theirs.send((i, answer, failure))


def _end_with_parent() -> None:
    """Nobody waits for the answers of a killed process, and what its workers still write could meet what the next one writes."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
