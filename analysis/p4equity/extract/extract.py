"""An extract: its tier, its tables where they lie, its fingerprint."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p4equity.dictionary import Dictionary, Table
from p4equity.errors import DataError
from p4equity.extract.catalog import CatalogTable
from p4equity.extract.files import TableFiles
from p4equity.extract.folders import SUFFIXES
from p4equity.extract.relation import TableSource, check_complete, typed_column
from p4equity.extract.sql import quote_text

if TYPE_CHECKING:
    import duckdb

METADATA = "extract.json"


@dataclass(frozen=True)
class Extract:
    """Tables in a folder, or where the [data] block of a TOML file says; `path` is the folder or the file.

    `faults` are files that cannot be read, by table; their tables raise when they are asked for. `unread` are files that no table
    takes in.
    """

    path: Path
    tier: str
    metadata: Mapping[str, Any]
    tables: Mapping[str, TableSource]
    dictionary: Dictionary = field(repr=False)
    faults: Mapping[str, tuple[DataError, ...]] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    truth_file: Path | None = None

    @property
    def described_in(self) -> Path:
        """The file in which the extract says what it is; it need not be there."""
        return self.path if self.path.suffix == ".toml" else self.path / METADATA

    def has(self, table: str) -> bool:
        """Whether the extract holds the table."""
        return table in self.tables

    def missing(self) -> tuple[Table, ...]:
        """Tables the tier cannot do without that are not there."""
        return tuple(t for t in self.dictionary.tables.values() if self.tier in t.required_in and t.name not in self.tables)

    def strangers(self) -> tuple[str, ...]:
        """Names of data files and folders that no table takes in, such as misspelled ones."""
        return self.unread

    def source(self, table: str) -> TableSource:
        """Where a table lies. Raises DataError when it is absent or a file of it cannot be read or lacks a column."""
        if table not in self.tables:
            raise DataError(
                "the table is missing",
                where=f"{self.path}: table {table}",
                expected=self.place_of(table),
                found=", ".join(sorted(self.tables)) or "no table",
                fix=f"add the table; its columns are in data_dictionary/tables/{table}.yaml",
            )
        for fault in self.faults.get(table, ()):
            raise fault
        check_complete(self.dictionary.table(table), self.tables[table])
        return self.tables[table]

    def place_of(self, table: str) -> str:
        """Where a table of this extract may lie, in words."""
        if self.path.suffix == ".toml":
            return f"a line under [data.tables] of {self.path.name}: {table} = ..."
        return " or ".join(f"{table}{s}" for s in SUFFIXES) + f", or a folder {table}/ of such files"

    def relation(self, table: str) -> str:
        """A SQL subselect with every column of the dictionary, typed as it says; optional columns that are absent are null.

        Use it in DuckDB after `attach` or, for ibis, `connection.sql("SELECT * FROM " + relation)`. Raises DataError as `source`
        does, and when a column that is not optional is missing, or a table lies in the catalog of another engine.
        """
        source, schema = self.source(table), self.dictionary.table(table)
        parts = [typed_column(f, source) for f in schema.fields]
        return f"(SELECT {', '.join(parts)} FROM {source.reader})"

    def attach(self, con: duckdb.DuckDBPyConnection) -> None:
        """Opens the database that holds tables of the extract, if one does, so that relations can be read in a connection."""
        for source in self._catalog():
            if source.database is not None:
                source.attach(con)
                return

    def write_table(self, table: str, folder: Path) -> None:
        """The table as a plain extract in `folder` holds it: the same files from a plain one, else one Parquet file."""
        source = self.source(table)
        if isinstance(source, TableFiles) and self.path.suffix != ".toml":
            for file, name in zip(source.files, source.names, strict=True):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, folder / name)
            return
        import duckdb

        with duckdb.connect() as con:
            self.attach(con)
            ordered = f"SELECT * FROM {self.relation(table)} ORDER BY ALL"
            con.execute(f"COPY ({ordered}) TO {quote_text(folder / f'{table}.parquet')} (FORMAT parquet, COMPRESSION zstd)")

    def truth(self) -> Mapping[str, Any] | None:
        """What a synthetic extract says it was made with (`truth.json`); None for any other extract."""
        path = self.truth_file
        if path is None or self.metadata.get("synthetic") is not True:
            return None
        try:
            found: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise DataError("not readable", where=str(path), expected="JSON", found="no JSON", fix="simulate again") from error
        return found

    def data_files(self) -> tuple[Path, ...]:
        """All files of all tables, sorted by table and name."""
        return tuple(file for _, _, file in self._named_files())

    def unknowable(self) -> tuple[str, ...]:
        """Tables in an engine's catalog: what they hold cannot be known without reading them, so that no hash covers them."""
        return tuple(sorted(t.name for t in self._catalog()))

    def content_hash(self) -> str | None:
        """sha256 over tables, names of files, renamed columns and the sha256 of each file's bytes; None with `unknowable` tables.

        What the extract says of itself does not enter. Nothing that was made from an extract without a hash may be used again.
        """
        if self.unknowable():
            return None
        named = list(self._named_files())
        with ThreadPoolExecutor(2) as pool:
            digests = list(pool.map(_file_digest, [file for _, _, file in named]))
        whole = hashlib.sha256()
        for (source, name, _), digest in zip(named, digests, strict=True):
            whole.update(f"{source.name}\0{source.kind}\0{name}\0{digest}\n".encode())
        for source in (t for t in self.tables.values() if t.renames):
            whole.update(f"{source.name}\0{json.dumps(dict(source.renames), sort_keys=True)}\n".encode())
        return whole.hexdigest()

    def _named_files(self) -> Iterator[tuple[TableSource, str, Path]]:
        for name in sorted(self.tables):
            source = self.tables[name]
            yield from ((source, label, file) for label, file in zip(source.names, source.files, strict=True))

    def _catalog(self) -> list[CatalogTable]:
        return [t for t in self.tables.values() if isinstance(t, CatalogTable)]


def _file_digest(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
