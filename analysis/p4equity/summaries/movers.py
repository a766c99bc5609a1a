"""Where the members of a system that left are one and two years later: who carries the contract's care to which arm."""

from __future__ import annotations

import pandas as pd

from p4equity.cells.destinations import DESTINATION
from p4equity.study import Study

COLUMNS = ["system_id", "year", "years_later", "practice", "place", "n", "share"]
GONE = "not covered"


def movers_table(study: Study, profile: pd.DataFrame) -> pd.DataFrame:
    """One row a system that left, number of years later and place: members, and their share of those of its last full year.

    practice: same or other; place: the arm of the practice's system in the later year, outside the study, or not covered (also
    with no practice). Counts of members, not net differences; all groups together. Empty without an exit.
    """
    rows = profile[profile["characteristic"] == DESTINATION]
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    rows = rows[(rows["map"] == study.population.map)]
    if study.race:
        rows = rows[rows["race_version"] == study.race.primary]
    later, where = (rows["level"].str.split(": ", n=1).str[i] for i in (0, 1))
    where = where.where(where != GONE, f", {GONE}")
    practice, place = (where.str.split(", ", n=1).str[i] for i in (0, 1))
    rows = rows.assign(years_later=later.astype("int64"), practice=practice.str.removesuffix(" practice"), place=place)
    table = rows.groupby(COLUMNS[:5], as_index=False)["n"].sum()
    whole = table.groupby(["system_id", "year", "years_later"])["n"].transform("sum")
    return table.assign(n=table["n"].astype("int64"), share=100 * table["n"] / whole)[COLUMNS]
