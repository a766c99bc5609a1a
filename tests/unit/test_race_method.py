"""One switch in the plan: the same question by classes, by probabilities, of members who reported themselves."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pandas as pd
import pytest
from p4equity.errors import DataError
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.evaluation.race_level import ACCURACY, BY_ARM, OVERALL, WAYS
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
    history, bins = histories(context, study)
    return replace(context, probability=table, self_report=table, history=history, race_bins=bins, memory={})


def histories(context: Context, study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Members of the cells, each in one year alone, who all reported their group; and the one bin a group then has."""
    assert study.scheme is not None
    cells = context.cell[context.cell["measure_id"].isin(study.measure_sets.contracted)]
    spans = [study.compared_years(s, m) for s, m in zip(cells["system_id"], cells["measure_id"], strict=True)]
    at = [0 if y in pre else 1 if y in post else -1 for y, (pre, post) in zip(cells["year"], spans, strict=True)]
    cells = cells.assign(after=at)[np.array(at) >= 0]
    after = cells["after"]
    where = cells[["map", "race_version", "system_id", "measure_id"]].assign(
        reported_group=cells["group"], likely_group=cells["group"], second_group=cells["group"], band=4,
        pre_den=1 - after, post_den=after,
    )  # fmt: skip
    met = [where.assign(members=n, pre_num=y * where.pre_den, post_num=y * where.post_den) for y, n in
           ((1, cells["num"]), (0, cells["den"] - cells["num"]))]  # fmt: skip
    rows = pd.concat(met)
    groups = list(study.scheme.ids)
    bins = pd.DataFrame([
        {"map": "baseline", "race_version": "frozen", "measure_id": m, "likely_group": own, "second_group": own, "band": 4,
         "group": group, "members": 1, "p": 1_000_000 * (own == group)}
        for m in study.measure_sets.contracted for own in groups for group in groups
    ])  # fmt: skip
    return rows, bins


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


def test_imputations_of_known_groups_give_the_answer_of_classes(certain: Context, study: Study) -> None:
    asked = next(a for a in study.analyses if a.race_method == "imputed")
    classes = pd.DataFrame(analysis_rows(certain, asked.model_copy(update={"race_method": "classes"})))
    imputed = pd.DataFrame(analysis_rows(certain, asked))
    for column in ("estimate", "std_error", "n_members"):
        assert imputed[column].to_numpy(float) == pytest.approx(classes[column].to_numpy(float), rel=1e-9)
    df = classes["df"].astype(float)  # Barnard and Rubin's, with nothing imputed
    assert imputed["df"].to_numpy(float) == pytest.approx((df * (df + 1) / (df + 3)).to_numpy())
    assert imputed["reason"].str.contains(f"{study.race.imputations} imputations").all() if study.race else False


def test_without_histories_no_imputation_is_answered(study: Study) -> None:
    asked = next(a for a in study.analyses if a.race_method == "imputed")
    rows = pd.DataFrame(analysis_rows(random_context(study), asked))
    assert set(rows["status"]) == {"not_estimable"}
    assert rows["reason"].str.contains("results before and after").all()


def test_imputations_are_the_same_in_any_order_of_rows_and_in_another_process(certain: Context, study: Study) -> None:
    asked = next(a for a in study.analyses if a.race_method == "imputed")
    asked = asked.model_copy(update={"measures": study.measure_sets.contracted[:1], "also_pooled": False})
    here = pd.DataFrame(analysis_rows(certain, asked))
    shuffled = replace(certain, history=certain.history.sample(frac=1, random_state=3), memory={})
    light = replace(certain, study=replace(study, analyses=(asked,)), memory={}).light()
    assert light.history.empty
    for other in (shuffled, light):
        pd.testing.assert_frame_equal(pd.DataFrame(analysis_rows(other, asked)), here)


def test_levels_alone_are_imputed_in_another_process_too(certain: Context, study: Study) -> None:
    asked = next(a for a in study.analyses if a.estimator == "race_level")
    light = replace(certain, study=replace(study, analyses=(asked,)), memory={}).light()
    pd.testing.assert_frame_equal(pd.DataFrame(analysis_rows(light, asked)), pd.DataFrame(analysis_rows(certain, asked)))


def test_measures_without_contracts_are_not_called_imputed(certain: Context, study: Study) -> None:
    asked = next(a for a in study.analyses if a.estimator == "race_level")
    asked = asked.model_copy(update={"measures": "not_incentivized"})
    rows = pd.DataFrame(analysis_rows(certain, asked))
    assert set(rows.loc[rows["sample"] == "imputed", "status"]) == {"not_estimable"}


def test_a_bin_without_probabilities_and_too_few_reports_are_named(certain: Context, study: Study) -> None:
    asked = next(a for a in study.analyses if a.race_method == "imputed")
    with pytest.raises(DataError, match="a bin of histories without its probabilities"):
        analysis_rows(replace(certain, race_bins=certain.race_bins.iloc[1:], memory={}), asked)
    low = study.groups.compared[0]
    unreported = certain.history.assign(reported_group=certain.history["reported_group"].replace(low, "none"))
    rows = pd.DataFrame(analysis_rows(replace(certain, history=unreported, memory={}), asked))
    assert rows["reason"].str.contains("too few members reported").all()


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
    assert len(rows) == (len(WAYS) + 1 + len(BY_ARM)) * len(study.groups.compared) * len(study.measure_ids(analysis.measures))
    assert (rows["status"] == "ok").all()
    accurate = rows["outcome"] == ACCURACY
    assert set(rows.loc[accurate, "sample"]) == {OVERALL, *BY_ARM.values()}
    assert rows.loc[accurate, "estimate"].to_numpy(float) == pytest.approx(100)
    spread = rows[~accurate].groupby(["measure_id", "group"])["estimate"].agg(lambda x: x.max() - x.min())
    assert spread.max() == pytest.approx(0, abs=1e-9)
    assert rows.loc[rows["sample"] == "linear", "statistic"].to_numpy(float) == pytest.approx(1)
