"""DuckDB, inside this process: the default engine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p4equity.engines.base import Engine
from p4equity.engines.faults import FULL, full_disk, unfit_values, unreadable_file
from p4equity.errors import UsageError

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from p4equity.extract import Extract


class DuckDBEngine(Engine):
    """DuckDB in memory; an extract attaches the database file that holds tables of it, for reading only.

    `threads` null: as many as the machine has. Raises UsageError when `url` is no database file.
    """

    def __init__(self, url: str | None = None, *, threads: int | None = None) -> None:
        import ibis

        if url is not None:
            check_database(url)
        settings: dict[str, Any] = {"preserve_insertion_order": False}
        if threads is not None:
            settings["threads"] = threads
        self._spill = tempfile.TemporaryDirectory(prefix="p4equity-")
        self._backend = ibis.duckdb.connect(temp_directory=self._spill.name, **settings)
        self._kept: dict[str, ir.Table] = {}

    def table(self, extract: Extract, name: str) -> ir.Table:
        extract.attach(self._backend.con)
        # Raw SQL because the reader of the extract room (formats, types, absent optional columns) is a SQL relation.
        self._backend.raw_sql(f'CREATE TEMP VIEW "extract_{name}" AS SELECT * FROM {extract.relation(name)}')
        return self._backend.table(f"extract_{name}")

    def keep(self, name: str, expression: ir.Table) -> ir.Table:
        self._kept[name] = self._backend.create_table(name, expression, temp=True)
        return self._kept[name]

    def kept(self, name: str) -> ir.Table:
        return self._kept[name]

    def drop(self, *names: str) -> None:
        for name in names:
            self._backend.raw_sql(f'DROP TABLE "{name}"')
            del self._kept[name]

    def fetch(self, expression: ir.Table) -> pa.Table:
        return self._backend.to_pyarrow(expression)

    def close(self) -> None:
        self._backend.disconnect()
        self._spill.cleanup()

    def in_words(self, error: Exception) -> Exception | None:
        import duckdb

        if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException | duckdb.InvalidInputException):
            return unfit_values(type(error).__name__)
        if isinstance(error, duckdb.IOException):
            return full_disk() if FULL in str(error) else unreadable_file(type(error).__name__)
        return None


def check_database(url: str) -> str:
    """The path of a database file as text. Raises UsageError when there is no such file."""
    if not Path(url).is_file():
        raise UsageError(
            "no such database file", where=f"--engine-url {url}", expected="a DuckDB database file",
            found="a folder" if Path(url).is_dir() else "nothing", fix="check the path, or leave --engine-url out",
        )  # fmt: skip
    return url
