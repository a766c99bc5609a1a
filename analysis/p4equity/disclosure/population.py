"""Flow chart and baseline characteristics, protected together: some of their numbers are the same members counted once."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from p4equity.disclosure.marks import Flags, apply, complementary_flags, small
from p4equity.estimates import SUPPRESSED

RACE = "race_ethnicity"  # the characteristic whose levels are the groups of the flow chart
SERIES = ["arm", "group", "year"]


def protect_flow(flow: pd.DataFrame, threshold: int) -> pd.DataFrame:
    """Flow-chart counts: a step is hidden when it, or the loss since a step that is shown, is small; groups and arms add up."""
    return protect_population(flow, None, threshold, None)[0]


def protect_population(
    flow: pd.DataFrame, profile: pd.DataFrame | None, threshold: int, year: int | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Flow chart and profile of baseline `year`. The same members in both, or in two steps without a loss, are one number.

    A standardized difference joins the shares of both arms: it goes where either of them does.
    """
    if profile is None:
        profile = pd.DataFrame(columns=["characteristic", "level", "arm", "n", "share", "smd"])
    both = _together(flow, profile, year)
    first = small(both["n"], threshold) | small(both["dropped"].abs(), threshold)
    flags, first = _spread(both, first, threshold)
    n = len(flow)
    shown = apply(flow, flags[:n], first[:n], ("n", "dropped"))
    hidden = shown["status"] == SUPPRESSED
    follows = hidden.groupby([shown[c] for c in SERIES]).shift(fill_value=False)
    shown["dropped"] = shown["dropped"].mask(follows)
    table = apply(profile, flags[n:], first[n:], ("n", "share"))
    either = (table["status"] == SUPPRESSED).groupby([table["characteristic"], table["level"]]).transform("any")
    return shown, table.assign(smd=table["smd"].astype("Float64").mask(either.astype(bool)))


def _together(flow: pd.DataFrame, profile: pd.DataFrame, year: int | None) -> pd.DataFrame:
    """Rows of both: n, loss, the two sums a row is part of, the flow's series and step, and which rows are one number."""
    keys = flow[SERIES].astype(str).agg("|".join, axis=1)
    step = flow["step"].astype(str) + "|" + flow["year"].astype(str)
    first = pd.DataFrame(
        {
            "n": flow["n"].astype(float), "dropped": flow["dropped"].astype("Float64").astype(float), "series": keys,
            "step": flow["step"].astype(float),
            "by_group": step + "|arm|" + flow["arm"], "by_arm": step + "|group|" + flow["group"],
        }
    )  # fmt: skip
    change = (first["dropped"] != 0).groupby(first["series"]).cumsum()
    first["same"] = first["series"] + "|" + change.astype(str)
    names = profile["characteristic"].astype(str) + "|" + profile["arm"].astype(str)
    alone = [f"profile|{i}" for i in range(len(profile))]
    second = pd.DataFrame(
        {"n": profile["n"].astype(float), "dropped": np.nan, "series": alone, "step": np.nan, "by_group": names, "by_arm": alone}
    ).assign(same=alone)
    known = {(s, n): same for s, n, same in zip(first["series"], first["n"], first["same"], strict=True)}
    race = (profile["characteristic"] == RACE).to_numpy()
    series = profile["arm"].astype(str) + "|" + profile["level"].astype(str) + f"|{year}"
    found = [known.get((s, n)) if r else None for s, n, r in zip(series, second["n"], race, strict=True)]
    second["same"] = [f or s for f, s in zip(found, second["same"], strict=True)]
    return pd.concat([first, second], ignore_index=True)


def _spread(both: pd.DataFrame, first: Flags, threshold: int) -> tuple[Flags, Flags]:
    """All rows to hide, and those among them that are small themselves or follow a small loss."""
    same = both.groupby("same", sort=False).ngroup().to_numpy()
    lines = [("by_group",), ("by_arm",)]
    counts = both.assign(dropped=both["dropped"].abs().fillna(0.0))
    flags = first.copy()
    while True:
        before = flags.sum()
        first |= _small_losses(both, flags, threshold)
        flags |= first
        flags = complementary_flags(counts, flags, lines, ("n", "dropped"), threshold)
        told = _determined(both, flags)
        for code in both.loc[told, "by_group"].unique():
            line = (both["by_group"] == code).to_numpy() & ~flags & (both["n"] > 0).to_numpy()
            if line.any():
                flags[both.index[line][np.argmin(both.loc[line, "n"])]] = True
        flags |= np.isin(same, same[flags])
        if flags.sum() == before:
            return flags, first


def _small_losses(both: pd.DataFrame, flags: Flags, threshold: int) -> Flags:
    """Shown steps that differ by a small count from the step shown before them, whatever lies hidden between."""
    shown = both[~flags & both["step"].notna().to_numpy()].sort_values(["series", "step"])
    loss = shown.groupby("series")["n"].diff().abs()
    out = np.zeros(len(both), bool)
    out[shown.index[small(loss, threshold)]] = True
    return out


def _determined(both: pd.DataFrame, flags: Flags) -> Flags:
    """Hidden rows of the flow that sums over groups and over arms determine together, though neither does alone."""
    out = np.zeros(len(both), bool)
    flow = both["step"].notna().to_numpy() & flags
    part = both["by_group"].str.split("|arm|", regex=False).str[0].to_numpy()
    for which in np.unique(part[flow].astype(str)):
        hidden = np.flatnonzero(flow & (part == which))
        sums = []
        for column, total in (("by_group", "by_arm"), ("by_arm", "by_group")):
            line, whole = both[column].to_numpy()[hidden], both[total].str.endswith("|all").to_numpy()[hidden]
            sums += [np.where(line == code, np.where(whole, -1.0, 1.0), 0.0) for code in np.unique(line)]
        out[hidden[determined(np.array(sums))]] = True
    return out


def determined(sums: NDArray[np.float64]) -> Flags:
    """Which unknowns the equations (rows: sums of unknowns that are known) fix: those that no solution of sums = 0 moves."""
    _, values, directions = np.linalg.svd(sums)
    rank = int((values > 1e-9).sum())
    return np.asarray((np.abs(directions[rank:]) < 1e-9).all(axis=0))
