"""The registered plan in one process or two: the same table, progress in registered rows, and nothing fitted twice."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from p4equity.evaluation import plan
from p4equity.evaluation.context import Context
from p4equity.evaluation.primary import primary_bootstraps, primary_permutations
from p4equity.evaluation.tasks import tasks_of
from p4equity.study import Study
from random_cells import random_context

ASKED = (
    *("pooled", "measure", "group", "did_system_weighted", "did_patient_weighted", "event_study", "trends_may_part"),
    *("by_system", "companions", "sensitivity_as_treated", "sensitivity_drop_exits", "leave_one_out"),
)
# Whatever fits, or makes what several fits start from: module and name, called once with the same numbers.
ONCE = (
    "disparity.panel.build_panel", "disparity.changes.gap_changes", "estimators.linear.regress",
    "inference.averaged_t.averaged_t", "inference.averaged_t.averaged_component", "inference.averaged_t.stacked_averaged_t",
    "inference.random_effects.meta_regression", "inference.stacked.stacked_meta_regression",
    "inference.permutation.permutation_test", "inference.stacked_permutation.stacked_permutation",
    "inference.wild_bootstrap.wild_bootstrap",
)  # fmt: skip
Step = tuple[str, int, int]


@pytest.fixture(scope="module")
def small_study(study: Study) -> Study:
    quick = study.inference.model_copy(update={"wild_draws": 199, "permutation_limit": 900})
    return replace(study, inference=quick, analyses=tuple(a for a in study.analyses if a.id in ASKED))


def made_context(study: Study) -> Context:
    """In two maps, as analyses of the contracts as treated ask."""
    return random_context(study, ("baseline", "as_treated"))


@pytest.fixture(scope="module")
def alone(small_study: Study) -> tuple[pd.DataFrame, list[Step]]:
    """The table made in one process, and what was said meanwhile."""
    said: list[Step] = []
    return plan.evaluate(made_context(small_study), progress=lambda *step: said.append(step)), said


def test_two_processes_give_the_table_of_one(small_study: Study, alone: tuple[pd.DataFrame, list[Step]]) -> None:
    table, said_alone = alone
    assert said_alone[-1][2] >= plan.WORTH_A_PROCESS
    said: list[Step] = []
    together = plan.evaluate(made_context(small_study), workers=2, progress=lambda *step: said.append(step))
    pd.testing.assert_frame_equal(table, together, check_exact=True)
    assert (table["status"] == "ok").mean() > 0.5
    for steps in (said_alone, said):
        _counts_registered_rows(steps, made_context(small_study))


def _counts_registered_rows(said: list[Step], context: Context) -> None:
    total = sum(task.rows for a in context.study.analyses for task in tasks_of(context, a))
    assert [step[2] for step in said] == [total] * len(said)
    done = [step[1] for step in said]
    assert len(done) > 15
    assert done == sorted(set(done))
    assert done[-1] == total
    assert {step[0] for step in said} <= {a.id for a in context.study.analyses}


def test_tasks_know_their_rows_beforehand(small_study: Study, alone: tuple[pd.DataFrame, list[Step]]) -> None:
    """A row a method, question and registered outcome; sides of a gap and periods of a path come on top."""
    context, table = made_context(small_study), alone[0]
    questions = ["measure_id", "group", "system_id", "sample", "inference"]
    for analysis in small_study.analyses:
        own = table[(table["analysis_id"] == analysis.id) & ~table["inference"].isin(["claim", "none"])]
        answers = own[own["event_time"].isna() & ~own["outcome"].str.startswith(("pretrend", "reference", "group", "left_out"))]
        asked = answers.drop_duplicates([*questions, *(["outcome"] if analysis.outcome == "companion" else [])])
        if analysis.estimator == "system_change":  # the raw change and the shrunken one answer one question
            asked = asked.drop_duplicates(["measure_id", "system_id"])
        assert len(asked) == sum(task.rows for task in tasks_of(context, analysis)), analysis.id


def test_a_small_plan_starts_no_process(small_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("p4equity.workers._begin", refuse)
    few = replace(small_study, analyses=small_study.analyses[:2])
    assert len(plan.evaluate(made_context(few), workers=2))
    with pytest.raises(AssertionError, match="a process was started"):
        plan.evaluate(made_context(small_study), workers=2)


def test_nothing_is_fitted_twice(small_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    plan.evaluate(made_context(replace(small_study, analyses=small_study.analyses[:1])))  # every module is loaded
    calls, cells = {name: _counted(name, monkeypatch) for name in ONCE}, _counted("estimators.tidy.tidy", monkeypatch)
    context = made_context(small_study)
    plan.evaluate(context)
    for name, found in calls.items():
        assert found, name
        assert max(found.values()) == 1, f"{name}: {sum(found.values())} calls, {len(found)} of them different"
    questions = 12  # measures and groups
    assert sum(calls["estimators.linear.regress"].values()) == 3 * questions  # the event study answers two analyses
    assert sum(cells.values()) == 3 * questions  # two weightings of the registered years, and all years


def _counted(name: str, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Calls of a function by content of what it is given, wherever the package has imported it."""
    module, _, own = name.rpartition(".")
    function: Callable[..., Any] = getattr(sys.modules[f"p4equity.{module}"], own)
    found: Counter[str] = Counter()

    def counting(*given: Any, **named: Any) -> Any:
        found[_content((given, sorted(named.items())))] += 1
        return function(*given, **named)

    for loaded in [m for key, m in sys.modules.items() if key.startswith("p4equity")]:
        for attribute, value in list(vars(loaded).items()):
            if value is function:
                monkeypatch.setattr(loaded, attribute, counting)
    return found


def _content(given: Any) -> str:
    """The numbers and labels in arguments, as a text; seeds are no part of what is fitted."""
    if isinstance(given, np.ndarray):
        return f"{given.shape}{given.tolist()}"
    if isinstance(given, pd.DataFrame):
        return str(given.to_csv())
    if isinstance(given, dict):
        return _content(sorted(given.items()))
    if isinstance(given, tuple | list):
        return "(" + ", ".join(_content(part) for part in given) + ")"
    if hasattr(given, "__dataclass_fields__"):
        return _content([getattr(given, name) for name in given.__dataclass_fields__ if not name.startswith("_")])
    return repr(given)


def test_primary_rows_alone_are_those_of_the_plan(small_study: Study, alone: tuple[pd.DataFrame, list[Step]]) -> None:
    context, table = made_context(small_study), alone[0]
    registered = table[(table["registered"] == "primary") & (table["inference"] == "permutation")]
    permuted = pd.DataFrame(primary_permutations(context))
    assert permuted["p_value"].tolist() == registered["p_value"].tolist()
    assert len(permuted) == 1 + len(small_study.measure_sets.contracted)
    frames = primary_bootstraps(context)
    assert len(frames) == len(permuted)
    assert all((f["inference"].iloc[0], f["estimand"].iloc[0]) == ("wild_bootstrap", "att_gap") for f in frames)
    assert np.isfinite(frames[0]["p_value"].iloc[0])
