"""Fixtures of the unit tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from p4equity.resources import study_dir
from p4equity.study import Study, load_study


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[str, str, str], Path]:
    """Replaces one text by another in one file of a copy of the first study, and returns the copy's folder."""
    folder = tmp_path / "study_copy"
    shutil.copytree(study_dir("bcbsma_pay_for_equity"), folder)

    def edit(file: str, old: str, new: str) -> Path:
        path = folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{old!r} is no longer in {file}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return folder

    return edit


@pytest.fixture(scope="session")
def study() -> Study:
    """The first study."""
    return load_study("bcbsma_pay_for_equity")


@pytest.fixture(scope="session")
def published_study() -> Study:
    """The study of published values."""
    return load_study("castle_doctrine")
