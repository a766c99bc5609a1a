"""Extracts: `open_extract` finds tier and tables; `Extract.relation` gives each table to DuckDB with the dictionary's types."""

from __future__ import annotations

from p4equity.extract.catalog import CatalogTable
from p4equity.extract.extract import METADATA, Extract
from p4equity.extract.files import TableFiles
from p4equity.extract.opening import check_data, data_places, open_extract
from p4equity.extract.relation import TableSource, typed_column
from p4equity.extract.sql import NOTHING, SQL_TYPES, is_native, quote_name, quote_text

__all__ = [
    "METADATA",
    "NOTHING",
    "SQL_TYPES",
    "CatalogTable",
    "Extract",
    "TableFiles",
    "TableSource",
    "check_data",
    "data_places",
    "is_native",
    "open_extract",
    "quote_name",
    "quote_text",
    "typed_column",
]
