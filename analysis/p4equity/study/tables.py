"""Reads the study's CSV tables (`events.csv`, ...) against the dictionary's table of the same fact; all problems noted."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

from p4equity.dictionary import Field, Table
from p4equity.errors import did_you_mean
from p4equity.study.problems import Problems

Row = dict[str, object]


def read_table(folder: Path, file: str, table: Table, problems: Problems) -> list[Row]:
    """The rows of `folder/file`, typed as the dictionary says, null as None; an absent file has no rows."""
    path = folder / file
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            try:
                rows = _rows(file, reader, table, problems)
            except csv.Error as error:
                problems.add(
                    file, (), "not valid CSV", at=(reader.line_num, 1), found=str(error),
                    fix="look for a quotation mark that is not closed, on this line or before",
                )  # fmt: skip
                return []
    except UnicodeDecodeError as error:
        problems.add(file, (), "the file is not UTF-8 text", found=f"byte {error.start} cannot be read", fix="save it as UTF-8")
        return []
    _unique(file, rows, table, problems)
    return rows


def _rows(file: str, reader: Any, table: Table, problems: Problems) -> list[Row]:
    """The rows a CSV reader gives, when its header fits; problems noted with the line they end on."""
    header: list[str] = next(reader, [])
    if not _header_fits(file, header, table, problems):
        return []
    rows = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problems.add(
                file, (), "the row has another number of cells than the header", at=(reader.line_num, 1),
                expected=len(header), found=len(cells), fix="put texts that hold commas in double quotes",
            )  # fmt: skip
            continue
        given = dict(zip(header, cells, strict=True))
        rows.append({f.name: _value(file, f, given.get(f.name, ""), reader.line_num, problems) for f in table.fields})
    return rows


def _header_fits(file: str, header: list[str], table: Table, problems: Problems) -> bool:
    before = len(problems)
    names = [field.name for field in table.fields]
    for column in header:
        if column not in names:
            problems.add(file, (), f"unknown column '{column}'", at=(1, 1), fix=did_you_mean(column, names))
    for field in table.fields:
        if field.required and field.name not in header:
            problems.add(file, (), f"the column '{field.name}' is missing", at=(1, 1), expected=", ".join(names))
    for column in sorted({column for column in header if header.count(column) > 1}):
        problems.add(file, (), f"the column '{column}' stands twice in the header", at=(1, 1))
    return len(problems) == before


def _value(file: str, field: Field, text: str, line: int, problems: Problems) -> object:
    text = text.strip()
    if not text:
        if field.required:
            problems.add(file, (), f"column '{field.name}' is empty", at=(line, 1), expected=field.type)
        return None
    convert, expected = _CONVERT.get(field.type, (str, "a text"))
    try:
        value = convert(text)
    except (ValueError, KeyError):
        problems.add(file, (), f"column '{field.name}' has the wrong type", at=(line, 1), expected=expected, found=text)
        return None
    allowed = [str(item) for item in field.enum or ()]
    if allowed and text not in allowed:
        problems.add(
            file, (), f"column '{field.name}' has an unknown word", at=(line, 1),
            expected=", ".join(allowed), found=text, fix=did_you_mean(text, allowed),
        )  # fmt: skip
    return value


def _unique(file: str, rows: list[Row], table: Table, problems: Problems) -> None:
    seen: set[tuple[object, ...]] = set()
    for row in rows if table.primary_key else ():
        key = tuple(row[name] for name in table.primary_key)
        if key in seen:
            problems.add(
                file, (), "duplicate key", found=f"{', '.join(table.primary_key)} = {', '.join(map(str, key))}",
                fix="every row needs a key of its own",
            )  # fmt: skip
        seen.add(key)


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_CONVERT: dict[str, tuple[Callable[[str], object], str]] = {
    "integer": (int, "a whole number"),
    "year": (int, "a year"),
    "number": (float, "a number"),
    "boolean": (_boolean, "true or false"),
    "date": (dt.date.fromisoformat, "a date written YYYY-MM-DD"),
}
