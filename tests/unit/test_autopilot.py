"""The choice of inference for each configuration, and why."""

from __future__ import annotations

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.estimators import ESTIMATORS
from p4equity.inference.autopilot import Design, choose, effective_clusters

CHANGES = ("knapp_hartung", "averaged_t", "averaged_t_varying", "permutation", "none")
REGRESSION = ("cr2", "cr0", "cr1", "cr3", "wild_bootstrap", "permutation", "conley_taber", "ferman_pinto", "none")
INFLUENCE = ("analytical", "multiplier_bootstrap", "cr1", "none")
PLACEBO = ("placebo", "placebo_rank", "jackknife", "none")

# clusters, treated, effective, cohorts, what the estimator offers -> methods, part of the reason
TABLE = [
    (12, 5, 6.0, 1, CHANGES, ("averaged_t", "knapp_hartung", "permutation", "averaged_t_varying"), "holds its level best"),
    (12, 3, 6.0, 1, CHANGES, ("averaged_t", "knapp_hartung", "permutation", "averaged_t_varying"), "3 treated and 9"),
    (9, 2, 6.0, 1, CHANGES, ("permutation", "averaged_t", "knapp_hartung"), "no method holds its level"),
    (8, 1, 6.0, 1, CHANGES, ("permutation", "averaged_t", "knapp_hartung"), "1 treated and 7"),
    (12, 10, 9.0, 1, CHANGES, ("permutation", "averaged_t", "knapp_hartung"), "10 treated and 2"),
    (20, 5, 15.0, 1, REGRESSION, ("cr2", "wild_bootstrap", "cr3"), "Satterthwaite"),
    (20, 5, 15.0, 3, REGRESSION, ("cr2", "wild_bootstrap", "cr3"), "weighs them unequally"),
    (20, 2, 18.0, 1, REGRESSION, ("conley_taber", "ferman_pinto", "permutation"), "similar size"),
    (20, 1, 6.0, 1, REGRESSION, ("ferman_pinto", "conley_taber", "permutation"), "unequal size"),
    (20, 5, 15.0, 2, INFLUENCE, ("cr1", "multiplier_bootstrap", "analytical"), "fewer than 50"),
    (500, 191, 400.0, 3, INFLUENCE, ("analytical", "multiplier_bootstrap"), "large-sample"),
    (20, 1, 15.0, 1, INFLUENCE, ("none",), "estimate stands alone"),
    (39, 1, 39.0, 1, PLACEBO, ("placebo_rank", "placebo", "jackknife"), "rank among placebos"),
    (30, 8, 30.0, 1, PLACEBO, ("placebo", "jackknife", "placebo_rank"), "jackknife"),
]  # fmt: skip


@pytest.mark.parametrize(("clusters", "treated", "effective", "cohorts", "offered", "methods", "why"), TABLE)
def test_the_choice_of_each_configuration(
    clusters: int, treated: int, effective: float, cohorts: int, offered: tuple[str, ...], methods: tuple[str, ...], why: str
) -> None:
    found = choose(Design(clusters, treated, effective, cohorts), offered)
    assert found.methods == methods
    assert why in found.why


def test_effective_number_of_clusters() -> None:
    assert effective_clusters(np.ones(7)) == pytest.approx(7)
    assert effective_clusters(np.array([8.0, 1.0, 1.0])) == pytest.approx(100 / 66)


def panel(systems: int, treated: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = [(u, t, rng.normal(), 1.0 + u, 2023.0 if u < treated else np.nan) for u in range(systems) for t in range(2020, 2025)]
    return pd.DataFrame(rows, columns=["unit", "time", "y", "se", "cohort"])


@pytest.mark.parametrize(("treated", "first"), [(5, "averaged_t"), (2, "permutation")])
def test_auto_prints_the_primary_first_then_the_checks_and_says_why(treated: int, first: str) -> None:
    given = {"outcome": "y", "unit": "unit", "time": "time", "cohort": "cohort", "sampling_se": "se", "inference": "auto"}
    found = p4equity.fit("meta_regression", panel(12, treated), **given)
    printed = list(dict.fromkeys(found["inference"]))
    assert printed[0] == first
    assert {"knapp_hartung", "permutation", "averaged_t"} <= set(printed)
    assert found.attrs["warnings"][0].startswith(f"auto: {first} is primary; beside it")
    assert f"{treated} treated" in found.attrs["warnings"][0]
    named = p4equity.fit("meta_regression", panel(12, treated), **{**given, "inference": printed})
    pd.testing.assert_frame_equal(found, named)


@pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - {"meta_regression", "triple_difference"}))
def test_auto_serves_every_estimator(name: str) -> None:
    data = panel(14, 6).drop(columns="se")
    found = p4equity.fit(name, data, outcome="y", unit="unit", time="time", cohort="cohort", inference="auto")
    assert found.attrs["warnings"][0].startswith("auto: ")
    assert (found["status"] == "ok").any()
