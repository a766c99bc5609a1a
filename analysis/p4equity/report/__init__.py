"""The report: notebooks to one self-contained HTML, a tagged PDF/UA-1 and a DOCX."""

from __future__ import annotations

from p4equity.report.render import DocumentJob, RenderedReport, render_document, render_documents, render_report
from p4equity.report.run_notebooks import Executed, Job, run_jobs, run_notebooks

__all__ = [
    "DocumentJob",
    "Executed",
    "Job",
    "RenderedReport",
    "render_document",
    "render_documents",
    "render_report",
    "run_jobs",
    "run_notebooks",
]
