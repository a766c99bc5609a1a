"""The scenario in which no contract has an effect: the truth says so, and the rates of both arms stay as they are."""

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
