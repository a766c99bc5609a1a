"""Tables and views in the catalog of the engine: a DuckDB database, attached for reading only, or another engine's catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from p4equity.errors import DataError, did_you_mean
from p4equity.extract.schemas import footers, under_own_names
from p4equity.extract.sql import quote_name, quote_text

if TYPE_CHECKING:
    import duckdb

ATTACHED = "p4equity_catalog"


@dataclass(frozen=True)
class CatalogTable:
    """A table or view that the engine knows by name: `table`, such as claims.attribution.

    `database`: the DuckDB file it lies in; null in the catalog of another engine, which DuckDB cannot read.
    """

    name: str
    table: str
    engine: str
    database: Path | None = None
    renames: Mapping[str, str] = field(default_factory=dict)
    kind: Literal["catalog"] = "catalog"
    files: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()

    def each(self) -> tuple[CatalogTable, ...]:
        """The table one file at a time: there is none."""
        return ()

    @property
    def incomplete(self) -> dict[str, str]:
        """Columns that some file lacks: none."""
        return {}

    @property
    def reader(self) -> str:
        """What DuckDB selects from once the database is attached. Raises DataError as `columns` does."""
        columns = ", ".join(f"{quote_name(self.renames.get(c, c))} AS {quote_name(c)}" for c in self.columns)
        return f"(SELECT {columns} FROM {self._place})"

    def numbered_reader(self, column: str) -> str:
        """As `reader`, with numbers of the rows in the order in which DuckDB finds them."""
        return f"(SELECT *, row_number() OVER () AS {quote_name(column)} FROM {self.reader})"

    def attach(self, con: duckdb.DuckDBPyConnection) -> None:
        """Opens the database for reading in a connection, once. Raises DataError when it cannot be opened."""
        import duckdb

        if self.database is None:
            raise self._elsewhere()
        try:
            con.execute(f"ATTACH IF NOT EXISTS {quote_text(self.database)} AS {ATTACHED} (READ_ONLY)")
        except duckdb.Error as error:
            held = "lock" in str(error)
            raise DataError(
                "the database cannot be opened",
                where=f"--engine-url {self.database}: table {self.name}",
                expected="a DuckDB database that no other program has open for writing",
                found="a database that another program writes to" if held else type(error).__name__,
                fix="end the other program, then run again" if held else "check the path, and that DuckDB itself opens the file",
            ) from None

    @cached_property
    def columns(self) -> dict[str, str]:
        """Column names (the dictionary's where they are renamed) and DuckDB types as stored.

        Raises DataError when there is no such table or column, or when the table lies in the catalog of another engine.
        """
        import duckdb

        with footers().cursor() as con:
            con.execute(f"DETACH DATABASE IF EXISTS {ATTACHED}")  # left by an extract that was opened earlier
            self.attach(con)
            try:
                described = con.execute(f"DESCRIBE SELECT * FROM {self._place}").fetchall()
            except duckdb.Error:
                raise self._unknown(con) from None
            finally:
                con.execute(f"DETACH DATABASE IF EXISTS {ATTACHED}")
        return under_own_names(self.name, {str(row[0]): str(row[1]) for row in described}, self.renames)

    @property
    def _place(self) -> str:
        """schema.table, as DuckDB writes it; the database's own name may stand before it."""
        parts = self.table.split(".")
        if self.database is not None and len(parts) == 3 and parts[0] == self.database.stem:
            del parts[0]
        return ".".join(quote_name(p) for p in (ATTACHED, *(["main"] if len(parts) == 1 else []), *parts))

    def _unknown(self, con: duckdb.DuckDBPyConnection) -> DataError:
        query = f"SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = '{ATTACHED}'"
        known = [name if schema == "main" else f"{schema}.{name}" for schema, name in con.execute(query).fetchall()]
        return DataError(
            "the database has no such table or view, or the view cannot be read",
            where=f"--engine-url {self.database}: table {self.name}",
            expected=self.table,
            found=", ".join(sorted(known)) or "no table",
            fix=did_you_mean(self.table, known) if known else "name the right database with --engine-url",
        )

    def _elsewhere(self) -> DataError:
        return DataError(
            f"the table lies in the catalog of {self.engine}, which DuckDB cannot read",
            where=f"table {self.name}: {self.table}",
            expected="a file, a folder or a DuckDB table for whatever is not aggregated to cells",
            found=f"a table that only {self.engine} knows",
            fix=f"write it to Parquet files, and give their path under [data.tables] {self.name}",
        )
