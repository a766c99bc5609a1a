"""A finished run read again: its manifest is whole, and its results are the ones it wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p4equity.errors import DataError
from p4equity.manifest import changed_outputs
from p4equity.run_folder import MANIFEST, read_facts

KEYS: dict[str, type] = {"synthetic": bool, "outputs": dict, "extract": dict}  # others are texts
RESULTS = ("results/", "estimates.csv", "diagnostics.csv")
AGAIN = "repeat the run: p4equity run"


def whole_facts(folder: Path, *keys: str) -> dict[str, Any]:
    """The manifest of a finished run. Raises UsageError when there is none, DataError when it lacks one of `keys`."""
    path = folder / MANIFEST
    if not path.is_file():
        return read_facts(folder)  # which says what a finished run is
    try:
        facts = json.loads(path.read_text("utf-8"))
    except ValueError:
        facts = None
    wanted = ("study", *keys)
    lost = [name for name in wanted if not isinstance(facts, dict) or not isinstance(facts.get(name), KEYS.get(name, str))]
    if isinstance(facts, dict) and not lost:
        return facts
    raise DataError(
        "the manifest is damaged", where=str(path), expected="a JSON object with " + ", ".join(wanted),
        found="nothing usable under " + ", ".join(lost) if isinstance(facts, dict) else "no JSON object", fix=AGAIN,
    )  # fmt: skip


def check_results(folder: Path, facts: Mapping[str, Any]) -> None:
    """Raise DataError when a table of results is gone, new, or not the one whose hash the manifest holds."""
    said = [line for line in changed_outputs(facts, folder) if line.startswith(RESULTS)]
    if said:
        raise DataError(
            "the results are not the ones this run wrote", where=str(folder), expected="the files listed in its manifest",
            found="; ".join(said[:8]) + (f"; and {len(said) - 8} more" if len(said) > 8 else ""), fix=AGAIN,
        )  # fmt: skip
