"""Denominators by band of age, of all members and of those who stayed: for standardization, closed cohorts and attrition."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from p4equity.cells import years
from p4equity.cells.places import placed
from p4equity.cells.plan import CellPlan
from p4equity.engines import Engine

if TYPE_CHECKING:
    import ibis.expr.types as ir

AGE_COUNTS = ("den", "num", "den_stayed", "num_stayed")


def age_counts(engine: Engine, plan: CellPlan) -> ir.Table:
    """Counts of the measures of `plan.across` under the primary variant: variant, system, group, measure, year, band, AGE_COUNTS.

    A member stayed with a practice when the member had the minimum months there in every year of `plan.stay_years`. All members
    are in the band of their age in the year, those who stayed in that of their age in the first of these years, so that a closed
    cohort keeps its strata. Members are counted once for each pattern of years, so that only patterns meet years and bands.
    """
    import ibis

    records = engine.kept("record")
    wanted = [code for code, measure in enumerate(plan.measures) if measure.id in plan.across]
    rows = records.filter(records.measure.isin(wanted))
    rows = rows.select("site", "groups", "measure", "birth", "stayed", "den", "num")
    keys = ["system", "group", "measure", "birth", "stayed", "den", "num"]
    patterns = placed(engine, rows, "den", "num", variants=[0]).group_by(keys)
    each = years.unfolded(engine.keep("age_pattern", patterns.agg(n=lambda t: t.count())), "den", plan)
    none = ibis.literal(0, "int64")
    found = {"den": each.n, "num": years.holds(each.num, each.position).ifelse(each.n, 0)}
    where = [each[name] for name in ("system", "group", "measure", "year")]
    everyone = each.select(*where, band=_band(each.year - each.birth, plan), **found, den_stayed=none, num_stayed=none)
    stayed = each.select(
        *where, band=_band(plan.stay_years[0] - each.birth, plan), den=none, num=none,
        den_stayed=found["den"], num_stayed=found["num"], stayed=each.stayed,
    )  # fmt: skip
    both = everyone.union(stayed.filter(stayed.stayed).drop("stayed"))
    sums = {name: both[name].sum().cast("int64") for name in AGE_COUNTS}
    return both.group_by("system", "group", "measure", "year", "band").agg(**sums).mutate(variant=ibis.literal(0, "int8"))


def _band(age: Any, plan: CellPlan) -> Any:
    """Position of the band that an age falls into; ages below the first start are in the first band."""
    return sum(((age >= start).cast("int8") for start in plan.age_starts[2:]), (age >= plan.age_starts[1]).cast("int8"))


def band_names(plan: CellPlan) -> tuple[str, ...]:
    """ "0 to 17", "18 to 39", ..., "65 and over"."""
    starts = plan.age_starts
    return (*(f"{a} to {b - 1}" for a, b in pairwise(starts)), f"{starts[-1]} and over")
