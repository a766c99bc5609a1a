"""What the cells of a study are: years, population, systems, groups, measures and variants, taken from the study once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from p4equity.dictionary import Dictionary, GroupScheme, Measure
from p4equity.errors import StudyError
from p4equity.race_ethnicity import MOST_BITS, whole_population, width
from p4equity.study import Study

ALL_AGES = "all"  # the stratum of a measure without strata
OLDEST = 130
MOST_YEARS = 62  # one bit a year in a 64-bit integer, from the first year to the last


@dataclass(frozen=True)
class Variant:
    """One way to place members, a practice map and a race version, and what the study reads under it.

    `measures` are codes of proportions; the primary variant has all of them, others what their analyses ask for.
    """

    map: str
    race_version: str
    measures: tuple[int, ...]
    spending: bool


@dataclass(frozen=True)
class Window:
    """Years before and after the contract of one measure in one system, both by code."""

    system: int
    measure: int
    pre: tuple[int, ...]
    post: tuple[int, ...]


@dataclass(frozen=True)
class CellPlan:
    """The aggregation, without files. Positions in `systems`, `scheme.groups` and `measures` are the codes used inside.

    `exits`: code and year of each system that leaves. `variants[0]` is the primary one: the flow is counted under it. `measures`
    are proportions; `across` those of them whose pairs enter the overlap moments. `compared` are the groups of the analysis, the
    reference among them. `age_starts` are first ages of the bands of `cell_age` (none: no such cells); a member who stayed was
    with one practice in all `stay_years`. `windows`: of contracted proportions; none without contracts.
    """

    years: tuple[int, ...]
    attribution_rule: str
    map_date: dt.date | None
    minimum_months: int
    baseline_year: int
    systems: tuple[str, ...]
    participating: tuple[str, ...]
    exits: tuple[tuple[int, int], ...]
    scheme: GroupScheme
    compared: tuple[str, ...]
    versions: tuple[str, ...]
    frozen: str
    contemporaneous: Mapping[int, str]
    measures: tuple[Measure, ...]
    across: tuple[str, ...]
    age_starts: tuple[int, ...]
    stay_years: tuple[int, ...]
    spending: Measure | None
    windows: tuple[Window, ...]
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
    if (found := max(study.years) - min(study.years) + 1) > MOST_YEARS:
        raise StudyError("too many years", where="study.toml: data.years", expected=f"at most {MOST_YEARS}", found=found)
    systems = tuple(sorted(s.id for arm in ("participating", "comparison") for s in study.arm_systems(arm)))
    if not systems:
        raise StudyError("no system is compared", where="systems.toml", expected="systems with arm participating or comparison")
    scheme = _scheme(study, dictionary)
    race = study.race if whole_population(scheme) is None else None
    contemporaneous = dict(race.contemporaneous_versions) if race else {}
    frozen = race.frozen_version if race else ""
    measures = _measures(study)
    proportions = tuple(m for m in measures if m.kind == "proportion")
    versions = tuple(dict.fromkeys([frozen, *contemporaneous.values()])) if race else ()
    if len(versions) * width(scheme) > MOST_BITS:
        raise StudyError(
            "too many versions of the race and ethnicity data", where="study.toml: race", found=len(versions),
            expected=f"at most {MOST_BITS // width(scheme)} with {len(scheme.groups)} groups", fix="leave versions out",
        )  # fmt: skip
    return CellPlan(
        years=study.years,
        attribution_rule=study.population.attribution_rule,
        map_date=study.population.map_date,
        minimum_months=study.population.minimum_months,
        baseline_year=max(study.baseline.pre_years),
        systems=systems,
        participating=tuple(s.id for s in study.arm_systems("participating")),
        exits=tuple((code, year) for code, s in enumerate(systems) if (year := study.exit_year(s)) is not None),
        scheme=scheme,
        compared=study.group_ids or tuple(group.id for group in scheme.groups),
        versions=versions,
        frozen=frozen,
        contemporaneous=contemporaneous,
        measures=proportions,
        across=tuple(m for m in study.measure_ids("contracted") if study.measure(m).kind == "proportion"),
        age_starts=study.composition.age_bands if study.composition else (),
        stay_years=tuple(y for y in study.years if study.composition and y >= max(study.baseline.pre_years)),
        spending=next((m for m in measures if m.kind == "spending"), None),
        windows=_windows(study, systems, proportions),
        variants=_variants(study, proportions),
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


def _windows(study: Study, systems: tuple[str, ...], measures: tuple[Measure, ...]) -> tuple[Window, ...]:
    """What the registered questions compare, by system and contracted measure."""
    if not study.contracts:
        return ()
    contracted = study.measure_ids("contracted")
    return tuple(
        Window(number, code, *study.compared_years(system, m.id))
        for code, m in enumerate(measures) if m.id in contracted
        for number, system in enumerate(systems)
    )  # fmt: skip


def _variants(study: Study, measures: tuple[Measure, ...]) -> tuple[Variant, ...]:
    """The primary variant with everything, then the registered sensitivities and whatever an analysis asks for beyond them."""
    population, race = study.population, study.race
    version = race.primary if race else "frozen"
    primary = (population.map, version)
    read: dict[tuple[str, str], set[str]] = {primary: {m.id for m in measures}}
    contracted = set(study.measure_ids("contracted"))
    if population.map_sensitivity:
        read.setdefault((population.map_sensitivity, version), set()).update(contracted)
    if race:  # whichever is primary: how many reported themselves is counted in the versions in use
        read.setdefault((population.map, "contemporaneous"), set()).update(contracted)
    for analysis in study.analyses:
        place = (analysis.map or population.map, (analysis.race_version or version) if race else version)
        read.setdefault(place, set()).update(study.measure_ids(analysis.measures))
    spent = set(study.measure_ids("spending"))
    return tuple(
        Variant(*place, tuple(i for i, m in enumerate(measures) if m.id in ids), place == primary or bool(ids & spent))
        for place, ids in read.items()
    )
