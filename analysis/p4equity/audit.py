"""The auditor's view of released tables: small counts, and what published totals say about suppressed cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linprog

from p4equity.disclosure import small

COUNTS = ("den", "num", "n", "dropped", "n_self_reported", "n_members")
PAIRS = (("den", "num"), ("n", "n_self_reported"))


def audit_folder(folder: Path, threshold: int) -> list[str]:
    """Every leak in the CSV tables of a run: small counts, small differences, and suppressed cells known too closely."""
    if threshold <= 1:
        return []
    leaks: list[str] = []
    for path in sorted([*folder.glob("*.csv"), *(folder / "results").glob("*.csv"), *(folder / "exhibits").glob("*.csv")]):
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""], low_memory=False)
        leaks += [f"{path.relative_to(folder)}: {text}" for text in audit_frame(frame, threshold)]
    results = folder / "results"
    if (results / "cells.csv").is_file() and (results / "rate.csv").is_file():
        cells, rates = (pd.read_csv(results / f"{n}.csv", keep_default_na=False, na_values=[""]) for n in ("cells", "rate"))
        leaks += [f"results/cells.csv: {text}" for text in audit_totals(cells, rates, threshold)]
    return leaks


def audit_frame(frame: pd.DataFrame, threshold: int) -> list[str]:
    """Small counts and small differences of one table, in words without the counts themselves."""
    out = []
    for name in COUNTS:
        if name in frame and pd.api.types.is_numeric_dtype(frame[name]):
            hits = int(small(frame[name].to_numpy(float), threshold).sum())
            if hits:
                out.append(f"column {name}: {hits} counts of 1 to {threshold - 1}")
    for whole, part in PAIRS:
        if whole in frame and part in frame:
            proportions = frame["unit_kind"] == "percent" if "unit_kind" in frame else np.ones(len(frame), bool)
            hits = int(small((frame[whole] - frame[part])[proportions].to_numpy(float), threshold).sum())
            if hits:
                out.append(f"{whole} minus {part}: {hits} counts of 1 to {threshold - 1}")
    if "status" in frame and "n" in frame:
        shown = int(frame.loc[frame["status"] == "suppressed", "n"].notna().sum())
        if shown:
            out.append(f"{shown} suppressed rows carry a number")
    return out


def audit_totals(cells: pd.DataFrame, rates: pd.DataFrame, threshold: int) -> list[str]:
    """Suppressed cells whose feasible interval, given all published cells and arm totals, is too narrow.

    For each measure and year, counts of systems by group are unknowns between 0 and the arm's total; published cells and totals
    are equations. A suppressed cell must be able to be below 1 and at least the threshold (linear programmes by HiGHS).
    """
    out = []
    totals = rates[rates["unit_kind"] == "percent"]
    for (measure, year), part in cells.groupby(["measure_id", "year"]):
        known = totals[(totals["measure_id"] == measure) & (totals["year"] == year)]
        for count in ("den", "num"):
            bad = _too_narrow(part.reset_index(drop=True), known, count, threshold)
            if bad:
                out.append(f"{count} of {measure} in {year}: {bad} suppressed cells can be derived too closely")
    return out


def _too_narrow(part: pd.DataFrame, totals: pd.DataFrame, count: str, threshold: int) -> int:
    hidden = np.flatnonzero(part[count].isna().to_numpy())
    if not len(hidden):
        return 0
    rows, right = [], []
    for keys, total in totals.set_index(["arm", "group"])[count].items():
        arm, group = keys
        member = (part["arm"] == arm) & ((part["group"] == group) | (group == "all"))
        if pd.notna(total) and member.any():
            rows.append(member.to_numpy(float)[hidden])
            right.append(float(total) - float(part.loc[member, count].sum()))
    if not rows:
        return 0
    A, b = np.array(rows), np.array(right)
    narrow = 0
    for i in range(len(hidden)):
        c = np.zeros(len(hidden))
        c[i] = 1
        ends = [linprog(sign * c, A_eq=A, b_eq=b, bounds=(0, None), method="highs") for sign in (1, -1)]
        if all(e.success for e in ends):
            low, high = ends[0].fun, -ends[1].fun
            narrow += int(high < threshold or low > high - 1)
    return narrow
