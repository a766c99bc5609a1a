"""Primary and foreign keys: summaries show what may be wrong, and only of that the exact question is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from p4equity.dictionary import ForeignKey, Summary
from p4equity.extract import quote_name
from p4equity.validate.model import Example, Problem
from p4equity.validate.scan import EXAMPLES, Source, plain
from p4equity.validate.summaries import REPEATS, Summaries

if TYPE_CHECKING:
    import duckdb

Reference = tuple[Source, ForeignKey]


def duplicate_problems(con: duckdb.DuckDBPyConnection, source: Source, by_person: Summary | None) -> Iterator[Problem]:
    """Primary keys of one table that occur more than once; a key with faulty columns is left out."""
    key = source.table.primary_key
    if not key or source.faulty & set(key):
        return
    listed, rows = ", ".join(map(quote_name, key)), quote_name(source.table.name)
    if by_person is not None:
        person, suspects = quote_name(key[0]), f"SELECT * FROM {quote_name(by_person.name)} WHERE {REPEATS}"
        if con.execute(f"{suspects} LIMIT 1").fetchone() is None:
            return
        rows = f"(SELECT t.* FROM {rows} t SEMI JOIN ({suspects}) s ON t.{person} IS NOT DISTINCT FROM s.{person})"
    # Two different keys may share a 64-bit hash; only then is the exact question asked.
    total, distinct = con.execute(f"SELECT count(*), count(DISTINCT hash({listed})) FROM {rows}").fetchone() or (0, 0)
    if total == distinct:
        return
    groups = f"(SELECT {listed}, count(*) AS n FROM {rows} GROUP BY {listed} HAVING n > 1)"
    keys, repeated = con.execute(f"SELECT count(*), coalesce(sum(n), 0) FROM {groups}").fetchone() or (0, 0)
    if not keys:
        return
    shown = [k for k in key if source.shows(k)]
    places: tuple[Example, ...] = ()
    if shown:
        picked = ", ".join(quote_name(k) for k in shown)
        found = con.execute(f"SELECT {picked} FROM {groups} ORDER BY ALL LIMIT {EXAMPLES}").fetchall()
        places = tuple(Example(None, {k: plain(v) for k, v in zip(shown, row, strict=True)}) for row in found)
    yield Problem(
        source.table.name, "duplicate_key", "the key occurs more than once", "keep one row a key",
        ", ".join(key), source.table.grain, f"{keys:,} keys on {int(repeated):,} rows", int(keys), places,
    )  # fmt: skip


def orphan_problems(con: duckdb.DuckDBPyConnection, sources: Mapping[str, Source], summaries: Summaries) -> Iterator[Problem]:
    """Foreign keys whose value is not in the table they refer to; keys with faulty columns are left out."""
    usable = [(s, key) for s in sources.values() for key in s.table.foreign_keys if _usable(s, key, sources)]
    by_parent: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for i, (_, key) in enumerate(usable):
        by_parent.setdefault((key.table, key.references), []).append(i)
    lost: dict[int, int] = {}
    for references in by_parent.values():
        lost |= _orphans(con, {i: usable[i] for i in references}, summaries)
    for i in sorted(lost):
        yield _orphan_problem(con, *usable[i], lost[i])


def _usable(source: Source, key: ForeignKey, sources: Mapping[str, Source]) -> bool:
    parent = sources.get(key.table)
    there = all(c in source.files.columns for c in key.fields)
    return parent is not None and there and not source.faulty & set(key.fields) and not parent.faulty & set(key.references)


def _orphans(con: duckdb.DuckDBPyConnection, references: Mapping[int, Reference], summaries: Summaries) -> dict[int, int]:
    """Rows without a parent, by reference; all references to one table are looked up at once."""
    values = []
    for i, (source, key) in references.items():
        relation, n = summaries.narrowest(source.table.name, key.fields)
        values.append(_values(relation, key, f"{i} AS i, {n} AS n"))
    _, key = next(iter(references.values()))
    counted = con.execute(f"SELECT i, sum(n) {_without_parent(' UNION ALL '.join(values), key)} GROUP BY i").fetchall()
    return {int(i): int(n) for i, n in counted}


def _values(relation: str, key: ForeignKey, beside: str) -> str:
    own = [quote_name(c) for c in key.fields]
    named = ", ".join(f"{c} AS k{j}" for j, c in enumerate(own))
    return f"SELECT {beside}, {named} FROM {relation} WHERE {' AND '.join(f'{c} IS NOT NULL' for c in own)}"


def _without_parent(values: str, key: ForeignKey) -> str:
    match = " AND ".join(f"c.k{j} = p.{quote_name(theirs)}" for j, theirs in enumerate(key.references))
    return f"FROM ({values}) c ANTI JOIN {quote_name(key.table)} p ON {match}"


def _orphan_problem(con: duckdb.DuckDBPyConnection, source: Source, key: ForeignKey, count: int) -> Problem:
    places: tuple[Example, ...] = ()
    if all(source.shows(c) for c in key.fields):
        lost = _without_parent(_values(quote_name(source.table.name), key, "1 AS n"), key)
        found = con.execute(f"SELECT DISTINCT c.* EXCLUDE n {lost} ORDER BY ALL LIMIT {EXAMPLES}").fetchall()
        places = tuple(Example(None, {c: plain(v) for c, v in zip(key.fields, row, strict=True)}) for row in found)
    return Problem(
        source.table.name, "orphan_key", f"the value is not in table {key.table}",
        f"add the rows to {key.table}, or correct the values", ", ".join(key.fields),
        f"values of {key.table}.{', '.join(key.references)}", None, count, places,
    )  # fmt: skip
