"""Precision by cell: denominators and errors are hidden where a denominator behind them is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from p4equity.disclosure.marks import SMALL
from p4equity.estimates import SUPPRESSED

POOLED = "pooled"


def protect_precision(table: pd.DataFrame, cells: pd.DataFrame, years: Iterable[int], groups: Sequence[str]) -> pd.DataFrame:
    """Rows without numbers whose group, or the reference, has a hidden cell in one of `years`: an error tells the size.

    cells: the released cells, status suppressed where hidden. groups: the reference first, then the compared ones. The mean
    gap of a system goes with any of its groups, for the others' errors would tell the hidden one's.
    """
    hidden = cells[(cells["status"] == SUPPRESSED) & cells["year"].isin(list(years)) & cells["group"].isin(list(groups))]
    keys = set(zip(hidden["system_id"], hidden["measure_id"], hidden["group"], strict=True))
    whole = {(s, m) for s, m, g in keys} if POOLED in set(table["group"]) else set()
    flags = [
        (s, m, g) in keys or (s, m, groups[0]) in keys or (g == POOLED and (s, m) in whole)
        for s, m, g in zip(table["system_id"], table["measure_id"], table["group"], strict=True)
    ]
    out = table.astype({"status": object, "reason": object})
    for name in out.columns:
        if out[name].dtype.kind == "f":
            out.loc[flags, name] = float("nan")
        elif out[name].dtype.name == "boolean" and name != "contracted":
            out.loc[flags, name] = pd.NA
    out.loc[flags, "status"], out.loc[flags, "reason"] = SUPPRESSED, SMALL
    return out
