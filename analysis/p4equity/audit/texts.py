"""Descriptions and pages as the auditor reads them: keys and columns that count people, and small numbers of people in words."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from p4equity.audit.columns import DESIGN, audit_frame, count_columns, identifiers

_HEAD = re.compile(r"(?:n|number of )?\s*(?:members|persons|people|patients|respondents)?", re.IGNORECASE)
_PEOPLE = r"(?:members?|persons?|people|patients?|respondents?)"
_BOUND = r"(?<!to )(?<!or )(?<!than )(?<!under )(?<!below )(?<!least )(?<!most )"  # "from 1 to 10 members" is a rule


def audit_json(path: Path, threshold: int) -> list[str]:
    """Small counts among the keys, the records, the tables and the sentences of a JSON file."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except ValueError:
        return ["not a document that can be checked"]
    out: list[str] = []
    for node in _nodes(document):
        if isinstance(node, dict):
            out += _record(node, threshold)
            if isinstance(node.get("columns"), list) and isinstance(node.get("rows"), list):
                out += _table(node["columns"], node["rows"], threshold)
        elif isinstance(node, str):
            out += audit_text(node, threshold)
    return sorted(set(out))


def audit_html(path: Path, threshold: int) -> list[str]:
    """Small numbers of people in the tables and sentences of a page."""
    page = re.sub(r"<(style|script|svg)\b.*?</\1>", " ", path.read_text("utf-8", errors="replace"), flags=re.DOTALL)
    out = []
    for table in re.findall(r"<table\b.*?</table>", page, flags=re.DOTALL):
        lines = re.findall(r"<tr\b.*?</tr>", table, flags=re.DOTALL)
        cells = [[_plain(c) for c in re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", line, flags=re.DOTALL)] for line in lines]
        if cells:
            out += _table(cells[0], cells[1:], threshold)
    return sorted({*out, *audit_text(_plain(page), threshold)})


def audit_text(text: str, threshold: int) -> list[str]:
    """A sentence that gives a number of people under the threshold."""
    small = "|".join(str(n) for n in range(1, threshold))
    found = re.search(rf"(?<![\d.,:–-]){_BOUND}\b(?:{small})\s+{_PEOPLE}\b", text)
    return [f"text: a number of people of 1 to {threshold - 1}"] if found else []


def _plain(markup: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", markup))).strip()


def _nodes(value: Any) -> Iterator[Any]:
    yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(child)


def _record(node: dict[str, Any], threshold: int) -> list[str]:
    """A record, or columns of values by position: the shapes in which a table is written as JSON."""
    values = {k: list(v.values()) if isinstance(v, dict) else v for k, v in node.items()}
    flat = {k: v if isinstance(v, list) else [v] for k, v in values.items()}
    frame = pd.DataFrame(
        {k: pd.Series(v, dtype=object) for k, v in flat.items() if not any(isinstance(x, dict | list) for x in v)}
    )
    wanted = [c for c in frame.columns if c in count_columns(frame) or str(c).lower() in identifiers()]
    return audit_frame(frame[[c for c in wanted if c not in DESIGN]], threshold) if wanted else []


def _table(columns: list[Any], rows: list[Any], threshold: int) -> list[str]:
    """Cells that are small counts under a heading that names people."""
    out = []
    for j, head in enumerate(columns):
        if not str(head).strip() or not _HEAD.fullmatch(str(head).strip()):
            continue
        for row in rows:
            text = str(row[j]).replace(",", "") if isinstance(row, list) and j < len(row) else ""
            found = re.match(r"\s*(\d+)\s*(?:\(|$)", text)
            if found and 0 < int(found[1]) < threshold:
                out.append(f"table column {head}: a count of 1 to {threshold - 1}")
    return out
