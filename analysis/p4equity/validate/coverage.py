"""What the plan needs of an extract is looked for: years, measures, groups, versions, maps, systems and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from p4equity.extract import quote_name, quote_text
from p4equity.study import Study
from p4equity.validate.model import EMPTY_ARM, Problem
from p4equity.validate.scan import Source
from p4equity.validate.summaries import Summaries

if TYPE_CHECKING:
    import duckdb


def coverage_problems(
    con: duckdb.DuckDBPyConnection, study: Study, sources: Mapping[str, Source], summaries: Summaries
) -> Iterator[Problem]:
    """Years, measures, versions and rules the plan needs and the extract lacks."""
    wanted: dict[tuple[str, str], Sequence[str]] = {
        ("measure_event", "measure_id"): sorted({m.events for m in _plan_measures(study) if m.kind == "proportion"}),
        ("measure_event", "year"): [str(y) for y in study.years],
        ("attribution", "rule"): [study.population.attribution_rule],
        ("attribution", "year"): [str(y) for y in study.years],
        ("cell", "measure_id"): sorted(m.id for m in _plan_measures(study)),
        ("cell", "year"): [str(y) for y in study.years],
        ("cell", "group"): study.group_ids,
    }
    if study.race is not None:
        versions = {study.race.frozen_version, *study.race.contemporaneous_versions.values()}
        wanted["race_ethnicity", "version"] = sorted(versions)
    for (table, column), needed in wanted.items():
        source = sources.get(table)
        if source is None or column in source.faulty:
            continue
        relation, _ = summaries.narrowest(table, [column])
        found = {str(r[0]) for r in con.execute(f"SELECT DISTINCT {quote_name(column)} FROM {relation}").fetchall()}
        lost = [v for v in needed if v not in found]
        if lost:
            yield Problem(
                table, "plan_coverage", "the plan needs values that never occur",
                "add the rows, or take them out of the plan", column, ", ".join(needed), "no row with " + ", ".join(lost),
                len(lost),
            )  # fmt: skip
    yield from _needed_tables(study, sources)
    yield from _systems_present(con, study, sources, summaries)
    yield from _variants_present(con, study, sources)


def _needed_tables(study: Study, sources: Mapping[str, Source]) -> Iterator[Problem]:
    """Tables that only some plans need: spending for a spending measure, overlap moments for cells with counts."""
    needed = []
    if study.measure_sets.spending and "measure_event" in sources:
        needed.append(("spending", "the plan has a spending measure"))
    if study.data.kind == "counts" and "cell" in sources:
        needed.append(("cell_overlap", "the sampling variance of a change needs joint counts"))
    for table, why in needed:
        if table not in sources:
            yield Problem(
                table, "missing_table", f"the table is missing: {why}", "add the table", None, "the table", "no such file"
            )


def _plan_measures(study: Study) -> list[Any]:
    names = {m for key in type(study.measure_sets).model_fields if key != "sets" for m in study.measure_ids(key)}
    return [study.measures[m] for m in sorted(names)]


def _systems_present(
    con: duckdb.DuckDBPyConnection, study: Study, sources: Mapping[str, Source], summaries: Summaries
) -> Iterator[Problem]:
    """Every system that is compared has rows; an arm without any leaves nothing to compare, and is named as such."""
    own = f"rule = {quote_text(study.population.attribution_rule)}"
    for table, columns, only in (("attribution", ("system_id", "rule"), own), ("cell", ("system_id",), "true")):
        source = sources.get(table)
        if source is None or source.faulty & set(columns):
            continue
        relation, _ = summaries.narrowest(table, columns)
        query = f"SELECT DISTINCT system_id FROM {relation} WHERE system_id IS NOT NULL AND {only}"
        found = {row[0] for row in con.execute(query).fetchall()}
        for arm in ("participating", "comparison"):
            systems = [s.id for s in study.arm_systems(arm)]
            lost = [s for s in systems if s not in found]
            if not lost:
                continue
            empty = len(lost) == len(systems)
            yield Problem(
                table, EMPTY_ARM if empty else "absent_system",
                f"no {arm} system is left in the data" if empty else f"{arm} systems of the study have no rows",
                "add their rows, or give these systems arm = \"excluded\" in the study's systems.toml and log the deviation",
                "system_id", ", ".join(systems), "no row of " + ", ".join(lost), len(lost),
            )  # fmt: skip


def _variants_present(con: duckdb.DuckDBPyConnection, study: Study, sources: Mapping[str, Source]) -> Iterator[Problem]:
    """Cells hold each practice map and race version that an analysis uses, with the analysis's measures."""
    source = sources.get("cell")
    if source is None or source.faulty & {"map", "race_version", "measure_id"}:
        return
    rows = con.execute("SELECT DISTINCT map, race_version, measure_id FROM cell").fetchall()
    measures = {row[2] for row in rows}
    needed: dict[tuple[str, str], dict[str, set[str]]] = {}
    for analysis in study.analyses:
        version: str = (analysis.race_version or study.race.primary) if study.race else "frozen"
        users = needed.setdefault((analysis.map or study.population.map, version), {})
        for measure in study.measure_ids(analysis.measures):
            users.setdefault(measure, set()).add(analysis.id)
    for (place, version), users in needed.items():
        found = {row[2] for row in rows if row[:2] == (place, version)}
        lost = sorted(m for m in users if m not in found and (m in measures or not found))
        if not lost:
            continue
        analyses = sorted(set().union(*(users[m] for m in lost)))
        absent = f"measures {', '.join(lost)}" if found else "this map and version"
        yield Problem(
            "cell", "plan_coverage", f"the plan needs cells of map {place} and race version {version} that are not there",
            "write the cells again with: p4equity cells, or take these analyses out of the plan", "map, race_version",
            "cells for " + ", ".join(analyses), f"no row of {absent}", len(lost) if found else 1,
        )  # fmt: skip
