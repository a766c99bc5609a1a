"""The balance gate on damaged or constant characteristics: a reason instead of a warning of a library."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest
from p4equity.diagnostics.findings import balance
from p4equity.evaluation.context import Context
from p4equity.study import load_study


@pytest.fixture
def context() -> Context:
    """The first study without cells, which balance does not read."""
    return Context(load_study("bcbsma_pay_for_equity"), pd.DataFrame(), pd.DataFrame(), "", "")


def profile(context: Context, levels: dict[str, list[tuple[str, int, int]]]) -> pd.DataFrame:
    """Counts by arm: (level, participating, comparison) of each characteristic."""
    study = context.study
    assert study.race is not None
    rows = [
        {
            "characteristic": name, "map": study.population.map, "race_version": study.race.primary,
            "year": max(study.baseline.pre_years), "system_id": study.arm_systems(arm)[0].id, "level": level, "n": n,
        }
        for name, table in levels.items() for level, *counts in table
        for arm, n in zip(("participating", "comparison"), counts, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_characteristic_without_spread_gives_a_reason_and_no_warning(context: Context) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = balance(context, profile(context, {"age_band": [("unknown", 500, 400)]}))
        assert (found.value, found.reason) == (None, "no baseline characteristic that varies")
        both = {"age_band": [("unknown", 500, 400)], "sex": [("F", 250, 200), ("M", 250, 200)]}
        (found,) = balance(context, profile(context, both))
        assert found.value == pytest.approx(0)
        (found,) = balance(context, profile(context, {"sex": [("F", 300, 200), ("M", 200, 200)]}))
        assert found.value == pytest.approx(0.1 / (0.245) ** 0.5)
