"""Stays: the years that a member spent with one practice, one row a member and practice instead of one a member and year."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.cells import years
from p4equity.cells.places import NOWHERE, Places
from p4equity.cells.plan import CellPlan
from p4equity.engines import Engine
from p4equity.race_ethnicity import without_source

if TYPE_CHECKING:
    import ibis.expr.types as ir

WHO = ("birth_year", "sex", "language", "adi_quintile", "plan_kind", "race_category")


def build_stays(engine: Engine, attribution: ir.Table, people: ir.Table, found: Places, plan: CellPlan) -> ir.Table:
    """One row a member and practice with covered years, kept as `stay`.

    Columns: member_id, practice and site (NOWHERE: a practice of no system), at (years covered and attributed here), eligible
    (those of them with the minimum months), sole (the member was covered nowhere else), race and groups (the codes of all
    versions, with and without their source) and those of WHO.
    """
    import ibis

    rows = attribution.filter(attribution.rule == plan.attribution_rule, attribution.year.isin(list(plan.years)))
    rows = rows.select("member_id", "practice_id", bit=years.bit(plan, rows.year))
    rows = rows.group_by("member_id", "practice_id").agg(attributed=years.union(rows.bit))
    known = ibis.memtable(found.practices)
    joined = rows.join(people, "member_id").left_join(known, rows.practice_id == known.practice_id)
    at = rows.attributed & people.covered
    stay = joined.select(
        rows.member_id,
        practice=known.practice.fill_null(NOWHERE),
        site=known.site.fill_null(NOWHERE),
        at=at,
        eligible=at & people.enough,
        sole=at == people.covered,
        race=people.race,
        groups=without_source(people.race, plan.scheme, plan.versions),
        **{name: people[name] for name in WHO},
    )
    return engine.keep("stay", stay.filter(stay["at"] != 0))


def in_systems(stays: ir.Table) -> ir.Table:
    """Stays that can enter a denominator: with a practice of a system, in years with the minimum months."""
    return stays.filter(stays.site != NOWHERE, stays.eligible != 0)
