"""The stages of a run: what each reads, what it writes, its work. They hand each other files, so that any can be the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p4equity.places import whole
from p4equity.resources import notebooks_dir
from p4equity.run_state import Run

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.study import Study

OPTIONS, EXTRACT, ABOUT = "options", "extract", "about"  # what stages read beside the output of others; see `Run.inputs`
SMALL_TABLES = ("stratified_report", "ta_participation", "grant", "survey_response", "interview", "interview_code")
CELL_TABLES = (
    "cell", "cell_overlap", "cell_profile", "cell_flow", "cell_age", "cell_probability", "cell_self_report", "cell_history",
    "race_bin",
)  # fmt: skip
CELLS = tuple(f"restricted/{name}.parquet" for name in CELL_TABLES)
DIAGNOSTICS, ESTIMATES, CALIBRATION = (f"restricted/{name}.parquet" for name in ("diagnostic", "estimate", "calibration"))


@dataclass(frozen=True)
class Stage:
    """One step of a run: `reads` names other stages or outside inputs, `writes` files and folders of the run's folder."""

    name: str
    work: Callable[[Run], None]
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def cell_stages(run: Run) -> list[Stage]:
    """From an extract of any tier, a synthetic one that is made first, or a published panel to cells."""
    if run.published:
        return [Stage("cells", _published_cells, (), CELLS)]
    made = [] if run.source.data is not None else [Stage("simulate", _simulate, (OPTIONS,), ("extract",))]
    return [
        *made, Stage("validate", _validate, (EXTRACT,), ("validation.json",)), Stage("cells", _cells, (EXTRACT,), CELLS),
    ]  # fmt: skip


def result_stages(run: Run) -> list[Stage]:
    """From cells to disclosure-checked tables."""
    asks = () if run.published else (EXTRACT,)  # the small tables and a synthetic extract's truth
    known = ("cells", "diagnose", "estimate", "calibrate")
    return [
        Stage("diagnose", _diagnose, ("cells",), (DIAGNOSTICS,)),
        Stage("estimate", _estimate, ("cells", "diagnose"), (ESTIMATES,)),
        Stage("calibrate", _calibrate, ("cells",), (CALIBRATION,)),
        Stage("disclosure", _disclosure, (*asks, *known), ("results", "estimates.csv", "diagnostics.csv")),
    ]


def report_stages(study: Study) -> list[Stage]:
    """Exhibits, the report in its three formats, then one confidential briefing a participating system."""
    shown = (ABOUT, "disclosure", "exhibits")
    documents = ("report.html", "report.pdf", "report.docx", "in_text_numbers.csv", "notebooks", "report.json")
    stages = [
        Stage("exhibits", _exhibits, (ABOUT, "disclosure"), ("exhibits",)),
        Stage("report", _report, shown, documents),
    ]
    if study.groups.compared and (notebooks_dir() / "briefing_system.ipynb").is_file():
        stages.append(Stage("briefings", _briefings, shown, ("briefings", "report.json")))
    return stages


def _simulate(run: Run) -> None:
    from p4equity.synthetic import simulate

    made, said = run.source, run.steps("simulate")
    simulate(
        run.study, run.folder / "extract", members=made.members, seed=made.seed, scenario=made.scenario, workers=run.workers,
        progress=lambda done, blocks: said("blocks", done, blocks),
    )  # fmt: skip


def _validate(run: Run) -> None:
    """Keep the report on the extract; raise DataError when there are problems."""
    from p4equity.dictionary import load_dictionary
    from p4equity.validate import validate

    found = validate(run.extract, run.study, load_dictionary(), threads=run.workers)
    found.write_json(run.folder / "validation.json")
    # The working folder goes away when a first stage fails; the report on what to mend stays beside the target until all is well.
    kept = run.target.with_name(f"{run.target.name}.validation.json") if run.target is not None else None
    if kept is not None and found.ok:
        kept.unlink(missing_ok=True)
    elif kept is not None:
        found.write_json(kept)
    found.raise_for_problems(kept)


def _cells(run: Run) -> None:
    from p4equity.cells import build_cells, read_cells, write_cells
    from p4equity.cells.arms import check_arms
    from p4equity.dictionary import load_dictionary

    source = run.source
    if run.extract.tier == "B":
        cells = read_cells(run.extract)
    else:
        cells = build_cells(
            run.extract, run.study, load_dictionary(), engine=source.engine, engine_url=source.engine_url, threads=run.workers
        )
    check_arms(run.study, cells.cell)
    write_cells(cells, run.folder / "restricted")


def _published_cells(run: Run) -> None:
    from p4equity.cells import value_cells, write_cells
    from p4equity.cells.arms import check_arms

    cells = value_cells(run.study)
    check_arms(run.study, cells.cell)
    write_cells(cells, run.folder / "restricted")


def _diagnose(run: Run) -> None:
    from p4equity.diagnostics import diagnose

    _keep(diagnose(run.context, run.cells.cell_profile), run, DIAGNOSTICS)


def _estimate(run: Run) -> None:
    from p4equity.evaluation import evaluate

    found = evaluate(run.context, failed=run.failed, workers=run.workers, progress=run.steps("estimate"))
    _keep(found, run, ESTIMATES)


def _calibrate(run: Run) -> None:
    from p4equity.calibration import calibration_table

    _keep(calibration_table(run.context, workers=run.workers, progress=run.steps("calibrate")), run, CALIBRATION)


def _disclosure(run: Run) -> None:
    """Result tables after disclosure control, in `results/`; estimates and diagnostics also at the top."""
    from p4equity.results import write_csv
    from p4equity.summaries.planted import planted_table
    from p4equity.tables import result_tables

    small = {} if run.published else {name: _small(run, name) for name in SMALL_TABLES if run.extract.has(name)}
    estimates, diagnostics = run.table("estimate"), run.table("diagnostic")
    tables = result_tables(run.context, run.cells, small, estimates, diagnostics) | {"calibration": run.table("calibration")}
    truth = None if run.published else run.extract.truth()
    if truth is not None and run.study.groups.compared:
        tables["planted"] = planted_table(run.context, truth)
    (run.folder / "results").mkdir()
    for name, frame in tables.items():
        write_csv(frame, run.folder / "results" / f"{name}.csv")
    for name in ("estimates", "diagnostics"):
        write_csv(tables[name], run.folder / f"{name}.csv")


def _small(run: Run, name: str) -> pd.DataFrame:
    import duckdb

    with duckdb.connect() as connection:
        run.extract.attach(connection)
        frame: pd.DataFrame = connection.sql(f"SELECT * FROM {run.extract.relation(name)} ORDER BY ALL").df()
    return frame


def _keep(frame: pd.DataFrame, run: Run, path: str) -> None:
    with whole(run.folder / path) as part:
        frame.to_parquet(part)


def _exhibits(run: Run) -> None:
    from p4equity.exhibits import write_exhibits
    from p4equity.results import read_results

    results = read_results(run.folder / "results", run.study, masked=run.masked, synthetic=run.about["synthetic"])
    write_exhibits(results, run.folder / "exhibits", workers=run.workers)


def _report(run: Run) -> None:
    from p4equity.report import render_report

    sections = run.study.report.sections
    wanted = [notebook for name in sections for notebook in sorted(notebooks_dir().glob(f"[0-9][0-9]_{name}.ipynb"))]
    synthetic = run.about["synthetic"]
    render_report(
        run.folder, run.study, wanted, edition="synthetic" if synthetic else "", mask_systems=run.masked, synthetic=synthetic,
        workers=run.workers, progress=run.steps("report"),
    )  # fmt: skip


def _briefings(run: Run) -> None:
    from p4equity.report import DocumentJob, render_documents

    notebook = notebooks_dir() / "briefing_system.ipynb"
    jobs = [
        DocumentJob(
            notebook,
            run.folder / "briefings" / f"briefing_{s.id}",
            {"system_id": s.id, "mask_systems": run.masked, "audience": "confidential"},
        )
        for s in run.study.arm_systems("participating")
    ]
    render_documents(
        run.folder, jobs, study=run.study, formats=("html", "pdf"), synthetic=run.about["synthetic"], workers=run.workers,
        progress=run.steps("briefings"),
    )  # fmt: skip
