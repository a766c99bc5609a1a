"""How many members are left after each step from everyone covered to those in a denominator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.cells import years
from p4equity.cells.places import NOWHERE
from p4equity.cells.plan import CellPlan
from p4equity.engines import Engine
from p4equity.race_ethnicity import without_source

if TYPE_CHECKING:
    import ibis.expr.types as ir

FLOW_STEPS = (
    "Enrolled in any month",
    "Attributed to a practice",
    "Practice in a study system",
    "Minimum months of coverage",
    "In a group that is compared, or the reference group",
    "In the denominator of at least one measure",
)


def flow_counts(engine: Engine, plan: CellPlan) -> ir.Table:
    """Members by step, system, group and year under the primary variant: step, system and group (codes, NOWHERE: none), year, n.

    The step on groups is left to the reader of these rows: they are by group.
    """
    import ibis

    systems, groups = (table.filter(table.variant == 0) for table in (engine.kept("system"), engine.kept("group")))
    people, stays, records = engine.kept("person"), engine.kept("stay"), engine.kept("record")
    one = ibis.literal(NOWHERE, "int32")
    everyone = people.select(at="covered", site=one, groups=without_source(people.race, plan.scheme, plan.versions))
    entered = records.group_by("member_id", "site", "groups").agg(at=years.union(records.den))
    steps = [
        (1, everyone, False),
        (2, stays.select("at", "groups", site=one), False),
        (3, stays.select("at", "site", "groups"), True),
        (4, stays.select("site", "groups", at="eligible"), True),
        (6, entered.select("at", "site", "groups"), True),
    ]
    parts = []
    for step, rows, in_system in steps:
        counted = rows.group_by("site", "groups", "at").agg(n=rows.count())
        parts.append(counted.mutate(step=ibis.literal(step, "int8"), placed=ibis.literal(in_system)))
    counted = engine.keep("flow", ibis.union(*parts))
    counted = years.unfolded(counted, "at", plan)
    joined = counted.join(groups, "groups").left_join(systems, [counted.site == systems.site])
    here = years.holds(systems.in_system, counted.position).fill_null(False)
    joined = joined.filter(years.holds(groups.in_group, counted.position), here | ~counted.placed)
    rows = joined.select(
        counted.step, counted.year, counted.n, group=groups.group, system=here.ifelse(systems.system, NOWHERE).cast("int16")
    )
    return rows.group_by("step", "system", "group", "year").agg(n=rows.n.sum().cast("int64"))
