"""What a run was made of: hashes of code, inputs and outputs, versions, seeds and times."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from p4equity.resources import PACKAGES, dictionary_dir, lock_file, notebooks_dir, root, theme_dir
from p4equity.run_folder import MANIFEST, read_facts

PRIVATE = ("extract", "restricted", "notebooks", "briefings", "validation.json")  # parts of a run that are never released


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _hash_of(files: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files):
        digest.update(f"{name}\0{file_hash(path)}\n".encode())
    return digest.hexdigest()


@cache
def code_version() -> str:
    """Content hash of package, dictionary, notebooks, theme and lock: equal code gives equal results, whatever the commit."""
    package = Path(__file__).resolve().parent
    files: list[tuple[str, Path]] = []
    for label, folder, patterns in (
        ("package", package, ("*.py",)),
        ("dictionary", dictionary_dir(), ("*.yaml", "*.toml")),
        ("notebooks", notebooks_dir(), ("*.ipynb",)),
        ("theme", theme_dir(), ("*",)),
    ):
        for pattern in patterns:
            files += [
                (f"{label}/{p.relative_to(folder).as_posix()}", p)
                for p in folder.rglob(pattern)
                if p.is_file() and "__pycache__" not in p.parts and "_resources" not in p.relative_to(folder).parts
                and ".ipynb_checkpoints" not in p.parts
            ]  # fmt: skip
    lock = lock_file()
    if lock:
        files.append(("lock", lock))
    return _hash_of(files)


def commit() -> str | None:
    """The commit of the checkout, with a mark when files differ from it; None outside a checkout."""
    try:
        said = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=root(), capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip()


def folder_hashes(folder: Path, skip: Iterable[str] = ()) -> dict[str, str]:
    """SHA-256 of every file below a folder, by relative path."""
    left_out = set(skip)
    return {
        p.relative_to(folder).as_posix(): file_hash(p)
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.relative_to(folder).parts[0] not in left_out and not p.name.startswith(".")
    }


def changed_outputs(facts: Mapping[str, Any], folder: Path) -> list[str]:
    """What of a finished run is not as its manifest lists it, in words: changed, missing or never listed. Private parts aside."""
    listed, found = facts.get("outputs", {}), folder_hashes(folder, skip=PRIVATE)
    listed = {name: known for name, known in listed.items() if Path(name).parts[0] not in PRIVATE}
    out = [f"{name}: not as the run wrote it" for name in found if name in listed and found[name] != listed[name]]
    out += [f"{name}: missing" for name in listed if name not in found]
    return out + [f"{name}: not written by the run" for name in found if name not in listed and name != MANIFEST]


def rewritten_outputs(listed: Mapping[str, str], before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Hashes of a run's files after some were written again: of those that changed, and of the others as they were listed.

    A file that was there before and did not change keeps what the manifest says of it, so that rendering a run again does not
    make a file its own that somebody else put there or altered.
    """
    own = {name: known for name, known in listed.items() if before.get(name) == after.get(name)}
    return own | {name: found for name, found in after.items() if before.get(name) != found}


def run_outputs(folder: Path) -> dict[str, str]:
    """Hashes of what a run wrote, but for its manifest and the folders that hold its inputs and working copies."""
    found = folder_hashes(folder, skip=("extract", "restricted", "notebooks"))
    return {name: known for name, known in found.items() if name != MANIFEST}


def list_again(folder: Path, before: Mapping[str, str]) -> None:
    """Renew a finished run's list of outputs for what was written since `before`; everything else of its manifest stays."""
    facts = read_facts(folder)
    facts["outputs"] = rewritten_outputs(facts.get("outputs", {}), before, run_outputs(folder))
    _write(folder / MANIFEST, facts)


def write_manifest(path: Path, facts: Mapping[str, Any]) -> None:
    """Write `manifest.json`: the given facts, software versions, machine-free, and the time of writing."""
    document = {
        **facts,
        "code_version": code_version(),
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    _write(path, document)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", "utf-8")
    temporary.replace(path)
