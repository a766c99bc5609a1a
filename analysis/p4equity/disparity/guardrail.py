"""Non-inferiority: has an outcome become worse by more than a margin? Every registered inference must agree."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

NO_WORSE = "no worse"
WORSE = "worse than the margin"
HARM = "worse, by how much is open"
CANNOT_TELL = "cannot tell"


def margin_excluded(p_values: Sequence[float | None], alpha: float, *, claimable: bool) -> bool:
    """Whether every registered one-sided test of "worse than the margin" rejects at half of alpha, where a claim is possible.

    p_values: one an inference, None where it has none. claimable: whether the question may be claimed at all; with too few
    systems in an arm no method is known to hold its level, and permutation may be unable to reject whatever the data show.
    Source: Piaggio et al. (2012), JAMA 308:2594 (CONSORT extension for non-inferiority trials).
    """
    return claimable and bool(p_values) and all(p is not None and p <= alpha / 2 for p in p_values)


def guardrail_verdict(
    intervals: Sequence[tuple[float | None, float | None]], margin: float, *, above: bool, claimed: bool, excluded: bool
) -> str:
    """Name what all inferences of one effect agree on; failing to exclude the margin is inconclusive, never "no harm".

    intervals: (low, high) of each inference, an open end None; the verdict needs each of them, so that the least favorable
    inference decides. margin: the largest tolerated worsening, in units of the effect; `above`: effects above it are good.
    claimed: whether an effect is claimed after adjustment for the other measures of the question. excluded: `margin_excluded`.
    No worse: the margin is excluded. Worse than the margin: a claim, and every interval lies beyond it. Worse, by how much is
    open: a claim, every interval on the bad side of zero, and the margin not excluded. Without a claim nothing is called worse:
    of several measures some would be by chance.
    """
    if not intervals:
        return CANNOT_TELL
    if excluded:
        return NO_WORSE
    sign = 1.0 if above else -1.0
    best = [max(sign * _end(low, -inf), sign * _end(high, inf)) for low, high in intervals]
    if not claimed:
        return CANNOT_TELL
    if all(end < sign * margin for end in best):
        return WORSE
    return HARM if all(end < 0 for end in best) else CANNOT_TELL


def _end(value: float | None, open_end: float) -> float:
    return open_end if value is None else value
