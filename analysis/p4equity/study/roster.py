"""The blocks of `systems.toml`: arms, contracts, grants, exits, co-interventions, and the sources of every fact.

A fact that is not public is named in its block's `illustrative` list; the report repeats the mark where the fact is used.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field

from p4equity.study.base import Block, Many, Share, Year
from p4equity.study.vocabulary import Arm, Certainty


class Source(Block):
    """[[source]]: a document a fact rests on; `address` without scheme."""

    id: str
    title: str
    published: str | None = None
    address: str | None = None
    certainty: Certainty


class Fact(Block):
    """A block whose facts have sources, some of them illustrative."""

    sources: Many[str] = ()
    illustrative: Many[str] = ()
    note: str | None = None


class SyntheticSystem(Block):
    """What the synthetic extract assumes of a system: attributed members in 2022 and the share of each group."""

    members: Annotated[int, Field(gt=0)]
    race_mix: dict[str, Share]


class System(Fact):
    """[[system]]: a unit of treatment. Neutral id; its name stands here and nowhere else.

    `counties`: those in which most of its members live. `ownership`: kind of owner (nonprofit, for profit). `owner`: who owns it,
    absent where it stands alone.
    """

    id: Annotated[str, Field(pattern=r"^S\d{2,3}$")]
    name: str
    short_name: str | None = None
    arm: Arm
    stratum: str
    masked_label: str | None = None
    region: str | None = None
    counties: Many[str] = ()
    teaching: bool | None = None
    masshealth_aco: bool | None = None
    medicaid_share: Share | None = None
    ownership: str | None = None
    owner: str | None = None
    source_key: str | None = None
    synthetic: SyntheticSystem | None = None

    @property
    def label(self) -> str:
        """The short public name."""
        return self.short_name or self.name


def owners(systems: Sequence[System], contracts: Sequence[Contract]) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Ids of the systems of each owner with several in the arms, those of one arm, stratum and set of contracts together.

    Such systems can be one unit. An owner's other ones cannot: a unit with and without a contract is neither. A shock that an
    owner's systems in both arms share cancels in the difference of the arms, so that taking them for independent is careful.
    """
    held: dict[str, dict[object, list[str]]] = {}
    for system in systems:
        if system.owner and system.arm != "excluded":
            terms = frozenset((c.cohort, m) for c in contracts if c.system_id == system.id for m in c.measures)
            held.setdefault(system.owner, {}).setdefault((system.arm, system.stratum, terms), []).append(system.id)
    found = {owner: tuple(tuple(ids) for ids in kinds.values()) for owner, kinds in held.items()}
    return {owner: kinds for owner, kinds in found.items() if sum(map(len, kinds)) > 1}


def near_contracted(systems: Sequence[System], contracted: Iterable[str]) -> frozenset[str]:
    """Ids of systems without a contract that share a county with a contracted one."""
    own = set(contracted)
    held = {county for system in systems if system.id in own for county in system.counties}
    return frozenset(system.id for system in systems if system.id not in own and held & set(system.counties))


class Contract(Fact):
    """[[contract]]: the measures one system is paid on, from `cohort` (its first performance year) on."""

    contract_id: str
    system_id: str
    cohort: Year
    effective: dt.date | None = None
    announced: dt.date | None = None
    ended: dt.date | None = None
    measures: Annotated[Many[str], Field(min_length=1)]


class Grant(Fact):
    """[[grant]]: money for preparation, given to participating and comparison systems alike. `amount` in USD."""

    grant_id: str
    system_id: str
    awarded: dt.date
    ends: dt.date | None = None
    amount: Annotated[float, Field(gt=0)] | None = None
    purpose: str
    tranche: int = 1


class Exit(Fact):
    """[[exit]]: a system leaves the study on `date`."""

    system_id: str
    date: dt.date
    reason: str


class Cointervention(Fact):
    """[[cointervention]]: what else happened to the systems, who got it, when, and how the plan handles it."""

    id: str
    title: str
    recipients: str
    period: str
    handling: str


class Roster(Block):
    """The whole of `systems.toml`."""

    source: Many[Source] = ()
    system: Annotated[Many[System], Field(min_length=2)]
    contract: Annotated[Many[Contract], Field(min_length=1)]
    grant: Many[Grant] = ()
    exit: Many[Exit] = ()
    cointervention: Many[Cointervention] = ()


class Published(Block):
    """[[result]] of `published.toml`: a printed coefficient, and the row of this study that stands beside it.

    `place` is table, column and page; `same_specification` says whether the two must agree or only be near; `verified` how the
    printed number was checked.
    """

    id: str
    source: str
    place: str
    description: str
    estimate: float
    std_error: float | None = None
    analysis_id: str
    measure_id: str
    event_time: int | None = None
    unit: str
    same_specification: bool
    verified: str


class PublishedResults(Block):
    """The whole of `published.toml`."""

    source: Many[Source] = ()
    result: Many[Published] = ()
