"""Primary and foreign keys: one set-based query each, over hashes first so that large tables stay small in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from p4equity.dictionary import ForeignKey
from p4equity.extract import quote_name
from p4equity.validate.model import Example, Problem
from p4equity.validate.scan import EXAMPLES, Source, plain

if TYPE_CHECKING:
    import duckdb


def key_problems(con: duckdb.DuckDBPyConnection, source: Source, sources: Mapping[str, Source]) -> Iterator[Problem]:
    """Duplicate primary keys and orphan foreign keys of one table; keys with faulty columns are left out."""
    yield from _duplicates(con, source)
    for key in source.table.foreign_keys:
        parent = sources.get(key.table)
        usable = parent is not None and not source.faulty & set(key.fields) and not parent.faulty & set(key.references)
        absent = [c for c in key.fields if c not in source.files.columns]
        if parent is not None and usable and not absent:
            yield from _orphans(con, source, parent, key)


def _duplicates(con: duckdb.DuckDBPyConnection, source: Source) -> Iterator[Problem]:
    key = source.table.primary_key
    if not key or source.faulty & set(key):
        return
    listed, relation = ", ".join(quote_name(k) for k in key), source.relation()
    # Two different keys may share a 64-bit hash; only then is the exact question asked.
    total, distinct = con.execute(f"SELECT count(*), count(DISTINCT hash({listed})) FROM {relation}").fetchone() or (0, 0)
    if total == distinct:
        return
    groups = f"(SELECT {listed}, count(*) AS n FROM {relation} GROUP BY {listed} HAVING n > 1)"
    keys, rows = con.execute(f"SELECT count(*), coalesce(sum(n), 0) FROM {groups}").fetchone() or (0, 0)
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
        ", ".join(key), source.table.grain, f"{keys:,} keys on {int(rows):,} rows", int(keys), places,
    )  # fmt: skip


def _orphans(con: duckdb.DuckDBPyConnection, source: Source, parent: Source, key: ForeignKey) -> Iterator[Problem]:
    own, theirs = [quote_name(c) for c in key.fields], [quote_name(c) for c in key.references]
    match = " AND ".join(f"c.{a} = p.{b}" for a, b in zip(own, theirs, strict=True))
    present = " AND ".join(f"c.{a} IS NOT NULL" for a in own)
    lost = (
        f"(SELECT {', '.join(f'c.{a}' for a in own)} FROM {source.relation()} c "
        f"ANTI JOIN (SELECT {', '.join(theirs)} FROM {parent.relation()}) p ON {match} WHERE {present})"
    )
    count = int((con.execute(f"SELECT count(*) FROM {lost}").fetchone() or (0,))[0])
    if not count:
        return
    places: tuple[Example, ...] = ()
    if all(source.shows(c) for c in key.fields):
        found = con.execute(f"SELECT DISTINCT {', '.join(own)} FROM {lost} ORDER BY ALL LIMIT {EXAMPLES}").fetchall()
        places = tuple(Example(None, {c: plain(v) for c, v in zip(key.fields, row, strict=True)}) for row in found)
    column = ", ".join(key.fields)
    yield Problem(
        source.table.name, "orphan_key", f"the value is not in table {key.table}",
        f"add the rows to {key.table}, or correct the values", column,
        f"values of {key.table}.{', '.join(key.references)}", None, count, places,
    )  # fmt: skip
