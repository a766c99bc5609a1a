"""Exhibits on disk: the same bytes each time, words a reader needs, tables that fit the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from p4equity.errors import UsageError
from p4equity.exhibits.base import SYNTHETIC, TableSpec, format_cell, write_exhibit
from p4equity.exhibits.table_layout import INSET, LANDSCAPE_WIDTH, PORTRAIT_WIDTH, plan_layout
from p4equity.exhibits.tabular import Block, spec

from .conftest import event_study, main_table, wide_table


def test_figure_files_are_the_same_bytes_and_carry_no_date(tmp_path: Path) -> None:
    first = {p.name: p.read_bytes() for p in write_exhibit(event_study(), tmp_path / "a")}
    second = {p.name: p.read_bytes() for p in write_exhibit(event_study(), tmp_path / "b")}
    assert set(first) == {"F3.svg", "F3.png", "F3.csv", "F3.json"}
    assert first == second
    assert b"<dc:date>" not in first["F3.svg"]
    assert b"Software" not in first["F3.png"]


def test_json_follows_the_contract(tmp_path: Path) -> None:
    write_exhibit(main_table(), tmp_path)
    document = json.loads((tmp_path / "T2.json").read_text("utf-8"))
    assert set(document) >= {"id", "kind", "title", "alt", "footnote", "row_ids", "columns", "rows", "align"}
    assert document["row_ids"] == ["r1", "r2", "r3"]
    assert document["rows"][0][0] == "Colorectal screening"


def test_the_warning_on_synthetic_data_goes_beside_the_footnote(tmp_path: Path) -> None:
    write_exhibit(replace(event_study(), footnote=f"What it rests on. {SYNTHETIC}"), tmp_path)
    document = json.loads((tmp_path / "F3.json").read_text("utf-8"))
    assert document["footnote"] == "What it rests on."
    assert document["status"] == SYNTHETIC
    assert SYNTHETIC.encode() in (tmp_path / "F3.png").read_bytes()
    assert SYNTHETIC in (tmp_path / "F3.svg").read_text("utf-8")


@pytest.mark.parametrize("alt", ["", "  ", event_study().title])
def test_alt_text_must_say_more_than_the_caption(tmp_path: Path, alt: str) -> None:
    with pytest.raises(UsageError, match="alt text"):
        write_exhibit(replace(event_study(), alt=alt), tmp_path)
    assert not list(tmp_path.iterdir())


def test_shapes_are_checked() -> None:
    with pytest.raises(UsageError, match="wrong length"):
        TableSpec(("a", "b"), (("1",),))
    with pytest.raises(UsageError, match="spanners"):
        TableSpec(("a", "b"), (("1", "2"),), spanners=(("x", 1),))


def test_a_head_over_no_columns_is_left_out() -> None:
    table = spec(("a", "b"), [Block("", (("1", "2"),))], spanners=(("x", 1), ("over what the data lack", 0), ("y", 1)))
    assert table.spanners == (("x", 1), ("y", 1))


def test_numbers_go_right_and_words_left() -> None:
    table = TableSpec(("Name", "Word", "Number", "Interval"), (("a", "b", "−1.20", "−4.1 to 0.3"), ("c", "d", "–", "1.0 to 2.0")))
    assert table.alignment() == ("l", "l", "r", "r")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (pd.NA, "–"),
        (pd.NaT, "–"),
        (-0.001, "0.00"),
        (-1.5, "−1.50"),
        (2023, "2023"),
        (True, "yes"),
        ("x", "x"),
    ],
)
def test_cells_as_a_reader_sees_them(value: object, said: str) -> None:
    assert format_cell(value) == said


def test_layouts_fit_the_page() -> None:
    wide, small = wide_table().table, main_table().table
    assert wide is not None
    assert small is not None
    for table in (wide, small):
        layout = plan_layout(table.columns, table.rows, table.alignment())
        assert sum(layout.widths) <= (LANDSCAPE_WIDTH if layout.landscape else PORTRAIT_WIDTH) + INSET
    assert plan_layout(wide.columns, wide.rows, wide.alignment()).landscape
    assert not plan_layout(small.columns, small.rows, small.alignment()).landscape
    empty = TableSpec(tuple("a heading of some length" for _ in range(9)), ())
    assert plan_layout(empty.columns, empty.rows, empty.alignment()).size > 0
    hopeless = TableSpec(tuple(f"column{i}" for i in range(40)), (tuple("unbreakable" for _ in range(40)),))
    layout = plan_layout(hopeless.columns, hopeless.rows, hopeless.alignment())
    assert layout.tight
    assert sum(layout.widths) <= LANDSCAPE_WIDTH + INSET
