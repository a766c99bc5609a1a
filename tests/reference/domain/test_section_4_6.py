"""Every figure of section 4.6: how often each method rejects with 12 systems, its power, and the smallest attainable p.

The simulation, in the reading that gives the printed figures: twelve adult systems, five treated; the gap of Black members in CBP
with the sampling errors of `sizes` (AR(1) in 0.7 x 0.35), years 0 to 3 before and 4 to 6 after; shocks of SD tau, AR(1) with
0.5, shared by nobody. A system's change is mean(post) - mean(pre). Methods, by the package's own functions:
- members or practices as clusters: difference weighted by 1 / sampling variance over the error that sampling alone gives, normal;
- system clusters: CR1 with the factor G / (G - 1), normal or t(G - 1), weighted by 1 / sampling variance or not at all;
- permutation: the precision-weighted difference over all 792 assignments;
- meta-regression: DerSimonian-Laird or Paule-Mandel (the same here to 0.01), Knapp-Hartung scale held at 1 or more, t(G - 2):
  the scale left free rejects 5 to 6% at every tau.

Tolerance: three standard errors of the difference between two simulations of 2,000 draws, and the rounding of what is printed
(column `tolerance`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from p4equity.disparity.precision import change_factor
from p4equity.inference.batch import knapp_hartung, permutation, weighted_difference
from p4equity.inference.cluster_robust import contrast_test
from p4equity.inference.moments import cluster_moments
from p4equity.inference.permutation import Assignments, attainable_p, count_assignments, enumerate_assignments
from p4equity.inference.permutation_statistics import raw_law
from scipy import stats
from sizes import ADULT, SHOCK_CORRELATION, correlation, yearly_variance

PRINTED = pd.read_csv(Path(__file__).with_name("section_4_6.csv"))
DRAWS = 2_000
PRE, POST = (0, 1, 2, 3), (4, 5, 6)
TREATED = (ADULT["arm"] == "participating").to_numpy()
SAMPLING = yearly_variance("CBP", "Black") * change_factor(PRE, POST, correlation("CBP"))
EVERY = Assignments(enumerate_assignments(TREATED, np.zeros(12, np.int64)), 792, False)


@cache
def changes(tau: float) -> np.ndarray:
    """(DRAWS, 12) changes without an effect, from yearly gaps, points."""
    rng = np.random.default_rng([46, int(100 * tau)])
    years = np.arange(7)
    contrast = np.r_[np.full(4, -1 / 4), np.full(3, 1 / 3)]
    drawn = 0.0
    scales = (np.sqrt(yearly_variance("CBP", "Black")), np.full(12, tau))
    for scale, rho in zip(scales, (correlation("CBP"), SHOCK_CORRELATION), strict=True):
        root = np.linalg.cholesky(rho ** np.abs(np.subtract.outer(years, years)))
        drawn = drawn + scale[:, None] * (rng.standard_normal((DRAWS, 12, 7)) @ root.T)
    return drawn @ contrast


def clustered(y: np.ndarray, weights: np.ndarray, reference: str) -> np.ndarray:
    """p values of the difference between arms, clusters = systems, G / (G - 1)."""
    X = np.column_stack([np.ones(12), TREATED])
    found = cluster_moments(X, y.T, list(ADULT.index), weights=weights)
    tests = [contrast_test(m, np.array([0.0, 1.0]), kind="CR1", ssc="none") for m in found]
    if reference == "t":
        return np.array([t.p_value for t in tests])
    return 2 * stats.norm.sf([abs(t.statistic) for t in tests])


def p_values(method: str, y: np.ndarray) -> np.ndarray:
    """(DRAWS,) two-sided p values of one method of the table."""
    if method == "members as clusters":
        difference, _, variance, _ = weighted_difference(y, 1 / SAMPLING, TREATED)
        return 2 * stats.norm.sf(np.abs(difference) / np.sqrt(variance))
    if method.startswith("system clusters"):
        return clustered(y, 1 / SAMPLING, method.split(", ")[1])
    if method == "unweighted, system clusters, t":
        return clustered(y, np.ones(12), "t")
    if method == "permutation":
        return np.array([raw_law(EVERY, row, TREATED, 1 / SAMPLING).p_value() for row in y])
    if method == "meta-regression":
        return knapp_hartung(y, TREATED, SAMPLING, method="DL", truncate=True)[1]
    raise AssertionError(method)


def check(row: dict, share: float) -> None:
    """Compare a simulated share with the printed one, both of DRAWS draws."""
    middle = (share + row["printed"]) / 2
    allowed = 3 * np.sqrt(2 * middle * (1 - middle) / DRAWS) + row["tolerance"]
    assert abs(share - row["printed"]) <= allowed, (row["row"], row["column"], share, row["printed"], allowed)


SIZES = PRINTED[PRINTED["table"] == "rejection without an effect"].to_dict("records")
POWERS = PRINTED[PRINTED["table"].str.startswith("power")].to_dict("records")
SMALLEST = PRINTED[PRINTED["table"] == "smallest p"].to_dict("records")


@pytest.mark.parametrize("row", SIZES, ids=lambda r: f"{r['row']}, {r['column']}")
def test_rejection_without_an_effect(row: dict) -> None:
    p = p_values(row["row"], changes(float(row["column"].removeprefix("tau "))))
    check(row, float((p <= 0.05).mean()))


@pytest.mark.parametrize("row", POWERS, ids=lambda r: f"{r['table']}, {r['row']}, {r['column']}")
def test_power(row: dict) -> None:
    narrowing = float(row["table"].split()[-1])
    y = changes(float(row["column"].removeprefix("tau "))) - narrowing * TREATED
    check(row, float((p_values(row["row"], y) <= 0.05).mean()))


@pytest.mark.parametrize("row", SMALLEST, ids=lambda r: f"{r['row']}, {r['column']}")
def test_smallest_p(row: dict) -> None:
    arm = np.arange(12) < int(row["row"].split()[0])
    one_stratum = np.zeros(12, np.int64)
    table = enumerate_assignments(arm, one_stratum).astype(float)
    found = {"assignments": count_assignments(arm, one_stratum), "p": attainable_p(table)}[row["column"]]
    assert found == pytest.approx(row["printed"], abs=row["tolerance"])


def test_the_registered_permutation_holds_its_level() -> None:
    """Standardized by random-effects weights fitted under the null, as registered: 5% within three errors at every tau."""
    for tau in (0.0, 0.75, 1.5, 2.5):
        p = permutation(changes(tau), TREATED, SAMPLING, EVERY.table)[1]
        assert (p <= 0.05).mean() == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / DRAWS))


def test_no_figure_is_left_out() -> None:
    """Six methods x four shocks, eight powers, four smallest p with their assignments."""
    assert len(PRINTED) == 24 + 8 + 8
