"""Rules over several rows or tables (`data_dictionary/rules.toml`), run over one view per table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from p4equity.dictionary import CrossRule, Dictionary, Measure
from p4equity.extract import quote_name, quote_text
from p4equity.study import Study
from p4equity.validate.model import Example, Problem
from p4equity.validate.scan import EXAMPLES, Source, plain

if TYPE_CHECKING:
    import duckdb

YEARS = range(1990, 2061)
OF_NOBODY = {"system_id", "year"}  # a place that names only these is about no person, whatever tables the rule reads


def create_views(con: duckdb.DuckDBPyConnection, sources: Mapping[str, Source]) -> None:
    """One view per table, under the table's name, with the dictionary's columns and types."""
    for name, source in sources.items():
        con.execute(f"CREATE OR REPLACE TEMP VIEW {quote_name(name)} AS SELECT * FROM {source.relation()}")


def create_facts(con: duckdb.DuckDBPyConnection, measures: Iterable[Measure], study: Study | None) -> None:
    """The small tables that rules may read beside the extract: ages of event streams, measures, facts of the study."""
    known = list(measures)
    con.execute("CREATE OR REPLACE TEMP TABLE dictionary_measure (measure_id VARCHAR, events VARCHAR, kind VARCHAR)")
    con.executemany("INSERT INTO dictionary_measure VALUES (?, ?, ?)", [[m.id, m.events, m.kind] for m in known])
    spans: dict[tuple[str, int], tuple[int, int]] = {}
    for m in known:
        for year in YEARS:
            ages = m.ages(year)
            if ages and m.kind == "proportion":
                low, high = spans.get((m.events, year), ages)
                spans[m.events, year] = (min(low, ages[0]), max(high, ages[1]))
    con.execute("CREATE OR REPLACE TEMP TABLE dictionary_age (events VARCHAR, year INTEGER, age_min INTEGER, age_max INTEGER)")
    values = ", ".join(f"({quote_text(e)}, {y}, {a}, {b})" for (e, y), (a, b) in spans.items())
    if values:
        con.execute(f"INSERT INTO dictionary_age VALUES {values}")
    con.execute("CREATE OR REPLACE TEMP TABLE study_parameter (name VARCHAR, value VARCHAR)")
    if study is not None:
        facts = {"attribution_rule": study.population.attribution_rule, "map": study.population.map}
        if study.race is not None:
            facts |= {"frozen_version": study.race.frozen_version, "race_version": study.race.primary}
        con.executemany("INSERT INTO study_parameter VALUES (?, ?)", [list(f) for f in facts.items()])


def cross_problems(
    con: duckdb.DuckDBPyConnection, dictionary: Dictionary, sources: Mapping[str, Source], study: Study | None
) -> tuple[list[Problem], dict[str, str]]:
    """Problems by rule, and the rules that could not run with the reason. Rules of absent tables are not mentioned."""
    problems: list[Problem] = []
    not_run: dict[str, str] = {}
    for rule in dictionary.rules:
        if not all(t in sources for t in rule.tables):
            continue
        why = _cannot_run(rule, " ".join([rule.sql, *_kept(rule, dictionary)]), sources, study)
        if why:
            not_run[rule.id] = why
        else:
            problems.extend(_run(con, rule, sources))
    return problems, not_run


def _kept(rule: CrossRule, dictionary: Dictionary) -> Iterator[str]:
    """What the columns of summaries that a rule reads are made of."""
    for summary in dictionary.summaries:
        if _names(summary.name, rule.sql):
            yield from (sql for column, sql in summary.keep.items() if _names(column, rule.sql))


def _names(word: str, sql: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", sql) is not None


def _cannot_run(rule: CrossRule, sql: str, sources: Mapping[str, Source], study: Study | None) -> str:
    for table in rule.tables:
        for column in sorted(sources[table].faulty):
            if _names(column, sql):
                return f"column {column} of table {table} is missing or of the wrong type"
    for name in re.findall(r"study_parameter WHERE name = '(\w+)'", sql):
        if study is None or (name in ("frozen_version", "race_version") and study.race is None):
            return f"needs the study's {name}"
    return ""


def _run(con: duckdb.DuckDBPyConnection, rule: CrossRule, sources: Mapping[str, Source]) -> Iterator[Problem]:
    lost = f"({rule.sql.strip()})"
    count = int((con.execute(f"SELECT count(*) FROM {lost}").fetchone() or (0,))[0])
    if not count:
        return
    places: tuple[Example, ...] = ()
    result = con.execute(f"SELECT * FROM {lost} ORDER BY ALL LIMIT {EXAMPLES}")
    names = [d[0].removeprefix("key_") for d in result.description]
    if OF_NOBODY.issuperset(names) or not any(sources[t].hidden for t in rule.tables):
        places = tuple(Example(None, {n: plain(v) for n, v in zip(names, row, strict=True)}) for row in result.fetchall())
    yield Problem(
        ", ".join(rule.tables), rule.id, "rows break a rule across rows or tables", rule.fix, None, rule.description, None, count,
        places,
    )  # fmt: skip
