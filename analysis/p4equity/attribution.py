"""Which system a member-year belongs to: attribution to a practice, and the practice's system under two maps.

`baseline`: the practice's system on one day (`map_date`), frozen for all years; a practice without a system on that day takes
its first later one and is flagged. `as_treated`: the practice's system on 31 December of each year. Members are never
frozen: each year's attribution decides the practice. All functions build Ibis expressions; nothing is computed here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis.expr.types as ir

OPEN_END = dt.date(9999, 12, 31)


def code_of(values: Any, known: Sequence[str]) -> Any:
    """The position of each value in `known` as a small integer; null for every other value.

    Group-bys and joins on small integers are several times faster than on strings; results are decoded at the end.
    """
    import ibis

    kind = "int8" if len(known) < 128 else "int32"
    null = ibis.null(kind)
    if not known:
        return null
    branches = [(value, ibis.literal(code, kind)) for code, value in enumerate(known)]
    return values.cases(*branches, else_=null)


def _spans(spans: ir.Table, systems: Sequence[str]) -> ir.Table:
    """Spans with closed ends; systems as positions in `systems`, null for a system that the study does not compare."""
    import ibis

    return spans.select(
        "practice_id",
        first_day=spans["start"].cast("date"),
        last_day=spans["end"].cast("date").fill_null(ibis.literal(OPEN_END, "date")),
        system=code_of(spans["system_id"], systems),
    )


def baseline_map(spans: ir.Table, systems: Sequence[str], map_date: dt.date) -> ir.Table:
    """One row a practice that had a system on `map_date` or later: practice_id, system_baseline (code), mapped_later.

    `mapped_later` is true where no span was in force on the day and the first later one was taken. Practices whose spans
    all ended before the day have no row: they belong to no system of the frozen map.
    """
    import ibis

    day = ibis.literal(map_date, "date")
    closed = _spans(spans, systems).filter(lambda t: t.last_day >= day)
    # The first span that ends on or after the day is the one in force on it, if any is: spans of a practice do not overlap.
    first = closed.group_by("practice_id").agg(start=closed.first_day.min())
    picked = closed.join(first, [closed.practice_id == first.practice_id, closed.first_day == first.start])
    return picked.select(
        practice_id=closed.practice_id,
        system_baseline=closed.system,
        mapped_later=closed.first_day > day,
    )


def as_treated_map(spans: ir.Table, systems: Sequence[str], years: Sequence[int]) -> ir.Table:
    """One row a practice and year with a span on 31 December: practice_id, year, system_as_treated (code)."""
    import ibis

    closed = _spans(spans, systems)
    of_year = []
    for year in years:
        day = ibis.literal(dt.date(year, 12, 31), "date")
        in_force = closed.filter(closed.first_day <= day, closed.last_day >= day)
        of_year.append(in_force.select("practice_id", year=ibis.literal(year, "int16"), system_as_treated=in_force.system))
    return ibis.union(*of_year) if len(of_year) > 1 else of_year[0]


def practice_years(spans: ir.Table, systems: Sequence[str], years: Sequence[int], map_date: dt.date | None) -> ir.Table:
    """One row a practice and year that is in a system under either map.

    Columns: practice_id, year, system_baseline, mapped_later, system_as_treated. Without `map_date` no baseline map is made.
    """
    import ibis

    treated = as_treated_map(spans, systems, years)
    if map_date is None:
        return treated.mutate(system_baseline=ibis.null("int8"), mapped_later=ibis.literal(False))
    base = baseline_map(spans, systems, map_date)
    all_years = ibis.union(*[base.mutate(year=ibis.literal(year, "int16")) for year in years])
    both = all_years.outer_join(treated, ["practice_id", "year"])
    return both.select(
        practice_id=ibis.coalesce(all_years.practice_id, treated.practice_id),
        year=ibis.coalesce(all_years.year, treated.year),
        system_baseline=all_years.system_baseline,
        mapped_later=all_years.mapped_later.fill_null(False),
        system_as_treated=treated.system_as_treated,
    )
