"""What published sums and differences say about counts that are not shown, across tables."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from p4equity.disclosure import small

RACE = "race_ethnicity"


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
    # On arrays: an audit asks this of hundreds of lines, and groups of a frame would be most of its time.
    total = dict(zip(published["group"], published[count].to_numpy(float, na_value=np.nan), strict=True))
    groups, counts = part["group"].to_numpy(object), part[count].to_numpy(float, na_value=np.nan)
    lines, open_cells, explained = [], 0, 0.0
    for group in sorted(set(groups)):
        own = counts[groups == group]
        hidden, shown, known = int(np.isnan(own).sum()), float(np.nansum(own)), total.get(group, np.nan)
        if np.isnan(known):
            open_cells, explained = open_cells + hidden, explained + shown
        else:
            lines.append((hidden, known - shown))
            explained += known
    if not np.isnan(whole := total.get("all", np.nan)):
        lines.append((open_cells, whole - explained))
    return [(hidden, round(rest)) for hidden, rest in lines if hidden]


def audit_nested(frame: pd.DataFrame, pairs: Iterable[tuple[str, str]], keys: list[str], threshold: int) -> list[str]:
    """Small differences between two nested measures where both are shown: what the whole counts beyond the part."""
    out = []
    for whole, part in pairs:
        first, second = (frame[frame["measure_id"] == m].set_index(keys)[["den", "num"]].astype(float) for m in (whole, part))
        more = (first - second.reindex(first.index)).dropna()
        counts = np.column_stack([more, more["den"] - more["num"]])
        hits = int(small(np.abs(counts), threshold).sum())
        if hits:
            out.append(f"{whole} less {part}: {hits} differences of 1 to {threshold - 1}")
    return out


def audit_shared(profile: pd.DataFrame, flow: pd.DataFrame) -> list[str]:
    """Counts that one of flow chart and profile shows and the other suppresses, though both count the same members."""
    race = profile[profile["characteristic"] == RACE].rename(columns={"level": "group", "n": "own"})
    both = flow.merge(race[["arm", "group", "own"]], on=["arm", "group"])
    out = 0
    for _, part in both.groupby(["step", "year"]):
        shown = part.dropna(subset=["n", "own"])
        if len(shown) and (shown["n"] == shown["own"]).all():
            out += int((part["n"].isna() != part["own"].isna()).sum())
    return [f"{out} counts stand in one of profile and flow chart and are suppressed in the other"] if out else []


def audit_errors(rates: pd.DataFrame) -> list[str]:
    """Standard errors of rates that are not the binomial ones of the shown counts, and so say something of what is beneath."""
    shown = rates[rates["unit_kind"] == "percent"].dropna(subset=["den", "num", "std_error"])
    share = (shown["num"] / shown["den"]).clip(0, 1)
    more = (shown["std_error"] - 100 * np.sqrt(share * (1 - share) / shown["den"])).abs() > 1e-6
    return [f"{int(more.sum())} standard errors tell more than den and num"] if more.any() else []
