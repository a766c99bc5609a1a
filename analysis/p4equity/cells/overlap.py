"""Overlap moments: joint sums over members of year pairs and measure pairs, within one system and group.

Counts alone do not give the sampling variance of a change, because members recur. A member's years in a measure are one
integer (bit k: year k), members with the same pattern are counted once, and only patterns meet the pairs of years.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p4equity.cells.engine import Engine
from p4equity.cells.plan import CellPlan, Variant
from p4equity.cells.spine import PLACE

if TYPE_CHECKING:
    import ibis.expr.types as ir

MOMENTS = ("den_den", "num_den", "den_num", "num_num")


def build_masks(engine: Engine, events: ir.Table, plan: CellPlan) -> ir.Table:
    """One row a member, measure and place, kept as `mask`: den and num, with bit k set for the k-th year."""
    bit = events.year.cases(*[(year, 1 << k) for k, year in enumerate(plan.years)], else_=0).cast("int64")
    places = [name for name in PLACE if name != "practice_id"]
    rows = events.select("member_id", "measure", *places, den=bit, num=events.met.ifelse(bit, 0))
    # A member has one row a measure and year, so that the sum of the bits is their union.
    return engine.keep(
        "mask",
        rows.group_by(["member_id", "measure", *places]).agg(den=rows.den.sum().cast("int64"), num=rows.num.sum().cast("int64")),
    )


def proportion_moments(engine: Engine, masks: ir.Table, plan: CellPlan, variant: Variant) -> ir.Table:
    """Moments of all proportions: system, group, measure_1, year_1, measure_2, year_2 (codes; years as bit numbers), MOMENTS.

    Pairs of years within each measure, and across the measures of `plan.across`. Only members in the same system and group
    in both years count.
    """
    placed = masks.select("member_id", "measure", "den", "num", system=masks[variant.system], group=masks[variant.group])
    placed = placed.filter(placed.system.notnull(), placed.group.notnull())
    of_member = placed.group_by(["system", "group", "member_id", "measure"]).agg(
        den=placed.den.sum().cast("int64"), num=placed.num.sum().cast("int64")
    )
    of_member = engine.keep("member_mask", of_member)
    within = of_member.group_by(["system", "group", "measure", "den", "num"]).agg(n=of_member.count())
    within = within.select(
        "system", "group", "n", measure_1="measure", den_1="den", num_1="num", measure_2="measure", den_2="den", num_2="num"
    )
    kept = [engine.keep("within", within)]
    codes = [code for code, measure in enumerate(plan.measures) if measure.id in plan.across]
    if len(codes) > 1:
        kept.append(engine.keep("across", _pairs(of_member.filter(of_member.measure.isin(codes)))))
    moments = _by_year_pair(kept[0], _year_pairs(len(plan.years), ordered=True))
    if len(kept) > 1:
        moments = moments.union(_by_year_pair(kept[1], _year_pairs(len(plan.years), ordered=False)))
    result = engine.keep("moments", moments)
    engine.drop("member_mask", "within", *(["across"] if len(kept) > 1 else []))
    return result


def _pairs(first: ir.Table) -> ir.Table:
    """Patterns of two measures of one member, the first before the second, with the number of members that show them."""
    second = first.view()
    same = [first.member_id == second.member_id, first.system == second.system, first.group == second.group]
    both = first.join(second, [*same, first.measure < second.measure])
    both = both.select(
        first.system, first.group,
        measure_1=first.measure, den_1=first.den, num_1=first.num,
        measure_2=second.measure, den_2=second.den, num_2=second.num,
    )  # fmt: skip
    return both.group_by(list(both.columns)).agg(n=both.count())


def _year_pairs(count: int, *, ordered: bool) -> Any:
    """Pairs of years as bit numbers and bits; each unordered pair once when `ordered`, else all."""
    import ibis
    import pyarrow as pa

    pairs = [(a, b) for a in range(count) for b in range(count) if a <= b or not ordered]
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    return ibis.memtable(
        pa.table(
            {
                "year_1": pa.array(first, pa.int8()),
                "year_2": pa.array(second, pa.int8()),
                "bit_1": pa.array([1 << a for a in first], pa.int64()),
                "bit_2": pa.array([1 << b for b in second], pa.int64()),
            }
        )
    )


def _by_year_pair(patterns: ir.Table, pairs: Any) -> ir.Table:
    both = patterns.cross_join(pairs)
    both = both.filter((both.den_1 & both.bit_1) != 0, (both.den_2 & both.bit_2) != 0)
    met_1, met_2 = (both.num_1 & both.bit_1) != 0, (both.num_2 & both.bit_2) != 0
    return both.group_by(["system", "group", "measure_1", "year_1", "measure_2", "year_2"]).agg(
        den_den=both.n.sum().cast("int64"),
        num_den=met_1.ifelse(both.n, 0).sum().cast("int64"),
        den_num=met_2.ifelse(both.n, 0).sum().cast("int64"),
        num_num=(met_1 & met_2).ifelse(both.n, 0).sum().cast("decimal(38, 0)"),
    )


def spending_moments(rows: ir.Table, variant: Variant) -> ir.Table:
    """Moments of spending: system, group (codes), year_1, year_2, MOMENTS. Products of cents are exact decimals."""
    first = rows.select("member_id", "year", "months", "cents", system=rows[variant.system], group=rows[variant.group])
    first = first.filter(first.system.notnull(), first.group.notnull())
    second = first.view()
    same = [first.member_id == second.member_id, first.system == second.system, first.group == second.group]
    both = first.join(second, [*same, first.year <= second.year])
    both = both.select(
        first.system, first.group,
        year_1=first.year, months_1=first.months, cents_1=first.cents,
        year_2=second.year, months_2=second.months, cents_2=second.cents,
    )  # fmt: skip
    product = both.cents_1.cast("decimal(18, 0)") * both.cents_2.cast("decimal(18, 0)")
    return both.group_by(["system", "group", "year_1", "year_2"]).agg(
        den_den=(both.months_1 * both.months_2).sum().cast("int64"),
        num_den=(both.cents_1 * both.months_2).sum().cast("int64"),
        den_num=(both.months_1 * both.cents_2).sum().cast("int64"),
        num_num=product.cast("decimal(38, 0)").sum().cast("decimal(38, 0)"),
    )
