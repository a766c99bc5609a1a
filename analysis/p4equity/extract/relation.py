"""A table with the dictionary's columns and types, whatever it lies in."""

from __future__ import annotations

from p4equity.dictionary import Field, Table
from p4equity.errors import DataError, did_you_mean
from p4equity.extract.catalog import CatalogTable
from p4equity.extract.files import TableFiles
from p4equity.extract.sql import SQL_TYPES, is_native, quote_name

TableSource = TableFiles | CatalogTable


def typed_column(f: Field, source: TableSource) -> str:
    """One column of `Extract.relation`: as it is, cast when stored in another type, null when optional and absent."""
    name, wanted = quote_name(f.name), SQL_TYPES[f.type]
    stored = source.columns.get(f.name)
    if stored is None:
        if f.optional:
            return f"NULL::{wanted} AS {name}"
        raise DataError(
            "a column is missing",
            where=f"table {source.name}, column {f.name}",
            expected=f"{f.type}: {f.description}",
            found=", ".join(source.columns),
            fix=f"{did_you_mean(f.name, source.columns)} Columns are listed in data_dictionary/tables/{source.name}.yaml",
        )
    keep = source.kind != "csv" and is_native(f, stored)
    return name if keep else f"CAST({name} AS {wanted}) AS {name}"


def check_complete(schema: Table, source: TableSource) -> None:
    """Raise DataError when some file lacks a column that the dictionary does not allow to be absent."""
    for name, label in source.incomplete.items():
        if name in schema.names and not schema.field(name).optional:
            raise DataError(
                "a file of the table lacks a column that others have",
                where=f"{label}: table {source.name}, column {name}",
                expected="the column in every file; only optional ones may be absent",
                found="no such column",
                fix="write the file again with the column",
            )
