"""Single stages for the command line: cells, gates, power, rendering."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.table import Table

from p4equity.cli.progress import console, show_progress
from p4equity.errors import DiagnosticsFailed
from p4equity.finished import check_results, whole_facts
from p4equity.pipeline import cells_of, render
from p4equity.places import check_place
from p4equity.run_folder import registered_study, sole_writer
from p4equity.run_state import Run, Source
from p4equity.scratch import scratch_folder
from p4equity.study import load_study

UNITS = {"percentage points": "points", "standardized difference": "SD", "standard errors": "SE"}


def ids_first(*columns: str) -> Table:
    """A table whose first two columns, the ids, are never cut."""
    table = Table()
    for i, name in enumerate(columns):
        table.add_column(name, no_wrap=i < 2, overflow="fold", min_width=None if i >= 2 else 9)
    return table


def write_tier_b(study: str, data: Path, out: Path, workers: int, engine: str = "duckdb", engine_url: str | None = None) -> None:
    """Cells of an extract as a tier-B extract."""
    from p4equity.cells import write_tier_b as write
    from p4equity.cells.store import check_tier_b_target
    from p4equity.dictionary import load_dictionary
    from p4equity.extract import open_extract

    source = Source(data, engine=engine, engine_url=engine_url)
    loaded, extract = load_study(study), open_extract(data, load_dictionary(), engine=engine, engine_url=engine_url)
    check_tier_b_target(out)
    check_place(out)
    with show_progress() as progress, scratch_folder() as scratch:
        cells = cells_of(Run(loaded, scratch, progress, workers, source))
    write(cells, loaded, out, source=extract)


def print_gates(study: str, source: Source, workers: int) -> None:
    """Verdicts of the gates; raises DiagnosticsFailed when one fails."""
    from p4equity.diagnostics import diagnose, failed_gates

    loaded = load_study(study)
    with scratch_folder() as scratch, show_progress() as progress:
        state = Run(loaded, scratch, progress, workers, source)
        cells = cells_of(state)
        found = diagnose(state.context, cells.cell_profile)
    table = ids_first("gate", "measure", "finding", "limit", "verdict")
    for row in found.to_dict("records"):
        empty = row["finding"] != row["finding"] or row["finding"] is None
        value = "" if empty else f"{row['finding']:.2f} {UNITS.get(row['finding_unit'], row['finding_unit'])}"
        limit = f"{row['direction'].replace('_', ' ')} {row['limit']:g}"
        table.add_row(row["gate_id"], row["measure_id"], value, limit, row["status"])
    console.print(table)
    failed = failed_gates(found)
    if failed:
        names = sorted({gate for scope in failed.values() for gate in scope})
        raise DiagnosticsFailed(
            "a gate failed", where=", ".join(names), fix="look at the finding; log a deviation if it should stand"
        )


def print_power(study: str, source: Source, workers: int) -> None:
    """Detectable changes by measure and group."""
    from p4equity.summaries.precision import power_table

    loaded = load_study(study)
    with scratch_folder() as scratch, show_progress() as progress:
        state = Run(loaded, scratch, progress, workers, source)
        cells_of(state)
        found = power_table(state.context)
    table = ids_first("measure", "group", "with", "without", "detectable, points", "smallest p", "baseline gap")
    for row in found.to_dict("records"):
        table.add_row(
            row["measure_id"], row["group"], str(row["n_contracted"]), str(row["n_comparison"]),
            f"{row['mde_low']:.1f} to {row['mde_high']:.1f}", f"{row['p_attainable']:.4f}", f"{row['baseline_gap']:.1f}",
        )  # fmt: skip
    console.print(table)


def render_again(run_dir: Path, study: str | None, workers: int, progress: Callable[[str, int, int], None]) -> None:
    """Exhibits and report of a finished run."""
    facts = whole_facts(run_dir, "tier", "plan_hash", "data_hash", "synthetic", "outputs")
    loaded = registered_study(run_dir, facts, study)
    check_results(run_dir, facts)
    state = Run(loaded, run_dir, progress, workers)
    state.about = facts
    with scratch_folder(), sole_writer(run_dir.resolve()):
        render(state)
