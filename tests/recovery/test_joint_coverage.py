"""Bounds of both sides of a gap hold together, and their region holds both, with five, three and two treated systems."""

from __future__ import annotations

import pandas as pd
import pytest
from joint_coverage import TABLE, coverage
from p4equity.inference.averaged_t import single_design
from p4equity.inference.two_sides import two_sides


def test_the_committed_table_meets_the_bars() -> None:
    """4,000 draws a setting, Monte Carlo error 0.0035; Three bounds: 94% at least; region: 93% (2 treated) or 94%."""
    table = pd.read_csv(TABLE)
    assert len(table) == 36
    assert (table["draws"] >= 4_000).all()
    assert (table["together"] >= 0.94).all()
    assert table["together"].mean() >= 0.95
    assert (table.loc[table["treated"] > 2, "region"] >= 0.935).all()
    assert (table["region"] >= 0.92).all()


@pytest.mark.parametrize("setting", [(3, 7, "mixed", 1.0, 0.5), (2, 7, "smallest", 0.0, 0.0)])
def test_a_setting_drawn_anew_agrees_with_the_table(setting: tuple[int, int, str, float, float]) -> None:
    found = coverage(*setting, draws=500)
    keys = ["treated", "comparison", "which", "level_sd", "gap_sd"]
    row = pd.read_csv(TABLE).set_index(keys).loc[setting]
    for name in ("together", "region"):
        assert found[name] == pytest.approx(row[name], abs=0.036)  # three errors of 500 draws


def test_many_draws_at_once_give_what_one_gives() -> None:
    """The simulation's arithmetic against `two_sides` on the same draw."""
    import numpy as np

    rng = np.random.default_rng(4)
    arm, v = np.arange(9) < 3, np.exp(rng.standard_normal(9))
    y = rng.standard_normal((2, 9))
    design = single_design(v, arm)
    one = two_sides(design, y[0], y[1])
    weights = design.mixture((y[0] - y[1])[None]).weights
    for k, outcome in enumerate((y[0], y[1], y[0] - y[1])):
        errors = np.sqrt(design._squares(outcome[None]) / design.residual * design.unit)
        np.testing.assert_allclose(one.laws[k].errors, errors, rtol=1e-9)
        np.testing.assert_allclose(one.laws[k].weights, weights)
