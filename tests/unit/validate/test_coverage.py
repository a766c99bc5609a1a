"""What the plan needs of an extract: every system, every arm, every map and race version of its analyses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from p4equity.cells.arms import check_arms
from p4equity.errors import DataError, StudyError
from p4equity.extract import open_extract
from p4equity.study import Study
from p4equity.validate import Problem, validate

from .test_faults import rewrite


def of_rule(folder: Path, study: Study, rule: str) -> list[Problem]:
    """Problems of one rule."""
    return [p for p in validate(open_extract(folder), study).errors if p.rule == rule]


def arm(study: Study, name: str) -> list[str]:
    """Systems of an arm."""
    return [s.id for s in study.arm_systems(name)]


def without(systems: list[str]) -> str:
    """A query that drops the rows of systems."""
    return f"SELECT * FROM t WHERE system_id IS NULL OR system_id NOT IN ({', '.join(repr(s) for s in systems)})"


@pytest.mark.parametrize("name", ["participating", "comparison"])
def test_cells_without_an_arm_are_a_study_error_of_their_own(cells_copy: Path, study: Study, name: str) -> None:
    rewrite(cells_copy, "cell", without(arm(study, name)))
    rewrite(cells_copy, "cell_overlap", without(arm(study, name)))
    report = validate(open_extract(cells_copy), study)
    assert [(p.table, p.rule) for p in report.errors] == [("cell", "empty_arm")]
    with pytest.raises(StudyError, match=f"no {name} system is left in the data") as caught:
        report.raise_for_problems()
    assert caught.value.exit_code == 11
    assert all(system in str(caught.value) for system in arm(study, name))


@pytest.mark.parametrize("name", ["participating", "comparison"])
def test_an_absent_system_is_named(cells_copy: Path, extract_copy: Path, study: Study, name: str) -> None:
    lost = arm(study, name)[:2]
    rewrite(cells_copy, "cell", without(lost))
    rewrite(extract_copy, "attribution", without(lost))
    for folder, table in ((cells_copy, "cell"), (extract_copy, "attribution")):
        (problem,) = of_rule(folder, study, "absent_system")
        assert (problem.table, problem.column, problem.count) == (table, "system_id", 2)
        assert problem.found == "no row of " + ", ".join(lost)
        with pytest.raises(DataError):
            validate(open_extract(folder), study).raise_for_problems()


def test_a_map_or_version_of_the_plan_is_looked_for(cells_copy: Path, study: Study) -> None:
    rewrite(cells_copy, "cell", "SELECT * FROM t WHERE map <> 'as_treated' AND race_version = 'frozen'")
    problems = of_rule(cells_copy, study, "plan_coverage")
    named = {p.problem for p in problems}
    for a in study.analyses:
        lost = (a.map, a.race_version) != (study.population.map, "frozen")
        assert any(f"map {a.map} and race version {a.race_version} " in text for text in named) is lost
    assert len(problems) >= 2
    assert {p.found for p in problems} == {"no row of this map and version"}
    assert all(any(a.id in str(p.expected) for a in study.analyses) for p in problems)


def test_a_measure_that_one_version_lacks_is_named(cells_copy: Path, study: Study) -> None:
    measure = study.measure_ids("contracted")[0]
    rewrite(cells_copy, "cell", f"SELECT * FROM t WHERE NOT (measure_id = '{measure}' AND map = 'as_treated')")
    assert {p.found for p in of_rule(cells_copy, study, "plan_coverage")} == {f"no row of measures {measure}"}


def test_a_group_of_the_plan_is_looked_for(cells_copy: Path, study: Study) -> None:
    lost = study.group_ids[-1]
    rewrite(cells_copy, "cell", f"SELECT * FROM t WHERE \"group\" <> '{lost}'")
    assert [(p.column, p.found) for p in of_rule(cells_copy, study, "plan_coverage")] == [("group", f"no row with {lost}")]


def test_cells_of_nobody_are_no_arm(cells_copy: Path, study: Study) -> None:
    cell = pd.read_csv(cells_copy / "cell.csv")
    check_arms(study, cell)
    cell.loc[cell["system_id"].isin(arm(study, "comparison")), "den"] = 0
    with pytest.raises(StudyError, match="no comparison system left in the data"):
        check_arms(study, cell)
