"""Cells by system and rates by arm, protected together: an arm's rate is the sum of its systems' cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from p4equity.disclosure.marks import Flags, apply, protect, small
from p4equity.disclosure.nested import Pair, families

REASON = "a count below the disclosure threshold, here or where this one would reveal it"  # does not say which of the two
EXITED = "exited"  # cells that are in no arm's total
ALL = "all"
KEY = ["measure_id", "year", "arm", "group"]
Counts = NDArray[np.float64]


def protect_cells(
    cells: pd.DataFrame, rates: pd.DataFrame, threshold: int, nested: Iterable[Pair] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells and arm rates with their numbers emptied where they are small or would reveal what is.

    For each measure, year and arm two kinds of sums are published: over systems within a group, and over groups. A hidden cell
    must lie, in every sum that is known, with another one, and what is known of them together must not be small. Measures that
    are `nested` (whole, part) share one mask: denominators, numerators, the rest and the difference of the two are protected
    as one, in the arms of either. The one reason does not say whether a count is small itself.
    """
    proportions = rates["unit_kind"] == "percent"
    arms = rates[proportions]
    hidden: set[tuple[object, ...]] = set()
    hidden_cells = np.zeros(len(cells), bool)
    pairs = list(nested)
    for family in families(cells["measure_id"].unique(), pairs):
        own = cells["measure_id"].isin(family).to_numpy()
        flags, totals = _family(cells[own], family, [p for p in pairs if p[0] in family], threshold)
        hidden_cells[own] = flags
        hidden |= totals
    hidden_arms = np.array([key in hidden for key in arms[KEY].itertuples(index=False, name=None)], bool)
    shown_cells = _marked(cells, hidden_cells, ("den", "num"))
    shown_arms = _marked(arms, hidden_arms, ("den", "num", "rate", "std_error"))
    rest = protect(rates[~proportions], counts=("den",), numbers=("den", "rate", "std_error"), lines=[], threshold=threshold)
    return shown_cells, pd.concat([part for part in (shown_arms, rest) if len(part)], ignore_index=True)


def _marked(frame: pd.DataFrame, flags: Flags, numbers: Sequence[str]) -> pd.DataFrame:
    out = apply(frame, flags, flags, numbers)
    out["reason"] = pd.Series(REASON, index=out.index, dtype=object).where(pd.Series(flags, index=out.index), None)
    return out


def _family(
    cells: pd.DataFrame, family: Sequence[str], pairs: Sequence[Pair], threshold: int
) -> tuple[Flags, set[tuple[object, ...]]]:
    """Hidden rows of the cells of one family of measures, and the keys of hidden arm totals."""
    leaf = cells.groupby(["year", "system_id", "group"], sort=True).ngroup().to_numpy()
    counts = _counts(cells, leaf, family, pairs)
    first = np.unique(leaf, return_index=True)[1]
    keys = cells.iloc[first]
    fine = _fine_arms(cells, family)
    arm = np.array([fine[s, y] for s, y in zip(keys["system_id"], keys["year"], strict=True)])
    names, group = np.unique(keys["group"].to_numpy(str), return_inverse=True)
    year = keys["year"].to_numpy()
    flags: Flags = np.asarray(small(counts, threshold).any(axis=1))
    totals: set[tuple[object, ...]] = set()
    for which in {(a, y) for a, y in zip(arm, year, strict=True) if a != EXITED}:
        at = np.flatnonzero((arm == which[0]) & (year == which[1]))
        flags[at], hidden_groups, hidden_all = hide(counts[at], group[at], len(names), threshold)
        shown_as = [*names[hidden_groups], *([ALL] if hidden_all else [])]
        totals |= {(m, int(which[1]), a, str(g)) for m, a in zip(family, which[0].split("|"), strict=True) for g in shown_as}
    return flags[leaf], totals


def _counts(cells: pd.DataFrame, leaf: NDArray[np.int64], family: Sequence[str], pairs: Sequence[Pair]) -> Counts:
    """One row a system, group and year: denominator, numerator and rest of each measure and of each nested difference."""
    by_measure: dict[str, Counts] = {}
    for measure in family:
        own = (cells["measure_id"] == measure).to_numpy()
        both = np.zeros((int(leaf.max()) + 1, 2))
        np.add.at(both, leaf[own], cells.loc[own, ["den", "num"]].to_numpy(float))
        by_measure[measure] = both
    kinds = [*by_measure.values(), *(np.abs(by_measure[whole] - by_measure[part]) for whole, part in pairs)]
    rests = [np.abs(k[:, :1] - k[:, 1:]) for k in by_measure.values()]
    beyond = [by_measure[whole] - by_measure[part] for whole, part in pairs]
    rests += [np.abs(k[:, :1] - k[:, 1:]) for k in beyond]
    return np.hstack([*kinds, *rests])


def _fine_arms(cells: pd.DataFrame, family: Sequence[str]) -> dict[tuple[str, int], str]:
    """Arm of a system in a year under every measure of the family, in one word; EXITED once it is in no arm's total."""
    left = set(cells.loc[cells["arm"] == EXITED, ["system_id", "year"]].itertuples(index=False, name=None))
    stayed = cells[cells["arm"] != EXITED].drop_duplicates(["system_id", "measure_id"])
    arms = stayed.set_index(["system_id", "measure_id"])["arm"].to_dict()
    keys = cells[["system_id", "year"]].drop_duplicates().itertuples(index=False, name=None)
    return {(s, y): EXITED if (s, y) in left else "|".join(str(arms.get((s, m), "")) for m in family) for s, y in keys}


def hide(counts: Counts, group: NDArray[np.int64], n_groups: int, threshold: int) -> tuple[Flags, Flags, bool]:
    """Rows, group totals and the total over groups to hide in one arm and year, so that no sum tells a small one.

    counts: rows x kinds of counts; group: code of each row. What is known of hidden rows are their sums: by group where its total
    is shown, and over all groups whose totals are hidden where the total over groups is shown. Each must be of two or more rows
    and, for every kind, 0 or at least the threshold; a hidden total must have such company too. The smallest open row or total
    is hidden until this holds.
    """
    size = counts.max(axis=1)
    rows: Flags = np.asarray(small(counts, threshold).any(axis=1))
    sums = np.array([counts[group == g].sum(axis=0) for g in range(n_groups)])
    weight = sums.max(axis=1)
    totals: Flags = np.asarray(small(sums, threshold).any(axis=1))
    whole = bool(small(counts.sum(axis=0), threshold).any())
    while True:
        before = (rows.sum(), totals.sum(), whole)
        for g in np.flatnonzero(~totals):
            totals[g] = not _keep_company(counts, rows, group == g, threshold)
        for g in np.flatnonzero(totals):  # a hidden total with nothing hidden beneath is the sum of what is shown
            if not (rows & (group == g) & (size > 0)).any():
                _hide_smallest(rows, group == g, size)
        if (totals & (weight > 0)).sum() == 1 and not whole:
            whole = not _hide_smallest(totals, ~totals, weight)
        if whole and not (totals & (weight > 0)).any():
            _hide_smallest(totals, ~totals, weight)
        if not whole:
            whole = not _keep_company(counts, rows, totals[group], threshold)
        if before == (rows.sum(), totals.sum(), whole):
            return rows, totals, whole


def _keep_company(counts: Counts, rows: Flags, among: Flags, threshold: int) -> bool:
    """Hide further rows among some until their hidden ones are safe together; False when there are too few for that."""
    while not _safe(counts, rows & among, threshold):
        if not _hide_smallest(rows, among, counts.max(axis=1)):
            return False
    return True


def _hide_smallest(flags: Flags, among: Flags, size: Counts) -> bool:
    """Flag the smallest one that is not flagged and not empty; False when there is none."""
    index = np.flatnonzero(among & ~flags & (size > 0))
    if len(index):
        flags[index[np.argmin(size[index])]] = True
    return bool(len(index))


def _safe(counts: Counts, hidden: Flags, threshold: int) -> bool:
    live = np.flatnonzero(hidden & (counts.max(axis=1) > 0))
    if len(live) < 2:
        return len(live) == 0
    return not bool(small(counts[live].sum(axis=0), threshold).any())
