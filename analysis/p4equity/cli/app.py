"""The verbs of `p4equity`. Heavy imports happen inside the verbs, so that --help is quick."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from p4equity.cli.options import FIRST, CellsOf, Data, DataOption, Engine, EngineUrl, Resume, RunStudy, Study, Workers

# One thread for linear algebra, set before numpy is imported: the last digits must not depend on the number of cores.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False,
    help="Evaluate a payer's pay-for-equity contracts: from an extract to the external evaluation report.",
)  # fmt: skip


@app.command()
def run(
    study: Study = FIRST,
    data: DataOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the run goes. Default: reports/runs/demo (other studies: their id).")
    ] = None,
    members: Annotated[int | None, typer.Option(min=1000, help="Members of the synthetic extract.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the synthetic extract.")] = None,
    scenario: Annotated[str | None, typer.Option(help="Scenario of the synthetic extract (truth.toml).")] = None,
    engine: Engine = "duckdb",
    engine_url: EngineUrl = None,
    workers: Workers = 2,
    resume: Resume = False,
) -> None:
    """Extract to report: validate, cells, diagnostics, estimates, disclosure, exhibits, report."""
    from p4equity.cli.progress import show_progress, tell
    from p4equity.pipeline import run as run_pipeline

    with show_progress() as progress:
        outcome = run_pipeline(
            study, data, out, members=members, seed=seed, scenario=scenario, engine=engine, engine_url=engine_url,
            workers=workers, resume=resume, progress=progress, say=tell,
        )  # fmt: skip
    _say_where(outcome.folder, outcome.seconds, outcome.failed_gates)


@app.command()
def simulate(
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder to write to: a new or empty one, or an earlier synthetic extract, which is replaced."),
    ],
    study: Study = FIRST,
    members: Annotated[int | None, typer.Option(min=1000, help="Default: the study's own size.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Default: the study's own seed.")] = None,
    scenario: Annotated[str | None, typer.Option(help="A scenario of truth.toml: default, clean, ...")] = None,
    workers: Workers = 2,
) -> None:
    """Write a synthetic extract (tier C) and its truth.json."""
    from p4equity.cli.progress import show_progress
    from p4equity.study import load_study
    from p4equity.synthetic import simulate as write

    with show_progress() as progress:
        write(
            load_study(study), out, members=members, seed=seed, scenario=scenario, workers=workers,
            progress=lambda done, total: progress("simulate", done, total),
        )  # fmt: skip
    typer.echo(f"Wrote {out}. Next: p4equity validate {out} --study {study}")


@app.command()
def validate(
    data: Data,
    study: Study = FIRST,
    report: Annotated[Path | None, typer.Option("--report", help="Also write the report as JSON here.")] = None,
    engine: Engine = "duckdb",
    engine_url: EngineUrl = None,
    workers: Workers = 2,
) -> None:
    """Check an extract against the data dictionary and the study: every problem in one go."""
    from p4equity.cli.progress import console
    from p4equity.dictionary import load_dictionary
    from p4equity.extract import open_extract
    from p4equity.places import check_file
    from p4equity.scratch import scratch_folder
    from p4equity.study import load_study
    from p4equity.validate import validate as check
    from p4equity.validate.terminal import print_report

    if report:
        check_file(report)
    extract = open_extract(data, load_dictionary(), to_validate=True, engine=engine, engine_url=engine_url)
    with scratch_folder():
        found = check(extract, load_study(study), load_dictionary(), threads=workers)
    if report:
        found.write_json(report)
    print_report(found, console)
    found.raise_for_problems()


@app.command()
def cells(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder of the tier-B extract to write.")],
    study: Study = FIRST,
    engine: Engine = "duckdb",
    engine_url: EngineUrl = None,
    workers: Workers = 2,
) -> None:
    """Aggregate an extract to analytic cells: the folder written is itself an extract of tier B (restricted)."""
    from p4equity.cli.stages import write_tier_b

    write_tier_b(study, data, out, workers, engine, engine_url)
    typer.echo(
        f"Wrote {out} (tier B, not disclosure-checked: keep it restricted). Next: p4equity run --study {study} --data {out}"
    )


@app.command()
def diagnose(data: Data, study: Study = FIRST, engine: Engine = "duckdb", url: EngineUrl = None, workers: Workers = 2) -> None:
    """Run the effect-blind gates alone and print their verdicts."""
    from p4equity.cli.stages import print_gates
    from p4equity.run_state import Source

    print_gates(study, Source(data, engine=engine, engine_url=url), workers)


@app.command()
def estimate(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder for results without a report.")],
    study: Study = FIRST,
    engine: Engine = "duckdb",
    engine_url: EngineUrl = None,
    workers: Workers = 2,
    resume: Resume = False,
) -> None:
    """Everything up to the disclosure-checked result tables, without exhibits and report."""
    from p4equity.cli.progress import show_progress, tell
    from p4equity.pipeline import run as run_pipeline

    with show_progress() as progress:
        outcome = run_pipeline(
            study, data, out, engine=engine, engine_url=engine_url, workers=workers, resume=resume, progress=progress, say=tell,
            report=False,
        )  # fmt: skip
    typer.echo(f"Results in {outcome.folder / 'results'}. Next: p4equity render {outcome.folder}")
    _stop_on_failed(outcome.folder, outcome.failed_gates)


@app.command()
def render(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    study: RunStudy = None,
    workers: Workers = 2,
) -> None:
    """Make exhibits and report of a finished run again."""
    from p4equity.cli.progress import show_progress
    from p4equity.cli.stages import render_again

    with show_progress() as progress:
        render_again(run_dir, study, workers, progress)
    _say_where(run_dir, {}, ())


@app.command()
def power(data: Data, study: Study = FIRST, engine: Engine = "duckdb", url: EngineUrl = None, workers: Workers = 2) -> None:
    """Detectable effects, pooled and by measure and group, from sampling variances and baseline gaps: no effect is looked at."""
    from p4equity.cli.stages import print_power
    from p4equity.run_state import Source

    print_power(study, Source(data, engine=engine, engine_url=url), workers)


@app.command()
def calibrate(
    study: RunStudy = None,
    run_dir: CellsOf = None,
    data: DataOption = None,
    draws: Annotated[int, typer.Option("--draws", min=20, help="Simulated data sets a setting.")] = 10_000,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the whole table as CSV here.")] = None,
    engine: Engine = "duckdb",
    engine_url: EngineUrl = None,
    workers: Workers = 2,
) -> None:
    """How often each method rejects a true null on this study's own cells, its coverage and power: no effect is looked at."""
    from p4equity.cli.calibration import print_calibration
    from p4equity.run_state import Source

    source = Source(data, engine=engine, engine_url=engine_url)
    print_calibration(study or FIRST if run_dir is None else study, run_dir, source, draws, out, workers)


@app.command()
def release(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    edition: Annotated[Path, typer.Argument(metavar="EDITION", help="Folder of the edition to write.")],
    study: RunStudy = None,
) -> None:
    """Check a run for disclosure and copy what may leave into an edition. Fails on a leak."""
    from p4equity.finished import whole_facts
    from p4equity.places import check_place
    from p4equity.release import release as make
    from p4equity.verify import can_be_verified

    check_place(edition)
    whole_facts(run_dir, "tier")
    files = make(run_dir, edition, study)
    again = f"verify {edition}" if can_be_verified(run_dir) else f"compare {run_dir} {edition}"
    typer.echo(f"Released {len(files)} files to {edition}. Next: p4equity {again}")


@app.command()
def verify(
    edition: Annotated[Path, typer.Argument(metavar="EDITION", help="A released edition.")],
    study: RunStudy = None,
    workers: Workers = 2,
) -> None:
    """Run an edition of synthetic or published data again and judge every number."""
    from p4equity.cli.progress import show_progress
    from p4equity.verify import print_comparison
    from p4equity.verify import verify as again

    with show_progress() as progress:
        comparison = again(edition, study=study, workers=workers, progress=progress)
    print_comparison(comparison)
    comparison.raise_for_differences()


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run or an edition.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    tolerance: Annotated[float, typer.Option(help="Largest relative difference that counts as equal.")] = 1e-8,
) -> None:
    """Which numbers differ between two runs, row by row; provenance columns are not compared."""
    from p4equity.verify import compare as judge
    from p4equity.verify import print_comparison

    comparison = judge(first, second, tolerance)
    print_comparison(comparison)
    comparison.raise_for_differences()


@app.command()
def explain(
    row_id: Annotated[str, typer.Argument(metavar="ROW_ID", help="A row of estimates.csv.")],
    run_dir: Annotated[Path | None, typer.Option("--run", help="Default: reports/runs/demo.")] = None,
    study: RunStudy = None,
) -> None:
    """How one number was made: question, specification, cells, code version."""
    from p4equity.explain import explain as tell

    tell(row_id, run_dir, study)


@app.command("new-study")
def new_study(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to create.")]) -> None:
    """A commented, runnable starting point for another program."""
    from p4equity.scaffold import new_study as write

    write(folder)
    typer.echo(f"Wrote {folder}. Next: edit {folder / 'study.toml'}, then p4equity run --study {folder} --out {folder / 'run'}")


def _say_where(folder: Path, seconds: object, failed: object) -> None:
    from p4equity.cli.progress import console

    shown = Path(os.path.relpath(folder))
    console.print(f"\n[bold]Report:[/bold] {shown / 'report.html'}   (also report.pdf, report.docx)")
    console.print(f"[bold]Numbers:[/bold] {shown / 'estimates.csv'}, {shown / 'diagnostics.csv'}, {shown / 'exhibits'}")
    if isinstance(seconds, dict) and seconds:
        console.print("[dim]" + ", ".join(f"{k} {v:.1f} s" for k, v in seconds.items()) + "[/dim]")
    _stop_on_failed(folder, failed)


def _stop_on_failed(folder: Path, failed: object) -> None:
    from p4equity.errors import DiagnosticsFailed

    if isinstance(failed, tuple) and failed:
        raise DiagnosticsFailed(
            "a gate failed, so the rows it governs are not estimable; the results are written and say which",
            where=", ".join(str(f) for f in failed),
            expected="findings within the limits of the study's gates",
            found=f"see {Path(os.path.relpath(folder)) / 'diagnostics.csv'}",
            fix="if the analysis should stand all the same, log the decision in the study's deviations.csv and run again",
        )


def main() -> None:
    """Entry point: errors are printed plainly and set the exit code; SIGTERM is answered as Ctrl-C is."""
    from p4equity.cli.guard import guarded
    from p4equity.interrupts import end_when_asked

    end_when_asked()
    guarded(lambda: app(prog_name="p4equity"))
