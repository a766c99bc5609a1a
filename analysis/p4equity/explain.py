"""How one number was made: the question, the specification, the base, and the code and data behind it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from p4equity.errors import UsageError, did_you_mean
from p4equity.estimates import read_estimates
from p4equity.finished import whole_facts
from p4equity.resources import root
from p4equity.run_folder import study_of


def explain(row_id: str, run_dir: Path | None = None, study: str | Path | None = None) -> None:
    """Print one row of a run's estimates in words, with the registered block it came from."""
    folder = run_dir or root() / "reports" / "runs" / "demo"
    facts = whole_facts(folder)
    estimates = read_estimates(folder / "estimates.csv")
    found = estimates[estimates["row_id"] == row_id]
    if found.empty:
        raise UsageError(
            "no such row",
            where=f"{folder.name}/estimates.csv",
            found=row_id,
            fix=f"{did_you_mean(row_id, estimates['row_id'])}; for a row of another run add --run RUN",
        )
    row = found.iloc[0]
    table = Table(show_header=False, box=None, pad_edge=False)
    for column, value in row.items():
        if not pd.isna(value):
            table.add_row(str(column), str(value))
    console = Console(highlight=False)
    console.print(table)
    plan = study_of(folder, facts, study)
    block = next((a for a in plan.analyses if a.id == row["analysis_id"]), None)
    if block is not None:
        console.print("\n[bold]Registered in study.toml[/bold]")
        console.print(block.model_dump_json(indent=1, exclude_defaults=True), markup=False)
    else:
        console.print("\nNo block of study.toml: a descriptive row that every run has.")
    shown = "cells.csv" if (folder / "cells.csv").is_file() else "results/cells.csv"
    hidden = folder / "restricted" / "cell.parquet"
    before = f"; {hidden} before it" if hidden.is_file() else ""
    console.print(f"\n[bold]Cells[/bold]: {folder / shown} after disclosure control{before}", markup=True, soft_wrap=True)
