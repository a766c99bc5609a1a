"""Non-inferiority: has an outcome become worse by more than a margin? Judged by the intervals of every registered inference."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

NO_WORSE = "no worse"
WORSE = "worse than the margin"
HARM = "worse, by how much is open"
CANNOT_TELL = "cannot tell"


def guardrail_verdict(
    intervals: Sequence[tuple[float | None, float | None]], margin: float, *, above: bool, claimed: bool
) -> str:
    """Name what all intervals of one effect agree on; failing to exclude the margin is inconclusive, never "no harm".

    intervals: (low, high) of each inference, an open end None; the verdict needs each of them, so that the least favorable
    inference decides. margin: the largest tolerated worsening, in units of the effect; `above`: effects above it are good.
    claimed: whether an effect is claimed after adjustment for the other measures of the question. No worse: every interval lies
    on the good side of the margin. Worse than the margin: a claim, and every interval lies beyond it. Worse, by how much is
    open: a claim, every interval on the bad side of zero, and the margin not excluded. Without a claim nothing is called worse:
    of several measures some would be by chance.
    Source: Piaggio et al. (2012), JAMA 308:2594 (CONSORT extension for non-inferiority trials), the interval reading.
    """
    if not intervals:
        return CANNOT_TELL
    sign = 1.0 if above else -1.0
    ends = [tuple(sorted((sign * _end(low, -inf), sign * _end(high, inf)))) for low, high in intervals]
    limit = sign * margin
    if all(worst > limit for worst, _ in ends):
        return NO_WORSE
    if not claimed:
        return CANNOT_TELL
    if all(best < limit for _, best in ends):
        return WORSE
    return HARM if all(best < 0 for _, best in ends) else CANNOT_TELL


def _end(value: float | None, open_end: float) -> float:
    return open_end if value is None else value
