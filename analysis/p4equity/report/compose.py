"""From executed notebooks to one pandoc-Markdown document, with the list of the numbers that stand in its prose."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from p4equity import words
from p4equity.errors import P4Error
from p4equity.exhibits.base import TableSpec
from p4equity.report.facts import Facts
from p4equity.section.display import LOOKUPS, block

_NUMBER = re.compile(r'\[((?:\\.|[^\]\\])*)\]\{\.num row-id="([^"]*)"\}')
_IN_TEXT = re.compile(r"^``` \{\.p4-in-text\}\n```$", re.MULTILINE)
_HEADING = re.compile(r"^# +(.+?)(?: *\{[^}]*\})? *$", re.MULTILINE)
_FENCE = re.compile(r"^``` \{\.p4-exhibit.*?^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class InTextNumber:
    """One number in prose: the section it stands in, the words printed and the row of the estimates behind it."""

    section: str
    text: str
    row_id: str


@dataclass(frozen=True)
class Document:
    """A pandoc-Markdown document with its metadata, its in-text numbers, and every row any section looked up."""

    markdown: str
    numbers: tuple[InTextNumber, ...]
    row_ids: tuple[str, ...]


def compose(notebooks: Sequence[Path], facts: Facts, *, title_from_heading: bool = False) -> Document:
    """Collect Markdown cells and Markdown outputs in order, under the document's metadata.

    With `title_from_heading` the first heading becomes the title and the others move up one level (documents of one
    notebook). Raises P4Error when a notebook shows something that has no Markdown face and would silently vanish from
    the report.
    """
    sections: list[str] = []
    looked_up: list[str] = []
    for path in notebooks:
        node = json.loads(path.read_text("utf-8"))
        sections.append("\n\n".join(_parts(node["cells"], path.name)))
        looked_up.extend(_lookups(node["cells"]))
    numbers = tuple(number for text in sections for number in _numbers(text))
    body = "\n\n".join(sections)
    body = _IN_TEXT.sub(lambda _: _listing(numbers).strip(), body)
    title = facts.title
    if title_from_heading:
        title, body = _promoted(body, facts.title)
    row_ids = tuple(dict.fromkeys([*(n.row_id for n in numbers), *looked_up]))
    return Document(f"{_metadata(facts, title, compact=title_from_heading)}\n\n{body}\n", numbers, row_ids)


def _parts(cells: Iterable[dict[str, Any]], name: str) -> Iterable[str]:
    for i, cell in enumerate(cells):
        if "hide" in cell["metadata"].get("tags", ()):
            continue
        if cell["cell_type"] == "markdown":
            yield _joined(cell["source"])
        elif cell["cell_type"] == "code":
            yield from _outputs(cell, f"{name}, cell {i + 1}")


def _outputs(cell: dict[str, Any], where: str) -> Iterable[str]:
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            continue
        data = output.get("data", {})
        if "text/markdown" not in data:
            raise P4Error(
                "an output would vanish from the report",
                where=where,
                expected="output of s.text, s.exhibit or s.table",
                found=", ".join(data) or output["output_type"],
                fix="show it through the section object, or tag the cell 'hide'",
            )
        yield _joined(data["text/markdown"])


def _lookups(cells: Iterable[dict[str, Any]]) -> Iterable[str]:
    for cell in cells:
        for output in cell.get("outputs", ()):
            yield from output.get("data", {}).get(LOOKUPS, {}).get("row_ids", ())


def _numbers(text: str) -> Iterable[InTextNumber]:
    """Numbers in prose with the first-level heading above them; exhibits keep their own row ids and are left out."""
    section = ""
    prose = _FENCE.sub("", text)
    for match in re.finditer(f"{_HEADING.pattern}|{_NUMBER.pattern}", prose, re.MULTILINE):
        heading, said, row_id = match.groups()
        if heading is not None:
            section = heading
        else:
            yield InTextNumber(section, re.sub(r"\\(.)", r"\1", said), row_id)


def _listing(numbers: Sequence[InTextNumber]) -> str:
    """The table of all in-text numbers, as the filter's fenced block."""
    if not numbers:
        return "No number in the prose comes from the estimates table."
    spec = TableSpec(
        columns=("Section", "Text", "Row of the estimates table"),
        rows=tuple((n.section, n.text, n.row_id) for n in numbers),
        align=("l", "l", "l"),
        cell_row_ids=tuple(("", n.row_id, "") for n in numbers),
    )
    title = "Numbers in the prose and the rows of the estimates table behind them"
    return block(
        {"id": "in_text_numbers", "kind": "table", "title": title, "alt": "", "footnote": "", "folded": True, **spec.to_json()},
        "",
    )


def _promoted(body: str, fallback: str) -> tuple[str, str]:
    match = _HEADING.search(body)
    title = match.group(1) if match else fallback
    if match:
        body = body[: match.start()] + body[match.end() :]
    return title, re.sub(r"^#(#+ )", r"\1", body, flags=re.MULTILINE)


def _metadata(facts: Facts, title: str, *, compact: bool) -> str:
    """The document's YAML block; texts are quoted by the YAML writer."""
    block = {
        "title": title,
        "pagetitle": re.sub(r"[*_`\[\]]", "", title),
        "short-title": facts.short_title,
        "subtitle": facts.subtitle,
        "author": facts.evaluator,
        "date": words.date(facts.report_date),
        "date-iso": facts.report_date.isoformat(),
        "year": facts.report_date.year,
        "month": facts.report_date.month,
        "day": facts.report_date.day,
        "lang": "en-US",
        "banner": facts.banner or None,
        "synthetic": facts.synthetic,
        "compact": compact,
        "transparency": [{"term": term, "value": value} for term, value in facts.transparency],
        "link-citations": True,
    }
    kept = {k: v for k, v in block.items() if v is not None}
    return f"---\n{yaml.safe_dump(kept, allow_unicode=True, sort_keys=False, width=1000)}---"


def _joined(source: str | list[str]) -> str:
    return (source if isinstance(source, str) else "".join(source)).strip("\n")
