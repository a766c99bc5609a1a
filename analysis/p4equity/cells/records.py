"""What the measures say of members: years in denominator and numerator as bits, one row a member, measure and practice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.cells import years
from p4equity.cells.plan import OLDEST, CellPlan
from p4equity.cells.stays import in_systems
from p4equity.engines import Engine

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

NO_STRATUM = 0  # strata of a measure are 1, 2, ... in its order
PATTERN = ("sole", "practice", "site", "groups", "measure", "born", "den", "num", "reading")


def admissions(plan: CellPlan) -> pa.Table:
    """One row an event stream, year of birth and measure: stream, birth, measure, born, complement, at (the years it admits).

    Several measures can share a stream; a measure's ages can change from year to year (a broken specification). `born` is the
    year of birth for measures with strata, else 0, so that members of all ages share their patterns.
    """
    import pyarrow as pa

    rows = []
    for code, measure in enumerate(plan.measures):
        for birth in range(plan.years[0] - OLDEST, plan.years[-1] + 1):
            ages = {year: measure.ages(year) or (0, OLDEST) for year in plan.years}
            at = years.mask(plan, (year for year, (low, high) in ages.items() if low <= year - birth <= high))
            if at:
                rows.append((measure.events, birth, code, birth if measure.strata else 0, not measure.higher_is_better, at))
    types = {
        "stream": pa.string(), "birth": pa.int16(), "measure": pa.int8(), "born": pa.int16(), "complement": pa.bool_(),
        "at": pa.int64(),
    }  # fmt: skip
    return pa.table({name: pa.array([row[i] for row in rows], kind) for i, (name, kind) in enumerate(types.items())})


def build_records(engine: Engine, raw: ir.Table, stays: ir.Table, plan: CellPlan) -> ir.Table:
    """One row a member, measure and practice with a denominator, kept as `record`.

    Columns: member_id and those of PATTERN; den, num (oriented: a set bit is better) and reading are years as bits. Excluded rows
    are in no denominator. Where the plan has bands of age also birth (a year), and stayed: with the practice in all stay years.
    """
    import ibis

    # A row that carries an exclusion is out of the denominator, whatever its flag says.
    raw = raw.filter(raw.denominator, raw.exclusion.isnull(), raw.year.isin(list(plan.years)))
    bit = years.bit(plan, raw.year)
    rows = raw.select(
        "member_id",
        stream=raw.measure_id,
        birth=(raw.year - raw.age_at_31dec).cast("int16"),
        den=bit,
        num=raw.numerator.fill_null(False).ifelse(bit, 0),
        reading=raw.has_reading.fill_null(False).ifelse(bit, 0),
    )
    rows = rows.group_by("member_id", "stream", "birth").agg(
        **{name: years.union(rows[name]) for name in ("den", "num", "reading")}
    )
    known = ibis.memtable(admissions(plan))
    admitted = rows.join(known, ["stream", "birth"])
    stays = in_systems(stays)
    joined = admitted.join(stays, "member_id")
    whole = years.mask(plan, plan.stay_years)
    aged = {"birth": admitted.birth, "stayed": (stays.eligible & whole) == whole} if plan.age_starts else {}
    den = admitted.den & admitted["at"] & stays.eligible
    record = joined.select(
        admitted.member_id,
        stays.sole,
        stays.practice,
        stays.site,
        stays.groups,
        admitted.measure,
        admitted.born,
        den=den,
        # Where less is better the numerator is what is left of the denominator.
        num=admitted.complement.ifelse(den & ~admitted.num, den & admitted.num),
        reading=den & admitted.reading,
        **aged,
    )
    return engine.keep("record", record.filter(record.den != 0))


def build_patterns(engine: Engine, records: ir.Table) -> ir.Table:
    """Records without the member, counted: those of PATTERN and n; kept as `pattern`."""
    return engine.keep("pattern", records.group_by(list(PATTERN)).agg(n=records.count()))
