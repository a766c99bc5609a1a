"""The generator's plan: every number a worker needs, as plain arrays, so that it can be sent to another process.

Axes: S systems of the study plus one last row for practices outside it, K groups of the scheme in its order, Y study years,
P practices. Rates are proportions.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from p4equity.synthetic.draws import BoolArray, FloatArray, IntArray

OLDEST = 110
LOWEST_RATE, HIGHEST_RATE = 0.005, 0.995
HIGHEST_READING = 0.995
Column = tuple[str, str, bool]


@dataclass(frozen=True)
class Places:
    """Practices and what happens to them.

    `home` (P): system whose levels a practice has, S when outside. `owner` (P, Y): system on 31 December, S when none.
    `closed` (P): first year without the practice, or past the last. `exited` (P): first year after its system left.
    `weight` (P, 2): attraction for children and for adults. `spans`: rows of practice_system_span.
    """

    ids: tuple[str, ...]
    kind: IntArray
    home: IntArray
    owner: IntArray
    closed: IntArray
    exited: IntArray
    weight: FloatArray
    n_pcps: IntArray
    first_provider: IntArray
    deprivation: IntArray
    zip3: tuple[str, ...]
    spans: tuple[tuple[str, dt.date, dt.date | None, str, str], ...]


@dataclass(frozen=True)
class People:
    """Who the members are: cumulated shares by home system (S+1), by group (K), and the rates of coming, going, moving."""

    home: FloatArray
    mix: FloatArray
    child: BoolArray
    child_age_max: int
    age_from: IntArray
    age: FloatArray
    child_ages: FloatArray
    deprivation: FloatArray
    languages: tuple[str, ...]
    language: FloatArray
    categories: tuple[str, ...]
    category: FloatArray
    turnover: float
    january_entry: float
    december_exit: float
    gap_share: float
    switch_share: float
    move_share: float
    leave_system_share: float
    unattributed_share: float
    exit_moving_share: float


@dataclass(frozen=True)
class ChurnPlan:
    """Who leaves: `groups` (K) flags, `contracted` (S+1, Y) flags; shares as in truth.toml."""

    groups: BoolArray
    contracted: BoolArray
    low: float
    trait: float
    leave: float


@dataclass(frozen=True)
class RacePlan:
    """Versions of the race file. `self_report` (V, S+1) and `error` (V) in the order of `versions`; the frozen one is last."""

    versions: tuple[str, ...]
    self_report: FloatArray
    error: FloatArray
    released: tuple[dt.date, ...]
    signal: float
    probability: tuple[tuple[str, int], ...]
    rest: str
    prior: FloatArray


@dataclass(frozen=True)
class StreamPlan:
    """One event stream.

    `band` (OLDEST+1): row of `rate` an age falls into, -1 when never eligible; `first_year` (B): first eligible year index.
    `entry` (K, OLDEST+1): probability of the denominator given age; `latent`: stream whose lasting condition decides it, null
    when it is drawn anew every year. `rate` (B, S+1, K, Y), `effect`, `reading`, `reading_gain` (S+1, K, Y).
    """

    id: str
    sex: int
    band: IntArray
    first_year: IntArray
    entry: FloatArray
    latent: str | None
    persistence: float
    rate: FloatArray
    effect: FloatArray
    reading: FloatArray | None
    reading_gain: FloatArray
    supplemental: float
    claims_only: bool
    met: tuple[float, float]
    not_met: tuple[float, float]
    cut: float | None


@dataclass(frozen=True)
class SpendingPlan:
    """Spending: `mean` (S+1, K, Y) and `effect` (S+1, Y) in USD per member-month, `age` (OLDEST+1) a factor."""

    mean: FloatArray
    effect: FloatArray
    age: FloatArray
    log_sd: float
    zero_share: float
    persistence: float
    plan_share: float


@dataclass(frozen=True)
class Plan:
    """All of it. `columns`: table -> ((name, type, whether it may be absent), ...) as the dictionary has them."""

    seed: int
    members: int
    block: int
    years: tuple[int, ...]
    minimum_months: int
    attribution_rule: str
    system_ids: tuple[str, ...]
    places: Places
    people: People
    race: RacePlan | None
    streams: tuple[StreamPlan, ...]
    spending: SpendingPlan | None
    access_shock: float
    churn: ChurnPlan | None
    columns: dict[str, tuple[Column, ...]]

    @property
    def blocks(self) -> int:
        """Number of member blocks."""
        return -(-self.members // self.block)

    def size(self, number: int) -> int:
        """Members in a block."""
        return min(self.block, self.members - number * self.block)
