"""The appendix says of numbers and tests without an interval what they are, and "unbounded" only of intervals."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from p4equity import words
from p4equity.section.appendix import _answer

BASE = {
    "group": "pooled", "system_id": "all", "sample": "main", "outcome": "gap", "inference": "averaged_t", "estimate": -2.5,
    "outcome_unit": "percentage points", "conf_low": np.nan, "conf_high": np.nan, "p_value": np.nan,
}  # fmt: skip


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"outcome": "probability_leveling_down", "estimate": 49.9, "outcome_unit": "percent"}, "49.9 percent"),
        ({"outcome": "expected_spurious_change", "estimate": -0.5}, "−0.5 percentage points"),
        ({"outcome": "gap_relative_magnitudes_breakdown", "estimate": 0.0}, "0.0 percentage points"),
        ({"inference": "none"}, "−2.5 percentage points"),
        ({"outcome": "pretrend_gap", "inference": "cr2", "estimate": np.nan, "p_value": 0.25}, "(CR2 p 0.25)"),
        ({"inference": "permutation", "p_value": 0.125}, "−2.5 (perm. unbounded, p 0.125)"),
        ({"conf_low": -4.0, "conf_high": -1.0, "p_value": 0.01}, "−2.5 (avg. t −4.0 to −1.0, p 0.01)"),
    ],
)
def test_only_intervals_are_unbounded(row: dict[str, Any], said: str) -> None:
    made = BASE | row
    analysis: Any = SimpleNamespace(outcome=made["outcome"])
    assert _answer(SimpleNamespace(), [made], analysis) == said  # type: ignore[arg-type]
    assert words.has_interval(made) == ("unbounded" in said or " to " in said)
