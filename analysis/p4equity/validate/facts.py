"""What an extract repeats of the study's facts is compared with the study."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from p4equity.errors import did_you_mean
from p4equity.extract import quote_name
from p4equity.study import Study
from p4equity.validate.model import Example, Problem
from p4equity.validate.scan import Source, plain

if TYPE_CHECKING:
    import duckdb

Rows = list[dict[str, Any]]
Wanted = Mapping[str, Mapping[str, Any]]
_NEXT = "the study decides: correct the extract, or the study's files if the extract is right"


def fact_problems(con: duckdb.DuckDBPyConnection, study: Study, sources: Mapping[str, Source]) -> Iterator[Problem]:
    """Differences between the extract's system, contract, contract_measure and grant tables and the study."""
    comparisons: dict[str, Callable[[Rows, Study], Iterator[Problem]]] = {
        "system": _systems,
        "contract": _contracts,
        "contract_measure": _contract_measures,
        "grant": _grants,
    }
    for table, compare in comparisons.items():
        source = sources.get(table)
        if source is not None and not source.faulty:
            yield from compare(_rows(con, table, source), study)
    yield from _unknown_systems(con, study, sources)


def _rows(con: duckdb.DuckDBPyConnection, table: str, source: Source) -> Rows:
    names = source.table.names
    found = con.execute(f"SELECT {', '.join(map(quote_name, names))} FROM {quote_name(table)}").fetchall()
    return [dict(zip(names, row, strict=True)) for row in found]


def _systems(rows: Rows, study: Study) -> Iterator[Problem]:
    exits = {e.system_id: e.date for e in study.exits}
    wanted = {s.id: {"arm": s.arm, "exit_date": exits.get(s.id)} for s in study.systems}
    needed = {s.id for s in study.systems if s.arm != "excluded"}
    yield from _compare("system", "system_id", rows, wanted, needed, always={"exit_date"})


def _contracts(rows: Rows, study: Study) -> Iterator[Problem]:
    wanted = {
        c.contract_id: {k: getattr(c, k) for k in ("system_id", "cohort", "effective", "announced", "ended")}
        for c in study.contracts
    }
    yield from _compare("contract", "contract_id", rows, wanted, set(wanted))


def _grants(rows: Rows, study: Study) -> Iterator[Problem]:
    wanted = {g.grant_id: {k: getattr(g, k) for k in ("system_id", "awarded", "amount")} for g in study.grants}
    yield from _compare("grant", "grant_id", rows, wanted, set(wanted))


def _compare(
    table: str, key: str, rows: Rows, wanted: Wanted, needed: set[str], always: frozenset[str] | set[str] = frozenset()
) -> Iterator[Problem]:
    """Rows the study does not know, rows that are absent, and values that differ. A null of the study is compared in
    `always` columns only: elsewhere it means that the study does not know."""
    seen = {str(r[key]): r for r in rows}
    for unknown in sorted(set(seen) - set(wanted)):
        yield _fact(table, key, "the study does not know it", did_you_mean(unknown, wanted), unknown, {key: unknown})
    for absent in sorted(needed - set(seen)):
        yield _fact(table, key, "the row is missing", f"a row for {absent}", "none", {key: absent})
    for name in sorted(set(seen) & set(wanted)):
        for column, value in wanted[name].items():
            found = seen[name][column]
            if (value is not None or column in always) and not _same(value, found):
                yield _fact(table, column, "differs from the study", _words(value), _words(found), {key: name})


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and b is not None:
        return abs(a - float(b)) < 0.005  # money is given to the cent
    return bool(a == b)


def _words(value: Any) -> str:
    return "null" if value is None else str(value)


def _fact(table: str, column: str, problem: str, expected: str, found: str, key: Mapping[str, Any]) -> Problem:
    return Problem(
        table, "study_fact", problem, _NEXT, column, f"study: {expected}", f"extract: {found}", 1, (Example(None, key),)
    )


def _contract_measures(rows: Rows, study: Study) -> Iterator[Problem]:
    """The contract matrix by year must be the study's, over the study's years."""
    years = study.years
    wanted = {
        (c.contract_id, m, y)
        for c in study.contracts
        for m in c.measures
        for y in years
        if y >= c.cohort and (c.ended is None or y <= c.ended.year)
    }
    given = {
        (str(r["contract_id"]), str(r["measure_id"]), int(r["year"])) for r in rows if r["incentivized"] and r["year"] in years
    }
    for problem, lost, found in (
        ("the study pays for it, the extract does not", wanted - given, "no incentivized row"),
        ("the extract pays for it, the study does not", given - wanted, "an incentivized row"),
    ):
        for contract, measure in sorted({(c, m) for c, m, _ in lost}):
            listed = ", ".join(str(y) for c, m, y in sorted(lost) if (c, m) == (contract, measure))
            expected = "an incentivized row" if found.startswith("no") else "no incentivized row"
            key = {"contract_id": contract, "measure_id": measure, "year": listed}
            yield _fact("contract_measure", "incentivized", problem, expected, found, key)


def _unknown_systems(con: duckdb.DuckDBPyConnection, study: Study, sources: Mapping[str, Source]) -> Iterator[Problem]:
    """Cells speak only of systems, measures and years of the study."""
    source = sources.get("cell")
    if source is None or source.faulty:
        return
    known: dict[str, Sequence[Any]] = {
        "system_id": [s.id for s in study.systems],
        "measure_id": list(study.measures),
        "year": study.years,
    }
    for column, values in known.items():
        name = quote_name(column)
        counted = con.execute(f"SELECT {name}, count(*) FROM cell WHERE {name} IS NOT NULL GROUP BY 1 ORDER BY 1").fetchall()
        lost = [(v, n) for v, n in counted if v not in values]
        if lost and column != "measure_id":  # unknown measures already break the column's vocabulary
            yield Problem(
                "cell", "study_fact", f"the study has no such {column}", _NEXT, column, ", ".join(map(str, values)),
                ", ".join(str(plain(v)) for v, _ in lost), sum(n for _, n in lost),
            )  # fmt: skip
