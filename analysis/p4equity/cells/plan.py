"""What the cells of a study are: years, population, systems, groups, measures and variants, taken from the study once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from p4equity.dictionary import Dictionary, GroupScheme, Measure
from p4equity.errors import StudyError
from p4equity.race_ethnicity import whole_population
from p4equity.study import Study

ALL_AGES = "all"  # the stratum of a measure without strata
OLDEST = 130
MOST_YEARS = 62  # one bit a year in a 64-bit integer


@dataclass(frozen=True)
class Variant:
    """One way to place members: a practice map and a race version."""

    map: str
    race_version: str

    @property
    def system(self) -> str:
        """The column that holds the system under this map."""
        return f"system_{self.map}"

    @property
    def group(self) -> str:
        """The column that holds the group under this race version."""
        return f"group_{self.race_version}"

    @property
    def self_report(self) -> str:
        """The column that says whether this version's group is self-reported."""
        return f"self_{self.race_version}"


@dataclass(frozen=True)
class CellPlan:
    """The aggregation, without files. Positions in `systems`, `scheme.groups` and `measures` are the codes used inside.

    `variants[0]` is the primary one: the flow is counted under it. `measures` are proportions; `across` those of them whose
    pairs enter the overlap moments. `compared` are the groups of the analysis, the reference among them.
    """

    years: tuple[int, ...]
    attribution_rule: str
    map_date: dt.date | None
    minimum_months: int
    baseline_year: int
    systems: tuple[str, ...]
    scheme: GroupScheme
    compared: tuple[str, ...]
    versions: tuple[str, ...]
    frozen: str
    contemporaneous: Mapping[int, str]
    measures: tuple[Measure, ...]
    across: tuple[str, ...]
    spending: Measure | None
    variants: tuple[Variant, ...]

    @property
    def primary(self) -> Variant:
        """The variant of the registered primary analysis."""
        return self.variants[0]

    @property
    def groups(self) -> tuple[str, ...]:
        """Ids of the groups by code."""
        return tuple(group.id for group in self.scheme.groups)

    @property
    def undivided(self) -> bool:
        """Whether the scheme has one group that takes in every member, so that no race data are read."""
        return whole_population(self.scheme) is not None


def plan_of(study: Study, dictionary: Dictionary) -> CellPlan:
    """The cells' plan of a study of counts.

    Raises StudyError when no system is compared, a measure is unknown, or the years do not fit into one integer.
    """
    if len(study.years) > MOST_YEARS:
        found = len(study.years)
        raise StudyError("too many years", where="study.toml: data.years", expected=f"at most {MOST_YEARS}", found=found)
    systems = tuple(sorted(s.id for arm in ("participating", "comparison") for s in study.arm_systems(arm)))
    if not systems:
        raise StudyError("no system is compared", where="systems.toml", expected="systems with arm participating or comparison")
    scheme = _scheme(study, dictionary)
    race = study.race if whole_population(scheme) is None else None
    contemporaneous = dict(race.contemporaneous_versions) if race else {}
    frozen = race.frozen_version if race else ""
    measures = _measures(study)
    return CellPlan(
        years=study.years,
        attribution_rule=study.population.attribution_rule,
        map_date=study.population.map_date,
        minimum_months=study.population.minimum_months,
        baseline_year=max(study.baseline.pre_years),
        systems=systems,
        scheme=scheme,
        compared=study.group_ids or tuple(group.id for group in scheme.groups),
        versions=tuple(dict.fromkeys([frozen, *contemporaneous.values()])) if race else (),
        frozen=frozen,
        contemporaneous=contemporaneous,
        measures=tuple(m for m in measures if m.kind == "proportion"),
        across=tuple(m for m in study.measure_ids("contracted") if study.measure(m).kind == "proportion"),
        spending=next((m for m in measures if m.kind == "spending"), None),
        variants=_variants(study),
    )


def _scheme(study: Study, dictionary: Dictionary) -> GroupScheme:
    if study.scheme is not None:
        return study.scheme
    return next(scheme for scheme in dictionary.schemes.values() if whole_population(scheme) is not None)


def _measures(study: Study) -> list[Measure]:
    """Every measure that a role, an own set or an analysis of the study names, ordered by id."""
    names = {"contracted", "not_incentivized", "negative_control", "broken_series", "spending", *study.measure_sets.sets}
    ids = {m for name in names for m in study.measure_ids(name)}
    ids |= {m for analysis in study.analyses for m in study.measure_ids(analysis.measures)}
    return [study.measure(m) for m in sorted(ids)]


def _variants(study: Study) -> tuple[Variant, ...]:
    """The primary variant, the registered sensitivities, and whatever an analysis asks for beyond them."""
    population, race = study.population, study.race
    version = race.primary if race else "frozen"
    wanted = [Variant(population.map, version)]
    if population.map_sensitivity:
        wanted.append(Variant(population.map_sensitivity, version))
    if race and race.sensitivity:
        wanted.append(Variant(population.map, race.sensitivity))
    for analysis in study.analyses:
        wanted.append(Variant(analysis.map or population.map, (analysis.race_version or version) if race else version))
    return tuple(dict.fromkeys(wanted))
