"""Validation of a whole extract: files, columns, rows, keys, rules across tables, facts of the study."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from p4equity.dictionary import Dictionary, Measure, Table
from p4equity.errors import DataError, did_you_mean
from p4equity.extract import METADATA, CatalogTable, Extract, TableSource, quote_text
from p4equity.study import Study
from p4equity.validate.coverage import coverage_problems
from p4equity.validate.cross import create_facts, create_views, cross_problems
from p4equity.validate.facts import fact_problems
from p4equity.validate.keys import duplicate_problems, orphan_problems
from p4equity.validate.model import Problem, TableSummary, ValidationReport
from p4equity.validate.scan import Source, scan, schema_problems
from p4equity.validate.summaries import drop_unread, make_summaries

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "1200MB"


def validate(
    extract: Extract,
    study: Study | None = None,
    dictionary: Dictionary | None = None,
    progress: Callable[[str], None] | None = None,
    *,
    threads: int | None = None,
) -> ValidationReport:
    """Every problem of an extract in one report; without a study its facts and what its plan needs are not compared.

    One pass over each table for all rules of its columns and rows, one for its keys and what rules across tables ask of it.
    `progress` is called with the name of each step; `threads` null: as many as the machine has, the report is the same.
    Raises nothing for a bad extract: see `ValidationReport.raise_for_problems`.
    """
    import duckdb

    began = time.perf_counter()
    known = dictionary or extract.dictionary
    measures = dict(study.measures) if study is not None else dict(known.measures)
    say = progress or (lambda _: None)
    problems = list(_folder_problems(extract, study))
    sources, found = _sources(extract, known, measures.values())
    problems += found
    with tempfile.TemporaryDirectory() as spill, duckdb.connect() as con:
        con.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        con.execute(f"SET temp_directory = {quote_text(spill)}")
        if threads is not None:
            con.execute(f"SET threads = {int(threads)}")
        con.execute("SET parquet_metadata_cache = true")  # files are read by many queries
        extract.attach(con)
        tables, found = _scan_tables(con, sources, say)
        problems += found
        read = {name: s for name, s in sources.items() if name in tables}
        create_views(con, read)
        create_facts(con, measures.values(), study)
        say("counts by member")
        summaries = make_summaries(con, known.summaries, read)
        for name, source in read.items():
            say(f"keys of {name}")
            problems += duplicate_problems(con, source, summaries.by_person.get(name))
        say("references between tables")
        problems += orphan_problems(con, read, summaries)
        summaries = drop_unread(con, summaries, known.summaries)
        say("rules across tables")
        found, not_run = cross_problems(con, known, read, study)
        problems += found
        if study is not None:
            problems += [*fact_problems(con, study, read), *coverage_problems(con, study, read, summaries)]
    order = {name: i for i, name in enumerate(known.tables)}
    problems.sort(key=lambda p: (p.severity != "error", order.get(p.table.split(",")[0], len(order))))
    seconds = time.perf_counter() - began
    return ValidationReport(extract.tier, study.id if study else None, tuple(problems), tables, not_run, seconds)


def _folder_problems(extract: Extract, study: Study | None) -> Iterator[Problem]:
    """Tables that are missing, data files that are no table, and an extract that was made for another study."""
    strangers = extract.strangers()
    names = [s.split(".")[0] for s in strangers]
    for table in extract.missing():
        near = did_you_mean(table.name, names) if names else ""
        hint = f" A file is there that is no table: {near}" if near.startswith("did") else ""
        yield Problem(
            table.name, "missing_table", "the table is missing",
            f"add the table; its columns are in data_dictionary/tables/{table.name}.yaml.{hint}", None,
            extract.place_of(table.name), "nothing",
        )  # fmt: skip
    known = [t.name for t in extract.dictionary.in_tier(extract.tier)]
    for stranger, name in zip(strangers, names, strict=True):
        yield Problem(
            stranger, "unknown_file", "no table of the dictionary takes this file in; it is not read",
            "rename or remove it", None, did_you_mean(name, known), stranger, severity="warning",
        )  # fmt: skip
    said = extract.described_in.name
    if extract.faults.get(said):
        yield from (_unreadable(said, fault) for fault in extract.faults[said])
    elif not isinstance(extract.metadata.get("synthetic"), bool):
        fix = 'write extract.json beside the tables, such as {"synthetic": false, "source": "...", "extract_date": "2026-01-31"}'
        yield Problem(
            said, "origin_not_stated", "nothing says whether these data are real or synthetic",
            fix if said == METADATA else "state synthetic = true or false in the [data] block",
            "synthetic", "true or false", "nothing", severity="warning",
        )  # fmt: skip
    stated = extract.metadata.get("study")
    if study is not None and stated is not None and stated != study.id:
        yield Problem(
            said, "other_study", "the extract was made for another study", "check --study and --data", "study",
            study.id, str(stated), severity="warning",
        )  # fmt: skip


def _sources(extract: Extract, dictionary: Dictionary, measures: Iterable[Measure]) -> tuple[dict[str, Source], list[Problem]]:
    """Tables that can be read, and problems of files and columns."""
    allowed = _vocabularies(dictionary, list(measures))
    sources: dict[str, Source] = {}
    problems: list[Problem] = []
    numbered = extract.tier == "C" and extract.metadata.get("synthetic") is True  # rows of nobody may be numbered
    for name in extract.tables:
        table = dictionary.tables[name]
        if extract.tier not in table.tiers:
            problems.append(_out_of_place(table, extract.tier))
            continue
        broken = extract.faults.get(name, ())
        try:
            files = extract.source(name)
            if isinstance(files, CatalogTable) and files.database is None:
                problems.append(_out_of_reach(files))
                continue
            found, faulty = schema_problems(table, files)
        except DataError as e:
            problems += [_unreadable(name, fault) for fault in (broken or (e,))]
            continue
        problems += found
        values = {f.name: allowed.get(f.vocabulary or "", f.enum or ()) for f in table.fields}
        sources[name] = Source(table, files, values, table.person_level, faulty, numbered)
    return sources, problems


def _vocabularies(dictionary: Dictionary, measures: list[Measure]) -> dict[str, tuple[str, ...]]:
    """Allowed measures and event streams: the dictionary's and the study's own."""
    return {
        "measures": tuple(dict.fromkeys([*dictionary.measures, *(m.id for m in measures)])),
        "event_streams": tuple(dict.fromkeys(m.events for m in [*dictionary.measures.values(), *measures])),
    }


def _out_of_place(table: Table, tier: str) -> Problem:
    return Problem(
        table.name, "out_of_place", f"the table does not belong in an extract of tier {tier}; it is not read", "remove the table",
        None, "a table of tiers " + ", ".join(table.tiers) if table.tiers else "no table of the study or of results",
        severity="warning",
    )  # fmt: skip


def _out_of_reach(source: CatalogTable) -> Problem:
    return Problem(
        source.name, "not_checked", f"the table lies in the catalog of {source.engine}; none of its rules or keys is checked",
        "write it to Parquet files once and validate those with the same [data] block; cells take the table as valid",
        None, "files, or a table of a DuckDB database", source.table, severity="warning",
    )  # fmt: skip


def _unreadable(table: str, fault: DataError) -> Problem:
    found = None if fault.found is None else str(fault.found)
    expected = None if fault.expected is None else str(fault.expected)
    place = fault.where.split(":")[0]
    said = fault.problem if Path(place).is_dir() else f"{place}: {fault.problem}"
    return Problem(table, "unreadable_file", said, fault.fix, None, expected, found)


def _scan_tables(
    con: duckdb.DuckDBPyConnection, sources: dict[str, Source], say: Callable[[str], None]
) -> tuple[dict[str, TableSummary], list[Problem]]:
    import duckdb

    tables: dict[str, TableSummary] = {}
    problems: list[Problem] = []
    for name, source in sources.items():
        say(f"rows of {name}")
        try:
            rows, found = scan(con, source)
        except duckdb.Error as e:
            problems += _broken_rows(con, source, e)
            continue
        tables[name] = TableSummary(rows, len(source.files.columns), len(source.files.files))
        problems += found
    return tables, problems


def _broken_rows(con: duckdb.DuckDBPyConnection, source: Source, error: duckdb.Error) -> Iterator[Problem]:
    """Files whose content cannot be read. DuckDB's own message may quote a row, so only a line number is taken from it."""
    line = re.search(r"Line:\s*(\d+)", str(error))
    place = f"line {line.group(1)}" if line and not source.hidden else "the content"
    for one in [f for f in source.files.each() if not _readable(con, f)] or source.files.each():
        yield Problem(
            source.table.name, "unreadable_file", f"{one.names[0]}: {place} cannot be read", "write the file again", None,
            f"a whole {source.files.kind} file with the same columns in every row", f"{one.files[0].stat().st_size} bytes",
        )  # fmt: skip


def _readable(con: duckdb.DuckDBPyConnection, one: TableSource) -> bool:
    import duckdb

    try:
        con.execute(f"SELECT bit_xor(hash(t)) FROM (SELECT * FROM {one.reader}) t").fetchall()
    except duckdb.Error:
        return False
    return True
