"""Members by their results before and after the contracts, and by what their probabilities say of their race and ethnicity.

A member has one group in all years, so that race and ethnicity are imputed for members, not for counts of years. Members with
the same system, own report, bin of probabilities and results are exchangeable: their number is all that imputation needs. A bin
is the likeliest group, the next likely one and a band of the larger probability.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p4equity.cells import years
from p4equity.cells.plan import CellPlan
from p4equity.engines import Engine

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

# Where the bands of the largest probability begin, after the first, in micro-units: integers, so that engines agree.
BAND_STARTS = (550_000, 750_000, 900_000, 980_000)
BANDS = len(BAND_STARTS) + 1
COUNTS = ("pre_den", "pre_num", "post_den", "post_num")
_KEYS = ("system", "measure", "own", "bin")


def bin_of(members: ir.Table, plan: CellPlan) -> Any:
    """The bin of a member's probabilities p_i as one integer: (likely x groups + second) x BANDS + band.

    Of groups as likely as each other the first of the scheme counts. In the highest band second is likely again: who is that
    sure is not divided further.
    """
    import ibis

    count = len(plan.scheme.groups)
    # Probability and group as one integer, the first group with the largest rest: one maximum finds both.
    packed = [members[f"p_{i}"] * count + (count - 1 - i) for i in range(count)]
    top = ibis.greatest(*packed)
    next_top = ibis.greatest(*[(value == top).ifelse(-1, value) for value in packed])
    likely = (count - 1) - top % count
    sure = (top >= BAND_STARTS[-1] * count) | (next_top < 0)
    second = sure.ifelse(likely, (count - 1) - next_top % count)
    band = sum(((top >= start * count).cast("int64") for start in BAND_STARTS[1:]), (top >= BAND_STARTS[0] * count).cast("int64"))
    return ((likely * count + second) * BANDS + band).cast("int16")


def windows(plan: CellPlan) -> pa.Table:
    """system, measure, pre, post: years of the plan's windows as bits."""
    import pyarrow as pa

    rows = [(w.system, w.measure, years.mask(plan, w.pre), years.mask(plan, w.post)) for w in plan.windows]
    kinds = {"system": pa.int16(), "measure": pa.int8(), "pre": pa.int64(), "post": pa.int64()}
    return pa.table({name: pa.array([row[i] for row in rows], kind) for i, (name, kind) in enumerate(kinds.items())})


def build_histories(engine: Engine, plan: CellPlan) -> None:
    """Keeps `history` (system, measure, own, bin, COUNTS, members) and `race_bin` (measure, bin, members, p_i), from `probable`.

    Only members with a year before or after. Who moved between practices of a system is one member of it; who moved between
    systems has a history in each, and is in a bin once a measure.
    """
    import ibis

    systems = engine.kept("system")
    places = systems.filter(systems.variant == 0).join(ibis.memtable(windows(plan)), "system")
    places = places.select("site", "system", "measure", "pre", "post", at=places.in_system & (places.pre | places.post))
    places = engine.keep("contract_window", places.filter(places["at"] != 0))
    engine.keep("history", _histories(engine.kept("probable"), places, plan))
    engine.keep("race_bin", _bins(engine.kept("probable"), places, plan))


def _histories(rows: ir.Table, places: ir.Table, plan: CellPlan) -> ir.Table:
    """Members by system, measure, report, bin and numbers of years."""
    who, names = [*_KEYS, "pre", "post"], [*_KEYS, "pre", "post", "den", "num"]
    placed = rows.join(places, ["site", "measure"])
    placed = placed.select("sole", "member_id", *who, den=placed.den & placed["at"], num=placed.num & placed["at"])
    placed = placed.filter(placed.den != 0)
    moved = placed.filter(~placed.sole)
    moved = moved.group_by(["member_id", *who]).agg(den=years.union(moved.den), num=years.union(moved.num))
    each = placed.filter(placed.sole).select(names).union(moved.select(names))
    counts = {
        f"{side}_{name}": _years(each[name] & each[side], side, plan) for side in ("pre", "post") for name in ("den", "num")
    }
    counted = each.select(*_KEYS, **counts)
    return counted.group_by([*_KEYS, *COUNTS]).agg(members=counted.count())


def _years(mask: Any, side: str, plan: CellPlan) -> Any:
    """How many years a mask holds that are before, or after, anywhere."""
    import ibis

    found = sorted({year for window in plan.windows for year in getattr(window, side)})
    return sum(((mask >> (year - plan.years[0])) & 1 for year in found), ibis.literal(0, "int64"))


def _bins(rows: ir.Table, places: ir.Table, plan: CellPlan) -> ir.Table:
    """Members and sums of their probabilities by measure and bin."""
    sums = [f"p_{i}" for i in range(len(plan.scheme.groups))]
    anywhere = places.group_by("site", "measure").agg(anywhere=years.union(places["at"]))
    found = rows.join(anywhere, ["site", "measure"])
    found = found.filter(found.den & found.anywhere != 0)
    moved = found.filter(~found.sole)
    moved = moved.group_by(["member_id", "measure", "bin"]).agg(**{name: moved[name].max() for name in sums})
    names = ["measure", "bin", *sums]
    each = found.filter(found.sole).select(names).union(moved.select(names))
    totals = {name: each[name].sum().cast("int64") for name in sums}
    return each.group_by("measure", "bin").agg(members=each.count(), **totals)
