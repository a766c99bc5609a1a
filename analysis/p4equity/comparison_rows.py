"""Rows of two tables matched by what identifies them, and each value that differs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from p4equity.errors import DataError

PROVENANCE = ("plan_hash", "data_hash", "code_version", "seed")
ABSOLUTE = 1e-9
ID = "row_id"


def read_rows(path: Path) -> pd.DataFrame:
    """A table as texts, empty where nothing is given. Raises DataError when the file is no such table."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError:
        raise DataError(
            "the table cannot be read as CSV",
            where=str(path),
            expected="a header and rows in UTF-8",
            fix="repeat the run that wrote it",
        ) from None


def differences(a: pd.DataFrame, b: pd.DataFrame, tolerance: float) -> list[str]:
    """One line a row, column or value that differs; the order of rows and of columns does not count."""
    lines = [f"column {name} only in the first" for name in a.columns if name not in b and name not in PROVENANCE]
    lines += [f"column {name} only in the second" for name in b.columns if name not in a and name not in PROVENANCE]
    shared = [name for name in a.columns if name in b and name not in PROVENANCE]
    keys = _key_columns(a, shared)
    a, b = _keyed(a, keys, shared), _keyed(b, keys, shared)
    lines += [f"row {key} only in the first" for key in a.index.difference(b.index, sort=False)]
    lines += [f"row {key} only in the second" for key in b.index.difference(a.index, sort=False)]
    rows = a.index.intersection(b.index, sort=False)
    a, b = a.loc[rows], b.loc[rows]
    for name in shared:
        x, y = a[name], b[name]
        unlike = ~_equal(x, y, tolerance)
        lines += [
            f"row {key}, {name}: {p or 'empty'} against {q or 'empty'}"
            for key, p, q in zip(rows[unlike], x[unlike], y[unlike], strict=True)
        ]
    return lines


def _key_columns(frame: pd.DataFrame, shared: Sequence[str]) -> list[str]:
    """The row id, else the first columns of words and whole numbers that tell the rows of the first table apart."""
    usable = [name for name in shared if not _fractions(frame[name])]
    usable.sort(key=lambda name: name != ID)
    for n in range(1, len(usable) + 1):
        if not frame.duplicated(usable[:n]).any():
            return usable[:n]
    return usable


def _fractions(column: pd.Series) -> bool:
    """Whether a column holds measured numbers, which cannot identify a row."""
    numbers = pd.to_numeric(column.where(column != ""), errors="coerce").to_numpy(float)
    given = numbers[np.isfinite(numbers)]
    return bool(len(given)) and bool((given != np.trunc(given)).any())


def _keyed(frame: pd.DataFrame, keys: Sequence[str], shared: Sequence[str]) -> pd.DataFrame:
    """The frame under its key; rows with the same key are numbered in the order of their other values."""
    parts = [frame[name].str.replace(r"\.0+$", "", regex=True) for name in keys]
    label = pd.Series("", index=frame.index, dtype=object)
    for i, part in enumerate(parts):
        label = label + (", " if i else "") + part
    if not label.is_unique:
        frame = frame.assign(**{"": label}).sort_values([*keys, *(n for n in shared if n not in keys)], kind="stable")
        label = frame.pop("")
        again = label.groupby(label).cumcount()
        label = label.where(again == 0, label + " (repeated " + again.astype(str) + ")")
    return frame.set_axis(pd.Index(label, dtype=object), axis=0)


def _equal(x: pd.Series, y: pd.Series, tolerance: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    p, q = (pd.to_numeric(v, errors="coerce").to_numpy(float) for v in (x, y))
    near = np.isclose(p, q, rtol=tolerance, atol=ABSOLUTE)
    same: np.ndarray[tuple[int], np.dtype[np.bool_]] = near | (x.to_numpy(object) == y.to_numpy(object))
    return same
