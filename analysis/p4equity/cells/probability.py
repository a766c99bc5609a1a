"""Race and ethnicity as probabilities: sums of p, p p' and p y over members, in integer micro-units so that they are exact.

By system (of the primary map), measure and year. They give the probability-weighted rates (sum of p y over sum of p) and the
regression on probabilities (the matrix of p p' and the vector of p y).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p4equity.cells import years
from p4equity.cells.plan import CellPlan
from p4equity.engines import Engine

if TYPE_CHECKING:
    import ibis.expr.types as ir

MICRO = 1_000_000


def member_probabilities(raw: ir.Table, plan: CellPlan) -> ir.Table:
    """One row a member: member_id and p_i, the probability of the i-th group of the scheme in micro-units; frozen version."""
    rows = raw.filter(raw.version == plan.frozen)
    found: dict[str, Any] = {}
    for i, group in enumerate(plan.scheme.groups):
        # Each column is rounded by itself: sums of integers are the same in every engine, sums of decimals are not.
        parts = [(rows[name].cast("float64") * MICRO + 0.5).floor().cast("int64") for name in group.probabilities]
        found[f"p_{i}"] = sum(parts[1:], parts[0])
    return rows.select("member_id", **found)


def probability_sums(engine: Engine, records: ir.Table, members: ir.Table, plan: CellPlan) -> ir.Table:
    """Wide sums by system, measure and year: p_i, y_i (of p y) and p_i_j for i <= j."""
    count, systems = len(plan.scheme.groups), engine.kept("system")
    # Kept before it is summed: DuckDB sums a kept table several times faster than what comes out of a join.
    joined = engine.keep(
        "probable", records.join(members, "member_id").select("site", "measure", "den", "num", *[f"p_{i}" for i in range(count)])
    )
    sums = {f"p_{i}": joined[f"p_{i}"].sum().cast("int64") for i in range(count)}
    sums |= {
        f"p_{i}_{j}": (joined[f"p_{i}"] * joined[f"p_{j}"]).sum().cast("int64") for i in range(count) for j in range(i, count)
    }
    # A member's probabilities are the same in all years, so that only patterns of years meet the years.
    patterns = joined.group_by("site", "measure", "den", "num").agg(**sums)
    placed = patterns.join(systems.filter(systems.variant == 0), "site")
    placed = placed.select(
        "system", "measure", *sums, den=placed.den & placed.in_system, num=placed.num & placed.in_system
    ).filter(lambda t: t.den != 0)
    rows = years.unfolded(placed, "den", plan)
    met = years.holds(rows.num, rows.position)
    exact = "decimal(38, 0)"  # squares of micro-units leave 64 bits where a cell holds millions of members
    totals = {name: rows[name].sum().cast("int64") for name in sums if name.count("_") == 1}
    totals |= {f"y_{i}": met.ifelse(rows[f"p_{i}"], 0).sum().cast("int64") for i in range(count)}
    totals |= {name: rows[name].cast(exact).sum().cast(exact) for name in sums if name.count("_") == 2}
    return rows.group_by("system", "measure", "year").agg(**totals)
