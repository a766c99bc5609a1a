"""Extracts: `open_extract` finds tier and tables; `Extract.relation` gives each table to DuckDB with the dictionary's types."""

from __future__ import annotations

from p4equity.extract.extract import METADATA, Extract, open_extract
from p4equity.extract.files import SQL_TYPES, TableFiles, is_native, quote_name, quote_text, typed_column

__all__ = [
    "METADATA",
    "SQL_TYPES",
    "Extract",
    "TableFiles",
    "is_native",
    "open_extract",
    "quote_name",
    "quote_text",
    "typed_column",
]
