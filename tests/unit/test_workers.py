"""Work in processes: answers by position, errors of a job raised here, a killed process noticed, none left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import pytest
from p4equity.errors import StudyError
from p4equity.workers import WorkerStopped, in_processes


def _square(job: int, less: int = 0) -> int:
    return job**2 - less


def _refuse(job: int) -> int:
    if job == 3:
        raise StudyError("no such arm", where="systems.toml", fix="add one")
    return job


def _die(job: int) -> int:
    if job == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return job


@pytest.mark.parametrize("here", [False, True])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_each_job_has_its_answer(workers: int, here: bool) -> None:
    assert dict(in_processes(partial(_square, less=1), range(7), workers, here=here)) == {i: i**2 - 1 for i in range(7)}
    assert dict(in_processes(_square, [], workers, here=here)) == {}
    assert not active_children()


def test_an_error_of_a_job_is_raised_whole_and_ends_the_rest() -> None:
    with pytest.raises(StudyError) as caught:
        list(in_processes(_refuse, range(50), 2))
    assert (caught.value.where, caught.value.fix) == ("systems.toml", "add one")
    assert any("in _refuse" in note for note in caught.value.__notes__)
    assert not active_children()


def test_a_killed_process_is_noticed() -> None:
    with pytest.raises(WorkerStopped, match="-9"):
        list(in_processes(_die, range(5), 2))
    assert not active_children()


def test_a_process_that_ends_before_it_reads_its_work_is_noticed(tmp_path: Path) -> None:
    """A script without `if __name__ == "__main__"` ends in each worker, which imports it; the work is more than a pipe holds."""
    script = tmp_path / "script.py"
    script.write_text(
        "from functools import partial\nfrom p4equity.workers import in_processes\n"
        "list(in_processes(partial(max, 'x' * 1_000_000), ['a', 'b'], 2))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "WorkerStopped: exit code 1" in done.stderr


def _process(_: int) -> int:
    time.sleep(0.02)
    return os.getpid()


def test_this_process_can_be_one_of_them() -> None:
    places = [place for _, place in in_processes(_process, range(300), 2, here=True)]
    assert len(set(places)) == 2
    assert os.getpid() in places
    assert os.getpid() not in [place for _, place in in_processes(_process, range(4), 2)]


@pytest.mark.parametrize("here", [False, True])
def test_giving_up_early_leaves_no_process(here: bool) -> None:
    answers = in_processes(_square, range(100), 2, here=here)
    next(answers)
    answers.close()
    assert not active_children()


def blocks_interrupts(_: int) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_no_worker_sees_an_interrupt() -> None:
    """In a process of its own, where nothing has begun the tracker of resources, which lifts the block as it begins."""
    asked = "print(dict(in_processes(test_workers.blocks_interrupts, range(4), 2)))"
    code = f"import test_workers; from p4equity.workers import in_processes; {asked}"
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=here, check=False)
    assert done.stdout.strip().count("True") == 4, done.stdout + done.stderr


def write_down(folder: Path, job: int) -> int:
    (folder / f"{job}").write_text(str(os.getpid()))
    time.sleep(600)
    return job


def test_workers_end_with_the_process_that_began_them(tmp_path: Path) -> None:
    code = (
        "import test_workers; from functools import partial; from pathlib import Path; "
        "from p4equity.workers import in_processes; "
        f"list(in_processes(partial(test_workers.write_down, Path({str(tmp_path)!r})), range(2), 2))"
    )
    begun = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)
    while begun.poll() is None and len([p for p in tmp_path.iterdir() if p.read_text()]) < 2:
        time.sleep(0.01)
    begun.kill()
    begun.communicate(timeout=60)  # the workers have the same standard output: it is closed when the last of them is gone
    assert begun.returncode == -signal.SIGKILL
