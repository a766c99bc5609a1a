"""The toolkit's own side: each job a thing to measure, run by `measure.measure` in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.timing import Job, run_job

Spec = Mapping[str, Any]
Pair = tuple[Callable[[], Any], Callable[[Any], Any]]


def scan(spec: Spec) -> Pair:
    """The bare scan of the columns that the cells need, or of all: no join, no filter, one aggregate of each column."""
    import duckdb
    from p4equity.extract import open_extract

    from bench.columns import CELLS, all_columns, scan_queries

    extract = open_extract(Path(spec["data"]))
    columns = CELLS if spec["columns"] == "cells" else all_columns(extract)
    queries = scan_queries(extract, columns, spec["scan"])

    def work() -> None:
        with duckdb.connect(config={"threads": spec["threads"]}) as db:
            for query in queries:
                db.sql(query).fetchall()

    return work, lambda _: {"tables": len(queries), "columns": sum(len(names) for t, names in columns.items() if extract.has(t))}


def cells(spec: Spec) -> Pair:
    """`build_cells` on an extract, from opening it to the tables in memory."""
    from p4equity.cells import build_cells
    from p4equity.dictionary import load_dictionary
    from p4equity.extract import open_extract
    from p4equity.study import load_study

    study, dictionary = load_study(spec["study"]), load_dictionary()

    def work() -> Any:
        return build_cells(open_extract(Path(spec["data"]), dictionary), study, dictionary, threads=spec["threads"])

    return work, lambda tables: {name: len(frame) for name, frame in tables.items()}


def validation(spec: Spec) -> Pair:
    """`validate` on an extract, from opening it to the report."""
    from p4equity.dictionary import load_dictionary
    from p4equity.extract import open_extract
    from p4equity.study import load_study
    from p4equity.validate import validate

    study, dictionary = load_study(spec["study"]), load_dictionary()

    def work() -> Any:
        return validate(open_extract(Path(spec["data"]), dictionary, to_validate=True), study, dictionary)

    return work, lambda found: {"problems": len(found.problems)}


def cells_command(spec: Spec) -> Pair:
    """`p4equity cells`: a new process that validates the extract and leaves cells on disk."""
    begin = "import sys; from p4equity.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", begin, "cells", spec["data"], "--study", spec["study"], "--out", spec["out"]]

    def work() -> None:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)

    return work, lambda _: None


def members(spec: Spec) -> Pair:
    """Rows of members of the primary question, and of one measure in all years, for the libraries that need them."""
    from p4equity.dictionary import load_dictionary
    from p4equity.extract import open_extract
    from p4equity.study import load_study

    from bench.members import write_members
    from bench.question import primary_question, staggered_question

    study, dictionary = load_study(spec["study"]), load_dictionary()
    extract = open_extract(Path(spec["data"]), dictionary)
    asked = {"primary": primary_question(study), "staggered": staggered_question(study)}

    return lambda: write_members(extract, study, dictionary, asked, Path(spec["out"])), lambda rows: rows


def primary(spec: Spec) -> Pair:
    """The primary regression from cells on disk: read, add up, fit."""
    from p4equity.study import load_study

    from bench.regressions import primary_from_cells

    study = load_study(spec["study"])
    return lambda: primary_from_cells(Path(spec["cells"]), study, spec), lambda found: found


def group_time(spec: Spec) -> Pair:
    """Group-time effects from cells on disk: read, add up, estimate."""
    from p4equity.study import load_study

    from bench.regressions import group_time_from_cells

    study = load_study(spec["study"])
    return lambda: group_time_from_cells(Path(spec["cells"]), study), lambda found: found


def bootstrap(spec: Spec) -> Pair:
    """The restricted wild bootstrap of every contracted measure and group on its panel of gaps."""
    from bench.regressions import bootstrap_gaps

    return lambda: bootstrap_gaps(Path(spec["gaps"]), spec["draws"]), lambda found: found


def gaps(spec: Spec) -> Pair:
    """Panels of gaps of every contracted measure and group, as Parquet, for both bootstraps."""
    from p4equity.study import load_study

    from bench.regressions import gap_panels

    study = load_study(spec["study"])
    return lambda: gap_panels(Path(spec["cells"]), study, Path(spec["out"])), lambda rows: rows


def plan_permutations(spec: Spec) -> Pair:
    """All permutations that the primary plan registers."""
    from p4equity.evaluation.primary import primary_permutations

    context = _context(spec)
    return lambda: primary_permutations(context()), lambda rows: {"rows": len(rows)}


def plan_bootstraps(spec: Spec) -> Pair:
    """The registered draws of the restricted wild bootstrap for every primary row."""
    from p4equity.evaluation.primary import primary_bootstraps

    context = _context(spec)
    return lambda: primary_bootstraps(context()), lambda frames: {"rows": len(frames)}


def _context(spec: Spec) -> Callable[[], Any]:
    """A fresh context for each repetition: nothing that an earlier one computed is kept."""
    from p4equity.cells import read_cells
    from p4equity.evaluation.context import Context
    from p4equity.study import load_study
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    study, tables = load_study(spec["study"]), read_cells(Path(spec["cells"])).numeric()
    return lambda: Context(study, tables.cell, tables.cell_overlap, "", "")


def simulation(spec: Spec) -> Pair:
    """A synthetic extract."""
    from p4equity.study import load_study
    from p4equity.synthetic import simulate

    study = load_study(spec["study"])

    def work() -> None:
        simulate(study, Path(spec["out"]), members=spec["members"], seed=spec["seed"], workers=spec["threads"])

    return work, lambda _: {"bytes": sum(f.stat().st_size for f in Path(spec["out"]).rglob("*") if f.is_file())}


def whole_run(spec: Spec) -> Pair:
    """`run` on an extract: validation to the rendered report and its briefings."""
    from p4equity.pipeline import run

    def work() -> Any:
        with tempfile.TemporaryDirectory(dir=spec["out"]) as target:
            outcome = run(spec["study"], data=Path(spec["data"]), out=Path(target) / "run", workers=spec["threads"])
            return outcome, _answered(outcome.folder)

    def answer(found: tuple[Any, dict[str, float]]) -> dict[str, Any]:
        outcome, answered = found
        return {"stages": dict(outcome.seconds), "failed_gates": list(outcome.failed_gates), "answered": answered}

    return work, answer


def _answered(folder: Path) -> dict[str, float]:
    """Rows of a run's estimates that have an answer, and the systems behind the average one."""
    import pandas as pd

    rows = pd.read_csv(folder / "estimates.csv", usecols=["status", "n_clusters"])
    answers = rows[rows["status"] == "ok"]
    return {"rows": len(answers), "systems": float(answers["n_clusters"].mean())}


JOBS: dict[str, Job] = {
    job.__name__: job
    for job in (
        scan, cells, validation, cells_command, members, primary, group_time, bootstrap, gaps, plan_permutations, plan_bootstraps,
        simulation, whole_run,
    )
}  # fmt: skip

if __name__ == "__main__":
    run_job(JOBS)
