"""From an extract of members to cells: one plan of Ibis expressions, one pass over each table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from p4equity.cells import counts, flow, frames, moments, people, profile, records, spending, stays
from p4equity.cells.places import Places, groups_of, in_year, places, systems_of
from p4equity.cells.plan import CellPlan, plan_of
from p4equity.cells.probability import member_probabilities, probability_sums
from p4equity.cells.tables import CellTables, canonical, empty
from p4equity.dictionary import Dictionary
from p4equity.engines import Engine, open_engine
from p4equity.extract import Extract
from p4equity.study import Study

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

Progress = Callable[[str], None]
NEEDED = ("member", "enrollment_span", "attribution", "practice_system_span", "measure_event")


def build_cells(
    extract: Extract,
    study: Study,
    dictionary: Dictionary,
    *,
    engine: str = "duckdb",
    engine_url: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> CellTables:
    """Aggregates an extract of members (tier A or C) to the cells of a study: counts, overlap moments, profiles, flow, and sums
    of race probabilities where the extract has them.

    Integers are exact and do not depend on the engine, on `threads` or on the order of rows. The extract is taken as valid
    (`validate`): keys are unique, spans of a member or a practice do not overlap, ages follow the year of birth. `progress` is
    called with each step's name. Raises DataError for a table or column that is missing or does not fit, UsageError for an engine
    that does not start.
    """
    plan = plan_of(study, dictionary)
    say = progress or (lambda _: None)
    with open_engine(engine, url=engine_url, threads=threads) as db:
        tables = {name: db.table(extract, name) for name in _names(extract, plan)}
        say("population")
        found = places(db, tables["practice_system_span"], plan)
        population = _population(db, tables, found, plan, dictionary)
        say("measures")
        events = records.build_records(db, tables["measure_event"], population, plan)
        patterns = records.build_patterns(db, events)
        moments.build_pairs(db, events, plan)
        say("profiles")
        profile.build_retention(db, population)
        profile_table, flow_table = _profiles(db, population, found, plan, dictionary)
        say("cells")
        cell, overlap = _counts(db, patterns, found, plan, say)
        if "spending" in tables:
            say("spending")
            spent = spending.build_spending(db, tables["spending"], population, plan)
            more_cells, more_overlap = _spending(db, spent, found, plan)
        else:
            more_cells = more_overlap = _nothing()
        probable = _probabilities(db, tables, events, found, plan) if "race_probability" in tables else empty("cell_probability")
    return CellTables(
        canonical("cell", frames.cell_frame(cell, more_cells, found.ids, plan)),
        canonical("cell_overlap", frames.overlap_frame(overlap, more_overlap, plan)),
        canonical("cell_profile", profile_table),
        canonical("cell_flow", flow_table),
        probable,
    )


def _names(extract: Extract, plan: CellPlan) -> list[str]:
    """The tables that the plan reads. Without spending there are no cells of spending, without probabilities no sums of them."""
    names = list(NEEDED)
    if not plan.undivided:
        names.append("race_ethnicity")
        if all(group.probabilities for group in plan.scheme.groups) and extract.has("race_probability"):
            names.append("race_probability")
    if plan.spending is not None and extract.has("spending"):
        names.append("spending")
    return names


def _nothing() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame()


def _population(db: Engine, tables: dict[str, ir.Table], found: Places, plan: CellPlan, dictionary: Dictionary) -> ir.Table:
    members = people.build_people(db, tables, plan, dictionary)
    population = stays.build_stays(db, tables["attribution"], members, found, plan)
    db.keep("kind_by_year", people.kinds_by_year(db.kept("span"), members, plan))
    # The codes of all members, so that each variant works out its groups from a table of a few rows.
    db.keep("code", flow.codes(members, plan).distinct())
    return population


def _places(db: Engine, found: Places, plan: CellPlan, number: int) -> tuple[ir.Table, ir.Table]:
    """Systems of sites and groups of codes under a variant, as small tables."""
    variant = plan.variants[number]
    return systems_of(found, variant), db.keep(f"groups_{number}", groups_of(db.kept("code"), plan, variant))


def _profiles(
    db: Engine, population: ir.Table, found: Places, plan: CellPlan, dictionary: Dictionary
) -> tuple[pd.DataFrame, pd.DataFrame]:
    profile.build_profiles(db, population, db.kept("kind_by_year"), found, plan, dictionary)
    counted, retained = [], []
    for number, variant in enumerate(plan.variants):
        systems, groups = _places(db, found, plan, number)
        counted.append(_fetched(db, profile.profile_counts(db, plan, variant, systems, groups), number))
        retained.append(_fetched(db, profile.retention_counts(db, population, plan, systems, groups), number))
        if number == 0:
            left = _fetched(db, flow.flow_counts(db, plan, systems, groups), number)
    return frames.profile_frame(_joined(counted), _joined(retained), plan, dictionary), frames.flow_frame(left, plan)


def _counts(db: Engine, patterns: ir.Table, found: Places, plan: CellPlan, say: Progress) -> tuple[pd.DataFrame, pd.DataFrame]:
    counted = db.keep("counted", counts.count_cells(patterns, plan))
    cells, pairs = [], []
    for number, variant in enumerate(plan.variants):
        say(f"overlap, {variant.map} map, {variant.race_version} race version")
        systems, groups = systems_of(found, variant), db.kept(f"groups_{number}")
        read = counted.filter(counted.measure.isin(list(variant.measures)))
        rows = in_year(read, systems, groups, ["practice", "year", "measure", "stratum"], ["den", "num", "with_reading"])
        cells.append(_fetched(db, rows, number))
        pairs.append(_fetched(db, moments.proportion_moments(db, plan, variant, systems, groups), number))
        db.drop("moments")
    return _joined(cells), _joined(pairs)


def _spending(db: Engine, spent: ir.Table, found: Places, plan: CellPlan) -> tuple[pd.DataFrame, pd.DataFrame]:
    cells, pairs = [], []
    sums = spending.SpendingSums(db, spent, plan)
    for number, variant in enumerate(plan.variants):
        if variant.spending:
            systems, groups = systems_of(found, variant), db.kept(f"groups_{number}")
            cells.append(_fetched(db, sums.cells(systems, groups), number))
            pairs.append(_fetched(db, sums.moments(systems, groups), number))
            db.drop("spending_moments")
    return _joined(cells), _joined(pairs)


def _probabilities(db: Engine, tables: dict[str, ir.Table], events: ir.Table, found: Places, plan: CellPlan) -> pd.DataFrame:
    members = member_probabilities(tables["race_probability"], plan)
    sums = probability_sums(db, events, members, systems_of(found, plan.primary), plan)
    return canonical("cell_probability", frames.probability_frame(frames.frame_of(db.fetch(sums)), plan, plan.primary))


def _fetched(db: Engine, rows: ir.Table, variant: int) -> pd.DataFrame:
    return frames.frame_of(db.fetch(rows)).assign(variant=variant)


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat(parts, ignore_index=True)
