"""Reads a study's folder: every file, every check, every problem in one error; then the study with its defaults filled in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p4equity.dictionary import Dictionary, Measure, load_dictionary
from p4equity.errors import did_you_mean
from p4equity.resources import study_dir
from p4equity.study.checks_plan import check_plan
from p4equity.study.checks_race import version_read
from p4equity.study.checks_roster import check_published, check_roster
from p4equity.study.model import Study, measures_of
from p4equity.study.own_measures import merged_measures
from p4equity.study.plan import Analysis, Plan
from p4equity.study.problems import Problems
from p4equity.study.reader import parse, read_toml
from p4equity.study.roster import Contract, PublishedResults, Roster
from p4equity.study.tables import Row, read_table
from p4equity.study.vocabulary import FACTS

TABLES = {"events": "event_log", "deviations": "deviation", "threats": "threat"}


def load_study(study: str | Path) -> Study:
    """The study of that id, or in that folder, read and checked.

    Raises StudyError with every problem of all files: unknown keys (with the nearest known one), wrong types, references
    that lead nowhere, years outside the study, no treated or no comparison system.
    """
    folder = study_dir(study)
    dictionary = load_dictionary()
    problems = Problems(folder.name)
    raw = {
        "study.toml": read_toml(folder, "study.toml", problems),
        "systems.toml": read_toml(folder, "systems.toml", problems),
        "measures.toml": read_toml(folder, "measures.toml", problems, required=False),
        "published.toml": read_toml(folder, "published.toml", problems, required=False),
        "truth.toml": read_toml(folder, "truth.toml", problems, required=False),
    }
    plan = parse(Plan, raw["study.toml"], "study.toml", problems)
    roster = parse(Roster, raw["systems.toml"], "systems.toml", problems)
    measures = merged_measures(raw["measures.toml"], dictionary, problems)
    published = parse(PublishedResults, raw["published.toml"] or {}, "published.toml", problems)
    tables = {name: read_table(folder, f"{name}.csv", dictionary.tables[table], problems) for name, table in TABLES.items()}
    if plan is None or roster is None or published is None:
        problems.raise_any()
        raise AssertionError("a file that is not parsed is a problem")
    _check(plan, roster, measures, dictionary, problems)
    check_published(published.result, (*published.source, *roster.source), plan, problems, "published.toml")
    _check_references(plan, roster, measures, tables, problems)
    problems.raise_any()
    return _build(folder, plan, roster, published, measures, dictionary, tables, raw)


def _check(plan: Plan, roster: Roster, measures: Mapping[str, Measure], dictionary: Dictionary, problems: Problems) -> None:
    check_plan(plan, measures, dictionary, problems)
    check_roster(plan, roster, measures, dictionary, problems)


def _check_references(
    plan: Plan, roster: Roster, measures: Mapping[str, Measure], tables: Mapping[str, list[Row]], problems: Problems
) -> None:
    """Rows of the study's CSV tables name analyses, gates, facts, sources, systems and measures that exist."""
    items = [*(a.id for a in plan.analysis), *(g.id for g in plan.gate)]
    affected = ["all", *(system.id for system in roster.system), *measures]
    columns: tuple[tuple[str, str, list[str]], ...] = (
        ("deviations", "item_id", items),
        ("threats", "evidence", [*items, *FACTS]),
        ("events", "affected", affected),
        ("events", "source", [source.id for source in roster.source]),
    )
    for name, column, known in columns:
        for row in tables[name]:
            for item in (part.strip() for part in str(row[column] or "").split(";")):
                if item and item not in known:
                    problems.add(
                        f"{name}.csv",
                        (column,),
                        f"'{item}' is not in the study",
                        found=f"row {next(iter(row.values()))}",
                        fix=did_you_mean(item, known),
                    )


def _build(
    folder: Path,
    plan: Plan,
    roster: Roster,
    published: PublishedResults,
    measures: Mapping[str, Measure],
    dictionary: Dictionary,
    tables: Mapping[str, list[Row]],
    raw: Mapping[str, dict[str, Any] | None],
) -> Study:
    scheme = dictionary.schemes[plan.groups.scheme] if plan.groups.scheme else None
    return Study(
        folder=folder,
        info=plan.study,
        data=plan.data,
        population=plan.population,
        groups=plan.groups,
        race=plan.race,
        baseline=plan.baseline,
        measure_sets=plan.measures,
        inference=plan.inference,
        analyses=tuple(_settle(analysis, plan, roster.contract) for analysis in plan.analysis),
        gates=plan.gate,
        disclosure=plan.disclosure,
        leveling=plan.leveling,
        selection=plan.selection,
        payment=plan.payment,
        precision=plan.precision,
        composition=plan.composition,
        report=plan.report,
        systems=roster.system,
        contracts=roster.contract,
        grants=roster.grant,
        exits=roster.exit,
        cointerventions=roster.cointervention,
        sources={source.id: source for source in (*roster.source, *published.source)},
        published=published.result,
        measures=measures,
        scheme=scheme,
        truth=raw["truth.toml"] or {},
        tables=tables,
        columns={name: tuple(field.name for field in dictionary.tables[table].fields) for name, table in TABLES.items()},
        plan_hash=_plan_hash(raw, tables),
    )


def _settle(analysis: Analysis, plan: Plan, contracts: tuple[Contract, ...]) -> Analysis:
    """The analysis with the plan's defaults where it says nothing of its own."""
    ids = set(measures_of(plan.measures, analysis.measures))
    cohorts = {c.cohort for c in contracts if analysis.contracts == "any" or ids & set(c.measures)}
    return analysis.model_copy(
        update={
            "cohorts": analysis.cohorts or tuple(sorted(cohorts)),
            "pre_years": analysis.pre_years or plan.baseline.pre_years,
            "map": analysis.map or plan.population.map,
            "race_version": version_read(analysis, plan.race),
            "exits": analysis.exits or plan.population.exit_rule,
        }
    )


def _plan_hash(raw: Mapping[str, dict[str, Any] | None], tables: Mapping[str, list[Row]]) -> str:
    """SHA-256 of the content of the plan's files as canonical JSON: comments, order of keys and layout do not count.

    `truth.toml` describes a synthetic extract and `published.toml` only what stands beside a result: neither is the plan.
    """
    content = {name: raw[name] for name in ("study.toml", "systems.toml", "measures.toml")} | {"tables": dict(tables)}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=lambda d: d.isoformat())
    return hashlib.sha256(text.encode()).hexdigest()
