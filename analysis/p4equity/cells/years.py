"""Years as bits: a set of years is one integer, bit k standing for the k-th year after the first of the study.

What a member did over the years is then one integer a fact, and members with the same integers are counted once: the tables
that follow from them are as small as there are patterns, not members.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from p4equity.cells.plan import CellPlan


def mask(plan: CellPlan, years: Iterable[int]) -> int:
    """The years as bits."""
    return sum(1 << (year - plan.years[0]) for year in years)


def bit(plan: CellPlan, year: Any) -> Any:
    """The bit of a year column. Years outside the study must have been filtered out."""
    import ibis

    return ibis.literal(1, "int64") << (year.cast("int64") - plan.years[0])


def holds(mask: Any, position: Any) -> Any:
    """Whether the bit at a position is set."""
    return ((mask >> position) & 1) == 1


def union(masks: Any) -> Any:
    """Aggregate: the years of any row."""
    return masks.bit_or()


def unfolded(rows: ir.Table, column: str, plan: CellPlan) -> ir.Table:
    """One row for each year that `column` holds, with `position` (the bit) and `year`; the other columns as they are.

    Joined by the distinct masks, of which there are few, so that no row is made only to be dropped.
    """
    import ibis
    import pyarrow as pa

    years = pa.table(
        {
            "position": pa.array([year - plan.years[0] for year in plan.years], pa.int64()),
            "year": pa.array(plan.years, pa.int16()),
        }
    )
    distinct = rows.select(mask_of_years=rows[column]).distinct()
    pairs = distinct.cross_join(ibis.memtable(years))
    pairs = pairs.filter(holds(pairs.mask_of_years, pairs.position))
    return rows.join(pairs, rows[column] == pairs.mask_of_years).drop("mask_of_years")
