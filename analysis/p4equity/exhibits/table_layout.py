"""How a table is fitted to the printed page: font size, orientation and column widths from the text it holds."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

PORTRAIT_WIDTH = 453.0  # points of text width on the report's upright page
LANDSCAPE_WIDTH = 648.0  # the same on its side
INSET = 9.0  # points of cell padding, both sides of one column together
_STEPS = ((9.0, False), (8.25, False), (7.5, False), (8.25, True), (7.5, True), (6.75, True))
_MAX_LINES = 7  # a cell that wraps over more lines asks for the next step,
_MAX_LINES_LONG = 3  # or over more than these in a table of more than _LONG rows
_LONG = 12
_STRETCH = 0.55  # a table wider than this share of the page is stretched over all of it
_NARROW, _WIDE, _WIDEST = set("ijltfr.,:;'|!()[] -"), set("ABCDEFGHJKLNOPQRSTUVXYZw&"), set("mMW%@")


@dataclass(frozen=True)
class TableLayout:
    """Font size, column widths and rough height in points; whether the page lies on its side and words must break."""

    size: float
    landscape: bool
    widths: tuple[float, ...]
    height: float
    tight: bool = False


def text_width(text: str) -> float:
    """Approximate width of one line of text in em: close enough to choose a layout, independent of any font file."""
    return sum(0.31 if c in _NARROW else 0.7 if c in _WIDE else 0.86 if c in _WIDEST else 0.5 for c in text)


def plan_layout(columns: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str]) -> TableLayout:
    """The first of six steps (upright 9 pt ... landscape 6.75 pt) on which every column fits without tall cells.

    Numeric columns (`align` r or c) keep their cells on one line; text columns may wrap down to their longest word.
    """
    natural, least = _demands(columns, rows, align)
    limit = _MAX_LINES_LONG if len(rows) > _LONG else _MAX_LINES
    for size, landscape in _STEPS:
        room = (LANDSCAPE_WIDTH if landscape else PORTRAIT_WIDTH) - INSET * len(columns)
        want, floor = [n * size for n in natural], [m * size for m in least]
        if sum(want) <= room:
            spare = (room - sum(want)) / len(want) if sum(want) > _STRETCH * room else 0.0
            return _layout(size, landscape, [w + spare for w in want], rows)
        if sum(floor) <= room:
            widths = _shared(want, floor, room)
            if max(_lines(row, widths, size) for row in rows) <= limit:
                return _layout(size, landscape, widths, rows)
    return _last_resort(natural, least, rows)


def _last_resort(natural: Sequence[float], least: Sequence[float], rows: Sequence[Sequence[str]]) -> TableLayout:
    """The smallest type on a page on its side, with tall cells and, if need be, broken words."""
    size, landscape = _STEPS[-1]
    room = LANDSCAPE_WIDTH - INSET * len(natural)
    widths = _shared([n * size for n in natural], [m * size for m in least], room)
    tight = sum(widths) > room
    if tight:
        widths = [room * n / (sum(natural) or 1.0) for n in natural]
    return replace(_layout(size, landscape, widths, rows), tight=tight)


def _layout(size: float, landscape: bool, widths: Sequence[float], rows: Sequence[Sequence[str]]) -> TableLayout:
    lines = [_lines(row, widths, size) for row in rows]
    height = sum(n * 1.15 * size + 6.0 for n in [*lines, 2])  # 2: the header
    return TableLayout(size, landscape, tuple(round(w + INSET, 1) for w in widths), round(height, 1))


def _lines(row: Sequence[str], widths: Sequence[float], size: float) -> int:
    """Lines the tallest cell of a row takes."""
    return max(
        sum(max(1, math.ceil(text_width(line) * size / max(width, 1.0))) for line in cell.split("\n"))
        for cell, width in zip(row, widths, strict=True)
    )


def _demands(columns: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str]) -> tuple[list[float], list[float]]:
    """For each column the width that avoids wrapping and the least that avoids breaking words, in em."""
    natural, least = [], []
    for j, header in enumerate(columns):
        cells = [row[j] for row in rows]
        body = max((text_width(line) for cell in cells for line in cell.split("\n")), default=0.0)
        words = max((text_width(word) for cell in cells for word in _words(cell)), default=0.0)
        head = max((text_width(word) * 1.1 for word in header.split()), default=0.0)
        numeric = align[j] != "l"
        natural.append(max(body, head, min(text_width(header) * 1.1, body if numeric else 12.0)) + 0.4)
        least.append(max(body if numeric else words, head) + 0.4)
    return natural, least


def _words(cell: str) -> list[str]:
    """The parts that stay together; a long name such as a row id may break after its punctuation, as in the filter."""
    return [part for word in cell.split() for part in (re.split(r"(?<=[_/:|.-])", word) if len(word) > 24 else [word])]


def _shared(want: Sequence[float], floor: Sequence[float], room: float) -> list[float]:
    """Floors first; what is left goes to the columns that want more, by the square root of their shortage.

    The root keeps one long text from starving another.
    """
    widths = list(floor)
    for _ in range(8):
        spare = room - sum(widths)
        short = [max(w - have, 0.0) ** 0.5 for w, have in zip(want, widths, strict=True)]
        if spare <= 0.5 or sum(short) == 0:
            break
        share = spare / sum(short)
        widths = [min(max(w, have), have + share * s) for w, have, s in zip(want, widths, short, strict=True)]
    return widths
