"""Estimates after disclosure control: on few members, or of one system with hidden cells behind them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from p4equity.disclosure.marks import COMPLEMENT, SMALL, Flags, small
from p4equity.estimates import ANSWER, SUPPRESSED

COARSE = {"estimate": 1, "std_error": 1, "conf_low": 1, "conf_high": 1, "statistic": 1, "p_value": 2}  # decimals


def protect_estimates(estimates: pd.DataFrame, threshold: int) -> pd.DataFrame:
    """Estimates based on fewer members than the threshold become suppressed."""
    return _emptied(estimates, small(estimates["n_members"].astype("float64"), threshold), SMALL)


def protect_systems(estimates: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Estimates of one system: hidden where exactly one of the cells behind them is, because they would then tell its rate.

    Where two or more are hidden, the ten digits of a number would tell which of the few possible counts they are: such rows are
    given to one decimal. cells: the protected cells of the groups and years that enter estimates, with `status`.
    """
    hidden = cells[cells["status"] == SUPPRESSED].groupby(["system_id", "measure_id"]).size()
    behind = [hidden.get(pair, 0) for pair in zip(estimates["system_id"], estimates["measure_id"], strict=True)]
    out = _emptied(estimates, np.array([n == 1 for n in behind], bool), COMPLEMENT)
    several = np.array([n > 1 for n in behind], bool)
    if several.any():
        for name, decimals in COARSE.items():
            out.loc[several, name] = pd.to_numeric(out.loc[several, name]).astype("float64").round(decimals)
    return out


def _emptied(estimates: pd.DataFrame, flags: Flags, reason: str) -> pd.DataFrame:
    out = estimates.copy()
    if flags.any():
        out.loc[flags, [*ANSWER, "n_members", "n_cells"]] = None
        out.loc[flags, "status"], out.loc[flags, "reason"] = SUPPRESSED, reason
    return out
