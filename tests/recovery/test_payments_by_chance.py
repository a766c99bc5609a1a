"""Payments when nothing is there to pay for: over 20 seeds, what formulas pay is what they are said to pay by chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from candidate_cells import candidate_cells
from p4equity.evaluation.context import Context
from p4equity.study import Study, load_study
from p4equity.summaries.payment_formulas import payment_formula_tables
from p4equity.synthetic.cell_draws import CellSampler
from simulation import STUDY

SEEDS = 20
FORMULAS = ("unguarded", "shrunken", "variance", "worst_group")


def standing_still(study: Study) -> Study:
    """Nothing but sampling error and shocks common to all groups moves a rate, and no gate on all members stops a payment."""
    assert study.payment is not None
    calm = {"shock_sd": 0.0, "trend": 0.0, "covid_dip": {}}
    still = {k: replace(m, synthetic={**m.synthetic, **calm}) for k, m in study.measures.items()}
    kept = tuple(f for f in study.payment.formula if f.id in FORMULAS)
    assert len(kept) == len(FORMULAS)
    payment = study.payment.model_copy(update={"draws": 200, "gate_margin": -50.0, "narrowing": (0.0,), "formula": kept})
    return replace(study, measures=still, payment=payment)


def test_with_no_true_change_formulas_pay_what_chance_is_said_to_earn() -> None:
    study = standing_still(load_study(STUDY))
    cells, overlap = candidate_cells(study, 0.25)
    found = []
    for seed in range(SEEDS):
        sampler = CellSampler(study, cells, overlap, scenario="nothing", seed=seed)
        context = Context(study, *sampler.draw(np.random.default_rng(seed)), "", "")
        table, _ = payment_formula_tables(context)
        found.append(table[table["system_id"] == "all"].assign(seed=seed))
    every = pd.concat(found)
    for formula, own in every.groupby("formula_id"):
        paid, error = own["score"].mean(), own["score"].sem()
        assert own["by_simulation"].mean() == pytest.approx(paid, abs=3 * error), formula
        assert paid > 0.02, formula  # noise is paid for, whatever the formula
        # Other systems of this study are smaller, and noise pays small systems more: no less than the contracted ones.
        assert own["by_permutation"].mean() > paid - 3 * error, formula
    chance = every.groupby("formula_id")["by_simulation"].mean()
    assert chance["shrunken"] < 0.75 * chance["default"]  # shrinkage leaves the less to chance
    assert chance["default"] < chance["unguarded"]
