"""The marks of disclosure control: which rows of a table are small, which would reveal them, and how both are emptied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from p4equity.estimates import SUPPRESSED

SMALL = "a count below the disclosure threshold"
COMPLEMENT = "suppressed so that a smaller count cannot be derived"
PEOPLE = ("members", "persons", "respondents", "interviews")  # bases whose counts are protected
Flags = NDArray[np.bool_]


def small(values: pd.Series | NDArray[np.float64], threshold: int) -> Flags:
    """Which counts are 1 to threshold - 1. Zero may be shown; missing is not small."""
    array = np.asarray(values, float)
    return np.asarray((array > 0) & (array < threshold))


def primary_flags(
    frame: pd.DataFrame, counts: Sequence[str], threshold: int, complements: Sequence[tuple[str, str]] = ()
) -> Flags:
    """Rows in which a count, or the difference of a pair (whole, part), is small."""
    flags = np.zeros(len(frame), bool)
    for name in counts:
        flags |= small(frame[name], threshold)
    for whole, part in complements:
        flags |= small(frame[whole] - frame[part], threshold)
    return flags


def complementary_flags(
    frame: pd.DataFrame,
    flags: Flags,
    lines: Sequence[Sequence[str]],
    counts: Sequence[str],
    threshold: int,
    complements: Sequence[tuple[str, str]] = (),
    totals: Sequence[str] = (),
) -> Flags:
    """Further rows to suppress so that no published total reveals a suppressed one.

    lines: column lists; rows equal in them are one line, a sum that is published. totals: for each line a bool column that marks
    the row which is the sum of the others, where the frame holds it. Within a line the suppressed rows must be none, or two or
    more; and unless the total is one of them, their summed counts (and differences) must each be 0 or at least the threshold. The
    open row with the smallest first count is suppressed until this holds.
    """
    out = flags.copy()
    parts = [frame[c].to_numpy(float) for c in counts] + [(frame[w] - frame[p]).to_numpy(float) for w, p in complements]
    codes = [frame.groupby(list(line), sort=False, dropna=False).ngroup().to_numpy() for line in lines]
    sums = [frame[name].to_numpy(bool) if name else np.zeros(len(frame), bool) for name in totals or [""] * len(lines)]
    size = parts[0]
    changed = True
    while changed:
        changed = False
        for code, total in zip(codes, sums, strict=True):
            for group in np.unique(code[out]):
                index = np.flatnonzero(code == group)
                while not _safe(parts, out, total, index, threshold):
                    open_rows = index[~out[index] & (size[index] > 0)]
                    if not len(open_rows):
                        break
                    out[open_rows[np.argmin(size[open_rows])]] = True
                    changed = True
    return out


def _safe(parts: Sequence[NDArray[np.float64]], flags: Flags, total: Flags, index: NDArray[np.int64], threshold: int) -> bool:
    hidden = index[flags[index]]
    live = hidden[parts[0][hidden] > 0]
    if len(live) < 2:
        return len(live) == 0
    return bool(total[hidden].any()) or not any(0 < part[hidden].sum() < threshold for part in parts)


def apply(frame: pd.DataFrame, flags: Flags, primary: Flags, numbers: Sequence[str]) -> pd.DataFrame:
    """The frame with the numbers of flagged rows emptied and `status` and `reason` filled."""
    out = frame.copy()
    for name in numbers:
        out[name] = (
            out[name].astype("Float64" if out[name].dtype.kind == "f" else "Int64").mask(pd.Series(flags, index=out.index))
        )
    out["status"] = np.where(flags, SUPPRESSED, "ok")
    reasons = pd.Series(np.where(primary, SMALL, COMPLEMENT), index=out.index, dtype=object)
    out["reason"] = reasons.where(pd.Series(flags, index=out.index), None)
    return out


def protect(
    frame: pd.DataFrame,
    *,
    counts: Sequence[str],
    numbers: Sequence[str],
    lines: Sequence[Sequence[str]],
    threshold: int,
    complements: Sequence[tuple[str, str]] = (),
) -> pd.DataFrame:
    """Primary and complementary suppression of one table. threshold 0 or 1 protects nothing (published data)."""
    if frame.empty:
        return frame.assign(status=pd.Series(dtype=object), reason=pd.Series(dtype=object))
    first = primary_flags(frame, counts, threshold, complements)
    flags = complementary_flags(frame, first, lines, counts, threshold, complements)
    return apply(frame, flags, first, numbers)
