"""A run from extract to report: its stages in order, each done or taken over from an earlier attempt, then the whole folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from p4equity.engines import check_engine
from p4equity.errors import UsageError
from p4equity.places import check_place
from p4equity.resources import study_reference
from p4equity.resumption import Say, go_through, keeping_finished
from p4equity.run_folder import MANIFEST, check_target, put_in_place, sole_writer
from p4equity.run_state import Progress, Run, Source, silent
from p4equity.scratch import scratch_folder
from p4equity.stages import cell_stages, report_stages, result_stages
from p4equity.study import Study, load_study

if TYPE_CHECKING:
    from p4equity.cells import CellTables

FIRST_STUDY = "bcbsma_pay_for_equity"


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
    engine: str = "duckdb",
    engine_url: str | None = None,
    workers: int = 2,
    resume: bool = False,
    progress: Progress = silent,
    say: Say = lambda _: None,
    report: bool = True,
) -> Outcome:
    """Extract to report. Without `data`: a published panel for value studies, else a synthetic extract of the study.

    Everything is written beside the target under a temporary name and moved into place at the end. What stages finished before
    a failure stays there; with `resume` those are reused whose inputs, study, code and packages have the same content, and `say`
    is told why others are not. Raises P4Error with the exit code of the stage that failed; a failed gate is not an error here:
    it is in the outcome, after the report was written.
    """
    from p4equity.extract import data_places
    from p4equity.resources import root

    loaded = load_study(study)
    target = out or root() / "reports" / "runs" / ("demo" if loaded.id == FIRST_STUDY else loaded.id)
    check_target(target, [loaded.folder, *(data_places(Path(data)) if data is not None else ())])
    check_place(target)
    check_engine(engine, engine_url)
    _check_options(loaded, data, {"members": members, "seed": seed, "scenario": scenario})
    source = Source(data and Path(data), members, seed, scenario, engine, engine_url)
    with scratch_folder(), sole_writer(target) as working:
        state = Run(loaded, working, progress, workers, source, target)
        stages = [*cell_stages(state), *result_stages(state), *(report_stages(loaded) if report else [])]
        with keeping_finished(state, stages, resume=resume, say=say) as records:
            go_through(state, stages, records, say)
            failed = tuple(sorted({gate for scope in state.failed.values() for gate in scope}))
            _finish(state)
            put_in_place(working, target)
    return Outcome(target, state.seconds, failed)


def _check_options(study: Study, data: Path | None, synthetic: Mapping[str, object]) -> None:
    """Refuse options of the synthetic extract where none is made."""
    given = [f"--{name}" for name, value in synthetic.items() if value is not None]
    if given and (data is not None or study.data.kind == "value"):
        raise UsageError(
            "options of the synthetic extract, but none is made", where=", ".join(given),
            expected="no such option " + ("beside --data" if data is not None else "for a study of published aggregates"),
            fix="leave them out",
        )  # fmt: skip


def cells_of(state: Run) -> CellTables:
    """Cells of an extract, a synthetic one or a published panel, in a folder that nobody keeps: for verbs that need no more."""
    for stage in cell_stages(state):
        with state.timed(stage.name):
            stage.work(state)
    return state.cells


def render(state: Run) -> None:
    """Exhibits, report and briefings of a finished run once more; its manifest lists what was written again."""
    from p4equity.manifest import list_again, run_outputs

    before = run_outputs(state.folder)
    for stage in report_stages(state.study):
        with state.timed(stage.name):
            stage.work(state)
    list_again(state.folder, before)


def _finish(state: Run) -> None:
    from p4equity.manifest import run_outputs, write_manifest

    study = state.study
    facts = {
        "study": study.id,
        "plan_hash": study.plan_hash,
        "data_hash": state.context.data_hash,
        "seconds": state.seconds,
        "reused": state.reused,
        "disclosure_threshold": study.disclosure.threshold,
        "outputs": run_outputs(state.folder),
        **state.about,
    }
    reference = study_reference(study.folder, state.folder)
    if reference != study.id:
        facts["study_folder"] = reference
    write_manifest(state.folder / MANIFEST, facts)
