"""Tables whose numbers can be traced: cells that know their rows of the results, and the rows laid out in blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p4equity.exhibits import text
from p4equity.exhibits.base import Align, TableSpec

if TYPE_CHECKING:
    from p4equity.results import Results


ALIGN: dict[str, Align] = {"l": "l", "c": "c", "r": "r"}


@dataclass(frozen=True)
class Cell:
    """A text and the ids of the rows it comes from, several of them separated by spaces."""

    text: str
    row_id: str = ""


@dataclass(frozen=True)
class Block:
    """Rows of a table under one heading ("" for none)."""

    heading: str
    rows: tuple[tuple[Cell | str, ...], ...]


def traced(row: Mapping[str, Any] | None, said: str | None = None) -> Cell:
    """A cell of one row of the estimates: `said`, or its estimate with interval."""
    return Cell(text.estimate(row) if said is None else said, text.row_id(row))


def stacked(row: Mapping[str, Any] | None, *, estimate: bool = True, p: bool = True) -> str:
    """One answer on two lines, which keeps columns narrow: estimate and p, and below them the interval."""
    if row is None or row["status"] != "ok":
        return text.estimate(row)
    first = [text.number(row["estimate"], text.decimals(row))] if estimate else []
    second = [f"p {text.p(row['p_value'])}"] if p and not text.is_missing(row["p_value"]) else []
    return f"{', '.join([*first, *second])}\n({text.interval(row)})"


def spec(
    columns: Sequence[str],
    blocks: Iterable[Block],
    *,
    stub: int = 1,
    align: str = "",
    spanners: Sequence[tuple[str, int]] = (),
) -> TableSpec:
    """The blocks as one table; a block without rows does not show. `align` has a letter (l, c, r) for each column."""
    rows: list[tuple[Cell, ...]] = []
    headings: list[tuple[int, str]] = []
    for block in blocks:
        if block.rows and block.heading:
            headings.append((len(rows), block.heading))
        rows += [tuple(c if isinstance(c, Cell) else Cell(c) for c in row) for row in block.rows]
    return TableSpec(
        columns=tuple(columns),
        rows=tuple(tuple(c.text for c in row) for row in rows),
        align=tuple(ALIGN[letter] for letter in align),
        stub=stub,
        spanners=tuple((label, n) for label, n in spanners if n),  # columns that hang on the data may be none
        row_groups=tuple(headings),
        cell_row_ids=tuple(tuple(c.row_id for c in row) for row in rows) if any(c.row_id for row in rows for c in row) else (),
    )


def row_ids(table: TableSpec) -> tuple[str, ...]:
    """All rows behind a table's cells, each once, in order of appearance."""
    return tuple(dict.fromkeys(i for row in table.cell_row_ids for cell in row for i in cell.split()))


def with_labels(results: Results, words: str) -> str:
    """A reason or sample in which neutral ids of systems and groups are replaced by the labels readers know."""
    study = results.study
    known = {s.id: results.label(s.id) for s in study.systems}
    known |= {g.id: g.label for g in study.scheme.groups} if study.scheme and study.groups.compared else {}
    return re.sub(r"\b(" + "|".join(map(re.escape, known)) + r")\b", lambda m: known[m.group()], words)


def capital(words: str) -> str:
    """First letter large."""
    return words[:1].upper() + words[1:]
