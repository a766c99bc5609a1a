"""The rules of one table, compiled to one pass over it; examples are fetched only for rules that fail, and never of persons."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from p4equity.dictionary import Field, Table
from p4equity.errors import did_you_mean
from p4equity.extract import NOTHING, SQL_TYPES, TableSource, is_native, quote_name, quote_text
from p4equity.validate.model import Example, Problem

if TYPE_CHECKING:
    import duckdb

EXAMPLES = 3
_ROW, _RAW = "__row", "__raw_"


@dataclass(frozen=True)
class Source:
    """A table as it lies in the extract. `faulty` columns are absent or of a wrong type: no further rule looks at them.

    A `hidden` table is about persons: none of its values is ever shown, and the numbers of its rows only where it is `numbered`.
    """

    table: Table
    files: TableSource
    allowed: Mapping[str, Sequence[str | int]]
    hidden: bool
    faulty: frozenset[str] = field(default=frozenset())
    numbered: bool = False

    def relation(self, with_row: bool = False) -> str:
        """Every column of the dictionary with its type (null where a value does not fit), raw texts beside checked ones."""
        parts = [p for f in self.table.fields for p in self._column(f)]
        if with_row:
            parts.append(_ROW)
        return f"(SELECT {', '.join(parts)} FROM {self.files.numbered_reader(_ROW) if with_row else self.files.reader})"

    def _is_typed(self, f: Field, stored: str) -> bool:
        """Whether the column needs no cast: in CSV only one that folders name does not."""
        return is_native(f, stored) and (self.files.kind != "csv" or stored != "VARCHAR")

    def _column(self, f: Field) -> Iterator[str]:
        name, wanted = quote_name(f.name), SQL_TYPES[f.type]
        stored = self.files.columns.get(f.name)
        if stored is None:
            yield f"NULL::{wanted} AS {name}"
        elif self._is_typed(f, stored):
            yield name
        else:
            # DuckDB moves a bare cast of a CSV column into its reader, where an unfit text stops the query.
            text = name if self.files.kind != "csv" else f"nullif({name}, '')"
            yield f"TRY_CAST({text} AS {wanted}) AS {name}"
            if f.name not in self.faulty:
                yield f"{name} AS {quote_name(_RAW + f.name)}"

    def raw(self, f: Field) -> str | None:
        """The column as stored, when its values must still be checked for the type; null when the type is certain."""
        stored = self.files.columns.get(f.name)
        if stored in (None, NOTHING) or f.name in self.faulty or self._is_typed(f, stored):
            return None
        return quote_name(_RAW + f.name)

    def shows(self, column: str | None) -> bool:
        """Whether a value of the column may stand in a message."""
        if self.hidden or column is None:
            return False
        return self.table.field(column).disclosure not in ("identifier", "quote") or "B" in self.table.tiers


@dataclass(frozen=True)
class Check:
    """One condition that no row may meet."""

    rule: str
    column: str | None
    violated: str
    problem: str
    expected: str
    next: str


def schema_problems(table: Table, files: TableSource) -> tuple[list[Problem], frozenset[str]]:
    """Columns that are absent, unknown or of a type that cannot hold the dictionary's; and the names of faulty ones."""
    problems, faulty = [], set()
    where = f"data_dictionary/tables/{table.name}.yaml"
    for f in table.fields:
        stored = files.columns.get(f.name)
        if stored is None and not f.optional:
            faulty.add(f.name)
            near = did_you_mean(f.name, files.columns)
            hint = f"; {near}" if near.startswith("did") else ""
            problems.append(
                Problem(table.name, "missing_column", "the column is missing", f"add the column; see {where}{hint}",
                        f.name, f"{f.type}: {f.description}", "columns " + ", ".join(files.columns))
            )  # fmt: skip
        elif stored is not None and files.kind != "csv" and not _fits(f, stored):
            faulty.add(f.name)
            problems.append(
                Problem(table.name, "wrong_type", "the column has the wrong type", f"write the column as {f.type}",
                        f.name, f"{f.type} (such as {SQL_TYPES[f.type]})", stored)
            )  # fmt: skip
    for name in files.columns:
        if name not in table.names:
            problems.append(
                Problem(table.name, "unknown_column", "the dictionary does not know the column; it is not read",
                        f"drop it, or describe it in {where}", name, did_you_mean(name, table.names), severity="warning")
            )  # fmt: skip
    return problems, frozenset(faulty)


def _fits(f: Field, stored: str) -> bool:
    """Whether a stored type can hold the field: whole numbers may lie in floats, dates in timestamps at midnight."""
    base = re.split(r"[( ]", stored.upper())[0]
    also = {"integer": {"DOUBLE", "FLOAT", "DECIMAL"}, "date": {"TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S"}}
    return stored == NOTHING or is_native(f, stored) or base in also.get(f.type, set()) or (f.type == "string" and base == "ENUM")


def checks(source: Source) -> tuple[Check, ...]:
    """All rules of the table as conditions, those of faulty columns left out."""
    found = [c for f in source.table.fields if f.name not in source.faulty for c in _field_checks(source, f)]
    for rule in source.table.rules:
        if not any(re.search(rf"\b{re.escape(c)}\b", rule.check) for c in source.faulty):
            found.append(
                Check(rule.id, None, f"NOT ({rule.check})", f"a row breaks: {rule.description}", rule.description,
                      "correct the rows, or the rule in data_dictionary if it is wrong")
            )  # fmt: skip
    return tuple(found)


def _field_checks(source: Source, f: Field) -> Iterator[Check]:
    name, raw = quote_name(f.name), source.raw(f)
    if f.name in source.files.columns and raw is not None and f.type != "string":
        yield Check("wrong_type", f.name, _not_of_type(f, raw, source.files.kind), f"not a value of type {f.type}",
                    _type_words(f), f"write the column as {f.type}")  # fmt: skip
    if f.required:
        yield Check("required", f.name, f"{raw or name} IS NULL", "a value is missing", "a value in every row",
                    "fill the value, or drop the row")  # fmt: skip
    allowed = source.allowed.get(f.name)
    if allowed:
        yield Check("category", f.name, _not_among(name, allowed), "unknown category",
                    ", ".join(str(v) for v in allowed), "map the value to a category of the dictionary")  # fmt: skip
    elif f.type == "string" and f.required:
        yield Check("empty_text", f.name, f"{name} = ''", "an empty text", "a text; missing is null",
                    "write null where nothing is known")  # fmt: skip
    if f.minimum is not None or f.maximum is not None:
        yield _range(f, name)
    if f.pattern is not None:
        yield Check("pattern", f.name, f"NOT regexp_full_match({name}, {quote_text(f.pattern)})", "not in the expected form",
                    f"texts like {f.pattern}", "correct the form of the value")  # fmt: skip
    if f.type == "number":
        yield Check("finite", f.name, f"NOT isfinite({name}::DOUBLE)", "not a finite number", "a number; missing is null",
                    "write null where there is no number")  # fmt: skip


def _not_among(name: str, allowed: Sequence[str | int]) -> str:
    if all(isinstance(v, str) for v in allowed):
        # A function of one column: DuckDB asks it once a text where a file keeps its texts in a dictionary, unlike NOT IN.
        return f"({name} IS NOT NULL AND list_position([{', '.join(map(quote_text, allowed))}], {name}) IS NULL)"
    return f"{name} NOT IN ({', '.join(map(str, allowed))})"


def _range(f: Field, name: str) -> Check:
    quoted = {k: quote_text(v) if isinstance(v, str) else v for k, v in (("<", f.minimum), (">", f.maximum)) if v is not None}
    violated = " OR ".join(f"{name} {sign} {bound}" for sign, bound in quoted.items())
    low = "no lower limit" if f.minimum is None else f"at least {f.minimum}"
    high = "no upper limit" if f.maximum is None else f"at most {f.maximum}"
    unit = f" ({f.unit})" if f.unit else ""
    return Check("range", f.name, violated, "out of range", f"{low}, {high}{unit}", "correct the value or its unit")


def _not_of_type(f: Field, raw: str, kind: str) -> str:
    if kind == "csv":
        form = {"integer": "[+-]?[0-9]+", "date": "[0-9]{4}-[0-9]{2}-[0-9]{2}"}.get(f.type)
        unfit = f"({raw} IS NOT NULL AND TRY_CAST({raw} AS {SQL_TYPES[f.type]}) IS NULL)"
        return f"{unfit} OR NOT regexp_full_match({raw}, {quote_text(form)})" if form else unfit
    return f"{raw} <> trunc({raw})" if f.type == "integer" else f"{raw} <> date_trunc('day', {raw})"


def _type_words(f: Field) -> str:
    words = {"integer": "a whole number", "number": "a number with a decimal point", "boolean": "true or false",
             "date": "a date as YYYY-MM-DD"}  # fmt: skip
    return words.get(f.type, f.type)


def scan(con: duckdb.DuckDBPyConnection, source: Source) -> tuple[int, list[Problem]]:
    """Rows of the table and every rule it breaks, from one pass over its files."""
    rules = checks(source)
    counted = ", ".join(["count(*)", *(f"count_if({c.violated})" for c in rules)])
    row = con.execute(f"SELECT {counted} FROM {source.relation()}").fetchone() or (0,)
    problems = [_problem(con, source, c, int(n)) for c, n in zip(rules, row[1:], strict=True) if n]
    return int(row[0]), problems


def _problem(con: duckdb.DuckDBPyConnection, source: Source, check: Check, count: int) -> Problem:
    places: tuple[Example, ...] = ()
    if not source.hidden:
        places = tuple(_examples(con, source, check))
    elif source.numbered:
        places = tuple(_row_numbers(con, source, check))
    return Problem(source.table.name, check.rule, check.problem, check.next, check.column, check.expected, None, count, places)


def _examples(con: duckdb.DuckDBPyConnection, source: Source, check: Check) -> Iterator[Example]:
    """Row, key and value of the first rows that break a rule."""
    key = [c for c in source.table.primary_key if c not in source.faulty and c != check.column and source.shows(c)]
    f = source.table.field(check.column) if check.column else None
    value = (source.raw(f) or quote_name(f.name)) if f else "NULL"
    columns = ", ".join([quote_name(_ROW), value, *(quote_name(k) for k in key)])
    one_file = len(source.files.files) == 1
    query = f"SELECT {columns} FROM {source.relation(with_row=True)} WHERE {check.violated} ORDER BY {_ROW} LIMIT {EXAMPLES}"
    for row, found, *keys in con.execute(query).fetchall():
        known = {k: plain(v) for k, v in zip(key, keys, strict=True) if v is not None}
        shown = plain(found) if f and source.shows(f.name) else None
        yield Example(int(row) if one_file else None, known, shown)


def _row_numbers(con: duckdb.DuckDBPyConnection, source: Source, check: Check) -> Iterator[Example]:
    """File and number of the first rows that break a rule, without any value."""
    left = EXAMPLES
    for file in source.files.each():
        one = replace(source, files=file)
        query = f"SELECT {_ROW} FROM {one.relation(with_row=True)} WHERE {check.violated} ORDER BY {_ROW} LIMIT {left}"
        for (row,) in con.execute(query).fetchall():
            left -= 1
            yield Example(int(row), {"file": file.names[0]})
        if not left:
            return


def plain(value: Any) -> Any:
    """A value as JSON knows it."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
