"""The population: one row a member and year with coverage, where the member belongs in it, and who the member is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from p4equity.attribution import code_of, member_years, practice_years
from p4equity.cells.engine import Engine
from p4equity.cells.plan import CellPlan
from p4equity.dictionary import Dictionary
from p4equity.race_ethnicity import group_and_source, member_versions, whole_population

if TYPE_CHECKING:
    import ibis.expr.types as ir

PLACE = ("practice_id", "system_baseline", "system_as_treated", "group_frozen", "group_contemporaneous")
MID_MONTH = 15


def levels(dictionary: Dictionary, table: str, column: str) -> tuple[str, ...]:
    """The allowed values of a column, in the order of the dictionary."""
    return tuple(str(value) for value in dictionary.table(table).field(column).enum or ())


def covered_months(spans: ir.Table, plan: CellPlan, dictionary: Dictionary) -> ir.Table:
    """One row a member and year with medical coverage: member_id, year, months (1 to 12), product and market (codes).

    A month counts when its 15th is covered, so that spans that follow each other never count one twice. Product and market
    are those of the last month covered in the year.
    """
    import ibis

    first_month, last_month = plan.years[0] * 12, plan.years[-1] * 12 + 11
    start, end = spans["start"].cast("date"), spans["end"].cast("date")
    begins = start.year() * 12 + start.month() - 1 + (start.day() > MID_MONTH).cast("int32")
    ends = (end.year() * 12 + end.month() - 1 - (end.day() < MID_MONTH).cast("int32")).fill_null(last_month)
    rows = spans.select(
        "member_id",
        medical=spans.medical,
        begins=ibis.greatest(begins, first_month).cast("int64"),
        ends=ibis.least(ends, last_month).cast("int64"),
        product=code_of(spans["product"], levels(dictionary, "enrollment_span", "product")),
        market=code_of(spans["market"], levels(dictionary, "enrollment_span", "market")),
    )
    rows = rows.filter(rows.medical, rows.ends >= rows.begins)
    rows = rows.mutate(year=ibis.range(rows.begins // 12, rows.ends // 12 + 1).unnest())
    last = ibis.least(rows.ends, rows.year * 12 + 11)
    months = last - ibis.greatest(rows.begins, rows.year * 12) + 1
    # The latest span of the year, packed so that one integer maximum finds product and market at once; 127 = not given.
    packed = (last * 128 + rows["product"].fill_null(127)) * 128 + rows["market"].fill_null(127)
    by_year = rows.group_by("member_id", year=rows.year.cast("int16")).agg(months=months.sum().cast("int8"), packed=packed.max())
    return by_year.select(
        "member_id", "year", "months",
        product=(by_year.packed // 128 % 128).cast("int8"), market=(by_year.packed % 128).cast("int8"),
    )  # fmt: skip


def build_spine(engine: Engine, tables: Mapping[str, ir.Table], plan: CellPlan, dictionary: Dictionary) -> ir.Table:
    """One row a covered member-year of the study's years, kept as `spine`.

    Columns: member_id, year, months, attributed, those of PLACE (systems and groups as codes, null: none), mapped_later,
    self_frozen, self_contemporaneous, and the member's age, sex, language, adi_quintile, product and market (codes).
    """
    practices = engine.keep(
        "practice_years", practice_years(tables["practice_system_span"], plan.systems, plan.years, plan.map_date)
    )
    covered = engine.keep("covered", covered_months(tables["enrollment_span"], plan, dictionary))
    placed = engine.keep("placed", member_years(tables["attribution"], plan.attribution_rule, plan.years, practices))
    persons = engine.keep("persons", _persons(tables, plan, dictionary))
    joined = covered.left_join(placed, ["member_id", "year"]).left_join(persons, covered.member_id == persons.member_id)
    spine = joined.select(
        covered.member_id,
        covered.year,
        covered.months,
        covered.product,
        covered.market,
        placed.practice_id,
        placed.system_baseline,
        placed.system_as_treated,
        attributed=placed.practice_id.notnull(),
        mapped_later=placed.mapped_later.fill_null(False),
        age=(covered.year - persons.birth_year).cast("int16"),
        sex=persons.sex,
        language=persons.language,
        adi_quintile=persons.adi_quintile,
        **_groups(persons, plan, covered.year),
    )
    kept = engine.keep("spine", spine)
    engine.drop("covered", "placed", "persons")
    return kept


def eligible(spine: ir.Table, plan: CellPlan) -> ir.Table:
    """The member-years that can enter a denominator: in a system under a map, with the minimum months."""
    in_system = spine.system_baseline.notnull() | spine.system_as_treated.notnull()
    return spine.filter(in_system, spine.months >= plan.minimum_months)


def _persons(tables: Mapping[str, ir.Table], plan: CellPlan, dictionary: Dictionary) -> ir.Table:
    """One row a member: fixed characteristics as codes, and the group in each race version."""
    member = tables["member"]
    member = member.select(
        "member_id",
        "birth_year",
        sex=code_of(member.sex, levels(dictionary, "member", "sex")),
        language=code_of(member.language_pref, levels(dictionary, "member", "language_pref")),
        adi_quintile=((member.adi_national_pct - 1) // 20).cast("int8"),
    )
    if plan.undivided:
        return member
    wide = member_versions(tables["race_ethnicity"], plan.scheme, plan.versions)
    return member.left_join(wide, "member_id").drop("member_id_right")


def _groups(persons: ir.Table, plan: CellPlan, year: Any) -> dict[str, Any]:
    import ibis

    if not plan.undivided:
        return group_and_source(persons, plan.scheme, plan.versions, plan.frozen, plan.contemporaneous, year)
    whole = ibis.literal(whole_population(plan.scheme), "int8")
    names = ("frozen", "contemporaneous")
    return {f"group_{n}": whole for n in names} | {f"self_{n}": ibis.null("boolean") for n in names}
