"""Small tables in place of large ones: rows counted by some of their columns, made in one pass and read by many rules.

Two kinds. `[summaries]` of rules.toml names the columns that rules ask for. And the rows of each table that refers to persons are
counted by person: then a reference is looked up once a person, and the table's own key only for persons who may repeat it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p4equity.dictionary import Summary
from p4equity.extract import quote_name, quote_text
from p4equity.validate.scan import Source

if TYPE_CHECKING:
    import duckdb

REPEATS = "repeats"  # column of a summary by person: whether the person's rows may hold one key twice
_BITS = 64  # of one integer: each different rest of a key has a bit of its own
_MOST = 4 * _BITS  # bits in all; where a key has more different rests, every person of several rows may repeat it


@dataclass(frozen=True)
class Summaries:
    """The summaries that were made, by table; those by person apart."""

    made: Mapping[str, tuple[Summary, ...]]
    by_person: Mapping[str, Summary]

    def narrowest(self, table: str, columns: Iterable[str]) -> tuple[str, str]:
        """Where these columns of a table are read at least cost: a relation that has them, and how many rows of the table
        each of its rows stands for."""
        asked = set(columns)
        there = [*self.made.get(table, ()), *([self.by_person[table]] if table in self.by_person else [])]
        found = next((s.name for s in there if asked <= set(s.by)), None)
        return (quote_name(found), "n") if found else (quote_name(table), "1")


def make_summaries(con: duckdb.DuckDBPyConnection, declared: Iterable[Summary], sources: Mapping[str, Source]) -> Summaries:
    """The summaries the dictionary declares of tables that are there, and one by person of each table that refers to persons."""
    made: dict[str, tuple[Summary, ...]] = {}
    by_person = {name: Summary(f"{name}_by_person", name, key) for name, s in sources.items() if (key := _person(s, sources))}
    for s in declared:
        if s.of in by_person and s.by == by_person[s.of].by:
            by_person[s.of] = s
        elif s.of in sources:
            _create(con, s)
            made[s.of] = (*made.get(s.of, ()), s)
    for name, s in by_person.items():
        _create(con, s, _bits(con, sources[name], Summaries(made, {})))
    return Summaries(made, by_person)


def drop_unread(con: duckdb.DuckDBPyConnection, summaries: Summaries, declared: Iterable[Summary]) -> Summaries:
    """What is left once the summaries that no rule reads are dropped."""
    names = {s.name for s in declared}
    for s in summaries.by_person.values():
        if s.name not in names:
            con.execute(f"DROP TABLE {quote_name(s.name)}")
    return Summaries(summaries.made, {k: s for k, s in summaries.by_person.items() if s.name in names})


def _person(source: Source, sources: Mapping[str, Source]) -> tuple[str, ...]:
    """The column that begins a table's key and refers to a table of persons; none where there is no such or a faulty key."""
    key = source.table.primary_key
    for refers in source.table.foreign_keys:
        parent = sources.get(refers.table)
        if len(key) > 1 and refers.fields == key[:1] and parent is not None and parent.hidden and not source.faulty & set(key):
            return key[:1]
    return ()


def _create(con: duckdb.DuckDBPyConnection, s: Summary, bits: Sequence[str] | None = None) -> None:
    """Makes a summary. With the bits of keys, also whether rows may repeat a key: as many bits as rows prove that none does."""
    by = ", ".join(map(quote_name, s.by))
    kept = [f"{sql} AS {quote_name(c)}" for c, sql in s.keep.items()]
    words = [f"{sql} AS bits_{i}" for i, sql in enumerate(bits or ())]
    query = f"SELECT {', '.join([by, 'count(*) AS n', *kept, *words])} FROM {quote_name(s.of)} GROUP BY {by}"
    if bits is not None:
        known = " + ".join(f"coalesce(bit_count(bits_{i}), 0::BIGINT)" for i in range(len(bits))) or "1"
        rest = ", ".join([by, "n", *map(quote_name, s.keep)])
        query = f"SELECT {rest}, n > {known} AS {REPEATS} FROM ({query})"
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quote_name(s.name)} AS {query}")


def _bits(con: duckdb.DuckDBPyConnection, source: Source, made: Summaries) -> list[str]:
    """For a person's rows, the set of different rests of their keys as bits: aggregates that each give one integer. None where
    that takes too many. A rest that is null has no bit."""
    rest = source.table.primary_key[1:]
    listed, (relation, _) = ", ".join(map(quote_name, rest)), made.narrowest(source.table.name, rest)
    rows = con.execute(f"SELECT DISTINCT {listed} FROM {relation} LIMIT {_MOST + 1}").fetchall()
    place, size = "0", 1
    for column, values in zip(rest, zip(*rows, strict=True), strict=False):
        position, count = _position(column, set(values))
        place, size = f"({place}) * {count} + {position}", size * count
    if len(rows) > _MOST or size > _MOST:
        return []
    if size <= _BITS:
        return [f"bit_or(1::UBIGINT << ({place})::INTEGER)"]
    return [
        f"bit_or(CASE WHEN {place} BETWEEN {low} AND {low + _BITS - 1} THEN 1::UBIGINT << ({place} - {low})::INTEGER END)"
        for low in range(0, size, _BITS)
    ]


def _position(column: str, values: set[Any]) -> tuple[str, int]:
    """The place of a column's value among all of them, from 0, as SQL; and how many places there are."""
    name, known = quote_name(column), sorted(v for v in values if v is not None)
    if len(values) == 1:
        return "0", 1
    if all(isinstance(v, int) and abs(v) < 2**62 for v in known):
        return f"({name}::BIGINT - ({known[0]}))", known[-1] - known[0] + 1
    if all(isinstance(v, str) for v in known):
        return f"(list_position([{', '.join(map(quote_text, known))}], {name}) - 1)", len(known)
    return "0", _MOST + 1  # dates and the like: too many to have a bit each
