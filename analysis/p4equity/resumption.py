"""Going through the stages of a run: each is done, or reused when what it was made from and what it wrote are still the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from p4equity.errors import DataError
from p4equity.inputs import inputs_of
from p4equity.records import CHANGES, Records, hashes
from p4equity.run_state import Run
from p4equity.stages import Stage

Say = Callable[[str], None]


@contextmanager
def keeping_finished(run: Run, stages: Sequence[Stage], *, resume: bool, say: Say) -> Iterator[Records]:
    """The records of a run's working folder for a block that goes through its stages; those of an earlier attempt with `resume`.

    When the block fails, or the process is asked to end, what finished stages wrote stays and everything else goes; `say` is
    told how to go on.
    """
    if not resume:
        shutil.rmtree(run.folder, ignore_errors=True)
    run.folder.mkdir(parents=True, exist_ok=True)
    records = Records(run.folder)
    try:
        if resume and run.target is not None:
            records.take_up([stage.name for stage in stages], run.target)
        yield records
    except BaseException:
        _keep(run, stages, records, say)
        raise


def go_through(run: Run, stages: Sequence[Stage], records: Records, say: Say) -> None:
    """Do or reuse the stages in order; `say` is told which are reused and, where some may be, why others are not."""
    told = say if records.known else lambda _: None
    for at, stage in enumerate(stages):
        later = {path for after in stages[at + 1 :] for path in after.writes}
        _do_or_reuse(run, stage, records, [path for path in stage.writes if path not in later], told)


def _do_or_reuse(run: Run, stage: Stage, records: Records, own: Sequence[str], say: Say) -> None:
    """One stage. `own`: what it writes and no later stage writes again."""
    inputs = inputs_of(stage, run, records)
    why = records.why_not(stage.name, inputs)
    if why is None:
        run.reused.append(stage.name)
        say(f"{stage.name}: reused")
        return
    say(f"{stage.name}: {why}")
    records.forget(stage.name)
    for path in stage.writes:
        _remove(run, path)
    try:
        with run.timed(stage.name):
            stage.work(run)
    except Exception:
        inputs_of(stage, run, records)  # says so when a file of the extract is gone, which is then the reason
        raise
    _check_unmoved(stage, inputs, inputs_of(stage, run, records))
    records.add(stage.name, inputs, hashes(run.folder, own))


def _check_unmoved(stage: Stage, before: Mapping[str, str | None], after: Mapping[str, str | None]) -> None:
    moved = [CHANGES.get(name, name) for name in before if before[name] != after[name]]
    if moved:
        raise DataError(
            "something was changed while it was read", where=f"stage {stage.name}", expected="the same content before and after",
            found=", ".join(moved), fix="wait until nothing writes to it any more, then repeat the run with --resume",
        )  # fmt: skip


def _keep(run: Run, stages: Sequence[Stage], records: Records, say: Say) -> None:
    finished = [stage.name for stage in stages if stage.name in records.known]
    if not finished:
        shutil.rmtree(run.folder, ignore_errors=True)
        return
    with suppress(OSError):
        records.sweep()
    rest = [stage.name for stage in stages if stage.name not in records.known]
    then = f"go on from {rest[0]}" if rest else "finish"
    say(f"Finished stages are kept in {run.folder}: {', '.join(finished)}. Repeat with --resume to {then}.")


def _remove(run: Run, path: str) -> None:
    place = run.folder / path
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
