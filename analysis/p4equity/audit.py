"""The auditor's view of released tables: small counts, and what published totals say about suppressed cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from p4equity.disclosure import PEOPLE, small

COUNTS = ("den", "num", "n", "dropped", "n_self_reported", "n_members")
PAIRS = (("den", "num"), ("n", "n_self_reported"))


def audit_folder(folder: Path, threshold: int) -> list[str]:
    """Every leak in the CSV tables of a run: small counts, small differences, and suppressed cells known too closely."""
    if threshold <= 1:
        return []
    leaks: list[str] = []
    for path in sorted([*folder.glob("*.csv"), *(folder / "results").glob("*.csv"), *(folder / "exhibits").glob("*.csv")]):
        try:
            frame = pd.read_csv(path, keep_default_na=False, na_values=[""], low_memory=False)
        except ValueError:
            leaks.append(f"{path.relative_to(folder)}: not a table that can be checked")
            continue
        leaks += [f"{path.relative_to(folder)}: {text}" for text in audit_frame(frame, threshold)]
    results = folder / "results"
    if (results / "cells.csv").is_file() and (results / "rate.csv").is_file():
        cells, rates = (pd.read_csv(results / f"{n}.csv", keep_default_na=False, na_values=[""]) for n in ("cells", "rate"))
        leaks += [f"results/cells.csv: {text}" for text in audit_totals(cells, rates, threshold)]
    return leaks


def audit_frame(frame: pd.DataFrame, threshold: int) -> list[str]:
    """Small counts and small differences of one table, in words without the counts themselves."""
    out = []
    if "basis" in frame:  # counts of systems, grants or reports are not counts of persons
        frame = frame[frame["basis"].isin(PEOPLE)]
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
    """Suppressed cells whose value, given all published cells and arm totals, is known exactly or to be under the threshold.

    For each measure, year and arm: what a published group total leaves for its suppressed systems, and what the total over groups
    leaves for groups whose own total is suppressed. Each line is one sum of non-negative counts, so the feasible interval of a
    suppressed cell is [0, rest], or the rest itself when the cell stands alone (the linear programme has this closed form).
    """
    out = []
    totals = rates[rates["unit_kind"] == "percent"]
    known = dict(iter(totals.groupby(["measure_id", "year", "arm"])))
    for (measure, year, arm), part in cells.groupby(["measure_id", "year", "arm"]):
        published = known.get((measure, year, arm))
        if published is None:
            continue
        for count in ("den", "num"):
            bad = sum(rest > 0 and (hidden == 1 or rest < threshold) for hidden, rest in suppressed_lines(part, published, count))
            if bad:
                out.append(f"{count} of {measure} in {year}, {arm}: {bad} sums of suppressed cells say too much")
    return out


def suppressed_lines(part: pd.DataFrame, published: pd.DataFrame, count: str) -> list[tuple[int, float]]:
    """(number of suppressed cells, their published sum) of every line of one measure, year and arm."""
    total = published.set_index("group")[count].astype(float)
    lines, open_cells, explained = [], 0, 0.0
    for group, own in part.groupby("group"):
        hidden, shown = int(own[count].isna().sum()), float(own[count].sum())
        if group in total.index and pd.notna(total[group]):
            lines.append((hidden, float(total[group]) - shown))
            explained += float(total[group])
        else:
            open_cells, explained = open_cells + hidden, explained + shown
    if "all" in total.index and pd.notna(total["all"]):
        lines.append((open_cells, float(total["all"]) - explained))
    return [(hidden, round(rest)) for hidden, rest in lines if hidden]
