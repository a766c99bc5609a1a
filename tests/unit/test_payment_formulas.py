"""Payment formulas side by side, on made cells in which every system narrows by the same three points."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from p4equity.evaluation.context import Context
from p4equity.study import Study
from p4equity.summaries.payment_cells import paid_cells, registered_formulas
from p4equity.summaries.payment_formulas import _deals, _positions, payment_formula_tables
from p4equity.summaries.payments import payment_table
from paid_cells import DEN, made_context


def tables(context: Context, **hidden: set[tuple[str, str, str]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables, the first by formula and system."""
    formulas, curve = payment_formula_tables(context, **hidden)
    return formulas.set_index(["formula_id", "system_id"]), curve


def quick(study: Study, **more: object) -> Study:
    assert study.payment is not None
    return replace(study, payment=study.payment.model_copy(update={"draws": 400, **more}))


def test_the_plans_own_formula_pays_in_all_what_it_pays_cell_by_cell(study: Study) -> None:
    context = made_context(quick(study))
    formulas, curve = tables(context)
    paid = payment_table(context)
    ok = paid[paid["status"] == "ok"]
    row = formulas.loc["default", "all"]
    assert row["earned"] == pytest.approx(ok["earned"].sum())
    assert row["max_possible"] == pytest.approx(ok["max_possible"].sum())
    assert row["shrunken_score"] == pytest.approx((ok["shrunken_score"] * ok["max_possible"]).sum() / ok["max_possible"].sum())
    assert (row["n_cells"], row["units_paid"]) == (len(ok), int((ok["score"] > 0).sum()))
    one = ok.iloc[0]
    assert formulas.loc[("default", one["system_id"]), "earned"] == pytest.approx(one["earned"])
    # One figure for what chance earns: cell by cell and in all.
    assert row["by_simulation"] * row["max_possible"] == pytest.approx(ok["earned_by_chance"].sum(), rel=1e-12)
    months = 12 * DEN * len(study.group_ids) * (ok["last_year"] - ok["first_year"] + 1).sum()
    assert row["earned_per_month"] == pytest.approx(row["earned"] / months)
    own = curve[curve["formula_id"] == "default"].set_index("true_narrowing")["score"]
    assert own[0.0] == pytest.approx(row["by_simulation"])
    assert own.is_monotonic_increasing


def test_where_everybody_narrows_alike_no_deal_of_contracts_looks_better(study: Study) -> None:
    formulas, _ = tables(made_context(quick(study)))
    row = formulas.loc["default", "all"]
    assert row["by_permutation"] == pytest.approx(row["score"])
    assert row["by_comparison"] == pytest.approx(row["score"])
    assert row["as_much_by_permutation"] == 1.0


def test_every_formula_of_the_plan_has_rows_and_each_pays_on_its_own_statistic(study: Study) -> None:
    assert study.payment is not None
    context = made_context(quick(study))
    formulas, curve = tables(context)
    ids = [f.id for f in registered_formulas(study.payment)]
    assert list(dict.fromkeys(formulas.index.get_level_values(0))) == ids == list(dict.fromkeys(curve["formula_id"]))
    scores = formulas["score"].astype(float)
    plan, points = study.payment, 3.0
    assert scores["default", "all"] == pytest.approx((points - plan.threshold) * plan.slope, abs=0.01)
    # The group rose by three points, the reference stood still: a guard against leveling down stops nothing.
    assert scores["unguarded", "all"] == pytest.approx(scores["default", "all"])
    assert formulas["units_stopped"].sum() == 0
    # Two and a half years between the windows: 1.2 points a year, 0.2 of them unpaid, 62.5% a point. Who left was faster.
    staying = next(s for f, s in scores.index if s != "all" and study.exit_year(s) is None)
    leaving = next(s for f, s in scores.index if s != "all" and study.exit_year(s) is not None)
    assert scores["speed", staying] == pytest.approx((points / 2.5 - 0.2) * 0.625, abs=0.01)
    assert scores["speed", leaving] > scores["speed", staying]
    # Nobody turns round.
    assert scores["past_zero", "all"] == pytest.approx(scores["default", "all"])
    # Spending is the same everywhere: a quarter is paid for it.
    assert scores["efficiency", "all"] == pytest.approx(0.25 + 0.75 * scores["default", "all"], abs=0.01)
    # One group is behind in these cells, so that its gap, the mean gap, the best group's and its own rate move alike.
    for same in ("best_group", "mean_gap", "worst_group"):
        assert scores[same, "all"] == pytest.approx(scores["default", "all"], abs=0.01)
    share = formulas.loc[("worst_group", "all"), "max_possible"] / formulas.loc[("default", "all"), "max_possible"]
    assert share == pytest.approx(0.004 * 500.0 / plan.pmpm_maximum, rel=1e-6)  # 500 USD per member-month


def test_what_comparison_systems_earn_is_what_is_earned_without_a_contract(study: Study) -> None:
    """Their groups stand still; those under a contract narrow by three points. Deals hand part of that back to its holders."""
    context = made_context(quick(study))
    cell, low = context.cell, study.groups.compared[0]
    others = {s.id for s in study.systems} - set(study.contract_matrix()["system_id"])
    measure = study.measure_sets.contracted[1]
    rows = cell["system_id"].isin(others) & (cell["group"] == low) & (cell["measure_id"] == measure)
    cell.loc[rows & (cell["year"] >= study.launch_cohort), "num"] -= round(0.03 * DEN)
    formulas, _ = tables(context)
    row = formulas.loc["default", "all"]
    assert row["by_comparison"] == 0
    assert row["score"] == pytest.approx(0.625, abs=0.01)
    assert 0.2 < row["by_permutation"] < 0.35  # five of twelve rows are dealt back on average


def test_a_gap_that_turns_round_earns_no_more_than_its_closing(study: Study) -> None:
    """Contracted groups pass the reference by three points after having been eight behind: eleven points, or eight."""
    plan = study.payment
    assert plan is not None
    slope = 0.09  # below the cap in both cases
    context = made_context(quick(study, slope=slope))
    cell, low = context.cell, study.groups.compared[0]
    rows = (cell["group"] == low) & (cell["year"] >= study.launch_cohort) & (cell["measure_id"] != study.measure_sets.spending)
    cell.loc[rows, "num"] += round(0.08 * DEN)
    formulas, _ = tables(context)
    assert formulas.loc[("default", "all"), "score"] == pytest.approx((8 - plan.threshold) * slope, abs=0.01)
    assert formulas.loc[("past_zero", "all"), "score"] == pytest.approx((11 - plan.threshold) * slope, abs=0.01)
    paid = payment_table(context)
    assert paid["narrowing"].astype(float).to_numpy() == pytest.approx(11.0, abs=0.05)  # as it is
    assert paid["score"].astype(float).to_numpy() == pytest.approx((8 - plan.threshold) * slope, abs=0.01)


def test_leveling_down_is_stopped_by_the_guard_alone(study: Study) -> None:
    """The reference group falls by three points and the compared group stands still: paid for without the guard alone."""
    context = made_context(quick(study, gate_margin=-50.0))
    cell, groups, year = context.cell, study.group_ids, context.cell["year"] >= study.launch_cohort
    measure = context.cell["measure_id"] != study.measure_sets.spending
    for group, points in ((groups[0], -0.03), (study.groups.compared[0], -0.03)):
        rows = measure & year & (cell["group"] == group)
        cell.loc[rows, "num"] += round(points * DEN)
    formulas, _ = tables(context)
    assert formulas.loc[("unguarded", "all"), "score"] == pytest.approx(0.625, abs=0.01)
    assert formulas.loc[("default", "all"), "score"] == 0
    assert formulas.loc[("default", "all"), "units_stopped"] == formulas.loc[("unguarded", "all"), "units_paid"]
    paid = payment_table(context)
    assert not paid["gate_met"].any()


def test_hidden_cells_enter_nothing(study: Study) -> None:
    context = made_context(quick(study))
    whole, _ = tables(context)
    measure, group = study.measure_sets.contracted[1], study.groups.compared[0]
    system = next(s for f, s in whole.index if f == "default" and s != "all")
    for key in ((system, measure, group), (system, measure, str(study.groups.reference))):
        formulas, _ = tables(context, hidden={key})
        assert ("default", system) not in formulas.index
        lost = whole.loc[("default", system), "max_possible"]
        assert formulas.loc[("default", "all"), "max_possible"] == pytest.approx(
            whole.loc[("default", "all"), "max_possible"] - lost
        )


def test_small_cells_are_left_out_and_a_study_without_payments_has_no_rows(study: Study) -> None:
    small = next(s for s in study.contract_matrix()["system_id"])
    context = made_context(quick(study), small=small)
    own = registered_formulas(context.study.payment)[0]
    assert small not in {c.system for c in paid_cells(context, own, study.measure_sets.contracted[1], ())}
    bare = made_context(replace(study, payment=None))
    assert all(table.empty for table in payment_formula_tables(bare))


def test_the_same_draws_each_time(study: Study) -> None:
    first, second = (payment_formula_tables(made_context(quick(study))) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(a, b)


def test_deals_stay_within_strata_and_are_equally_likely() -> None:
    deal = _deals(np.array([0, 0, 0, 1]), 30_000, np.random.default_rng(1))
    assert (deal[:, 3] == 3).all()
    counts = pd.Series([tuple(row) for row in deal[:, :3]]).value_counts(normalize=True)
    assert set(counts.index) == set(permutations(range(3)))
    assert counts.to_numpy() == pytest.approx(1 / 6, abs=0.012)


def test_units_are_found_by_their_system() -> None:
    at, there = _positions(np.array([4, 4, 2]), np.array([[2, 4], [3, 2]]))
    assert at.tolist() == [[2, 0, 0, 1], [0, 0, 2, 0]]
    assert there.tolist() == [[True, False, True, True], [False, False, True, False]]
