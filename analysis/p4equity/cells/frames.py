"""From fetched counts in codes to the tables of cells in words: the only step that knows both."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np

from p4equity.cells.ages import band_names
from p4equity.cells.destinations import DESTINATION, PLACES
from p4equity.cells.flow import FLOW_STEPS
from p4equity.cells.histories import BANDS
from p4equity.cells.moments import MOMENTS
from p4equity.cells.plan import ALL_AGES, CellPlan, Variant
from p4equity.cells.profile import OF_RACE, RETENTION, UNKNOWN_LEVEL, characteristics
from p4equity.cells.spending import LOW, positions

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from p4equity.dictionary import Dictionary

NO_REPORT = "none"  # a reported group where the member reported nothing


def frame_of(rows: pa.Table) -> pd.DataFrame:
    """A fetched result as a frame whose integers and decimals stay exact and nullable."""
    import pandas as pd
    import pyarrow as pa

    decimals = pa.decimal128(38, 0)
    kinds = {
        pa.int8(): pd.Int64Dtype(), pa.int16(): pd.Int64Dtype(), pa.int32(): pd.Int64Dtype(), pa.int64(): pd.Int64Dtype(),
        decimals: pd.ArrowDtype(decimals), pa.bool_(): pd.BooleanDtype(),
    }  # fmt: skip
    return rows.to_pandas(types_mapper=kinds.get)


def decoded(codes: pd.Series, names: Sequence[str], missing: str | None = None) -> pd.Series:
    """Names for codes, as categories; `missing` where the code is null, negative or beyond the names."""
    import pandas as pd

    at = codes.fillna(-1).to_numpy(dtype="int64")
    words, index = np.unique(np.array([*names, missing or ""], dtype=object).astype(str), return_inverse=True)
    known = index[np.where((at < 0) | (at >= len(names)), len(names), at)]
    if missing is None:
        known = np.where((at < 0) | (at >= len(names)), -1, known)
    return pd.Series(pd.Categorical.from_codes(known, categories=words), index=codes.index)


def labelled(frame: pd.DataFrame, plan: CellPlan) -> pd.DataFrame:
    """The frame with map, race_version, system_id and group in words; `variant` is the position of the variant in the plan."""
    variant = frame["variant"]
    return frame.assign(
        map=decoded(variant, [v.map for v in plan.variants]),
        race_version=decoded(variant, [v.race_version for v in plan.variants]),
        system_id=decoded(frame["system"], plan.systems),
        **({"group": decoded(frame["group"], plan.groups)} if "group" in frame else {}),
    )


def cell_frame(counts: pd.DataFrame, spending: pd.DataFrame | None, practices: Sequence[str], plan: CellPlan) -> pd.DataFrame:
    """Cells of all variants: counts of the proportions, and spending with the measure after the last."""
    import pandas as pd

    strata = max((len(m.strata) for m in plan.measures), default=0) + 1
    names = [m.strata[i - 1].id if 0 < i <= len(m.strata) else ALL_AGES for m in plan.measures for i in range(strata)]
    has_reading = np.array([m.has_reading for m in plan.measures], dtype=bool)
    reads = has_reading[counts["measure"].to_numpy(dtype="int64")]
    counts = counts.assign(
        stratum=counts["measure"] * strata + counts["stratum"], with_reading=counts["with_reading"].where(reads)
    )
    parts = [counts]
    if spending is not None:
        parts.append(spending.assign(measure=len(plan.measures), stratum=len(names)))
    frame = labelled(pd.concat(parts, ignore_index=True), plan)
    ids = [m.id for m in plan.measures] + ([plan.spending.id] if plan.spending else [])
    return frame.assign(
        measure_id=decoded(frame["measure"], ids),
        practice_id=decoded(frame["practice"], practices),
        stratum=decoded(frame["stratum"], [*names, ALL_AGES]),
    )


def place_frame(place: pa.Table, plan: CellPlan) -> pd.DataFrame:
    """The places of all variants that read spending: variant, site, groups, system, group, at."""
    rows = place.to_pandas()
    return rows[rows["variant"].isin([number for number, variant in enumerate(plan.variants) if variant.spending])]


def spending_cells(wide: pd.DataFrame, place: pd.DataFrame, plan: CellPlan) -> pd.DataFrame:
    """One row a variant, system, practice, group and year with member-months, from one row a practice, site and codes."""
    import pandas as pd

    parts = [
        wide[["practice", "site", "groups"]].assign(**_columns(wide, ("den", "num", "num_sq"), str(i)), position=i)
        for i in positions(plan)
    ]
    rows = pd.concat(parts, ignore_index=True)
    rows = rows[rows["den"] > 0].merge(place, on=["site", "groups"])
    rows = rows[(rows["at"].to_numpy() >> rows["position"].to_numpy()) & 1 == 1]
    rows = rows.assign(year=rows["position"] + plan.years[0])
    return _whole(rows, ["variant", "system", "practice", "group", "year"], "num_sq")


def spending_moments(stayed: pd.DataFrame, moved: pd.DataFrame, place: pd.DataFrame, plan: CellPlan) -> pd.DataFrame:
    """One row a variant, system, group and pair of years (positions) that a member has in both."""
    import pandas as pd

    parts: dict[str, list[pd.DataFrame]] = {"stayed": [], "moved": []}
    for i, j in combinations_with_replacement(positions(plan), 2):
        parts["stayed"].append(stayed[["site", "groups"]].assign(**_columns(stayed, MOMENTS, f"{i}_{j}"), year_1=i, year_2=j))
        of_moved = moved[["variant", "system", "group"]].assign(**_columns(moved, MOMENTS, f"{i}_{j}"), year_1=i, year_2=j)
        parts["moved"].append(of_moved)
    rows = pd.concat(parts["stayed"], ignore_index=True)
    rows = rows[rows["den_den"] > 0].merge(place, on=["site", "groups"])
    at = rows["at"].to_numpy()
    rows = rows[(at >> rows["year_1"].to_numpy()) & (at >> rows["year_2"].to_numpy()) & 1 == 1]
    both = pd.concat([rows, *parts["moved"]], ignore_index=True)
    return _whole(both[both["den_den"] > 0], ["variant", "system", "group", "year_1", "year_2"], "num_num")


def _columns(wide: pd.DataFrame, names: Sequence[str], suffix: str) -> dict[str, pd.Series]:
    """The columns of one year or pair of years under their own names; products with a part of 0 where there is only one."""
    found = {}
    for name in names:
        if f"{name}_{suffix}" in wide:
            found[name] = wide[f"{name}_{suffix}"]
        else:
            found |= {f"{name}_low": wide[f"{name}_{suffix}_low"], f"{name}_high": wide.get(f"{name}_{suffix}_high", 0)}
    return found


def _whole(rows: pd.DataFrame, keys: list[str], product: str) -> pd.DataFrame:
    """Sums by key, the two parts of a product as one exact decimal."""
    import pandas as pd
    import pyarrow as pa

    values = [name for name in rows.columns if name not in (*keys, "site", "groups", "at", "position")]
    sums = rows.groupby(keys, as_index=False)[values].sum()
    whole = [int(high) * 2**LOW + int(low) for high, low in zip(sums[f"{product}_high"], sums[f"{product}_low"], strict=True)]
    exact = pd.arrays.ArrowExtensionArray(pa.array(whole, pa.decimal128(38, 0)))
    return sums.drop(columns=[f"{product}_high", f"{product}_low"]).assign(**{product: exact})


def overlap_frame(moments: pd.DataFrame, spending: pd.DataFrame | None, plan: CellPlan) -> pd.DataFrame:
    """Overlap moments of all variants: proportions, and spending with the measure after the last."""
    import pandas as pd

    parts = [moments]
    if spending is not None:
        parts.append(spending.assign(measure_1=len(plan.measures), measure_2=len(plan.measures)))
    frame = labelled(pd.concat(parts, ignore_index=True), plan)
    ids = [m.id for m in plan.measures] + ([plan.spending.id] if plan.spending else [])
    for side in ("1", "2"):
        frame[f"measure_{side}"] = decoded(frame[f"measure_{side}"], ids)
        frame[f"year_{side}"] = frame[f"year_{side}"] + plan.years[0]
    return frame


def profile_frame(
    counts: pd.DataFrame, retained: pd.DataFrame, moved: pd.DataFrame | None, plan: CellPlan, dictionary: Dictionary
) -> pd.DataFrame:
    """Profiles of all variants: characteristics of the members, how many of the baseline year's are still there, and where the
    members of systems that left went ("1: other practice, comparison": so many years after the year of the row)."""
    import pandas as pd

    baseline = np.array([v.map == "baseline" and plan.map_date is not None for v in plan.variants])
    counts = labelled(counts, plan)
    stay = labelled(retained, plan).assign(
        year=plan.baseline_year, characteristic=RETENTION, level=retained["level"].astype("str")
    )
    parts = [stay]
    if moved is not None:
        words = decoded(moved["place"], PLACES).astype("str")
        level = moved["later"].astype("str") + ": " + words
        went = labelled(moved, plan).assign(year=moved["base"] + plan.years[0], characteristic=DESTINATION, level=level)
        parts.append(went[list(stay.columns.intersection(went.columns))])
    for name, names in characteristics(dictionary).items():
        part = counts[counts["characteristic"] == name]
        if name == "practice_map":
            part = part[baseline[part["variant"].to_numpy(dtype="int64")]]
        if name in OF_RACE and plan.undivided:
            continue
        parts.append(part.assign(level=decoded(part["level"], names, UNKNOWN_LEVEL).astype("str")))
    return pd.concat([part.astype(dict.fromkeys(("map", "race_version", "system_id", "group"), "str")) for part in parts])


def flow_frame(counts: pd.DataFrame, plan: CellPlan) -> pd.DataFrame:
    """The flow under the primary variant, with the step on compared groups, which drops the rows of the others."""
    import pandas as pd

    compared = counts["group"].isin([plan.groups.index(g) for g in plan.compared])
    at_five = counts[(counts["step"] == 4) & compared].assign(step=5)
    rows = pd.concat([counts[(counts["step"] < 5) | compared], at_five], ignore_index=True)
    return rows.assign(
        label=decoded(rows["step"] - 1, FLOW_STEPS),
        system_id=decoded(rows["system"], plan.systems),
        group=decoded(rows["group"], plan.groups),
    )


def age_frame(counts: pd.DataFrame, plan: CellPlan) -> pd.DataFrame:
    """Counts by band of age in words, of all members and of those who stayed."""
    return labelled(counts, plan).assign(
        measure_id=decoded(counts["measure"], [m.id for m in plan.measures]), age_band=decoded(counts["band"], band_names(plan))
    )


def probability_frame(wide: pd.DataFrame, plan: CellPlan, variant: Variant) -> pd.DataFrame:
    """Sums of probabilities in words: a row a system, measure, year and pair of groups, with counts of reports if any."""
    import pandas as pd

    groups = plan.groups
    common = wide.assign(
        map=variant.map, race_version="frozen", system_id=decoded(wide["system"], plan.systems),
        measure_id=decoded(wide["measure"], [m.id for m in plan.measures]),
    )[["map", "race_version", "system_id", "measure_id", "year"]]  # fmt: skip
    parts = []
    for i, first in enumerate(groups):
        names = {"p": f"p_{i}", "p_num": f"y_{i}", "den": f"den_{i}", "num": f"num_{i}"}
        own = {name: wide[column] for name, column in names.items() if column in wide}
        for j, second in enumerate(groups[i:], i):
            part = common.assign(group_1=first, group_2=second, p_p=wide[f"p_{i}_{j}"])
            parts.append(part.assign(**own) if i == j else part)
    return pd.concat(parts, ignore_index=True)


def history_frame(counted: pd.DataFrame, plan: CellPlan, variant: Variant) -> pd.DataFrame:
    """Members by results before and after in words; `none`: the member reported no group."""
    return _binned(counted, plan, variant).assign(
        system_id=decoded(counted["system"], plan.systems), reported_group=decoded(counted["own"], plan.groups, NO_REPORT)
    )


def bin_frame(wide: pd.DataFrame, plan: CellPlan, variant: Variant) -> pd.DataFrame:
    """Bins of probabilities in words: a row a measure, bin and group."""
    import pandas as pd

    common = _binned(wide, plan, variant)
    return pd.concat([common.assign(group=group, p=wide[f"p_{i}"]) for i, group in enumerate(plan.groups)], ignore_index=True)


def _binned(rows: pd.DataFrame, plan: CellPlan, variant: Variant) -> pd.DataFrame:
    pair, band, count = rows["bin"] // BANDS, rows["bin"] % BANDS, len(plan.groups)
    return rows.assign(
        map=variant.map, race_version="frozen", measure_id=decoded(rows["measure"], [m.id for m in plan.measures]),
        likely_group=decoded(pair // count, plan.groups), second_group=decoded(pair % count, plan.groups), band=band,
    )  # fmt: skip
