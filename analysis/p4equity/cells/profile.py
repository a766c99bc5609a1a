"""Who is compared (members by characteristic) and who stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from p4equity.cells import years
from p4equity.cells.people import levels
from p4equity.cells.places import NOWHERE, Places, in_year, version_in_use
from p4equity.cells.plan import CellPlan
from p4equity.cells.stays import in_systems
from p4equity.dictionary import Dictionary
from p4equity.engines import Engine
from p4equity.race_ethnicity import width

if TYPE_CHECKING:
    import ibis.expr.types as ir

AGE_BANDS = ("0-17", "18-34", "35-49", "50-64", "65 and over")
AGE_STARTS = (18, 35, 50, 65)
UNKNOWN_LEVEL = "unknown"
SOURCES = ("imputed", "self_report")
RETENTION = "retention"
RACE_CATEGORY = "race_category"  # as recorded in the frozen version, before groups are formed
OF_RACE = ("race_source", RACE_CATEGORY)


def characteristics(dictionary: Dictionary) -> Mapping[str, tuple[str, ...]]:
    """Characteristics of a member-year and the names of their codes; a null code, or one beyond the names, is UNKNOWN_LEVEL."""
    return {
        "age_band": AGE_BANDS,
        "sex": levels(dictionary, "member", "sex"),
        "product": levels(dictionary, "enrollment_span", "product"),
        "market": levels(dictionary, "enrollment_span", "market"),
        "language": levels(dictionary, "member", "language_pref"),
        "adi_quintile": ("1", "2", "3", "4", "5"),
        "practice_map": ("in force", "later span"),
        "race_source": SOURCES,
        RACE_CATEGORY: levels(dictionary, "race_ethnicity", "race_eth"),
    }


def build_profiles(
    engine: Engine, stays: ir.Table, kinds: ir.Table, found: Places, plan: CellPlan, dictionary: Dictionary
) -> None:
    """Eligible member-years by characteristic: characteristic, level, site, groups, year, position, n; kept as `profile`.

    The level of `race_source` is the codes of all versions with their source: which of them counts is the variant's. `kinds`:
    members whose product or market changed, as `kinds_by_year` has them.
    """
    import ibis

    stays = in_systems(stays)
    later = stays.site.isin(list(found.later)) if found.later else ibis.literal(False)
    markets = len(levels(dictionary, "enrollment_span", "market")) + 1
    one_kind = stays.filter(stays.plan_kind.notnull()).select("site", "groups", "eligible", "plan_kind")
    several = stays.filter(stays.plan_kind.isnull()).join(kinds, "member_id")
    several = several.select("site", "groups", eligible=several.eligible & several.in_kind, plan_kind=several.kind)
    kind = one_kind.union(several.filter(several.eligible != 0))
    kind = engine.keep("plan_kind", kind.group_by("site", "groups", "eligible", "plan_kind").agg(n=kind.count()))
    parts = [
        _counted(stays.select("site", "groups", "eligible", level=level.cast("int64")), name)
        for name, level in (
            ("age_band", stays.birth_year), ("sex", stays.sex), ("language", stays.language),
            ("adi_quintile", stays.adi_quintile), ("race_source", stays.race), ("practice_map", later),
            *(() if plan.undivided else ((RACE_CATEGORY, stays.race_category),)),
        )
    ]  # fmt: skip
    for name, level in (("product", kind.plan_kind // markets), ("market", kind.plan_kind % markets)):
        parts.append(_named(kind.select("site", "groups", "eligible", "n", level=level.cast("int64")), name))
    rows = years.unfolded(engine.keep("profile_pattern", ibis.union(*parts)), "eligible", plan)
    level = (rows.characteristic == "age_band").ifelse(_band(rows.year - rows.level), rows.level)
    rows = rows.select("site", "groups", "year", "position", "characteristic", "n", level=level)
    keys = [name for name in rows.columns if name != "n"]
    engine.keep("profile", rows.group_by(keys).agg(n=rows.n.sum().cast("int64")))
    engine.drop("plan_kind", "profile_pattern")


def _counted(rows: ir.Table, name: str) -> ir.Table:
    return _named(rows.group_by("site", "groups", "eligible", "level").agg(n=rows.count()), name)


def _named(rows: ir.Table, name: str) -> ir.Table:
    import ibis

    return rows.select("site", "groups", "eligible", "level", "n", characteristic=ibis.literal(name))


def profile_counts(engine: Engine, plan: CellPlan) -> ir.Table:
    """Eligible member-years of all variants: variant, system, group, year, characteristic, level (code), n."""
    rows = in_year(engine, engine.kept("profile"), ["year", "characteristic", "level"], ["n"])
    if plan.undivided:
        return rows
    source = (rows.level >> _shift(plan, rows.variant, rows.year)) & 1
    rows = rows.mutate(level=(rows.characteristic == "race_source").ifelse(source, rows.level))
    keys = [name for name in rows.columns if name != "n"]
    return rows.group_by(keys).agg(n=rows.n.sum().cast("int64"))


def _band(age: Any) -> Any:
    return sum(((age >= start).cast("int64") for start in AGE_STARTS[1:]), (age >= AGE_STARTS[0]).cast("int64"))


def _shift(plan: CellPlan, variant: Any, year: Any) -> Any:
    """Position of the bit that says how the group of a year was obtained under a variant."""
    import ibis

    position = {version: i * width(plan.scheme) for i, version in enumerate(plan.versions)}
    shift: Any = ibis.literal(0, "int64")
    for number, of_variant in enumerate(plan.variants):
        cases = [(y, ibis.literal(position[version_in_use(plan, of_variant, y)], "int64")) for y in plan.years]
        shift = (variant == number).ifelse(year.cases(*cases, else_=ibis.literal(0, "int64")), shift)
    return shift


def build_retention(engine: Engine, stays: ir.Table) -> None:
    """Stays of members with one practice as patterns: site, groups, eligible, at, n; kept as `staying`."""
    rows = stays.filter(stays.sole)
    engine.keep("staying", rows.group_by("site", "groups", "eligible", "at").agg(n=rows.count()))


def retention_counts(engine: Engine, plan: CellPlan) -> ir.Table:
    """Eligible members of the baseline year still covered, in the same system, in a later one, under all variants.

    Columns: variant, system, group, level (year), n.
    """
    first = years.mask(plan, [plan.baseline_year])
    later = years.mask(plan, [year for year in plan.years if year > plan.baseline_year])
    stays, systems, groups = engine.kept("stay"), engine.kept("system"), engine.kept("group")
    stayed = engine.kept("staying").join(systems, "site")
    names = ["variant", "system", "groups", "eligible", "at"]
    here = {"eligible": stayed.eligible & stayed.in_system, "at": stayed["at"] & stayed.in_system}
    stayed = stayed.select("variant", "system", "groups", "n", **here)
    moved = stays.filter(~stays.sole).join(systems, "site")
    here = {"eligible": moved.eligible & moved.in_system, "at": moved["at"] & moved.in_system}
    moved = moved.select("member_id", "variant", "system", "groups", **here)
    moved = moved.group_by("member_id", "variant", "system", "groups").agg(
        eligible=years.union(moved.eligible), at=years.union(moved["at"])
    )
    both = stayed.select(*names, "n").union(moved.group_by(names).agg(n=moved.count()))
    both = both.filter((both.eligible & first) != 0, (both["at"] & later) != 0)
    both = both.select("variant", "system", "groups", "n", at=both["at"] & later)
    of_group = groups.filter((groups.in_group & first) != 0, groups.group != NOWHERE).select("variant", "groups", "group")
    rows = both.join(of_group, ["variant", "groups"]).select("variant", "system", "group", "n", "at")
    rows = years.unfolded(rows, "at", plan)
    return rows.group_by("variant", "system", "group", level=rows.year).agg(n=rows.n.sum().cast("int64"))
