"""Calibration: shocks recovered from baseline years, draws with the variance they should have, rates that can be checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from p4equity.calibration import calibration_table
from p4equity.calibration.draws import draw_changes
from p4equity.calibration.methods import METHODS, Bench, admissible
from p4equity.calibration.questions import Question, questions
from p4equity.calibration.rates import Rules, baseline_shocks, question_rows
from p4equity.calibration.settings import ESTIMATE, PLACEBO_DATE, VARYING, Setting, settings
from p4equity.calibration.summary import calibration_summary
from p4equity.cells import read_cells, value_cells
from p4equity.dictionary import load_dictionary
from p4equity.errors import StudyError
from p4equity.evaluation.context import Context
from p4equity.extract import open_extract
from p4equity.inference.shocks import PERSISTENCE, autoregressive, change_variances, shock_variance
from p4equity.inference.stacked import Stacked
from p4equity.study import load_study

FIRST = "bcbsma_pay_for_equity"
YEARS = np.array([0, 2, 3])
SYSTEMS = 12
RULES = Rules(0.05, "PM", 10_000, (0.5, 1.5), 60, 5)


# Shocks


def baseline_panel() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effects of systems and years, sampling covariance with overlap between years, correlation of the shocks."""
    system, year = np.repeat(np.arange(SYSTEMS), 3), np.tile(np.arange(3), SYSTEMS)
    X = np.column_stack([system[:, None] == np.arange(SYSTEMS), year[:, None] == np.arange(3)]).astype(float)
    same = system[:, None] == system
    size = np.repeat(np.linspace(0.4, 2.5, SYSTEMS), 3)
    sampling = same * (np.eye(3 * SYSTEMS) * 0.4 + 0.6) * size
    return X, sampling, same * autoregressive(YEARS, PERSISTENCE)[year[:, None], year]


@pytest.mark.parametrize("variance", [0.0, 0.8, 4.0])
def test_the_variance_of_shocks_is_recovered_and_its_interval_covers(variance: float) -> None:
    X, sampling, pattern = baseline_panel()
    root = np.linalg.cholesky(sampling + variance * pattern)
    rng = np.random.default_rng(11)
    found = [shock_variance(root @ rng.standard_normal(len(X)) + X[:, 0] * 7, X, sampling, pattern) for _ in range(800)]
    inside = np.mean([f.low <= variance <= f.high for f in found])
    assert found[0].df == 3 * SYSTEMS - SYSTEMS - 2
    if variance:  # a variance of zero is covered whenever the lower end is zero, that is in 95% of samples
        assert inside == pytest.approx(0.90, abs=3.5 * np.sqrt(0.09 / 800))
        assert np.mean([f.estimate for f in found]) == pytest.approx(variance, rel=0.15)
    else:
        assert inside == pytest.approx(0.95, abs=3.5 * np.sqrt(0.0475 / 800))
        assert np.median([f.estimate for f in found]) < 0.3


def test_shocks_by_hand() -> None:
    """Two systems, two years, independent errors of variance one: the double difference d has variance 4 (1 + tau2)."""
    X = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1]], float)
    found = shock_variance(np.array([0.0, 3.0, 1.0, -2.0]), X, np.eye(4), np.eye(4))
    assert found.df == 1
    assert found.estimate == pytest.approx(6.0**2 / 4 - 1)


def test_one_baseline_year_leaves_nothing_to_estimate_from() -> None:
    with pytest.raises(StudyError, match="no yearly deviations"):
        shock_variance(np.zeros(3), np.column_stack([np.eye(3), np.ones(3)]), np.eye(3), np.eye(3))


# Draws


def small_cells(measures: int = 2) -> tuple[Stacked, np.ndarray]:
    contracts = np.zeros((6, measures), bool)
    contracts[0], contracts[1, 0] = True, True
    covariance = np.stack([(np.eye(measures) * 0.7 + 0.3) * v for v in (0.5, 1.0, 2.0, 4.0, 1.0, 0.8)])
    y = np.zeros((6, measures))
    y[4, -1] = np.nan
    contrasts = np.tile([-0.5, 0.0, -0.5, 0.5, 0.5], (6, measures, 1))
    contrasts[4, -1] = 0.0
    return Stacked(y, contracts, covariance, np.zeros(6, np.int64)), contrasts


@pytest.mark.parametrize(
    ("setting", "factor"),
    [(Setting("a"), 1.0), (Setting("b", tails="t3"), 1.0), (Setting("c", truth=2.0), 2.0), (Setting("d", shared=0.6), 1.0)],
)
def test_draws_have_the_variance_of_shocks_and_sampling(setting: Setting, factor: float) -> None:
    cells, contrasts = small_cells()
    Y, effects = draw_changes(cells, contrasts, (1, 2, 3, 4, 5), 2.0, setting, 40_000, np.random.default_rng(1))
    expected = 2.0 * change_variances(contrasts, (1, 2, 3, 4, 5)) + factor * np.einsum("smm->sm", cells.covariance)
    assert not effects.any()
    assert np.isnan(Y[:, 4, -1]).all()
    np.testing.assert_allclose(
        Y.var(axis=0)[cells.present], expected[cells.present], rtol=0.25 if setting.tails == "t3" else 0.05
    )
    between = np.mean(Y[:, 0, 0] * Y[:, 0, 1])
    shared = setting.shared * 2.0 * change_variances(contrasts, (1, 2, 3, 4, 5))[0, 0]
    assert between == pytest.approx(factor * cells.covariance[0, 0, 1] + shared, abs=0.1)


def test_the_variance_of_a_change_by_hand() -> None:
    """One year before, one after, two years apart: 2 (1 - 0.25)."""
    assert change_variances(np.array([[[-1.0, 0.0, 1.0]]]), (1, 2, 3))[0, 0] == pytest.approx(1.5)
    assert change_variances(np.array([[[-1.0, 1.0]]]), (1, 3))[0, 0] == pytest.approx(1.5)


def test_shocks_that_grow_with_size_keep_their_mean_variance() -> None:
    cells, contrasts = small_cells(1)
    none = replace(cells, covariance=1e-9 * cells.covariance)
    Y, _ = draw_changes(none, contrasts, (1, 2, 3, 4, 5), 2.0, Setting("g", growing=True), 20_000, np.random.default_rng(1))
    spread = Y.var(axis=0)[none.present]
    unit = change_variances(contrasts, (1, 2, 3, 4, 5))[none.present]
    assert (spread / unit).mean() == pytest.approx(2.0, rel=0.05)
    v = np.einsum("smm->sm", cells.covariance)[none.present]
    np.testing.assert_allclose(spread * v, (spread * v).mean(), rtol=0.05)


def test_effects_vary_by_system_in_contracted_cells_only() -> None:
    cells, contrasts = small_cells()
    effects = draw_changes(cells, contrasts, (1, 2, 3, 4, 5), 1.0, Setting("v", effect_sd=2.0), 4000, np.random.default_rng(2))[1]
    assert np.array_equal(effects.any(axis=0), cells.contracts)
    assert np.array_equal(effects[:, 0, 0], effects[:, 0, 1])
    assert effects[:, 0, 0].std() == pytest.approx(2.0, rel=0.05)


# Methods and rates


def test_assignments_start_with_the_observed_one_and_are_all_there_are() -> None:
    cells, _ = small_cells()
    found = admissible(cells, 1000, 1)
    assert np.array_equal(found.contracts(0), cells.contracts)
    assert found.total == len(found.table) == len(np.unique(found.table, axis=0)) == 30


def test_each_method_holds_its_level_with_equal_independent_changes() -> None:
    """Equal variances, stated as they are: t tests and the permutation are exact or close to it."""
    contracts = (np.arange(12) < 5)[:, None]
    cells = Stacked(np.zeros((12, 1)), contracts, np.ones((12, 1, 1)), np.zeros(12, np.int64))
    answers = Bench(cells, admissible(cells, 10_000, 1), "PM").answers()
    Y = np.random.default_rng(3).standard_normal((4000, 12, 1))
    error = np.sqrt(0.05 * 0.95 / 4000)
    for name, most in (("permutation", 0.05), ("averaged_t", 0.06), ("knapp_hartung", 0.06), ("cr2", 0.06)):
        answer = answers[name]
        assert not isinstance(answer, str)
        estimates, p = answer(Y)
        assert estimates.mean() == pytest.approx(0, abs=4 * estimates.std() / np.sqrt(4000))
        assert np.mean(p <= 0.05) < most + 3 * error, name
    assert np.mean(answers["permutation"](Y)[1] <= 0.05) == pytest.approx(0.05, abs=3.5 * error)  # type: ignore[operator]


def question(seed: int = 1) -> Question:
    from p4equity.disparity.yearly import YearlyGaps

    cells, contrasts = small_cells()
    rng = np.random.default_rng(seed)
    gaps = YearlyGaps(
        tuple("abcdef"), ("m", "n"), (1, 3), rng.standard_normal((6, 2, 2)), np.stack([np.eye(4) * 0.2 for _ in range(6)])
    )
    return Question("q", "pooled", cells, contrasts, (1, 2, 3, 4, 5), gaps, (1, 3), 1.5)


def test_a_question_has_a_row_for_each_setting_and_method_and_says_why_not() -> None:
    rows = pd.DataFrame(question_rows(question(), RULES))
    assert len(rows) == len(METHODS) * (len(settings(pooled=True)) + 1)
    assert not rows.duplicated(["setting", "inference"]).any()
    assert (rows["status"] == "ok").sum() > 40
    assert rows.loc[rows["status"] != "ok", "reason"].notna().all()
    ok = rows[(rows["status"] == "ok") & ~rows["setting"].isin([*VARYING, PLACEBO_DATE, "placebo_contracts"])]
    np.testing.assert_allclose(ok["coverage"], 1 - ok["rejection"])
    assert rows.loc[rows["setting"] == PLACEBO_DATE, "reason"].str.contains("one data set").any()


def test_one_baseline_year_means_assumed_shocks_and_no_placebo_date() -> None:
    asked = question()
    alone = replace(
        asked, pre_years=(1,),
        baseline=replace(asked.baseline, years=(1,), values=asked.baseline.values[:, :, :1], covariance=np.zeros((6, 2, 2))),
    )  # fmt: skip
    found = baseline_shocks(alone, RULES)
    assert found.assumed
    assert found.variance.low == pytest.approx(0.5**2)
    assert found.variance.high == pytest.approx(1.5**2)
    rows = pd.DataFrame(question_rows(alone, RULES))
    assert set(rows.loc[rows["setting"] == PLACEBO_DATE, "status"]) == {"not_estimable"}


# The table of a study


@pytest.fixture(scope="module")
def context(small_tier_b: Path) -> Context:
    study = load_study(FIRST)
    loose = study.inference.model_copy(update={"minimum_denominator": 2, "calibration_draws": 40})
    cells = read_cells(open_extract(small_tier_b, load_dictionary()))
    return Context(replace(study, inference=loose), cells.cell, cells.cell_overlap, "data", "code")


def test_nothing_after_the_baseline_years_moves_the_shocks(context: Context) -> None:
    """Numerators of contract years enter stated variances only; those of baseline years alone make the shocks."""
    cell = context.cell.copy()
    late = cell["year"] >= 2023
    cell.loc[late, "num"] = (cell.loc[late, "num"] * 0.8).round().astype(cell["num"].dtype)
    other = Context(context.study, cell, context.overlap, "data", "code")
    pairs = list(zip(questions(context, {}), questions(other, {}), strict=True))
    both = [(a, b) for a, b in pairs if isinstance(a, Question)]
    assert len(both) >= 3
    for a, b in both:
        assert isinstance(b, Question)
        assert not np.nan_to_num(a.cells.y).any()
        np.testing.assert_array_equal(a.baseline.values, b.baseline.values)
        np.testing.assert_array_equal(a.baseline.covariance, b.baseline.covariance)
        assert baseline_shocks(a, RULES) == baseline_shocks(b, RULES)


def test_the_questions_are_the_registered_primary_rows(context: Context) -> None:
    study = context.study
    expected = []
    for a in study.analyses:
        if a.registered == "primary" and a.leave_out is None:
            expected += [] if a.pooled else [(a.id, m) for m in study.measure_ids(a.measures)]
            expected += [(a.id, "pooled")] if a.pooled or a.also_pooled else []
    assert [(q.analysis_id, q.measure_id) for q in questions(context, {})] == expected


def test_cells_of_a_question_are_those_of_its_answer(context: Context) -> None:
    """Systems, contracts and sampling variances are the two-stage question's own."""
    from p4equity.evaluation.pooled import stacked_data

    asked = next(q for q in questions(context, {}) if q.measure_id == "pooled")
    assert isinstance(asked, Question)
    gap = stacked_data(context, context.study.analysis(asked.analysis_id)).sides["gap"]
    kept = gap.present.any(axis=1)
    np.testing.assert_array_equal(asked.cells.present, gap.present[kept])
    np.testing.assert_array_equal(asked.cells.contracts, gap.contracts[kept])
    np.testing.assert_allclose(asked.cells.covariance, np.nan_to_num(gap.covariance[kept]))
    np.testing.assert_allclose(asked.contrasts[asked.cells.present].sum(axis=1), 0, atol=1e-12)


def test_workers_leave_no_trace_and_the_table_keeps_its_schema(context: Context) -> None:
    few = [a for a in context.study.analyses if a.id in ("pooled", "measure")]
    context = replace(context, study=replace(context.study, analyses=tuple(few)))
    one, two = (calibration_table(context, workers=n) for n in (1, 2))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    table = load_dictionary().table("calibration")
    assert tuple(one.columns) == table.names
    assert one["row_id"].is_unique
    ok = one["status"] == "ok"
    assert (ok == one["rejection"].notna()).all()
    assert one.loc[~ok, "reason"].notna().all()
    assert set(one["setting"]) <= {c.value for f in table.fields if f.name == "setting" for c in f.categories}
    assert set(one.loc[ok, "inference"]) <= set(METHODS)


def test_more_draws_than_registered_are_possible_and_none_gives_reasons(context: Context) -> None:
    none = calibration_table(context, draws=0)
    assert set(none["status"]) == {"not_estimable"}
    assert none["reason"].str.contains("no draws").any()


def test_a_study_of_published_aggregates_says_why_not() -> None:
    study = load_study("castle_doctrine")
    cells = value_cells(study)
    found = calibration_table(Context(study, cells.cell, cells.cell_overlap, "data", "code"))
    assert len(found)
    assert set(found["status"]) == {"not_estimable"}
    assert found["reason"].str.contains("stated sampling variance").all()


def test_the_summary_takes_the_worst_setting_without_effects() -> None:
    rows = [
        {
            "setting": ESTIMATE,
            "rejection": 0.04,
            "rejection_error": 0.01,
            "coverage": 0.96,
            "power": 0.5,
            "effect": 2.0,
            "bias": 0.1,
        },
        {"setting": "shocks_high", "rejection": 0.09, "rejection_error": 0.01, "coverage": 0.91, "bias": -0.2},
        {"setting": VARYING[1], "rejection": 0.2, "rejection_error": 0.01, "coverage": 0.93, "bias": 0.0},
        {"setting": PLACEBO_DATE, "rejection": 0.3},
    ]
    same = {"analysis_id": "a", "measure_id": "m", "inference": "x", "n_clusters": 12, "n_treated_clusters": 5, "status": "ok"}
    row = calibration_summary(pd.DataFrame([{**same, "reason": None, **r} for r in rows]), 0.05).iloc[0]
    assert (row["worst"], row["worst_setting"], row["varying"], row["placebo_date"]) == (0.09, "shocks_high", 0.2, 0.3)
    assert (row["coverage"], row["coverage_varying"], row["bias"], row["power"]) == (0.91, 0.93, -0.2, 0.5)
    assert row["too_often"]


@pytest.mark.parametrize(
    ("rate", "error", "too_often"),
    [(0.062, 0.001, False), (0.074, 0.001, False), (0.076, 0.001, True), (0.08, 0.011, False), (0.08, 0.009, True)],
)
def test_too_often_is_both_no_chance_and_no_trifle(rate: float, error: float, too_often: bool) -> None:
    """At 5%: beyond 7.5% (Bradley 1978), and by three Monte Carlo errors."""
    row = {"analysis_id": "a", "measure_id": "m", "inference": "x", "n_clusters": 12, "n_treated_clusters": 5, "status": "ok",
           "reason": None, "setting": ESTIMATE, "rejection": rate, "rejection_error": error, "coverage": 1 - rate, "bias": 0.0,
           "power": 0.5, "effect": 2.0}  # fmt: skip
    assert calibration_summary(pd.DataFrame([row]), 0.05).iloc[0]["too_often"] == too_often


def test_a_summary_without_any_bias_still_names_the_worst_case() -> None:
    rows = pd.DataFrame(
        {
            "analysis_id": "a", "measure_id": "m", "inference": "averaged_t", "n_clusters": 8, "n_treated_clusters": 1,
            "setting": ["shocks_estimate", "heavy_tails"], "rejection": [0.01, 0.02], "rejection_error": 0.004, "coverage": 0.99,
            "bias": np.nan, "power": np.nan, "effect": np.nan, "status": "ok", "reason": None,
        }
    )  # fmt: skip
    found = calibration_summary(rows, 0.05).iloc[0]
    assert found["worst_setting"] == "heavy_tails"
    assert found["bias"] is None or np.isnan(found["bias"])
