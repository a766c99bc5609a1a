"""The one place that knows a database: reads an extract's tables, keeps intermediate tables, fetches results.

Everything above is Ibis expressions, so that an engine needs only these verbs: table, keep, drop, fetch, close.
"""

from __future__ import annotations

import tempfile
from types import TracebackType
from typing import TYPE_CHECKING, Any

from p4equity.errors import DataError, UsageError, did_you_mean
from p4equity.extract import Extract

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

ENGINES = ("duckdb",)


class Engine:
    """An open connection, for use in a `with` block; what `keep` wrote is gone when the block ends.

    `threads` null: as many as the machine has. Results never depend on it. Raises UsageError for an unknown engine.
    """

    def __init__(self, engine: str = "duckdb", *, threads: int | None = None) -> None:
        if engine not in ENGINES:
            raise UsageError("unknown engine", where="--engine", found=engine, fix=did_you_mean(engine, ENGINES))
        import ibis

        self._spill = tempfile.TemporaryDirectory(prefix="p4equity-")
        settings: dict[str, Any] = {"temp_directory": self._spill.name, "preserve_insertion_order": False}
        if threads is not None:
            settings["threads"] = threads
        self._backend = ibis.duckdb.connect(**settings)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._backend.disconnect()
        self._spill.cleanup()
        if error is not None:
            _raise_for_people(error)

    def table(self, extract: Extract, name: str) -> ir.Table:
        """A table of the extract with the dictionary's types; only the columns that are used are read."""
        # Raw SQL because the reader of the extract room (formats, types, absent optional columns) is a SQL relation.
        self._backend.raw_sql(f'CREATE TEMP VIEW "extract_{name}" AS SELECT * FROM {extract.relation(name)}')
        return self._backend.table(f"extract_{name}")

    def keep(self, name: str, expression: ir.Table) -> ir.Table:
        """Computes an expression once and keeps its rows under `name`."""
        return self._backend.create_table(name, expression, temp=True)

    def kept(self, name: str) -> ir.Table:
        """A table that `keep` wrote."""
        return self._backend.table(name)

    def drop(self, *names: str) -> None:
        """Forgets kept tables, so that their memory is free for the next step."""
        for name in names:
            self._backend.raw_sql(f'DROP TABLE "{name}"')

    def fetch(self, expression: ir.Table) -> pa.Table:
        """The rows of an expression, in no particular order."""
        return self._backend.to_pyarrow(expression)


def _raise_for_people(error: BaseException) -> None:
    """Turns what the database says about unreadable or unfit data into a DataError; anything else passes as it is.

    The database's own text can quote a value of a person, so that it is not repeated.
    """
    import duckdb

    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException | duckdb.InvalidInputException):
        raise DataError(
            "a column holds values that do not fit its type",
            where="cells",
            expected="the types of data_dictionary/tables/",
            found=type(error).__name__,
            fix="p4equity validate names table, column and row counts",
        ) from None
    if isinstance(error, duckdb.IOException):
        raise DataError(
            "a file of the extract cannot be read, or the disk is full",
            where="cells",
            found=type(error).__name__,
            fix="check that the files are still there and that the temporary folder has space, then run again",
        ) from None
