"""Race and ethnicity as probabilities: sums of p, p p' and p y over members, in integer micro-units so that they are exact.

By system (of the primary map), measure and year. They give the probability-weighted rates (sum of p y over sum of p) and the
regression on probabilities (the matrix of p p' and the vector of p y). The same sums over members who reported themselves, with
counts by the group they reported, show both estimators where the truth is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p4equity.cells import years
from p4equity.cells.histories import bin_of
from p4equity.cells.plan import CellPlan
from p4equity.engines import Engine
from p4equity.race_ethnicity import reported_group

if TYPE_CHECKING:
    import ibis.expr.types as ir

MICRO = 1_000_000
NOT_REPORTED = -1


def member_probabilities(raw: ir.Table, people: ir.Table, plan: CellPlan) -> ir.Table:
    """One row a member, frozen version: member_id, p_i, the probability of the i-th group of the scheme in micro-units, own,
    the group that the member reported (NOT_REPORTED where there is none), and bin (see `bin_of`).
    """
    rows = raw.filter(raw.version == plan.frozen)
    found: dict[str, Any] = {}
    for i, group in enumerate(plan.scheme.groups):
        # Each column is rounded by itself: sums of integers are the same in every engine, sums of decimals are not.
        parts = [(rows[name].cast("float64") * MICRO + 0.5).floor().cast("int64") for name in group.probabilities]
        found[f"p_{i}"] = sum(parts[1:], parts[0])
    known = rows.select("member_id", **found)
    own = reported_group(people.race, plan.scheme, NOT_REPORTED)  # the frozen version is the first of the plan
    joined = known.join(people.select("member_id", own=own), "member_id")
    return joined.select("member_id", "own", *found, bin=bin_of(joined, plan))


def build_sums(engine: Engine, records: ir.Table, members: ir.Table, plan: CellPlan) -> None:
    """Keeps `probability`: sums of p_i, of p_i_j for i <= j and members (n) by system, measure, years in den and num, and own;
    and `probable`, one row a record: what is summed, bin, member_id, and sole (the member was nowhere else).
    """
    count, systems = len(plan.scheme.groups), engine.kept("system")
    # Kept before it is summed: DuckDB sums a kept table several times faster than what comes out of a join.
    names = ["site", "measure", "den", "num", "own"]
    joined = records.join(members, "member_id")
    joined = engine.keep("probable", joined.select(*names, "bin", "sole", "member_id", *[f"p_{i}" for i in range(count)]))
    sums = {f"p_{i}": joined[f"p_{i}"].sum().cast("int64") for i in range(count)}
    sums |= {
        f"p_{i}_{j}": (joined[f"p_{i}"] * joined[f"p_{j}"]).sum().cast("int64") for i in range(count) for j in range(i, count)
    }
    # A member's probabilities are the same in all years, so that only patterns of years meet the years.
    patterns = joined.group_by(names).agg(**sums, n=joined.count())
    placed = patterns.join(systems.filter(systems.variant == 0), "site")
    placed = placed.select(
        "system", "measure", "own", "n", *sums, den=placed.den & placed.in_system, num=placed.num & placed.in_system
    ).filter(lambda t: t.den != 0)
    engine.keep("probability", placed)


def probability_sums(engine: Engine, plan: CellPlan) -> ir.Table:
    """Wide sums by system, measure and year: p_i, y_i (of p y) and p_i_j for i <= j."""
    return _by_year(engine.kept("probability"), plan, reports=False)


def self_report_sums(engine: Engine, plan: CellPlan) -> ir.Table:
    """The same over members who reported themselves, with den_i and num_i, counts of those who reported the i-th group."""
    kept = engine.kept("probability")
    return _by_year(kept.filter(kept.own != NOT_REPORTED), plan, reports=True)


def _by_year(patterns: ir.Table, plan: CellPlan, *, reports: bool) -> ir.Table:
    rows = years.unfolded(patterns, "den", plan)
    met, count = years.holds(rows.num, rows.position), len(plan.scheme.groups)
    exact = "decimal(38, 0)"  # squares of micro-units leave 64 bits where a cell holds millions of members
    totals = {f"p_{i}": rows[f"p_{i}"].sum().cast("int64") for i in range(count)}
    totals |= {f"y_{i}": met.ifelse(rows[f"p_{i}"], 0).sum().cast("int64") for i in range(count)}
    products = [f"p_{i}_{j}" for i in range(count) for j in range(i, count)]
    totals |= {name: rows[name].cast(exact).sum().cast(exact) for name in products}
    if reports:
        totals |= {f"den_{i}": (rows.own == i).ifelse(rows.n, 0).sum().cast("int64") for i in range(count)}
        totals |= {f"num_{i}": (met & (rows.own == i)).ifelse(rows.n, 0).sum().cast("int64") for i in range(count)}
    return rows.group_by("system", "measure", "year").agg(**totals)
