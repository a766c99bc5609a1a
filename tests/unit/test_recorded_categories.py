"""Recorded categories that a group pools: counted by arm in the baseline table, or suppressed so that no sum gives them away."""

from __future__ import annotations

import pandas as pd
import pytest
from p4equity.disclosure.population import protect_population
from p4equity.evaluation.context import Context
from p4equity.exhibits import t1_baseline
from p4equity.results import Results
from p4equity.study import Study
from p4equity.summaries.population import CATEGORY, profile_table

POOLED = {"NH AIAN": 20, "NH NHPI": 4, "multiracial": 90, "other": 300, "declined": 40, "unknown": 46}  # 500 of 5,000
GROUPS = {"white": 4000, "black": 200, "hispanic": 200, "asian": 100, "other": 500}


def members(study: Study) -> pd.DataFrame:
    """The same members in one system of each arm."""
    year, rows = max(study.baseline.pre_years), []
    for arm in ("participating", "comparison"):
        system = study.arm_systems(arm)[0].id
        for group, n in GROUPS.items():
            rows.append((system, group, "sex", "F", n))
            named = POOLED if group == "other" else {f"NH {group.capitalize()}": n}
            rows += [(system, group, CATEGORY, category, count) for category, count in named.items()]
    frame = pd.DataFrame(rows, columns=["system_id", "group", "characteristic", "level", "n"])
    return frame.assign(map=study.population.map, race_version="frozen", year=year)


@pytest.fixture(scope="module")
def table(study: Study) -> pd.DataFrame:
    context = Context(study, pd.DataFrame(), pd.DataFrame(), "", "")
    return profile_table(context, members(study))


def test_pooled_categories_are_counted_and_add_up_to_their_group(table: pd.DataFrame) -> None:
    own = table[(table["characteristic"] == CATEGORY) & (table["arm"] == "comparison")].set_index("level")
    assert own["n"].to_dict() == POOLED
    group = table[(table["characteristic"] == "race_ethnicity") & (table["arm"] == "comparison")].set_index("level")
    assert own["n"].sum() == group.loc["other", "n"]
    assert own["share"].sum() == pytest.approx(group.loc["other", "share"])  # of the arm, not of the group


def test_a_small_category_is_hidden_with_another_of_the_same_group_and_the_table_says_so(
    study: Study, table: pd.DataFrame
) -> None:
    """4 of 500 is small; the group's total is shown, so that a second category must go, and it is one of that group."""
    flow = pd.DataFrame({"step": [1], "label": "", "arm": "all", "group": "all", "year": 2022, "n": 10_000, "dropped": None})
    shown = protect_population(flow, table, 11, max(study.baseline.pre_years))[1]
    own = shown[shown["characteristic"] == CATEGORY].set_index(["arm", "level"])
    for arm in ("participating", "comparison"):
        hidden = [level for level in POOLED if own.loc[(arm, level), "status"] != "ok"]
        assert "NH NHPI" in hidden
        assert sum(POOLED[level] for level in hidden) >= 11 + 4
    exhibit = t1_baseline.build(Results(study, pd.DataFrame(), {"profile": shown}, masked=True, synthetic=True))
    assert exhibit is not None
    assert exhibit.table is not None
    rows = {row[0]: row[1] for row in exhibit.table.rows}
    assert rows["Non-Hispanic Native Hawaiian or Pacific Islander"] == "suppressed"
    assert rows["Non-Hispanic, two or more races"] == "90 (1.8)"
    headings = [label for _, label in exhibit.table.row_groups]
    assert headings[:2] == ["Race and ethnicity, n (%)", "Other, multiple or unknown, by recorded category, n (%)"]
