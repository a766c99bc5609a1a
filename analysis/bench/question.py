"""The primary question as one regression: which systems, measures, groups and years, the same for cells and for members.

Of every contracted measure the cells that the registered primary analysis compares: systems contracted on it and comparison
systems, reference and compared groups, the registered years before and after. One triple difference of all of them,

    y ~ treated x compared | measure^system^group + measure^system^year + measure^group^year,

errors clustered by system. Members count the same on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from p4equity.evaluation.context import Context
from p4equity.study import Study

if TYPE_CHECKING:
    import pandas as pd

PRIMARY = "pooled"  # the registered analysis


@dataclass(frozen=True)
class Question:
    """measures, groups (the reference first) and the cells' rows: measure, system, year, cohort (null: comparison)."""

    measures: tuple[str, ...]
    groups: tuple[str, ...]
    rows: pd.DataFrame

    @property
    def cohorts(self) -> dict[tuple[str, str, int], float]:
        """First treated year by measure, system and year, NaN for comparison systems: which cells the question has."""
        rows = self.rows.astype({"cohort": "float64"}).itertuples(index=False)
        return {(str(m), str(s), int(y)): float(c) for m, s, y, c in rows}

    @property
    def years(self) -> list[int]:
        """All years that any system contributes."""
        return sorted(int(y) for y in self.rows["year"].unique())


def primary_question(study: Study) -> Question:
    """The primary question of a study as its plan registers it."""
    import pandas as pd

    nothing = pd.DataFrame()
    context = Context(study, nothing, nothing, "", "")
    analysis = next(a for a in study.analyses if a.id == PRIMARY)
    measures = tuple(study.measure_ids(analysis.measures))
    rows = []
    for measure in measures:
        arms = context.arms(analysis, measure)
        for system, (before, after) in context.windows(analysis, arms).items():
            rows += [(measure, system, year, arms.treated.get(system)) for year in sorted({*before, *after})]
    frame = pd.DataFrame(rows, columns=["measure_id", "system_id", "year", "cohort"]).astype({"cohort": "Int64"})
    return Question(measures, study.group_ids, frame)


def staggered_question(study: Study) -> Question:
    """The contracted measure with most cohorts, any contracted system treated from its first contract on, in all years."""
    import pandas as pd

    context = Context(study, pd.DataFrame(), pd.DataFrame(), "", "")
    analysis = next(a for a in study.analyses if a.id == PRIMARY).model_copy(update={"cohorts": ()})
    own = {m: context.arms(analysis, m).treated for m in study.measure_ids(analysis.measures)}
    measure = max(own, key=lambda m: (len(set(own[m].values())), m))
    arms = context.arms(analysis.model_copy(update={"contracts": "any"}), measure)
    rows = []
    for system in arms.systems:
        leave = study.exit_year(system)
        years = [year for year in study.years if leave is None or year < leave]
        rows += [(measure, system, year, arms.treated.get(system)) for year in years]
    frame = pd.DataFrame(rows, columns=["measure_id", "system_id", "year", "cohort"]).astype({"cohort": "Int64"})
    return Question((measure,), study.group_ids, frame)
