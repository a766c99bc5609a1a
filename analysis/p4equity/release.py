"""Release: what of a run may leave, checked for disclosure first; a leak stops the release."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from p4equity.audit import audit_folder
from p4equity.errors import DisclosureError
from p4equity.manifest import PRIVATE, changed_outputs, file_hash
from p4equity.run_folder import check_target, read_facts, registered_study, replacing

ALLOWED = {".html", ".pdf", ".docx", ".csv", ".svg", ".png", ".json"}


def release(run_dir: Path, edition: Path, study: str | Path | None = None) -> list[str]:
    """Copy a run's public part to `edition` after the audit. Returns the released paths. `study`: default as the run names it.

    Raises DisclosureError (exit 13) with every leak found: a count of 1 to threshold - 1, a suppressed cell that the published
    totals determine too closely, a file type that is not on the allow-list, a file that is not as the run wrote it, or anything
    under a restricted folder. Raises StudyError (exit 11) when the study is not the one of the run: the threshold is the run's.
    """
    facts = read_facts(run_dir)
    plan = registered_study(run_dir, facts, study)
    check_target(edition, [run_dir, plan.folder], [run_dir])
    leaks = audit_folder(run_dir, max(plan.disclosure.threshold, int(facts.get("disclosure_threshold", 0))))
    files = [p for p in sorted(run_dir.rglob("*")) if p.is_file() and p.relative_to(run_dir).parts[0] not in PRIVATE]
    files = [p for p in files if not p.name.startswith(".")]
    leaks += [f"{p.relative_to(run_dir)}: file type not on the allow-list" for p in files if p.suffix not in ALLOWED]
    leaks += changed_outputs(facts, run_dir)
    if leaks:
        raise DisclosureError(
            f"{len(leaks)} disclosure problem(s); nothing was released", where=str(run_dir),
            found="\n            ".join(leaks[:20]),
            fix="repeat the run with the current code, or render it again; if it persists, raise the threshold",
        )  # fmt: skip
    with replacing(edition) as folder:
        for path in files:
            target = folder / path.relative_to(run_dir)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        _slim(folder)
        _crate(folder, plan.title, facts, plan.info.report_date.isoformat())
    return [p.relative_to(edition).as_posix() for p in sorted(edition.rglob("*")) if p.is_file()]


def _slim(folder: Path) -> None:
    """Editions carry the cells at the top and no duplicate of the estimates; the manifest keeps what does not vary by machine."""
    results = folder / "results"
    if (results / "cells.csv").is_file():
        (results / "cells.csv").rename(folder / "cells.csv")
    for name in ("estimates.csv", "diagnostics.csv"):
        (results / name).unlink(missing_ok=True)
    manifest = folder / "manifest.json"
    facts = json.loads(manifest.read_text("utf-8"))
    facts.pop("study_folder", None)
    facts["outputs"] = {
        p.relative_to(folder).as_posix(): file_hash(p)
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != "manifest.json"
    }
    manifest.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", "utf-8")


def _crate(folder: Path, title: str, facts: dict[str, Any], day: str) -> None:
    """`ro-crate-metadata.json`: the edition as an RO-Crate 1.1, written from the manifest."""
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    entities: list[dict[str, Any]] = [
        {
            "@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        },
        {
            "@id": "./", "@type": "Dataset", "name": title, "datePublished": day, "license": "CC-BY-4.0",
            "description": f"Study {facts['study']}; code {facts['code_version'][:16]}, data {facts['data_hash'][:16]}",
            "hasPart": [{"@id": name} for name in files], "mentions": {"@id": "#run"},
        },
        {
            "@id": "#run", "@type": "CreateAction", "name": "p4equity run", "instrument": {"@id": "#p4equity"},
            "result": [{"@id": name} for name in files],
        },
        {"@id": "#p4equity", "@type": "SoftwareApplication", "name": "p4equity", "version": facts["code_version"]},
    ]  # fmt: skip
    entities += [{"@id": name, "@type": "File", "sha256": file_hash(folder / name)} for name in files]
    text = json.dumps({"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": entities}, indent=1)
    (folder / "ro-crate-metadata.json").write_text(text + "\n", "utf-8")
