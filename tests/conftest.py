"""Shared fixtures: one small synthetic extract, its cells and a run without a report, made once a worker."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest

FIRST = "bcbsma_pay_for_equity"


@pytest.fixture(scope="session")
def small_extract(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tier C, 150,000 members, scenario `default`: enough to pass every gate but the power of the smallest measure."""
    from p4equity.study import load_study
    from p4equity.synthetic import simulate

    out = tmp_path_factory.mktemp("extract") / "c"
    simulate(load_study(FIRST), out, members=150_000, seed=7, workers=1)
    return out


@pytest.fixture(scope="session")
def small_tier_b(small_extract: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same extract as cells (tier B)."""
    from p4equity.cli.stages import write_tier_b

    out = tmp_path_factory.mktemp("cells") / "b"
    write_tier_b(FIRST, small_extract, out, 1)
    return out


@pytest.fixture(scope="session")
def light_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first study with fewer simulated data sets in its calibration, which is most of a run's time."""
    from p4equity.study import load_study

    copy = tmp_path_factory.mktemp("study") / FIRST
    shutil.copytree(load_study(FIRST).folder, copy)
    text = (copy / "study.toml").read_text()
    assert "calibration_draws = 1000" in text
    (copy / "study.toml").write_text(text.replace("calibration_draws = 1000", "calibration_draws = 40"))
    return copy


@pytest.fixture(scope="session")
def small_run(small_extract: Path, light_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the small extract without a report."""
    from p4equity.pipeline import run

    out = tmp_path_factory.mktemp("run") / "run"
    run(light_study, small_extract, out, workers=1, report=False)
    return out
