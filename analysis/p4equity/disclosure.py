"""Disclosure control: counts of 1 to threshold - 1, and whatever would reveal them, never leave.

Every function marks rows with a `status` and a `reason` and empties their numbers; a suppressed count is never a zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from p4equity.estimates import ANSWER, SUPPRESSED

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


def protect_cells(cells: pd.DataFrame, rates: pd.DataFrame, threshold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells by system and rates by arm together, because an arm's rate is the sum of its systems' cells.

    Two kinds of sums are published for each measure, year and arm: over systems within a group, and over groups. Both totals
    stand in the protected table, so that a hidden total does not need, and a shown one does not reveal, what is beneath it.
    """
    proportions = rates["unit_kind"] == "percent"
    arms = rates[proportions]
    whole = arms["group"] == "all"
    base = ["measure_id", "year", "arm", "group", "den", "num"]
    parts = [cells[base].assign(level="cell"), arms[base].assign(level=np.where(whole, "all", "group"))]
    both = pd.concat(parts, ignore_index=True)
    row = pd.Series(np.arange(len(both)).astype(str), index=both.index)
    both["over_systems"] = both["group"].where(both["level"] != "all", row)
    both["over_groups"] = row.where(both["level"] == "cell", "groups")
    both["sum_of_systems"], both["sum_of_groups"] = both["level"] == "group", both["level"] == "all"
    counts, pairs, key = ("den", "num"), (("den", "num"),), ["measure_id", "year", "arm"]
    first = primary_flags(both, counts, threshold, pairs)
    lines = [[*key, "over_systems"], [*key, "over_groups"]]
    flags = complementary_flags(both, first, lines, counts, threshold, pairs, ("sum_of_systems", "sum_of_groups"))
    n = len(cells)
    shown_cells = apply(cells, flags[:n], first[:n], counts)
    numbers = ("den", "num", "rate", "std_error")
    shown_arms = apply(arms, flags[n:], first[n:], numbers)
    rest = protect(rates[~proportions], counts=("den",), numbers=("den", "rate", "std_error"), lines=[], threshold=threshold)
    return shown_cells, pd.concat([part for part in (shown_arms, rest) if len(part)], ignore_index=True)


def protect_flow(flow: pd.DataFrame, threshold: int) -> pd.DataFrame:
    """Flow-chart counts: a step is hidden when it, or the loss since the step before, is small; groups and arms have totals."""
    step = ["step", "year"]
    out = protect(
        flow, counts=("n", "dropped"), numbers=("n", "dropped"), lines=[[*step, "arm"], [*step, "group"]], threshold=threshold
    )
    hidden = out["status"] == SUPPRESSED
    follows = hidden.groupby([out["arm"], out["group"], out["year"]]).shift(fill_value=False)
    out["dropped"] = out["dropped"].mask(follows)
    return out


def protect_estimates(estimates: pd.DataFrame, threshold: int) -> pd.DataFrame:
    """Estimates based on fewer members than the threshold become suppressed."""
    return _emptied(estimates, small(estimates["n_members"].astype("float64"), threshold), SMALL)


def protect_systems(estimates: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Estimates of one system: hidden where exactly one of the cells behind them is, because they would then tell its rate.

    cells: the protected cells of the groups and years that enter estimates, with `status`.
    """
    hidden = cells[cells["status"] == SUPPRESSED].groupby(["system_id", "measure_id"]).size()
    alone = set(hidden.index[hidden == 1])
    telling = [pair in alone for pair in zip(estimates["system_id"], estimates["measure_id"], strict=True)]
    return _emptied(estimates, np.array(telling, bool), COMPLEMENT)


def _emptied(estimates: pd.DataFrame, flags: Flags, reason: str) -> pd.DataFrame:
    out = estimates.copy()
    if flags.any():
        out.loc[flags, [*ANSWER, "n_members", "n_cells"]] = None
        out.loc[flags, "status"], out.loc[flags, "reason"] = SUPPRESSED, reason
    return out
