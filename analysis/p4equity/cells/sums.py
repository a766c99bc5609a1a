"""Counts of stored cells summed to coarser ones while they are read, for regressions that need neither practice nor stratum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from p4equity.cells.tables import KEYS
from p4equity.dictionary import load_dictionary
from p4equity.errors import DataError, UsageError, did_you_mean
from p4equity.extract import Extract, TableFiles, TableSource, quote_name, quote_text, typed_column

if TYPE_CHECKING:
    import pandas as pd

COUNTS = ("den", "num")


def cell_sums(source: Path | Extract, by: Sequence[str], where: Mapping[str, Sequence[str | int]]) -> pd.DataFrame:
    """den and num summed over the columns of a cell's key that `by` does not name, one row a combination, sorted.

    source: a folder with `cell.parquet`, or an extract of tier B. where: columns of the key and the values to read; what it does
    not name is read whole, so that a sum over maps or race versions is up to the caller to avoid. Integers are exact. Raises
    UsageError for a column that is no key, DataError for a table that is missing, cannot be read, or adds up beyond 64 bits.
    """
    import duckdb

    for column in (*by, *where):
        if column not in KEYS["cell"]:
            fix = did_you_mean(column, KEYS["cell"])
            raise UsageError("no key of a cell", where="cell_sums", expected=", ".join(KEYS["cell"]), found=column, fix=fix)
    files = source.source("cell") if isinstance(source, Extract) else _stored(Path(str(source)))
    schema = load_dictionary().table("cell")
    keys = ", ".join(quote_name(column) for column in by)
    sums = ", ".join(f"CAST(sum({column}) AS BIGINT) AS {column}" for column in COUNTS)
    typed = ", ".join(typed_column(schema.field(column), files) for column in dict.fromkeys([*by, *where, *COUNTS]))
    kept = [f"{quote_name(c)} IN ({', '.join(map(quote_text, values))})" for c, values in where.items()]
    rows = f"SELECT {typed} FROM {files.reader}"
    if "suppressed" in files.columns:
        rows += " WHERE NOT coalesce(CAST(suppressed AS BOOLEAN), false)"
    query = f"SELECT {keys}, {sums} FROM ({rows}) WHERE {' AND '.join(kept) or 'true'} GROUP BY ALL ORDER BY ALL"
    # A cursor of the process's own database: opening another takes as long as the query. Catalogs get one of their own.
    with duckdb.connect() if isinstance(source, Extract) else duckdb.default_connection().cursor() as connection:
        if isinstance(source, Extract):
            source.attach(connection)
        try:
            return connection.sql(query).to_arrow_table().to_pandas()
        except duckdb.Error as error:
            raise DataError(
                "cells cannot be read and added up",
                where=f"{(*files.names, files.name)[0]}: table cell",
                expected="the types of data_dictionary/tables/cell.yaml",
                found=type(error).__name__,
                fix="p4equity validate names column and row",
            ) from None


def _stored(folder: Path) -> TableSource:
    path = folder / "cell.parquet"
    if not path.is_file():
        raise DataError(
            "the table is missing",
            where=str(path),
            expected="a file that the cells stage wrote",
            found="nothing",
            fix="run the cells stage again: p4equity cells DATA --study S --out DIR",
        )
    return TableFiles("cell", "parquet", (path,))
