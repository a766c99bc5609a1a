"""Measures counted from one stream of events, one within the ages of the other: their difference is a count of members too."""

from __future__ import annotations

from collections.abc import Iterable

from p4equity.dictionary import Measure

Pair = tuple[str, str]


def nested_pairs(measures: Iterable[Measure]) -> tuple[Pair, ...]:
    """(whole, part) for every two measures of one stream of events whose ages lie, in every year, one within the other.

    Nothing is declared for this: `events`, the ages and the breaks of the dictionary say it. What the whole counts beyond the
    part is published with the two, for each system, group and year, so disclosure control has to look at it.
    """
    known = list(measures)
    return tuple(
        (a.id, b.id) for a in known for b in known if a.id != b.id and _within(b, a) and not (_within(a, b) and a.id > b.id)
    )


def families(names: Iterable[str], pairs: Iterable[Pair]) -> list[tuple[str, ...]]:
    """The names in groups that nested pairs connect; a measure without a relative is a family of its own."""
    sets = [{name} for name in dict.fromkeys(names)]
    for pair in pairs:
        joined = [s for s in sets if s & set(pair)]
        if len(joined) > 1:
            sets = [s for s in sets if s not in joined] + [set().union(*joined)]
    return [tuple(sorted(s)) for s in sets]


def _within(part: Measure, whole: Measure) -> bool:
    if part.events != whole.events or part.kind != "proportion" or whole.kind != "proportion":
        return False
    breaks = {b.year for m in (part, whole) for b in m.breaks}
    for year in {0} | breaks | {y - 1 for y in breaks}:
        own, other = part.ages(year), whole.ages(year)
        if other is None:
            continue
        if own is None or own[0] < other[0] or own[1] > other[1]:
            return False
    return True
