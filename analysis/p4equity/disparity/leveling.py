"""What moved when a gap moved: the compared group up, the reference group down, or both; judged by bounds that hold together.

gap = reference - group, negative when it narrows. A kind is said only where every effect that belongs to its definition is shown
by its simultaneous bound; so a kind is wrong at most as often as one of the three bounds misses its effect.

| gap        | group            | reference                          | kind          |
|------------|------------------|------------------------------------|---------------|
| narrows    | gains            | falls by the margin at most, rises | leveling up   |
| narrows    | gains            | falls by more than the margin      | mixed         |
| narrows    | does not gain    | falls                              | leveling down |
| widens     | gains            | (gains more)                       | outpaced      |
| widens     | falls            | any                                | group loses   |
| unchanged  | gains            | (gains as much)                    | equal lift    |
| all else   |                  |                                    | cannot tell   |

narrows, widens: its bounds lie below, above zero. unchanged: within the margin. gains: lower bound at least the margin. does not
gain: upper bound below the margin. The kinds of narrowing share no pair of effects (`regions`); what none of them holds is a
narrowing by less than the margin without a fall. Where a narrowing is shown but not all the rest, `left_open` says which kinds
remain.
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


@dataclass(frozen=True)
class Bounds:
    """An effect and its interval, percentage points; an open end is infinite."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Span:
    """Effects from `low` on and below `high`."""

    low: float
    high: float

    def holds(self, effect: Bounds) -> bool:
        """Whether all effects within the bounds lie in it."""
        return effect.low >= self.low and (effect.high < self.high or self.high == math.inf)

    def meets(self, effect: Bounds) -> bool:
        """Whether some effect within the bounds lies in it."""
        return effect.low < self.high and effect.high >= self.low


@dataclass(frozen=True)
class Region:
    """Effects on reference and group; the gap narrows where the reference's is the smaller one."""

    reference: Span
    group: Span


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


def regions(margin: float) -> dict[str, Region]:
    """Each kind of narrowing: effects on reference and group, of which those belong to it that narrow the gap.

    One partition for verdicts, probabilities and figures. A fall within the margin is none beside a gain, as "about 0" says, but
    is one where the group does not gain: then it is all that narrows the gap.
    """
    any_, gains = math.inf, Span(margin, math.inf)
    return {
        LEVELING_DOWN: Region(Span(-any_, 0.0), Span(-any_, margin)),
        MIXED: Region(Span(-any_, -margin), gains),
        LEVELING_UP: Region(Span(-margin, any_), gains),
    }


def verdict(gap: Bounds, reference: Bounds, group: Bounds, margin: float) -> str:
    """The kind by the table above; bounds that hold together, margin in their unit."""
    if gap.high < 0:
        kinds = regions(margin).items()
        return next((kind for kind, r in kinds if r.reference.holds(reference) and r.group.holds(group)), CANNOT_TELL)
    gains = group_gains(group, margin)
    if gap.low > 0:
        return OUTPACED if gains else GROUP_LOSES if group.high < 0 else CANNOT_TELL
    return EQUAL_LIFT if gains and gap.low > -margin and gap.high < margin else CANNOT_TELL


def reference_falls(reference: Bounds, margin: float) -> bool | None:
    """Whether its bounds show a fall (any), or that it does not fall by more than the margin; None where they show neither."""
    return True if reference.high < 0 else False if reference.low >= -margin else None


def group_gains(group: Bounds, margin: float) -> bool | None:
    """Whether its bounds show a gain of the margin at least, or that it gains less; None where they show neither."""
    return True if group.low >= margin else False if group.high < margin else None


def left_open(gap: Bounds, reference: Bounds, group: Bounds, margin: float) -> tuple[str, ...]:
    """The kinds that remain where a narrowing is shown and its kind is not; empty in every other case."""
    if gap.high >= 0 or verdict(gap, reference, group, margin) != CANNOT_TELL:
        return ()
    return tuple(kind for kind, r in regions(margin).items() if r.reference.meets(reference) and r.group.meets(group))


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
