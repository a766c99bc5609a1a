"""The members of one block: home system, group, age, sex, coverage by month."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from p4equity.synthetic.draws import BoolArray, FloatArray, IntArray, pick, stream
from p4equity.synthetic.plan import OLDEST, People

SEXES = ("F", "M", "X", "unk")
_SEX_SHARES = np.cumsum([0.517, 0.477, 0.003, 0.003])
PRODUCTS = ("HMO", "POS", "PPO", "EPO")
_PRODUCT_SHARES = np.cumsum([0.52, 0.05, 0.40, 0.03])
MARKETS = ("fully_insured_large", "self_insured", "small_group", "individual")
_MARKET_SHARES = np.cumsum([0.33, 0.42, 0.16, 0.09])


@dataclass(frozen=True)
class Members:
    """n members. Months count from January of the first study year; spans are [start, end) and the second may be empty.

    `start`, `end` (n, 2); `months` (n, Y) of coverage; `product` (n, 2); `category`: race category of the frozen version.
    """

    home: IntArray
    group: IntArray
    category: IntArray
    birth_year: IntArray
    sex: IntArray
    start: IntArray
    end: IntArray
    months: IntArray
    product: IntArray
    market: IntArray
    first_year: int

    @property
    def n(self) -> int:
        """Members in the block."""
        return len(self.home)

    def age(self, years: tuple[int, ...]) -> IntArray:
        """Age on 31 December (n, Y), from 0 (also before birth) to OLDEST."""
        return np.clip(np.array(years)[None, :] - self.birth_year[:, None], 0, OLDEST)


def draw_members(people: People, years: tuple[int, ...], seed: int, block: int, n: int) -> Members:
    """Members of a block, from the streams (seed, stage, block)."""
    rng = stream(seed, "member", block)
    home = pick(rng, people.home, None, n)
    group = pick(rng, people.mix, home, n)
    category = pick(rng, people.category, group, n)
    start, end = _coverage(people, len(years), stream(seed, "coverage", block), n)
    middle = (start[:, 0] + end.max(axis=1)) // 24  # year index in the middle of the member's time
    age = _ages(people, rng, group, people.child[home])
    birth = years[0] + middle - age
    birth = np.minimum(birth, years[0] + start[:, 0] // 12)  # nobody is covered before the year of birth
    product = np.stack([pick(rng, _PRODUCT_SHARES, None, n) for _ in range(2)], axis=1)
    has_gap = (start[:, 1] > end[:, 0])[:, None]
    product = np.where(has_gap, product[:, :1], product)
    return Members(
        home=home,
        group=group,
        category=category,
        birth_year=birth,
        sex=pick(rng, _SEX_SHARES, None, n),
        start=start,
        end=end,
        months=_months(start, end, len(years)),
        product=product,
        market=pick(rng, _MARKET_SHARES, None, n),
        first_year=years[0],
    )


def _ages(people: People, rng: np.random.Generator, group: IntArray, child: BoolArray) -> IntArray:
    """Age in the middle of the member's time, by group and by kind of system."""
    band = np.where(child, pick(rng, people.child_ages, group, len(group)), pick(rng, people.age, group, len(group)))
    low, high = people.age_from[band], people.age_from[band + 1]
    age = low + np.floor(rng.random(len(group)) * (high - low)).astype(np.int64)
    result: IntArray = np.where(child, np.minimum(age, people.child_age_max), age)
    return result


def _coverage(people: People, n_years: int, rng: np.random.Generator, n: int) -> tuple[IntArray, IntArray]:
    """Spans [start, end) in months (n, 2) of an open cohort of constant size; at most one gap or change of product."""
    last = 12 * n_years
    from_start = 1 / (1 + people.turnover * (n_years - 1))
    year = rng.integers(1, n_years, n)
    month = np.where(rng.random(n) < people.january_entry, 0, rng.integers(1, 12, n))
    entry = np.where(rng.random(n) < from_start, 0, 12 * year + month)
    whole = rng.geometric(people.turnover, n) - 1
    december = rng.random(n) < people.december_exit
    leave = 12 * (entry // 12 + whole) + np.where(december, 12, rng.integers(1, 12, n))
    leave = np.clip(leave, entry + 1, last)
    start = np.stack([entry, leave], axis=1)
    end = np.stack([leave, leave], axis=1)
    u, long = rng.random(n), leave - entry >= 24
    away = 1 + rng.integers(0, 6, n)
    stop = entry + 6 + np.floor(rng.random(n) * (leave - entry - 12)).astype(np.int64)
    gap = long & (u < people.gap_share)
    switch = long & ~gap & (u < people.gap_share + people.switch_share)
    january = 12 * (stop // 12 + 1)
    switch &= january < leave
    end[:, 0] = np.where(gap, stop, np.where(switch, january, end[:, 0]))
    start[:, 1] = np.where(gap, np.minimum(stop + away, leave), np.where(switch, january, start[:, 1]))
    return start.astype(np.int64), end.astype(np.int64)


def _months(start: IntArray, end: IntArray, n_years: int) -> IntArray:
    first = 12 * np.arange(n_years)
    spans = np.minimum(end[:, :, None], first + 12) - np.maximum(start[:, :, None], first)
    total: IntArray = np.clip(spans, 0, 12).sum(axis=1)
    return total


def deprivation(people: People, members: Members, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """National percentile of area deprivation (1 to 100; Massachusetts is low) and social vulnerability (0 to 1)."""
    percentile = rng.normal(28.0, 18.0, members.n) + people.deprivation[members.group]
    vulnerability = np.clip(percentile / 100 + rng.normal(0.05, 0.12, members.n), 0, 1)
    return np.clip(np.round(percentile), 1, 100).astype(np.int64), np.round(vulnerability, 3)
