"""The files of one table, and how DuckDB reads them: folders named key=value as columns, columns under the dictionary's names."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from p4equity.errors import DataError
from p4equity.extract.schemas import Schema, csv_schemas, listing, parquet_schemas, together, under_own_names
from p4equity.extract.sql import quote_name, quote_text


@dataclass(frozen=True)
class TableFiles:
    """The files that hold one table, sorted by name.

    `labels`: names for messages and fingerprints, never absolute (default: the files' own). `base`: the folder below which
    folders named key=value are columns; `partitions`: those columns, as stored, with their types. `renames`: the dictionary's
    name of a column and the stored one, where they differ. `packed`: CSV files that are compressed though no name says so.
    """

    name: str
    kind: Literal["parquet", "csv"]
    files: tuple[Path, ...]
    labels: tuple[str, ...] = ()
    base: Path | None = None
    partitions: Mapping[str, str] = field(default_factory=dict)
    renames: Mapping[str, str] = field(default_factory=dict)
    packed: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What the files are called in messages, in their order."""
        return self.labels or tuple(f.name for f in self.files)

    @cached_property
    def alike(self) -> tuple[TableFiles, ...]:
        """The table in parts whose files have the same columns (in CSV: in the same order), under their stored names.

        A reader of files takes the columns of the first for those of all; parts go together by name.
        """
        groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
        for i, schema in enumerate(self._schemas):
            groups.setdefault(tuple(schema.items() if self.kind == "csv" else sorted(schema.items())), []).append(i)
        return tuple(
            replace(self, files=tuple(self.files[i] for i in group), labels=tuple(self.names[i] for i in group), renames={})
            for group in groups.values()
        )

    def each(self) -> tuple[TableFiles, ...]:
        """The table one file at a time."""
        return tuple(replace(self, files=(f,), labels=(n,)) for f, n in zip(self.files, self.names, strict=True))

    @property
    def reader(self) -> str:
        """What DuckDB selects from: `columns`, as they are stored (CSV: every column as text). Raises DataError as `columns`."""
        return self._reading("")

    def numbered_reader(self, column: str) -> str:
        """As `reader`, with the number of the row in its file (in CSV the header is row 1)."""
        if self.kind == "csv":
            return f"(SELECT *, row_number() OVER () + 1 AS {quote_name(column)} FROM {self._reading('')})"
        numbered = f"(SELECT * EXCLUDE file_row_number, file_row_number + 1 AS {quote_name(column)} FROM "
        return numbered + self._reading(", file_row_number=true") + ")"

    @cached_property
    def columns(self) -> dict[str, str]:
        """Column names (the dictionary's where they are renamed) and DuckDB types as stored, partitions among them.

        Raises DataError naming a file that cannot be read or a column that does not fit the others.
        """
        return under_own_names(self.name, self._stored, self.renames)

    @cached_property
    def in_files(self) -> dict[str, str]:
        """Columns of the files themselves and their types; of files that are `alike`, in the order in which they are stored."""
        return together(self, self._schemas)

    @property
    def incomplete(self) -> dict[str, str]:
        """Columns that some file lacks, by their names in `columns`, and the first such file."""
        found: dict[str, str] = {}
        for name in self.columns:
            stored = self.renames.get(name, name)
            lacking = (label for label, schema in zip(self.names, self._schemas, strict=True) if stored not in schema)
            first = None if stored in self.partitions else next(lacking, None)
            if first is not None:
                found[name] = first
        return found

    def open_text(self, path: Path) -> Any:
        """A CSV file as text."""
        if self.packed or path.suffix == ".gz":
            return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
        return path.open(encoding="utf-8-sig", newline="")

    @cached_property
    def _schemas(self) -> list[Schema]:
        return csv_schemas(self) if self.kind == "csv" else parquet_schemas(self)

    @cached_property
    def _stored(self) -> dict[str, str]:
        """Stored columns of all files. A folder's name decides over a column of the same name in its files, as in Spark."""
        stored = self.in_files | dict(self.partitions)
        above = {p.partition("=")[0].lower() for p in self.base.absolute().parts if "=" in p} if self.base else set()
        lost = [c for c in stored if c.lower() in above] if self.partitions else []
        if lost:
            raise DataError(
                "a folder above the table is named like one of its columns",
                where=f"table {self.name}, column {lost[0]}",
                expected=f"{lost[0]}=... only in folders of the table itself",
                found=f"{lost[0]}=... further up, where DuckDB would take it for the column",
                fix="rename the outer folder, or reach the table by a link (ln -s) that does not pass through it",
            )
        return stored

    def _reading(self, option: str) -> str:
        calls = [part._call(option) for part in (self.alike if len(self.alike) > 1 else [self])]
        unioned = " UNION ALL BY NAME ".join(f"SELECT * FROM {c}" for c in calls)
        source = calls[0] if len(calls) == 1 else f"({unioned})"
        if not self.renames:
            return source
        names = [f"{quote_name(self.renames.get(c, c))} AS {quote_name(c)}" for c in self.columns]
        return f"(SELECT {', '.join([*names, *(['file_row_number'] if option else [])])} FROM {source})"

    def _call(self, option: str) -> str:
        hive = "hive_partitioning=false"  # never guessed: a folder far above the extract could be named year=2025
        if self.partitions:
            types = ", ".join(f"{quote_text(c)}: {kind}" for c, kind in self.partitions.items())
            hive = f"hive_partitioning=true, hive_types_autocast=false, hive_types={{{types}}}"
        if self.kind == "parquet":
            return f"read_parquet({listing(self.files)}, {hive}{option})"
        # Columns are given, not sniffed: the sniffer drops rows it cannot reconcile with the header.
        columns = "{" + ", ".join(f"{quote_text(c)}: 'VARCHAR'" for c in self._schemas[0]) + "}"
        form = "header=true, auto_detect=false, nullstr='', delim=',', quote='\"', escape='\"'"
        packed = ", compression='gzip'" if self.packed else ""
        return f"read_csv({listing(self.files)}, {form}, columns={columns}, {hive}{packed})"
