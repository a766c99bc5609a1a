"""Measure events of one block: denominators, readings, numerators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from p4equity.synthetic.churn import lasting_results
from p4equity.synthetic.draws import BoolArray, FloatArray, IntArray, stream
from p4equity.synthetic.placement import Placement
from p4equity.synthetic.plan import HIGHEST_RATE, HIGHEST_READING, LOWEST_RATE, OLDEST, Plan, StreamPlan
from p4equity.synthetic.population import Members

EXCLUSIONS = ("hospice", "palliative care", "advanced illness and frailty")
_EXCLUDED_SHARE, _EXCLUDED_SHARE_OLD, _OLD = 0.002, 0.02, 66
SOURCES = ("claims", "lab", "ehr_feed", "chart")


@dataclass(frozen=True)
class Events:
    """Rows of one stream: member and year numbers, and columns. Null is -1 in `source`, `exclusion`, `day`, NaN in `value`."""

    member: IntArray
    year: IntArray
    age: IntArray
    denominator: BoolArray
    exclusion: IntArray
    numerator: BoolArray
    supplemental: BoolArray
    reading: BoolArray | None
    value: FloatArray
    day: IntArray
    source: IntArray


def conditions(plan: Plan, members: Members, seed: int, block: int) -> dict[str, FloatArray]:
    """By stream that others may refer to: a lasting uniform of each member; in the denominator while it is below `entry`."""
    names = sorted({s.latent for s in plan.streams if s.latent is not None})
    return {name: stream(seed, f"condition:{name}", block).random(members.n) for name in names}


def condition_codes(plan: Plan, members: Members, latent: dict[str, FloatArray]) -> IntArray:
    """Which lasting conditions a member has in the middle study year, as bits (at most four streams)."""
    age = np.clip(plan.years[len(plan.years) // 2] - members.birth_year, 0, OLDEST)
    code = np.zeros(members.n, dtype=np.int64)
    chronic = [s for s in plan.streams if s.latent == s.id and np.ptp(s.entry[0][s.band >= 0]) > 0]
    for bit, item in enumerate(chronic[:4]):
        code |= (latent[item.id] < item.entry[members.group, age]).astype(np.int64) << bit
    return code


def draw_events(
    plan: Plan, item: StreamPlan, members: Members, placed: Placement, latent: dict[str, FloatArray], block: int
) -> Events:
    """All rows of one stream."""
    rng = stream(plan.seed, f"event:{item.id}", block)
    who, year = _eligible(plan, item, members, latent, rng)
    age = np.clip(np.array(plan.years)[year] - members.birth_year[who], 0, OLDEST)
    home, owner, group = placed.home[who, year], placed.owner[who, year], members.group[who]
    rate = item.rate[item.band[age], home, group, year] + item.effect[owner, group, year]
    rate = np.clip(rate + plan.access_shock * placed.exited[who, year], LOWEST_RATE, HIGHEST_RATE)
    reading: BoolArray | None = None
    control = rate
    if item.reading is not None:
        tested = item.reading[home, group, year]
        control = np.minimum(rate / tested, HIGHEST_RATE)
        tested = np.minimum(tested + item.reading_gain[owner, group, year], HIGHEST_READING)
        reading = _lasting(rng, who, item.persistence) < tested
    met = lasting_results(plan, members, who, _lasting(rng, who, item.persistence), item.id, block) < control
    numerator = met if reading is None else met & reading
    excluded = rng.random(len(who)) < np.where(age >= _OLD, _EXCLUDED_SHARE_OLD, _EXCLUDED_SHARE)
    return _rows(item, rng, (who, year, age), numerator, reading, excluded)


def _eligible(
    plan: Plan, item: StreamPlan, members: Members, latent: dict[str, FloatArray], rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Member and year numbers of the rows, ordered by member, then year."""
    age = members.age(plan.years)
    band = item.band[age]
    able = (band >= 0) & (members.months >= plan.minimum_months)
    able &= np.arange(len(plan.years))[None, :] >= item.first_year[band]
    if item.sex >= 0:
        able &= (members.sex == item.sex)[:, None]
    who, year = np.nonzero(able)
    chance = item.entry[members.group[who], age[who, year]]
    draw = rng.random(len(who)) if item.latent is None else latent[item.latent][who]
    keep = draw < chance
    return who[keep], year[keep]


def _lasting(rng: np.random.Generator, who: IntArray, persistence: float) -> FloatArray:
    """Uniforms that stay the same from one row of a member to the next with probability `persistence`; each is uniform."""
    fresh = rng.random(len(who))
    same = rng.random(len(who)) < persistence
    same &= np.diff(who, prepend=-1) == 0
    origin = np.maximum.accumulate(np.where(same, 0, np.arange(len(who))))
    return fresh[origin]


def _rows(
    item: StreamPlan,
    rng: np.random.Generator,
    keys: tuple[IntArray, IntArray, IntArray],
    numerator: BoolArray,
    reading: BoolArray | None,
    excluded: BoolArray,
) -> Events:
    who, year, age = keys
    n = len(who)
    numerator = numerator & ~excluded
    if reading is not None:
        reading = reading & ~excluded
    documented = numerator if reading is None else reading
    u = rng.random(n)
    supplemental = numerator & (u < item.supplemental)
    source = np.where(supplemental, np.where(u < 0.8 * item.supplemental, 2, 3), 0 if item.claims_only else 1)
    return Events(
        member=who,
        year=year,
        age=age,
        denominator=~excluded,
        exclusion=np.where(excluded, np.where(age >= _OLD, 2, rng.integers(0, 2, n)), -1),
        numerator=numerator,
        supplemental=supplemental,
        reading=reading,
        value=_values(item, rng, numerator, reading),
        day=np.where(documented, rng.integers(0, 365, n), -1),
        source=np.where(documented, source, -1),
    )


def _values(item: StreamPlan, rng: np.random.Generator, numerator: BoolArray, reading: BoolArray | None) -> FloatArray:
    """The last result of the year, on the right side of the measure's cut; NaN without a reading."""
    if reading is None or item.cut is None:
        return np.full(len(numerator), np.nan)
    step = 1.0 if item.cut >= 50 else 0.1
    z = rng.standard_normal(len(numerator))
    met = np.minimum(item.met[0] + item.met[1] * z, item.cut - step)
    not_met = np.maximum(item.not_met[0] + item.not_met[1] * z, item.cut)
    value = np.round(np.where(numerator, met, not_met) / step) * step
    return np.where(reading, np.round(value, 1), np.nan)
