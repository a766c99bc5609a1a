"""Places for output: what the system would refuse later is said before any work is done."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from p4equity.errors import UsageError

_NOT_THE_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM)  # they have words of their own


def check_place(target: Path, what: str = "folder") -> None:
    """Raise UsageError when nothing can be made at `target`: it lies below a file, or in a folder of the system's own."""
    inside = target.parent
    while not inside.exists() and inside != inside.parent:
        inside = inside.parent
    found = f"{inside} is a file"
    if inside.is_dir():
        try:
            Path(tempfile.mkdtemp(prefix=".p4equity-", dir=inside)).rmdir()
        except OSError as error:
            if error.errno in _NOT_THE_PLACE:
                raise
            found = f"{inside}: {os.strerror(error.errno or errno.EIO)}"
        else:
            return
    raise UsageError(
        f"no {what} can be made here", where=str(target), expected=f"a {what} in a folder that can be written to", found=found,
        fix="choose another place",
    )  # fmt: skip


def check_file(target: Path) -> None:
    """Raise UsageError when no file can be written at `target`: it is a folder, or `check_place` says why."""
    if target.is_dir():
        raise UsageError(
            "the file to write is a folder", where=str(target), expected="the name of a file",
            fix=f"name a file in it, such as {target / 'validation.json'}",
        )  # fmt: skip
    check_place(target, "file")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` for a block to write to: it becomes `path` when the block succeeds, else it goes."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
