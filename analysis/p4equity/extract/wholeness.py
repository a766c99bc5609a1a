"""Whether the files of a table are whole: a few bytes of each are read."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from p4equity.errors import DataError
from p4equity.extract.files import TableFiles

_MAGIC = b"PAR1"


def faults(table: TableFiles) -> Iterator[DataError]:
    """Files that are gone, or no whole Parquet or gzip file."""
    for f, name in zip(table.files, table.names, strict=True):
        try:
            problem = _parquet_fault(f) if table.kind == "parquet" else _csv_fault(table.open_text(f))
            found = f"{f.stat().st_size} bytes"
        except FileNotFoundError:
            problem, found = "the file is gone", "nothing"
        except OSError as error:
            problem, found = f"the file cannot be opened: {error.strerror}", "a file"
        if problem:
            yield DataError(
                problem,
                where=f"{name}: table {table.name}",
                expected=f"a whole {'Parquet' if table.kind == 'parquet' else 'CSV'} file",
                found=found,
                fix="copy or write the file again",
            )


def _parquet_fault(path: Path) -> str | None:
    size = path.stat().st_size
    with path.open("rb") as f:
        head = f.read(4)
        if size < 12 or head != _MAGIC:
            return "not a Parquet file" if size else "the file is empty"
        f.seek(-8, 2)
        tail = f.read(8)
    footer = int.from_bytes(tail[:4], "little")
    return None if tail[4:] == _MAGIC and footer + 12 <= size else "the Parquet file is truncated"


def _csv_fault(opened: Any) -> str | None:
    try:
        with opened as f:
            return None if f.readline().strip() else "the file is empty: not even a header"
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError, zlib.error):
        return "the file cannot be read as UTF-8 text"
