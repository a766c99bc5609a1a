"""From an extract of members to cells: one plan of Ibis expressions, one pass over each table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from p4equity.cells import counts, overlap, profile, spine, variants
from p4equity.cells.plan import CellPlan, plan_of
from p4equity.cells.tables import CellTables, canonical
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
    """Aggregates an extract of members (tier A or C) to the cells, overlap moments, profiles and flow of a study.

    Integers are exact and do not depend on `threads` or on the order of rows. The extract is taken as valid (`validate`):
    keys are unique, spans of a member or a practice do not overlap. `progress` is called with each step's name.
    Raises DataError for a table or column that is missing or does not fit, UsageError for an engine that does not start.
    """
    plan = plan_of(study, dictionary)
    say = progress or (lambda _: None)
    with open_engine(engine, url=engine_url, threads=threads) as db:
        tables = {name: db.table(extract, name) for name in _names(extract, plan)}
        say("population")
        population = spine.build_spine(db, tables, plan, dictionary)
        members = spine.eligible(population, plan)
        parts: dict[str, list[pd.DataFrame]] = {"cell": [], "cell_overlap": [], "cell_profile": [], "cell_flow": []}
        say("profiles")
        _add_profiles(db, population, members, plan, dictionary, parts)
        say("measures")
        events = counts.build_events(db, tables, members, plan)
        parts["cell_flow"].append(
            variants.flow_frame(db, profile.flow_counts(population, plan), profile.flow_in_denominators(events, plan), plan)
        )
        _add_measures(db, events, plan, parts, say)
        if "spending" in tables:
            say("spending")
            _add_spending(db, counts.build_spending(db, tables, members), plan, parts)
    return CellTables(**{name: _together(name, frames) for name, frames in parts.items()})


def _names(extract: Extract, plan: CellPlan) -> list[str]:
    """The tables that the plan reads. Spending is optional: without it there are no cells of spending."""
    names = list(NEEDED)
    if not plan.undivided:
        names.append("race_ethnicity")
    if plan.spending is not None and extract.has("spending"):
        names.append("spending")
    return names


def _practices(db: Engine) -> ir.Table:
    return db.kept("practice_years")


def _add_profiles(
    db: Engine, population: ir.Table, members: ir.Table, plan: CellPlan, dictionary: Dictionary, parts: Mapping[str, list[Any]]
) -> None:
    counted = db.keep("profile", profile.profile_counts(members, dictionary))
    for variant in plan.variants:
        retained = profile.retention_counts(population, members, plan, variant)
        frame = variants.profile_frame(db, counted, retained, plan, variant, dictionary)
        parts["cell_profile"].append(frame)
    db.drop("profile")


def _add_measures(db: Engine, events: ir.Table, plan: CellPlan, parts: Mapping[str, list[Any]], say: Progress) -> None:
    counted = db.keep("counted", counts.count_cells(events))
    masks = overlap.build_masks(db, events, plan)
    db.drop("event")
    for variant in plan.variants:
        say(f"overlap, {variant.map} map, {variant.race_version} race version")
        parts["cell"].append(variants.cell_frame(db, counted, _practices(db), plan, variant))
        moments = overlap.proportion_moments(db, masks, plan, variant)
        parts["cell_overlap"].append(variants.overlap_frame(db.fetch(moments), plan, variant))
        db.drop("moments")
    db.drop("counted", "mask")


def _add_spending(db: Engine, rows: ir.Table, plan: CellPlan, parts: Mapping[str, list[Any]]) -> None:
    counted = db.keep("counted_spending", counts.count_spending(rows))
    for variant in plan.variants:
        parts["cell"].append(variants.spending_frame(db, counted, _practices(db), plan, variant))
        moments = db.fetch(overlap.spending_moments(rows, variant))
        parts["cell_overlap"].append(variants.spending_overlap_frame(moments, plan, variant))


def _together(table: str, frames: list[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return canonical(table, pd.concat([canonical(table, frame) for frame in frames], ignore_index=True))
