"""Where the members of a system that left are one and two years later: who carries the contract's care to which arm."""

from __future__ import annotations

import pandas as pd

from p4equity.cells.destinations import DESTINATION
from p4equity.study import Study

COLUMNS = ["system_id", "year", "years_later", "practice", "place", "n", "share"]
BY_GROUP = ["system_id", "year", "years_later", "group", "place", "n", "share"]
GONE = "not covered"


def movers_table(study: Study, profile: pd.DataFrame) -> pd.DataFrame:
    """One row a system that left, number of years later and place: members, and their share of those of its last full year.

    practice: same or other; place: the arm of the practice's system in the later year, outside the study, or not covered (also
    with no practice). Counts of members, not net differences; all groups together. Empty without an exit.
    """
    return _counted(_destinations(study, profile), COLUMNS)


def movers_by_group(study: Study, profile: pd.DataFrame) -> pd.DataFrame:
    """The same for each group of the scheme, by the arm of the practice's system alone: share of the group's members."""
    return _counted(_destinations(study, profile), BY_GROUP)


def _counted(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Members by the columns before the last two, and their share of those of one system, number of years and group."""
    if rows.empty:
        return pd.DataFrame(columns=columns)
    table = rows.groupby(columns[:-2], as_index=False)["n"].sum()
    whole = table.groupby([c for c in columns[:-2] if c not in ("practice", "place")])["n"].transform("sum")
    return table.assign(n=table["n"].astype("int64"), share=100 * table["n"] / whole)[columns]


def _destinations(study: Study, profile: pd.DataFrame) -> pd.DataFrame:
    """The rows of the profile on members that left, under the primary map and race version, their places taken apart."""
    rows = profile[(profile["characteristic"] == DESTINATION) & (profile["map"] == study.population.map)]
    if study.race:
        rows = rows[rows["race_version"] == study.race.primary]
    if rows.empty:
        return rows
    later, where = (rows["level"].str.split(": ", n=1).str[i] for i in (0, 1))
    where = where.where(where != GONE, f", {GONE}")
    practice, place = (where.str.split(", ", n=1).str[i] for i in (0, 1))
    return rows.assign(years_later=later.astype("int64"), practice=practice.str.removesuffix(" practice"), place=place)
