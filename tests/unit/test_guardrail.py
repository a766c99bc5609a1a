"""Non-inferiority verdicts by hand: the least favorable inference decides, and an open end never passes."""

from __future__ import annotations

import pytest
from p4equity.disparity.guardrail import CANNOT_TELL, HARM, NO_WORSE, WORSE, guardrail_verdict


@pytest.mark.parametrize(
    ("intervals", "margin", "above", "verdict"),
    [
        ([(-0.5, 2.0)], -1.0, True, NO_WORSE),  # quality: a fall of one point is excluded
        ([(-0.5, 2.0), (-1.5, 3.0)], -1.0, True, CANNOT_TELL),  # the second inference does not exclude it
        ([(-0.5, 2.0), (None, 3.0)], -1.0, True, CANNOT_TELL),  # nor does an open end
        ([(-4.9, -0.8), (-4.0, -0.2)], -1.0, True, HARM),  # fell, by how much is open
        ([(-4.9, -0.8), (-4.0, 0.2)], -1.0, True, CANNOT_TELL),
        ([(-4.9, -1.2), (-4.0, -1.1)], -1.0, True, WORSE),
        ([(-0.9, -0.1)], -1.0, True, NO_WORSE),  # a fall is shown, and one of the margin excluded
        ([(-0.1, 13.8)], 15.0, False, NO_WORSE),  # spending: a rise of 15 is excluded
        ([(-0.1, 16.0)], 15.0, False, CANNOT_TELL),
        ([(2.0, 16.0)], 15.0, False, HARM),
        ([(16.0, 19.0)], 15.0, False, WORSE),
        ([(None, None)], 15.0, False, CANNOT_TELL),
        ([], 15.0, False, CANNOT_TELL),
    ],
)
def test_verdict(intervals: list[tuple[float | None, float | None]], margin: float, above: bool, verdict: str) -> None:
    assert guardrail_verdict(intervals, margin, above=above, claimed=True) == verdict
    without = guardrail_verdict(intervals, margin, above=above, claimed=False)
    assert without == (NO_WORSE if verdict == NO_WORSE else CANNOT_TELL)  # nothing is called worse without a claim


def test_the_verdict_does_not_depend_on_the_sign_convention() -> None:
    for low, high in [(-4.9, -0.8), (-0.5, 2.0), (-3.0, 1.0), (-9.0, -1.5)]:
        up = guardrail_verdict([(low, high)], -1.0, above=True, claimed=True)
        assert up == guardrail_verdict([(-high, -low)], 1.0, above=False, claimed=True)
