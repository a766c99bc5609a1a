"""The set-up script, with stand-ins for Python: what it says when a piece is missing, and that nothing half-made is kept."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

STAND_IN = """#!/bin/sh
echo "$@" >>"{log}"
case "$*" in
    *'%d.%d'*) echo "{version}" ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *ensurepip*) exit {no_venv} ;;
    *version_info*) exit {unfit} ;;
    *--require-hashes*) cat "{failure}" 2>/dev/null && exit 1; exit 0 ;;
esac
"""


@dataclass(frozen=True)
class Place:
    """A folder with a lock, and the script run in it."""

    folder: Path
    script: Path

    @property
    def venv(self) -> Path:
        return self.folder / "environment"

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text("utf-8") if path.is_file() else ""

    def python(self, version: str = "3.12", *, no_venv: int = 0, unfit: int = 0) -> str:
        """A stand-in for an interpreter, which notes how it is called."""
        path = self.folder / f"python-{version}"
        values = {"log": self.folder / "log", "failure": self.folder / "failure"}
        path.write_text(STAND_IN.format(version=version, no_venv=no_venv, unfit=unfit, **values), "utf-8")
        path.chmod(0o755)
        return str(path)

    def run(self, python: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", self.script, python, "environment"], cwd=self.folder, capture_output=True, text=True, timeout=30
        )


@pytest.fixture
def place(tmp_path: Path, top: Path) -> Place:
    (tmp_path / "requirements.lock").write_text("one==1\ntwo==2\n", "utf-8")
    return Place(tmp_path, top / ".ci" / "setup.sh")


def gives_a_command(said: str) -> bool:
    return any(words in said for words in ("apt-get install", "dnf install", "brew", "python.org"))


def test_a_python_that_does_not_fit_gets_the_command_that_mends_it(place: Place) -> None:
    done = place.run(place.python("3.9", unfit=1))
    assert done.returncode != 0
    assert "3.11, 3.12 or 3.13" in done.stderr
    assert "Python 3.9" in done.stderr
    assert gives_a_command(done.stderr)
    assert not place.venv.exists()


def test_no_python_at_all(place: Place) -> None:
    done = place.run("no-such-python")
    assert done.returncode != 0
    assert "none called no-such-python" in done.stderr
    assert gives_a_command(done.stderr)


def test_a_python_without_the_venv_module(place: Place) -> None:
    done = place.run(place.python("3.12", no_venv=1))
    assert done.returncode != 0
    assert "without its venv module" in done.stderr
    assert gives_a_command(done.stderr)
    assert not place.venv.exists()


def test_the_lock_is_installed_with_hashes_then_the_project_then_the_stamp(place: Place) -> None:
    done = place.run(place.python())
    assert done.returncode == 0, done.stderr
    pip = [line for line in place.log.splitlines() if " pip install " in line]
    assert len(pip) == 2
    assert "--require-hashes -r requirements.lock" in pip[0]
    assert "--no-deps --no-build-isolation -e ." in pip[1]
    assert (place.venv / ".ready").read_text("utf-8") == "one==1\ntwo==2\n"
    assert len(done.stdout.splitlines()) == 1


def test_a_half_made_environment_is_made_again(place: Place) -> None:
    (place.venv / "lib").mkdir(parents=True)
    (place.venv / "lib" / "half").write_text("made", "utf-8")
    assert place.run(place.python()).returncode == 0
    assert not (place.venv / "lib").exists()
    assert (place.venv / ".ready").is_file()


def test_a_finished_environment_is_kept_and_a_new_lock_makes_it_again(place: Place) -> None:
    python = place.python()
    assert place.run(python).returncode == 0
    (place.venv / "kept").write_text("", "utf-8")
    assert place.run(python).returncode == 0
    assert (place.venv / "kept").exists()
    assert place.log.count("--require-hashes") == 1
    (place.folder / "requirements.lock").write_text("one==1.1\n", "utf-8")
    assert place.run(python).returncode == 0
    assert not (place.venv / "kept").exists()
    assert place.log.count("--require-hashes") == 2


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ("ERROR: No matching distribution found for one==1", "offline"),
        ("NewConnectionError: Temporary failure in name resolution", "offline"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "not the one the lock names"),
        ("ERROR: something else", "install.log"),
    ],
)
def test_a_failed_installation_is_explained_and_leaves_no_stamp(place: Place, failure: str, said: str) -> None:
    (place.folder / "failure").write_text(failure + "\n", "utf-8")
    done = place.run(place.python())
    assert done.returncode != 0
    assert failure in done.stderr
    assert said in done.stderr
    assert not (place.venv / ".ready").exists()
    (place.folder / "failure").unlink()
    assert place.run(place.python()).returncode == 0
