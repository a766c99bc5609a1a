"""From counts by practice to counts by system and group: one small step for each way to place members."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from p4equity.cells.counts import NO_STRATUM
from p4equity.cells.engine import Engine
from p4equity.cells.plan import ALL_AGES, CellPlan, Variant
from p4equity.cells.profile import FLOW_STEPS, UNKNOWN_LEVEL, characteristics

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir
    import pandas as pd
    import pyarrow as pa

    from p4equity.dictionary import Dictionary


def of_variant(counts: ir.Table, practices: ir.Table, variant: Variant, keys: Sequence[str], sums: Sequence[str]) -> ir.Table:
    """Counts by practice and year summed to system, practice, group and `keys` under a variant; rows in no system drop out."""
    placed = counts.join(practices, ["practice_id", "year"])
    placed = placed.select("practice_id", *keys, *sums, system=placed[variant.system], group=placed[variant.group])
    placed = placed.filter(placed.system.notnull(), placed.group.notnull())
    totals = {name: placed[name].sum().cast(placed[name].type()) for name in sums}
    return placed.group_by(["system", "practice_id", "group", *keys]).agg(**totals)


def frame_of(rows: pa.Table) -> pd.DataFrame:
    """A fetched result as a frame whose integers and decimals stay exact and nullable."""
    import pandas as pd
    import pyarrow as pa

    exact = {
        pa.int8(): pd.Int64Dtype(), pa.int16(): pd.Int64Dtype(), pa.int32(): pd.Int64Dtype(), pa.int64(): pd.Int64Dtype(),
        pa.decimal128(38, 0): pd.ArrowDtype(pa.decimal128(38, 0)), pa.bool_(): pd.BooleanDtype(),
    }  # fmt: skip
    return rows.to_pandas(types_mapper=exact.get)


def decoded(codes: pd.Series, names: Sequence[str], missing: str | None = None) -> pd.Series:
    """Names for codes; `missing` where the code is null or beyond the names."""
    import pandas as pd

    table = np.array([*names, missing], dtype=object)
    at = codes.fillna(len(names)).to_numpy(dtype="int64")
    return pd.Series(table[np.minimum(at, len(names))], index=codes.index, dtype="str")


def _labelled(frame: pd.DataFrame, plan: CellPlan, variant: Variant) -> pd.DataFrame:
    """The frame with map, race_version, system_id and group in words."""
    return frame.assign(
        map=variant.map,
        race_version=variant.race_version,
        system_id=decoded(frame["system"], plan.systems),
        group=decoded(frame["group"], plan.groups),
    )


def cell_frame(engine: Engine, counts: ir.Table, practices: ir.Table, plan: CellPlan, variant: Variant) -> pd.DataFrame:
    """Cells of the proportions under a variant."""
    keys, sums = ["year", "measure", "stratum"], ["den", "num", "with_reading"]
    frame = _labelled(frame_of(engine.fetch(of_variant(counts, practices, variant, keys, sums))), plan, variant)
    strata = max((len(m.strata) for m in plan.measures), default=0) + 1
    names = [m.strata[i - 1].id if NO_STRATUM < i <= len(m.strata) else ALL_AGES for m in plan.measures for i in range(strata)]
    has_reading = np.array([m.has_reading for m in plan.measures], dtype=bool)
    return frame.assign(
        measure_id=decoded(frame["measure"], [m.id for m in plan.measures]),
        stratum=decoded(frame["measure"] * strata + frame["stratum"], names),
        with_reading=frame["with_reading"].where(has_reading[frame["measure"].to_numpy(dtype="int64")]),
    )


def spending_frame(engine: Engine, counts: ir.Table, practices: ir.Table, plan: CellPlan, variant: Variant) -> pd.DataFrame:
    """Cells of spending under a variant: member-months, cents, squared cents."""
    rows = of_variant(counts, practices, variant, ["year"], ["den", "num", "num_sq"])
    frame = _labelled(frame_of(engine.fetch(rows)), plan, variant)
    return frame.assign(measure_id=plan.spending.id if plan.spending else None, stratum=ALL_AGES)


def overlap_frame(moments: pa.Table, plan: CellPlan, variant: Variant) -> pd.DataFrame:
    """Overlap moments of proportions under a variant, in words."""
    frame = _labelled(frame_of(moments), plan, variant)
    ids, years = [m.id for m in plan.measures], np.array(plan.years)
    for side in ("1", "2"):
        frame[f"measure_{side}"] = decoded(frame[f"measure_{side}"], ids)
        frame[f"year_{side}"] = years[frame[f"year_{side}"].to_numpy(dtype="int64")]
    return frame


def spending_overlap_frame(moments: pa.Table, plan: CellPlan, variant: Variant) -> pd.DataFrame:
    """Overlap moments of spending under a variant, in words."""
    measure = plan.spending.id if plan.spending else None
    return _labelled(frame_of(moments), plan, variant).assign(measure_1=measure, measure_2=measure)


def profile_frame(
    engine: Engine,
    counts: ir.Table,
    retained: ir.Table,
    plan: CellPlan,
    variant: Variant,
    dictionary: Dictionary,
) -> pd.DataFrame:
    """Profiles under a variant: characteristics of the members, and how many of the baseline year's are still there."""
    import pandas as pd

    rows = counts.select("year", "characteristic", "level", "n", system=counts[variant.system], group=counts[variant.group])
    rows = rows.filter(rows.system.notnull(), rows.group.notnull())
    rows = rows.group_by(["system", "group", "year", "characteristic", "level"]).agg(n=rows.n.sum().cast("int64"))
    frame = _labelled(frame_of(engine.fetch(rows)), plan, variant)
    stay = _labelled(frame_of(engine.fetch(retained)), plan, variant)
    parts = [stay.assign(year=plan.baseline_year, characteristic="retention", level=stay["level"].astype("str"))]
    other = {"self_frozen", "self_contemporaneous"} - {variant.self_report}
    if variant.map == "as_treated" or plan.map_date is None:
        other.add("practice_map")
    for name, names in characteristics(dictionary).items():
        if name in other or (plan.undivided and name == variant.self_report):
            continue
        part = frame[frame["characteristic"] == name]
        label = "race_source" if name == variant.self_report else name
        parts.append(part.assign(characteristic=label, level=decoded(part["level"], names, UNKNOWN_LEVEL)))
    return pd.concat(parts, ignore_index=True)


def flow_frame(engine: Engine, counts: ir.Table, in_denominators: ir.Table, plan: CellPlan) -> pd.DataFrame:
    """The flow under the primary variant: members left after each step, by group and year, and by system once they have one."""
    import pandas as pd

    rows = frame_of(engine.fetch(counts)).assign(group=lambda f: decoded(f["group"], plan.groups))
    rows["system_id"] = decoded(rows["system"], plan.systems)
    last = frame_of(engine.fetch(in_denominators)).assign(group=lambda f: decoded(f["group"], plan.groups))
    last["system_id"] = decoded(last["system"], plan.systems)
    attributed = rows[rows["attributed"]]
    in_system = attributed[attributed["system_id"].notna()]
    enough = in_system[in_system["enough"]]
    compared = enough[enough["group"].isin(plan.compared)]
    last = last[last["group"].isin(plan.compared) & last["system_id"].notna()]
    parts = []
    for number, step in enumerate([rows, attributed, in_system, enough, compared, last], 1):
        keys = ["group", "year"] if number <= 2 else ["system_id", "group", "year"]
        counted = step.groupby(keys, dropna=False, as_index=False)["n"].sum()
        parts.append(counted.assign(step=number, label=FLOW_STEPS[number - 1]))
    return pd.concat(parts, ignore_index=True)
