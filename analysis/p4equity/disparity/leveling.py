"""What moved when a gap moved: the compared group up, the reference group down, or both; judged by bounds that hold together.

gap = reference - group, negative when it narrows. A kind is said only where every effect that belongs to its definition is shown
by its simultaneous bound; so a kind is wrong at most as often as one of the three bounds misses its effect.

| gap        | group            | reference          | kind          |
|------------|------------------|--------------------|---------------|
| narrows    | gains            | does not fall      | leveling up   |
| narrows    | gains            | falls              | mixed         |
| narrows    | does not gain    | falls              | leveling down |
| widens     | gains            | (gains more)       | outpaced      |
| widens     | falls            | any                | group loses   |
| unchanged  | gains            | (gains as much)    | equal lift    |
| all else   |                  |                    | cannot tell   |

narrows, widens: its bounds lie below, above zero. unchanged: within the margin. gains: lower bound at least the margin. does not
gain: upper bound below the margin. falls: upper bound below zero. does not fall: lower bound above minus the margin. Where a
narrowing is shown but not all the rest, `left_open` says which kinds remain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVELING_UP = "leveling up"
LEVELING_DOWN = "leveling down"
MIXED = "mixed"
OUTPACED = "outpaced"
EQUAL_LIFT = "equal lift"
GROUP_LOSES = "group loses"
CANNOT_TELL = "cannot tell"
# Kinds of narrowing: whether the reference falls, whether the group gains.
NARROWING: dict[str, tuple[bool | None, bool | None]] = {
    LEVELING_DOWN: (True, False), MIXED: (True, True), LEVELING_UP: (False, True),
}  # fmt: skip


@dataclass(frozen=True)
class Bounds:
    """An effect and its interval, percentage points; an open end is infinite."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Movement:
    """Rates of reference and group, first and last, better when higher; changes in their unit."""

    reference: float
    group: float
    gap_before: float
    gap_after: float

    @property
    def gap(self) -> float:
        """Change of the gap, reference minus group: change of the reference less that of the group."""
        return self.reference - self.group


def movement(reference: Sequence[float], group: Sequence[float], *, higher_is_better: bool = True) -> Movement:
    """The changes between two years of two groups' rates, (before, after) each; a measure better when lower is turned."""
    sign = 1.0 if higher_is_better else -1.0
    (r0, r1), (g0, g1) = reference, group
    return Movement(sign * (r1 - r0), sign * (g1 - g0), sign * (r0 - g0), sign * (r1 - g1))


def verdict(gap: Bounds, reference: Bounds, group: Bounds, margin: float) -> str:
    """The kind by the table above; bounds that hold together, margin in their unit."""
    falls, gains = reference_falls(reference, margin), group_gains(group, margin)
    if gap.high < 0:
        return next((kind for kind, shown in NARROWING.items() if shown == (falls, gains)), CANNOT_TELL)
    if gap.low > 0:
        return OUTPACED if gains else GROUP_LOSES if group.high < 0 else CANNOT_TELL
    return EQUAL_LIFT if gains and gap.low > -margin and gap.high < margin else CANNOT_TELL


def reference_falls(reference: Bounds, margin: float) -> bool | None:
    """Whether its bounds show a fall (any), or that it does not fall by more than the margin; None where they show neither."""
    return True if reference.high < 0 else False if reference.low > -margin else None


def group_gains(group: Bounds, margin: float) -> bool | None:
    """Whether its bounds show a gain of the margin at least, or that it gains less; None where they show neither."""
    return True if group.low >= margin else False if group.high < margin else None


def left_open(gap: Bounds, reference: Bounds, group: Bounds, margin: float) -> tuple[str, ...]:
    """The kinds that remain where a narrowing is shown and its kind is not; empty in every other case."""
    if gap.high >= 0 or verdict(gap, reference, group, margin) != CANNOT_TELL:
        return ()
    falls, gains = reference_falls(reference, margin), group_gains(group, margin)
    return tuple(kind for kind, (f, g) in NARROWING.items() if falls in (f, None) and gains in (g, None))


def share_from_reference(reference: float, group: float) -> float | None:
    """Part of a narrowing that is the reference group's fall: -reference / (group - reference); null without narrowing.

    Above one where the group falls too, below zero where the reference rises: the two sides' parts add up to one.
    """
    narrowing = group - reference
    return -reference / narrowing if narrowing > 0 else None


def known(effect: float) -> Bounds:
    """An effect without uncertainty: bounds at the value itself."""
    return Bounds(effect, effect, effect)


def bounds(estimate: float, low: float | None, high: float | None) -> Bounds:
    """Bounds of a row: an end that is missing is open."""
    return Bounds(estimate, -math.inf if low is None else low, math.inf if high is None else high)
