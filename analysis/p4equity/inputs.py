"""What a stage is made from, as hashes of content: study, code, packages, and what it reads. Equal inputs give equal files."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata
from pathlib import Path

from p4equity.errors import DataError
from p4equity.manifest import code_version, file_hash
from p4equity.records import Records, text_hash
from p4equity.resources import PACKAGES, study_reference
from p4equity.run_state import Run
from p4equity.stages import ABOUT, EXTRACT, OPTIONS, Stage

BESIDE_THE_PLAN = ("truth.toml", "published.toml")  # files of a study that the hash of its plan leaves out


def inputs_of(stage: Stage, run: Run, records: Records) -> dict[str, str | None]:
    """Hashes of all that a stage is made from, by name; None for what cannot be known. Raises DataError when a file is gone."""
    outside = {OPTIONS: _options, EXTRACT: _extract, ABOUT: _about}
    common = {"study": _study(run), "code": code_version(), "packages": _packages()}
    return common | {name: outside[name](run) if name in outside else records.output(name) for name in stage.reads}


def _study(run: Run) -> str:
    folder = Path(run.study.folder)
    return text_hash([run.study.plan_hash, *(_file(folder / name) for name in BESIDE_THE_PLAN)])


@cache
def _packages() -> str:
    return text_hash([platform.python_version(), *(metadata.version(name) for name in PACKAGES)])


def _options(run: Run) -> str:
    made, plan = run.source, run.study.data
    members = plan.members if made.members is None else made.members
    return text_hash([members, plan.seed if made.seed is None else made.seed, made.scenario])


def _about(run: Run) -> str:
    return text_hash([dict(run.about), study_reference(run.study.folder, run.folder)])


def _extract(run: Run) -> str | None:
    """The content of the extract's files; None with tables in a catalog. Time stamps only tell when to read them once more."""
    extract = run.extract
    try:
        beside = [p for p in (extract.described_in, extract.truth_file) if p is not None and p.is_file()]
        state = tuple((p, s.st_size, s.st_mtime_ns, s.st_ino) for p in (*extract.data_files(), *beside) for s in [p.stat()])
        if run.seen.get("state") != state:
            tables = extract.content_hash()
            run.seen = {"state": state, "hash": tables and text_hash([tables, *((p.name, file_hash(p)) for p in beside)])}
    except FileNotFoundError as error:
        raise DataError(
            "a file of the extract is gone", where=str(error.filename), expected="the files that were there when the run began",
            found="nothing", fix="put it back, then repeat the run with --resume",
        ) from None  # fmt: skip
    found: str | None = run.seen["hash"]
    return found


def _file(path: Path) -> str | None:
    return file_hash(path) if path.is_file() else None
