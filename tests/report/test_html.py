"""The HTML: self-contained, accessible, every number traceable, the same bytes each time."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from p4equity.report import RenderedReport, render_report

from .conftest import study

Attributes = dict[str, str | None]
LOADING = {"src", "srcset", "data", "poster", "action", "background", "xlink:href"}


class Page(HTMLParser):
    """All start tags with their attributes, and the text inside captions."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, Attributes]] = []
        self.captions: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("figcaption", "caption"):
            self._open.append(tag)
            self.captions.append("")

    def handle_endtag(self, tag: str) -> None:
        if self._open and tag == self._open[-1]:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            self.captions[-1] += data

    def all(self, name: str, test: Callable[[Attributes], bool] = lambda _: True) -> list[Attributes]:
        return [attributes for tag, attributes in self.tags if tag == name and test(attributes)]


@pytest.fixture(scope="module")
def text(rendered: RenderedReport) -> str:
    return rendered.paths["html"].read_text("utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_nothing_is_loaded_from_outside(text: str, page: Page) -> None:
    for tag, attributes in page.tags:
        for name in LOADING & set(attributes):
            assert (attributes[name] or "").startswith("data:"), (tag, name)
        if tag != "a":
            assert not (attributes.get("href") or "").startswith("http"), tag
    assert "@import" not in text
    assert not re.search(r"url\(\s*['\"]?(?!data:)", text)
    assert not page.all("script")
    assert not page.all("link")


def test_links_point_somewhere(page: Page) -> None:
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    inside = [a["href"] or "" for a in page.all("a") if (a.get("href") or "").startswith("#")]
    assert inside
    assert not [href for href in inside if href[1:] not in ids]
    every = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(every) == len(set(every))


def test_document_structure(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en-US"
    assert len(page.all("main")) == 1
    assert len(page.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_figures_have_alt_text_that_is_not_the_caption(page: Page) -> None:
    images = page.all("img")
    assert len(images) == 1
    for image in images:
        alt = image.get("alt") or ""
        assert len(alt) > 20
        assert not any(alt in caption for caption in page.captions)


def test_header_cells_have_scope(page: Page) -> None:
    heads = page.all("th")
    assert heads
    assert all(head.get("scope") in ("col", "row", "colgroup", "rowgroup") for head in heads)
    assert {head["scope"] for head in heads} == {"col", "row", "colgroup", "rowgroup"}


def test_exhibits_are_numbered_in_order_and_referred_to(text: str) -> None:
    plain = text.replace("\xa0", " ").replace("&nbsp;", " ")
    assert '<a href="#fig:F3" class="xref">Figure 1</a> and <a href="#tbl:T2" class="xref">Table 2</a>' in plain
    assert '<a href="#sec:methods" class="xref">Section 2</a>' in plain
    assert '<a href="#eq:did" class="xref">Equation 1</a>' in plain
    assert "is not shown here:</em> the study compares no groups" in plain
    assert "<math" in plain
    assert "2022" in plain.split('id="ref-roth_2022"')[1][:200]


def test_every_number_in_prose_names_its_row(rendered: RenderedReport, text: str, page: Page) -> None:
    spans = page.all("span", lambda a: a.get("class") == "num")
    with rendered.paths["in_text_numbers"].open(encoding="utf-8", newline="") as lines:
        listed = list(csv.DictReader(lines))
    assert [row["row_id"] for row in listed] == ["r1", "r2", "r2", "r4", "r3"]
    assert {row["section"] for row in listed} == {"At a glance"}
    assert {span["data-row-id"] for span in spans} == {row["row_id"] for row in listed}
    assert 'data-row-ids="r1 r2"' in text
    assert '<td style="text-align: right;" data-row-id="r1">−2.4</td>' in text
    assert set(rendered.row_ids) == {"r1", "r2", "r3", "r4"}


def test_lists_to_look_things_up_are_folded_and_have_no_number(text: str) -> None:
    assert "<details><summary>Numbers in the prose and the rows of the estimates table behind them</summary>" in text


def test_regions_that_scroll_carry_their_caption(page: Page) -> None:
    labels = [r.get("aria-label", "") for r in page.all("div", lambda a: a.get("class") == "table-box")]
    assert labels
    assert all(": " in label or label.startswith("Numbers in") or label.startswith("The numbers behind") for label in labels)


def test_synthetic_banner_stands_on_top(page: Page) -> None:
    assert page.all("aside", lambda a: a.get("class") == "banner synthetic")


def test_second_run_gives_the_same_bytes(rendered: RenderedReport, run_dir: Path, notebooks: list[Path]) -> None:
    before = {kind: path.read_bytes() for kind, path in rendered.paths.items()}
    again = render_report(run_dir, study(), notebooks, edition="test", workers=1)
    assert {kind: path.read_bytes() for kind, path in again.paths.items()} == before
    assert sorted(p.name for p in run_dir.iterdir() if p.name.startswith(".")) == []
