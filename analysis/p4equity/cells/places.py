"""Where a practice belongs, year by year: practices with the same systems in all years are one site.

Practices are few (no rows of persons), so that their facts are worked out once and joined to everything else as small tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p4equity.attribution import practice_years
from p4equity.cells import years
from p4equity.cells.plan import CellPlan, Variant
from p4equity.engines import Engine
from p4equity.race_ethnicity import group_of, whole_population, width, without_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import ibis.expr.types as ir
    import pandas as pd
    import pyarrow as pa

MAPS = ("baseline", "as_treated")
NOWHERE = -1  # a practice, site, system or group that there is not


@dataclass(frozen=True)
class Places:
    """Small tables on practices: `practices` (practice_id, practice, site), and by map `systems` (site, system, in_system).

    A practice is the position of its id in `ids`, which are sorted; `in_system` are years as bits; `later`: sites whose baseline
    system is that of a later span.
    """

    ids: tuple[str, ...]
    practices: pa.Table
    systems: dict[str, pa.Table]
    later: tuple[int, ...]


def places(engine: Engine, spans: ir.Table, plan: CellPlan) -> Places:
    """Practices and sites of a study, from the table practice_system_span."""
    import pyarrow as pa

    rows = engine.fetch(practice_years(spans, plan.systems, plan.years, plan.map_date)).to_pandas()
    ids = tuple(sorted(set(rows["practice_id"])))
    code = {practice: i for i, practice in enumerate(ids)}
    of_practice: dict[str, set[tuple[str, int, int]]] = {practice: set() for practice in ids}
    flagged = set(rows.loc[rows["mapped_later"].fillna(False).astype(bool), "practice_id"])
    for map_ in MAPS:
        known = rows[rows[f"system_{map_}"].notna()]
        for practice, system, at in _years_of(known, f"system_{map_}", plan):
            of_practice[str(practice)].add((map_, system, at))
    kinds = {practice: (practice in flagged, frozenset(facts)) for practice, facts in of_practice.items()}
    sites = {kind: i for i, kind in enumerate(sorted(set(kinds.values()), key=lambda k: (k[0], sorted(k[1]))))}
    practices = {
        "practice_id": pa.array(ids, pa.string()),
        "practice": pa.array([code[p] for p in ids], pa.int32()),
        "site": pa.array([sites[kinds[p]] for p in ids], pa.int32()),
    }
    systems = {m: _table([(site, s, at) for kind, site in sites.items() for n, s, at in sorted(kind[1]) if n == m]) for m in MAPS}
    later = tuple(site for kind, site in sites.items() if kind[0])
    return Places(ids, pa.table(practices), systems, later)


def _years_of(rows: pd.DataFrame, column: str, plan: CellPlan) -> Iterable[tuple[str, int, int]]:
    bits = rows.assign(bit=1 << (rows["year"].astype("int64") - plan.years[0]).to_numpy())
    found = bits.groupby(["practice_id", column], as_index=False)["bit"].sum()  # a practice has one row a year
    return zip(found["practice_id"], found[column].astype("int64").tolist(), found["bit"].tolist(), strict=True)


def _table(rows: list[tuple[int, int, int]]) -> pa.Table:
    import pyarrow as pa

    kinds = {"site": pa.int32(), "system": pa.int16(), "in_system": pa.int64()}
    return pa.table({name: pa.array([row[i] for row in rows], kind) for i, (name, kind) in enumerate(kinds.items())})


def system_table(found: Places, plan: CellPlan) -> pa.Table:
    """variant, site, system, in_system: the years in which a site is in a system under the map of a variant."""
    import pyarrow as pa

    parts = [
        found.systems[variant.map].append_column("variant", pa.array([number] * len(found.systems[variant.map]), pa.int8()))
        for number, variant in enumerate(plan.variants)
    ]
    return pa.concat_tables(parts)


def group_table(codes: ir.Table, plan: CellPlan) -> ir.Table:
    """variant, groups, group, in_group: the years in which members with these codes are in a group under the race version of a
    variant; group NOWHERE where they are in none.

    `codes`: a column `groups` of distinct codes as `without_source` makes them.
    """
    import ibis
    import pyarrow as pa

    rows: list[tuple[int, int, int]] = []
    for number, variant in enumerate(plan.variants):
        of_year = {year: version_in_use(plan, variant, year) for year in plan.years}
        shifts = {version: i * width(plan.scheme) for i, version in enumerate(plan.versions)} or {"": 0}
        masks = {shift: years.mask(plan, [y for y, v in of_year.items() if v == version]) for version, shift in shifts.items()}
        rows += [(number, shift, at) for shift, at in masks.items() if at]
    kinds = {"variant": pa.int8(), "shift": pa.int64(), "at": pa.int64()}
    known = ibis.memtable(pa.table({n: pa.array([row[i] for row in rows], k) for i, (n, k) in enumerate(kinds.items())}))
    both = codes.cross_join(known)
    field: Any = (both.groups >> both["shift"]) & (2 ** width(plan.scheme) - 1)
    whole = whole_population(plan.scheme)
    group = group_of(field, plan.scheme) if whole is None else ibis.literal(whole, "int64")
    both = both.select("variant", "groups", "at", group=group)
    return both.group_by("variant", "groups", "group").agg(in_group=years.union(both["at"]))


def version_in_use(plan: CellPlan, variant: Variant, year: int) -> str:
    """The version of the race and ethnicity data that a variant takes for a year; empty where members are not divided."""
    if plan.undivided:
        return ""
    return plan.frozen if variant.race_version == "frozen" else plan.contemporaneous[year]


def build_places(engine: Engine, stays: ir.Table, people: ir.Table, found: Places, plan: CellPlan) -> None:
    """Keeps what variants differ in: `system` and `group` as above; `place`, one row a variant, site, groups, system and group.

    Columns of `place`: these five and at, the years in which members of the site with these codes are in both.
    """
    import ibis

    codes = people.select(groups=without_source(people.race, plan.scheme, plan.versions)).distinct()
    groups = engine.keep("group", group_table(codes, plan))
    systems = engine.keep("system", ibis.memtable(system_table(found, plan)))
    pairs = stays.filter(stays.site != NOWHERE).select("site", "groups").distinct()
    joined = pairs.join(systems, "site").join(groups, ["variant", "groups"])
    at = joined.in_system & joined.in_group
    place = joined.select("variant", "site", "groups", "system", "group", at=at)
    engine.keep("place", place.filter(place["at"] != 0, place.group != NOWHERE))


def placed(engine: Engine, rows: ir.Table, *masks: str, variants: Sequence[int] | None = None) -> ir.Table:
    """Rows split by variant, system and group instead of site and groups, `masks` cut to the years of each place.

    The first mask decides: rows without a year there drop out. `variants`: only these.
    """
    place = engine.kept("place")
    if variants is not None:
        place = place.filter(place.variant.isin(list(variants)))
    others = [name for name in rows.columns if name not in (*masks, "site", "groups")]
    joined = rows.join(place, ["site", "groups"])
    cut = {name: rows[name] & place["at"] for name in masks}
    split = joined.select(*[rows[n] for n in others], place.variant, place.system, place.group, **cut)
    return split.filter(split[masks[0]] != 0)


def in_year(engine: Engine, counts: ir.Table, keys: list[str], sums: list[str]) -> ir.Table:
    """Counts of one year (with its position) summed to variant, system, group and `keys`; rows in no system or group drop out."""
    place = engine.kept("place")
    joined = counts.join(place, ["site", "groups"])
    joined = joined.filter(years.holds(place["at"], counts.position))
    rows = joined.select(*[counts[name] for name in (*keys, *sums)], place.variant, place.system, place.group)
    totals = {name: rows[name].sum().cast(rows[name].type()) for name in sums}
    return rows.group_by(["variant", "system", "group", *keys]).agg(**totals)


def read_under(rows: ir.Table, plan: CellPlan) -> ir.Table:
    """Rows of a variant and measure that the study reads."""
    import ibis
    import pyarrow as pa

    pairs = [(number, code) for number, variant in enumerate(plan.variants) for code in variant.measures]
    table = {"variant": pa.array([n for n, _ in pairs], pa.int8()), "measure": pa.array([c for _, c in pairs], pa.int8())}
    return rows.semi_join(ibis.memtable(pa.table(table)), ["variant", "measure"])
