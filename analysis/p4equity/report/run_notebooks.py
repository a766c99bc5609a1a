"""Run notebooks through papermill: strict parameters, two at a time, the same bytes each time, failures explained."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from p4equity.errors import P4Error, UsageError
from p4equity.report.kernel import own_kernel
from p4equity.report.parameters import check
from p4equity.resources import root
from p4equity.scratch import folder_in_use

Progress = Callable[[str, int, int], None]  # name of what is done, how many are done, how many there are
START_TIMEOUT, CELL_TIMEOUT = 120, 600  # seconds
SOCKET_NAME = 103  # bytes that every system allows; Linux 107
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Job:
    """One notebook to run with its parameters; `name` is the stem of the executed copy."""

    notebook: Path
    name: str
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Executed:
    """An executed notebook and the seconds it took."""

    path: Path
    seconds: float


def run_notebooks(
    notebooks: Sequence[Path],
    out_dir: Path,
    parameters: Mapping[str, object],
    *,
    workers: int = 2,
    progress: Progress | None = None,
    failed_dir: Path | None = None,
) -> list[Executed]:
    """Run each notebook with the same parameters; results in the given order, executed copies in `out_dir`.

    Kernels work in `out_dir`, so that a relative `run_dir` keeps machine paths out of the executed copies.
    Raises UsageError for unknown or ill-typed parameters before anything runs, P4Error when a notebook fails.
    """
    jobs = [Job(path, path.stem, parameters) for path in notebooks]
    return run_jobs(jobs, out_dir, workers=workers, progress=progress, failed_dir=failed_dir)


def run_jobs(
    jobs: Sequence[Job],
    out_dir: Path,
    *,
    workers: int = 2,
    progress: Progress | None = None,
    failed_dir: Path | None = None,
) -> list[Executed]:
    """As `run_notebooks`, with parameters of its own for each job."""
    prepared = [_load(job) for job in jobs]
    out_dir.mkdir(parents=True, exist_ok=True)
    failed = failed_dir or failed_beside(out_dir.parent)
    done = 0
    results: list[Executed] = []
    with own_kernel() as kernel, ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        futures = [pool.submit(_run, job, node, out_dir, failed, kernel) for job, node in zip(jobs, prepared, strict=True)]
        try:
            for job, future in zip(jobs, futures, strict=True):
                results.append(future.result())
                done += 1
                if progress is not None:
                    progress(job.name, done, len(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def _load(job: Job) -> Any:
    import nbformat

    if not job.notebook.is_file():
        raise UsageError("no such notebook", where=str(job.notebook))
    node = nbformat.read(job.notebook, as_version=4)
    check(node, job.notebook.name, job.parameters)
    return node


def _run(job: Job, node: Any, out_dir: Path, failed: Path, kernel: str) -> Executed:
    """One notebook, tried again once when its kernel did not come up."""
    from papermill.exceptions import PapermillExecutionError

    started = time.perf_counter()
    working = out_dir / f".{job.name}.part.ipynb"
    for attempt in (1, 2):
        try:
            _papermill(job, node, working, kernel)
            break
        except PapermillExecutionError as error:
            raise _failure(job, error, working, failed) from None
        except Exception as error:  # a kernel that did not start, died or timed out
            if attempt == 2 or type(error).__name__ == "CellTimeoutError":
                raise _failure(job, error, working, failed) from error
    final = out_dir / f"{job.name}.ipynb"
    _normalize(working)
    working.replace(final)
    return Executed(final, time.perf_counter() - started)


def _papermill(job: Job, node: Any, working: Path, kernel: str) -> None:
    import papermill
    from traitlets.config import Config

    logging.getLogger("papermill").setLevel(logging.ERROR)
    # Sockets in a folder of the kernel's own: two kernels that start together can pick the same port.
    with folder_in_use(_for_sockets(), "p4e-") as sockets:
        papermill.execute_notebook(
            node,
            str(working.resolve()).replace("{", "{{").replace("}", "}}"),  # papermill formats paths with the parameters
            parameters=dict(job.parameters),
            kernel_name=kernel,
            progress_bar=False,
            log_output=False,
            start_timeout=START_TIMEOUT,
            execution_timeout=CELL_TIMEOUT,
            config=Config({"KernelManager": {"transport": "ipc", "ip": str(sockets / "k")}}),
            # papermill's own `cwd` changes the directory of the whole process, which two threads must not do.
            resources={"metadata": {"path": str(working.parent.resolve())}},
        )


def _for_sockets() -> Path:
    """The temporary folder, or /tmp where its name leaves a socket no room.

    A name too long ends the kernel, and then hangs whoever collects what its manager had open.
    """
    place = tempfile.gettempdir()
    return Path(place if len(os.fsencode(f"{place}/p4e-12345678/k-10")) <= SOCKET_NAME else "/tmp")


def _normalize(path: Path) -> None:
    """Take off what differs from run to run: times, paths, random ids, the temporary kernel's name."""
    import nbformat

    node = nbformat.read(path, as_version=4)
    node.metadata.pop("papermill", None)
    node.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    for i, cell in enumerate(node.cells):
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if "injected-parameters" in cell.metadata.get("tags", ()):
            cell["id"] = f"injected-{i}"
    nbformat.write(node, path)


def _failure(job: Job, error: Exception, working: Path, failed: Path) -> P4Error:
    """Keep the half-run notebook and say in one message what went wrong and where."""
    kept = failed / f"{job.name}.ipynb"
    if working.is_file():
        failed.mkdir(parents=True, exist_ok=True)
        working.replace(kept)
    name, value = getattr(error, "ename", type(error).__name__), _ANSI.sub("", str(getattr(error, "evalue", error)))
    cell = getattr(error, "exec_count", None)
    return P4Error(
        "the notebook failed" if cell is not None else "the notebook's kernel failed",
        where=f"{job.notebook.name}, cell [{cell}]" if cell is not None else job.notebook.name,
        found=f"{name}: {value.strip()}",
        fix=f"open {_short(kept)} to see the traceback"
        if kept.is_file()
        else "run it again; if it fails again, open it in JupyterLab",
    )


def failed_beside(run_dir: Path) -> Path:
    """`reports/failed/` of the checkout that holds the run, else `failed/` beside the run, whose own folder may go."""
    reports = root() / "reports"
    return reports / "failed" if run_dir.resolve().is_relative_to(reports) else run_dir.parent / "failed"


def _short(path: Path) -> str:
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)
