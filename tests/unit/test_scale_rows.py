"""Rows on other scales: ratios come in pairs, units say the direction, pooled answers stand beside, failures have reasons."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from made_cells import made_cells
from p4equity.disparity.panel import Panel
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.evaluation.scales import OUTCOMES
from p4equity.evaluation.tasks import tasks_of
from p4equity.exhibits.text import decimals
from p4equity.section import phrases
from p4equity.study import Study, load_study
from p4equity.study.scale_names import SCALE_NAMES
from p4equity.study.vocabulary import NOT_POOLED, OUTCOMES_OF
from p4equity.synthetic.cell_draws import CellSampler

METHODS = ("averaged_t", "permutation")


@cache
def context() -> Context:
    study = load_study("bcbsma_pay_for_equity")
    drawn = CellSampler(study, *made_cells(study), scenario="clean").draw(np.random.default_rng(3))
    return Context(study, *drawn, "data", "code")


def answers(outcome: str, **changed: object) -> list[dict]:
    analysis = next(a for a in context().study.analyses if a.outcome == outcome)
    return analysis_rows(context(), analysis.model_copy(update=changed))


def test_every_registrable_outcome_has_its_statistic() -> None:
    assert set(OUTCOMES) == set(OUTCOMES_OF["scale_change"])


def test_every_statistic_has_a_name_and_a_unit_that_is_printed_with_its_decimals() -> None:
    statistics = {name: s for found in OUTCOMES.values() for name, s in found.items()}
    assert set(SCALE_NAMES) == {"gap", *statistics}
    for statistic in statistics.values():
        places = {decimals({"outcome_unit": statistic.scale.unit}), phrases.decimals(statistic.scale.unit)}
        assert places <= ({1} if "percentage points" in statistic.scale.unit else {2, 3})


def test_ratios_of_success_and_failure_come_together() -> None:
    rows = answers("ratio")
    found = {(r["measure_id"], r["inference"], r["outcome"]) for r in rows}
    both = {"success_ratio", "failure_ratio"}
    assert {(m, i) for m, i, _ in found} == {(m, i) for m, i, _ in found if {o for n, j, o in found if (n, j) == (m, i)} == both}
    units = {r["outcome"]: r["outcome_unit"] for r in rows}
    assert units["success_ratio"].endswith("(reference / group)")
    assert units["failure_ratio"].endswith("(group / reference)")


@pytest.mark.parametrize("outcome", sorted(OUTCOMES))
def test_rows_are_as_many_as_registered_and_pooled_where_that_has_a_meaning(outcome: str) -> None:
    rows = answers(outcome)
    analysis = next(a for a in context().study.analyses if a.outcome == outcome)
    assert len(rows) == sum(task.rows for task in tasks_of(context(), analysis))
    assert any(r["measure_id"] == "pooled" for r in rows) == (outcome not in NOT_POOLED)
    assert all(r["inference"] == METHODS[0] for r in rows if r["measure_id"] == "pooled")
    assert {r["status"] for r in rows} == {"ok"}
    assert all(r["n_members"] > 0 and r["n_cells"] > 0 for r in rows)


def test_rows_say_which_group_is_best_and_which_is_worst_off() -> None:
    best = {r["measure_id"]: r["reference_group"] for r in answers("gap_to_best")}
    worst = {r["measure_id"]: r["group"] for r in answers("worst_group_rate")}
    assert (best["COL_50_75"], worst["COL_50_75"]) == ("white", "black")
    assert (best["HBD_CTRL"], worst["HBD_CTRL"]) == ("asian", "hispanic")
    assert (best["pooled"], worst["pooled"]) == (None, "pooled")
    assert {r["group"] for r in answers("theil")} == {"pooled"}


def test_the_gap_to_the_best_group_is_the_primary_gap_where_the_reference_leads_and_all_groups_are_behind() -> None:
    """Colorectal screening: White members lead and three groups have a gap, so both questions are the same one."""
    best = next(r for r in answers("gap_to_best") if r["measure_id"] == "COL_50_75" and r["inference"] == "averaged_t")
    primary = context().study.analysis("measure").model_copy(update={"inference": ("averaged_t",)})
    gap = next(r for r in analysis_rows(context(), primary) if r["measure_id"] == "COL_50_75" and r["outcome"] == "gap")
    for name in ("estimate", "std_error", "conf_low", "p_value", "n_members", "n_cells"):
        assert best[name] == pytest.approx(gap[name], rel=1e-9), name


def test_pooled_answers_are_the_primarys_own_where_the_scale_is() -> None:
    """Again colorectal screening, where the gap to the best group is the primary gap: asked as the pooled question."""
    one = {"measures": ("COL_50_75",), "inference": ("averaged_t",)}
    mine = next(r for r in answers("gap_to_best", **one) if r["measure_id"] == "pooled")
    pooled = analysis_rows(context(), context().study.analysis("pooled").model_copy(update=one))
    gap = next(r for r in pooled if r["outcome"] == "gap")
    for name in ("estimate", "std_error", "conf_high", "n_members", "n_cells", "n_clusters", "n_treated_clusters", "first_year"):
        assert mine[name] == pytest.approx(gap[name], rel=1e-9), name


def test_reasons_when_there_is_no_answer() -> None:
    rows = answers("ratio", measures=("BCS",), also_pooled=False)
    assert {r["status"] for r in rows} == {"not_estimable"}
    assert {r["reason"] for r in rows} == {"no system is contracted on BCS in these cohorts"}
    assert {r["outcome_unit"] for r in rows} == {next(iter(s.values())).scale.unit for s in [OUTCOMES["ratio"]]} | {
        OUTCOMES["ratio"]["failure_ratio"].scale.unit
    }


def edited(study: Study, measure: str, system: str, group: str, share: float) -> Context:
    """The context with one system's cells of a measure and group at a rate of `share` in every year."""
    base = context()
    cell = base.cell.copy()
    own = (cell["measure_id"] == measure) & (cell["system_id"] == system) & (cell["group"] == group)
    cell.loc[own, "num"] = (cell.loc[own, "den"] * share).astype("int64")
    return Context(study, cell, base.overlap, "data", "code")


def test_a_rate_of_one_hundred_percent_leaves_the_logarithms_and_says_so() -> None:
    study = context().study
    system = study.arm_systems("comparison")[0].id
    changed = edited(study, "CBP", system, "black", 1.0)
    for outcome in ("log_odds_gap", "between_group_variance"):
        analysis = next(a for a in study.analyses if a.outcome == outcome).model_copy(update={"inference": ("averaged_t",)})
        row = next(r for r in analysis_rows(changed, analysis) if r["measure_id"] == "CBP")
        lost = outcome == "log_odds_gap"
        assert row["sample"] == (f"without {system} (denominator too small or a rate of 0 or 100%)" if lost else "main")


def test_a_panel_is_never_changed() -> None:
    panel: Panel = context().panel(("baseline", "frozen"))
    before = panel.num.copy()
    answers("theil")
    np.testing.assert_array_equal(panel.num, before)
