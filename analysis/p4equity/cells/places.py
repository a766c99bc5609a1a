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
from p4equity.race_ethnicity import group_of, whole_population, width

if TYPE_CHECKING:
    from collections.abc import Iterable

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
            of_practice[practice].add((map_, system, at))
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
    for (practice, system), part in rows.groupby(["practice_id", column]):
        yield str(practice), int(system), years.mask(plan, set(part["year"]))


def _table(rows: list[tuple[int, int, int]]) -> pa.Table:
    import pyarrow as pa

    kinds = {"site": pa.int32(), "system": pa.int16(), "in_system": pa.int64()}
    return pa.table({name: pa.array([row[i] for row in rows], kind) for i, (name, kind) in enumerate(kinds.items())})


def systems_of(found: Places, variant: Variant) -> ir.Table:
    """site, system, in_system: the years in which a site is in a system under the variant's map."""
    import ibis

    return ibis.memtable(found.systems[variant.map])


def groups_of(groups: ir.Table, plan: CellPlan, variant: Variant) -> ir.Table:
    """groups, group, in_group: the years in which members with these codes are in a group under the variant's race version.

    `groups`: a column of distinct codes as `without_source` makes them.
    """
    import ibis
    import pyarrow as pa

    if plan.undivided:
        whole = ibis.literal(whole_population(plan.scheme), "int64")
        return groups.select("groups", group=whole, in_group=ibis.literal(years.mask(plan, plan.years), "int64"))
    in_use = {version: i * width(plan.scheme) for i, version in enumerate(plan.versions)}
    of_year = {year: plan.frozen if variant.race_version == "frozen" else plan.contemporaneous[year] for year in plan.years}
    rows = [(shift, years.mask(plan, [y for y, v in of_year.items() if v == version])) for version, shift in in_use.items()]
    used = [(shift, at) for shift, at in rows if at]
    table = {"shift": pa.array([s for s, _ in used], pa.int64()), "at": pa.array([at for _, at in used], pa.int64())}
    known = ibis.memtable(pa.table(table))
    both = groups.cross_join(known)
    field: Any = (both.groups >> both["shift"]) & (2 ** width(plan.scheme) - 1)
    both = both.select("groups", "at", group=group_of(field, plan.scheme))
    return both.group_by("groups", "group").agg(in_group=years.union(both["at"]))


def placed(rows: ir.Table, systems: ir.Table, groups: ir.Table, *masks: str) -> ir.Table:
    """Rows split by system and group: columns of `rows` without site and groups, `masks` cut to the years of each place.

    The first mask decides: rows without a year there drop out.
    """
    joined = rows.join(systems, "site").join(groups, "groups")
    at = systems.in_system & groups.in_group
    others = [name for name in rows.columns if name not in (*masks, "site", "groups")]
    cut = {name: rows[name] & at for name in masks}
    split = joined.select(*[rows[name] for name in others], system=systems.system, group=groups.group, **cut)
    return split.filter(split[masks[0]] != 0, split.group != NOWHERE)


def in_year(counts: ir.Table, systems: ir.Table, groups: ir.Table, keys: list[str], sums: list[str]) -> ir.Table:
    """Counts of one year (with its position) summed to system, group and `keys`; rows in no system or group drop out."""
    joined = counts.join(systems, "site").join(groups, "groups")
    joined = joined.filter(years.holds(systems.in_system & groups.in_group, counts.position), groups.group != NOWHERE)
    rows = joined.select(*[counts[name] for name in (*keys, *sums)], system=systems.system, group=groups.group)
    return rows.group_by(["system", "group", *keys]).agg(**{name: rows[name].sum().cast(rows[name].type()) for name in sums})
