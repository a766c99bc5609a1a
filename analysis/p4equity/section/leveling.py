"""Leveling up or down in words: the verdict of bounds that hold together, who moved, each side's part, and how probable.

Who moved is judged by the joint answer on both sides of the gap. A verdict is wrong at most as often as one of its bounds is;
unlike a claim about a gap it needs no second inference and allows for no other question, so that "if the change is more than
chance" stands beside it where the change of the gap is no claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p4equity.disparity.leveling import (
    CANNOT_TELL,
    EQUAL_LIFT,
    LEVELING_DOWN,
    LEVELING_UP,
    MIXED,
    Bounds,
    group_gains,
    reference_falls,
)
from p4equity.disparity.leveling_probability import NO_GAIN
from p4equity.evaluation.claims import FEWEST
from p4equity.evaluation.leveling import KIND_OUTCOMES
from p4equity.exhibits.leveling_answers import Leveled, Verdict, by_bounds, judged, leveled, row_bounds, too_few, widened
from p4equity.section import phrases
from p4equity.section.answers import EVERYONE, Answer, Row, figures, members, moved
from p4equity.section.confidence import checks

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section

DOWN = LEVELING_DOWN
_SAID = {True: "yes", False: "no", None: CANNOT_TELL}


@dataclass(frozen=True)
class Leveling:
    """The verdict on one answer, and the kinds that remain. `firm`: the change of the gap is a claim."""

    verdict: str
    firm: bool
    falls: str = "–"
    gains: str = "–"
    left: tuple[str, ...] = ()


def joint(s: Section, a: Answer) -> Leveled | None:
    """The joint answer on both sides of a primary question; None where the plan asks for none, or it has no numbers."""
    if not a.ok or a.analysis_id not in {x.id for x in s.study.analyses if not _changed(s, x)}:
        return None
    found = leveled(s.run.table("estimates"), s.study, a.measure_id, a.group)
    return found if found is not None and found.ok else None


def _changed(s: Section, analysis: object) -> bool:
    """Whether an analysis asks the primary question with a choice changed: the joint answer is not about it."""
    from p4equity.exhibits.select import group_analysis, measure_analysis, pooled_analysis

    return analysis not in (pooled_analysis(s.study), measure_analysis(s.study), group_analysis(s.study))


def judge(s: Section, a: Answer) -> Leveling:
    """The verdict on an answer: by its joint bounds, else by its rows' own intervals, widened to hold together."""
    if not a.ok or not a.baseline_gap or a.reference is None or a.rate is None:
        return Leveling(CANNOT_TELL, False)
    least = margin(s)
    found = joint(s, a)
    if found is not None:
        named: Verdict = judged(found, least)
        reference, group = (row_bounds(r) for r in found.sides[:2])
    else:
        gap, reference, group = (widened(r) for r in (a.main, a.reference, a.rate))
        named = by_bounds(gap, reference, group, least, a.main)
    if too_few(a.main):
        return Leveling(named.kind, a.claimed, CANNOT_TELL, CANNOT_TELL, named.left)
    return Leveling(named.kind, a.claimed, _fall(reference, least), _SAID[group_gains(group, least)], named.left)


def _fall(reference: Bounds, least: float) -> str:
    """Whether the reference group falls; a fall that is shown and shown to be no larger than the margin is called that."""
    falls = reference_falls(reference, least)
    return "within the margin" if falls and reference.low >= -least else _SAID[falls]


def margin(s: Section) -> float:
    """The gain of the plan below which a group is not said to gain; 0 when the plan names none."""
    return float(s.study.leveling.margin) if s.study.leveling else 0.0


def words(level: Leveling) -> str:
    """The verdict, or which two kinds remain; where the change of the gap is no claim, with that condition."""
    said = Verdict(level.verdict, level.left).words
    if level.verdict in (CANNOT_TELL, EQUAL_LIFT) or level.firm:
        return said
    return f"{said}, if the change is more than chance"


def table(s: Section, items: list[Answer]) -> pd.DataFrame:
    """One row an answer: the gap by the rule for claims, both sides by their bounds, parts, probabilities, verdict."""
    import pandas as pd

    rows = []
    for a in items:
        level, found = judge(s, a), joint(s, a)
        who = members(s, a)
        name = phrases.measure(s, a.measure_id) + ("" if who == EVERYONE else f" ({who})")
        part, *chances = (_percent(s, found, o) for o in ("share_from_reference", *_WAYS.values()))
        together = " / ".join(chances) if set(chances) != {"–"} else "–"
        rows.append([name, _narrows(a), level.falls, level.gains, part, together, words(level)])
    names = [
        "Measure",
        "Gap narrows (rule for claims)",
        f"{phrases.reference(s)} falls",
        "Groups gain" + (f" {phrases.plain(margin(s))} or more" if margin(s) else ""),
        "Reference's part",
        f"Probability {' / '.join(kind.removeprefix('leveling ') for kind in _WAYS)}",
        "Verdict",
    ]
    return pd.DataFrame(rows, columns=names)


def table_note(s: Section) -> str:
    """What the columns of the table mean, and what the probabilities leave."""
    return (
        "Falls, gain: by bounds of both effects that hold together; where an arm has fewer than"
        f" {phrases.count(FEWEST)} {s.study.info.unit_label_plural}, the data cannot tell. What the three probabilities leave of"
        " 100% is no narrowing, or a smaller one without a fall. –: not estimable, or not asked."
    )


_WAYS = {kind: KIND_OUTCOMES[kind] for kind in (LEVELING_DOWN, MIXED, LEVELING_UP)}
_MOVEMENT = {MIXED: "mixed movement"}  # in a sentence


def _percent(s: Section, found: Leveled | None, outcome: str) -> str:
    """A part or a probability in percent, traceable; a part with its interval."""
    row = found.rows[outcome] if found is not None else None
    if row is None or row["status"] != "ok":
        return "–"
    if outcome in _WAYS.values():
        return chance(s, row)
    interval = s.number(str(row["row_id"]), what="interval", decimals=0)
    return f"{s.number(str(row['row_id']), decimals=0)}% ({interval})"


def chance(s: Section, row: Mapping[str, Any]) -> str:
    """A probability in whole percent."""
    low, high = float(row["estimate"]) < 1, float(row["estimate"]) > 99
    return "below 1%" if low else "above 99%" if high else f"{s.number(str(row['row_id']), decimals=0)}%"


def _narrows(a: Answer) -> str:
    """Whether the gap narrows by the rule for claims; without a gap at baseline nothing can narrow."""
    if not a.ok:
        return "no answer"
    if not a.baseline_gap:
        return "no gap shown at baseline"
    return "yes" if a.narrows else "widens" if a.claimed else CANNOT_TELL


def summary(s: Section, a: Answer, subject: str) -> str:
    """One paragraph on who moved, with the verdict first."""
    level = judge(s, a)
    if a.reference is None or a.rate is None or not a.ok:
        return f"**{subject}.** No verdict: the effects on both groups are not estimable."
    text = f"**{subject}: {words(level)}.** {who_moved(s, a)}"
    return " ".join(x for x in (text, share_words(s, a), probability_words(s, a), no_gain_words(s, a)) if x)


def who_moved(s: Section, a: Answer) -> str:
    """One sentence with both effects and the bounds the verdict rests on, those of the joint answer where there is one."""
    found = joint(s, a)
    reference, group = (dict(r) for r in found.sides[:2]) if found is not None else (a.reference, a.rate)
    assert reference is not None
    assert group is not None
    kind = ", by joint bounds" if found is not None else ""
    return (
        f"Against comparison {s.study.info.unit_label_plural}{kind}, the rate of {phrases.reference(s)} members"
        f" {moved(s, _plain(reference))} and that of {members(s, a)} {moved(s, _plain(group))}."
    )


def _plain(row: Row) -> Row:
    """The row with missing limits as None."""
    return {**row, **{k: None if row[k] != row[k] else row[k] for k in ("conf_low", "conf_high")}}


def share_words(s: Section, a: Answer, *, brief: bool = False) -> str:
    """The reference group's part in a narrowing with Fieller's interval; empty where none can be given."""
    found = joint(s, a)
    row = found.rows["share_from_reference"] if found is not None else None
    if row is None or row["status"] != "ok" or not a.main["estimate"] < 0:
        return ""
    part, interval = (s.number(str(row["row_id"]), decimals=0, what=w) for w in ("estimate", "interval"))
    both = float(row["estimate"]) > 100
    meaning = (" (above 100: both fell)" if both else "") if brief else " (below 0: they rose; above 100: both fell)"
    return (
        f"Of the narrowing, {part}% ({phrases.level(s)} interval {interval}) comes from lower rates of {phrases.reference(s)}"
        f" members{meaning}."
    )


def reference_by_members(s: Section, a: Answer) -> str:
    """The reference group's movement with members as weights; empty where the plan does not ask for it."""
    for b in checks(s, a):
        row = b.reference if s.study.analysis(b.analysis_id).weighting == "patient" else None
        if row is not None and row["status"] == "ok":
            changed = figures(s, row, level=False)
            return f"Weighted by members, the rate of {phrases.reference(s)} members changed by {changed}."
    return ""


def with_down_chance(s: Section, items: list[Answer]) -> str:
    """Measures by name, each with the probability of leveling down where it has one."""
    parts = []
    for a in items:
        row = _chances(s, a).get(LEVELING_DOWN)
        name = phrases.lower(phrases.measure(s, a.measure_id))
        parts.append(f"{name} (leveling down: {chance(s, row)})" if row is not None else name)
    return phrases.join(parts)


def probability_words(s: Section, a: Answer, *, brief: bool = False) -> str:
    """How probable each kind of narrowing is, and was before the data (not if brief); empty where there are none."""
    rows = _chances(s, a)
    if not rows:
        return ""
    parts = [
        f"of {_MOVEMENT.get(kind, kind)} {'is ' if k == 0 else ''}{chance(s, row)}"
        + (
            ""
            if brief
            else f" ({'before the data ' if k == 0 else ''}{s.number(str(row['row_id']), what='statistic', decimals=0)}%)"
        )
        for k, (kind, row) in enumerate(rows.items())
    ]
    rest = 100 - sum(float(row["estimate"]) for row in rows.values())
    left = " The rest is no narrowing, or a smaller one without a fall." if rest >= 1 else ""
    return f"The probability {phrases.join(parts)}.{left}"


def no_gain_words(s: Section, a: Answer) -> str:
    """How probable a narrowing is in which the groups do not gain at all, a margin apart; empty where there is none."""
    found = joint(s, a) if _chances(s, a) else None
    return f"The probability of {NO_GAIN} is {chance(s, found.rows[KIND_OUTCOMES[NO_GAIN]])}." if found else ""


def _chances(s: Section, a: Answer) -> dict[str, Row]:
    """The row of each kind's probability; empty where one has no number."""
    found = joint(s, a)
    rows = {kind: found.rows[o] for kind, o in _WAYS.items()} if found is not None else {}
    return {kind: dict(row) for kind, row in rows.items()} if all(r["status"] == "ok" for r in rows.values()) else {}


def rule(s: Section) -> str:
    """How a verdict is reached, on how little, and what the probabilities assume."""
    reference, least = phrases.reference(s), phrases.plain(margin(s))
    spread = phrases.plain(s.study.leveling.prior_sd) if s.study.leveling else "–"
    return (
        "A verdict needs bounds of both effects and of the gap that hold together; it is wrong at most as often as they are."
        f" *Leveling up*: the gap narrows, the groups gain at least {least} points, and {reference} members do not fall by more."
        f" *Leveling down*: the gap narrows, {reference} members fall, and the groups gain less than {least} points."
        f" *Mixed*: {reference} members fall by more than {least} points and the groups gain at least as much."
        " Where more than one kind stays open, the data cannot tell;"
        " brackets say which remain once a narrowing is shown. Verdicts allow for the three bounds of one question and not for"
        " the other questions, as the rule for claims does. The probabilities weigh the same data for a reader who, before them,"
        f" held effects on either side for equally likely to be up or down, with a standard deviation of {spread} points."
    )
