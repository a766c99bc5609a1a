"""An extract on disk: its tier, its tables, its fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from p4equity.dictionary import Dictionary, Table, load_dictionary
from p4equity.errors import DataError
from p4equity.extract.files import SUFFIXES, TableFiles, faults, find_tables, typed_column

METADATA = "extract.json"


@dataclass(frozen=True)
class Extract:
    """A folder of tables. `faults` are files that cannot be read, by table; their tables raise when they are asked for."""

    path: Path
    tier: str
    metadata: Mapping[str, Any]
    tables: Mapping[str, TableFiles]
    dictionary: Dictionary = field(repr=False)
    faults: Mapping[str, tuple[DataError, ...]] = field(default_factory=dict)

    def has(self, table: str) -> bool:
        """Whether the extract holds the table."""
        return table in self.tables

    def missing(self) -> tuple[Table, ...]:
        """Tables the tier cannot do without that are not there."""
        return tuple(t for t in self.dictionary.tables.values() if self.tier in t.required_in and t.name not in self.tables)

    def strangers(self) -> tuple[str, ...]:
        """Names of data files and folders that are no table of the dictionary, such as misspelled ones."""
        known = {f for name in self.tables for f in (name, *(f"{name}{s}" for s in SUFFIXES))}
        data = (p for p in self.path.iterdir() if p.name.endswith(SUFFIXES) or (p.is_dir() and not p.name.startswith(".")))
        return tuple(sorted(p.name for p in data if p.name not in known))

    def source(self, table: str) -> TableFiles:
        """The files of a table. Raises DataError when it is absent or a file of it cannot be read."""
        if table not in self.tables:
            raise DataError(
                "the table is missing",
                where=f"{self.path}: table {table}",
                expected=" or ".join(f"{table}{s}" for s in SUFFIXES) + f", or a folder {table}/ of such files",
                found=", ".join(sorted(self.tables)) or "no table",
                fix=f"add the table; its columns are in data_dictionary/tables/{table}.yaml",
            )
        for fault in self.faults.get(table, ()):
            raise fault
        return self.tables[table]

    def relation(self, table: str) -> str:
        """A SQL subselect with every column of the dictionary, typed as it says; optional columns that are absent are null.

        Use it in DuckDB or, for ibis, `connection.sql("SELECT * FROM " + relation)`. Raises DataError as `source` does, and
        when a column that is not optional is missing.
        """
        files, schema = self.source(table), self.dictionary.table(table)
        parts = [typed_column(f, files) for f in schema.fields]
        return f"(SELECT {', '.join(parts)} FROM {files.reader})"

    def pattern(self, table: str) -> tuple[str, ...]:
        """The files of a table as text, for engines with their own readers."""
        return tuple(str(f) for f in self.source(table).files)

    def truth(self) -> Mapping[str, Any] | None:
        """What a synthetic extract says it was made with (`truth.json`); None for any other extract."""
        path = self.path / "truth.json"
        if self.metadata.get("synthetic") is not True or not path.is_file():
            return None
        try:
            found: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise DataError("not readable", where=str(path), expected="JSON", found="no JSON", fix="simulate again") from error
        return found

    def data_files(self) -> tuple[Path, ...]:
        """All files of all tables, sorted by their name within the extract."""
        files = [f for t in self.tables.values() for f in t.files]
        return tuple(sorted(files, key=lambda f: f.relative_to(self.path).as_posix()))

    def content_hash(self) -> str:
        """sha256 over sorted relative names and the sha256 of each file's bytes (tables only, not `extract.json`)."""
        files = self.data_files()
        with ThreadPoolExecutor(2) as pool:
            digests = list(pool.map(_file_digest, files))
        whole = hashlib.sha256()
        for f, digest in zip(files, digests, strict=True):
            whole.update(f"{f.relative_to(self.path).as_posix()}\0{digest}\n".encode())
        return whole.hexdigest()


def open_extract(path: str | Path, dictionary: Dictionary | None = None, *, to_validate: bool = False) -> Extract:
    """The extract in a folder: its tier (extract.json, else by the tables it holds), its tables, and files that are broken.

    Raises DataError when there is no folder, extract.json is not readable, a table is there twice, or no table of the
    dictionary is in it. Missing tables and broken files raise when they are used; `validate` lists all of them. With
    `to_validate`, a table that is there twice and an unreadable extract.json are kept among the faults for its one report.
    """
    folder, known = Path(path), dictionary or load_dictionary()
    if not folder.is_dir():
        raise DataError(
            "no such folder",
            where=str(folder),
            expected="a folder with an extract",
            found="a file" if folder.exists() else "nothing",
            fix="check the path, or make a synthetic extract with: p4equity simulate",
        )
    metadata, stated = _metadata(folder)
    found = list(find_tables(folder, known))
    doubts = {t.name: (fault,) for t, fault in found if fault} | ({METADATA: (stated,)} if stated else {})
    if doubts and not to_validate:
        raise next(iter(doubts.values()))[0]
    tables = {t.name: t for t, _ in found}
    tier = metadata.get("tier") or ("A" if "measure_event" in tables else "B" if "cell" in tables else None)
    if not tables or tier not in ("A", "B", "C"):
        raise DataError(
            "this is not an extract",
            where=str(folder),
            expected="a table measure_event (tier A, C) or cell (tier B), or a tier A, B or C in extract.json",
            found=", ".join(sorted(p.name for p in folder.iterdir())[:12]) or "an empty folder",
            fix="see data_dictionary/README.md for the layout of an extract",
        )
    broken = doubts | {t.name: (*doubts.get(t.name, ()), *faults(t, folder)) for t in tables.values()}
    return Extract(folder, tier, metadata, tables, known, {k: v for k, v in broken.items() if v})


def _metadata(folder: Path) -> tuple[dict[str, Any], DataError | None]:
    """What extract.json says, and what is wrong with the file."""
    path = folder / METADATA
    if not path.is_file():
        return {}, None
    try:
        loaded = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as e:
        loaded = str(e)
    if isinstance(loaded, dict):
        return loaded, None
    fix = "correct it, or remove it and state the tier by the tables"
    return {}, DataError("not a JSON object", where=str(path), found=loaded, fix=fix)


def _file_digest(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
