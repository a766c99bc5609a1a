"""Extended two-way regression against R's and Python's etwfe, members' regressions, statsmodels, and a case worked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import p4equity
import pandas as pd
import pytest
import statsmodels.api as sm
from p4equity.errors import DataError, UsageError

HERE = Path(__file__).parent
EXPECTED = pd.read_csv(HERE / "expected.csv")
# Estimates and errors over all, then by event time, of etwfe 0.1.4.
PYTHON: dict[tuple[str, bool], dict[int | None, tuple[float, float]]] = {
    ("not_yet", False): {None: (0.066202, 0.021951), 0: (0.042477, 0.017978), 3: (0.094934, 0.039898)},
    ("never", False): {None: (0.064893, 0.022763), -6: (0.018114, 0.046481), -2: (-0.011174, 0.016820), 2: (0.090265, 0.029422)},
    ("not_yet", True): {None: (0.074899, 0.015546), 0: (0.046625, 0.012777), 3: (0.101311, 0.028685)},
    ("never", True): {None: (0.075498, 0.01901), -5: (-0.038968, 0.019506), 1: (0.055213, 0.013845), 3: (0.106641, 0.042188)},
}  # fmt: skip
MEMBERS = {
    ("logit", False): (0.064837, 0.020528), ("logit", True): (0.061602, 0.012795),
    ("poisson", False): (0.052753, 0.027518), ("poisson", True): (0.055162, 0.020103),
}  # fmt: skip
PRACTICES: dict[str, Any] = {"outcome": "rate", "unit": "practice", "parent": "system", "time": "year", "cohort": "first_treat"}


def fit(frame: pd.DataFrame, **options: Any) -> pd.DataFrame:
    out = p4equity.fit("extended_twfe", frame, **{**PRACTICES, "comparison": "not_yet", **options})
    return out[out["interval"] == "pointwise"]


@pytest.fixture(scope="module")
def black() -> pd.DataFrame:
    frame = pd.read_csv(HERE.parent / "triple_difference" / "hs_common.csv")
    frame = frame[frame["race"] == "Black"].reset_index(drop=True)
    return frame.assign(first_treat=frame["first_treat"].where(frame["treated"] == 1))


@pytest.fixture(scope="module")
def staggered() -> pd.DataFrame:
    frame = pd.read_csv(HERE.parent / "interaction_weighted" / "staggered.csv")
    return frame[frame["race"] == "A"]


@pytest.mark.parametrize("covariate", [None, "medicaid_share"])
@pytest.mark.parametrize("kind", ["event", "group", "calendar"])
def test_practices_equal_r(black: pd.DataFrame, covariate: str | None, kind: str) -> None:
    """Without a covariate the reference has unit effects, with it cohort effects and slopes of cohorts and periods."""
    options = {"covariates": covariate} if covariate else {"effects": "unit"}
    out = fit(black, weights="n", aggregate=kind, **options)
    rows = EXPECTED[EXPECTED["spec"].str.contains("medicaid_share") == (covariate is not None)]
    rows = rows[rows["estimator"].isin([f"emfx/{kind}", "emfx/simple"])]
    assert len(rows) == len(out) == (2 if kind == "group" else 4)
    for i, (_, row) in enumerate(rows.iterrows()):
        mine = out.iloc[i]
        assert mine["estimate"] == pytest.approx(row["estimate"], abs=1e-7)
        assert mine["std_error"] == pytest.approx(row["se"], rel=1e-5)
        assert mine["p_value"] == pytest.approx(row["p"], rel=1e-3)
        assert mine["conf_low"] == pytest.approx(row["ci_low"], abs=1e-6)
        assert mine["conf_high"] == pytest.approx(row["ci_high"], abs=1e-6)
    key = {"event": ("event_time", [0, 1, 2]), "group": ("cohort", [2023]), "calendar": ("period", ["2023", "2024", "2025"])}[
        kind
    ]
    assert list(out[key[0]].iloc[1:]) == key[1]


# Known answers of the package's own tests, by county: estimates and errors, each kind in the order of its rows.
COUNTIES: dict[str, tuple[dict[str, Any], list[tuple[float, float]]]] = {
    "simple": ({}, [(-0.0506270331228907, 0.0124972546529842)]),
    "calendar": ({}, [
        (-0.0212480022225509, 0.0217240109737018), (-0.0818499992698648, 0.0273693827216135),
        (-0.0442655912990223, 0.0173733625406716), (-0.0524323095862384, 0.015015825012757),
    ]),
    "group": ({}, [
        (-0.0876269608795944, 0.0230474099815232), (-0.0212783329358987, 0.0185912208081438),
        (-0.0459545277368072, 0.0179714452432232),
    ]),
    "event": ({}, [
        (-0.0332122037837542, 0.0133659635774059), (-0.0573456479257483, 0.0171496442892364),
        (-0.137870386660852, 0.0307883597041053), (-0.10953945536511, 0.0323152785480507),
    ]),
    "never": ({"comparison": "never"}, [
        (0.0234649547538384, 0.0145314904277398), (-0.0211467366918433, 0.0113935648352396),
        (-0.0533558653415615, 0.0157744281621729), (-0.141080104628566, 0.0322891808795742),
        (-0.107544274673025, 0.0329231688783015),
    ]),
    "poisson": ({"family": "poisson", "outcome": "emp"}, [
        (-25.3497484355494, 15.8862762958862), (1.09175116997388, 40.2952222352926),
        (-75.1246321552693, 23.1541376499351), (-101.823979344829, 27.0877431076141),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("kind", COUNTIES)
def test_county_employment_equals_the_packages_own_answers(kind: str) -> None:
    wide = pd.read_csv(HERE.parent / "group_time" / "county_employment.csv")
    frame = wide.melt(id_vars=["countyreal", "first_treat", "lpop"], var_name="year", value_name="lemp")
    frame = frame.assign(year=frame["year"].str[4:].astype(int), emp=np.exp(frame["lemp"]))
    frame["first_treat"] = frame["first_treat"].where(frame["first_treat"] > 0)
    more, expected = COUNTIES[kind]
    options = {"outcome": "lemp", "unit": "countyreal", "parent": None, "covariates": "lpop", **more}
    out = fit(frame, aggregate=kind if kind in ("simple", "calendar", "group") else "event", **options)
    rows = out if kind == "simple" else out[out["estimand"] == "att"].iloc[1:]
    rows = rows[rows["event_time"] >= -2] if kind == "never" else rows  # the package's window
    assert len(rows) == len(expected)
    scale = np.abs([e for e, _ in expected]).max()
    for (_, row), (estimate, error) in zip(rows.iterrows(), expected, strict=True):
        assert row["estimate"] == pytest.approx(estimate, abs=1e-7 * scale)
        assert row["std_error"] == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize(("comparison", "covariate"), PYTHON)
def test_unbalanced_staggered_panel_equals_the_python_package(staggered: pd.DataFrame, comparison: str, covariate: bool) -> None:
    out = fit(staggered, comparison=comparison, covariates="x" if covariate else ())
    att = out[out["estimand"] == "att"]
    for event, (estimate, error) in PYTHON[comparison, covariate].items():
        mine = att.iloc[0] if event is None else att[att["event_time"] == event].iloc[0]
        assert mine["estimate"] == pytest.approx(estimate, abs=6e-7)
        assert mine["std_error"] == pytest.approx(error, abs=6e-7)
    assert (out["estimand"] == "pretrend").sum() == (comparison == "never")


@pytest.mark.parametrize(("family", "covariate"), MEMBERS)
def test_cells_give_the_members_logit_and_poisson(staggered: pd.DataFrame, family: str, covariate: bool) -> None:
    rest = staggered["n"] - staggered["y"]
    parts = [(1.0, staggered["y"]), (0.0, rest)]
    members = pd.concat([staggered.loc[staggered.index.repeat(n)].assign(rate=hit) for hit, n in parts])
    options: dict[str, Any] = {"family": family, "covariates": "x" if covariate else (), "aggregate": "simple"}
    own = fit(members, **options).iloc[0]
    estimate, error = MEMBERS[family, covariate]
    assert own["estimate"] == pytest.approx(estimate, abs=6e-7)
    assert own["std_error"] == pytest.approx(error, rel=1e-4)
    loose = {**options, "ssc": "none"}
    exact, cells = fit(members, **loose).iloc[0], fit(staggered, weights="n", average="weights", **loose).iloc[0]
    assert cells["estimate"] == pytest.approx(exact["estimate"], abs=1e-11)
    assert cells["std_error"] == pytest.approx(exact["std_error"], rel=1e-8)
    rows = fit(staggered, weights="n", **loose).iloc[0]  # each cell once, as emfx does: another average
    assert abs(rows["estimate"] - exact["estimate"]) > 1e-6


@pytest.mark.parametrize("family", ["logit", "poisson"])
def test_weighted_cells_equal_statsmodels(black: pd.DataFrame, family: str) -> None:
    out = fit(black, weights="n", covariates="medicaid_share", family=family, aggregate="simple").iloc[0]
    g, n = black["first_treat"].fillna(0).to_numpy(), black["n"].to_numpy(float)
    T = pd.get_dummies(black["year"], dtype=float).to_numpy()
    C = np.column_stack([g == 0, g > 0]).astype(float)
    D = np.stack([((g > 0) & (black["year"] == t)).to_numpy(float) for t in (2023, 2024, 2025)], axis=1)
    x = black["medicaid_share"].to_numpy()
    centred = x - np.where(g > 0, x[g > 0].mean(), x[g == 0].mean())
    X = np.hstack([D, D * centred[:, None], C, C[:, 1:] * x[:, None], T[:, 1:], T * x[:, None]])
    rate = black["rate"].to_numpy()
    kind = sm.families.Binomial() if family == "logit" else sm.families.Poisson()
    b = sm.GLM(rate, X, family=kind, var_weights=n).fit(tol=1e-14, maxiter=200)
    mean = (lambda e: 1 / (1 + np.exp(-e))) if family == "logit" else np.exp
    mu = mean(X @ b.params)
    bread = np.linalg.inv((X * (n * (mu * (1 - mu) if family == "logit" else mu))[:, None]).T @ X)
    scores = pd.DataFrame(X * (n * (rate - mu))[:, None]).groupby(black["system"].to_numpy()).sum().to_numpy()
    N, K, G = *X.shape, 20
    V = bread @ scores.T @ scores @ bread * G / (G - 1) * (N - 1) / (N - K)
    treated = (g > 0) & (black["year"] >= 2023).to_numpy()
    without = X.copy()
    without[:, :6] = 0

    def average(p: np.ndarray) -> float:
        return float((mean(X[treated] @ p) - mean(without[treated] @ p)).mean())

    h = 1e-6
    slope = np.array([(average(b.params + h * e) - average(b.params - h * e)) / (2 * h) for e in np.eye(K)])
    assert out["estimate"] == pytest.approx(average(b.params), abs=1e-9)
    assert out["std_error"] == pytest.approx(float(np.sqrt(slope @ V @ slope)), rel=1e-6)


@pytest.mark.parametrize("effects", ["cohort", "unit"])
def test_not_yet_on_a_balanced_panel_is_the_imputation(staggered: pd.DataFrame, effects: str) -> None:
    """Wooldridge (2021), without covariates and weights; on unbalanced panels the regression also learns from treated cells."""
    full = staggered[staggered.groupby("practice")["year"].transform("size") == 8]
    own = fit(full, effects=effects, inference="none")
    other = p4equity.fit("imputation", full, inference="none", horizons=True, pretrends=False, **PRACTICES)
    np.testing.assert_allclose(own["estimate"], other.loc[other["estimand"] == "att", "estimate"], atol=1e-11)


def test_never_without_covariates_is_the_interaction_weighted_estimate(staggered: pd.DataFrame) -> None:
    options = {**PRACTICES, "inference": "cr2", "weights": "n"}
    own = p4equity.fit("extended_twfe", staggered, effects="unit", average="weights", comparison="never", **options)
    other = p4equity.fit("interaction_weighted", staggered, **options)
    other = other[other["estimand"] != "att_dynamic"]
    for column in ("estimate", "std_error", "df", "conf_low"):
        np.testing.assert_allclose(own[column], other[column], rtol=1e-7, atol=1e-10)


def test_groups_in_a_nonlinear_family_have_their_own_regressions() -> None:
    frame = pd.read_csv(HERE.parent / "interaction_weighted" / "staggered.csv")
    options: dict[str, Any] = {"weights": "n", "family": "logit"}
    out = fit(frame, group="race", reference="A", **options).set_index(["estimand", "event_time"])
    for race, side in (("A", "reference"), ("B", "group")):
        alone = fit(frame[frame["race"] == race], **options).set_index("event_time")
        for event in (0, 1, 2):
            assert out.loc[(f"att_{side}", event), "estimate"] == pytest.approx(alone.loc[event, "estimate"], abs=1e-10)
            assert out.loc[(f"att_{side}", event), "std_error"] == pytest.approx(alone.loc[event, "std_error"], rel=1e-8)
    wide = out["estimate"].unstack("estimand")
    assert (wide["att_gap"] - (wide["att_reference"] - wide["att_group"])).abs().max() < 1e-14
    parts = out.loc[[("att_reference", 0), ("att_group", 0)], "std_error"]
    both = out.loc[("att_gap", 0), "std_error"]
    assert abs(both - np.sqrt((parts**2).sum())) > 1e-4  # groups of one system move together


def test_logit_of_two_by_two_by_hand() -> None:
    # Rates .5 to .8 in treated, .5 to .6 elsewhere: log odds move by log 4 and log 1.5; untreated the treated would have .6.
    rows = [(u, t, {1: 0.5, 2: 0.8 if u < 3 else 0.6}[t], 2 if u < 3 else None) for u in range(6) for t in (1, 2)]
    frame = pd.DataFrame(rows, columns=["practice", "year", "rate", "first_treat"]).assign(system=lambda f: f["practice"])
    assert fit(frame, family="logit", inference="none")["estimate"].iloc[0] == pytest.approx(0.2, abs=1e-12)
    # From .5 to .8 beside .4 to .6: odds move by 4 and by 2.25; untreated .5 becomes 2.25 / 3.25.
    moved = frame.assign(rate=frame["rate"].where(frame["first_treat"].notna() | (frame["year"] == 2), 0.4))
    expected = 0.8 - 2.25 / 3.25
    assert fit(moved, family="logit", inference="none")["estimate"].iloc[0] == pytest.approx(expected, abs=1e-12)
    # Counts: .6 / .4 times .5 would be .75.
    assert fit(moved, family="poisson", inference="none")["estimate"].iloc[0] == pytest.approx(0.05, abs=1e-12)
    assert fit(moved, inference="none")["estimate"].iloc[0] == pytest.approx(0.1, abs=1e-12)


def test_outcomes_of_zero_and_one_and_out_of_range(staggered: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="range"):
        fit(staggered.assign(rate=staggered["rate"] + 1), family="logit")
    with pytest.raises(UsageError, match="unit effects"):
        fit(staggered, family="logit", effects="unit")
    with pytest.raises(UsageError, match="family"):
        fit(staggered, family="probit")
    ones = staggered.assign(rate=staggered["rate"].where(staggered["first_treat"].isna() | (staggered["year"] < 2024), 1.0))
    out = fit(ones, family="logit", aggregate="calendar")
    assert any("fitted outcome of 0 or 1" in text for text in out.attrs["warnings"])
    full = out[out["period"] == "2025"].iloc[0]
    linear = fit(ones, aggregate="calendar")
    assert full["estimate"] == pytest.approx(linear[linear["period"] == "2025"].iloc[0]["estimate"], abs=0.05)
    reason = fit(staggered, family="logit", inference="cr2")["reason"]
    assert reason.str.contains("cr2 is for the linear family").all()


def test_two_ways_of_clustering_are_for_the_regression(staggered: pd.DataFrame) -> None:
    """Practices within systems: both ways together are the systems'."""
    out = fit(staggered, inference=["delta", "cr1"], aggregate="simple", cluster=["practice", "system"], parent=None)
    out = out.set_index("inference")
    assert "one way of clustering" in out.loc["delta", "reason"]
    one = fit(staggered, inference="cr1", aggregate="simple").iloc[0]
    assert out.loc["cr1", "std_error"] == pytest.approx(one["std_error"], rel=1e-9)
