"""How a table is fitted to the printed page: font size, orientation and column widths from the text it holds."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

PORTRAIT_WIDTH = 468.0  # points of text width on the report's upright page
LANDSCAPE_WIDTH = 648.0  # the same on its side
INSET = 9.0  # points of cell padding, both sides of one column together
_SIZES = (8.75, 8.25, 7.5)
_DENSE = 6.75  # for lists that nobody reads from top to bottom
_SIDEWAYS = (8.25, 7.5, 6.75)  # only where upright words or numbers would have to break
_MAX_LINES = 7  # a cell that wraps over more lines asks for smaller type,
_MAX_LINES_LONG = 3  # or over more than these in a table of more than _LONG rows
_LONG = 12
_SMALLER = (24, 40)  # with more rows than these the largest type, or the two largest, are left out
_ANY = 10**6  # as many lines as it takes
_SHARES = 48  # steps in which the spare width is given to the columns
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


def plan_layout(
    columns: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str], *, dense: bool = False
) -> TableLayout:
    """The largest type in which every column fits without tall cells, else in which it fits at all; upright before sideways.

    Numeric columns (`align` r or c) keep their cells on one line; text columns may wrap down to their longest word.
    """
    natural, least = _demands(columns, rows, align)
    limit = _MAX_LINES_LONG if len(rows) > _LONG else _MAX_LINES
    sizes = _SIZES[sum(len(rows) > n for n in _SMALLER) :]
    steps = [(size, False, limit) for size in sizes] + [(_SIZES[1], False, _ANY), (_SIZES[-1], False, _ANY)]
    if dense:
        steps = [(_DENSE, False, _ANY)]
    for size, landscape, most in [*steps, *((size, True, _ANY) for size in _SIDEWAYS)]:
        room = (LANDSCAPE_WIDTH if landscape else PORTRAIT_WIDTH) - INSET * len(columns)
        want, floor = [n * size for n in natural], [m * size for m in least]
        if sum(want) <= room:
            spare = (room - sum(want)) / len(want) if sum(want) > _STRETCH * room else 0.0
            return _layout(size, landscape, [w + spare for w in want], rows)
        if sum(floor) <= room:
            widths = _shared(floor, room, rows, size)
            if all(_lines(row, widths, size) <= most for row in rows):
                return _layout(size, landscape, widths, rows)
    return _last_resort(natural, least, rows)


def _last_resort(natural: Sequence[float], least: Sequence[float], rows: Sequence[Sequence[str]]) -> TableLayout:
    """The smallest type on a page on its side, with tall cells and, if need be, broken words."""
    size, landscape = _SIDEWAYS[-1], True
    room = LANDSCAPE_WIDTH - INSET * len(natural)
    widths = _shared([m * size for m in least], room, rows, size)
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


def _shared(floor: Sequence[float], room: float, rows: Sequence[Sequence[str]], size: float) -> list[float]:
    """Floors first; then the rest, in small steps, always to the column that makes the table shortest.

    A row is as tall as its tallest cell: the length of its text over the width of its column.
    """
    widths = list(floor)
    long = [[sum(max(text_width(line) * size, 1.0) for line in cell.split("\n")) for cell in row] for row in rows]
    step = max((room - sum(widths)) / _SHARES, 0.0)
    for _ in range(_SHARES if step > 0 and long else 0):
        heights = [max(need / have for need, have in zip(row, widths, strict=True)) for row in long]
        gains = []
        for j in range(len(widths)):
            wider = [*widths[:j], widths[j] + step, *widths[j + 1 :]]
            after = (max(need / have for need, have in zip(row, wider, strict=True)) for row in long)
            gains.append(sum(max(h, 1.0) - max(a, 1.0) for h, a in zip(heights, after, strict=True)))
        best = max(range(len(widths)), key=lambda j: (gains[j], max(row[j] for row in long) / widths[j]))
        widths[best] += step
    return widths
