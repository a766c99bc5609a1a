"""A small staggered panel and the columns `fit` takes from it, for the tests of dates exchanged among units."""

from __future__ import annotations

import numpy as np
import pandas as pd

OPTIONS = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g"}


def panel(seed: int = 0, cohorts: tuple[float | None, ...] = (2014, 2014, 2016, None, None, None, None)) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [(f"u{i}", t, c, i % 2) for i, c in enumerate(cohorts) for t in range(2011, 2018)]
    out = pd.DataFrame(rows, columns=["u", "t", "g", "s"])
    out = out.assign(y=rng.normal(size=len(out)) + 0.5 * (out["t"] >= out["g"]), w=rng.integers(5, 90, len(out)))
    return out.assign(x=rng.normal(size=len(out)))
