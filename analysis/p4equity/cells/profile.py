"""Who is compared (members by characteristic), who stays, and how many are left after each step to the analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from p4equity.cells.plan import CellPlan, Variant
from p4equity.cells.spine import levels
from p4equity.dictionary import Dictionary

if TYPE_CHECKING:
    import ibis.expr.types as ir

AGE_BANDS = ("0-17", "18-34", "35-49", "50-64", "65 and over")
AGE_STARTS = (18, 35, 50, 65)
UNKNOWN_LEVEL = "unknown"
KEYS = ("system_baseline", "system_as_treated", "group_frozen", "group_contemporaneous", "year")
FLOW_STEPS = (
    "Enrolled in any month",
    "Attributed to a practice",
    "Practice in a study system",
    "Minimum months of coverage",
    "In a group that is compared, or the reference group",
    "In the denominator of at least one measure",
)


def characteristics(dictionary: Dictionary) -> Mapping[str, tuple[str, ...]]:
    """Characteristics of a member-year and the names of their codes; a null code is UNKNOWN_LEVEL."""
    return {
        "age_band": AGE_BANDS,
        "sex": levels(dictionary, "member", "sex"),
        "product": levels(dictionary, "enrollment_span", "product"),
        "market": levels(dictionary, "enrollment_span", "market"),
        "language": levels(dictionary, "member", "language_pref"),
        "adi_quintile": ("1", "2", "3", "4", "5"),
        "practice_map": ("in force", "later span"),
        "self_frozen": ("imputed", "self_report"),
        "self_contemporaneous": ("imputed", "self_report"),
    }


def profile_counts(members: ir.Table, dictionary: Dictionary) -> ir.Table:
    """Eligible member-years by KEYS and every characteristic, one after the other: KEYS, characteristic, level (code), n."""
    import ibis

    band = ibis.literal(0, "int8")
    for start in AGE_STARTS:
        band = band + (members.age >= start).cast("int8")
    coded: dict[str, Any] = {name: members[name] for name in characteristics(dictionary) if name in members.columns}
    coded["age_band"] = band
    coded["practice_map"] = members.mapped_later
    parts = []
    for name, code in coded.items():
        rows = members.select(*KEYS, level=code.cast("int8"))
        counted = rows.group_by([*KEYS, "level"]).agg(n=rows.count())
        parts.append(counted.mutate(characteristic=ibis.literal(name)))
    return ibis.union(*parts)


def retention_counts(spine: ir.Table, members: ir.Table, plan: CellPlan, variant: Variant) -> ir.Table:
    """Eligible members of the baseline year still covered, in the same system, in a later one: system, group, level (year), n."""
    first = members.filter(members.year == plan.baseline_year)
    first = first.select("member_id", system=first[variant.system], group=first[variant.group])
    first = first.filter(first.system.notnull(), first.group.notnull())
    later = spine.filter(spine.year > plan.baseline_year)
    later = later.select("member_id", level=later.year, system=later[variant.system])
    both = first.join(later, ["member_id", "system"])
    return both.group_by(["system", "group", "level"]).agg(n=both.count())


def flow_counts(spine: ir.Table, plan: CellPlan) -> ir.Table:
    """Covered member-years by what the steps ask: system and group (codes, null: none), year, attributed, enough, n."""
    rows = spine.select(
        "year", "attributed",
        system=spine[plan.primary.system], group=spine[plan.primary.group], enough=spine.months >= plan.minimum_months,
    )  # fmt: skip
    return rows.group_by(["system", "group", "year", "attributed", "enough"]).agg(n=rows.count())


def flow_in_denominators(events: ir.Table, plan: CellPlan) -> ir.Table:
    """Members in the denominator of at least one measure: system, group (codes), year, n."""
    rows = events.select("member_id", "year", system=events[plan.primary.system], group=events[plan.primary.group]).distinct()
    return rows.group_by(["system", "group", "year"]).agg(n=rows.count())
