"""Size and power of the primary decision and of the other methods over the grid, beside what any test could find.

The tables are decision.csv and decision_bound.csv.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from decision_grid import Setting, averaged_p, draws, grid, knapp_hartung_p, oracle_p, permutation_p
from p4equity.inference.permutation import permutation_test
from p4equity.inference.random_effects import meta_regression
from power_bound import power_bounds

BOUND = Path(__file__).with_name("decision_bound.csv")
TABLE = Path(__file__).with_name("decision.csv")
SEED = 20261123
MANY, FEWER = 10_000, 2_000  # draws behind the size of the primary test; behind everything else
EFFECT = 2.8  # standard errors of the oracle: it finds such an effect in 80% of draws
LEVEL = 0.05
ALLOWED = 0.055  # size that the bound grants to a test in every setting
SETTING = ["systems", "treated", "which", "shock", "tails", "growing", "stated", "effect_sd"]


def rates(job: tuple[Setting, int]) -> list[dict[str, object]]:
    """Rows of one setting: rejections without and with an effect, by method."""
    setting, number = job
    null = draws(setting, MANY, SEED + number)
    part = draws(setting, FEWER, SEED + 10_000 + number)
    moved = part.moved(EFFECT)
    tests = {
        "averaged_t": lambda d: averaged_p(d.y, d.arm, d.v),
        "averaged_t_varying": lambda d: averaged_p(d.y, d.arm, d.v, varying=True),
        "knapp_hartung": knapp_hartung_p,
        "permutation": permutation_p,
    }
    oracle = float((oracle_p(moved) <= LEVEL).mean())
    out = []
    for method, test in tests.items():
        sample = null if method == "averaged_t" else part
        size, power = (float((test(d) <= LEVEL).mean()) for d in (sample, moved))
        row = {"method": method, "draws": len(sample.y), "rejected": size, "power": power, "oracle_power": oracle}
        out.append({**asdict(setting), **row})
    return out


@pytest.mark.slow
def test_size_and_power_over_the_grid() -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        parts = pool.map(rates, [(s, i) for i, s in enumerate(grid())])
        table = pd.DataFrame([row for part in parts for row in part])
    table.round(4).to_csv(TABLE, index=False, lineterminator="\n")
    judge(table)


def bounded(base: tuple[int, int, str]) -> list[Setting]:
    """Settings of one design whose likelihood can be written down and whose effects are constant, and others between them."""
    listed = [s for s in grid() if (s.systems, s.treated, s.which) == base and s.tails == "normal" and not s.effect_sd]
    between = [Setting(*base, shock) for shock in (0.375, 1.1)] + [Setting(*base, 0.75, growing=True)]
    return listed + between + [Setting(*base, 1.5, stated=x) for x in (0.5, 2.0)]


def bounds(job: tuple[tuple[int, int, str], int]) -> list[dict[str, object]]:
    """Rows of one design: the largest power of any test, setting by setting."""
    base, number = job
    settings = bounded(base)
    found = power_bounds(settings, ALLOWED, EFFECT, 6000, SEED + 100_000 * (number + 1))
    return [{**asdict(s), "bound": x} for s, x in zip(settings, found, strict=True)]


@pytest.mark.slow
def test_what_any_test_could_find() -> None:
    bases = sorted({(s.systems, s.treated, s.which) for s in grid() if s.treated >= 3})
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        table = pd.DataFrame([row for part in pool.map(bounds, [(b, i) for i, b in enumerate(bases)]) for row in part])
    table.round(4).to_csv(BOUND, index=False, lineterminator="\n")
    compare_with_bound(pd.read_csv(TABLE), table)


def compare_with_bound(table: pd.DataFrame, bound: pd.DataFrame) -> None:
    """No method may beat the bound beyond Monte Carlo error (else the bound is wrong); ours finds most of what can be found."""
    both = table.merge(bound, on=SETTING)
    assert len(both) == 4 * 9 * 12
    worst = both.groupby(["systems", "treated", "which", "method"])["rejected"].transform("max")
    fair = both[worst <= ALLOWED]  # elsewhere a method buys its power here with rejections of true nulls there
    assert len(fair) >= 100
    assert (fair["power"] <= fair["bound"] + 0.035).all(), fair.assign(over=fair["power"] - fair["bound"]).nlargest(5, "over")
    own = both[both["method"] == "averaged_t"]
    assert (own["power"] / own["bound"]).mean() >= 0.88
    out_of_reach = own[(own["treated"] == 3) & (own["which"] == "largest") & (own["bound"] < 0.85 * own["oracle_power"])]
    assert len(out_of_reach) >= 1  # DECISIONS.md says so


def judge(table: pd.DataFrame) -> None:
    """The bars as they are met, with the exceptions that DECISIONS.md names; Monte Carlo error of a size is 0.002."""
    own = table[(table["method"] == "averaged_t") & (table["treated"] >= 3)]
    constant = own[own["effect_sd"] == 0]
    steady = constant[~constant["growing"]]
    assert (steady["rejected"] <= 0.06).all(), steady.nlargest(5, "rejected")
    assert (constant["rejected"] <= 0.055).mean() >= 0.9
    assert constant["rejected"].mean() <= 0.05
    five = constant[constant["treated"] == 5]
    assert (five["rejected"] <= 0.06).all(), five.nlargest(5, "rejected")
    assert (five["rejected"] >= 0.03).all(), five.nsmallest(5, "rejected")
    assert (five["power"] / five["oracle_power"]).mean() >= 0.85
    varying = table[(table["method"] == "averaged_t_varying") & (table["treated"] >= 3)]
    assert (varying["rejected"] <= 0.065).mean() >= 0.9, varying.nlargest(9, "rejected")


def test_the_committed_tables_are_of_this_grid_and_hold() -> None:
    table = pd.read_csv(TABLE)
    settings = table[SETTING].drop_duplicates()
    expected = pd.DataFrame([asdict(s) for s in grid()])
    assert len(settings) == len(expected) == len(settings.merge(expected))
    assert (table.loc[table["method"] == "averaged_t", "draws"] >= MANY).all()
    judge(table)
    compare_with_bound(table, pd.read_csv(BOUND))


def test_the_bound_is_the_best_test_where_that_is_known() -> None:
    """With one setting that is certain, the best test is the oracle's, and no other can pass it."""
    setting = Setting(12, 5, "mixed", 0.75)
    found = power_bounds([setting], LEVEL, EFFECT, 20_000, 5)
    oracle = float((oracle_p(draws(setting, 20_000, 8).moved(EFFECT)) <= LEVEL).mean())
    assert float(found[0]) == pytest.approx(oracle, abs=0.015)
    among = power_bounds([setting, replace(setting, shock=2.5)], LEVEL, EFFECT, 4000, 5)
    assert among[0] <= found[0] + 0.02


@pytest.mark.parametrize(
    "setting", [Setting(12, 5, "mixed", 1.5), Setting(12, 2, "largest", 0.75), Setting(20, 3, "smallest", 0.0)]
)
def test_the_fast_methods_are_the_ones_that_answer(setting: Setting) -> None:
    few = draws(setting, 12, 7)
    hartung = [
        meta_regression(y, a, v, truncate=setting.treated < 3).p_value for y, a, v in zip(few.y, few.arm, few.v, strict=True)
    ]
    np.testing.assert_allclose(knapp_hartung_p(few), hartung, atol=1e-7)
    if setting.systems == 12:
        shuffled = [permutation_test(y, a, v).p_value for y, a, v in zip(few.y, few.arm, few.v, strict=True)]
        np.testing.assert_allclose(permutation_p(few), shuffled, atol=1e-9)


def test_draws_have_the_variance_they_say() -> None:
    for setting in (
        Setting(12, 5, "mixed", 1.5),
        Setting(12, 3, "largest", 1.5, "t3"),
        Setting(12, 3, "smallest", 1.5, growing=True),
    ):
        found = draws(setting, 40_000, 3)
        ratio = found.y**2 / found.truth
        assert float(ratio.mean()) == pytest.approx(1.0, abs=0.03)
