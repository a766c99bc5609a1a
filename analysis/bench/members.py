"""Rows of members behind the cells, for regressions on them: in plain SQL, apart from the package's own aggregation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from p4equity.dictionary import Dictionary
from p4equity.extract import Extract, quote_text
from p4equity.study import Study

from bench.question import Question

if TYPE_CHECKING:
    import duckdb

OLDEST = 130


def write_members(
    extract: Extract, study: Study, dictionary: Dictionary, questions: Mapping[str, Question], folder: Path
) -> dict[str, int]:
    """One row a member and year in a measure's denominator under the primary map and race version; the number of each question.

    Columns: measure, system, group, year, cohort (0: comparison), y (1 or 0, higher is better), treated (1 or 0) and effect
    (treated and not of the reference group), sorted. Only rows of the question; no id of a member is written.
    """
    import duckdb

    rows = {}
    with duckdb.connect() as db:
        db.sql(f"CREATE TEMP TABLE practice_map AS {_practices(extract, study)}")
        db.sql(f"CREATE TEMP TABLE person AS {_persons(extract, study, dictionary)}")
        db.sql(f"CREATE TEMP TABLE placed AS {_placed(extract, study)}")
        for name, question in questions.items():
            _create_question(db, study, question)
            target = quote_text(folder / f"{name}.parquet")
            db.sql(f"COPY ({_rows(extract, question)}) TO {target} (FORMAT parquet)")
            rows[name] = int(db.sql(f"SELECT count(*) FROM read_parquet({target})").fetchall()[0][0])
    return rows


def _rows(extract: Extract, question: Question) -> str:
    reference = quote_text(question.groups[0])
    return f"""
        SELECT d.measure, p.system, p."group", p.year, q.cohort,
            CAST(coalesce(e.numerator, false) <> d.complement AS DOUBLE) AS y,
            CAST(q.cohort > 0 AND p.year >= q.cohort AS DOUBLE) AS treated,
            treated * CAST(p."group" <> {reference} AS DOUBLE) AS effect
        FROM {extract.relation("measure_event")} e
        JOIN definition d ON d.stream = e.measure_id AND d.year = e.year AND d.age = e.age_at_31dec
        JOIN placed p ON p.member_id = e.member_id AND p.year = e.year
        JOIN question q ON q.measure = d.measure AND q.system = p.system AND q.year = p.year
        WHERE e.denominator AND e.exclusion IS NULL AND p."group" IN ({_texts(question.groups)}) ORDER BY ALL"""


def _practices(extract: Extract, study: Study) -> str:
    """Practice and system: the span in force on the map's date, else the first later one; compared systems only."""
    compared = [s.id for arm in ("participating", "comparison") for s in study.arm_systems(arm)]
    first = 'arg_min(system_id, "start")'
    return f"""
        SELECT practice_id, system FROM (
            SELECT practice_id, {first} AS system FROM {extract.relation("practice_system_span")}
            WHERE coalesce("end", DATE '9999-12-31') >= DATE '{study.population.map_date}' GROUP BY practice_id)
        WHERE system IN ({_texts(compared)})"""


def _persons(extract: Extract, study: Study, dictionary: Dictionary) -> str:
    """Member and group: the frozen race version; who is not in it is unknown."""
    scheme = dictionary.scheme(str(study.groups.scheme))
    groups = {category: group.id for group in scheme.groups for category in group.categories}
    words = " ".join(f"WHEN {quote_text(category)} THEN {quote_text(group)}" for category, group in groups.items())
    version = study.race.frozen_version if study.race else ""
    return f"""
        SELECT m.member_id, CASE coalesce(r.race_eth, 'unknown') {words} END AS "group"
        FROM {extract.relation("member")} m LEFT JOIN {extract.relation("race_ethnicity")} r
        ON r.member_id = m.member_id AND r.version = {quote_text(version)}"""


def _placed(extract: Extract, study: Study) -> str:
    """Members, their years with enough months of coverage (a month counts when its 15th is covered), systems and groups."""
    first, last = study.years[0], study.years[-1]
    return f"""
        WITH span AS (
            SELECT member_id, "start" AS first_day, coalesce("end", DATE '{last}-12-31') AS last_day,
                unnest(range(greatest(year(first_day), {first}), least(year(last_day), {last}) + 1)) AS year
            FROM {extract.relation("enrollment_span")} WHERE medical),
        covered AS (
            SELECT member_id, year FROM span GROUP BY ALL
            HAVING sum(len(list_filter(range(1, 13), lambda m: make_date(year, m, 15) BETWEEN first_day AND last_day)))
                >= {study.population.minimum_months})
        SELECT c.member_id, c.year, pm.system, person."group"
        FROM covered c JOIN {extract.relation("attribution")} a
            ON a.member_id = c.member_id AND a.year = c.year AND a.rule = {quote_text(study.population.attribution_rule)}
        JOIN practice_map pm USING (practice_id) JOIN person ON person.member_id = c.member_id"""


def _create_question(db: duckdb.DuckDBPyConnection, study: Study, question: Question) -> None:
    """Two tables: which ages of an event stream a measure admits in each year, and which systems and years are asked about."""
    db.sql("CREATE OR REPLACE TEMP TABLE definition (measure VARCHAR, stream VARCHAR, year INT, age INT, complement BOOLEAN)")
    ages = []
    for measure in map(study.measure, question.measures):
        for year in study.years:
            low, high = measure.ages(year) or (0, OLDEST)
            ages += [(measure.id, measure.events, year, age, not measure.higher_is_better) for age in range(low, high + 1)]
    db.executemany("INSERT INTO definition VALUES (?, ?, ?, ?, ?)", ages)
    db.sql("CREATE OR REPLACE TEMP TABLE question (measure VARCHAR, system VARCHAR, year INT, cohort INT)")
    asked = [(*key, cohort or 0) for key, cohort in question.cohorts.items()]
    db.executemany("INSERT INTO question VALUES (?, ?, ?, ?)", asked)


def _texts(words: Sequence[str]) -> str:
    return ", ".join(quote_text(word) for word in words)
