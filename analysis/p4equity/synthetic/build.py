"""Makes the generator's plan from study, dictionary and truth."""

from __future__ import annotations

import numpy as np

from p4equity.dictionary import Dictionary, load_dictionary
from p4equity.errors import StudyError
from p4equity.study import Study
from p4equity.synthetic.build_streams import Pilot, build_spending, build_streams
from p4equity.synthetic.churn import build_churn
from p4equity.synthetic.draws import FloatArray, cumulate
from p4equity.synthetic.places import build_places, real_sizes
from p4equity.synthetic.plan import Column, People, Plan, RacePlan
from p4equity.synthetic.population import draw_members
from p4equity.synthetic.truth import Planted

BLOCK = 25_000
_PILOT_BLOCK, _PILOT_MEMBERS = 1_000_000_000, 60_000


def build_plan(study: Study, planted: Planted, *, members: int, seed: int) -> Plan:
    """Everything a block needs. Raises StudyError when the study has no groups, sizes or levels to simulate from."""
    dictionary = load_dictionary()
    if study.scheme is None or not study.group_ids:
        raise StudyError("only a study with groups can be simulated", where=study.id, expected="[groups] in study.toml")
    if not real_sizes(study).sum():
        raise StudyError(
            "no system has a size to simulate from",
            where=f"{study.id}/systems.toml",
            expected="synthetic = { members, race_mix }",
        )
    places = build_places(study, planted, seed)
    people = build_people(study, planted)
    sample = draw_members(people, study.years, seed, _PILOT_BLOCK, _PILOT_MEMBERS)
    minimum = study.population.minimum_months
    pilot = Pilot.of(sample, study, minimum)
    flows = planted.truth.exit_flows
    return Plan(
        seed=seed,
        members=members,
        block=BLOCK,
        years=study.years,
        minimum_months=minimum,
        attribution_rule=study.population.attribution_rule,
        system_ids=tuple(s.id for s in study.systems),
        places=places,
        people=people,
        race=_race(study, planted, people),
        streams=build_streams(study, planted, pilot, seed),
        spending=build_spending(study, planted, pilot, seed),
        access_shock=flows.access_shock / 100 if flows and planted.on("exit_flows") else 0.0,
        churn=build_churn(study, planted),
        columns=_columns(dictionary),
    )


def _columns(dictionary: Dictionary) -> dict[str, tuple[Column, ...]]:
    return {name: tuple((f.name, f.type, f.optional) for f in table.fields) for name, table in dictionary.tables.items()}


def build_people(study: Study, planted: Planted) -> People:
    """Shares by system and group, as cumulated tables."""
    truth, scheme = planted.truth, study.scheme
    population = truth.population
    assert scheme is not None
    groups = scheme.ids
    sizes = real_sizes(study)
    outside = sizes.sum() * population.outside_share / (1 - population.outside_share)
    mix = np.array([[(s.synthetic.race_mix.get(g, 0.0) if s.synthetic else 1.0) for g in groups] for s in study.systems])
    mix = np.vstack([mix, (sizes[:, None] * mix).sum(axis=0) / sizes.sum()])
    categories, category = _categories(planted, groups, {g.id: g.categories for g in scheme.groups})
    languages, language = _languages(planted, groups)
    ages = np.array(population.age_from, dtype=float)
    share = np.array(population.age_share)
    traits = [truth.group.get(g) for g in groups]
    middle = (ages[:-1] + ages[1:] - 1) / 2
    tilt = np.exp(-np.array([[t.younger if t else 0.0] for t in traits]) * (middle - 40.0) / 10.0)
    young = share * (ages[:-1] <= population.child_age_max)
    flows = truth.exit_flows
    moving = flows.moving_share if flows and planted.on("exit_flows") else population.move_share
    return People(
        home=cumulate(np.append(sizes, outside)),
        mix=cumulate(mix),
        child=np.array([s.stratum in population.child_strata for s in study.systems] + [False]),
        child_age_max=population.child_age_max,
        age_from=np.array(population.age_from, dtype=np.int64),
        age=cumulate(tilt * share),
        child_ages=cumulate(tilt * young),
        deprivation=np.array([t.deprivation if t else 0.0 for t in traits]),
        languages=languages,
        language=language,
        categories=categories,
        category=category,
        turnover=population.turnover,
        january_entry=population.january_entry,
        december_exit=population.december_exit,
        gap_share=population.gap_share,
        switch_share=population.switch_share,
        move_share=population.move_share,
        leave_system_share=population.leave_system_share,
        unattributed_share=population.unattributed_share,
        exit_moving_share=moving,
    )


def _categories(
    planted: Planted, groups: tuple[str, ...], held: dict[str, tuple[str, ...]]
) -> tuple[tuple[str, ...], FloatArray]:
    """All recorded categories, and their cumulated shares by group."""
    names = tuple(c for g in groups for c in held[g])
    shares = np.zeros((len(groups), len(names)))
    for k, group in enumerate(groups):
        traits = planted.truth.group.get(group)
        own = traits.categories if traits and traits.categories else {held[group][0]: 1.0}
        for name, share in own.items():
            if name not in held[group]:
                raise StudyError(
                    "a category of another group",
                    where=f"truth.toml [group.{group}] categories",
                    found=name,
                    expected=", ".join(held[group]),
                )
            shares[k, names.index(name)] = share
    return names, cumulate(shares)


def _languages(planted: Planted, groups: tuple[str, ...]) -> tuple[tuple[str, ...], FloatArray]:
    table = load_dictionary().table("member").field("language_pref")
    names = tuple(str(c.value) for c in table.categories)
    shares = np.zeros((len(groups), len(names)))
    for k, group in enumerate(groups):
        traits = planted.truth.group.get(group)
        for name, share in (traits.language if traits and traits.language else {names[0]: 1.0}).items():
            if name not in names:
                raise StudyError(
                    "unknown language", where=f"truth.toml [group.{group}] language", found=name, expected=", ".join(names)
                )
            shares[k, names.index(name)] = share
    return names, cumulate(shares)


def _race(study: Study, planted: Planted, people: People) -> RacePlan | None:
    """Versions in the order of their release, the frozen one last. Raises StudyError when truth.toml lacks one."""
    data, plan = planted.truth.race, study.race
    if data is None or plan is None:
        return None
    used = dict.fromkeys(plan.contemporaneous_versions[y] for y in study.years if y in plan.contemporaneous_versions)
    versions = (*used, plan.frozen_version)
    missing = [v for v in versions if v not in data.self_report or v not in data.released]
    if missing:
        raise StudyError("a race data version has no model", where="truth.toml [race]", expected=", ".join(missing))
    share = np.repeat(np.array([[data.self_report[v]] for v in versions]), len(study.systems) + 1, axis=1)
    drift = planted.truth.race_drift
    if planted.on("race_drift") and drift is not None:
        rows = [i for i, s in enumerate(study.systems) if s.arm == "participating"]
        for v, value in drift.self_report.items():
            share[versions.index(v), rows] = value
    error = [data.error.get(v, 0.0) if planted.on("race_error") and v != plan.frozen_version else 0.0 for v in versions]
    own = tuple((column, people.categories.index(c)) for column, c in data.probability.items())
    mix = np.diff(people.mix, axis=1, prepend=0.0)
    category = np.diff(people.category, axis=1, prepend=0.0)
    by_category = mix @ category
    prior = np.stack([by_category[:, c] for _, c in own], axis=1)
    prior = np.hstack([prior, 1.0 - prior.sum(axis=1, keepdims=True)])
    return RacePlan(
        versions=versions,
        self_report=share,
        error=np.array(error),
        released=tuple(data.released[v] for v in versions),
        signal=data.signal,
        probability=own,
        rest=data.probability_rest,
        prior=prior,
    )
