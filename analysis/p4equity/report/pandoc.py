"""Calling pandoc and Typst: three faces of one Markdown document, without network, the same bytes each time."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

from p4equity.errors import P4Error
from p4equity.report.word import with_header
from p4equity.resources import theme_dir

# Raw HTML in prose is no part of the format: what cannot be shown in all three faces should not be written.
READER = "markdown-raw_html-raw_tex-implicit_figures+pipe_tables+bracketed_spans+fenced_divs"


def to_html(markdown: Path, root: Path, target: Path) -> None:
    """One self-contained HTML file: style sheet and figures inside, MathML, no script, no outside address."""
    theme = theme_dir()
    _pandoc(
        markdown, root, "html5", target,
        f"--template={theme / 'report.html'}", f"--css={theme / 'report.css'}", "--embed-resources", "--mathml",
        "--toc", "--toc-depth=3",
    )  # fmt: skip
    text = target.read_text("utf-8")
    target.write_text(re.sub(r'(<a href="#[^"]*") id="toc-[^"]*"', r"\1", text), "utf-8")  # the contents stand there twice


def to_docx(markdown: Path, root: Path, target: Path, day: date, status: str = "") -> None:
    """A Word document for comments; `day` becomes the date in the file, `status` stands in the header of every page."""
    reference = target.with_name(f".{target.stem}-reference.docx")
    options = ["--toc", "--toc-depth=2"]
    try:
        if status:
            reference.write_bytes(with_header(_plain_docx(), status))
            options.append(f"--reference-doc={reference.resolve()}")
        _pandoc(markdown, root, "docx", target, *options, day=day)
    finally:
        reference.unlink(missing_ok=True)


def to_pdf(markdown: Path, root: Path, target: Path, day: date) -> None:
    """A tagged PDF/UA-1 through Typst, fonts embedded from Typst itself, dated `day`.

    Raises P4Error with Typst's own diagnostic, for example for an image without alt text.
    """
    import typst

    source = root / f".{target.stem}.typ"
    _pandoc(markdown, root, "typst-citations", source, f"--template={theme_dir() / 'report.typ'}")
    text = source.read_text("utf-8")
    source.write_text(text.replace("align(center)[#table(", "align(left)[#table("), "utf-8")  # tables written in prose
    try:
        typst.compile(
            source,
            output=target,
            root=root,
            ignore_system_fonts=True,
            pdf_standards=["ua-1"],
            timestamp=datetime(day.year, day.month, day.day, tzinfo=UTC),
        )
    except typst.TypstError as error:
        raise P4Error("Typst could not set the PDF", where=target.name, found=error.diagnostic or str(error)) from error
    finally:
        if not os.environ.get("P4EQUITY_KEEP_TYPST"):
            source.unlink(missing_ok=True)


@cache
def _executable() -> str:
    import pypandoc

    return str(pypandoc.get_pandoc_path())


@cache
def _plain_docx() -> bytes:
    """The reference document that comes with pandoc."""
    command = [_executable(), "--print-default-data-file", "reference.docx"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def _pandoc(markdown: Path, root: Path, writer: str, target: Path, *options: str, day: date | None = None) -> None:
    theme = theme_dir()
    environment = dict(os.environ)
    if day is not None:
        environment["SOURCE_DATE_EPOCH"] = str(int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()))
    command = [
        _executable(), str(markdown.resolve()), f"--from={READER}", f"--to={writer}", f"--output={target.resolve()}",
        "--standalone", "--wrap=none",
        f"--lua-filter={theme / 'filters' / 'report.lua'}", "--citeproc", f"--bibliography={theme / 'references.json'}",
        f"--resource-path={root.resolve()}", *options,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise P4Error("pandoc could not write the document", where=target.name, found=_message(done.stderr))
    unknown = re.findall(r"\[WARNING\] Citeproc: citation (\S+) not found", done.stderr)
    if unknown:
        raise P4Error(
            "unknown citation",
            where=", ".join(sorted(set(unknown))),
            expected="a key of reports/theme/references.json",
            fix="add it there",
        )


def _message(stderr: str) -> str:
    """The filter's own words, without Lua's stack trace."""
    found = re.search(r"p4equity: (.*)", stderr)
    return found.group(1).strip() if found else stderr.strip()
