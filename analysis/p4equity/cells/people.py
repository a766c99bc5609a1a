"""Who a member is and when the member is covered: one row a member, years as bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from p4equity.attribution import code_of
from p4equity.cells import years
from p4equity.cells.plan import CellPlan
from p4equity.dictionary import Dictionary
from p4equity.engines import Engine
from p4equity.race_ethnicity import member_codes

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

MID_MONTH = 15
BITS = 5  # of a year's months, of which there are at most 12, where years are packed
A_COLUMN = 12  # years in one integer of BITS each


def levels(dictionary: Dictionary, table: str, column: str) -> tuple[str, ...]:
    """The allowed values of a column, in the order of the dictionary."""
    return tuple(str(value) for value in dictionary.table(table).field(column).enum or ())


def build_people(engine: Engine, tables: Mapping[str, ir.Table], plan: CellPlan, dictionary: Dictionary) -> ir.Table:
    """One row a member with medical coverage in the study's years, kept as `person`.

    Columns: member_id; covered and enough (years with any month, and with the minimum); plan_kind (code of product and market,
    null where they changed); birth_year, sex, language, adi_quintile (codes); race (the codes of all versions, see
    `race_ethnicity`) and race_category (the category of the frozen one).
    """
    member = tables["member"]
    member = member.select(
        "member_id",
        "birth_year",
        sex=code_of(member.sex, levels(dictionary, "member", "sex")),
        language=code_of(member.language_pref, levels(dictionary, "member", "language_pref")),
        adi_quintile=((member.adi_national_pct - 1) // 20).cast("int8"),
    )
    covered = coverage(engine, tables["enrollment_span"], plan, dictionary)
    joined = member.inner_join(covered, "member_id")
    if plan.undivided:
        return engine.keep("person", joined.mutate(race=_nobody_asked(), race_category=code_of(joined.member_id, ())))
    known = joined.left_join(_race(tables, plan, dictionary), "member_id").drop("member_id_right")
    return engine.keep("person", known.mutate(race=known.race.fill_null(0)))  # members without a row in any version


def _race(tables: Mapping[str, ir.Table], plan: CellPlan, dictionary: Dictionary) -> ir.Table:
    race = tables["race_ethnicity"]
    return member_codes(
        race, plan.scheme, plan.versions, code_of(race.race_eth, levels(dictionary, "race_ethnicity", "race_eth"))
    )


def _nobody_asked() -> Any:
    import ibis

    return ibis.literal(0, "int64")


def spans(enrolled: ir.Table, plan: CellPlan, dictionary: Dictionary) -> ir.Table:
    """Spans with medical coverage: member_id, first and last month (0: January of the first year), plan_kind (code).

    A month counts when its 15th is covered, so that spans that follow each other never count one twice.
    """
    import ibis

    origin, last = plan.years[0] * 12, (plan.years[-1] - plan.years[0]) * 12 + 11
    start, end = enrolled["start"].cast("date"), enrolled["end"].cast("date")
    begins = start.year() * 12 + start.month() - 1 + (start.day() > MID_MONTH).cast("int32") - origin
    ends = (end.year() * 12 + end.month() - 1 - (end.day() < MID_MONTH).cast("int32") - origin).fill_null(last)
    markets = levels(dictionary, "enrollment_span", "market")
    product = code_of(enrolled["product"], levels(dictionary, "enrollment_span", "product"))
    market = code_of(enrolled["market"], markets)
    rows = enrolled.select(
        "member_id",
        medical=enrolled.medical,
        first=ibis.greatest(begins, 0).cast("int32"),
        last=ibis.least(ends, last).cast("int32"),
        # A value that is not given is the code after the last.
        plan_kind=product.fill_null(len(levels(dictionary, "enrollment_span", "product"))).cast("int64") * (len(markets) + 1)
        + market.fill_null(len(markets)).cast("int64"),
    )
    return rows.filter(rows.medical, rows["last"] >= rows["first"]).drop("medical")


def coverage(engine: Engine, enrolled: ir.Table, plan: CellPlan, dictionary: Dictionary) -> ir.Table:
    """One row a member: covered and enough (years), plan_kind (null where spans differ). Keeps the spans as `span`."""
    import ibis

    table, columns = month_counts(plan)
    known = ibis.memtable(table)
    rows = spans(enrolled, plan, dictionary)
    rows = engine.keep("span", rows.join(known, rows["first"] * _months(plan) + rows["last"] == known.key).drop("key"))
    counted = rows.group_by("member_id").agg(
        **{name: rows[name].sum().cast("int64") for name in columns}, low=rows.plan_kind.min(), high=rows.plan_kind.max()
    )
    found: dict[str, Any] = {}
    for name, least in (("covered", 1), ("enough", plan.minimum_months)):
        value: Any = ibis.literal(0, "int64")
        for year in plan.years:
            position = year - plan.years[0]
            months = (counted[columns[position // A_COLUMN]] >> (BITS * (position % A_COLUMN))) & (2**BITS - 1)
            value = value | ((months >= least).cast("int64") << position)
        found[name] = value
    kind = (counted.low == counted.high).ifelse(counted.low, ibis.null("int64"))
    rows = counted.select("member_id", **found, plan_kind=kind)
    return rows.filter(rows.covered != 0)


def _months(plan: CellPlan) -> int:
    return (plan.years[-1] - plan.years[0] + 1) * 12


def month_counts(plan: CellPlan) -> tuple[pa.Table, list[str]]:
    """Months a year of every span from first to last month, BITS each: key (first x months + last) and the packed columns."""
    import numpy as np
    import pyarrow as pa

    months = _months(plan)
    first, last = np.triu_indices(months)
    columns = [f"months_{i}" for i in range(-(-(months // 12) // A_COLUMN))]
    packed = np.zeros((len(columns), len(first)), dtype=np.int64)
    for position in range(months // 12):
        begin = np.maximum(first, position * 12)
        count = np.maximum(np.minimum(last, position * 12 + 11) - begin + 1, 0)
        packed[position // A_COLUMN] += count << (BITS * (position % A_COLUMN))
    return pa.table({"key": pa.array(first * months + last, pa.int32())} | dict(zip(columns, packed, strict=True))), columns


def kinds_by_year(engine: Engine, spans: ir.Table, people: ir.Table, plan: CellPlan) -> ir.Table:
    """Members whose product or market changed: member_id, kind, in_kind (the years in which it was that of the last month)."""
    import ibis

    mixed = people.filter(people.plan_kind.isnull()).select("member_id")
    rows = engine.keep("mixed_span", spans.semi_join(mixed, "member_id")).cross_join(ibis.memtable(years.positions(plan)))
    rows = rows.filter(rows["first"] // 12 <= rows.position, rows.position <= rows["last"] // 12)
    # The latest span of the year, packed so that one maximum finds its kind.
    latest = ibis.least(rows["last"].cast("int64"), rows.position * 12 + 11) * 32768 + rows.plan_kind
    by_year = rows.group_by("member_id", "position").agg(latest=latest.max())
    by_year = by_year.select(
        "member_id", kind=by_year.latest % 32768, at=ibis.literal(1, "int64") << by_year.position
    )  # fmt: skip
    return by_year.group_by("member_id", "kind").agg(in_kind=years.union(by_year["at"]))
