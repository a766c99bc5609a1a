"""Disclosure control: counts of 1 to threshold - 1, and whatever would reveal them, never leave.

Every function marks rows with a `status` and a `reason` and empties their numbers; a suppressed count is never a zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
) -> Flags:
    """Further rows to suppress so that no published total reveals a suppressed one.

    lines: column lists; rows equal in them share a published total. Within a line the suppressed rows must be none, or at least
    two whose summed counts (and differences) are each 0 or at least the threshold, with the largest not dominating: the sum minus
    the largest is 0 or at least 1. The unsuppressed row with the smallest first count is added until this holds.
    """  # fmt: skip
    out = flags.copy()
    parts = [frame[c].to_numpy(float) for c in counts] + [(frame[w] - frame[p]).to_numpy(float) for w, p in complements]
    codes = [frame.groupby(list(line), sort=False, dropna=False).ngroup().to_numpy() for line in lines]
    size = parts[0]
    changed = True
    while changed:
        changed = False
        for code in codes:
            for group in np.unique(code[out]):
                index = np.flatnonzero(code == group)
                while not _safe(parts, out, index, threshold):
                    open_rows = index[~out[index] & (size[index] > 0)]
                    if not len(open_rows):
                        break
                    out[open_rows[np.argmin(size[open_rows])]] = True
                    changed = True
    return out


def _safe(parts: Sequence[NDArray[np.float64]], flags: Flags, index: NDArray[np.int64], threshold: int) -> bool:
    hidden = index[flags[index]]
    live = hidden[parts[0][hidden] > 0]
    if len(live) == 0:
        return True
    if len(live) == 1:
        return False
    return not any(0 < part[hidden].sum() < threshold for part in parts)


def apply(frame: pd.DataFrame, flags: Flags, primary: Flags, numbers: Sequence[str]) -> pd.DataFrame:
    """The frame with the numbers of flagged rows emptied and `status` and `reason` filled."""
    out = frame.copy()
    for name in numbers:
        out[name] = (
            out[name].astype("Float64" if out[name].dtype.kind == "f" else "Int64").mask(pd.Series(flags, index=out.index))
        )
    out["status"] = np.where(flags, "suppressed", "ok")
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


def protect_cells(cells: pd.DataFrame, rates: pd.DataFrame, threshold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells by system and rates by arm together: an arm's total is the sum of its systems' cells, so each protects the other.

    A year's cells of one measure, group and arm share a published total; groups of an arm share the total over groups. An arm row
    that must be hidden takes its total with it: then its systems need no complement, but all of them are small already.
    """
    counts, pairs = ("den", "num"), (("den", "num"),)
    protected = protect(
        cells, counts=counts, numbers=("den", "num"), lines=[("measure_id", "group", "year", "arm")], threshold=threshold,
        complements=pairs,
    )  # fmt: skip
    proportions = rates["unit_kind"] == "percent"
    by_group = rates[proportions & (rates["group"] != "all")]
    totals = rates[proportions & (rates["group"] == "all")]
    rest = rates[~proportions]
    numbers = ("den", "num", "rate", "std_error")
    done = [
        protect(
            by_group,
            counts=counts,
            numbers=numbers,
            lines=[("measure_id", "year", "arm")],
            threshold=threshold,
            complements=pairs,
        ),
        protect(totals, counts=counts, numbers=numbers, lines=[], threshold=threshold, complements=pairs),
        protect(rest, counts=("den",), numbers=[n for n in numbers if n in rest], lines=[], threshold=threshold),
    ]
    arms = pd.concat([part for part in done if len(part)], ignore_index=True) if len(rates) else rates
    return protected, arms


def protect_flow(flow: pd.DataFrame, threshold: int) -> pd.DataFrame:
    """Flow-chart counts: a step is hidden when it, or the loss since the step before, is small; groups and arms have totals."""
    step = ["step", "year"]
    out = protect(
        flow, counts=("n", "dropped"), numbers=("n", "dropped"), lines=[[*step, "arm"], [*step, "group"]], threshold=threshold
    )
    hidden = out["status"] == "suppressed"
    follows = hidden.groupby([out["arm"], out["group"], out["year"]]).shift(fill_value=False)
    out["dropped"] = out["dropped"].mask(follows)
    return out


def protect_estimates(estimates: pd.DataFrame, threshold: int) -> pd.DataFrame:
    """Estimates based on fewer members than the threshold become suppressed; base counts below it are emptied."""
    few = pd.Series(small(estimates["n_members"].astype("float64"), threshold), index=estimates.index)
    out = estimates.copy()
    if few.any():
        from p4equity.estimates import ANSWER

        out.loc[few, [*ANSWER, "n_members", "n_cells"]] = None
        out.loc[few, "status"], out.loc[few, "reason"] = "suppressed", SMALL
    return out
