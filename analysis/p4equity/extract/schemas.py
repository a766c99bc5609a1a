"""The columns of each file of a table, and of all files together."""

from __future__ import annotations

import csv
import glob
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p4equity.errors import DataError, did_you_mean
from p4equity.extract.sql import NOTHING, NUMBERS, base_type, quote_text

if TYPE_CHECKING:
    from p4equity.extract.files import TableFiles

Schema = Mapping[str, str]


@lru_cache(maxsize=1)
def footers() -> Any:
    """One in-memory database that reads footers and binds queries: opening one takes longer than reading."""
    import duckdb

    return duckdb.connect()


def listing(files: Sequence[Path]) -> str:
    """Files as the list that DuckDB's readers take; stars and brackets in their names are no patterns."""
    return "[" + ", ".join(quote_text(glob.escape(str(f))) for f in files) + "]"


def csv_schemas(table: TableFiles) -> list[Schema]:
    """The header of each file: every column is text. Raises DataError when a file is gone or names a column twice."""
    found: list[Schema] = []
    for file, label in zip(table.files, table.names, strict=True):
        try:
            with table.open_text(file) as text:
                names = next(csv.reader(text), [])
        except OSError:
            raise _gone(table, label) from None
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise DataError(
                "a column is named twice",
                where=f"{label}: table {table.name}",
                found=", ".join(sorted(twice)),
                fix="rename or drop one",
            )
        found.append(dict.fromkeys(names, "VARCHAR"))
    return found


def parquet_schemas(table: TableFiles) -> list[Schema]:
    """Columns and types of each file, from one reading of all footers. Raises DataError when one is gone or cannot be read."""
    import duckdb

    query = f"SELECT file_name, name, duckdb_type FROM parquet_schema({listing(table.files)}) WHERE num_children IS NULL"
    with footers().cursor() as con:
        try:
            rows = con.execute(query).fetchall()
        except duckdb.Error:
            for file, label in zip(table.files, table.names, strict=True):
                if not file.is_file():
                    raise _gone(table, label) from None
            raise DataError(
                "a Parquet file cannot be read",
                where=f"table {table.name}",
                expected="whole Parquet files",
                found="a broken footer",
                fix="write the files of the table again",
            ) from None
    schemas: dict[str, dict[str, str]] = {str(file): {} for file in table.files}
    for file, name, kind in rows:
        schemas[str(file)][str(name)] = str(kind)
    return list(schemas.values())


def together(table: TableFiles, schemas: Sequence[Schema]) -> dict[str, str]:
    """Every column that some file has, with a type that takes in all files'.

    Numbers of different width go together, and a column that holds only nulls goes with any. Raises DataError for other types.
    """
    union: dict[str, str] = {}
    origin: dict[str, str] = {}
    for schema, label in zip(schemas, table.names, strict=True):
        for name, kind in schema.items():
            known = union.setdefault(name, kind)
            first = origin.setdefault(name, label)
            if known == NOTHING:
                union[name] = kind
            elif kind not in (known, NOTHING) and not {base_type(kind), base_type(known)} <= NUMBERS:
                raise DataError(
                    "files of one table have different types",
                    where=f"{label}: table {table.name}",
                    expected=f"{name} {known}, as in {first}",
                    found=f"{name} {kind}",
                    fix="write all files of the table with the same types",
                )
            elif kind not in (known, NOTHING):
                union[name] = _wider(known, kind)
    return union


def under_own_names(table: str, stored: Schema, renames: Mapping[str, str]) -> dict[str, str]:
    """Stored columns under the dictionary's names; a stored column that has the name of a renamed one is hidden.

    Raises DataError when a stored name is not there.
    """
    for name, kept in renames.items():
        if kept not in stored:
            raise DataError(
                "the column that the [data] block names is not in the table",
                where=f"table {table}, columns: {name} = {kept!r}",
                expected="the stored name of a column",
                found=", ".join(stored),
                fix=did_you_mean(kept, stored),
            )
    own = {kept: name for name, kept in renames.items()}
    return {own.get(c, c): kind for c, kind in stored.items() if c in own or c not in renames}


def _wider(one: str, other: str) -> str:
    """The type that DuckDB gives a union of two kinds of numbers."""
    with footers().cursor() as con:
        found = con.execute(f"SELECT typeof(v) FROM (SELECT NULL::{one} AS v UNION ALL SELECT NULL::{other})").fetchone()
    return str(found[0]) if found else other


def _gone(table: TableFiles, label: str) -> DataError:
    return DataError(
        "the file is gone",
        where=f"{label}: table {table.name}",
        expected="the file that was there when the extract was opened",
        found="nothing",
        fix="put it back, or leave the extract alone while it is read, then run again",
    )
