"""What a stage is made from, as hashes of content: study, code, packages, and what it reads. Equal inputs give equal files."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata
from pathlib import Path

from p4equity.errors import DataError
from p4equity.extract import Extract
from p4equity.manifest import code_version, file_hash
from p4equity.records import Records, text_hash
from p4equity.resources import PACKAGES, study_reference
from p4equity.run_state import Run
from p4equity.stages import ABOUT, EXTRACT, OPTIONS, Stage

BESIDE_THE_PLAN = ("truth.toml", "published.toml")  # files of a study that the hash of its plan leaves out
BESIDE_THE_TABLES = ("extract.json", "truth.json")


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
    """The content of the extract's files. Their time stamps only tell whether this process must read them once more."""
    extract = run.extract
    try:
        files = [*extract.data_files(), *(p for p in _beside(extract) if p.is_file())]
        state = tuple((p, s.st_size, s.st_mtime_ns, s.st_ino) for p in files for s in [p.stat()])
        if run.seen.get("state") != state:
            run.seen = {"state": state, "hash": text_hash([extract.content_hash(), *map(_file, _beside(extract))])}
    except FileNotFoundError as error:
        raise DataError(
            "a file of the extract is gone", where=str(error.filename), expected="the files that were there when the run began",
            found="nothing", fix="put it back, then repeat the run with --resume",
        ) from None  # fmt: skip
    return str(run.seen["hash"])


def _beside(extract: Extract) -> list[Path]:
    return [extract.path / name for name in BESIDE_THE_TABLES]


def _file(path: Path) -> str | None:
    return file_hash(path) if path.is_file() else None
