"""The files of one table: found by name, checked for being whole, and read by DuckDB with the dictionary's types."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from p4equity.dictionary import Dictionary, Field
from p4equity.errors import DataError, did_you_mean

SQL_TYPES = {"string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE"}
SUFFIXES = (".parquet", ".csv", ".csv.gz")
_MAGIC = b"PAR1"
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"}
_NATIVE = {
    "string": {"VARCHAR"},
    "integer": _INTEGERS,
    "number": {"DOUBLE", "FLOAT", "DECIMAL", *_INTEGERS},
    "boolean": {"BOOLEAN"},
    "date": {"DATE"},
}


def quote_name(name: str) -> str:
    """A column or table name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: object) -> str:
    """A string literal as SQL."""
    return "'" + str(text).replace("'", "''") + "'"


@dataclass(frozen=True)
class TableFiles:
    """The files that hold one table, sorted by name."""

    name: str
    kind: Literal["parquet", "csv"]
    files: tuple[Path, ...]

    @property
    def reader(self) -> str:
        """The DuckDB call that reads the files as they are (CSV: every column as text)."""
        listed = "[" + ", ".join(quote_text(f) for f in self.files) + "]"
        if self.kind == "parquet":
            return f"read_parquet({listed})"
        # Columns are given, not sniffed: the sniffer drops rows it cannot reconcile with the header.
        columns = "{" + ", ".join(f"{quote_text(c)}: 'VARCHAR'" for c in self.columns) + "}"
        form = "header=true, auto_detect=false, nullstr='', delim=',', quote='\"', escape='\"'"
        return f"read_csv({listed}, {form}, columns={columns})"

    @cached_property
    def columns(self) -> dict[str, str]:
        """Column names and DuckDB types as stored. Raises DataError naming a file that cannot be read."""
        return _csv_schema(self) if self.kind == "csv" else _parquet_schema(self)


def typed_column(f: Field, files: TableFiles) -> str:
    """One column of `Extract.relation`: as it is, cast when stored in another type, null when optional and absent."""
    name, wanted = quote_name(f.name), SQL_TYPES[f.type]
    stored = files.columns.get(f.name)
    if stored is None:
        if f.optional:
            return f"NULL::{wanted} AS {name}"
        raise DataError(
            "a column is missing",
            where=f"table {files.name}, column {f.name}",
            expected=f"{f.type}: {f.description}",
            found=", ".join(files.columns),
            fix=f"{did_you_mean(f.name, files.columns)} Columns are listed in data_dictionary/tables/{files.name}.yaml",
        )
    keep = files.kind == "parquet" and is_native(f, stored)
    return name if keep else f"CAST({name} AS {wanted}) AS {name}"


def is_native(f: Field, stored: str) -> bool:
    """Whether a stored DuckDB type already is the field's type (any width)."""
    return stored.upper().split("(")[0] in _NATIVE[f.type]


def find_tables(folder: Path, dictionary: Dictionary) -> Iterator[tuple[TableFiles, DataError | None]]:
    """The files of every table of the dictionary that the folder holds, in its order, and what is wrong with their number."""
    for name in dictionary.tables:
        places = [folder / f"{name}{s}" for s in SUFFIXES if (folder / f"{name}{s}").is_file()]
        inside = folder / name
        parts = sorted(p for p in inside.iterdir() if p.name.endswith(SUFFIXES)) if inside.is_dir() else []
        found = [*places, *([inside] if parts else [])]
        fault = None
        if len(found) > 1:
            fault = DataError(
                "the table is there twice",
                where=f"{folder}: table {name}",
                expected="one of file or folder",
                found=", ".join(p.name for p in found),
                fix="remove all but one",
            )
        files = tuple(places[:1] or parts)
        if files:
            kinds = {"parquet" if f.suffix == ".parquet" else "csv" for f in files}
            if len(kinds) > 1:
                fault = DataError("Parquet and CSV are mixed", where=str(inside), fix="keep one kind of file")
                files = tuple(f for f in files if f.suffix == ".parquet")
            yield TableFiles(name, "parquet" if "parquet" in kinds else "csv", files), fault


def faults(table: TableFiles, folder: Path) -> Iterator[DataError]:
    """Files that are no whole Parquet or gzip file; reads a few bytes of each."""
    for f in table.files:
        try:
            problem = _parquet_fault(f) if table.kind == "parquet" else _csv_fault(f)
        except OSError as error:
            problem = f"the file cannot be opened: {error.strerror}"
        if problem:
            yield DataError(
                problem,
                where=f"{f.relative_to(folder).as_posix()}: table {table.name}",
                expected=f"a whole {'Parquet' if table.kind == 'parquet' else 'CSV'} file",
                found=f"{f.stat().st_size} bytes",
                fix="copy or write the file again",
            )


def _parquet_fault(path: Path) -> str | None:
    size = path.stat().st_size
    with path.open("rb") as f:
        head = f.read(4)
        if size < 12 or head != _MAGIC:
            return "not a Parquet file" if size else "the file is empty"
        f.seek(-8, 2)
        tail = f.read(8)
    footer = int.from_bytes(tail[:4], "little")
    return None if tail[4:] == _MAGIC and footer + 12 <= size else "the Parquet file is truncated"


def _csv_fault(path: Path) -> str | None:
    try:
        with _open_text(path) as f:
            return None if f.readline().strip() else "the file is empty: not even a header"
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError, zlib.error):
        return "the file cannot be read as UTF-8 text"


def _open_text(path: Path) -> Any:
    return (
        gzip.open(path, "rt", encoding="utf-8-sig", newline="")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8-sig", newline="")
    )


def _csv_schema(table: TableFiles) -> dict[str, str]:
    headers = {}
    for f in table.files:
        with _open_text(f) as text:
            headers[str(f)] = dict.fromkeys(names := next(csv.reader(text)), "VARCHAR")
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise DataError(
                "a column is named twice",
                where=f"{f.name}: table {table.name}",
                found=", ".join(sorted(twice)),
                fix="rename or drop one",
            )
    return _same_schema(headers, table)


@lru_cache(maxsize=1)
def _footers() -> Any:
    """One in-memory database that reads footers: opening one takes longer than reading."""
    import duckdb

    return duckdb.connect()


def _parquet_schema(table: TableFiles) -> dict[str, str]:
    import duckdb

    listed = "[" + ", ".join(quote_text(f) for f in table.files) + "]"
    query = f"SELECT file_name, name, duckdb_type FROM parquet_schema({listed}) WHERE num_children IS NULL"
    schemas: dict[str, dict[str, str]] = {}
    with _footers().cursor() as con:
        try:
            rows = con.execute(query).fetchall()
        except duckdb.Error:
            raise DataError(
                "a Parquet file cannot be read",
                where=f"table {table.name}",
                expected="whole Parquet files",
                found="a broken footer",
                fix="write the files of the table again",
            ) from None
    for file, name, kind in rows:
        schemas.setdefault(str(file), {})[str(name)] = str(kind)
    return _same_schema(schemas, table)


def _same_schema(schemas: dict[str, dict[str, str]], table: TableFiles) -> dict[str, str]:
    """The schema of the first file; DataError when another differs (in CSV: in the order of columns, too)."""
    first = schemas[str(table.files[0])]
    for file, schema in schemas.items():
        if schema != first or (table.kind == "csv" and list(schema) != list(first)):
            differ = sorted(n for n in {*first, *schema} if first.get(n) != schema.get(n))
            raise DataError(
                "files of one table have different columns or types",
                where=f"{Path(file).name}: table {table.name}",
                expected=", ".join(f"{n} {first.get(n, 'absent')}" for n in differ or first),
                found=", ".join(f"{n} {schema.get(n, 'absent')}" for n in differ or schema),
                fix="write all files of the table with the same columns and types",
            )
    return first
