"""What the tests of the house look at: the tracked files, and the package's modules as syntax trees."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from p4equity.resources import root

SKIPPED = {".git", ".venv", "__pycache__", "runs", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}


@dataclass(frozen=True)
class Module:
    """One file of the package: its path below `analysis/p4equity`, its text and its syntax tree."""

    path: Path
    name: str

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        """The first part of the name: a folder of the package, or a module of its own."""
        return self.name.split("/")[0].removesuffix(".py")


@pytest.fixture(scope="session")
def top() -> Path:
    """The project's folder."""
    return root()


@pytest.fixture(scope="session")
def modules(top: Path) -> list[Module]:
    """All modules of the package."""
    package = top / "analysis" / "p4equity"
    found = [Module(p, p.relative_to(package).as_posix()) for p in sorted(package.rglob("*.py"))]
    assert len(found) > 50
    return found


@pytest.fixture(scope="session")
def tracked(top: Path) -> list[Path]:
    """Files under version control; in an archive without it, every file of the project's own."""
    try:
        said = subprocess.run(["git", "ls-files", "-z"], cwd=top, capture_output=True, text=True, check=True).stdout
        found = [top / name for name in said.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = [p for p in top.rglob("*") if not SKIPPED & set(p.relative_to(top).parts)]
    return [p for p in found if p.is_file()]
