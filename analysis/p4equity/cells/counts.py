"""Measure events of eligible member-years, and the counts made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from p4equity.cells.engine import Engine
from p4equity.cells.plan import OLDEST, CellPlan
from p4equity.cells.spine import PLACE

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

NO_STRATUM = 0  # strata of a measure are 1, 2, ... in its order


def definitions(plan: CellPlan) -> pa.Table:
    """One row an event stream, year and age that a measure admits: stream, year, age, measure, stratum, complement.

    Several measures can share a stream; a measure's ages can change from year to year (a broken specification). An age
    between two strata of a measure stays in it without a stratum, so that strata never lose members.
    """
    import pyarrow as pa

    rows = []
    for code, measure in enumerate(plan.measures):
        for year in plan.years:
            low, high = measure.ages(year) or (0, OLDEST)
            for age in range(low, high + 1):
                inside = (i for i, s in enumerate(measure.strata, 1) if s.age_min <= age <= s.age_max)
                rows.append((measure.events, year, age, code, next(inside, NO_STRATUM), not measure.higher_is_better))
    types = {
        "stream": pa.string(), "year": pa.int16(), "age": pa.int16(), "measure": pa.int8(), "stratum": pa.int8(),
        "complement": pa.bool_(),
    }  # fmt: skip
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(types)
    return pa.table([pa.array(list(c), t) for c, t in zip(columns, types.values(), strict=True)], names=list(types))


def build_events(engine: Engine, tables: Mapping[str, ir.Table], members: ir.Table, plan: CellPlan) -> ir.Table:
    """One row a member, measure and year in the measure's denominator, kept as `event`.

    Columns: member_id, year, those of PLACE, measure and stratum (codes), met (oriented: true is better), reading (null where
    the extract has none). Excluded rows are not in the denominator.
    """
    import ibis

    raw = tables["measure_event"]
    # A row that carries an exclusion is out of the denominator, whatever its flag says.
    raw = raw.filter(raw.denominator, raw.exclusion.isnull())
    raw = raw.select(
        "member_id", "has_reading", "numerator",
        stream=raw.measure_id, year=raw.year.cast("int16"), age=raw.age_at_31dec.cast("int16"),
    )  # fmt: skip
    known = ibis.memtable(definitions(plan))
    admitted = raw.join(known, ["stream", "year", "age"])
    admitted = admitted.select(
        "member_id", "year", "measure", "stratum",
        met=admitted.numerator.fill_null(False) != admitted.complement, reading=admitted.has_reading,
    )  # fmt: skip
    who = members.select("member_id", "year", *PLACE)
    return engine.keep("event", admitted.join(who, ["member_id", "year"]))


def count_cells(events: ir.Table) -> ir.Table:
    """Counts by practice, both groups, measure, year and stratum: den, num, with_reading.

    The system is left out: a practice and a year have one under each map, so the variants are made from these few rows.
    """
    keys = ["practice_id", "group_frozen", "group_contemporaneous", "measure", "year", "stratum"]
    return events.group_by(keys).agg(
        den=events.count().cast("int64"),
        num=events.met.sum().cast("int64"),
        with_reading=events.reading.fill_null(False).sum().cast("int64"),
    )


def build_spending(engine: Engine, tables: Mapping[str, ir.Table], members: ir.Table) -> ir.Table:
    """One row a member-year with spending: member_id, year, those of PLACE, months, cents; kept as `spending_year`."""
    raw = tables["spending"]
    raw = raw.filter(raw.months > 0)
    raw = raw.select(
        "member_id",
        year=raw.year.cast("int16"),
        months=raw.months.cast("int64"),
        cents=(raw.allowed_total * 100).round().cast("int64"),  # integers from here on: sums do not depend on their order
    )
    who = members.select("member_id", "year", *PLACE)
    return engine.keep("spending_year", raw.join(who, ["member_id", "year"]))


def count_spending(rows: ir.Table) -> ir.Table:
    """Spending by practice, both groups and year: den (member-months), num (cents), num_sq (squared cents, exact)."""
    cents = rows.cents.cast("decimal(18, 0)")
    return rows.group_by(["practice_id", "group_frozen", "group_contemporaneous", "year"]).agg(
        den=rows.months.sum().cast("int64"),
        num=rows.cents.sum().cast("int64"),
        num_sq=(cents * cents).cast("decimal(38, 0)").sum().cast("decimal(38, 0)"),
    )
