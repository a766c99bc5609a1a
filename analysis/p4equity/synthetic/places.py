"""Practices, their clinicians and their membership in systems over time."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import numpy as np

from p4equity.study import Study
from p4equity.synthetic.draws import FloatArray, IntArray, stream
from p4equity.synthetic.plan import Places
from p4equity.synthetic.truth import Planted

KINDS = ("adult", "pediatric", "mixed")
ADULT, PEDIATRIC, MIXED = range(3)
# A practice's kind by its place in the list of its system: the first serves everybody, so that no system lacks either class.
_CYCLE = (MIXED, ADULT, PEDIATRIC, ADULT, ADULT)
_ATTRACTION = {ADULT: (0.0, 1.0), PEDIATRIC: (1.0, 0.0), MIXED: (0.6, 0.6)}
OPENED = dt.date(2012, 1, 1)
_NEVER = 9999


@dataclass
class _Draft:
    """What happens to practices: `owner` (P, Y) and spans are edited by each kind of change."""

    years: tuple[int, ...]
    home: IntArray
    owner: IntArray
    closed: IntArray
    exited: IntArray
    spans: list[list[tuple[dt.date, dt.date | None, int, str]]] = field(default_factory=list)

    def end_span(self, practice: int, last_day: dt.date) -> None:
        """Close the open span of a practice."""
        start, _, system, why = self.spans[practice][-1]
        self.spans[practice][-1] = (start, last_day, system, why)

    def move(self, practice: int, first_day: dt.date, system: int, why: str) -> None:
        """From `first_day` on the practice belongs to `system` (the number past the last: to none)."""
        if self.spans[practice]:
            self.end_span(practice, first_day - dt.timedelta(days=1))
        if system < self.outside:
            self.spans[practice].append((first_day, None, system, why))
        since = [y >= first_day.year for y in self.years]
        self.owner[practice, since] = system

    @property
    def outside(self) -> int:
        """The number that stands for no system of the study."""
        return int(self.home.max())


def real_sizes(study: Study) -> FloatArray:
    """Members of real size by system; 0 for a system without a synthetic block (S)."""
    return np.array([s.synthetic.members if s.synthetic else 0 for s in study.systems], dtype=float)


def build_places(study: Study, planted: Planted, seed: int) -> Places:
    """Practices of all systems, and a few outside them, with all planted changes."""
    rng = stream(seed, "practice")
    population = planted.truth.population
    sizes = real_sizes(study)
    outside_size = sizes.sum() * population.outside_share / (1 - population.outside_share)
    all_sizes = np.append(sizes, outside_size)
    counts = np.maximum(np.round(all_sizes / population.members_per_practice), 3 * (all_sizes > 0)).astype(int)
    home = np.repeat(np.arange(len(all_sizes)), counts)
    place = np.concatenate([np.arange(n) for n in counts])
    child = np.array([s.stratum in population.child_strata for s in study.systems] + [False])
    kind = np.where(child[home], PEDIATRIC, np.array(_CYCLE)[place % len(_CYCLE)])
    share = rng.lognormal(0.0, 0.6, len(home))
    size = share / np.bincount(home, share)[home] * all_sizes[home]
    n_pcps = np.clip(rng.poisson(size / 700.0), 1, 40).astype(np.int64)
    draft = _start(study, home)
    _change(study, planted, draft, rng)
    ids = tuple(f"P{i + 1:05d}" for i in range(len(home)))
    systems = [s.id for s in study.systems]
    return Places(
        ids=ids,
        kind=kind.astype(np.int64),
        home=home.astype(np.int64),
        owner=draft.owner,
        closed=draft.closed,
        exited=draft.exited,
        weight=size[:, None] * np.array([_ATTRACTION[int(k)] for k in kind]),
        n_pcps=n_pcps,
        first_provider=np.concatenate([[0], np.cumsum(n_pcps)[:-1]]).astype(np.int64),
        deprivation=np.clip(np.round(rng.normal(5.5, 2.6, len(home))), 1, 10).astype(np.int64),
        zip3=tuple(f"{z:03d}" for z in rng.integers(10, 28, len(home))),
        spans=tuple(
            (ids[p], start, end, systems[system], why) for p, spans in enumerate(draft.spans) for start, end, system, why in spans
        ),
    )


def _start(study: Study, home: IntArray) -> _Draft:
    outside = len(study.systems)
    owner = np.repeat(home[:, None], len(study.years), axis=1).astype(np.int64)
    never = np.full(len(home), _NEVER, dtype=np.int64)
    draft = _Draft(study.years, home.astype(np.int64), owner, never, never.copy())
    draft.spans = [[(OPENED, None, int(system), "join")] if system < outside else [] for system in home]
    return draft


def _change(study: Study, planted: Planted, draft: _Draft, rng: np.random.Generator) -> None:
    """Practices that join late, are sold, or leave with their system, as the scenario switches on."""
    truth, outside = planted.truth, len(study.systems)
    leaving = {e.system_id for e in study.exits}
    gone = {i for i, s in enumerate(study.systems) if s.id in leaving}
    buyers = [i for i, s in enumerate(study.systems) if i not in gone and s.stratum not in truth.population.child_strata]
    if planted.on("practice_changes") and truth.practice_changes is not None:
        last_map_year = study.baseline.reference_year
        staying = [p for p in range(len(draft.home)) if draft.home[p] < outside and draft.home[p] not in gone]
        draws = rng.random(len(staying))
        joined, sold = truth.practice_changes.joined_share, truth.practice_changes.sold_share
        for p, u in zip(staying, draws, strict=True):
            if u < joined:
                year = int(rng.choice([y for y in study.years if study.years[0] < y <= last_map_year]))
                draft.spans[p] = [(dt.date(year, 1, 1), None, int(draft.home[p]), "join")]
                draft.owner[p, [y < year for y in study.years]] = outside
            elif u < joined + sold:
                year = int(rng.choice([y for y in study.years if y > last_map_year]))
                draft.move(p, dt.date(year, 7, 1), int(rng.choice([b for b in buyers if b != draft.home[p]])), "sale")
    if planted.on("exit_flows") and truth.exit_flows is not None:
        for leave in study.exits:
            index = next(i for i, s in enumerate(study.systems) if s.id == leave.system_id)
            flows = truth.exit_flows
            _dissolve(draft, index, leave.date, (flows.sold_share, flows.closed_share), buyers, rng)


def _dissolve(
    draft: _Draft,
    system: int,
    date: dt.date,
    shares: tuple[float, float],
    buyers: list[int],
    rng: np.random.Generator,
) -> None:
    """The practices of a system that leaves: sold, closed within four months, or independent."""
    for p in np.flatnonzero(draft.home == system):
        u, days = rng.random(), int(rng.integers(0, 120))
        draft.exited[p] = date.year
        if u < shares[0]:
            draft.move(int(p), date + dt.timedelta(days=days), int(rng.choice(buyers)), "sale")
        else:
            draft.move(int(p), date + dt.timedelta(days=days), draft.outside, "leave")
            if u < sum(shares):
                draft.closed[p] = (date + dt.timedelta(days=days)).year
