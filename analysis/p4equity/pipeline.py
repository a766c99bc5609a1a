"""The stages of a run, in order: extract, validation, cells, diagnostics, estimates, disclosure, exhibits, report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p4equity.errors import DataError, UsageError
from p4equity.places import check_place
from p4equity.resources import study_reference
from p4equity.run_folder import MANIFEST, check_target, replacing
from p4equity.study import Study, load_study

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.cells import CellTables
    from p4equity.extract import Extract

FIRST_STUDY = "bcbsma_pay_for_equity"
SMALL_TABLES = ("stratified_report", "ta_participation", "grant", "survey_response", "interview", "interview_code")
Progress = Callable[[str, int, int], None]


def _silent(label: str, done: int, total: int) -> None:
    del label, done, total


@dataclass
class Run:
    """One run on its way: the study, the working folder, what each stage found, and how long it took."""

    study: Study
    folder: Path
    progress: Progress = _silent
    workers: int = 2
    target: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    truth: Mapping[str, Any] | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and announce it."""
        self.progress(name, 0, 1)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 2)
        self.progress(name, 1, 1)


@dataclass(frozen=True)
class Outcome:
    """A finished run: where it is, how long its stages took, and which gates failed (empty when all rows stand)."""

    folder: Path
    seconds: Mapping[str, float]
    failed_gates: tuple[str, ...]


def run(
    study: str | Path = FIRST_STUDY,
    data: Path | None = None,
    out: Path | None = None,
    *,
    members: int | None = None,
    seed: int | None = None,
    scenario: str | None = None,
    workers: int = 2,
    progress: Progress = _silent,
    report: bool = True,
) -> Outcome:
    """Extract to report. Without `data`: a published panel for value studies, else a synthetic extract of the study.

    Everything is written beside the target under a temporary name and moved into place at the end. Raises P4Error with the exit
    code of the stage that failed; a failed gate is not an error here: it is in the outcome, after the report was written.
    """
    from p4equity.resources import root

    loaded = load_study(study)
    target = out or root() / "reports" / "runs" / ("demo" if loaded.id == FIRST_STUDY else loaded.id)
    check_target(target, [loaded.folder, *([Path(data)] if data is not None else [])])
    check_place(target)
    _check_source(loaded, data, {"members": members, "seed": seed, "scenario": scenario})
    with replacing(target) as folder:
        state = Run(loaded, folder, progress, workers, target)
        cells, small = obtain_cells(state, data, members, seed, scenario)
        failed = analyse(state, cells, small)
        if report:
            write_report(state)
        _finish(state)
    return Outcome(target, state.seconds, tuple(failed))


def _check_source(study: Study, data: Path | None, synthetic: Mapping[str, object]) -> None:
    """Refuse a folder that is not there, and options of the synthetic extract where none is made."""
    if data is not None and not Path(data).is_dir():
        raise DataError(
            "no such folder", where=str(data), expected="a folder with an extract",
            found="a file" if Path(data).exists() else "nothing",
            fix="check the path, or make a synthetic extract with: p4equity simulate --out DIR",
        )  # fmt: skip
    given = [f"--{name}" for name, value in synthetic.items() if value is not None]
    if given and (data is not None or study.data.kind == "value"):
        raise UsageError(
            "options of the synthetic extract, but none is made", where=", ".join(given),
            expected="no such option " + ("beside --data" if data is not None else "for a study of published aggregates"),
            fix="leave them out",
        )  # fmt: skip


def obtain_cells(
    state: Run, data: Path | None, members: int | None, seed: int | None, scenario: str | None
) -> tuple[CellTables, dict[str, pd.DataFrame]]:
    """Cells from an extract of any tier, a fresh synthetic extract, or the published panel of a value study."""
    from p4equity.cells import build_cells, cells_hash, read_cells, value_cells
    from p4equity.cells.arms import check_arms
    from p4equity.dictionary import load_dictionary
    from p4equity.extract import open_extract

    study = state.study
    if data is None and study.data.kind == "value":
        with state.stage("cells"):
            cells = value_cells(study)
        check_arms(study, cells.cell)
        state.facts |= {
            "tier": "B",
            "synthetic": False,
            "data_hash": cells_hash(cells),
            "source": study.data.value.citation if study.data.value else None,
        }
        _keep_cells(state, cells)
        return cells, {}
    if data is None:
        data = _simulate(state, members, seed, scenario)
    extract = open_extract(data, load_dictionary(), to_validate=True)
    check_extract(state, extract)
    with state.stage("cells"):
        cells = (
            read_cells(extract) if extract.tier == "B" else build_cells(extract, study, load_dictionary(), threads=state.workers)
        )
    check_arms(study, cells.cell)
    state.facts |= {
        "tier": extract.tier,
        "synthetic": extract.metadata.get("synthetic") is True,
        "extract": {k: extract.metadata[k] for k in sorted(extract.metadata)},
        "data_hash": cells_hash(cells),
    }
    state.truth = extract.truth()
    _keep_cells(state, cells)
    return cells, {name: _small(extract, name) for name in SMALL_TABLES if extract.has(name)}


def _small(extract: Extract, name: str) -> pd.DataFrame:
    import duckdb

    with duckdb.connect() as connection:
        frame: pd.DataFrame = connection.sql(f"SELECT * FROM {extract.relation(name)} ORDER BY ALL").df()
    return frame


def _simulate(state: Run, members: int | None, seed: int | None, scenario: str | None) -> Path:
    from p4equity.synthetic import simulate

    target = state.folder / "extract"
    with state.stage("simulate"):
        simulate(state.study, target, members=members, seed=seed, scenario=scenario, workers=state.workers)
    return target


def check_extract(state: Run, extract: Extract) -> None:
    """Validate and keep the report; raise DataError when there are problems."""
    from p4equity.dictionary import load_dictionary
    from p4equity.validate import validate

    with state.stage("validate"):
        found = validate(extract, state.study, load_dictionary())
        found.write_json(state.folder / "validation.json")
        # The working folder goes away when a run fails; the report on what to mend stays beside the target until all is well.
        kept = state.target.with_name(f"{state.target.name}.validation.json") if state.target is not None else None
        if kept is not None and found.ok:
            kept.unlink(missing_ok=True)
        elif kept is not None:
            found.write_json(kept)
        found.raise_for_problems(kept)


def _keep_cells(state: Run, cells: CellTables) -> None:
    from p4equity.cells import write_cells

    write_cells(cells, state.folder / "restricted")


def analyse(state: Run, cells: CellTables, small: Mapping[str, pd.DataFrame]) -> list[str]:
    """Diagnostics, estimates, summaries, disclosure: from cells to `results/`. Returns the gates that failed."""
    from p4equity.calibration import calibration_table
    from p4equity.diagnostics import diagnose, failed_gates
    from p4equity.evaluation import evaluate
    from p4equity.evaluation.context import Context
    from p4equity.manifest import code_version
    from p4equity.results import write_csv
    from p4equity.summaries.planted import planted_table
    from p4equity.tables import result_tables

    study = state.study
    context = Context(study, cells.cell, cells.cell_overlap, state.facts["data_hash"], code_version())
    with state.stage("diagnose"):
        diagnostics = diagnose(context, cells.cell_profile)
    failed = failed_gates(diagnostics)
    with state.stage("estimate"):
        estimates = evaluate(
            context, failed=failed, progress=lambda name, done, total: state.progress(f"estimate {name}", done, total)
        )
    with state.stage("calibrate"):
        calibration = calibration_table(
            context, workers=state.workers, progress=lambda name, done, total: state.progress(f"calibrate {name}", done, total)
        )
    with state.stage("disclosure"):
        tables = result_tables(context, cells, small, estimates, diagnostics) | {"calibration": calibration}
        if state.truth is not None and study.groups.compared:
            tables["planted"] = planted_table(context, state.truth)
        results = state.folder / "results"
        results.mkdir()
        for name, frame in tables.items():
            write_csv(frame, results / f"{name}.csv")
        estimates.to_parquet(state.folder / "restricted" / "estimate.parquet")
        calibration.to_parquet(state.folder / "restricted" / "calibration.parquet")
    for name in ("estimates", "diagnostics"):
        shutil.copyfile(results / f"{name}.csv", state.folder / f"{name}.csv")
    return sorted({gate for scope in failed.values() for gate in scope})


def write_report(state: Run) -> None:
    """Exhibits, then the report in its three formats, then one confidential briefing a participating system."""
    from p4equity.exhibits import write_exhibits
    from p4equity.manifest import list_again, run_outputs
    from p4equity.report import render_report
    from p4equity.resources import notebooks_dir
    from p4equity.results import read_results

    study, folder = state.study, state.folder
    before = run_outputs(folder)
    masked = study.disclosure.system_names == "masked"
    results = read_results(folder / "results", study, masked=masked, synthetic=state.facts["synthetic"])
    with state.stage("exhibits"):
        write_exhibits(results, folder / "exhibits", workers=state.workers)
    wanted = [notebook for name in study.report.sections for notebook in sorted(notebooks_dir().glob(f"[0-9][0-9]_{name}.ipynb"))]
    with state.stage("report"):
        render_report(
            folder, study, wanted, edition="synthetic" if state.facts["synthetic"] else "", mask_systems=masked,
            synthetic=state.facts["synthetic"], workers=state.workers,
            progress=lambda name, done, total: state.progress(f"section {name}", done, total),
        )  # fmt: skip
    briefing = notebooks_dir() / "briefing_system.ipynb"
    if briefing.is_file() and study.groups.compared:
        with state.stage("briefings"):
            _briefings(state, briefing, masked)
    if (folder / MANIFEST).is_file():  # a finished run, rendered again
        list_again(folder, before)


def _briefings(state: Run, notebook: Path, masked: bool) -> None:
    from p4equity.report import DocumentJob, render_documents

    systems = [s.id for s in state.study.arm_systems("participating")]
    jobs = [
        DocumentJob(
            notebook,
            state.folder / "briefings" / f"briefing_{s}",
            {"system_id": s, "mask_systems": masked, "audience": "confidential"},
        )
        for s in systems
    ]
    render_documents(
        state.folder, jobs, study=state.study, formats=("html", "pdf"), synthetic=state.facts["synthetic"], workers=state.workers
    )


def _finish(state: Run) -> None:
    from p4equity.manifest import run_outputs, write_manifest

    facts = {
        "study": state.study.id,
        "plan_hash": state.study.plan_hash,
        "seconds": state.seconds,
        "disclosure_threshold": state.study.disclosure.threshold,
        "outputs": run_outputs(state.folder),
        **state.facts,
    }
    reference = study_reference(state.study.folder, state.folder)
    if reference != state.study.id:
        facts["study_folder"] = reference
    write_manifest(state.folder / MANIFEST, facts)
