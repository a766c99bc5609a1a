"""A small panel with common trends and the call that fits it, for the tests of synthetic difference-in-differences."""

from __future__ import annotations

import numpy as np
import p4equity
import pandas as pd

NAMES = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g"}
NUMBERS = ["estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "p_attainable"]


def panel(seed: int = 0, units: int = 9, treated: int = 2, periods: int = 8, start: int = 2005) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    trend = rng.normal(size=(2, periods)).cumsum(axis=1)
    Y = rng.normal(size=(units, 2)) @ trend + rng.normal(size=(units, 1)) + 0.3 * rng.normal(size=(units, periods))
    rows = [(f"u{u}", 2000 + t, float(start) if u < treated else np.nan, Y[u, t]) for u in range(units) for t in range(periods)]
    return pd.DataFrame(rows, columns=["u", "t", "g", "y"])


def fit(frame: pd.DataFrame, **options: object) -> pd.DataFrame:
    return p4equity.fit("synthetic_did", frame, **(NAMES | options))
