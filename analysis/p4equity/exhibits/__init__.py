"""The figures and tables of the report, one a file."""

from __future__ import annotations

import json
import pkgutil
import re
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p4equity.workers import in_processes

if TYPE_CHECKING:
    from p4equity.results import Results

_EXHIBIT = re.compile(r"[ft](\d+|_\w+?)_\w+|t_\w+")


@cache
def modules() -> tuple[str, ...]:
    """Names of the exhibit modules, sorted: every file whose name starts with f or t, a number or a word, and an underscore."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if _EXHIBIT.fullmatch(m.name)))


def write_exhibits(results: Results, directory: Path, *, workers: int = 2) -> tuple[str, ...]:
    """Build and write every exhibit; one that does not apply leaves its reason instead. Returns the ids written or skipped.

    Each exhibit is independent of the others, so they are drawn in `workers` processes with the same bytes as in one.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written = dict(in_processes(partial(_write, results=results, directory=directory), modules(), workers))
    return tuple(written[i] for i in sorted(written))


def _write(name: str, results: Results, directory: Path) -> str:
    from p4equity.exhibits.base import write_exhibit

    module = import_module(f"p4equity.exhibits.{name}")
    exhibit = module.build(results)
    if exhibit is not None:
        write_exhibit(exhibit, directory)
        return str(exhibit.id)
    document: dict[str, Any] = {
        "id": module.ID,
        "kind": "figure" if name.startswith("f") else "table",
        "skipped": results.skipped.get(module.ID, "it does not apply to this study"),
    }
    (directory / f"{module.ID}.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return str(module.ID)
