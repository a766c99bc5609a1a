"""`p4equity calibrate`: cells of a run or an extract, every method put to the test, and a summary on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from p4equity.cli.progress import console, show_progress
from p4equity.errors import DataError, UsageError
from p4equity.finished import AGAIN, whole_facts
from p4equity.pipeline import cells_of
from p4equity.places import check_file
from p4equity.run_folder import registered_study
from p4equity.run_state import Run, Source
from p4equity.scratch import scratch_folder
from p4equity.study import load_study

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.evaluation.context import Context


def print_calibration(
    study: str | None, run_dir: Path | None, source: Source, draws: int, out: Path | None, workers: int
) -> None:
    """Calibrate and print one line a question and method; `out`: every row as CSV."""
    from p4equity.calibration import calibration_table
    from p4equity.calibration.summary import calibration_summary
    from p4equity.results import write_csv

    if run_dir is not None and source.data is not None:
        raise UsageError("two sources of cells", where="--run, --data", expected="one of them", fix="leave one out")
    if out is not None:
        check_file(out)
    with show_progress() as progress:
        context = _of_run(run_dir, study) if run_dir is not None else _of_extract(str(study), source, workers, progress)
        found = calibration_table(
            context, draws=draws, workers=workers, progress=lambda name, done, total: progress(f"calibrate {name}", done, total)
        )
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_csv(found, out)
    _print(calibration_summary(found, context.study.inference.alpha), found, context)
    if out is not None:
        console.print(f"Wrote {len(found)} rows to {out}", markup=False)


def _of_run(run_dir: Path, study: str | None) -> Context:
    from p4equity.cells import cells_hash, read_cells
    from p4equity.evaluation.context import Context
    from p4equity.manifest import code_version

    facts = whole_facts(run_dir, "plan_hash", "data_hash")
    loaded = registered_study(run_dir, facts, study)
    cells = read_cells(run_dir / "restricted")
    found = cells_hash(cells)
    if found != facts["data_hash"]:
        raise DataError(
            "the cells are not the ones this run was made from", where=str(run_dir / "restricted"), expected=facts["data_hash"],
            found=found, fix=AGAIN,
        )  # fmt: skip
    return Context(loaded, cells.cell, cells.cell_overlap, found, code_version())


def _of_extract(study: str, source: Source, workers: int, progress: Any) -> Context:
    with scratch_folder() as scratch:
        state = Run(load_study(study), scratch, progress, workers, source)
        cells_of(state)
        return state.context


def _print(summary: pd.DataFrame, found: pd.DataFrame, context: Context) -> None:
    """Rejection rates of true nulls in percent, beside the plan's alpha: one block a question."""
    table = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    widths = {"question and method": 20, "estimate": 8, "worst case": 11, "setting": 20, "vary": 4, "date": 4, "power": 5}
    for name, width in widths.items():
        left = name in ("question and method", "setting")
        most = width if name == "setting" else None
        table.add_column(name, no_wrap=True, min_width=width, max_width=most, justify="left" if left else "right")
    ok = summary[summary["status"] == "ok"]
    for (analysis, measure), part in ok.groupby(["analysis_id", "measure_id"], sort=False):
        arms = f"{part['n_treated_clusters'].iloc[0]} of {part['n_clusters'].iloc[0]}"
        table.add_row(f"[bold]{measure}, {arms}[/bold]", "", "", f"[bold]{analysis}[/bold]")
        for row in part.to_dict("records"):
            table.add_row(
                f"  {row['inference']}", _percent(row["at_estimate"]),
                f"{_percent(row['worst'])} ({_percent(row['worst_error'])}){'*' if row['too_often'] else ' '}",
                str(row["worst_setting"]).replace("_", " "), _percent(row["varying"]), _percent(row["placebo_date"]),
                _percent(row["power"]),
            )  # fmt: skip
    if len(table.rows):
        console.print(table)
        console.print(_note(int(found["draws"].max()), context), style="dim")
    for row in summary[summary["status"] != "ok"].to_dict("records"):
        console.print(
            f"{row['analysis_id']}, {row['measure_id']}, {row['inference']}: not available, {row['reason']}", markup=False
        )


def _note(draws: int, context: Context) -> str:
    alpha = f"{100 * context.study.inference.alpha:g}"
    return (
        f"Percent of {draws:,} draws a setting in which a method rejects at {alpha}% though nothing happened; in brackets the "
        "Monte Carlo error, * clearly too often. estimate: shocks as estimated from baseline years; worst case: over all "
        "settings without effects; vary: effects that vary around zero; date: placebo launch in the study's own baseline "
        "data (one data set); power: at the plan's meaningful change."
    )


def _percent(value: Any) -> str:
    return "" if value is None or value != value else f"{100 * float(value):.1f}"
