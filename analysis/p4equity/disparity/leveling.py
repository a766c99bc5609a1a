"""What moved when a gap moved: the compared group up, the reference group down, or both; judged by interval bounds."""

from __future__ import annotations

from dataclasses import dataclass

LEVELING_UP = "leveling up"
LEVELING_DOWN = "leveling down"
MIXED = "mixed"
OUTPACED = "outpaced"
EQUAL_LIFT = "equal lift"
GROUP_LOSES = "group loses"
CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Bounds:
    """An effect and its interval, percentage points; an open end is infinite."""

    estimate: float
    low: float
    high: float


def verdict(gap: Bounds, reference: Bounds, group: Bounds, margin: float) -> str:
    """Name the kind of change, or "cannot tell" wherever the intervals leave more than one kind open.

    gap = reference - group, negative when it narrows. Leveling up: the gap narrows, the group gains (interval above 0, estimate
    at least `margin`), the reference is not shown to fall. Leveling down: the gap narrows, the reference falls, the group is not
    shown to gain. Mixed: both. Outpaced: the gap widens although the group gains. Group loses: it widens and the group falls.
    Equal lift: the gap's interval lies within the margin and the group gains.
    """
    gains = group.low > 0 and group.estimate >= margin
    falls = reference.high < 0
    if gap.high < 0:
        if falls:
            return MIXED if gains else LEVELING_DOWN
        return LEVELING_UP if gains else CANNOT_TELL
    if gap.low > 0:
        if gains:
            return OUTPACED
        return GROUP_LOSES if group.high < 0 else CANNOT_TELL
    return EQUAL_LIFT if gains and gap.low > -margin and gap.high < margin else CANNOT_TELL


def share_from_reference(reference: float, group: float) -> float | None:
    """Share of a narrowing that is the reference group's fall: -reference / (group - reference); null without narrowing."""
    narrowing = group - reference
    return min(max(-reference / narrowing, 0.0), 1.0) if narrowing > 0 else None
