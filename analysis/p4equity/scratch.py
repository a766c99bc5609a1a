"""Folders in use as long as a process works in them: removed when its work ends, or by the next process when it was killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from p4equity.locks import taken

_PREFIX, _LOCK = "p4equity-", "lock"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder in TMPDIR that is itself TMPDIR for the block, here and in processes started there; it goes with the block.

    Spilled tables, kernels and their sockets all land in it. What killed processes left is removed first: their locks are open.
    """
    before, before_here = os.environ.get("TMPDIR"), tempfile.tempdir
    with folder_in_use(Path(tempfile.gettempdir()), _PREFIX) as folder:
        try:
            os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
            yield folder
        finally:
            tempfile.tempdir = before_here
            if before is None:
                os.environ.pop("TMPDIR", None)
            else:
                os.environ["TMPDIR"] = before


@contextmanager
def folder_in_use(place: Path, prefix: str, suffix: str = "") -> Iterator[Path]:
    """A new folder in `place`, named with prefix and suffix, for a block, and gone with it.

    Those of the same prefix and suffix that killed processes left are removed first: each holds a lock, and theirs is open.
    """
    for lock in place.glob(f"{escape(prefix)}*{escape(suffix)}/{_LOCK}"):
        with suppress(OSError), lock.open("r+") as handle:  # another user's, or gone by now
            if taken(handle):
                shutil.rmtree(lock.parent, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=place))
    try:
        with (folder / "new").open("w") as handle:
            with suppress(OSError):  # a place without locks: nobody can tell whether this folder is in use, and none removes it
                taken(handle)
                (folder / "new").rename(folder / _LOCK)  # locked before it has the name that others look for
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
