"""The order of files, and shared fixtures: one small synthetic extract, its cells and a run, each made once for all workers."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest

FIRST = "bcbsma_pay_for_equity"
TESTS = Path(__file__).parent
# `make test` hands whole files to its two workers in this order: the long ones first, so that both end at the same time.
LONG_FIRST = (
    *("recovery/test_recovery.py", "unit/test_pipeline.py", "unit/test_every_estimator.py", "spec/test_determinism.py"),
    *("spec/test_failures_of_the_machine.py", "spec/test_command_line.py", "unit/test_staggered_estimators.py"),
    *("unit/validate/test_faults.py", "unit/exhibits/test_exhibits.py"),
)
MadeOnce = Callable[[str, Callable[[Path], object]], Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; within a file the order stays."""
    rank = {TESTS / name: i for i, name in enumerate(LONG_FIRST)}
    assert all(path.is_file() for path in rank), "LONG_FIRST names a file that is not there"
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """made_once(name, make): the folder that `make` fills, by the worker that asks first; the others wait and share it.

    It lies below the base folder of this run of pytest, with a link beside each worker's own temporary folders: so a copy of a
    run finds its study by the same relative way. Tests read it; one that changes something takes a copy.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    shared.mkdir(exist_ok=True)

    def get(name: str, make: Callable[[Path], object]) -> Path:
        name = f"shared_{name}"  # no name that a test gives to a folder of its own
        folder, part = shared / name, shared / f"{name}.part"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the system lets go of it when a worker dies
            if not folder.exists():
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                make(part)
                part.rename(folder)
        link = base / name
        if not link.exists():
            link.symlink_to(folder, target_is_directory=True)
        return link

    return get


@pytest.fixture(scope="session")
def small_extract(made_once: MadeOnce) -> Path:
    """Tier C, 150,000 members, scenario `default`: enough to pass every gate but the power of the smallest measure."""
    from p4equity.study import load_study
    from p4equity.synthetic import simulate

    made = made_once("extract", lambda new: simulate(load_study(FIRST), new / "c", members=150_000, seed=7, workers=1))
    return made / "c"


@pytest.fixture(scope="session")
def small_tier_b(small_extract: Path, made_once: MadeOnce) -> Path:
    """The same extract as cells (tier B)."""
    from p4equity.cli.stages import write_tier_b

    return made_once("cells", lambda new: write_tier_b(FIRST, small_extract, new / "b", 1)) / "b"


@pytest.fixture(scope="session")
def light_study(made_once: MadeOnce) -> Path:
    """The first study with fewer simulated data sets in its calibration, which is most of a run's time."""
    from p4equity.study import load_study

    def make(new: Path) -> None:
        copy = shutil.copytree(load_study(FIRST).folder, new / FIRST)
        text = (copy / "study.toml").read_text()
        assert "calibration_draws = 4000" in text
        (copy / "study.toml").write_text(text.replace("calibration_draws = 4000", "calibration_draws = 40"))

    return made_once("study", make) / FIRST


@pytest.fixture(scope="session")
def small_run(small_extract: Path, light_study: Path, made_once: MadeOnce) -> Path:
    """A finished run of the small extract without a report."""
    from p4equity.pipeline import run

    return made_once("run", lambda new: run(light_study, small_extract, new / "run", workers=1, report=False)) / "run"
