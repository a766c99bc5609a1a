"""The report stage: run the notebooks of a run, compose them, write every face of the document."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from p4equity.errors import UsageError
from p4equity.report.compose import Document, compose
from p4equity.report.facts import Facts, facts_of, is_synthetic, write_context
from p4equity.report.pandoc import to_docx, to_html, to_pdf
from p4equity.report.run_notebooks import Job, Progress, failed_beside, run_jobs

if TYPE_CHECKING:
    from p4equity.study import Study

FORMATS = ("html", "pdf", "docx")


@dataclass(frozen=True)
class RenderedReport:
    """What was written: `paths` by kind (html, pdf, docx, in_text_numbers), seconds by step, all rows looked up."""

    paths: Mapping[str, Path]
    timings: Mapping[str, float]
    row_ids: tuple[str, ...]


@dataclass(frozen=True)
class DocumentJob:
    """One document of its own from one notebook, such as a system's briefing; `out_stem` is a path without suffix."""

    notebook: Path
    out_stem: Path
    parameters: Mapping[str, object] = field(default_factory=dict)


def render_report(
    run_dir: Path,
    study: Study,
    notebooks: Sequence[Path],
    *,
    edition: str,
    audience: str = "public",
    mask_systems: bool = True,
    progress: Progress | None = None,
    synthetic: bool | None = None,
    workers: int = 2,
) -> RenderedReport:
    """Run the section notebooks and write `RUN/report.{html,pdf,docx}` and `RUN/in_text_numbers.csv`.

    `synthetic` None asks the run's manifest, then the study. Raises UsageError for wrong parameters, P4Error when a
    notebook, the cross references, the alt texts or the typesetting fail; what stood there before is then left as it
    was.
    """
    if not notebooks:
        raise UsageError("a report needs at least one section notebook", where="notebooks")
    facts = _prepare(run_dir, study, edition=edition, audience=audience, synthetic=synthetic)
    parameters = {"run_dir": "..", "edition": edition, "audience": audience, "mask_systems": mask_systems}
    jobs = [Job(path, path.stem, parameters) for path in notebooks]
    started = time.perf_counter()
    executed = run_jobs(jobs, run_dir / "notebooks", workers=workers, progress=progress)
    timings = {f"notebook {job.name}": done.seconds for job, done in zip(jobs, executed, strict=True)}
    timings["notebooks"] = time.perf_counter() - started
    document = compose([done.path for done in executed], facts)
    paths, spent = _write(document, facts, run_dir, run_dir / "report", FORMATS)
    paths["in_text_numbers"] = _write_numbers(document, run_dir / "in_text_numbers.csv")
    return RenderedReport(paths, {**timings, **spent}, document.row_ids)


def render_document(
    run_dir: Path,
    notebook: Path,
    out_stem: Path,
    parameters: Mapping[str, object],
    *,
    study: Study,
    edition: str = "",
    formats: Sequence[str] = ("html", "pdf"),
) -> RenderedReport:
    """One document from one notebook; its first heading is the title. The notebook's `run_dir` is filled in."""
    job = DocumentJob(notebook, out_stem, parameters)
    return render_documents(run_dir, [job], study=study, edition=edition, formats=formats)[0]


def render_documents(
    run_dir: Path,
    jobs: Sequence[DocumentJob],
    *,
    study: Study,
    edition: str = "",
    formats: Sequence[str] = ("html", "pdf"),
    progress: Progress | None = None,
    synthetic: bool | None = None,
    workers: int = 2,
) -> list[RenderedReport]:
    """Several documents of their own, notebooks two at a time; executed copies beside the documents in `notebooks/`."""
    documents = []
    for folder in dict.fromkeys(job.out_stem.parent for job in jobs):
        here = [job for job in jobs if job.out_stem.parent == folder]
        out = folder / "notebooks"
        up = Path(*[".."] * len(out.resolve().relative_to(run_dir.resolve()).parts)).as_posix()
        runs = [Job(job.notebook, job.out_stem.name, {"run_dir": up, **job.parameters}) for job in here]
        audience = str(here[0].parameters.get("audience", "public"))
        facts = _prepare(run_dir, study, edition=edition, audience=audience, synthetic=synthetic)
        executed = run_jobs(runs, out, workers=workers, progress=progress, failed_dir=failed_beside(run_dir))
        for job, done in zip(here, executed, strict=True):
            document = compose([done.path], facts, title_from_heading=True)
            paths, spent = _write(document, facts, run_dir, job.out_stem, formats)
            documents.append(RenderedReport(paths, {"notebook": done.seconds, **spent}, document.row_ids))
    return documents


def _prepare(run_dir: Path, study: Study, *, edition: str, audience: str, synthetic: bool | None) -> Facts:
    if not (run_dir / "results").is_dir():
        raise UsageError("not a run", where=str(run_dir), expected="a folder with results/", fix="make one with: p4equity run")
    made = is_synthetic(run_dir, study) if synthetic is None else synthetic
    write_context(run_dir, study, edition=edition, synthetic=made)
    return facts_of(study, run_dir, edition=edition, synthetic=made, audience=audience)


def _write(
    document: Document, facts: Facts, run_dir: Path, stem: Path, formats: Sequence[str]
) -> tuple[dict[str, Path], dict[str, float]]:
    """All formats at once, each under a temporary name first; they are put in place only when every one succeeded."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    source = run_dir / f".{stem.name}.md"
    source.write_text(document.markdown, "utf-8")
    day = facts.report_date
    writers: dict[str, Callable[[Path], None]] = {
        "html": lambda target: to_html(source, run_dir, target),
        "pdf": lambda target: to_pdf(source, run_dir, target, day),
        "docx": lambda target: to_docx(source, run_dir, target, day, facts.banner),
    }
    temporary = {kind: stem.with_name(f".{stem.name}-part.{kind}") for kind in formats}
    try:
        with ThreadPoolExecutor(max_workers=2) as pool:
            seconds = dict(zip(formats, pool.map(lambda k: _timed(writers[k], temporary[k]), formats), strict=True))
        paths = {kind: path.replace(stem.with_name(f"{stem.name}.{kind}")) for kind, path in temporary.items()}
    finally:
        for path in (source, *temporary.values()):
            path.unlink(missing_ok=True)
    return paths, seconds


def _timed(write: Callable[[Path], None], target: Path) -> float:
    started = time.perf_counter()
    write(target)
    return time.perf_counter() - started


def _write_numbers(document: Document, path: Path) -> Path:
    """The in-text numbers as CSV: section, text, row_id."""
    lines = StringIO(newline="")
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["section", "text", "row_id"])
    writer.writerows((n.section, n.text, n.row_id) for n in document.numbers)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(lines.getvalue(), "utf-8")
    return temporary.replace(path)
