"""Showing Markdown, figures and tables so that JupyterLab sees HTML and the report's composer sees pandoc Markdown."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

LOOKUPS = "application/vnd.p4equity.lookups+json"
_SPAN = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\{[^}]*\}")
_ATTRIBUTES = re.compile(r"[ \t]*\{(?:#|\.)[^}]*\}[ \t]*$", re.MULTILINE)
_STYLE = "border-collapse:collapse;font-size:90%;margin:.6em 0"


def show(markdown: str, html: str, row_ids: Sequence[str] = ()) -> None:
    """Send one output with both faces and, for the record, the rows it looked up."""
    from IPython.display import display

    bundle: dict[str, Any] = {"text/markdown": markdown, "text/html": html}
    if row_ids:
        bundle[LOOKUPS] = {"row_ids": list(row_ids)}
    display(bundle, raw=True)


def markdown_to_html(text: str) -> str:
    """Markdown as JupyterLab should show it: pandoc's attributes taken off, tables on."""
    from markdown_it import MarkdownIt

    plain = _ATTRIBUTES.sub("", _SPAN.sub(r"\1", text))
    rendered: str = MarkdownIt("commonmark").enable("table").render(plain)
    return rendered


def block(spec: Mapping[str, Any], anchor: str) -> str:
    """The fenced block the report's filter turns into a figure or table with this anchor."""
    body = json.dumps(spec, ensure_ascii=False, indent=None)
    attributes = f".p4-exhibit #{anchor}" if anchor else ".p4-exhibit"
    return f"\n\n``` {{{attributes}}}\n{body}\n```\n\n"


def exhibit_html(spec: Mapping[str, Any], directory: Path) -> str:
    """A figure with its caption and note, or a table, for JupyterLab."""
    caption = f"<b>{escape(str(spec['id']))}.</b> {escape(str(spec['title']))}"
    note = f"<p style='font-size:85%'>{markdown_to_html(str(spec.get('footnote') or ''))}</p>"
    if spec["kind"] == "figure":
        data = base64.b64encode((directory / f"{spec['id']}.svg").read_bytes()).decode()
        image = f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(str(spec["alt"]))}" style="max-width:100%">'
        return f"<figure>{image}<figcaption>{caption}</figcaption>{note}</figure>"
    return f"{table_html(spec, caption)}{note}"


def _bare(cell: str) -> str:
    """A cell without the markup of a traced number."""
    return _SPAN.sub(r"\1", cell).replace("\\", "")


def table_html(spec: Mapping[str, Any], caption: str) -> str:
    """A plain HTML table of a table specification."""
    heads = "".join(f'<th scope="col" style="padding:.2em .6em">{escape(c)}</th>' for c in spec["columns"])
    groups = {int(i): str(label) for i, label in spec.get("row_groups", ())}
    lines = []
    for i, row in enumerate(spec["rows"]):
        if i in groups:
            lines.append(f'<tr><th colspan="{len(row)}" style="text-align:left">{escape(groups[i])}</th></tr>')
        cells = "".join(
            f'<{tag} style="padding:.2em .6em;text-align:{"right" if a == "r" else "left"}">'
            f"{escape(_bare(cell))}</{tag.split()[0]}>"
            for j, (cell, a) in enumerate(zip(row, spec["align"], strict=True))
            for tag in ['th scope="row"' if j < int(spec.get("stub", 1)) else "td"]
        )
        lines.append(f"<tr>{cells}</tr>")
    head = f"<caption>{caption}</caption><thead><tr>{heads}</tr></thead>"
    return f'<table style="{_STYLE}">{head}<tbody>{"".join(lines)}</tbody></table>'
