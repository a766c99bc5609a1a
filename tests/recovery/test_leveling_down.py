"""Pronounced leveling down is called that, over 20 seeds; and what the registered rule for verdicts gains and gives away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_cells import made_cells
from p4equity.disparity.leveling import CANNOT_TELL, LEVELING_DOWN
from p4equity.estimates import estimates_table
from p4equity.evaluation.context import Context
from p4equity.evaluation.leveling import POOLED, rows
from p4equity.exhibits.leveling_answers import judged, leveled
from p4equity.study import load_study
from p4equity.synthetic import simulate as write_extract
from p4equity.synthetic.cell_draws import CellSampler
from scipy import stats
from simulation import STUDY, Setting
from verdict_rules import POINTS, RULES, TABLE, kinds, one_by_one, table, true_kinds

SEEDS, DRAWS, MARGIN = 20, 2_000, 0.5
POWER = 0.8  # a rule that finds it this often finds it in 13 of 20 seeds at least, but for one suite in a hundred


def test_leveling_down_over_all_measures_is_found_over_20_seeds() -> None:
    """Lasting gaps and shocks anew with each seed."""
    study = load_study(STUDY)
    assert study.leveling is not None
    cells, said, asked = made_cells(study), [], study.analysis("leveling")
    for seed in range(SEEDS):
        sampler = CellSampler(study, *cells, scenario="leveling_down", seed=seed)
        context = Context(study, *sampler.draw(np.random.default_rng([8, seed])), "", "")
        found = leveled(estimates_table(rows(context, asked, POOLED)), study, POOLED, POOLED)
        assert found is not None
        said.append(judged(found, study.leveling.margin).kind)
    assert set(said) <= {LEVELING_DOWN, CANNOT_TELL}
    assert said.count(LEVELING_DOWN) >= stats.binom.ppf(0.01, SEEDS, POWER)


def test_the_committed_rules_err_as_rarely_as_they_say() -> None:
    """Shares of 2,000 draws, three Monte Carlo errors. The slow test below writes the table."""
    found = pd.read_csv(TABLE).set_index(["question", "rule"])
    assert (found["draws"] == DRAWS).all()
    error = 3 * np.sqrt(0.05 * 0.95 / DRAWS)
    for rule in ("simultaneous", "one_sided", "each"):
        own = found.xs(rule, level="rule")
        assert (own["wrong_at_worst"] <= 0.05 + error).all(), rule
        assert (own["announced_with_nothing"] <= 0.05 + error).all(), rule
    pooled = found.loc["pooled"]
    assert pooled.loc["simultaneous", "leveling_down"] >= POWER
    # Where the group's true effect is none and the margin half a point, no rule finds the default's plant, not even at 10%.
    default = found.loc["COL_50_75", "default"]
    assert default["simultaneous"] < default["each"] < default["each_90"] < 0.15
    # Narrower intervals find more of all else, whatever the question.
    for question, own in found.groupby(level="question"):
        power = own.loc[question, "leveling_down"]
        assert power["simultaneous"] <= power["one_sided"] <= power["each"] <= power["each_90"]


@pytest.mark.slow
def test_what_each_rule_finds_and_how_often_it_errs(tmp_path: Path) -> None:
    from p4equity.cli.stages import write_tier_b

    study = load_study(STUDY)
    write_extract(study, tmp_path / "x")
    write_tier_b(STUDY, tmp_path / "x", tmp_path / "cells", 1)
    table(Setting(tmp_path / "cells", "nothing"), study, DRAWS).to_csv(TABLE, index=False, lineterminator="\n")
    test_the_committed_rules_err_as_rarely_as_they_say()


def test_the_simulations_verdicts_are_the_packages() -> None:
    rng = np.random.default_rng(1)
    centre = rng.normal(0, 2, (400, 2))
    middle = np.column_stack([centre, centre[:, 0] - centre[:, 1]])
    limits = middle[:, :, None] + rng.uniform(0.05, 1.5, (400, 3, 1)) * np.array([-1.0, 1.0])
    for effects in POINTS.values():
        assert kinds(limits, effects, MARGIN).tolist() == one_by_one(limits, effects, MARGIN)
    assert len(set(kinds(limits, (0.0, 0.0), MARGIN))) >= 6
    assert list(RULES.values()) == sorted(RULES.values(), reverse=True)


def test_which_verdicts_are_right() -> None:
    assert true_kinds((-4.0, 0.0), MARGIN) == {LEVELING_DOWN, CANNOT_TELL}
    assert true_kinds((0.0, 0.0), MARGIN) == {CANNOT_TELL}
    assert true_kinds((-0.2, 3.0), MARGIN) == {"leveling up", CANNOT_TELL}
    assert true_kinds((3.0, 2.9), MARGIN) == {"outpaced", "equal lift", CANNOT_TELL}
    assert true_kinds((-1.0, -4.0), MARGIN) == {"group loses", CANNOT_TELL}
