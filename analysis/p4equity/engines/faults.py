"""What goes wrong in a database, in words that fit every engine and repeat no value of a person."""

from __future__ import annotations

import tempfile

from p4equity.errors import DataError, P4Error

FULL = "No space left on device"


def unfit_values(found: str) -> DataError:
    """Values that cannot be cast, or a sum that leaves its type. `found`: the engine's name of the fault."""
    return DataError(
        "a column holds values that do not fit its type",
        where="cells",
        expected="the types of data_dictionary/tables/",
        found=found,
        fix="p4equity validate names table, column and row counts",
    )


def unreadable_file(found: str) -> DataError:
    """A file that was there when the extract was opened and can no longer be read. `found`: the engine's name of the fault."""
    return DataError(
        "a file of the extract cannot be read",
        where="cells",
        expected="every file as it was when the extract was opened",
        found=found,
        fix="check that the files are still there and whole (p4equity validate), then run again: nothing was written",
    )


def full_disk() -> P4Error:
    """No room for what an engine keeps on disk between its steps."""
    return P4Error(
        "the disk is full",
        where=f"{tempfile.gettempdir()}, where intermediate tables go",
        fix="free some space, or set TMPDIR to a folder with more of it, then run again: nothing was written",
    )
