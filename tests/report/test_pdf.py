"""The PDF read back: tagged, with language, title, UA-1 mark, alt texts and header cells; fonts inside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pikepdf
import pytest
from p4equity.report import RenderedReport


@pytest.fixture(scope="module")
def pdf(rendered: RenderedReport) -> Iterator[pikepdf.Pdf]:
    with pikepdf.open(rendered.paths["pdf"]) as document:
        yield document


def _elements(node: Any) -> Iterator[Any]:
    """All structure elements below a node."""
    if isinstance(node, pikepdf.Array):
        for child in node:
            yield from _elements(child)
    elif isinstance(node, pikepdf.Dictionary):
        if "/S" in node:
            yield node
        if "/K" in node:
            yield from _elements(node.K)


@pytest.fixture(scope="module")
def elements(pdf: pikepdf.Pdf) -> list[Any]:
    return list(_elements(pdf.Root.StructTreeRoot))


def test_catalog(pdf: pikepdf.Pdf) -> None:
    assert bool(pdf.Root.MarkInfo.Marked)
    assert str(pdf.Root.Lang) == "en-US"
    assert bool(pdf.Root.ViewerPreferences.DisplayDocTitle)
    with pdf.open_metadata() as metadata:
        assert metadata["pdfuaid:part"] == "1"
        assert "pay-for-equity" in metadata["dc:title"]
        assert str(metadata["xmp:CreateDate"]).startswith("2026-11-01")


def test_figures_and_formulas_have_alt(elements: list[Any]) -> None:
    images = [e for e in elements if str(e.S) == "/Figure" and "/Alt" in e]
    assert any("falls by about one percentage point" in str(e.Alt) for e in images)
    formulas = [e for e in elements if str(e.S) == "/Formula"]
    assert formulas
    assert all(str(e.get("/Alt", "")) for e in formulas)
    assert any("mean change of treated systems" in str(e.Alt) for e in formulas)


def test_tables_have_header_cells(elements: list[Any]) -> None:
    tables = [e for e in elements if str(e.S) == "/Table"]
    assert len(tables) >= 4
    for table in tables:
        kinds = {str(e.S) for e in _elements(table)}
        assert "/TH" in kinds
        assert "/TD" in kinds


def test_outline_and_headings(pdf: pikepdf.Pdf, elements: list[Any]) -> None:
    kinds = {str(e.S) for e in elements}
    assert {"/H1", "/H2"} <= kinds
    assert "/TOC" in kinds
    with pdf.open_outline() as outline:
        assert len(list(outline.root)) >= 3


def test_fonts_are_embedded(pdf: pikepdf.Pdf) -> None:
    fonts = [o for o in pdf.objects if isinstance(o, pikepdf.Dictionary) and str(o.get("/Type", "")) == "/FontDescriptor"]
    assert fonts
    assert all(any(key in font for key in ("/FontFile", "/FontFile2", "/FontFile3")) for font in fonts)


def test_wide_table_lies_on_its_side(pdf: pikepdf.Pdf) -> None:
    boxes: list[list[float]] = [[float(x) for x in page.MediaBox] for page in pdf.pages]
    assert [612.0, 792.0] in [box[2:] for box in boxes]
    assert [792.0, 612.0] in [box[2:] for box in boxes]
