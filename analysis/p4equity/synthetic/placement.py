"""Which practice each member is attributed to in each year: home practice, moves, coming of age, closures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from p4equity.synthetic.churn import leave
from p4equity.synthetic.draws import BoolArray, FloatArray, IntArray, stream
from p4equity.synthetic.places import PEDIATRIC
from p4equity.synthetic.plan import Plan
from p4equity.synthetic.population import Members

CHILD, GROWN = 0, 1
_ADULT_AGE = 18


@dataclass(frozen=True)
class Placement:
    """`practice` (n, Y): number of the practice, -1 where the member has none; `attributed` (n, Y): covered and has one.

    `home` and `owner` (n, Y): system whose levels apply, and system on 31 December; the number past the last means none.
    """

    practice: IntArray
    attributed: BoolArray
    home: IntArray
    owner: IntArray
    provider: IntArray
    exited: BoolArray


class _Chooser:
    """Draws practices by attraction, among those open in a year, of one system or of any."""

    def __init__(self, plan: Plan) -> None:
        places = plan.places
        years = np.array(plan.years)
        open_for_newcomers = np.minimum(places.closed, places.exited)[:, None] > years[None, :]
        attraction = places.weight[:, None, :] * open_for_newcomers[:, :, None]
        self._cumulative = np.cumsum(attraction, axis=0)  # (P, Y, 2)
        self._edges = np.searchsorted(places.home, np.arange(len(plan.system_ids) + 2))

    def anywhere(self, u: FloatArray, year: int, grown: BoolArray) -> IntArray:
        """A practice of any system, for each uniform draw."""
        result = np.empty(len(u), dtype=np.int64)
        for kind, rows in ((CHILD, ~grown), (GROWN, grown)):
            total = self._cumulative[:, year, kind]
            result[rows] = np.searchsorted(total, u[rows] * total[-1], side="right")
        return result

    def within(self, u: FloatArray, year: int, grown: BoolArray, system: IntArray) -> IntArray:
        """A practice of the given system; of any system where that one has none of the member's class."""
        result = np.empty(len(u), dtype=np.int64)
        for kind, rows in ((CHILD, ~grown), (GROWN, grown)):
            total = np.concatenate([[0.0], self._cumulative[:, year, kind]])
            low, high = total[self._edges[system[rows]]], total[self._edges[system[rows] + 1]]
            none = high <= low
            low, high = np.where(none, 0.0, low), np.where(none, total[-1], high)
            target = np.minimum(low + u[rows] * (high - low), np.nextafter(high, 0.0))
            result[rows] = np.searchsorted(total[1:], target, side="right")
        return result


def place(plan: Plan, members: Members, seed: int, block: int) -> Placement:
    """Attribution of a block's members in all years."""
    rng = stream(seed, "attribution", block)
    people, places = plan.people, plan.places
    chooser, age = _Chooser(plan), members.age(plan.years)
    practice = np.empty(members.months.shape, dtype=np.int64)
    grown = age >= _ADULT_AGE
    now = chooser.within(rng.random(members.n), 0, grown[:, 0], members.home)
    for t, year in enumerate(plan.years):
        if t:
            now = _step(plan, chooser, rng, now, t, year, age[:, t])
        practice[:, t] = now
    without = rng.random(members.n) < people.unattributed_share
    practice[without] = -1
    practice = leave(plan, members, practice, block)
    lucky = rng.random(members.n)
    provider = places.first_provider[practice] + np.floor(lucky[:, None] * places.n_pcps[practice]).astype(np.int64)
    years = np.array(plan.years)
    return Placement(
        practice=practice,
        attributed=(members.months > 0) & (practice >= 0),
        home=places.home[practice],
        owner=places.owner[practice, np.arange(len(plan.years))[None, :]],
        provider=provider,
        exited=places.exited[practice] <= years[None, :],
    )


def _step(plan: Plan, chooser: _Chooser, rng: np.random.Generator, now: IntArray, t: int, year: int, age: IntArray) -> IntArray:
    """The practice in year t of members who were with `now` the year before."""
    people, places, n = plan.people, plan.places, len(now)
    u, v, w = rng.random(n), rng.random(n), rng.random(n)
    grown = age >= _ADULT_AGE
    outgrown = (places.kind[now] == PEDIATRIC) & (age > people.child_age_max)
    leaving = np.where(places.exited[now] == year, people.exit_moving_share, people.move_share)
    away = (u < leaving * people.leave_system_share) | (places.closed[now] <= year)
    inside = ((u < leaving) | outgrown) & ~away
    moved = now.copy()
    if away.any():
        moved[away] = chooser.anywhere(v[away], t, grown[away])
    if inside.any():
        moved[inside] = chooser.within(w[inside], t, grown[inside], places.home[now[inside]])
    return moved
