"""The kind of change by interval bounds: every verdict, and the default."""

from __future__ import annotations

import math

import pytest
from p4equity.disparity.leveling import Bounds, share_from_reference, verdict

NARROWS, WIDENS, OPEN, TIGHT = Bounds(-3, -5, -1), Bounds(3, 1, 5), Bounds(-1, -3, 1), Bounds(0.0, -0.3, 0.3)
GAINS, FALLS, FLAT = Bounds(3, 1, 5), Bounds(-3, -5, -1), Bounds(0.2, -2, 2)

CASES = [
    (NARROWS, FLAT, GAINS, "leveling up"),
    (NARROWS, FALLS, FLAT, "leveling down"),
    (NARROWS, FALLS, FALLS, "leveling down"),
    (NARROWS, FALLS, GAINS, "mixed"),
    (NARROWS, FLAT, FLAT, "cannot tell"),
    (WIDENS, GAINS, GAINS, "outpaced"),
    (WIDENS, FLAT, FALLS, "group loses"),
    (WIDENS, GAINS, FLAT, "cannot tell"),
    (TIGHT, GAINS, GAINS, "equal lift"),
    (OPEN, FLAT, GAINS, "cannot tell"),
    (Bounds(-3, -math.inf, math.inf), FALLS, FLAT, "cannot tell"),
]


@pytest.mark.parametrize(("gap", "reference", "group", "expected"), CASES)
def test_verdict(gap: Bounds, reference: Bounds, group: Bounds, expected: str) -> None:
    assert verdict(gap, reference, group, margin=0.5) == expected


def test_a_gain_below_the_margin_is_not_leveling_up() -> None:
    assert verdict(NARROWS, FLAT, Bounds(0.4, 0.1, 0.7), margin=0.5) == "cannot tell"


def test_share_from_the_reference_side() -> None:
    assert share_from_reference(-2.0, 2.0) == 0.5
    assert share_from_reference(1.0, 3.0) == 0.0
    assert share_from_reference(-2.0, -1.0) == 1.0
    assert share_from_reference(2.0, 1.0) is None
