"""Checks of `systems.toml` against the plan: arms, contracts, dates, references between blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from p4equity.dictionary import Dictionary, Measure
from p4equity.errors import StudyError, did_you_mean
from p4equity.study.base import Block
from p4equity.study.checks_plan import FILE as PLAN
from p4equity.study.checks_plan import check_measures, duplicates
from p4equity.study.locate import KeyPath
from p4equity.study.model import measures_of
from p4equity.study.plan import Analysis, Plan
from p4equity.study.problems import Problems
from p4equity.study.roster import Contract, Fact, Published, Roster, Source, owners

FILE = "systems.toml"


def check_roster(plan: Plan, roster: Roster, measures: Mapping[str, Measure], dictionary: Dictionary, problems: Problems) -> None:
    """Notes every problem of systems, contracts, grants and exits, alone and with the plan."""
    _check_systems(plan, roster, dictionary, problems)
    _check_arms(roster, problems)
    duplicates([c.contract_id for c in roster.contract], FILE, "contract", "contract_id", problems)
    duplicates([g.grant_id for g in roster.grant], FILE, "grant", "grant_id", problems)
    duplicates([e.system_id for e in roster.exit], FILE, "exit", "system_id", problems)
    duplicates([s.id for s in roster.source], FILE, "source", "id", problems)
    _check_references(roster, problems)
    for i, contract in enumerate(roster.contract):
        _check_contract(plan, contract, ("contract", i), measures, problems)
    for i, exit_ in enumerate(roster.exit):
        if exit_.date.year not in plan.data.years:
            problems.add(FILE, ("exit", i, "date"), "the exit lies outside data.years", found=exit_.date.isoformat())
    _check_timing(plan, roster, problems)
    _check_owners(plan, roster, problems)


def _check_systems(plan: Plan, roster: Roster, dictionary: Dictionary, problems: Problems) -> None:
    duplicates([s.id for s in roster.system], FILE, "system", "id", problems)
    duplicates([s.name for s in roster.system], FILE, "system", "name", problems)
    labels = [s.masked_label or s.id for s in roster.system]
    duplicates(labels, FILE, "system", "masked_label", problems)
    scheme = dictionary.schemes.get(plan.groups.scheme or "")
    groups = {group.id for group in scheme.groups} if scheme else set()
    for i, system in enumerate(roster.system):
        if plan.disclosure.system_names == "masked" and not system.masked_label:
            problems.add(FILE, ("system", i), "masked names need a masked_label for every system", found=system.id)
        if system.synthetic and groups:
            where: KeyPath = ("system", i, "synthetic", "race_mix")
            for group in sorted(set(system.synthetic.race_mix) ^ groups):
                word = "unknown group" if group not in groups else "no share for group"
                problems.add(FILE, where, f"{word} '{group}'", expected=", ".join(sorted(groups)))
            total = sum(system.synthetic.race_mix.values())
            if abs(total - 1) > 1e-6:
                problems.add(FILE, where, "the shares must sum to 1", found=f"{total:.4f}")


def _check_arms(roster: Roster, problems: Problems) -> None:
    contracted = {contract.system_id for contract in roster.contract}
    for i, system in enumerate(roster.system):
        if system.arm == "participating" and system.id not in contracted:
            problems.add(FILE, ("system", i, "arm"), f"the participating system '{system.id}' has no contract")
        if system.arm != "participating" and system.id in contracted:
            problems.add(FILE, ("system", i, "arm"), f"the {system.arm} system '{system.id}' has a contract")
    for arm, word in (("participating", "treated"), ("comparison", "untreated")):
        if not any(system.arm == arm for system in roster.system):
            problems.add(
                FILE, ("system",), f"no {arm} system is left: nothing to compare", expected=f"at least one with arm = \"{arm}\"",
                fix=f"the effect of a contract needs both arms; name the {word} systems",
            )  # fmt: skip


def _check_owners(plan: Plan, roster: Roster, problems: Problems) -> None:
    """An analysis of owners needs one with two systems that can be one unit; those that differ from them stay apart."""
    asking = [i for i, analysis in enumerate(plan.analysis) if analysis.clusters == "owner"]
    kinds = [ids for kinds in owners(roster.system, roster.contract).values() for ids in kinds]
    if asking and not any(len(ids) > 1 for ids in kinds):
        problems.add(
            PLAN, ("analysis", asking[0], "clusters"), "no owner has two systems of one arm, stratum and set of contracts",
            expected="owner in two such [[system]]", fix="name the owners in systems.toml, or leave the analysis out",
        )  # fmt: skip


def _check_references(roster: Roster, problems: Problems) -> None:
    systems = [system.id for system in roster.system]
    known = [source.id for source in roster.source]
    lists: dict[str, Sequence[Fact]] = {
        "system": roster.system,
        "contract": roster.contract,
        "grant": roster.grant,
        "exit": roster.exit,
        "cointervention": roster.cointervention,
    }
    for name, blocks in lists.items():
        for i, block in enumerate(blocks):
            system = getattr(block, "system_id", None)
            if system is not None and system not in systems:
                problems.add(FILE, (name, i, "system_id"), f"unknown system '{system}'", fix=did_you_mean(system, systems))
            for source in block.sources:
                if source not in known:
                    problems.add(FILE, (name, i, "sources"), f"unknown source '{source}'", fix=did_you_mean(source, known))
            _check_illustrative(block, (name, i, "illustrative"), problems)


def _check_illustrative(block: Fact, path: KeyPath, problems: Problems) -> None:
    own = [name for name in type(block).model_fields if name not in ("sources", "illustrative")]
    for name in block.illustrative:
        if name not in own:
            problems.add(FILE, path, f"unknown field '{name}'", fix=did_you_mean(name, own))
        elif _empty(block, name):
            problems.add(FILE, path, f"'{name}' is called illustrative but not given", fix="give a value or drop the mark")


def _empty(block: Block, name: str) -> bool:
    return getattr(block, name) is None


def _check_contract(plan: Plan, contract: Contract, path: KeyPath, measures: Mapping[str, Measure], problems: Problems) -> None:
    check_measures(contract.measures, measures, FILE, (*path, "measures"), problems)
    outside = [m for m in contract.measures if m in measures and m not in plan.measures.contracted]
    if outside:
        problems.add(
            FILE, (*path, "measures"), "a contract for measures that the plan does not call contracted", found=outside,
            fix=f"add them to measures.contracted in {PLAN}",
        )  # fmt: skip
    years = plan.data.years
    if contract.cohort not in years or contract.cohort == years[0]:
        problems.add(
            FILE, (*path, "cohort"), "the contract starts outside the study's years, or leaves no year before it",
            expected=f"after {years[0]}, not after {years[-1]}", found=contract.cohort,
        )  # fmt: skip
    if contract.effective and contract.effective.year != contract.cohort:
        problems.add(
            FILE, (*path, "effective"), "the cohort is the year of the effective date",
            expected=f"a day in {contract.cohort}", found=contract.effective.isoformat(),
        )  # fmt: skip
    if plan.data.kind == "counts" and contract.effective is None:
        problems.add(FILE, path, "the key 'effective' is missing", expected="the first day of the contract")
    if contract.ended and contract.ended.year < contract.cohort:
        problems.add(FILE, (*path, "ended"), "the contract ends before it starts", found=contract.ended.isoformat())


def _check_timing(plan: Plan, roster: Roster, problems: Problems) -> None:
    """Baseline years lie before the first contract; every analysis has a contract to look at and years before it."""
    first = min(contract.cohort for contract in roster.contract)
    base = plan.baseline
    late = [year for year in (*base.pre_years, *base.weights_years) if year >= first]
    if late:
        problems.add(
            PLAN,
            ("baseline", "pre_years"),
            f"baseline years in or after the first contract year {first}",
            found=sorted(set(late)),
        )
    if base.reference_year >= first:
        problems.add(
            PLAN, ("baseline", "reference_year"), f"the reference year must lie before {first}", found=base.reference_year
        )
    for measure in plan.measures.contracted:
        if not any(measure in contract.measures for contract in roster.contract):
            problems.add(
                PLAN, ("measures", "contracted"), f"no contract names the measure '{measure}'", fix=f"see [[contract]] in {FILE}"
            )
    for i, analysis in enumerate(plan.analysis):
        ids = set(_ids(plan, analysis))
        cohorts = {c.cohort for c in roster.contract if analysis.contracts == "any" or ids & set(c.measures)}
        if ids and not cohorts:
            problems.add(
                PLAN, ("analysis", i, "contracts"), "no contract names these measures, so nothing is treated",
                fix="contracts = \"any\" calls every contracted system treated",
            )  # fmt: skip
        for cohort in analysis.cohorts if cohorts else ():
            if cohort not in cohorts:
                problems.add(
                    PLAN, ("analysis", i, "cohorts"), f"no contract of the cohort {cohort} for these measures",
                    expected=", ".join(map(str, sorted(cohorts))), found=cohort,
                )  # fmt: skip
        treated = [year for year in analysis.pre_years if year >= min(analysis.cohorts or cohorts or {first})]
        if treated:
            problems.add(
                PLAN, ("analysis", i, "pre_years"), "baseline years in or after the contract's first year", found=treated
            )


def _ids(plan: Plan, analysis: Analysis) -> tuple[str, ...]:
    """The measures of an analysis; none for an unknown set, which is noted elsewhere."""
    try:
        return measures_of(plan.measures, analysis.measures)
    except StudyError:
        return ()


def check_published(results: Sequence[Published], sources: Sequence[Source], plan: Plan, problems: Problems, file: str) -> None:
    """Notes published coefficients that point at no analysis, measure or source of the study."""
    duplicates([result.id for result in results], file, "result", "id", problems)
    analyses = {a.id: a for a in plan.analysis}
    known = [source.id for source in sources]
    for i, result in enumerate(results):
        if result.source not in known:
            problems.add(
                file, ("result", i, "source"), f"unknown source '{result.source}'", fix=did_you_mean(result.source, known)
            )
        if result.analysis_id not in analyses:
            problems.add(
                file, ("result", i, "analysis_id"), f"unknown analysis '{result.analysis_id}'",
                fix=did_you_mean(result.analysis_id, analyses),
            )  # fmt: skip
        elif result.measure_id not in _ids(plan, analyses[result.analysis_id]):
            problems.add(
                file, ("result", i, "measure_id"), f"the analysis '{result.analysis_id}' has no measure '{result.measure_id}'"
            )
