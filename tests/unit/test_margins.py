"""One-sided tests against a margin: by hand, by all assignments, and held against the intervals that verdicts are read from."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from p4equity.evaluation.plan import analysis_rows
from p4equity.inference.averaged_t import averaged_t, single_design
from p4equity.inference.permutation_one_sided import one_sided_permutation, stacked_one_sided
from p4equity.inference.stacked import Stacked
from p4equity.power import margin_power
from p4equity.study import Study
from random_cells import random_context
from scipy import stats

ARM = np.array([True, True, True, False, False, False, False])


def test_permutation_counts_assignments_in_one_direction_by_hand() -> None:
    y = np.array([5.0, 4.0, 6.0, 1.0, 2.0, 0.0, 5.5])
    p, attainable = one_sided_permutation(y, ARM, np.ones(7), 0.0, above=True)
    # With equal variances the statistic grows with the sum over treated units: the sums that reach that of the treated.
    sums = [sum(y[list(pick)]) for pick in combinations(range(7), 3)]
    assert p == pytest.approx(np.mean([s >= 15 for s in sums]))
    assert attainable == pytest.approx(1 / 35)
    below, _ = one_sided_permutation(y, ARM, np.ones(7), 0.0, above=False)
    assert below == pytest.approx(np.mean([s <= 15 for s in sums]))


def test_a_margin_is_an_effect_taken_out_of_the_treated_units() -> None:
    rng = np.random.default_rng(3)
    y, v = rng.normal(0, 1, 7), rng.uniform(0.5, 2, 7)
    own = one_sided_permutation(y, ARM, v, -1.0, above=True)
    moved = one_sided_permutation(y + ARM, ARM, v, 0.0, above=True)
    assert own == moved


def test_under_the_margin_itself_permutation_holds_its_level_whatever_the_true_assignment() -> None:
    """Effect equal to the margin: over all assignments that could have been drawn, p is at most its nominal value."""
    rng = np.random.default_rng(8)
    base = rng.normal(0, 1, 7)
    found = []
    for pick in combinations(range(7), 3):
        arm = np.isin(np.arange(7), pick)
        found.append(one_sided_permutation(base - 1.0 * arm, arm, np.ones(7), -1.0, above=True)[0])
    for level in (1 / 35, 0.1, 0.25, 0.5):
        assert np.mean(np.array(found) <= level + 1e-12) <= level + 1e-12


def test_the_t_test_rejects_at_half_alpha_exactly_where_the_interval_excludes_the_margin() -> None:
    rng = np.random.default_rng(11)
    rejected = 0
    for _ in range(60):
        y, v = rng.normal(0, 1.5, 7) + 1.5 * ARM, rng.uniform(0.5, 2, 7)
        fit = averaged_t(y, ARM, v, conf_level=0.95)
        below = float(single_design(v, ARM).mixture(y[None, :]).below(-1.0)[0])
        assert (below <= 0.025) == (fit.conf_low >= -1.0)
        rejected += below <= 0.025
    assert 5 < rejected < 55


def test_a_question_with_a_margin_has_one_one_sided_row_an_inference(study: Study) -> None:
    context = random_context(study)
    analysis = study.analysis("overall_quality")
    analysis = analysis.model_copy(update={"inference": ("averaged_t", "knapp_hartung", "permutation")})
    rows = analysis_rows(context, analysis)
    two_sided = {(r["measure_id"], r["inference"]): r for r in rows if r["outcome"] == "rate"}
    one_sided = {(r["measure_id"], r["inference"]): r for r in rows if r["outcome"] == "rate_against_margin"}
    assert set(two_sided) == set(one_sided)
    for key, row in one_sided.items():
        pair = two_sided[key]
        assert row["status"] == pair["status"] == "ok"
        assert (row["conf_low"], row["conf_high"]) == (pair["conf_low"], None)
        assert row["conf_level"] == pytest.approx(0.975)
        if key[1] != "permutation":
            assert (row["p_value"] <= 0.025) == (row["conf_low"] > analysis.margin)
        else:
            assert row["p_value"] >= row["p_attainable"]


def test_the_power_where_there_is_no_effect_is_the_share_of_draws_that_exclude_the_margin() -> None:
    """Two arms of equal variance and the usual t test, whose errors are known: 20,000 draws without an effect."""
    rng = np.random.default_rng(4)
    n, error = len(ARM), np.sqrt(1 / 3 + 1 / 4)
    y = rng.normal(0, 1, (20_000, n))
    effect = y[:, ARM].mean(axis=1) - y[:, ~ARM].mean(axis=1)
    residual = y - np.where(ARM, y[:, ARM].mean(axis=1)[:, None], y[:, ~ARM].mean(axis=1)[:, None])
    stated = np.sqrt((residual**2).sum(axis=1) / (n - 2)) * error
    for margin in (-1.0, -2.5):
        excluded = (effect - margin) / stated > stats.t.ppf(0.975, n - 2)
        assert margin_power(float(error), n - 2, margin, 0.025) == pytest.approx(excluded.mean(), abs=0.01)
        assert margin_power(float(error), n - 2, -margin, 0.025) == margin_power(float(error), n - 2, margin, 0.025)
    assert margin_power(0.5, 10, -1.0, 0.025, effect=-1.0) == pytest.approx(0.025)  # at the margin itself: the level


def test_each_t_test_against_a_margin_has_its_power(study: Study) -> None:
    analysis = study.analysis("overall_quality")
    rows = analysis_rows(random_context(study), analysis)
    power = {r["measure_id"]: r for r in rows if r["outcome"] == "rate_margin_power"}
    whole = {r["measure_id"]: r for r in rows if (r["outcome"], r["inference"]) == ("rate", "averaged_t")}
    assert set(power) == set(whole) == {*study.measure_ids("contracted"), "pooled"}
    for measure, row in power.items():
        error, df = whole[measure]["std_error"], whole[measure]["df"]
        assert row["estimate"] == margin_power(error, df, analysis.margin, 0.025)
        assert 0.025 < row["estimate"] < 1
        assert (row["conf_low"], row["p_value"], row["outcome_unit"]) == (None, None, "share")


def test_the_pooled_permutation_counts_assignments_in_one_direction() -> None:
    """One measure, equal variances: the statistic grows with the sum over contracted systems, as by hand for one measure."""
    y = np.array([5.0, 4.0, 6.0, 1.0, 2.0, 0.0, 5.5])
    data = Stacked(y[:, None], ARM[:, None], np.ones((7, 1, 1)), np.zeros(7, np.int64))
    sums = [sum(y[list(pick)]) for pick in combinations(range(7), 3)]
    p, attainable = stacked_one_sided(data, 0.0, above=True)
    assert p == pytest.approx(np.mean([s >= 15 for s in sums]))
    assert attainable == pytest.approx(1 / 35)
    assert stacked_one_sided(data, 0.0, above=False)[0] == pytest.approx(np.mean([s <= 15 for s in sums]))
    moved = Stacked((y + ARM)[:, None], ARM[:, None], np.ones((7, 1, 1)), np.zeros(7, np.int64))
    assert stacked_one_sided(data, -1.0, above=True) == stacked_one_sided(moved, 0.0, above=True)
