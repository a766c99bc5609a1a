"""The tables of an extract as Spark reads them, with the dictionary's types."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from functools import reduce
from typing import TYPE_CHECKING, Any

from p4equity.errors import DataError, did_you_mean
from p4equity.extract import NOTHING

if TYPE_CHECKING:
    from pathlib import Path

    from p4equity.dictionary import Field, Table
    from p4equity.extract import CatalogTable, Extract, TableFiles

TYPES = {"string": "string", "integer": "bigint", "number": "double", "boolean": "boolean", "date": "date"}
_INTEGERS = ("tinyint", "smallint", "int", "bigint")
NATIVE = {
    "string": ("string",), "integer": _INTEGERS, "number": ("double", "float", "decimal", *_INTEGERS), "boolean": ("boolean",),
    "date": ("date",),
}  # fmt: skip
ABOVE_ASCII = re.compile("%[89a-f][0-9a-f]", re.IGNORECASE)


def typed(session: Any, extract: Extract, name: str) -> Any:
    """A table as a data frame: columns cast when stored in another type, null when optional and absent.

    Raises DataError when the table is absent, a file of it is broken, or a column that is not optional is missing.
    """
    source, schema = extract.source(name), extract.dictionary.table(name)
    if source.kind == "catalog":
        return _select(_renamed(_in_catalog(session, source), source.renames), schema, typed=True)
    # Spark takes the columns of one file for those of all: files that differ are read apart.
    parts = [_renamed(_read(session, part), source.renames) for part in source.alike]
    empty = [{c for c in source.columns if part.in_files.get(source.renames.get(c, c)) == NOTHING} for part in source.alike]
    frames = [
        _select(part, schema, typed=source.kind != "csv", absent=lacking | (set(source.columns) - set(part.columns)))
        for part, lacking in zip(parts, empty, strict=True)
    ]
    return reduce(lambda one, other: one.union(other), frames)


def _select(frame: Any, schema: Table, *, typed: bool, absent: Set[str] = frozenset()) -> Any:
    """The columns of the dictionary; those that are `absent` are known to be in other files of the table, or to hold nothing."""
    from pyspark.sql import functions

    stored = {column.lower(): kind for column, kind in frame.dtypes}  # Spark's names do not differ by case alone
    columns = []
    for field in schema.fields:
        wanted, kind = TYPES[field.type], stored.get(field.name.lower())
        if kind is None and not field.optional and field.name not in absent:
            raise _missing(field, schema.name, frame.columns)
        known = kind is not None and field.name not in absent
        value = functions.col(f"`{field.name}`") if known else functions.lit(None)
        as_it_is = known and typed and str(kind).split("(")[0] in NATIVE[field.type]
        columns.append((value if as_it_is else value.cast(wanted)).alias(field.name))
    return frame.select(columns)


def _renamed(frame: Any, renames: Mapping[str, str]) -> Any:
    """Stored columns under the dictionary's names; a stored column that has the name of a renamed one goes."""
    from pyspark.sql import functions

    own = {kept: name for name, kept in renames.items()}
    kept = [c for c in frame.columns if c in own or c not in renames]
    return frame.select([functions.col(f"`{c}`").alias(own.get(c, c)) for c in kept]) if renames else frame


def _read(session: Any, source: TableFiles) -> Any:
    """Files that are alike. Folders named key=value give texts, which are cast like any other column: '007' stays '007'."""
    _check_names(source)
    files, reader = [_pattern(file) for file in source.files], session.read
    if source.partitions and source.base:
        reader = reader.option("basePath", f"file:{source.base.absolute()}")
    if source.kind == "parquet":
        return reader.parquet(*files)
    text = ", ".join(f"`{column}` string" for column in source.in_files)
    return reader.csv(
        files, schema=text, header=True, sep=",", quote='"', escape='"', nullValue="", emptyValue="", multiLine=True,
        mode="FAILFAST", encoding="UTF-8",
    )  # fmt: skip


def _check_names(source: TableFiles) -> None:
    """Raises DataError for names that Spark takes otherwise than DuckDB does, without a word."""
    names, folders = [file.name for file in source.files], [str(file.parent) for file in source.files if source.partitions]
    faults = (
        (source.packed and not all(name.endswith(".gz") for name in names), "is compressed, but does not end in .gz"),
        (any(name.startswith(("_", ".")) for name in names), "begins with _ or ., so that Spark passes over it"),
        (any(ABOVE_ASCII.search(folder) for folder in folders), "has a letter beyond ASCII written as %XX, which Spark misreads"),
    )
    for found, what in faults:
        if found:
            raise DataError(
                f"the name of a file or folder {what}", where=f"table {source.name}",
                expected="names that Spark reads as DuckDB does", fix="rename it, or aggregate with --engine duckdb",
            )  # fmt: skip


def _in_catalog(session: Any, source: CatalogTable) -> Any:
    from pyspark.errors import AnalysisException

    try:
        return session.table(source.table)
    except AnalysisException as error:
        raise DataError(
            "no such table or view in Spark's catalog", where=f"table {source.name}", expected=source.table,
            found=error.getCondition(), fix="check [data.tables], and that spark-defaults.conf names the catalog",
        ) from None  # fmt: skip


def _pattern(file: Path) -> str:
    """The pattern that means this file alone: Spark takes brackets and stars in a path for wildcards."""
    return "file:" + re.sub(r"([*?\[\]{}\\])", r"\\\1", str(file.absolute()))


def _missing(field: Field, table: str, found: list[str]) -> DataError:
    return DataError(
        "a column is missing",
        where=f"table {table}, column {field.name}",
        expected=f"{field.type}: {field.description}",
        found=", ".join(found),
        fix=f"{did_you_mean(field.name, found)} Columns are listed in data_dictionary/tables/{table}.yaml",
    )
