"""What validation says: problems with their place and next step, and the report that holds all of an extract's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from p4equity.errors import DataError, StudyError

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 3  # problems named in the error; the report has all
EMPTY_ARM = "empty_arm"  # the rule that is not about a fault of the data: the study has nothing to compare in them
SHORT = 60  # characters of an expectation that fits on a problem's line


@dataclass(frozen=True)
class Example:
    """One place of a problem: row 1 is the first data row (CSV: the file's line)."""

    row: int | None
    key: Mapping[str, Any]
    value: Any = None

    def words(self) -> str:
        """The place in a few words."""
        parts = [f"row {self.row}"] if self.row is not None else []
        parts += [f"{k}={v}" for k, v in self.key.items()]
        shown = f": {self.value!r}" if self.value is not None else ""
        return " ".join(parts) + shown


@dataclass(frozen=True)
class Problem:
    """One rule an extract breaks. For tables about persons `examples` hold no value: they stay empty, or give the numbers of rows
    of a synthetic extract."""

    table: str
    rule: str
    problem: str
    next: str
    column: str | None = None
    expected: str | None = None
    found: str | None = None
    count: int = 1
    examples: tuple[Example, ...] = ()
    severity: Literal["error", "warning"] = "error"

    @property
    def where(self) -> str:
        """Table and column."""
        return f"table {self.table}, column {self.column}" if self.column else f"table {self.table}"

    def words(self) -> str:
        """The problem on one line: place, rule, count, what was found."""
        seen = "; ".join(e.words() for e in self.examples)
        found = f", found {self.found}" if self.found else f", {self.count:,} found"
        if self.found and self.expected and len(self.expected) <= SHORT:
            found = f", expected {self.expected}{found}"
        return f"{self.where}: {self.problem} [{self.rule}]{found}" + (f" at {seen}" if seen else "")


@dataclass(frozen=True)
class TableSummary:
    """A table that was read: its rows, columns and files."""

    rows: int
    columns: int
    files: int


@dataclass(frozen=True)
class ValidationReport:
    """Every problem of an extract, the tables that were read, rules that could not run, and the seconds it took."""

    tier: str
    study: str | None
    problems: tuple[Problem, ...]
    tables: Mapping[str, TableSummary]
    not_run: Mapping[str, str]
    seconds: float

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that stop a run."""
        return tuple(p for p in self.problems if p.severity == "error")

    @property
    def ok(self) -> bool:
        """Whether the extract can be used."""
        return not self.errors

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(t.rows for t in self.tables.values())

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, in the order of `validation.json`."""
        return {
            "ok": self.ok,
            "tier": self.tier,
            "study": self.study,
            "rows": self.rows,
            "seconds": round(self.seconds, 2),
            "problems": [asdict(p) for p in self.problems],
            "tables": {k: asdict(v) for k, v in self.tables.items()},
            "not_run": dict(self.not_run),
        }

    def write_json(self, path: Path) -> None:
        """Writes `validation.json`; the file appears whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(self.to_dict(), indent=2, default=str, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(path)

    def render(self, console: Console) -> None:
        """Prints the report to a terminal."""
        from p4equity.validate.terminal import print_report

        print_report(self, console)

    def raise_for_problems(self, report_file: Path | None = None) -> None:
        """Raises DataError naming the first problems, and the file with all of them, when the extract cannot be used.

        Raises StudyError when the only fault is that an arm of the study is empty.
        """
        errors = self.errors
        if not errors:
            return
        first = errors[0]
        listed = "".join(f"\n  - {p.words()}" for p in errors[:SHOWN])
        more = f"\n  - and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
        all_of_them = f"; all problems are in {report_file}" if report_file else ""
        if all(p.rule == EMPTY_ARM for p in errors):
            raise StudyError(
                first.problem, where=f"validation (tier {self.tier}): {first.where}", expected=f"rows of {first.expected}",
                found=first.found, fix=first.next + all_of_them,
            )  # fmt: skip
        raise DataError(
            f"the extract breaks {len(errors)} rule{'s' if len(errors) > 1 else ''} of the data dictionary:{listed}{more}",
            where=f"validation (tier {self.tier})",
            expected=first.expected,
            found=first.found or f"{first.count:,} rows that break the first rule",
            fix=first.next + all_of_them,
        )
