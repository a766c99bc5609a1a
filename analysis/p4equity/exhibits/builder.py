"""Building a table exhibit row by row: words, the row of the estimates behind each cell, and the numbers as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from p4equity.exhibits.base import Align, Exhibit, TableSpec


@dataclass
class TableBuilder:
    """Rows are added in reading order; `group` opens a block. A cell is a text, or (text, row of the estimates behind it)."""

    columns: tuple[str, ...]
    align: tuple[Align, ...] = ()
    stub: int = 1
    spanners: tuple[tuple[str, int], ...] = ()
    _rows: list[tuple[str, ...]] = field(default_factory=list)
    _ids: list[tuple[str, ...]] = field(default_factory=list)
    _groups: list[tuple[int, str]] = field(default_factory=list)
    _data: list[dict[str, Any]] = field(default_factory=list)

    def group(self, label: str) -> None:
        """Open a block of rows."""
        self._groups.append((len(self._rows), label))

    def row(self, *cells: str | tuple[str, Mapping[str, object] | None], **data: Any) -> None:
        """One row; `data` are its unformatted numbers for the CSV."""
        words = tuple(c if isinstance(c, str) else c[0] for c in cells)
        ids = tuple("" if isinstance(c, str) or c[1] is None else str(c[1]["row_id"]) for c in cells)
        self._rows.append(words)
        self._ids.append(ids)
        self._data.append(data or dict(zip(self.columns, words, strict=True)))

    def __len__(self) -> int:
        return len(self._rows)

    def exhibit(self, id: str, title: str, alt: str, footnote: str, more_ids: Sequence[str] = ()) -> Exhibit:
        """The finished exhibit."""
        traced = any(any(row) for row in self._ids)
        spec = TableSpec(
            self.columns,
            tuple(self._rows),
            self.align,
            self.stub,
            self.spanners,
            tuple(self._groups),
            tuple(self._ids) if traced else (),
        )
        ids = dict.fromkeys([i for row in self._ids for i in row if i] + list(more_ids))
        return Exhibit(id, "table", title, alt, footnote, tuple(ids), pd.DataFrame(self._data), None, spec)
