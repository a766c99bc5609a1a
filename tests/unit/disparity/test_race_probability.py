"""Weighted rates, regression on probabilities and their errors: by hand, against member rows, and in repeated samples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from calibrated_race import MIX, RATES, members
from p4equity.disparity.changes import gap_changes
from p4equity.disparity.panel import build_panel
from p4equity.disparity.race_drift import drift, observed_share, spurious_difference, spurious_drift
from p4equity.disparity.race_levels import added, mean_gap, together
from p4equity.disparity.race_panel import probability_panel, self_report_panel
from p4equity.disparity.race_probability import (
    RaceSums,
    gap_and_error,
    linear_rates,
    linear_spread,
    squared_correlation,
    sums_of,
    weighted_rates,
    weighted_spread,
)

GROUPS = ("g0", "g1", "g2", "g3", "g4")
YEARS = (2020, 2021, 2022)


def test_by_hand() -> None:
    """Four members; p of the first group 1, 1/2, 1/2, 0; results 1, 1, 0, 0."""
    p = np.array([[1, 0], [0.5, 0.5], [0.5, 0.5], [0, 1]])
    sums = sums_of(p, np.array([1.0, 1, 0, 0]))
    assert sums.p.tolist() == [2, 2]
    assert sums.p_p.tolist() == [[1.5, 0.5], [0.5, 1.5]]
    assert weighted_rates(sums).tolist() == [0.75, 0.25]  # 1.5 / 2, 0.5 / 2
    # 1.5 a + 0.5 b = 1.5 and 0.5 a + 1.5 b = 0.5
    assert linear_rates(sums) == pytest.approx([1.0, 0.0])
    # The weighted gap is corr^2 of the regression's: var(p) = 1.5 / 4 - 1 / 4 = 1/8, over 1/4.
    assert squared_correlation(sums) == pytest.approx([0.5, 0.5])
    # Results of variance 0.1875: (1.5 + 1.5 - 2 x 0.5) / 4 x 0.1875.
    gap, error = gap_and_error(weighted_rates(sums), weighted_spread(sums), 0, 1)
    assert (float(gap), float(error) ** 2) == pytest.approx((0.5, 0.09375))


def test_classes_are_probabilities_of_zero_and_one() -> None:
    y = np.array([1.0, 0, 1, 1, 0, 1])
    sums = sums_of(np.eye(2)[[0, 0, 0, 1, 1, 1]], y)
    assert weighted_rates(sums) == pytest.approx([2 / 3, 2 / 3])
    assert linear_rates(sums) == pytest.approx([2 / 3, 2 / 3])
    assert linear_spread(sums) == pytest.approx(np.eye(2) / 3)
    assert weighted_spread(sums) == pytest.approx(np.eye(2) / 3)


def test_groups_that_cannot_be_told_apart_have_no_regression() -> None:
    same = sums_of(np.full((5, 2), 0.5), np.array([1.0, 0, 1, 0, 0]))
    assert np.isnan(linear_rates(same)).all()
    # A group of which no member has a probability is without a rate, and the others keep theirs.
    p = np.array([[1, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0], [0, 1, 0]])
    assert linear_rates(sums_of(p, np.array([1.0, 1, 0, 0]))) == pytest.approx([1.0, 0.0, np.nan], nan_ok=True)
    none = RaceSums(np.zeros(2), np.zeros(2), np.zeros((2, 2)))
    assert np.isnan(weighted_rates(none)).all()
    assert np.isnan(linear_rates(none)).all()


def test_regression_from_sums_is_that_on_member_rows() -> None:
    rng = np.random.default_rng(5)
    found = members(3_000, 2.2, rng)
    y = found.results(RATES, 0.5, rng)
    sums, fit = sums_of(found.p, y), sm.OLS(y, found.p).fit()
    assert linear_rates(sums) == pytest.approx(fit.params, abs=1e-9)
    assert linear_spread(sums) == pytest.approx(fit.normalized_cov_params, rel=1e-6)
    # Robust errors, which need member rows, differ from the stated ones by a few percent.
    _, stated = gap_and_error(linear_rates(sums), linear_spread(sums), 0, 1)
    contrast = np.array([1.0, -1, 0, 0, 0])
    assert stated == pytest.approx(float(np.sqrt(contrast @ fit.get_robustcov_results("HC0").cov_params() @ contrast)), rel=0.06)


def _systems(count: int, size: int, seed: int) -> dict[str, pd.DataFrame]:
    """Cells of many small systems whose members stay from year to year (70%) with results that persist (0.5), and their sums."""
    rng, cells, overlap, sums, reports = np.random.default_rng(seed), [], [], [], []
    for s in range(count):
        found, n = members(size, 2.6, rng), size
        rate = found.results(RATES, 1.0, None)
        there = rng.random((n, len(YEARS))) < 0.8
        u = rng.random((n, 1)) * np.ones((1, len(YEARS)))
        u = np.where(rng.random(u.shape) < 0.5, u, rng.random(u.shape))
        y = (u < rate[:, None]) & there
        said = rng.random(n) < 0.4
        key = {"map": "baseline", "race_version": "frozen", "system_id": f"S{s}"}
        for t, year in enumerate(YEARS):
            for g, name in enumerate(GROUPS):
                own = found.group == g
                cells.append({**key, "measure_id": "M", "group": name, "year": year, "den": (there[:, t] & own).sum(),
                              "num": (y[:, t] & own).sum(), "with_reading": np.nan})  # fmt: skip
                for h, other in enumerate(GROUPS[g:], g):
                    pair = {**key, "measure_id": "M", "year": year, "group_1": name, "group_2": other}
                    for rows, at in ((sums, there[:, t]), (reports, there[:, t] & said)):
                        p = found.p[at]
                        row = {**pair, "p_p": 1e12 * p[:, g] @ p[:, h]}
                        if g == h:
                            row |= {"p": 1e6 * p[:, g].sum(), "p_num": 1e6 * p[:, g] @ y[at, t]}
                            row |= {"den": (at & own).sum(), "num": (at & own & y[:, t]).sum()}
                        rows.append(row)
                for v in range(t, len(YEARS)):
                    both, a, b = there[:, t] & there[:, v] & own, y[:, t], y[:, v]
                    overlap.append({**key, "group": name, "measure_1": "M", "year_1": year, "measure_2": "M", "year_2": YEARS[v],
                                    "den_den": both.sum(), "num_den": (both & a).sum(), "den_num": (both & b).sum(),
                                    "num_num": (both & a & b).sum()})  # fmt: skip
    names = ("cell", "overlap", "probability", "reports")
    return dict(zip(names, map(pd.DataFrame, (cells, overlap, sums, reports)), strict=True))


@pytest.fixture(scope="module")
def simulated() -> dict[str, pd.DataFrame]:
    return _systems(240, 1_500, 7)


@pytest.mark.parametrize("method", ["classes", "weighted", "linear", "self_report"])
def test_stated_errors_of_levels_and_changes_are_those_of_repeated_samples(
    simulated: dict[str, pd.DataFrame], method: str
) -> None:
    """240 systems are 240 samples: spread of gaps against the mean stated variance, within three errors of a variance (28%)."""
    systems = list(simulated["cell"]["system_id"].unique())
    base = build_panel(simulated["cell"], simulated["overlap"], measures=["M"], groups=GROUPS, systems=systems, years=YEARS)
    panel = base
    if method == "self_report":
        panel = self_report_panel(base, simulated["reports"])
    elif method != "classes":
        panel = probability_panel(base, simulated["probability"], GROUPS, method)
    windows = dict.fromkeys(systems, (YEARS[:2], YEARS[2:]))
    changes = gap_changes(panel, [("M", "g1"), ("M", "g2")], "g0", windows, systems, 1)
    for j in range(2):
        assert changes.gap[:, j].var() == pytest.approx(changes.gap_covariance[:, j, j].mean(), rel=0.28)
    covariance = np.cov(changes.gap.T)[0, 1] / np.sqrt(np.prod(changes.gap.var(axis=0)))
    stated = changes.gap_covariance[:, 0, 1].mean() / np.sqrt(np.prod([changes.gap_covariance[:, j, j].mean() for j in (0, 1)]))
    assert covariance == pytest.approx(stated, abs=0.2)
    level = panel.rate[:, panel.index("M", "g0")].mean(axis=1) - panel.rate[:, panel.index("M", "g1")].mean(axis=1)
    w = np.full(3, 1 / 3)
    total = panel.covariances("g0", "M", "M") + panel.covariances("g1", "M", "M")
    across = panel.between("g0", "g1", "M", "M")
    if across is not None:
        total = total - across - across.transpose(0, 2, 1)
    assert level.var() == pytest.approx(np.einsum("t,stu,u->s", w, total, w).mean(), rel=0.28)
    truth = {"weighted": squared_correlation(RaceSums(*_network(simulated)))[1]}.get(method, 1.0) * (RATES[0] - RATES[1])
    assert level.mean() == pytest.approx(truth, abs=0.012)


def _network(simulated: dict[str, pd.DataFrame]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    whole = added(simulated["probability"], list(simulated["cell"]["system_id"].unique()))
    own = whole[whole["group_1"] == whole["group_2"]].groupby("group_1")[["p", "p_num"]].sum().astype(float)
    products = whole.groupby(["group_1", "group_2"])["p_p"].sum().astype(float).unstack().to_numpy()
    products = np.where(np.isnan(products), products.T, products)
    return own["p"].to_numpy() / 1e6, own["p_num"].to_numpy() / 1e6, products / 1e12


def test_levels_of_all_systems_together(simulated: dict[str, pd.DataFrame]) -> None:
    systems = list(simulated["cell"]["system_id"].unique())
    base = together(
        build_panel(simulated["cell"], simulated["overlap"], measures=["M"], groups=GROUPS, systems=systems, years=YEARS), systems
    )
    sums = added(simulated["probability"], systems)
    found = {m: mean_gap(probability_panel(base, sums, GROUPS, m), "M", "g0", "g1", YEARS, 1) for m in ("weighted", "linear")}
    found["classes"] = mean_gap(base, "M", "g0", "g1", YEARS, 1)
    truth = RATES[0] - RATES[1]
    assert found["classes"][0] == pytest.approx(truth, abs=2 * found["classes"][1])
    assert found["linear"][0] == pytest.approx(truth, abs=2 * found["linear"][1])
    assert found["weighted"][0] < truth - 3 * found["weighted"][1]
    assert found["weighted"][1] < found["classes"][1] < found["linear"][1]
    assert found["weighted"][2] == pytest.approx(found["classes"][2], rel=0.01)


def test_drift_by_hand() -> None:
    assert observed_share(0.5, 0.6) == pytest.approx(0.8)
    assert observed_share(1.0, 0.1) == 1
    assert drift(10.0, 0.7, 0.8) == pytest.approx(1.0)
    assert spurious_drift(10.0, (0.7, 0.9), (0.7, 0.75)) == pytest.approx(1.5)
    assert spurious_difference(-4.0, 0.5, 0.75) == pytest.approx(1.0)


def test_the_mix_of_the_generator_is_that_of_the_notes() -> None:
    found = members(200_000, 2.6, np.random.default_rng(1))
    assert np.bincount(found.group) / 200_000 == pytest.approx(MIX, abs=0.003)
    assert found.p.mean(axis=0) == pytest.approx(MIX, abs=0.003)
    likely = (found.p[:, 1] > 0.4) & (found.p[:, 1] < 0.6)
    assert (found.group[likely] == 1).mean() == pytest.approx(found.p[likely, 1].mean(), abs=0.03)
