"""Payments from made cells: scores by hand, exits, cells that are too small, and standard errors with and without overlap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from p4equity.incentive import Formula, expected_score_by_chance
from p4equity.study import Study
from p4equity.summaries.payments import payment_table
from paid_cells import DEN, made_context


def test_three_points_of_narrowing_earn_what_the_formula_says(study: Study) -> None:
    assert study.payment is not None
    table = payment_table(made_context(study))
    row = table[(table["group"] == study.groups.compared[0]) & (table["status"] == "ok")].iloc[0]
    assert (row["gap_base"], row["gap_perf"], row["narrowing"]) == pytest.approx((8.0, 5.0, 3.0), abs=0.02)
    share = (3.0 - study.payment.threshold) * study.payment.slope
    assert row["score"] == pytest.approx(share, abs=0.01)
    months = 12 * DEN * len(study.group_ids) * 3
    assert row["max_possible"] == pytest.approx(study.payment.pmpm_maximum * months)
    assert row["earned"] == pytest.approx(row["score"] * row["max_possible"])
    formula = Formula(study.payment.threshold, study.payment.slope, study.payment.cap, study.payment.gate_margin)
    free = replace(study, payment=study.payment.model_copy(update={"reference_margin": None, "group_gain": None}))
    unguarded = payment_table(made_context(free))
    unguarded = unguarded[(unguarded["group"] == row["group"]) & (unguarded["status"] == "ok")].iloc[0]
    # A gap of six points seldom reaches zero by noise, and the rate of all seldom falls by a point: near the closed form.
    closed = float(expected_score_by_chance(row["se_narrowing"], formula))
    assert unguarded["expected_by_chance"] == pytest.approx(closed, abs=0.01)
    assert row["expected_by_chance"] < 0.6 * closed  # about half of what noise narrows does so by the reference group's fall
    assert row["earned_by_chance"] == pytest.approx(row["expected_by_chance"] * row["max_possible"])
    p = np.array([0.80, 0.80, 0.72, 0.75])
    weights = np.array([1 / 2, 1 / 3, 1 / 2, 1 / 3])  # two baseline years, three performance years
    assert row["se_narrowing"] == pytest.approx(100 * np.sqrt((weights * p * (1 - p)).sum() / DEN), rel=0.02)


def test_only_contracted_cells_with_a_baseline_gap_are_paid(study: Study) -> None:
    table = payment_table(made_context(study))
    matrix = study.contract_matrix()
    measure = study.measure_sets.contracted[1]
    assert set(table["measure_id"]) == {measure}
    assert set(table["group"]) == {study.groups.compared[0]}
    assert set(table["system_id"]) == set(matrix.loc[matrix["measure_id"] == measure, "system_id"])


def test_years_from_an_exit_on_do_not_count(study: Study) -> None:
    table = payment_table(made_context(study)).set_index("system_id")
    for leave in study.exits:
        assert table.loc[leave.system_id, "last_year"] == leave.date.year - 1


def test_small_cells_are_not_estimable_and_carry_no_number(study: Study) -> None:
    measure = study.measure_sets.contracted[1]
    matrix = study.contract_matrix()
    system = matrix.loc[matrix["measure_id"] == measure, "system_id"].iloc[0]
    row = payment_table(made_context(study, small=system)).set_index("system_id").loc[system]
    assert row["status"] == "not_estimable"
    assert "minimum denominator" in row["reason"]
    assert row[["gap_base", "score", "earned", "max_possible", "expected_by_chance"]].isna().all()


def test_members_who_stay_make_the_change_more_certain(study: Study) -> None:
    apart = payment_table(made_context(study))["se_narrowing"].astype(float)
    together = payment_table(made_context(study, overlap_share=0.7))["se_narrowing"].astype(float)
    assert (together < apart).all()
