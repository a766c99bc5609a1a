"""Data files below a folder: which count, which columns their folders name, and the tables of a plain extract."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from p4equity.dictionary import Dictionary, Table
from p4equity.errors import DataError
from p4equity.extract.files import TableFiles
from p4equity.extract.relation import TableSource
from p4equity.extract.sql import SQL_TYPES

SUFFIXES = (".parquet", ".csv", ".csv.gz")
NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
_FORMATS = {"_delta_log": "a Delta table", ".hoodie": "a Hudi table", "metadata": "an Iceberg table"}


@dataclass(frozen=True)
class Found:
    """A table as it was found, what is wrong with it, and visible files of its folder that are not read."""

    table: TableSource
    fault: DataError | None = None
    unread: tuple[str, ...] = ()


def is_visible(name: str) -> bool:
    """Whether a file or folder is data: names that begin with a dot or an underscore are the writers' own, as in Spark."""
    return not name.startswith(".") and (not name.startswith("_") or "=" in name)


def visible_files(folder: Path) -> list[Path]:
    """Every file below a folder but hidden ones, sorted; links are followed."""
    found: list[Path] = []
    seen = set()
    for here, inner, names in os.walk(folder, followlinks=True):
        inner[:] = [name for name in inner if is_visible(name)]
        place = os.path.realpath(here)
        if place in seen:  # a link to a folder above
            inner.clear()
        else:
            seen.add(place)
            found += [Path(here, name) for name in names if is_visible(name)]
    return sorted(found)


def log_format(folder: Path) -> str | None:
    """The format of a table whose rows are known to a log beside its files, and not to the files alone; None for any other."""
    for mark, words in _FORMATS.items():
        if (folder / mark).is_dir() and (mark != "metadata" or any((folder / mark).glob("*.metadata.json"))):
            return words
    return None


def table_files(
    schema: Table,
    files: Sequence[Path],
    labels: Sequence[str],
    base: Path,
    kind: Literal["parquet", "csv"],
    renames: Mapping[str, str] | None = None,
    packed: bool = False,
) -> tuple[TableFiles, DataError | None]:
    """A table of these files; columns that folders below `base` name get the dictionary's types where their values fit."""
    renamed = renames or {}
    named = [folder_keys(f.relative_to(base).parts[:-1]) for f in files]
    partitions: dict[str, str] = {}
    fault = None
    for keys, label in zip(named, labels, strict=True):
        if list(keys) != list(named[0]):
            fault = DataError(
                "folders of one table name different columns",
                where=f"{label}: table {schema.name}",
                expected=", ".join(named[0]) or "no folder named key=value",
                found=", ".join(keys) or "no folder named key=value",
                fix="nest all files of the table in the same way, or name those that belong to it by a pattern",
            )
            break
    else:
        own = {kept: name for name, kept in renamed.items()}
        partitions = {k: _folder_type(schema, own.get(k, k), [n[k] for n in named]) for k in (named[0] if named else ())}
    return TableFiles(schema.name, kind, tuple(files), tuple(labels), base, partitions, renamed, packed), fault


def folder_keys(parts: Sequence[str]) -> dict[str, str]:
    """Columns that folders named key=value stand for."""
    pairs = (part.partition("=") for part in parts if "=" in part)
    return {key: unquote(value) for key, _, value in pairs}


def _folder_type(schema: Table, column: str, values: Sequence[str]) -> str:
    """The dictionary's type of a column that folders name, when all values fit it, else text: validation then says so."""
    kind = schema.field(column).type if column in schema.names else "string"
    return SQL_TYPES[kind if all(v == NULL_FOLDER or _fits(kind, v) for v in set(values)) else "string"]


def _fits(kind: str, value: str) -> bool:
    try:
        if kind == "date":
            date.fromisoformat(value)
        elif kind == "number":
            float(value)
    except ValueError:
        return False
    forms = {"integer": r"[+-]?\d{1,18}", "boolean": "(?i)true|false"}
    return kind not in forms or re.fullmatch(forms[kind], value) is not None


def tables_in(folder: Path, dictionary: Dictionary) -> Iterator[Found]:
    """Every table of the dictionary that a plain extract holds, in the dictionary's order: <table>.parquet or <table>/..."""
    for name, schema in dictionary.tables.items():
        places = [folder / f"{name}{s}" for s in SUFFIXES if (folder / f"{name}{s}").is_file()]
        inside = folder / name
        visible = visible_files(inside) if inside.is_dir() else []
        parts = [f for f in visible if f.name.endswith(SUFFIXES)]
        if places or parts:
            files = places[:1] or parts
            kinds = {kind_of(f) for f in files}
            kind: Literal["parquet", "csv"] = "parquet" if "parquet" in kinds else "csv"
            kept = [f for f in files if kind_of(f) == kind]
            labels = [f.relative_to(folder).as_posix() for f in kept]
            table, fault = table_files(schema, kept, labels, folder if places else inside, kind)
            yield Found(
                table,
                _twice(folder, name, [*places, *([inside] if parts else [])]) or mixed(name, inside.name, kinds) or fault
                or logged(name, inside.name, inside),
                tuple(f.relative_to(folder).as_posix() for f in visible if f not in set(parts)),
            )  # fmt: skip


def kind_of(file: Path) -> Literal["parquet", "csv"]:
    """The format that the name of a data file says."""
    return "parquet" if file.name.endswith(".parquet") else "csv"


def mixed(table: str, where: str, kinds: set[Literal["parquet", "csv"]]) -> DataError | None:
    """What is wrong when a table lies in files of both formats."""
    if len(kinds) < 2:
        return None
    return DataError(
        "Parquet and CSV are mixed", where=f"{where}: table {table}", expected="files of one format", found="files of both",
        fix="keep one kind of file, or name one kind by a pattern in a [data] block, such as member/**/*.parquet",
    )  # fmt: skip


def logged(table: str, where: str, folder: Path) -> DataError | None:
    """What is wrong when a log beside the files says which of their rows hold."""
    words = log_format(folder) if folder.is_dir() else None
    if words is None:
        return None
    return DataError(
        f"the folder is {words}: its files may hold rows that were replaced or deleted", where=f"{where}: table {table}",
        expected="a folder of Parquet or CSV files that hold the rows and nothing else", found=words,
        fix="name it as a table of the engine's catalog in a [data] block, or write its present rows to Parquet files",
    )  # fmt: skip


def _twice(folder: Path, table: str, places: Sequence[Path]) -> DataError | None:
    if len(places) < 2:
        return None
    return DataError(
        "the table is there twice",
        where=f"{folder}: table {table}",
        expected="one of file or folder",
        found=", ".join(p.name for p in places),
        fix="remove all but one",
    )
