"""Two runs or editions compared: every table of results and every table behind an exhibit, row by row, never by position."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from p4equity.comparison_rows import differences, read_rows
from p4equity.errors import NotReproduced, UsageError
from p4equity.estimates import read_estimates
from p4equity.finished import whole_facts
from p4equity.manifest import file_hash
from p4equity.run_folder import MANIFEST

NEEDED = ("estimates.csv", "diagnostics.csv")
FOLDERS = ("", "results/", "exhibits/")  # where tables lie; what an edition keeps at the top, a run has under results/
REPORT = ("exhibits/", "in_text_numbers.csv")  # tables that a run without a report does not make
NAMED, LINES = 5, 20  # differences named for one table, and in all


@dataclass(frozen=True)
class TableComparison:
    """One table: the rows of the first that were compared, each difference on a line, or why there was nothing to compare."""

    name: str
    compared: int
    differences: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """What was compared, table by table."""

    tables: tuple[TableComparison, ...]

    @property
    def compared(self) -> int:
        """Rows compared, of all tables."""
        return sum(t.compared for t in self.tables)

    @property
    def differences(self) -> tuple[str, ...]:
        """All differences, one line each, with the table's name."""
        return tuple(f"{t.name}: {line}" for t in self.tables for line in t.differences)

    def raise_for_differences(self) -> None:
        """Raise NotReproduced (exit 14) when anything differs; the first differences of each table are named."""
        if not self.differences:
            return
        lines: list[str] = []
        for table in self.tables:
            lines += [f"{table.name}: {line}" for line in table.differences[:NAMED]]
            if len(table.differences) > NAMED:
                lines.append(f"{table.name}: and {len(table.differences) - NAMED} more")
        if len(lines) > LINES:
            lines = [*lines[:LINES], "..."]
        raise NotReproduced(
            f"{len(self.differences)} differences in {self.compared} rows",
            found="\n            ".join(lines),
            fix="if a number moved for a reason, commit the new edition and say so in CHANGELOG.md, 'Numbers that changed'",
        )  # fmt: skip


@dataclass(frozen=True)
class _Side:
    """The tables of one run or edition by the name both share, and what its manifest says about it."""

    folder: Path
    word: str

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        return whole_facts(self.folder) if (self.folder / MANIFEST).is_file() else {}

    @cached_property
    def listed(self) -> Mapping[str, str] | None:
        """Hash of each file the run made, by path; None when nothing says so."""
        found = self.facts.get("outputs")
        return found if isinstance(found, dict) else None

    @cached_property
    def paths(self) -> dict[str, list[str]]:
        """Paths of every table that is there, by shared name."""
        found: dict[str, list[str]] = {}
        for place in FOLDERS:
            for file in sorted((self.folder / place).glob("[!.]*.csv")):
                found.setdefault(_shared(place + file.name), []).append(place + file.name)
        return found

    @cached_property
    def has_report(self) -> bool:
        known = self.listed if self.listed is not None else [p for paths in self.paths.values() for p in paths]
        return any(path.startswith(REPORT) for path in known)

    def own_differences(self, name: str, compared: bool) -> list[str]:
        """What this side's own files and manifest say against each other."""
        there, listed = self.paths.get(name, []), self.listed or {}
        lost = [p for p in listed if p.endswith(".csv") and _shared(p) == name and p not in there]
        lines = [f"{path} is in the manifest of the {self.word} and no longer there" for path in lost]
        if not compared and self.listed is not None:
            changed = [path for path in there if listed.get(path) != file_hash(self.folder / path)]
            lines += [f"{path} of the {self.word} is not the file its manifest names" for path in changed]
        return lines

    def two_copies(self, name: str) -> list[str]:
        """Whether a table that lies in two places says the same in both."""
        there = self.paths[name]
        same = len({file_hash(self.folder / path) for path in there}) == 1
        return [] if same else [f"{' and '.join(there)} of the {self.word} are not the same"]

    def rows(self, name: str) -> pd.DataFrame:
        path = self.folder / self.paths[name][0]
        if name == "estimates.csv":
            read_estimates(path)  # a damaged table says so itself
        return read_rows(path)


def _shared(path: str) -> str:
    """One name for a table wherever it lies: what stands under results/ may stand at the top."""
    name = path.removeprefix("results/")
    return name if name in (*NEEDED, "cells.csv") else path


def compare(first: Path, second: Path, tolerance: float = 1e-8) -> Comparison:
    """Compare all tables of two runs or editions: results, cells and the data of exhibits.

    Rows are matched by their ids, never by position. Numbers agree within `tolerance` relative or 1e-9 absolute; words must be
    equal. Provenance columns are not compared. A table, column or row that only one side has is a difference, unless that side
    alone wrote a report, or the two were made from data of another tier, which may hold other tables.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise UsageError(
            "not a tolerance", where="--tolerance", expected="a number from 0, such as 1e-8", found=tolerance,
            fix="leave it out for the default",
        )  # fmt: skip
    sides = (_Side(first, "first"), _Side(second, "second"))
    for side in sides:
        for name in NEEDED:
            if name not in side.paths:
                raise UsageError(
                    "nothing to compare", where=str(side.folder / name), expected="a run or an edition", found="no such file",
                    fix="give two folders that hold estimates.csv and diagnostics.csv",
                )  # fmt: skip
    known = {name for side in sides for name in side.paths}
    known |= {_shared(p) for side in sides for p in side.listed or () if p.endswith(".csv") and _is_table(p)}
    ordered = sorted(known, key=lambda name: (name not in NEEDED, name))
    return Comparison(tuple(_compare_table(name, sides, tolerance) for name in ordered))


def _is_table(path: str) -> bool:
    return path.rpartition("/")[0] in {place.rstrip("/") for place in FOLDERS}


def _compare_table(name: str, sides: tuple[_Side, _Side], tolerance: float) -> TableComparison:
    with_it = [side for side in sides if name in side.paths]
    both = len(with_it) == len(sides)
    lines = [line for side in sides for line in side.own_differences(name, both)]
    if both:
        a, b = (side.rows(name) for side in sides)
        lines += differences(a, b, tolerance)
        lines = lines or [line for side in sides for line in side.two_copies(name)]  # a change is not told twice
        return TableComparison(name, len(a), tuple(lines))
    if not with_it:
        return TableComparison(name, 0, tuple(lines))
    other = next(side for side in sides if side is not with_it[0])
    if name.startswith(REPORT) and not other.has_report:
        return TableComparison(name, 0, tuple(lines), f"the {other.word} has no report")
    if not lines and sides[0].facts.get("tier") != sides[1].facts.get("tier"):
        return TableComparison(name, 0, (), f"the {other.word} was made from data of another tier")
    return TableComparison(name, 0, tuple(lines or [f"only in the {with_it[0].word}"]))


def print_comparison(comparison: Comparison) -> None:
    """The verdict on the terminal: one line when all agrees, else a line a table that differs."""
    from rich.console import Console

    console = Console(highlight=False)
    made = [t for t in comparison.tables if not t.note]
    if not comparison.differences:
        console.print(f"[green]Reproduced:[/green] all {comparison.compared} rows agree ({len(made)} tables).")
    for table in comparison.tables:
        if table.differences:
            some = "1 difference" if len(table.differences) == 1 else f"{len(table.differences)} differences"
            console.print(f"{table.name}: {some}, {table.compared} rows compared", markup=False)
    for note in dict.fromkeys(t.note for t in comparison.tables if t.note):
        names = ", ".join(t.name for t in comparison.tables if t.note == note)
        console.print(f"Not compared, {note}: {names}", markup=False, style="dim")
