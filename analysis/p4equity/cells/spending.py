"""Spending: months and cents of eligible member-years, their squares, and their products over pairs of years.

A member's years are columns of one row, so that pairs of years are products within a row and nothing is joined to itself. Cents
are integers from the first step on; sums of products are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

from p4equity.cells import years
from p4equity.cells.moments import MOMENTS
from p4equity.cells.places import NOWHERE, in_year, placed
from p4equity.cells.plan import CellPlan
from p4equity.cells.stays import in_systems
from p4equity.engines import Engine

if TYPE_CHECKING:
    import ibis.expr.types as ir

BITS = 5  # months of a year, packed
A_COLUMN = 12
EXACT = "decimal(38, 0)"
LOW = 17  # where one factor of a large product is split, so that sums of both parts stay within 64 bits
_PAIR = ("position_1", "position_2")
MOST = 2.0**61  # sums of squares up to here are summed as 64-bit integers


def cents(i: int) -> str:
    """The column with the cents of the i-th year."""
    return f"cents_{i}"


def months(i: int) -> str:
    """The column in which the months of the i-th year are packed."""
    return f"months_{i // A_COLUMN}"


def months_of(rows: ir.Table, i: int) -> Any:
    """Months of the i-th year."""
    return (rows[months(i)] >> (BITS * (i % A_COLUMN))) & (2**BITS - 1)


def positions(plan: CellPlan) -> list[int]:
    """The years of the study, counted from the first."""
    return [year - plan.years[0] for year in plan.years]


def columns(plan: CellPlan) -> list[str]:
    """The columns of a wide row that hold cents and packed months."""
    return [*map(cents, positions(plan)), *dict.fromkeys(map(months, positions(plan)))]


def build_spending(engine: Engine, raw: ir.Table, stays: ir.Table, plan: CellPlan) -> ir.Table:
    """A row a member and practice with spending, kept as `spending`: member_id, sole, practice, site, groups, at, cents, months."""
    raw = raw.filter(raw.months > 0, raw.year.isin(list(plan.years)))
    rows = raw.select(
        "member_id", "year", months=raw.months.cast("int64"), cents=(raw.allowed_total * 100).round().cast("int64")
    )  # fmt: skip
    # A member has one row a year, so that the union of the bits is the value itself.
    wide = {cents(i): (rows.year == plan.years[0] + i).ifelse(rows.cents, 0).bit_or() for i in positions(plan)}
    for name in dict.fromkeys(map(months, positions(plan))):
        of_year = [(plan.years[0] + i, BITS * (i % A_COLUMN)) for i in positions(plan) if months(i) == name]
        wide[name] = rows.year.cases(*[(year, rows.months << bits) for year, bits in of_year], else_=0).bit_or()
    of_member = rows.group_by("member_id").agg(at=years.union(years.bit(plan, rows.year)), **wide)
    stays = in_systems(stays)
    joined = of_member.join(stays, "member_id")
    found = joined.select(
        *[stays[name] for name in ("member_id", "sole", "practice", "site", "groups")],
        *[of_member[name] for name in wide],
        at=of_member["at"] & stays.eligible,
    )  # fmt: skip
    return engine.keep("spending", cut(found.filter(found["at"] != 0), plan))


def cut(rows: ir.Table, plan: CellPlan) -> ir.Table:
    """Months and cents of the years in `at` only."""
    kept: dict[str, Any] = {}
    for i in positions(plan):
        inside = years.holds(rows["at"], i)
        kept[cents(i)] = inside.ifelse(rows[cents(i)], 0)
        field = inside.ifelse(rows[months(i)] & ((2**BITS - 1) << (BITS * (i % A_COLUMN))), 0)
        kept[months(i)] = kept[months(i)] | field if months(i) in kept else field
    return rows.mutate(**kept)


class SpendingSums:
    """Sums of spending by place: everything that does not depend on the variant is summed once, from the kept table."""

    def __init__(self, engine: Engine, rows: ir.Table, plan: CellPlan) -> None:
        self._engine, self._rows, self._plan = engine, rows, plan
        self._at = positions(plan)
        self._product = self._exact_product()
        sums: dict[str, Any] = {}
        for i in self._at:
            sums |= {f"den_{i}": months_of(rows, i).sum().cast("int64"), f"num_{i}": rows[cents(i)].sum().cast("int64")}
            sums[f"num_sq_{i}"] = self._product(rows[cents(i)], rows[cents(i)])
        self._cells = engine.keep("spending_cell", rows.group_by("practice", "site", "groups").agg(**sums))
        stayed = rows.filter(rows.sole)
        self._stayed = self._pairs("stayed_pair", stayed, ["site", "groups"])

    def _exact_product(self) -> Callable[[Any, Any], Any]:
        """The exact sum of a product. No sum of products exceeds the largest sum of squares (Cauchy and Schwarz)."""
        real = [self._rows[cents(i)].cast("float64") for i in self._at]
        found = self._engine.fetch(
            self._rows.agg(**{f"s{i}": (c * c).sum() for i, c in zip(self._at, real, strict=True)})
        ).to_pylist()[0]
        if max((value or 0.0) for value in found.values()) < MOST:
            return lambda a, b: (a * b).sum().cast(EXACT)
        return lambda a, b: (a * (b >> LOW)).sum().cast(EXACT) * 2**LOW + (a * (b & (2**LOW - 1))).sum().cast(EXACT)

    def _pairs(self, name: str, rows: ir.Table, keys: list[str]) -> ir.Table:
        """The four moments of each pair of years i <= j as columns, kept under a name; months enter as patterns: they are few."""
        packed = list(dict.fromkeys(map(months, self._at)))
        pairs = list(combinations_with_replacement(self._at, 2))
        cents_of = {f"num_num_{i}_{j}": self._product(rows[cents(i)], rows[cents(j)]) for i, j in pairs}
        products = self._engine.keep("product", rows.group_by(keys).agg(**cents_of))
        sums = {cents(i): rows[cents(i)].sum().cast("int64") for i in self._at}
        pattern = self._engine.keep("month_pattern", rows.group_by([*keys, *packed]).agg(n=rows.count(), **sums))
        of_months: dict[str, Any] = {}
        for i, j in pairs:
            first, second = months_of(pattern, i), months_of(pattern, j)
            of_months[f"den_den_{i}_{j}"] = (first * second * pattern.n).sum().cast("int64")
            of_months[f"num_den_{i}_{j}"] = (pattern[cents(i)] * second).sum().cast("int64")
            of_months[f"den_num_{i}_{j}"] = (first * pattern[cents(j)]).sum().cast("int64")
        totals = pattern.group_by(keys).agg(**of_months)
        found = self._engine.keep(name, products.join(totals, keys))
        self._engine.drop("product", "month_pattern")
        return found

    def cells(self, systems: ir.Table, groups: ir.Table) -> ir.Table:
        """system, practice, group, year, den (member-months), num (cents), num_sq (squared cents) under a variant."""
        names = ["den", "num", "num_sq"]
        rows = _long(self._cells, ["practice", "site", "groups"], names, [(i,) for i in self._at])
        rows = rows.filter(rows.den > 0)
        rows = rows.mutate(year=(rows.position_1 + self._plan.years[0]).cast("int16"))
        return in_year(rows.rename(position="position_1"), systems, groups, ["practice", "year"], names)

    def moments(self, systems: ir.Table, groups: ir.Table) -> ir.Table:
        """system, group, year_1, year_2 (positions) and MOMENTS under a variant. Both years are in the same system and group."""
        moved = self._rows.filter(~self._rows.sole).select("member_id", "site", "groups", "at", *columns(self._plan))
        moved = cut(placed(moved, systems, groups, "at"), self._plan)
        wide = {name: moved[name].bit_or() for name in columns(self._plan)}
        moved = self._engine.keep("moved", moved.group_by("member_id", "system", "group").agg(**wide))
        of_moved = self._long_pairs(self._pairs("moved_pair", moved, ["system", "group"]), ["system", "group"])
        rows = self._long_pairs(self._stayed, ["site", "groups"])
        joined = rows.join(systems, "site").join(groups, "groups")
        at = systems.in_system & groups.in_group
        joined = joined.filter(years.holds(at, rows.position_1), years.holds(at, rows.position_2), groups.group != NOWHERE)
        of_stayed = joined.select(*_PAIR, *MOMENTS, system=systems.system.cast("int64"), group=groups.group.cast("int64"))
        names = ["system", "group", *_PAIR]
        of_moved = of_moved.mutate(system=of_moved.system.cast("int64"), group=of_moved.group.cast("int64"))
        both = of_stayed.select(*names, *MOMENTS).union(of_moved.select(*names, *MOMENTS))
        summed = both.group_by(names).agg(**{name: both[name].sum().cast(both[name].type()) for name in MOMENTS})
        found = self._engine.keep("spending_moments", summed.rename(year_1="position_1", year_2="position_2"))
        self._engine.drop("moved", "moved_pair")
        return found

    def _long_pairs(self, rows: ir.Table, keys: list[str]) -> ir.Table:
        rows = _long(rows, keys, list(MOMENTS), list(combinations_with_replacement(self._at, 2)))
        return rows.filter(rows.den_den > 0)


def _long(rows: ir.Table, keys: list[str], names: list[str], at: list[tuple[int, ...]]) -> ir.Table:
    """One row for each tuple of years in `at`: keys, position_1 (and _2), and `names` from the columns of those years."""
    import ibis
    import pyarrow as pa

    table = {f"position_{k}": pa.array([tuple_[k - 1] for tuple_ in at], pa.int64()) for k in range(1, len(at[0]) + 1)}
    both = rows.cross_join(ibis.memtable(pa.table({"number": pa.array(range(len(at)), pa.int64())} | table)))
    values = {name: both.number.cases(*[(n, both["_".join([name, *map(str, of)])]) for n, of in enumerate(at)]) for name in names}
    return both.select(*keys, *table, **values)
