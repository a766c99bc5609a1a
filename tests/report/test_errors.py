"""What a report must not get away with: each is an error with words, and what stood there before is left as it was."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pytest
from p4equity.errors import P4Error
from p4equity.report import RenderedReport, render_document
from p4equity.report.compose import compose
from p4equity.report.facts import Facts, facts_of
from p4equity.report.pandoc import to_html

from .conftest import OPEN, study, write_notebook


def _html(run_dir: Path, tmp_path: Path, body: str) -> str:
    source = tmp_path / "document.md"
    source.write_text(f"---\ntitle: T\npagetitle: T\nlang: en-US\n---\n\n{body}\n", "utf-8")
    to_html(source, run_dir, tmp_path / "document.html")
    return (tmp_path / "document.html").read_text("utf-8")


def _figure(**changes: str) -> str:
    spec = {
        "id": "F3",
        "kind": "figure",
        "title": "A caption",
        "alt": "What it shows",
        "footnote": "",
        "columns": ["a"],
        "rows": [["1"]],
        "align": ["r"],
        "stub": 0,
    }
    return f"``` {{.p4-exhibit #fig:F3}}\n{json.dumps(spec | changes)}\n```"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("See [@fig:nowhere].", "cross reference to fig:nowhere"),
        ("See [@nobody_1999].", "unknown citation"),
        (_figure(alt=""), "no alt text"),
        (_figure(alt="A  caption."), "only repeats its caption"),
        (_figure(title=" "), "no caption"),
        (_figure() + "\n\n" + _figure(), "two things are called fig:F3"),
        ("``` {.p4-exhibit #fig:F7}\n{\"ref\": \"F7\"}\n```", "no such exhibit: exhibits/F7.json"),
        ("![](exhibits/F3.svg)", "without alt text"),
        ("![Alt text](https://example.org/a.png)", "an image from outside"),
        ("::: callout\n" + _figure() + "\n:::", "an exhibit inside another block"),
    ],
)  # fmt: skip
def test_the_filter_refuses(run_dir: Path, tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(P4Error, match=words):
        _html(run_dir, tmp_path, body)


def test_the_same_figure_with_its_words_passes(run_dir: Path, tmp_path: Path) -> None:
    assert 'alt="What it shows"' in _html(run_dir, tmp_path, _figure())


def test_output_without_a_markdown_face_is_an_error(run_dir: Path, tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", OPEN)
    node = json.loads(path.read_text("utf-8"))
    node["cells"][1]["outputs"] = [
        {"output_type": "execute_result", "data": {"text/plain": ["1"]}, "metadata": {}, "execution_count": 1}
    ]
    path.write_text(json.dumps(node), "utf-8")
    facts: Facts = facts_of(study(), run_dir, edition="", synthetic=False, audience="public")
    with pytest.raises(P4Error, match=r"n\.ipynb, cell 2.*vanish"):
        compose([path], facts)
    node["cells"][1]["metadata"]["tags"] = ["hide"]
    path.write_text(json.dumps(node), "utf-8")
    assert "---" in compose([path], facts).markdown


def test_failed_rendering_leaves_the_old_document(run_dir: Path, tmp_path: Path) -> None:
    good = write_notebook(tmp_path / "good.ipynb", OPEN, 's.text("# Briefing for System A\\n\\n## Results\\n\\nText.")')
    bad = write_notebook(tmp_path / "bad.ipynb", OPEN, 's.text("# Briefing\\n\\nSee [@fig:nowhere].")')
    stem = run_dir / "briefings" / "S01"
    done = render_document(run_dir, good, stem, {"audience": "confidential"}, study=study())
    before = done.paths["html"].read_bytes()
    assert set(done.paths) == {"html", "pdf"}
    assert b">Briefing for System A</h1>" in before
    assert b"is invented. Confidential: not for distribution</p>" in before
    assert b"</span> Results</h2>" in before
    with pytest.raises(P4Error, match="fig:nowhere"):
        render_document(run_dir, bad, stem, {}, study=study())
    assert done.paths["html"].read_bytes() == before
    assert [p.name for p in stem.parent.iterdir() if p.name.startswith(".")] == []


def test_a_document_that_does_not_run_through_is_kept_beside_the_run(run_dir: Path, tmp_path: Path) -> None:
    bad = write_notebook(tmp_path / "bad.ipynb", OPEN, "1 / 0")
    with pytest.raises(P4Error, match=r"ZeroDivisionError.*\n.*failed/S02\.ipynb to see the traceback"):
        render_document(run_dir, bad, run_dir / "briefings" / "S02", {}, study=study())
    assert (run_dir.parent / "failed" / "S02.ipynb").is_file()
    assert not (run_dir / "failed").exists()


def test_docx_holds_picture_alt_text_and_tables(rendered: RenderedReport) -> None:
    with zipfile.ZipFile(rendered.paths["docx"]) as archive:
        document = archive.read("word/document.xml").decode()
        names = archive.namelist()
    assert "falls by about one percentage point" in document
    assert document.count("<w:tbl>") >= 4
    assert any(name.endswith(".png") for name in names)
    assert not any(name.endswith(".svg") for name in names)
    assert "Hash of the plan" in document


def test_synthetic_banner_stands_on_every_page_of_the_docx(rendered: RenderedReport) -> None:
    with zipfile.ZipFile(rendered.paths["docx"]) as archive:
        relations = archive.read("word/_rels/document.xml.rels").decode()
        document = archive.read("word/document.xml").decode()
        headers = {name: archive.read(name).decode() for name in archive.namelist() if "header" in name}
    ((name, header),) = headers.items()
    assert "every number and every finding in this document is invented" in header
    relation = re.search(
        rf'Id="(\w+)"[^>]*Target="{name.removeprefix("word/")}"|Target="{name.removeprefix("word/")}"[^>]*Id="(\w+)"',
        relations,
    )
    assert relation
    assert f'r:id="{relation.group(1) or relation.group(2)}"' in document
