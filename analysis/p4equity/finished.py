"""A finished run read again: its manifest is whole, its results are the ones it wrote, and it answers the study at hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p4equity.errors import DataError, StudyError
from p4equity.manifest import file_hash
from p4equity.run_folder import MANIFEST, read_facts
from p4equity.study import Study

KEYS: dict[str, type] = {"synthetic": bool, "outputs": dict, "extract": dict}  # others are texts
TOP = ("estimates.csv", "diagnostics.csv")
AGAIN = "make the run again with: p4equity run"


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
    """Raise DataError when a table of results is gone or is not the one whose hash the manifest holds."""
    tables = {p: h for p, h in facts["outputs"].items() if p in TOP or (p.startswith("results/") and p.endswith(".csv"))}
    said = [f"{p} is missing" for p in tables if not (folder / p).is_file()]
    said += [f"{p} has changed" for p, known in tables.items() if (folder / p).is_file() and file_hash(folder / p) != known]
    if not said:
        return
    raise DataError(
        "the results are not the ones this run wrote", where=str(folder), expected="the files listed in its manifest",
        found="; ".join(said[:8]) + (f"; and {len(said) - 8} more" if len(said) > 8 else ""), fix=AGAIN,
    )  # fmt: skip


def check_study(folder: Path, facts: Mapping[str, Any], study: Study) -> None:
    """Raise StudyError when the run answers another study, or another version of its plan."""
    if facts["study"] != study.id:
        raise StudyError(
            "the run is of another study", where=str(folder), expected=study.id, found=facts["study"],
            fix="leave --study out, or name the study of this run",
        )  # fmt: skip
    if facts["plan_hash"] != study.plan_hash:
        raise StudyError(
            "the plan is not the one this run followed", where=str(study.folder), expected=f"plan {facts['plan_hash'][:12]}",
            found=f"plan {study.plan_hash[:12]}", fix=f"{AGAIN}, or give the study as it was with --study",
        )  # fmt: skip
