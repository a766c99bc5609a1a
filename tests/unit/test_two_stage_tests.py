"""Registered two-stage questions answer by every method that `fit` has, with its numbers; what they cannot is refused at load."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import StudyError
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.evaluation.question import Question
from p4equity.evaluation.two_stage import form_question, question_changes
from p4equity.resources import study_dir
from p4equity.study import Analysis, Study, load_study
from p4equity.study.vocabulary import CHANGES_ONLY, INFERENCES_OF
from random_cells import random_context

NUMBERS = ["estimate", "statistic", "p_value", "conf_low", "conf_high", "p_attainable"]


@pytest.fixture(scope="module")
def study() -> Study:
    whole = load_study("bcbsma_pay_for_equity")
    return replace(whole, inference=whole.inference.model_copy(update={"permutation_limit": 400}))


@pytest.fixture(scope="module")
def context(study: Study) -> Context:
    return random_context(study)


def asked(study: Study, id: str, *inference: str) -> Analysis:
    return next(a for a in study.analyses if a.id == id).model_copy(update={"inference": inference})


def question(context: Context, analysis: Analysis, measure: str) -> Question:
    arms = context.arms(analysis, measure)
    panel = context.panel(context.variant(analysis))
    groups = context.study.groups.compared
    return form_question(context, analysis, question_changes(context, analysis, panel, arms, measure, groups), arms, measure)


def test_each_method_gives_the_numbers_of_fit(study: Study, context: Context) -> None:
    analysis = asked(study, "measure", *INFERENCES_OF["meta_regression"])
    rows = pd.DataFrame(analysis_rows(context, analysis))
    rows = rows[rows["outcome"] == "gap"].set_index(["measure_id", "inference"])
    answered = 0
    for measure in study.measure_sets.contracted:
        q = question(context, analysis, measure)
        data = pd.DataFrame({"u": q.systems, "g": np.where(q.treated, 1.0, np.nan), "y": q.values["gap"]})
        data["se"], data["s"] = np.sqrt(q.variances["gap"]), context.strata(q.systems)
        for method in (*CHANGES_ONLY, "none"):
            mine = rows.loc[(measure, method)]
            fit = p4equity.fit(
                "meta_regression", data, outcome="y", unit="u", time=None, cohort="g", sampling_se="se", strata="s",
                limit=400, inference=method, seed=context.seed(analysis.id),
            ).iloc[0]  # fmt: skip
            assert (mine["status"], mine["status"] == "ok" or mine["reason"]) == (
                fit["status"],
                fit["status"] == "ok" or fit["reason"],
            )
            if fit["status"] == "ok":
                answered += 1
                expected = fit[NUMBERS].astype(float).to_numpy()
                assert mine[NUMBERS].astype(float).to_numpy() == pytest.approx(expected, nan_ok=True)
    assert answered >= 15


def test_an_estimate_alone_has_no_error(study: Study, context: Context) -> None:
    rows = pd.DataFrame(analysis_rows(context, asked(study, "measure", "none", "knapp_hartung")))
    first, second = (rows[(rows["inference"] == m) & (rows["outcome"] == "gap")] for m in ("none", "knapp_hartung"))
    assert first["estimate"].to_numpy() == pytest.approx(second["estimate"].to_numpy())
    whole = pd.DataFrame(analysis_rows(context, asked(study, "pooled", "none", "knapp_hartung")))
    for table in (rows, whole):
        alone = table[table["inference"] == "none"]
        assert len(alone)
        assert alone["estimate"].notna().all()
        assert alone[["std_error", "p_value", "conf_low", "conf_high", "df"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('pooled = "measures"\ngroups = "pooled"\ncohorts = [2023]\ninference = ["averaged_t"', "permutation_raw",
         "'permutation_raw' tests one change a system, not measures pooled"),
        ('also_pooled = true\ncohorts = [2023]\npre_years = [2019, 2022]\ninference = ["averaged_t"', "ferman_pinto",
         "'ferman_pinto' tests one change a system"),
        ('inference = ["averaged_t"', "wild_bootstrap", "'wild_bootstrap' is not defined for the estimator 'meta_regression'"),
    ],
)  # fmt: skip
def test_what_the_plan_cannot_compute_is_refused_at_load(tmp_path: Path, old: str, new: str, text: str) -> None:
    folder = shutil.copytree(study_dir("bcbsma_pay_for_equity"), tmp_path / "study_copy")
    plan = (folder / "study.toml").read_text("utf-8")
    assert old in plan
    (folder / "study.toml").write_text(plan.replace(old, old.replace('["averaged_t"', f'["{new}"'), 1), "utf-8")
    with pytest.raises(StudyError, match=text) as caught:
        load_study(folder)
    assert caught.value.exit_code == 11


def test_options_that_no_two_stage_answer_reads_are_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(study_dir("bcbsma_pay_for_equity"), tmp_path / "study_copy")
    plan = (folder / "study.toml").read_text("utf-8")
    (folder / "study.toml").write_text(plan.replace('id = "group"\n', 'id = "group"\noptions = { tau2 = "DL" }\n', 1), "utf-8")
    with pytest.raises(StudyError, match=r"takes no options in a plan(.|\n)*tau2"):
        load_study(folder)
