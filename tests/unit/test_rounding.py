"""Answers do not amplify rounding: data moved in the last digit give the same numbers, also where clusters are alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import p4equity
import pandas as pd
import pytest

COHORTS = (None, None, 5, 6, None)
ASKED: tuple[tuple[str, str | None], ...] = (
    ("did", "wild_bootstrap"), ("did", "permutation"), ("event_study", "wild_bootstrap"), ("event_study", "cr2"),
    ("interaction_weighted", "wild_bootstrap"), ("extended_twfe", "wild_bootstrap"), ("stacked", "wild_bootstrap"),
    ("group_time", None), ("imputation", None), ("synthetic_did", None),
)  # fmt: skip


def panel(seed: int, *, alike: bool) -> pd.DataFrame:
    """Fourteen units over eight years; alike: small whole numbers, so that many clusters are equal and many sums zero."""
    rng, rows = np.random.default_rng(seed), []
    for unit in range(14):
        cohort = COHORTS[unit % 5] if unit < 10 else None
        level = 0.0 if alike else rng.normal(0, 3)
        for year in range(1, 9):
            noise = float(rng.integers(-2, 3)) if alike else rng.normal()
            effect = 1.5 if cohort and year >= cohort else 0.0
            rows.append({"unit": f"u{unit}", "year": year, "cohort": cohort, "y": level + 0.3 * year + effect + noise})
    return pd.DataFrame(rows)


def answers(data: pd.DataFrame, estimator: str, inference: str | None) -> pd.DataFrame:
    more: dict[str, Any] = {"inference": inference} if inference else {}
    return p4equity.fit(estimator, data, outcome="y", unit="unit", time="year", cohort="cohort", seed=1, **more)


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize(("estimator", "inference"), ASKED)
def test_the_last_digit_of_the_data_moves_no_answer(estimator: str, inference: str | None, alike: bool) -> None:
    data = panel(0, alike=alike)
    last = np.random.default_rng(9).choice([-1e-15, 0.0, 1e-15], len(data))
    one, other = (answers(d, estimator, inference) for d in (data, data.assign(y=data["y"] * (1 + last))))
    assert list(one["status"]) == list(other["status"])
    assert (one["status"] == "ok").any()
    for column in ("estimate", "std_error", "p_value", "conf_low", "conf_high", "df"):
        np.testing.assert_allclose(
            one[column].astype(float), other[column].astype(float), rtol=1e-7, atol=1e-9, err_msg=column, equal_nan=True
        )
