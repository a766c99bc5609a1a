"""Locks go with the process that holds them, and temporary folders with the lock that was held in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from p4equity.errors import UsageError
from p4equity.locks import holding
from p4equity.run_folder import put_in_place, replacing, sole_writer
from p4equity.scratch import scratch_folder

HOLD = """
import time
from pathlib import Path
{imports}
with {block}:
    print('held', flush=True)
    time.sleep(600)
"""


def in_another_process(imports: str, block: str, **environment: str) -> subprocess.Popen[str]:
    """A process that is inside the block by the time this returns."""
    code = HOLD.format(imports=imports, block=block)
    begun = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    assert begun.stdout is not None
    assert begun.stdout.readline() == "held\n"
    return begun


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


def test_one_holder_at_a_time_and_none_after_a_kill(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    other = in_another_process("from p4equity.locks import holding", f"holding(Path({str(lock)!r}))")
    with holding(lock) as holder:
        assert holder == str(other.pid)
    assert lock.is_file()  # still the other's
    kill(other)
    assert lock.read_text() == f"{other.pid}\n"
    with holding(lock) as holder:
        assert holder is None
        assert lock.read_text() == f"{os.getpid()}\n"
        with holding(lock) as again:  # the same process, but another block
            assert again == str(os.getpid())
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_folder(tmp_path: Path) -> None:
    target = tmp_path / "run"
    other = in_another_process("from p4equity.run_folder import replacing", f"replacing(Path({str(target)!r}))")
    said = f"another process is writing to this folder\n.*\n.*process {other.pid}\n"
    with pytest.raises(UsageError, match=said), replacing(target):
        pytest.fail("two at a time")
    assert (tmp_path / ".run.working").is_dir()
    kill(other)
    with replacing(target) as working:
        (working / "new").touch()
    assert [p.name for p in tmp_path.rglob("*")] == ["run", "new"]


def test_what_a_killed_process_had_moved_aside_is_brought_back(tmp_path: Path) -> None:
    target, aside = tmp_path / "run", tmp_path / ".run.old"
    aside.mkdir()
    (aside / "earlier").touch()
    with sole_writer(target) as working:
        assert (target / "earlier").is_file()
        working.mkdir()
        (working / "later").touch()
        put_in_place(working, target)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["later", "run"]
    aside.mkdir()  # killed after the new one stood
    with sole_writer(target):
        assert not aside.exists()


def test_temporary_files_go_with_the_block_or_with_the_next_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "p4equity-somebody's").mkdir()
    imports, block = "from p4equity.scratch import scratch_folder", "scratch_folder()"
    alive, killed = (in_another_process(imports, block, TMPDIR=str(tmp_path)) for _ in range(2))
    others = set(tmp_path.iterdir())
    assert len(others) == 3
    kill(killed)
    with scratch_folder() as folder:
        assert len({*tmp_path.iterdir()} & others) == 2  # of the killed process' nothing is left
        assert folder.parent == tmp_path
        assert Path(tempfile.mkdtemp()).parent == folder
        asked = [sys.executable, "-c", "import tempfile; print(tempfile.mkdtemp())"]
        inside = subprocess.run(asked, capture_output=True, text=True, check=True)
        assert Path(inside.stdout.strip()).parent == folder
    assert not folder.exists()
    assert tempfile.gettempdir() == str(tmp_path)
    assert os.environ["TMPDIR"] == str(tmp_path)
    kill(alive)
    with scratch_folder() as folder:
        assert {*tmp_path.iterdir()} == {folder, tmp_path / "p4equity-somebody's"}
