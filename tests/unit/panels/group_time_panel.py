"""A small staggered panel and the call that fits it, for the tests of group-time effects."""

from __future__ import annotations

from typing import Any

import numpy as np
import p4equity
import pandas as pd

PLAIN: dict[str, Any] = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g"}
NUMBERS = ["estimate", "std_error", "statistic", "p_value"]


def panel(seed: int = 0, starts: tuple[float, ...] = (2003, 2003, 2003, 2004, 2004, 2004, *[np.nan] * 6)) -> pd.DataFrame:
    """Units by year, 2000 to 2005, an effect of 1 that grows by 0.5 a year."""
    rng = np.random.default_rng(seed)
    rows = [(f"u{i:02d}", t, g) for i, g in enumerate(starts) for t in range(2000, 2006)]
    out = pd.DataFrame(rows, columns=["u", "t", "g"])
    on = np.maximum(0, (out["t"] - out["g"] + 2) / 2).where(out["t"] >= out["g"], 0.0)
    level = out["u"].map(dict(zip(out["u"].unique(), rng.normal(size=len(starts)), strict=True)))
    out["x"] = level + rng.normal(size=len(out)) * 0.3
    return out.assign(y=level + 0.2 * out["t"] + on + rng.normal(size=len(out)) * 0.2, n=rng.integers(20, 90, len(out)))


def fit(frame: pd.DataFrame, **options: Any) -> pd.DataFrame:
    return p4equity.fit("group_time", frame, **{**PLAIN, **options})


def pointwise(out: pd.DataFrame) -> pd.DataFrame:
    return out[out["interval"].eq("pointwise") & out["estimand"].str.startswith("att")]
