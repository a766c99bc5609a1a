"""Where each key of a TOML text stands, so that a message can point at the line; the standard parser keeps no positions."""

from __future__ import annotations

import re

KeyPath = tuple[str | int, ...]
Position = tuple[int, int]

_HEADER = re.compile(r"(\[\[?)\s*([^\[\]]+?)\s*\]\]?")
_KEY = re.compile(r"""((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def positions(text: str) -> dict[KeyPath, Position]:
    """Line and column (from 1) of every table header and key of a valid TOML text; blocks of `[[name]]` are numbered from 0."""
    found: dict[KeyPath, Position] = {}
    counts: dict[KeyPath, int] = {}
    current: KeyPath = ()
    at = 0
    while at < len(text):
        if text[at] in " \t\r\n":
            at += 1
        elif text[at] == "#":
            at = _line_end(text, at)
        elif header := _HEADER.match(text, at):
            current = _enter(_parts(header.group(2)), header.group(1) == "[[", counts)
            found.setdefault(current, _position(text, at))
            at = header.end()
        elif key := _KEY.match(text, at):
            path = (*current, *_parts(key.group(1)))
            found.setdefault(path, _position(text, at))
            at = _value_end(text, key.end(), path, found)
        else:
            at = _line_end(text, at)
    return found


def nearest(found: dict[KeyPath, Position], path: KeyPath) -> Position | None:
    """The position of a path, or of the longest part of it that is written in the file."""
    for length in range(len(path), 0, -1):
        if path[:length] in found:
            return found[path[:length]]
    return None


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(text))


def _enter(parts: tuple[str, ...], array: bool, counts: dict[KeyPath, int]) -> KeyPath:
    path: KeyPath = ()
    for i, part in enumerate(parts):
        path = (*path, part)
        if array and i == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _value_end(text: str, start: int, path: KeyPath, found: dict[KeyPath, Position]) -> int:
    """The end of a value; keys of inline tables are entered on the way."""
    at, depth = start, 0
    while at < len(text):
        char = text[at]
        if char in "\"'":
            at = _string_end(text, at)
            continue
        if char == "#" or (char == "\n" and depth == 0):
            at = _line_end(text, at)
            if depth == 0:
                return at
            continue
        depth += char in "[{"
        depth -= char in "]}"
        if char in "{," and (key := _KEY.match(text, _skip_blank(text, at + 1))):
            found.setdefault((*path, *_parts(key.group(1))), _position(text, key.start()))
            at = key.end()
            continue
        at += 1
    return at


def _skip_blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _string_end(text: str, at: int) -> int:
    quote = text[at]
    long = text.startswith(quote * 3, at)
    mark = quote * 3 if long else quote
    at += len(mark)
    while at < len(text) and not text.startswith(mark, at):
        at += 2 if quote == '"' and text[at] == "\\" else 1
    at += len(mark)
    while long and at < len(text) and text[at] == quote:  # up to two quotes may end a long string
        at += 1
    return at


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _position(text: str, at: int) -> Position:
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1
