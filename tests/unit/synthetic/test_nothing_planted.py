"""Effects by scenario: none where the truth says so, a scenario's own in place of the general ones, and no others elsewhere."""

from __future__ import annotations

import numpy as np
from p4equity.study import load_study
from p4equity.synthetic.build_streams import streams_of
from p4equity.synthetic.rates import build_rates
from p4equity.synthetic.truth import load_truth

STUDY = "bcbsma_pay_for_equity"


def test_nothing_is_planted_where_the_scenario_says_so() -> None:
    study = load_study(STUDY)
    nothing, clean = load_truth(study, "nothing"), load_truth(study, "clean")
    assert not nothing.truth.effect
    assert nothing.truth.spending_effect.usd_pmpm == 0.0
    assert clean.truth.effect
    assert clean.truth.spending_effect.usd_pmpm != 0.0
    moved = []
    for found in streams_of(study).values():
        if found[0].kind != "proportion":
            continue
        sharing = tuple(m.id for m in found)
        assert not np.any(build_rates(study, nothing, found[0], sharing, 1).effect)
        moved.append(bool(np.any(build_rates(study, clean, found[0], sharing, 1).effect)))
    assert any(moved)


def test_a_scenarios_own_effects_stand_in_for_the_general_ones_there_alone() -> None:
    study = load_study(STUDY)
    down, clean = load_truth(study, "leveling_down").truth.effect, load_truth(study, "clean").truth.effect
    assert {e.scenario for e in clean} == {None}
    assert clean == load_truth(study, "default").truth.effect
    assert {e.measure for e in down} == set(study.measure_sets.contracted)
    for effect in down:
        assert effect.points[str(study.groups.reference)] == -8.1
        assert [effect.points[g] for g in study.groups.compared] == [-3.9] * len(study.groups.compared)
