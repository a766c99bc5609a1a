"""Non-inferiority verdicts by hand: the least favorable inference decides, and an open end or an idle test never passes."""

from __future__ import annotations

import pytest
from p4equity.disparity.guardrail import CANNOT_TELL, HARM, NO_WORSE, WORSE, guardrail_verdict, margin_excluded


@pytest.mark.parametrize(
    ("intervals", "margin", "above", "verdict"),
    [
        ([(-4.9, -0.8), (-4.0, -0.2)], -1.0, True, HARM),  # fell, by how much is open
        ([(-4.9, -0.8), (-4.0, 0.2)], -1.0, True, CANNOT_TELL),
        ([(-4.9, -1.2), (-4.0, -1.1)], -1.0, True, WORSE),
        ([(-0.1, 16.0)], 15.0, False, CANNOT_TELL),
        ([(2.0, 16.0)], 15.0, False, HARM),
        ([(16.0, 19.0)], 15.0, False, WORSE),
        ([(None, None)], 15.0, False, CANNOT_TELL),
        ([(-0.5, 2.0)], -1.0, True, CANNOT_TELL),  # the interval lies well, and the registered tests do not reject
        ([], 15.0, False, CANNOT_TELL),
    ],
)
def test_verdict(intervals: list[tuple[float | None, float | None]], margin: float, above: bool, verdict: str) -> None:
    assert guardrail_verdict(intervals, margin, above=above, claimed=True, excluded=False) == verdict
    # Nothing is called worse without a claim.
    assert guardrail_verdict(intervals, margin, above=above, claimed=False, excluded=False) == CANNOT_TELL
    if intervals:
        assert guardrail_verdict(intervals, margin, above=above, claimed=False, excluded=True) == NO_WORSE


def test_the_margin_is_excluded_where_every_one_sided_test_rejects_at_half_of_alpha() -> None:
    assert margin_excluded([0.0008, 0.025], 0.05, claimable=True)
    assert not margin_excluded([0.0008, 0.0251], 0.05, claimable=True)  # the second inference does not exclude it
    assert not margin_excluded([0.0008, None], 0.05, claimable=True)  # nor does one without an answer
    assert not margin_excluded([], 0.05, claimable=True)


def test_where_no_assignment_can_reject_nothing_is_excluded_however_far_the_intervals_lie() -> None:
    """A1c control of the first study: two of nine systems, 36 assignments, so that permutation cannot pass 0.025."""
    intervals, p_values = [(1.59, 5.27), (1.63, 5.51)], [0.0008, 1 / 36]
    for claimable in (False, True):
        excluded = margin_excluded(p_values, 0.05, claimable=claimable)
        assert guardrail_verdict(intervals, -1.0, above=True, claimed=False, excluded=excluded) == CANNOT_TELL
    # Tests that reject do not help where too few systems are in an arm for any claim.
    assert not margin_excluded([0.0008, 0.001], 0.05, claimable=False)


def test_the_verdict_does_not_depend_on_the_sign_convention() -> None:
    for low, high in [(-4.9, -0.8), (-0.5, 2.0), (-3.0, 1.0), (-9.0, -1.5)]:
        up = guardrail_verdict([(low, high)], -1.0, above=True, claimed=True, excluded=False)
        assert up == guardrail_verdict([(-high, -low)], 1.0, above=False, claimed=True, excluded=False)
