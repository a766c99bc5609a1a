"""One-sided tests against a margin: by hand, by all assignments, and held against the intervals that verdicts are read from."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from p4equity.evaluation.plan import analysis_rows
from p4equity.inference.averaged_t import averaged_t, single_design
from p4equity.inference.permutation_one_sided import one_sided_permutation
from p4equity.study import Study
from random_cells import random_context

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
