"""Paths of a [data] block: a file, a folder with all that lies below it, or a pattern."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

from p4equity.dictionary import Table
from p4equity.errors import DataError, did_you_mean
from p4equity.extract.files import TableFiles
from p4equity.extract.folders import SUFFIXES, Found, is_visible, kind_of, logged, mixed, table_files, visible_files

Place = tuple[Path, PurePosixPath, list[Path]]  # the folder below which folders may name columns, what it is called, and files


def found_at(schema: Table, path: str, home: Path, form: str | None, renames: Mapping[str, str]) -> Found:
    """The table that lies at a path, counted from `home` when it is not absolute, and what is wrong with it."""
    where = f"[data.tables] {schema.name} = {path!r}"
    place = _place(path, home, where)
    if isinstance(place, DataError):
        return Found(TableFiles(schema.name, "parquet", ()), place)
    base, called, visible = place
    labels = {f: (called / f.relative_to(base)).as_posix() for f in visible}
    named = [f for f in visible if f.name.endswith(SUFFIXES)]
    read = visible if form else named
    kinds: set[Literal["parquet", "csv"]] = {kind_of(f) for f in named}
    if form:
        kinds = {"parquet" if form == "parquet" else "csv"}
    unread = tuple(labels[f] for f in visible if f not in set(read))
    fault = _unclear(where, read, unread, (home / path).is_dir()) or mixed(schema.name, path, kinds)
    kind: Literal["parquet", "csv"] = "csv" if kinds == {"csv"} else "parquet"
    kept = read if form else [f for f in read if kind_of(f) == kind]
    table, ragged = table_files(schema, kept, [labels[f] for f in kept], base, kind, renames, form == "csv.gz")
    logs = logged(schema.name, path, base) or logged(schema.name, path, base.parent)
    return Found(table, fault or ragged or logs, unread)


def _place(path: str, home: Path, where: str) -> Place | DataError:
    whole, absolute = home / path, Path(path).is_absolute()
    if whole.is_file():
        return whole.parent, PurePosixPath() if absolute else PurePosixPath(path).parent, [whole]
    if whole.is_dir():
        return whole, PurePosixPath(whole.name if absolute else path), visible_files(whole)
    if glob.has_magic(path):
        parts = PurePosixPath(path).parts
        fixed = PurePosixPath(*parts[: next(i for i, part in enumerate(parts) if glob.has_magic(part))])
        return home / fixed, PurePosixPath(fixed.name) if absolute else fixed, _matches(path, home, home / fixed)
    if "://" in path:
        return DataError(
            "an address is not a path", where=where, expected="a path on this machine", found=path.split("://")[0] + "://...",
            fix="mount the store and give the path, or name the table in the catalog of an engine that reads it",
        )  # fmt: skip
    near = [p.name for p in whole.parent.iterdir() if is_visible(p.name)] if whole.parent.is_dir() else []
    return DataError(
        "no such file or folder", where=where, expected="a file, a folder or a pattern, counted from the folder of the TOML file",
        found="nothing", fix=did_you_mean(whole.name, near) if near else "correct the path",
    )  # fmt: skip


def _matches(pattern: str, home: Path, base: Path) -> list[Path]:
    """Visible files that match, and those below folders that match."""
    found: set[Path] = set()
    for match in glob.glob(pattern, root_dir=home, recursive=True):  # noqa: PTH207 (Path.glob leaves out what lies behind links)
        at = home / match
        if all(is_visible(part) for part in at.relative_to(base).parts):
            found.update(visible_files(at) if at.is_dir() else [at])
    return sorted(found)


def _unclear(where: str, read: list[Path], unread: tuple[str, ...], folder: bool) -> DataError | None:
    """What is wrong when there is nothing to read, or when files that were asked for are of no known format."""
    if unread and (not read or not folder):
        return DataError(
            "the format of the files is not known", where=where, expected="names that end in " + ", ".join(SUFFIXES),
            found=unread[0], fix='state it: { path = "...", format = "parquet" }, or csv, csv.gz',
        )  # fmt: skip
    if read:
        return None
    return DataError(
        "the folder holds no data file" if folder else "no file matches the pattern", where=where,
        expected="at least one file that ends in " + ", ".join(SUFFIXES), found="none",
        fix="correct the path; names that begin with . or _ do not count",
    )  # fmt: skip
