"""A starting point for another program: a commented study that runs as it is, and empty templates of both kinds of extract."""

from __future__ import annotations

import csv
import json
import re
import shutil
import tempfile
from pathlib import Path

from p4equity import resources
from p4equity.dictionary import Dictionary, Table, load_dictionary
from p4equity.errors import UsageError
from p4equity.places import check_place
from p4equity.study import load_study

TEMPLATES = "extract_templates"
_SUFFIX = ".in"
# Study tables whose file is named otherwise than the table.
_STUDY_TABLES = {"event_log": "events.csv", "deviation": "deviations.csv", "threat": "threats.csv"}


def new_study(folder: str | Path) -> tuple[Path, ...]:
    """Writes a study that loads and runs into a new folder and returns its files.

    The study's id is the folder's name in lower case. Raises UsageError when the folder exists and is not empty, or when its
    name gives no id.
    """
    target = Path(folder)
    study = _study_id(target)
    if target.exists() and not target.is_dir():
        raise UsageError(
            "there is a file of this name", where=str(target), expected="a folder that does not exist yet, or an empty one",
            fix="choose another name",
        )  # fmt: skip
    if target.exists() and any(target.iterdir()):
        raise UsageError(
            "the folder is not empty",
            where=str(target),
            expected="a folder that does not exist yet, or an empty one",
            fix="choose another name",
        )
    check_place(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        part.chmod(0o755)
        _fill(part, study, target, load_dictionary())
        load_study(part)
        if target.exists():
            target.rmdir()
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return tuple(sorted(p for p in target.rglob("*") if p.is_file()))


def _study_id(target: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", target.resolve().name.lower()).strip("_")
    if not re.match(r"[a-z]", name):
        raise UsageError(
            "the folder's name gives no id for the study",
            where=str(target),
            expected="a name that begins with a letter, such as my_program",
            found=target.name,
            fix="choose another name",
        )
    return name


def _fill(part: Path, study: str, target: Path, dictionary: Dictionary) -> None:
    words = {"@STUDY@": study, "@FOLDER@": target.as_posix()}
    for source in sorted((resources.studies_dir() / "template").glob(f"*{_SUFFIX}")):
        text = source.read_text(encoding="utf-8")
        for mark, word in words.items():
            text = text.replace(mark, word)
        (part / source.name.removesuffix(_SUFFIX)).write_text(text, encoding="utf-8")
    for table, name in _STUDY_TABLES.items():
        if not (part / name).exists():
            write_template(part / name, dictionary.table(table))
    for tier in ("A", "B"):
        folder = part / TEMPLATES / f"tier_{tier}"
        folder.mkdir(parents=True)
        for table_schema in dictionary.in_tier(tier):
            write_template(folder / f"{table_schema.name}.csv", table_schema)
        about = {"study": study, "tier": tier, "synthetic": False, "source": "", "extract_date": ""}
        (folder / "extract.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def write_template(path: Path, table: Table) -> None:
    """Writes a CSV with the header of a table and no rows."""
    with path.open("w", encoding="utf-8", newline="") as f:
        csv.writer(f, lineterminator="\n").writerow(table.names)
