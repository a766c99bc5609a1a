"""From an extract of members to cells: one plan of Ibis expressions, one pass over each table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from p4equity.cells import ages, counts, destinations, flow, frames, histories, moments, people, profile, records, spending, stays
from p4equity.cells.places import Places, build_places, in_year, places, read_under
from p4equity.cells.plan import CellPlan, plan_of
from p4equity.cells.probability import build_sums, member_probabilities, probability_sums, self_report_sums
from p4equity.cells.tables import MAY_LACK, CellTables, canonical, empty
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
    of race probabilities where the extract has them, of all members and of those who reported themselves.

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
        _population(db, tables, found, plan, dictionary)
        say("measures")
        events = records.build_records(db, tables["measure_event"], db.kept("stay"), plan)
        patterns = records.build_patterns(db, events)
        moments.build_pairs(db, events, plan)
        say("profiles")
        profile_table, flow_table = _profiles(db, found, plan, dictionary)
        say("cells")
        rows = in_year(db, counts.count_cells(patterns, plan), ["practice", "year", "measure", "stratum"], list(counts.COUNTS))
        cell = frames.frame_of(db.fetch(read_under(rows, plan)))
        say("overlap")
        overlap = frames.frame_of(db.fetch(moments.proportion_moments(db, plan)))
        more_cells = more_overlap = None
        if "spending" in tables:
            say("spending")
            more_cells, more_overlap = _spending(db, tables["spending"], plan)
        known = _probabilities(db, tables["race_probability"], events, plan) if "race_probability" in tables else {}
        if plan.age_starts and plan.across:
            say("ages")
            known["cell_age"] = frames.age_frame(frames.frame_of(db.fetch(ages.age_counts(db, plan))), plan)
    return CellTables(
        canonical("cell", frames.cell_frame(cell, more_cells, found.ids, plan)),
        canonical("cell_overlap", frames.overlap_frame(overlap, more_overlap, plan)),
        canonical("cell_profile", profile_table),
        canonical("cell_flow", flow_table),
        **{name: canonical(name, known[name]) if name in known else empty(name) for name in MAY_LACK},
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


def _population(db: Engine, tables: dict[str, ir.Table], found: Places, plan: CellPlan, dictionary: Dictionary) -> None:
    members = people.build_people(db, tables, plan, dictionary)
    population = stays.build_stays(db, tables["attribution"], members, found, plan)
    build_places(db, population, members, found, plan)


def _profiles(db: Engine, found: Places, plan: CellPlan, dictionary: Dictionary) -> tuple[pd.DataFrame, pd.DataFrame]:
    population = db.kept("stay")
    kinds = db.keep("kind_by_year", people.kinds_by_year(db, db.kept("span"), db.kept("person"), plan))
    profile.build_profiles(db, population, kinds, found, plan, dictionary)
    profile.build_retention(db, population)
    counted, retained = (frames.frame_of(db.fetch(of(db, plan))) for of in (profile.profile_counts, profile.retention_counts))
    went = destinations.destinations(db, found, plan)
    moved = None if went is None else frames.frame_of(db.fetch(went))
    left = frames.frame_of(db.fetch(flow.flow_counts(db, plan)))
    return frames.profile_frame(counted, retained, moved, plan, dictionary), frames.flow_frame(left, plan)


def _spending(db: Engine, raw: ir.Table, plan: CellPlan) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = spending.build_spending(db, raw, db.kept("stay"), plan)
    by_practice, stayed, moved = spending.spending_sums(db, rows, plan)
    place = frames.place_frame(db.fetch(db.kept("place")), plan)
    return frames.spending_cells(by_practice, place, plan), frames.spending_moments(stayed, moved, place, plan)


def _probabilities(db: Engine, raw: ir.Table, events: ir.Table, plan: CellPlan) -> dict[str, pd.DataFrame]:
    build_sums(db, events, member_probabilities(raw, db.kept("person"), plan), plan)
    sums, reported = (frames.frame_of(db.fetch(of(db, plan))) for of in (probability_sums, self_report_sums))
    found = {
        "cell_probability": frames.probability_frame(sums, plan, plan.primary),
        "cell_self_report": frames.probability_frame(reported, plan, plan.primary),
    }
    if plan.windows:
        histories.build_histories(db, plan)
        members, bins = (frames.frame_of(db.fetch(db.kept(name))) for name in ("history", "race_bin"))
        found |= {
            "cell_history": frames.history_frame(members, plan, plan.primary),
            "race_bin": frames.bin_frame(bins, plan, plan.primary),
        }
    return found
