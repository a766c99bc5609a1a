"""Opening an extract: a folder with tables, or a TOML file whose [data] block names them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from p4equity.dictionary import Dictionary, load_dictionary
from p4equity.errors import DataError
from p4equity.extract.block import find_tables, read_block
from p4equity.extract.extract import METADATA, Extract
from p4equity.extract.files import TableFiles
from p4equity.extract.folders import SUFFIXES, Found, tables_in
from p4equity.extract.wholeness import faults

TRUTH = "truth.json"


def open_extract(
    path: str | Path,
    dictionary: Dictionary | None = None,
    *,
    to_validate: bool = False,
    engine: str = "duckdb",
    engine_url: str | None = None,
) -> Extract:
    """The extract at a path: a folder, or a TOML file with a [data] block; its tier (as stated, else by its tables), its tables.

    `engine` and `engine_url` say which catalog a block's tables are in; files need neither. Raises DataError when there is
    nothing at the path, the block or extract.json is not readable, a table is there twice or not where the block says, or no
    table of the dictionary is in it. Missing tables and broken files raise when they are used; `validate` lists all of them.
    With `to_validate`, an unreadable extract.json and whatever is wrong with a table are kept among the faults for its report.
    """
    place, known = Path(path), dictionary or load_dictionary()
    check_data(place)
    if place.is_file():
        block = read_block(place, known)
        metadata, stated = block.metadata(), None
        truth = place.parent / block.truth if block.truth else None
        found = list(find_tables(block, place.parent, known, engine, engine_url))
        unread = [f for t in found for f in t.unread]
    else:
        metadata, stated = _metadata(place)
        truth = place / TRUTH if (place / TRUTH).is_file() else None
        found = list(tables_in(place, known))
        unread = [*_strangers(place, found), *(f for t in found for f in t.unread)]
    doubts = {f.table.name: (f.fault,) for f in found if f.fault} | ({METADATA: (stated,)} if stated else {})
    if doubts and not to_validate:
        raise next(iter(doubts.values()))[0]
    tables = {f.table.name: f.table for f in found}
    tier = metadata.get("tier") or ("A" if "measure_event" in tables else "B" if "cell" in tables else None)
    if not tables or tier not in ("A", "B", "C"):
        raise _no_extract(place)
    whole = {t.name: tuple(faults(t)) for t in tables.values() if isinstance(t, TableFiles)}
    broken = {name: (*doubts.get(name, ()), *whole.get(name, ())) for name in {**doubts, **whole}}
    return Extract(place, tier, metadata, tables, known, {k: v for k, v in broken.items() if v}, tuple(sorted(unread)), truth)


def check_data(path: Path) -> None:
    """Raise DataError unless an extract can lie at the path: a folder, or a TOML file."""
    if path.is_dir() or (path.is_file() and path.suffix == ".toml"):
        return
    raise DataError(
        "no such folder" if not path.exists() else "neither a folder nor a TOML file",
        where=str(path),
        expected="a folder with an extract, or a TOML file whose [data] block names its tables",
        found="a file" if path.exists() else "nothing",
        fix="check the path, or make a synthetic extract with: p4equity simulate --out DIR",
    )


def data_places(path: Path) -> tuple[Path, ...]:
    """What holds an extract: its folder; or its TOML file and each file of its tables. Raises DataError as `open_extract`."""
    check_data(path)
    return (path,) if path.is_dir() else (path, *open_extract(path, to_validate=True).data_files())


def _strangers(folder: Path, found: Sequence[Found]) -> list[str]:
    """Data files and folders of a plain extract that are no table of the dictionary, such as misspelled ones."""
    known = {f for t in found for f in (t.table.name, *(f"{t.table.name}{s}" for s in SUFFIXES))}
    data = (p for p in folder.iterdir() if p.name.endswith(SUFFIXES) or (p.is_dir() and not p.name.startswith(".")))
    return [p.name for p in data if p.name not in known]


def _no_extract(place: Path) -> DataError:
    if place.is_file():
        return DataError(
            "no tier is stated or seen", where=f"{place}: data",
            expected='a table measure_event or cell, or tier = "A", "B" or "C"', found="neither",
            fix="state the tier in the [data] block",
        )  # fmt: skip
    return DataError(
        "this is not an extract",
        where=str(place),
        expected="a table measure_event (tier A, C) or cell (tier B), or a tier A, B or C in extract.json",
        found=", ".join(sorted(p.name for p in place.iterdir())[:12]) or "an empty folder",
        fix="see data_dictionary/README.md for the layout of an extract",
    )


def _metadata(folder: Path) -> tuple[dict[str, Any], DataError | None]:
    """What extract.json says, and what is wrong with the file."""
    path = folder / METADATA
    if not path.is_file():
        return {}, None
    try:
        loaded = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as e:
        loaded = str(e)
    if isinstance(loaded, dict):
        return loaded, None
    fix = "correct it, or remove it and state the tier by the tables"
    return {}, DataError("not a JSON object", where=str(path), found=loaded, fix=fix)
