"""Scenarios of side effects: effort taken from unpaid measures, shocks an owner's systems share, members shed; off elsewhere."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from p4equity.errors import StudyError
from p4equity.resources import study_dir
from p4equity.study import Study, load_study
from p4equity.synthetic.beside import by_owner, diverted_effects
from p4equity.synthetic.churn import build_churn
from p4equity.synthetic.rates import build_rates, treated_years
from p4equity.synthetic.truth import load_truth

STUDY = "bcbsma_pay_for_equity"


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study(STUDY)


def test_effort_is_taken_from_unpaid_measures_at_contracted_systems_alone(study: Study) -> None:
    planted, groups = load_truth(study, "effort_diversion"), study.scheme.ids
    treated = treated_years(study, study.measure_sets.contracted)
    for measure in (*study.measure_sets.not_incentivized, *study.measure_sets.contracted):
        points = build_rates(study, planted, study.measure(measure), (measure,), 1).beside
        own = points[:, groups.index("black")]
        expected = -3.0 * treated if measure in study.measure_sets.not_incentivized else 0.0 * treated
        np.testing.assert_array_equal(own, expected)
        assert not points[:, groups.index("white")].any()
    unpaid = study.measure_sets.not_incentivized[:1]
    assert not diverted_effects(study, load_truth(study, "clean"), unpaid, groups, treated).any()


def test_contracted_systems_move_before_their_contracts_in_the_two_scenarios_that_say_so(study: Study) -> None:
    groups, years = study.scheme.ids, np.array(study.years)
    black, contracted = groups.index("black"), {c.system_id for c in study.contracts}
    paid = {s.id: study.cohort_of(s.id, "CBP") for s in study.systems}
    rates = {name: build_rates(study, load_truth(study, name), study.measure("CBP"), ("CBP",), 1)
             for name in ("prior_trend", "anticipation", "clean")}  # fmt: skip
    assert not rates["clean"].beside.any()
    for i, system in enumerate(study.systems):
        trend = rates["prior_trend"].beside[i, black]
        np.testing.assert_allclose(trend, 0.5 * (years - 2022) * (system.id in contracted))
        cohort, effect = paid[system.id], rates["clean"].effect[i, black]
        early = np.where(years == cohort - 1, 2.0, 0.0) if cohort else 0.0 * years  # half of 4 points
        np.testing.assert_allclose(rates["anticipation"].beside[i, black], early)
        np.testing.assert_array_equal(rates["anticipation"].effect[i, black], effect)
    assert not rates["prior_trend"].beside[:, groups.index("white")].any()
    assert not rates["prior_trend"].beside[-1].any()


def test_systems_of_one_owner_share_their_shocks(study: Study) -> None:
    ids = [s.id for s in study.systems]
    one, other = (ids.index(s.id) for s in study.systems if s.owner == "Optum")
    shocks = np.arange(4.0 * (len(ids) + 1)).reshape(-1, 2, 2)
    found = by_owner(study, load_truth(study, "owner_shocks"), shocks)
    np.testing.assert_array_equal(found[other], shocks[one])
    rest = [i for i in range(len(shocks)) if i != other]
    np.testing.assert_array_equal(found[rest], shocks[rest])
    assert by_owner(study, load_truth(study, "clean"), shocks) is shocks
    alone = replace(study, systems=tuple(s.model_copy(update={"owner": None}) for s in study.systems))
    np.testing.assert_array_equal(by_owner(alone, load_truth(study, "owner_shocks"), shocks), shocks)


def test_members_are_shed_whatever_their_results(study: Study) -> None:
    plan = build_churn(study, load_truth(study, "cherry_picking"))
    assert plan is not None
    assert (plan.low, plan.trait, plan.leave) == (1.0, 0.0, 0.1)
    assert [g for g, own in zip(study.scheme.ids, plan.groups, strict=True) if own] == list(study.groups.compared)
    assert build_churn(study, load_truth(study, "clean")) is None
    worse = build_churn(study, load_truth(study, "differential_churn"))
    assert worse is not None
    assert (worse.low, worse.trait) == (0.3, 0.6)


def test_a_wrong_block_is_named(tmp_path: Path) -> None:
    """A group that is none, and a switch whose block is missing."""
    shutil.copytree(study_dir(STUDY), tmp_path / "s")
    truth = tmp_path / "s" / "truth.toml"
    text = truth.read_text("utf-8")
    points, start, end = "points = { black = -3.0", text.index("[cherry_picking] "), text.index("[effort_diversion] ")
    assert text.count(points) == 1
    for wrong, found in (
        (text.replace(points, "points = { blak = -3.0"), "blak"),
        (text[:start] + text[end:], "without its block"),
    ):
        truth.write_text(wrong, "utf-8")
        with pytest.raises(StudyError, match=found):
            load_truth(load_study(tmp_path / "s"), "clean")
