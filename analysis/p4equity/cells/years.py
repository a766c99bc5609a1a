"""Years as bits: a set of years is one integer, bit k standing for the k-th year after the first of the study.

What a member did over the years is then one integer a fact, and members with the same integers are counted once: the tables
that follow from them are as small as there are patterns, not members.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

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
    """One row for each year that `column` holds, with `position` (the bit) and `year`; the other columns as they are."""
    import ibis

    both = rows.cross_join(ibis.memtable(positions(plan)))
    return both.filter(holds(both[column], both.position))


def positions(plan: CellPlan) -> pa.Table:
    """position and year of every year of the study."""
    import pyarrow as pa

    columns = {
        "position": pa.array([y - plan.years[0] for y in plan.years], pa.int64()),
        "year": pa.array(plan.years, pa.int16()),
    }
    return pa.table(columns)
