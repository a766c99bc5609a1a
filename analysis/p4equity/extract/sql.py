"""Names, texts and types as DuckDB writes them."""

from __future__ import annotations

from p4equity.dictionary import Field

SQL_TYPES = {"string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE"}
INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"}
NUMBERS = {"DOUBLE", "FLOAT", "DECIMAL", *INTEGERS}
NOTHING = '"NULL"'  # the type of a Parquet column that holds only nulls
_NATIVE = {
    "string": {"VARCHAR"},
    "integer": INTEGERS,
    "number": NUMBERS,
    "boolean": {"BOOLEAN"},
    "date": {"DATE"},
}


def quote_name(name: str) -> str:
    """A column or table name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: object) -> str:
    """A string literal as SQL."""
    return "'" + str(text).replace("'", "''") + "'"


def base_type(stored: str) -> str:
    """A stored type without its precision."""
    return stored.upper().split("(")[0]


def is_native(f: Field, stored: str) -> bool:
    """Whether a stored DuckDB type already is the field's type (any width)."""
    return base_type(stored) in _NATIVE[f.type]
