"""The primary question as one regression: which systems, measures, groups and years, the same for cells and for members.

Of every contracted measure the cells that the registered primary analysis compares: systems contracted on it and comparison
systems, reference and compared groups, the registered years before and after. One triple difference of all of them,

    y ~ treated x compared | measure^system^group + measure^system^year + measure^group^year,

errors clustered by system. Members count the same on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p4equity.evaluation.context import Context
from p4equity.study import Study

if TYPE_CHECKING:
    import pandas as pd

PRIMARY = "pooled"  # the registered analysis
Cell = tuple[str, str, int]  # measure, system and year


@dataclass(frozen=True)
class Question:
    """measures, groups (the reference first); cohorts: first treated year by measure, system and year, None for comparison."""

    measures: tuple[str, ...]
    groups: tuple[str, ...]
    cohorts: Mapping[Cell, int | None]

    @property
    def rows(self) -> pd.DataFrame:
        """The same as a table: measure, system, year, cohort."""
        import pandas as pd

        rows = [(*key, cohort) for key, cohort in self.cohorts.items()]
        return pd.DataFrame(rows, columns=["measure_id", "system_id", "year", "cohort"]).astype({"cohort": "Int64"})

    @property
    def years(self) -> list[int]:
        """All years that any system contributes."""
        return sorted({year for _, _, year in self.cohorts})


def primary_question(study: Study) -> Question:
    """The primary question of a study as its plan registers it."""
    import pandas as pd

    nothing = pd.DataFrame()
    context = Context(study, nothing, nothing, "", "")
    analysis = next(a for a in study.analyses if a.id == PRIMARY)
    measures = tuple(study.measure_ids(analysis.measures))
    cohorts: dict[Cell, int | None] = {}
    for measure in measures:
        arms = context.arms(analysis, measure)
        for system, (before, after) in context.windows(analysis, arms).items():
            cohorts |= {(measure, system, year): arms.treated.get(system) for year in sorted({*before, *after})}
    return Question(measures, study.group_ids, cohorts)


def staggered_question(study: Study) -> Question:
    """The contracted measure with most cohorts, any contracted system treated from its first contract on, in all years."""
    import pandas as pd

    context = Context(study, pd.DataFrame(), pd.DataFrame(), "", "")
    analysis = next(a for a in study.analyses if a.id == PRIMARY).model_copy(update={"cohorts": ()})
    own = {m: context.arms(analysis, m).treated for m in study.measure_ids(analysis.measures)}
    measure = max(own, key=lambda m: (len(set(own[m].values())), m))
    arms = context.arms(analysis.model_copy(update={"contracts": "any"}), measure)
    cohorts: dict[Cell, int | None] = {}
    for system in arms.systems:
        leave = study.exit_year(system)
        years = [year for year in study.years if leave is None or year < leave]
        cohorts |= {(measure, system, year): arms.treated.get(system) for year in years}
    return Question((measure,), study.group_ids, cohorts)
