"""Spending: months and cents of eligible member-years, their squares, and their products over pairs of years.

A member's years are columns of one row, so that pairs of years are products within a row and nothing is joined to itself. Cents
are integers from the first step on; sums of products are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p4equity.cells import years
from p4equity.cells.places import placed
from p4equity.cells.plan import CellPlan
from p4equity.cells.stays import in_systems
from p4equity.engines import Engine

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

BITS = 5  # months of a year, packed
A_COLUMN = 12
LOW = 17  # a product of cents is summed in two parts, split at this bit of one factor, so that no sum leaves 64 bits


@dataclass(frozen=True)
class Years:
    """Names of the columns of a wide row: cents by year and the packed months."""

    cents: tuple[str, ...]
    months: tuple[str, ...]

    @classmethod
    def of(cls, plan: CellPlan) -> Years:
        count = len(plan.years)
        return cls(tuple(f"cents_{i}" for i in range(count)), tuple(f"months_{i}" for i in range(-(-count // A_COLUMN))))

    def months_of(self, rows: ir.Table, i: int) -> Any:
        """Months of the i-th year."""
        return (rows[self.months[i // A_COLUMN]] >> (BITS * (i % A_COLUMN))) & (2**BITS - 1)


def build_spending(engine: Engine, raw: ir.Table, stays: ir.Table, plan: CellPlan) -> ir.Table:
    """One row a member and practice with spending, kept as `spending`: member_id, sole, practice, site, groups, at, months, cents."""
    wide = Years.of(plan)
    raw = raw.filter(raw.months > 0, raw.year.isin(list(plan.years)))
    rows = raw.select(
        "member_id", "year", months=raw.months.cast("int64"), cents=(raw.allowed_total * 100).round().cast("int64"),
    )  # fmt: skip
    # A member has one row a year, so that the union of the bits is the value itself.
    aggregates = {name: (rows.year == plan.years[i]).ifelse(rows.cents, 0).bit_or() for i, name in enumerate(wide.cents)}
    for j, name in enumerate(wide.months):
        shift = {plan.years[i]: BITS * (i % A_COLUMN) for i in range(len(plan.years)) if i // A_COLUMN == j}
        packed = rows.year.cases(*[(year, rows.months << bits) for year, bits in shift.items()], else_=0)
        aggregates[name] = packed.bit_or()
    of_member = rows.group_by("member_id").agg(at=years.union(years.bit(plan, rows.year)), **aggregates)
    stays = in_systems(stays)
    joined = of_member.join(stays, "member_id")
    names = ["member_id", "sole", "practice", "site", "groups"]
    found = joined.select(
        *[stays[name] for name in names], *[of_member[name] for name in (*wide.cents, *wide.months)],
        at=of_member["at"] & stays.eligible,
    )  # fmt: skip
    return engine.keep("spending", _cut(found.filter(found["at"] != 0), wide, plan))


def _cut(rows: ir.Table, wide: Years, plan: CellPlan) -> ir.Table:
    """Months and cents of the years in `at` only."""
    cut: dict[str, Any] = {}
    packed: dict[str, Any] = dict.fromkeys(wide.months)
    for i, year in enumerate(plan.years):
        inside = years.holds(rows["at"], year - plan.years[0])
        cut[wide.cents[i]] = inside.ifelse(rows[wide.cents[i]], 0)
        name = wide.months[i // A_COLUMN]
        field = inside.ifelse(rows[name] & ((2**BITS - 1) << (BITS * (i % A_COLUMN))), 0)
        packed[name] = field if packed[name] is None else packed[name] | field
    return rows.mutate(**cut, **packed)


def spending_cells(rows: ir.Table, systems: ir.Table, groups: ir.Table, plan: CellPlan) -> ir.Table:
    """Wide sums by system, practice and group: den_i (member-months), num_i (cents), sq_i_high and sq_i_low (squared cents)."""
    wide = Years.of(plan)
    rows = _cut(placed(rows, systems, groups, "at"), wide, plan)
    sums: dict[str, Any] = {}
    for i, name in enumerate(wide.cents):
        sums[f"den_{i}"] = wide.months_of(rows, i).sum().cast("int64")
        sums[f"num_{i}"] = rows[name].sum().cast("int64")
        sums |= _product(f"sq_{i}", rows[name], rows[name])
    return rows.group_by("system", "practice", "group").agg(**sums)


def _product(name: str, a: Any, b: Any) -> dict[str, Any]:
    """The sum of a product in two parts: high x 2^LOW + low."""
    return {
        f"{name}_high": (a * (b >> LOW)).sum().cast("int64"),
        f"{name}_low": (a * (b & (2**LOW - 1))).sum().cast("int64"),
    }


def spending_moments(rows: ir.Table, systems: ir.Table, groups: ir.Table, plan: CellPlan) -> ir.Table:
    """Wide sums by system and group: for each pair of years i <= j the four moments, products of cents in halves."""
    wide = Years.of(plan)
    columns = [*wide.cents, *wide.months]
    rows = _cut(placed(rows, systems, groups, "at"), wide, plan)
    stayed = rows.filter(rows.sole).select("system", "group", *columns)
    moved = rows.filter(~rows.sole)
    moved = moved.group_by("member_id", "system", "group").agg(**{name: moved[name].bit_or() for name in columns})
    both = stayed.union(moved.select("system", "group", *columns))
    return both.group_by("system", "group").agg(**_pair_sums(both, wide))


def _pair_sums(rows: ir.Table, wide: Years) -> dict[str, Any]:
    sums: dict[str, Any] = {}
    months = [wide.months_of(rows, i) for i in range(len(wide.cents))]
    for i, first in enumerate(wide.cents):
        for j, second in enumerate(wide.cents[i:], i):
            sums[f"den_den_{i}_{j}"] = (months[i] * months[j]).sum().cast("int64")
            sums[f"num_den_{i}_{j}"] = (rows[first] * months[j]).sum().cast("int64")
            sums[f"den_num_{i}_{j}"] = (months[i] * rows[second]).sum().cast("int64")
            sums |= _product(f"num_num_{i}_{j}", rows[first], rows[second])
    return sums


def whole(wide: pd.DataFrame, name: str) -> list[int]:
    """The exact sums behind the two parts of a product."""
    return [int(high) * 2**LOW + int(low) for high, low in zip(wide[f"{name}_high"], wide[f"{name}_low"], strict=True)]
