"""Leveling up or down in words: the verdict of the interval bounds, who moved, and the reference group's part in it.

Who moved is judged by the intervals of the regression alone. Unlike a claim about a gap it needs no second inference and allows
for no other question; every place that gives a verdict says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p4equity.disparity.leveling import (
    CANNOT_TELL,
    EQUAL_LIFT,
    LEVELING_DOWN,
    Bounds,
    share_from_reference,
    verdict,
)
from p4equity.section import phrases
from p4equity.section.answers import EVERYONE, Answer, Row, members, moved

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section

DOWN = LEVELING_DOWN


@dataclass(frozen=True)
class Leveling:
    """The verdict on one answer. `firm`: the change of the gap is a claim, not only an interval on one side of zero."""

    verdict: str
    firm: bool
    falls: str
    gains: str


def judge(a: Answer, margin: float) -> Leveling:
    """The verdict by the bounds of the three effects; margin in their unit (percentage points)."""
    if not a.ok or not a.baseline_gap or a.reference is None or a.rate is None:
        return Leveling(CANNOT_TELL, False, "–", "–")
    gap, reference, group = (_bounds(r) for r in (a.main, a.reference, a.rate))
    falls = "yes" if reference.high < 0 else "no" if reference.low >= 0 else "cannot tell"
    gains = "yes" if group.low > 0 and group.estimate >= margin else "no" if group.high < margin else "cannot tell"
    return Leveling(verdict(gap, reference, group, margin), a.claimed, falls, gains)


def _bounds(row: Row) -> Bounds:
    low, high = row["conf_low"], row["conf_high"]
    return Bounds(float(row["estimate"]), -math.inf if low is None else float(low), math.inf if high is None else float(high))


def margin(s: Section) -> float:
    """The gain of the plan below which a group is not called leveling up; 0 when the plan names none."""
    return float(s.study.leveling.margin) if s.study.leveling else 0.0


def words(level: Leveling) -> str:
    """The verdict; where the change of the gap is no claim, with that condition."""
    if level.verdict in (CANNOT_TELL, EQUAL_LIFT) or level.firm:
        return level.verdict
    return f"{level.verdict}, if the change is more than chance"


def table(s: Section, items: list[Answer]) -> pd.DataFrame:
    """One row an answer: the gap by the rule for claims, whether the reference falls, whether groups gain, verdict."""
    import pandas as pd

    rows = []
    for a in items:
        level = judge(a, margin(s))
        narrows = _narrows(a)
        share = share_of_reference(a)
        who = members(s, a)
        name = phrases.measure(s, a.measure_id) + ("" if who == EVERYONE else f" ({who})")
        part = "–" if share is None else f"{phrases.plain(100 * share, 0)}%"
        rows.append([name, narrows, level.falls, level.gains, part, words(level)])
    names = [
        "Measure",
        "Gap narrows (rule for claims)",
        f"{phrases.reference(s)} falls",
        "Groups gain",
        "Reference's share",
        "Verdict",
    ]
    return pd.DataFrame(rows, columns=names)


def _narrows(a: Answer) -> str:
    """Whether the gap narrows by the rule for claims; without a gap at baseline nothing can narrow."""
    if not a.ok:
        return "no answer"
    if not a.baseline_gap:
        return "no gap shown at baseline"
    return "yes" if a.narrows else "widens" if a.claimed else "cannot tell"


def share_of_reference(a: Answer) -> float | None:
    """Share of a narrowing that comes from the reference group's fall, by point estimates; None without a narrowing."""
    if not a.ok or not a.baseline_gap or a.reference is None or a.rate is None:
        return None
    return share_from_reference(float(a.reference["estimate"]), float(a.rate["estimate"]))


def summary(s: Section, a: Answer, subject: str) -> str:
    """One paragraph on who moved, with the verdict first."""
    level = judge(a, margin(s))
    if a.reference is None or a.rate is None or not a.ok:
        return f"**{subject}.** No verdict: the effects on both groups are not estimable."
    text = (
        f"**{subject}: {words(level)}.** Against comparison {s.study.info.unit_label_plural}, the rate of {phrases.reference(s)}"
        f" members {moved(s, a.reference)} and that of {members(s, a)} {moved(s, a.rate)}."
    )
    share = share_of_reference(a)
    return text if share is None else f"{text} {share_words(s, share)}"


def share_words(s: Section, share: float) -> str:
    """The reference group's part in a narrowing, by the estimates and without their uncertainty."""
    part = phrases.part_of(share)
    number = "" if share <= 0 or share >= 1 else f" ({phrases.plain(100 * share, 0)}%)"
    return (
        f"Taking the estimates at face value, {part}{number} of the narrowing reflects lower rates among {phrases.reference(s)}"
        " members rather than higher rates among the others."
    )


def rule(s: Section) -> str:
    """How a verdict is reached, and on how little."""
    reference = phrases.reference(s)
    return (
        "The verdict follows from the bounds of three intervals. *Leveling up*: the gap narrows, the groups gain at least"
        f" {phrases.plain(margin(s))} points, and no fall of {reference} members is shown. *Leveling down*: the gap narrows,"
        f" {reference} members fall, and no gain of the groups is shown. *Mixed*: the groups gain and {reference} members fall."
        " Where the bounds leave more than one reading open, the data cannot tell. These verdicts rest on the regression"
        " intervals alone, not on the rule for claims, which also asks a second inference to agree and allows for the other"
        " questions: read them as descriptions, weaker than a claim."
    )
