"""Spending: months and cents of eligible member-years, their squares, and their products over pairs of years.

A member's years are columns of one row, so that pairs of years are products within a row and nothing is joined to itself. Cents
are integers from the first step on; sums of products are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

from p4equity.cells import years
from p4equity.cells.people import A_COLUMN, BITS
from p4equity.cells.places import placed
from p4equity.cells.plan import CellPlan
from p4equity.cells.stays import in_systems
from p4equity.engines import Engine

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

    Product = Callable[[str, Any, Any], dict[str, Any]]

LOW = 17  # where one factor of a large product is split, so that sums of both parts stay within 64 bits
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
    """A row a member and practice, kept as `spending`: member_id, sole, practice, site, groups, at, cents and months by year."""
    raw = raw.filter(raw.months > 0, raw.year.isin(list(plan.years)))
    amount = raw.allowed_total.cast("float64")
    rows = raw.select("member_id", "year", months=raw.months.cast("int64"), cents=(amount * 100).round().cast("int64"))
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


def spending_sums(engine: Engine, rows: ir.Table, plan: CellPlan) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Sums of the kept rows as wide frames of counts: by practice, by place of those who stayed, by place of those who moved.

    By practice, site and groups: den_i (member-months), num_i (cents), num_sq_i (squares). By place (site and groups; variant,
    system and group): the four moments of each pair of years i <= j. Products come in two parts, see `_exact_product`.
    """
    product = _exact_product(engine, rows, plan)
    sums: dict[str, Any] = {}
    for i in positions(plan):
        sums |= {f"den_{i}": months_of(rows, i).sum().cast("int64"), f"num_{i}": rows[cents(i)].sum().cast("int64")}
        sums |= product(f"num_sq_{i}", rows[cents(i)], rows[cents(i)])
    by_practice = engine.fetch(rows.group_by("practice", "site", "groups").agg(**sums)).to_pandas()
    moved = rows.filter(~rows.sole).select("member_id", "site", "groups", "at", *columns(plan))
    spending = [number for number, variant in enumerate(plan.variants) if variant.spending]
    moved = cut(placed(engine, moved, "at", variants=spending), plan)
    place = ["variant", "system", "group"]
    of_member = {name: moved[name].bit_or() for name in columns(plan)}
    moved = engine.keep("moved_spending", moved.group_by(["member_id", *place]).agg(**of_member))
    stayed = _pairs(engine, rows.filter(rows.sole), ["site", "groups"], plan, product)
    return by_practice, stayed, _pairs(engine, moved, place, plan, product)


def _exact_product(engine: Engine, rows: ir.Table, plan: CellPlan) -> Product:
    """The exact sum of a product, in parts. No sum of products exceeds the largest sum of squares (Cauchy and Schwarz)."""
    real = {cents(i): rows[cents(i)].cast("float64") for i in positions(plan)}
    found = engine.fetch(rows.agg(**{name: (value * value).sum() for name, value in real.items()})).to_pylist()[0]
    if max((value or 0.0) for value in found.values()) < MOST:
        return lambda name, a, b: {f"{name}_low": (a * b).sum().cast("int64")}
    return lambda name, a, b: {
        f"{name}_low": (a * (b & (2**LOW - 1))).sum().cast("int64"),
        f"{name}_high": (a * (b >> LOW)).sum().cast("int64"),
    }


def _pairs(engine: Engine, rows: ir.Table, keys: list[str], plan: CellPlan, product: Product) -> pd.DataFrame:
    """The four moments of each pair of years as columns; months enter as patterns: they are few."""
    pairs = list(combinations_with_replacement(positions(plan), 2))
    products: dict[str, Any] = {}
    for i, j in pairs:
        products |= product(f"num_num_{i}_{j}", rows[cents(i)], rows[cents(j)])
    packed = list(dict.fromkeys(map(months, positions(plan))))
    sums = {cents(i): rows[cents(i)].sum().cast("int64") for i in positions(plan)}
    patterns = rows.group_by([*keys, *packed]).agg(n=rows.count(), **sums)
    of_year = {f"m_{i}": months_of(patterns, i) for i in positions(plan)}
    patterns = engine.keep("month_pattern", patterns.select(*keys, "n", *sums, **of_year))
    totals: dict[str, Any] = {}
    for i, j in pairs:
        totals[f"den_den_{i}_{j}"] = (patterns[f"m_{i}"] * patterns[f"m_{j}"] * patterns.n).sum()
        totals[f"num_den_{i}_{j}"] = (patterns[cents(i)] * patterns[f"m_{j}"]).sum()
        totals[f"den_num_{i}_{j}"] = (patterns[f"m_{i}"] * patterns[cents(j)]).sum()
    found = [engine.fetch(rows.group_by(keys).agg(**products)), engine.fetch(patterns.group_by(keys).agg(**totals))]
    engine.drop("month_pattern")
    return found[0].to_pandas().merge(found[1].to_pandas(), on=keys, validate="one_to_one")
