"""Levels of gaps over whole arms by each way to place members in groups, and the same among those whose group is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from p4equity.disparity.panel import Panel

WHOLE = "all"
VALUES = ("p_p", "p", "p_num", "den", "num")


def together(panel: Panel, systems: Sequence[str]) -> Panel:
    """The panel of some systems added up to one."""
    at = [i for i, s in enumerate(panel.systems) if s in systems]
    overlap = {g: joint[at].sum(axis=0, keepdims=True) for g, joint in panel.overlap.items()}
    den, num = (a[at].sum(axis=0, keepdims=True) for a in (panel.den, panel.num))
    return Panel((WHOLE,), panel.measures, panel.series, panel.years, den, num, overlap, panel.kappa, None)


def added(table: pd.DataFrame, systems: Sequence[str]) -> pd.DataFrame:
    """Rows of a table of cells of some systems added up to one system."""
    keys = [c for c in table.columns if c not in VALUES and c != "system_id"]
    values = [c for c in VALUES if c in table]
    own = table[table["system_id"].isin(list(systems))].astype(dict.fromkeys(values, "Float64"))
    return own.groupby(keys, observed=True)[values].sum(min_count=1).reset_index().assign(system_id=WHOLE)


def mean_rate(panel: Panel, measure: str, group: str, years: Sequence[int], minimum: float) -> tuple[float, float, float]:
    """Mean rate of one group over the usable years of a panel of one system, its sampling error, and the members behind it."""
    g = panel.index(measure, group)
    usable = np.isin(panel.years, years) & (panel.den[0, g] >= max(minimum, 1.0))
    if not usable.any():
        return np.nan, np.nan, 0.0
    w = usable / usable.sum()
    error = np.sqrt(w @ panel.covariances(group, measure, measure)[0] @ w)
    return float(w @ np.where(usable, panel.rate[0, g], 0.0)), float(error), float(panel.den[0, g][usable].sum())


def mean_gap(
    panel: Panel, measure: str, reference: str, group: str, years: Sequence[int], minimum: float
) -> tuple[float, float, float]:
    """Mean gap over the usable years of a panel of one system, its sampling error, and the members behind it.

    A year counts where reference and group reach the minimum. NaN without a year.
    """
    r, g = panel.index(measure, reference), panel.index(measure, group)
    least = max(minimum, 1.0)
    gaps = panel.rate[0, r] - panel.rate[0, g]
    usable = np.isin(panel.years, years) & (panel.den[0, r] >= least) & (panel.den[0, g] >= least) & np.isfinite(gaps)
    if not usable.any():
        return np.nan, np.nan, 0.0
    w = usable / usable.sum()
    covariance = panel.covariances(reference, measure, measure)[0] + panel.covariances(group, measure, measure)[0]
    across = panel.between(reference, group, measure, measure)
    if across is not None:
        covariance = covariance - across[0] - across[0].T
    members = float((panel.den[0, r] + panel.den[0, g])[usable].sum())
    return float(w @ np.where(usable, gaps, 0.0)), float(np.sqrt(w @ covariance @ w)), members
