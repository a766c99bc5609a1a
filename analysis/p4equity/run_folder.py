"""The folder of a run: checked before it is replaced, replaced whole or not at all, and read again by later verbs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from p4equity.errors import P4Error, StudyError, UsageError
from p4equity.locks import holding
from p4equity.resources import referenced_study
from p4equity.study import Study, load_study

MANIFEST = "manifest.json"


def check_target(target: Path, sources: Iterable[Path] = (), outside: Iterable[Path] = ()) -> None:
    """Refuse an output folder that is no folder, holds something else than a run or an edition, or holds one of the inputs.

    outside: folders it must not lie in.
    """
    if not target.name or target.name == "..":
        raise UsageError("the output folder needs a name", where=str(target), fix="choose a new folder, such as runs/first")
    if target.exists() and not target.is_dir():
        raise UsageError("the output folder is a file", where=str(target), expected="a folder", fix="choose another one")
    place = target.resolve()
    replaced = [("replace", f"{s} lies in it") for s in sources if s.resolve().is_relative_to(place)]
    changed = [("change", f"it lies in {f}") for f in outside if place.is_relative_to(f.resolve())]
    for verb, found in [*replaced, *changed]:
        raise UsageError(
            f"the output would {verb} its own input", where=str(target), found=found, fix="choose another output folder"
        )  # fmt: skip
    earlier = (target / MANIFEST).is_file() and (target / "estimates.csv").is_file()
    if target.exists() and any(target.iterdir()) and not earlier:
        raise UsageError(
            "the output folder is not empty and is not a run", where=str(target),
            expected="a new, empty or earlier run's folder", found=f"{sum(1 for _ in target.iterdir())} files or folders",
            fix="choose another output folder",
        )  # fmt: skip


@contextmanager
def sole_writer(target: Path) -> Iterator[Path]:
    """The place of the working folder beside `target`, while no other process works there. Raises UsageError when one does.

    An earlier result that a killed process had moved aside is brought back.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with holding(target.with_name(f".{target.name}.lock")) as other:
        if other is not None:
            raise UsageError(
                "another process is writing to this folder", where=str(target), expected="one at a time",
                found=f"process {other}", fix="wait until it has ended, or choose another output folder",
            )  # fmt: skip
        old = _old(target)
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(old, ignore_errors=True)
        yield target.with_name(f".{target.name}.working")


def put_in_place(working: Path, target: Path) -> None:
    """Make a finished working folder the target; what stood there goes once the new one stands."""
    old = _old(target)
    if target.exists():
        target.rename(old)
    working.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A working folder that becomes `target` only when the block succeeds; on failure nothing half-made stays."""
    with sole_writer(target) as working:
        shutil.rmtree(working, ignore_errors=True)
        working.mkdir()
        try:
            yield working
            put_in_place(working, target)
        finally:
            shutil.rmtree(working, ignore_errors=True)


def read_facts(folder: Path) -> dict[str, Any]:
    """The manifest of a finished run. Raises UsageError when the folder is not one, P4Error when the manifest is damaged."""
    path = folder / MANIFEST
    if not path.is_file():
        raise UsageError(
            "not a finished run", where=str(folder), expected=MANIFEST, found="none", fix="make one with: p4equity run"
        )
    try:
        facts = json.loads(path.read_text("utf-8"))
    except ValueError:
        facts = None
    if not isinstance(facts, dict) or "study" not in facts:
        raise P4Error("the manifest is damaged", where=str(path), expected="a JSON object with a study", fix="repeat the run")
    return facts


def registered_study(folder: Path, facts: dict[str, Any], study: str | Path | None = None) -> Study:
    """The study of a finished run, which must be the very plan that the run was made with.

    Raises StudyError when another study is named or the plan was changed since: its rules were not those of this run.
    """
    plan = study_of(folder, facts, study)
    for what, found, expected in (("study", plan.id, facts["study"]), ("plan_hash", plan.plan_hash, facts.get("plan_hash"))):
        if found != expected:
            raise StudyError(
                "not the study this run was made with", where=f"{plan.folder}, {what}", expected=str(expected), found=found,
                fix="leave --study out, or repeat the run with this study",
            )  # fmt: skip
    return plan


def study_of(folder: Path, facts: dict[str, Any], study: str | Path | None = None) -> Study:
    """The study of a finished run: the one given, else the one its manifest names."""
    if study is not None:
        return load_study(study)
    try:
        found = referenced_study(str(facts.get("study_folder", facts["study"])), folder)
    except StudyError as error:
        raise StudyError(
            "the study of this run is not found", where=str(folder), expected="a shipped study, or its folder where it was",
            found=str(facts["study"]), fix="name the study's folder with --study",
        ) from error  # fmt: skip
    return load_study(found)
