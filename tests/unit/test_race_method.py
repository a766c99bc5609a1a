"""One switch in the plan: the same question by classes, by probabilities, of members who reported themselves."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any

import pandas as pd
import pytest
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.evaluation.race_level import WAYS
from p4equity.study import Study, load_study
from random_cells import random_context

METHODS = ("weighted", "linear", "self_report")


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("bcbsma_pay_for_equity")


@pytest.fixture(scope="module")
def certain(study: Study) -> Context:
    """Cells whose probabilities are 1 for the class of each member; all members reported themselves."""
    context = random_context(study)
    assert study.scheme is not None
    wide = context.cell.pivot_table(index=["map", "race_version", "system_id", "measure_id", "year"], columns="group")
    rows: list[dict[str, Any]] = []
    for key, row in wide.iterrows():
        where = dict(zip(wide.index.names, key, strict=True))
        for first, second in combinations_with_replacement(study.scheme.ids, 2):
            own = first == second
            den, num = (row.get((name, first), 0) if own else 0 for name in ("den", "num"))
            more = {"p": 1e6 * den, "p_num": 1e6 * num, "den": den, "num": num} if own else {}
            rows.append({**where, "group_1": first, "group_2": second, "p_p": 1e12 * den, **more})
    table = pd.DataFrame(rows)
    return replace(context, probability=table, self_report=table, memory={})


def answers(context: Context, study: Study, method: str) -> pd.DataFrame:
    asked = next(a for a in study.analyses if a.race_method == "weighted").model_copy(update={"race_method": method})
    rows = pd.DataFrame(analysis_rows(context, asked))
    return rows.set_index(["measure_id", "outcome"])[["estimate", "std_error", "conf_low", "conf_high", "n_members"]]


@pytest.mark.parametrize("method", METHODS)
def test_certain_probabilities_give_the_answer_of_classes(certain: Context, study: Study, method: str) -> None:
    classes, other = answers(certain, study, "classes"), answers(certain, study, method)
    assert len(classes) == 3 * 5  # gap and both sides, of four measures and pooled
    # The variance of a rate is r (1 - r) of the cell by probabilities and of all systems' cells by classes: a few percent apart.
    assert other["estimate"].to_numpy(float) == pytest.approx(classes["estimate"].to_numpy(float), abs=0.2)
    assert other["std_error"].to_numpy(float) == pytest.approx(classes["std_error"].to_numpy(float), rel=0.1)
    assert (other["n_members"] == classes["n_members"]).all()


@pytest.mark.parametrize("method", METHODS)
def test_without_probabilities_every_registered_row_says_why(study: Study, method: str) -> None:
    analysis = next(a for a in study.analyses if a.race_method == method)
    rows = pd.DataFrame(analysis_rows(random_context(study), analysis))
    assert set(rows["measure_id"]) == {*study.measure_ids(analysis.measures), "pooled"}
    assert set(rows["status"]) == {"not_estimable"}
    assert set(rows["reason"]) == {"the data hold no race and ethnicity probabilities"}


def test_answers_are_the_same_without_rows_in_another_process(certain: Context, study: Study) -> None:
    here = {m: answers(certain, study, m) for m in METHODS}
    asked = tuple(a for a in study.analyses if a.race_method in METHODS)
    light = replace(certain, study=replace(study, analyses=asked), memory={}).light()
    assert light.cell.empty
    for method in METHODS:
        pd.testing.assert_frame_equal(answers(light, study, method), here[method])


def test_levels_by_every_way_agree_where_all_is_known(certain: Context, study: Study) -> None:
    analysis = next(a for a in study.analyses if a.estimator == "race_level")
    rows = pd.DataFrame(analysis_rows(certain, analysis))
    assert len(rows) == len(WAYS) * len(study.groups.compared) * len(study.measure_ids(analysis.measures))
    assert (rows["status"] == "ok").all()
    spread = rows.groupby(["measure_id", "group"])["estimate"].agg(lambda x: x.max() - x.min())
    assert spread.max() == pytest.approx(0, abs=1e-9)
    assert rows.loc[rows["sample"] == "linear", "statistic"].to_numpy(float) == pytest.approx(1)
