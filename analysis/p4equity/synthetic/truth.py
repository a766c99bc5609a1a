"""The blocks of `truth.toml`: what the synthetic extract plants, by scenario."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from p4equity.errors import StudyError, did_you_mean
from p4equity.study import Study
from p4equity.study.base import Block, Many, Share
from p4equity.study.problems import Problems
from p4equity.study.reader import parse, read_toml

Switch = Literal[
    "exit_flows", "differential_churn", "practice_changes", "spec_break", "race_error", "race_drift", "noise_selection",
    "rule_selection", "documentation_gain", "no_effects", "grant_effect", "spillover", "cherry_picking", "effort_diversion",
    "owner_shocks", "prior_trend", "anticipation",
]  # fmt: skip
Positive = Annotated[float, Field(gt=0)]


class Scenario(Block):
    """[scenario.NAME]: the features that happen in it."""

    description: str
    switches: Many[Switch]


class Effect(Block):
    """[[effect]]: points on the rate of each group while a contract on `measure` is in force; at one `system`, or all.

    In one `scenario`, where it takes the place of the measure's other blocks, or in all.
    """

    measure: str
    points: dict[str, float]
    system: str | None = None
    scenario: str | None = None


class SpendingEffect(Block):
    """[spending_effect]: dollars per member-month at systems with any contract in force."""

    usd_pmpm: float = 0.0


class Shocks(Block):
    """[shocks]: AR(1) system-year shocks, points. The SD of gap shocks is each measure's `shock_sd` unless set here."""

    level_sd: Annotated[float, Field(ge=0)] = 1.0
    gap_sd: Annotated[float, Field(ge=0)] | None = None
    autocorrelation: Annotated[float, Field(ge=0, lt=1)] = 0.5
    shared: Share = 0.5


class Population(Block):
    """[population]: coverage, attribution, ages."""

    turnover: Share = 0.135
    january_entry: Share = 0.6
    december_exit: Share = 0.7
    gap_share: Share = 0.04
    switch_share: Share = 0.08
    move_share: Share = 0.03
    leave_system_share: Share = 0.5
    unattributed_share: Share = 0.03
    outside_share: Share = 0.025
    members_per_practice: Positive = 2000.0
    child_strata: Many[str] = ()
    child_age_max: int = 21
    age_from: Many[int]
    age_share: Many[float]


class GroupTraits(Block):
    """[group.ID]: age, deprivation and language of a group; shares of its race categories when it holds several."""

    younger: float = 0.0
    deprivation: float = 0.0
    language: dict[str, Share] = Field(default_factory=dict)
    categories: dict[str, Share] = Field(default_factory=dict)


class Stream(Block):
    """[stream.ID]: how members enter the denominator of an event stream."""

    denominator: Literal["age", "chronic", "episodic"] = "age"
    age_midpoint: float = 55.0
    age_scale: Positive = 12.0


class RaceData(Block):
    """[race]: self-report and error by version, and the imputation model."""

    self_report: dict[str, Share]
    error: dict[str, Share]
    released: dict[str, dt.date]
    signal: Positive = 3.0
    probability: dict[str, str]
    probability_rest: str


class RaceDrift(Block):
    """[race_drift]: self-report of participating systems, by version."""

    self_report: dict[str, Share]


class NoiseSelection(Block):
    """[noise_selection]: a passing extra gap in the selection years at contracted cells, the largest of `draws` draws."""

    draws: Annotated[int, Field(ge=1)]
    sd: Annotated[float, Field(ge=0)]


class RuleSelection(Block):
    """[rule_selection]: passing gaps in the selection years at all systems, in the measures that a contract could name.

    The contracts name each system's largest. measures: sets of the study's measures, or measures. sd: points, of each gap.
    """

    measures: Many[str]
    sd: Annotated[float, Field(ge=0)]


class PracticeChanges(Block):
    """[practice_changes]: practices that join from outside before the baseline map's date, or change system after it."""

    joined_share: Share
    sold_share: Share


class ExitFlows(Block):
    """[exit_flows]: what becomes of the practices and members of a system that leaves."""

    sold_share: Share
    closed_share: Share
    moving_share: Share
    access_shock: float


class DifferentialChurn(Block):
    """[differential_churn]: members who do worse leave contracted systems in years under contract, in some groups.

    groups: who. low: share of a group that does worse. trait: part of a member's results that is lasting, in all groups and
    systems. leave: share of those who do worse and leave a contracted system in a year, for no practice.
    """

    groups: Many[str]
    low: Share
    trait: Share
    leave: Share


class GroupPoints(Block):
    """Points on the rate of each group. [grant_effect]: for every 10 USD of grants a member, both arms, years after the award.
    [effort_diversion]: in measures no contract pays for, at systems under contract. [prior_trend]: a year, at contracted systems.
    """

    points: dict[str, float]


class Spillover(Block):
    """[spillover]: share of the contracts' effect that comparison systems near contracted ones have too."""

    share: Share


class CherryPicking(Block):
    """[cherry_picking]: share of the members of some groups who leave a contracted system in a year, whatever their results."""

    groups: Many[str]
    leave: Share


class Anticipation(Block):
    """[anticipation]: share of a contract's effect that its system has already in some years before the contract."""

    share: Share
    years: Annotated[int, Field(ge=1)] = 1


class Truth(Block):
    """The whole of `truth.toml`."""

    scenario: dict[str, Scenario]
    effect: Many[Effect] = ()
    spending_effect: SpendingEffect = SpendingEffect()
    shocks: Shocks = Shocks()
    population: Population
    group: dict[str, GroupTraits] = Field(default_factory=dict)
    stream: dict[str, Stream] = Field(default_factory=dict)
    race: RaceData | None = None
    race_drift: RaceDrift | None = None
    noise_selection: NoiseSelection | None = None
    rule_selection: RuleSelection | None = None
    documentation_gain: dict[str, dict[str, float]] = Field(default_factory=dict)
    practice_changes: PracticeChanges | None = None
    exit_flows: ExitFlows | None = None
    differential_churn: DifferentialChurn | None = None
    grant_effect: GroupPoints | None = None
    spillover: Spillover | None = None
    cherry_picking: CherryPicking | None = None
    effort_diversion: GroupPoints | None = None
    prior_trend: GroupPoints | None = None
    anticipation: Anticipation | None = None


@dataclass(frozen=True)
class Planted:
    """The truth of one scenario: which features happen."""

    truth: Truth
    scenario: str
    switches: frozenset[str]

    def on(self, switch: Switch) -> bool:
        """Whether a feature happens."""
        return switch in self.switches


FILE = "truth.toml"


def load_truth(study: Study, scenario: str | None = None) -> Planted:
    """The study's truth under a scenario (the study's own when None).

    Raises StudyError for a missing file, an unknown key, scenario, measure, system or group, or a switch without its block.
    """
    problems = Problems(study.id)
    truth = parse(Truth, read_toml(study.folder, FILE, problems), FILE, problems)
    problems.raise_any()
    if truth is None:
        raise StudyError("the synthetic extract has no truth", where=FILE)
    _check_names(study, truth, problems)
    problems.raise_any()
    name = scenario or study.data.scenario or next(iter(truth.scenario))
    if name not in truth.scenario:
        raise StudyError(
            "unknown scenario",
            where=f"{study.id}/{FILE}",
            found=name,
            expected=", ".join(truth.scenario),
            fix=did_you_mean(name, truth.scenario),
        )
    switches = frozenset(truth.scenario[name].switches)
    truth = truth.model_copy(update={"effect": _effects_of(truth, name)})
    if "no_effects" in switches:
        truth = truth.model_copy(update={"effect": (), "spending_effect": SpendingEffect()})
    return Planted(truth, name, switches)


def _effects_of(truth: Truth, scenario: str) -> tuple[Effect, ...]:
    """The effects of a scenario: its own, and the general ones of all other measures."""
    own = [e for e in truth.effect if e.scenario == scenario]
    general = [e for e in truth.effect if e.scenario is None and e.measure not in {o.measure for o in own}]
    return (*general, *own)


def _check_names(study: Study, truth: Truth, problems: Problems) -> None:
    groups = [group.id for group in study.scheme.groups] if study.scheme else []
    streams = [measure.events for measure in study.measures.values()]
    systems = [system.id for system in study.systems]
    for number, effect in enumerate(truth.effect):
        _check(effect.measure, list(study.measures), "measure", ("effect", number, "measure"), problems)
        for group in effect.points:
            _check(group, groups, "group", ("effect", number, "points", group), problems)
        if effect.system is not None:
            _check(effect.system, systems, "system", ("effect", number, "system"), problems)
        if effect.scenario is not None:
            _check(effect.scenario, list(truth.scenario), "scenario", ("effect", number, "scenario"), problems)
    for table, names, known in (
        ("group", truth.group, groups),
        ("stream", truth.stream, streams),
        ("documentation_gain", truth.documentation_gain, streams),
    ):
        for name in names:
            _check(name, known, table.split("_")[0], (table, name), problems)
    leaving = {"differential_churn": truth.differential_churn, "cherry_picking": truth.cherry_picking}
    for table, who in leaving.items():
        for i, group in enumerate(who.groups if who else ()):
            _check(group, groups, "group", (table, "groups", i), problems)
    for table in ("grant_effect", "effort_diversion", "prior_trend"):
        for group in getattr(truth, table).points if getattr(truth, table) else ():
            _check(group, groups, "group", (table, "points", group), problems)
    if len(truth.population.age_from) != len(truth.population.age_share) + 1:
        problems.add(FILE, ("population", "age_share"), "wrong number of shares", expected="one fewer than the ages in age_from")
    for name, chosen in truth.scenario.items():
        for switch in chosen.switches:
            if switch in type(truth).model_fields and not getattr(truth, switch):
                problems.add(FILE, ("scenario", name, "switches"), f"switch without its block: [{switch}]")


def _check(word: str, known: list[str], what: str, path: tuple[str | int, ...], problems: Problems) -> None:
    if word not in known:
        problems.add(FILE, path, f"unknown {what}", found=word, fix=did_you_mean(word, known))
