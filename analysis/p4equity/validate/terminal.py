"""The validation report as a reader of a terminal sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from p4equity.validate.model import Problem, ValidationReport


def print_report(report: ValidationReport, console: Console) -> None:
    """A line on what was read, then one block a problem: place, rule, expected, found, next step."""
    from rich.markup import escape

    read = f"{report.rows:,} rows in {len(report.tables)} tables, {report.seconds:.1f} s (tier {report.tier})"
    if not report.problems:
        console.print(f"[bold green]Valid.[/] {read}")
    else:
        errors = len(report.errors)
        warnings = len(report.problems) - errors
        head = f"[bold red]{errors} problem{'' if errors == 1 else 's'}[/]" if errors else "[bold green]Valid[/]"
        console.print(f"{head}{f', {warnings} to look at' if warnings else ''}. {read}")
    for problem in report.problems:
        _print_problem(problem, console)
    for rule, why in report.not_run.items():
        console.print(escape(f"not run: {rule} ({why})"), style="dim")


def _print_problem(p: Problem, console: Console) -> None:
    from rich.markup import escape

    color = "red" if p.severity == "error" else "yellow"
    console.print(f"\n[bold {color}]{escape(p.where)}[/]: {escape(p.problem)} [dim]{escape('[' + p.rule + ']')}[/]")
    lines = [("expected", p.expected), ("found", _found(p)), ("at", "; ".join(e.words() for e in p.examples)), ("next", p.next)]
    for word, text in lines:
        if text:
            console.print(f"  [dim]{word + ':':<10}[/]{escape(text)}", highlight=False)


def _found(p: Problem) -> str:
    counted = f"{p.count:,} time{'' if p.count == 1 else 's'}"
    if p.found:
        return p.found if p.count == 1 else f"{p.found} ({counted})"
    return counted
