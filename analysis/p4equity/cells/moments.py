"""Overlap moments of proportions: joint sums over members of year pairs and measure pairs, within one system and group.

Counts alone do not give the sampling variance of a change, because members recur. A member's years in a measure are one integer,
members with the same pattern are counted once, and only patterns meet the pairs of years. Members who stayed with one practice
are counted once for all variants; the others (movers) are brought together by member under each variant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from p4equity.cells import years
from p4equity.cells.places import placed, read_under
from p4equity.cells.plan import CellPlan
from p4equity.engines import Engine

if TYPE_CHECKING:
    import ibis.expr.types as ir

MOMENTS = ("den_den", "num_den", "den_num", "num_num")
_PAIR = ("measure_1", "den_1", "num_1", "measure_2", "den_2", "num_2")
_PLACE = ("variant", "system", "group")


def build_pairs(engine: Engine, records: ir.Table, plan: CellPlan) -> None:
    """Patterns of two measures of members who stayed: site, groups, those of _PAIR, n; kept as `pair`."""
    rows = records.filter(records.sole, records.measure.isin(_across(plan)))
    counted = _pairs(rows, ("member_id", "site", "groups"))
    engine.keep("pair", counted)


def proportion_moments(engine: Engine, plan: CellPlan) -> ir.Table:
    """Moments of all variants: variant, system, group, measure_1, year_1, measure_2, year_2 (codes; years as positions), MOMENTS.

    Pairs of years within each measure, and across the measures of `plan.across`. Only members in the same system and group
    in both years count. Reads what `build_records`, `build_patterns`, `build_pairs` and `build_places` kept.
    """
    patterns, records, pairs = engine.kept("pattern"), engine.kept("record"), engine.kept("pair")
    stayed = patterns.filter(patterns.sole)
    stayed = stayed.group_by("site", "groups", "measure", "den", "num").agg(n=stayed.n.sum())
    moved = records.filter(~records.sole).select("member_id", "site", "groups", "measure", "den", "num")
    moved = read_under(placed(engine, moved, "den", "num"), plan)
    moved = moved.group_by(["member_id", *_PLACE, "measure"]).agg(den=years.union(moved.den), num=years.union(moved.num))
    moved = engine.keep("moved", moved)
    keys = [*_PLACE, "measure", "den", "num"]
    within = _together(read_under(placed(engine, stayed, "den", "num"), plan), moved.group_by(keys).agg(n=moved.count()), keys)
    both = placed(engine, pairs, "den_1", "num_1", "den_2", "num_2")
    both = both.filter(both.den_2 != 0)
    both = _together(both, _pairs(moved.filter(moved.measure.isin(_across(plan))), ("member_id", *_PLACE)), [*_PLACE, *_PAIR])
    of_one, of_two = _of_one(engine.keep("within", within), plan), _of_two(engine.keep("across", both), plan)
    return of_one.union(of_two)


def _across(plan: CellPlan) -> list[int]:
    return [code for code, measure in enumerate(plan.measures) if measure.id in plan.across]


def _together(first: ir.Table, second: ir.Table, keys: Sequence[str]) -> ir.Table:
    """Counted patterns of those who stayed and those who moved, as one table with each pattern once."""
    names = [*keys, "n"]
    both = first.select(names).union(second.select(names))
    return both.group_by(list(keys)).agg(n=both.n.sum().cast("int64"))


def _pairs(first: ir.Table, member: Sequence[str]) -> ir.Table:
    """Patterns of two measures of one member, the first before the second, with the number of members that show them."""
    second = first.view()
    both = first.join(second, [*[first[name] == second[name] for name in member], first.measure < second.measure])
    both = both.select(
        *[first[name] for name in member if name != "member_id"],
        measure_1=first.measure, den_1=first.den, num_1=first.num,
        measure_2=second.measure, den_2=second.den, num_2=second.num,
    )  # fmt: skip
    return both.group_by(list(both.columns)).agg(n=both.count())


def _of_one(patterns: ir.Table, plan: CellPlan) -> ir.Table:
    """Year pairs within a measure, each unordered pair once."""
    rows = patterns.select(*_PLACE, "measure", "den", "num", "n", measure_2="measure", den_2="den", num_2="num")
    return _by_year_pair(rows.rename(measure_1="measure", den_1="den", num_1="num"), _year_pairs(plan, ordered=True))


def _of_two(patterns: ir.Table, plan: CellPlan) -> ir.Table:
    """Year pairs of two measures, in both orders."""
    return _by_year_pair(patterns, _year_pairs(plan, ordered=False))


def _year_pairs(plan: CellPlan, *, ordered: bool) -> ir.Table:
    """Pairs of years as positions; each unordered pair once when `ordered`, else all."""
    import ibis
    import pyarrow as pa

    at = [year - plan.years[0] for year in plan.years]
    pairs = [(a, b) for a in at for b in at if a <= b or not ordered]
    first, second = pa.array([a for a, _ in pairs], pa.int64()), pa.array([b for _, b in pairs], pa.int64())
    return ibis.memtable(pa.table({"year_1": first, "year_2": second}))


def _by_year_pair(patterns: ir.Table, pairs: ir.Table) -> ir.Table:
    rows = patterns.cross_join(pairs)
    rows = rows.filter(years.holds(rows.den_1, rows.year_1), years.holds(rows.den_2, rows.year_2))
    met_1, met_2 = years.holds(rows.num_1, rows.year_1), years.holds(rows.num_2, rows.year_2)
    return rows.group_by([*_PLACE, "measure_1", "year_1", "measure_2", "year_2"]).agg(
        den_den=rows.n.sum().cast("int64"),
        num_den=met_1.ifelse(rows.n, 0).sum().cast("int64"),
        den_num=met_2.ifelse(rows.n, 0).sum().cast("int64"),
        num_num=(met_1 & met_2).ifelse(rows.n, 0).sum().cast("decimal(38, 0)"),
    )
