"""Where the members of a system that left are one and two years later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.cells import years
from p4equity.cells.places import Places
from p4equity.cells.plan import CellPlan
from p4equity.engines import Engine

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

DESTINATION = "destination"
YEARS_LATER = (1, 2)
# Whether the practice is the same, and the arm of its system on 31 December; the last: not covered, or with no practice.
PLACES = (
    "same practice, participating", "same practice, comparison", "same practice, outside",
    "other practice, participating", "other practice, comparison", "other practice, outside", "not covered",
)  # fmt: skip
OTHER, OUTSIDE, GONE = 3, 2, 6


def destination_counts(engine: Engine, found: Places, plan: CellPlan) -> ir.Table | None:
    """Members of the last year before each exit by place later: system, base and later (years), groups, place (code), n.

    Members who had the minimum months in a practice that was the system's on 31 December of that year; a later year counts where
    they were covered in any month. Without an exit whose year and the year before are in the study there is nothing to count.
    """
    import ibis

    counted = [(code, year) for code, year in plan.exits if {year, year - 1} <= set(plan.years)]
    if not counted:
        return None
    systems = ibis.memtable(found.systems["as_treated"])
    stays, parts = engine.kept("stay"), []
    for code, year in counted:
        base = year - 1 - plan.years[0]
        theirs = systems.filter(systems.system == code, years.holds(systems.in_system, base)).select("site")
        left = stays.filter(years.holds(stays.eligible, base)).semi_join(theirs, "site")
        left = engine.keep(f"left_{code}", left.select("member_id", "practice", "groups"))
        both = stays.select("member_id", "practice", "site", "at").join(left.select("member_id", before="practice"), "member_id")
        for n in YEARS_LATER:
            if base + n > plan.years[-1] - plan.years[0]:
                continue
            rows = _placed(both.filter(years.holds(both["at"], base + n)), systems, base + n, plan)
            joined = left.left_join(rows, "member_id")
            everyone = joined.select(left.groups, place=rows.place.fill_null(GONE))
            counts = everyone.group_by("groups", "place").agg(n=everyone.count())
            parts.append(counts.mutate(system=ibis.literal(code, "int16"), base=ibis.literal(base), later=ibis.literal(n)))
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def _placed(rows: ir.Table, systems: ir.Table, position: int, plan: CellPlan) -> ir.Table:
    """member_id and place: same practice or other, and the arm of its system in that year."""
    import ibis

    here = systems.filter(years.holds(systems.in_system, position)).join(ibis.memtable(_arms(plan)), "system")
    joined = rows.left_join(here.select("site", "arm"), "site")
    other = (rows.practice == rows.before).ifelse(0, OTHER)
    place = (joined.arm.fill_null(OUTSIDE) + other).cast("int8")
    return joined.select("member_id", place=place)


def _arms(plan: CellPlan) -> pa.Table:
    import pyarrow as pa

    arms = [0 if s in plan.participating else 1 for s in plan.systems]
    return pa.table({"system": pa.array(range(len(arms)), pa.int16()), "arm": pa.array(arms, pa.int64())})


def destinations(engine: Engine, found: Places, plan: CellPlan) -> ir.Table | None:
    """The same by group under the primary variant: variant, system, group (codes), base, later, place, n."""
    import ibis

    counts = destination_counts(engine, found, plan)
    if counts is None:
        return None
    groups = engine.kept("group")
    groups = groups.filter(groups.variant == 0, groups.group >= 0)
    joined = counts.join(groups, "groups")
    joined = joined.filter(years.holds(groups.in_group, counts.base))
    keys = ["system", "group", "base", "later", "place"]
    rows = joined.select(*keys, "n")
    return rows.group_by(keys).agg(n=rows.n.sum().cast("int64")).mutate(variant=ibis.literal(0, "int8"))
