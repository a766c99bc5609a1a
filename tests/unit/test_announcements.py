"""Holm's rule over what a sentence speaks of: worked by hand, against statsmodels, and over draws without an effect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from p4equity.evaluation.announcements import adjusted, announced
from statsmodels.stats.multitest import multipletests


def row(p: float | None, **more: Any) -> dict[str, Any]:
    fixed = {"status": "ok", "estimate": 1.0, "std_error": 0.5, "n_treated_clusters": 5, "n_clusters": 12}
    return {**fixed, "p_value": p, **more}


def test_three_questions_by_hand() -> None:
    """0.01 * 3, 0.02 * 2, 0.2: two of them at 5%; the order of rows does not matter."""
    rows = [row(0.2), row(0.01), row(0.02)]
    assert adjusted(rows) == pytest.approx([0.2, 0.03, 0.04])
    assert announced(rows, 0.05) == rows[1:]
    assert announced(rows[:1], 0.05) == []
    assert announced([], 0.05) == []


def test_what_has_no_number_or_too_small_an_arm_is_no_test() -> None:
    """Of four rows one is a test, so its p stays; the others cannot be announced, however small their p."""
    none = [
        row(1e-9, status="not_estimable"),
        row(1e-9, n_treated_clusters=2),
        row(1e-9, n_clusters=7),
        row(np.nan, std_error=None),
    ]
    assert announced([row(0.05), *none], 0.05) == [row(0.05)]
    assert np.isnan(adjusted(none)).all()
    one_arm = row(0.05, n_treated_clusters=0, n_clusters=7)  # a slope among comparison systems has no arms
    assert announced([one_arm], 0.05) == [one_arm]


def test_an_answer_with_sampling_error_alone_is_judged_by_the_normal_law() -> None:
    """Two standard errors: p = 0.0455; with n systems of no arm."""
    bare = row(None, n_treated_clusters=None, n_clusters=None)
    assert adjusted([bare]) == pytest.approx([0.0455], abs=5e-5)
    assert adjusted([bare | {"p_value": float("nan"), "n_clusters": float("nan")}]) == pytest.approx([0.0455], abs=5e-5)
    assert adjusted([bare, bare]) == pytest.approx([0.091, 0.091], abs=1e-4)


def test_the_rule_is_that_of_statsmodels_and_holds_its_rate() -> None:
    rng = np.random.default_rng(4)
    families = rng.random((500, 9))
    few = families[:20]  # statsmodels collects garbage at each call
    wrong = [bool(announced([row(p) for p in family], 0.05)) for family in families]
    assert wrong[:20] == [bool(multipletests(family, method="holm")[0].any()) for family in few]
    assert np.mean(wrong) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)
    assert np.mean((families <= 0.05).any(axis=1)) > 0.3  # as unadjusted intervals would have it
