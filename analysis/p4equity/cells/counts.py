"""Counts of the proportions: from patterns of years to members in denominator and numerator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.cells import years
from p4equity.cells.plan import CellPlan
from p4equity.cells.records import NO_STRATUM

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa


COUNTS = ("den", "num", "with_reading")


def strata(plan: CellPlan) -> pa.Table:
    """measure, age, stratum. An age between two strata has none and stays in the measure, so that strata lose no members."""
    import pyarrow as pa

    rows = [
        (code, age, number)
        for code, measure in enumerate(plan.measures)
        for number, stratum in reversed(list(enumerate(measure.strata, 1)))
        for age in range(stratum.age_min, stratum.age_max + 1)
    ]
    first = {(code, age): number for code, age, number in rows}  # of strata that overlap the first one counts
    columns = [[code for code, _ in first], [age for _, age in first], list(first.values())]
    kinds = {"measure": pa.int8(), "age": pa.int16(), "stratum": pa.int8()}
    return pa.table({n: pa.array(c, k) for (n, k), c in zip(kinds.items(), columns, strict=True)})


def count_cells(patterns: ir.Table, plan: CellPlan) -> ir.Table:
    """Counts by practice, site, groups, measure, year (with its position) and stratum: den, num, with_reading."""
    import ibis

    rows = years.unfolded(patterns, "den", plan)
    known = ibis.memtable(strata(plan))
    age = (rows.year - rows.born).cast("int16")
    joined = rows.left_join(known, [rows.measure == known.measure, age == known.age])
    stratum = (rows.born == 0).ifelse(NO_STRATUM, known.stratum.fill_null(NO_STRATUM)).cast("int8")
    names = ["practice", "site", "groups", "measure", "year", "position"]
    joined = joined.select(
        *[rows[name] for name in names], stratum=stratum, den=rows.n,
        num=years.holds(rows.num, rows.position).ifelse(rows.n, 0),
        with_reading=years.holds(rows.reading, rows.position).ifelse(rows.n, 0),
    )  # fmt: skip
    return joined.group_by([*names, "stratum"]).agg(**{name: joined[name].sum().cast("int64") for name in COUNTS})
