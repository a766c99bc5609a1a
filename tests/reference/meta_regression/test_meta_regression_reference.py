"""Two-stage regression against statsmodels, scipy, its own definition, and a case worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import DataError, StudyError, UsageError
from p4equity.inference.random_effects import tau2_estimate
from scipy import stats

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def changes() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    n = rng.integers(50, 4000, 14)
    se = 8 / np.sqrt(n)
    y = np.where(np.arange(14) < 5, 2.0, 0.0) + rng.normal(0, 0.8, 14) + se * rng.normal(size=14)
    return pd.DataFrame({"u": [f"S{i:02d}" for i in range(14)], "y": y, "se": se, "g": [2023] * 5 + [None] * 9})


OPTIONS = {"outcome": "y", "unit": "u", "time": None, "cohort": "g"}


def test_equal_errors_by_hand() -> None:
    # Treated 1, 2, 3 (mean 2), comparison 0, 1, 2 (mean 1): effect 1; pooled variance (2 + 2) / 4 = 1; error sqrt(1/3 + 1/3).
    frame = pd.DataFrame({"u": list("abcdef"), "y": [1.0, 2, 3, 0, 1, 2], "se": 0.5, "g": [2023] * 3 + [None] * 3})
    row = p4equity.fit("meta_regression", frame, sampling_se="se", **OPTIONS).iloc[0]
    assert row["estimate"] == pytest.approx(1.0, abs=1e-12)
    assert row["std_error"] == pytest.approx(np.sqrt(2 / 3), rel=1e-10)
    assert row["df"] == 4
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(np.sqrt(1.5), 4), rel=1e-10)
    # All 20 ways to pick three treated, counted without the toolkit.
    from itertools import combinations

    y = frame["y"].to_numpy()
    sizes = [abs(y[list(pick)].mean() - np.delete(y, list(pick)).mean()) for pick in combinations(range(6), 3)]
    share = np.mean([size >= 1 - 1e-9 for size in sizes])
    permuted = p4equity.fit("meta_regression", frame, sampling_se="se", inference="permutation", **OPTIONS).iloc[0]
    assert permuted["p_value"] == share
    assert permuted["p_attainable"] == 2 / 20


def test_knapp_hartung_equals_weighted_least_squares(changes: pd.DataFrame) -> None:
    import statsmodels.api as sm

    row = p4equity.fit("meta_regression", changes, sampling_se="se", **OPTIONS).iloc[0]
    y, v = changes["y"].to_numpy(), changes["se"].to_numpy() ** 2
    X = sm.add_constant(changes["g"].notna().to_numpy(float))
    tau2 = tau2_estimate(y, X, v, "PM")
    assert tau2 > 0
    model = sm.WLS(y, X, weights=1 / (v + tau2)).fit()
    assert row["estimate"] == pytest.approx(model.params[1], rel=1e-10)
    assert row["std_error"] == pytest.approx(model.bse[1], rel=1e-8)
    assert row["p_value"] == pytest.approx(model.pvalues[1], rel=1e-7)
    # Paule and Mandel's own equation, without the toolkit.
    assert float(((y - model.fittedvalues) ** 2 / (v + tau2)).sum()) == pytest.approx(12.0, rel=1e-8)


def test_without_errors_it_is_the_t_test(changes: pd.DataFrame) -> None:
    row = p4equity.fit("meta_regression", changes, **OPTIONS).iloc[0]
    arm = changes["g"].notna()
    expected = stats.ttest_ind(changes.loc[arm, "y"], changes.loc[~arm, "y"])
    assert row["statistic"] == pytest.approx(expected.statistic, rel=1e-10)
    assert row["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    low, high = expected.confidence_interval()
    assert (row["conf_low"], row["conf_high"]) == pytest.approx((low, high), rel=1e-9)


@pytest.mark.parametrize("method", ["PM", "REML", "DL"])
def test_every_tau2_is_taken(changes: pd.DataFrame, method: str) -> None:
    row = p4equity.fit("meta_regression", changes, sampling_se="se", tau2=method, **OPTIONS).iloc[0]
    assert row["status"] == "ok"
    y, v = changes["y"].to_numpy(), changes["se"].to_numpy() ** 2
    arm = changes["g"].notna().to_numpy()
    w = 1 / (v + tau2_estimate(y, np.column_stack([np.ones(14), arm]), v, method))
    assert row["estimate"] == pytest.approx(np.average(y[arm], weights=w[arm]) - np.average(y[~arm], weights=w[~arm]), rel=1e-10)


def panel() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    rows = [
        (u, t, r, 2023 if u < 4 else None, rng.integers(20, 900), rng.normal(70, 3))
        for u in range(12)
        for t in (2019, 2021, 2022, 2023, 2024)
        for r in ("w", "b", "h")
    ]
    frame = pd.DataFrame(rows, columns=["u", "t", "r", "g", "n", "y"])
    return frame.assign(se=40 / np.sqrt(frame["n"].astype(float)))


def test_changes_of_a_panel_are_means_after_minus_before() -> None:
    frame = panel().query("r == 'w'")
    row = p4equity.fit("meta_regression", frame, outcome="y", unit="u", time="t", cohort="g", sampling_se="se").iloc[0]
    after = frame["t"] >= 2023
    y = frame[after].groupby("u")["y"].mean() - frame[~after].groupby("u")["y"].mean()
    v = (frame[after].groupby("u")["se"].apply(lambda s: (s**2).sum() / 4)) + frame[~after].groupby("u")["se"].apply(
        lambda s: (s**2).sum() / 9
    )
    stage2 = pd.DataFrame({"u": y.index, "y": y.to_numpy(), "se": np.sqrt(v.to_numpy()), "g": [2023] * 4 + [None] * 8})
    expected = p4equity.fit("meta_regression", stage2, sampling_se="se", **OPTIONS).iloc[0]
    for column in ("estimate", "std_error", "p_value", "conf_low"):
        assert row[column] == pytest.approx(expected[column], rel=1e-10)
    assert (row["first_year"], row["last_year"], row["n_cells"]) == (2019, 2024, 60)


@pytest.mark.parametrize("method", ["knapp_hartung", "permutation"])
def test_gap_is_reference_minus_group(method: str) -> None:
    out = p4equity.fit(
        "meta_regression",
        panel(),
        outcome="y",
        unit="u",
        time="t",
        cohort="g",
        group="r",
        reference="w",
        weights="n",
        sampling_se="se",
        inference=method,
    )
    table = out.pivot(index="group", columns="estimand", values="estimate")
    assert sorted(table.index) == ["b", "h", "pooled"]
    assert (table["att_gap"] - (table["att_reference"] - table["att_group"])).abs().max() < 1e-12
    assert out["group"].iloc[0] == "pooled"


def test_cohorts_have_their_own_rows_and_dates() -> None:
    frame = panel().query("r == 'w'")
    frame = frame.assign(g=frame["g"].where(frame["u"] != 0, 2024.0))
    out = p4equity.fit("meta_regression", frame, outcome="y", unit="u", time="t", cohort="g", inference=["none", "permutation"])
    first = out[out["inference"] == "none"].set_index("cohort", drop=False)
    late = frame[frame["g"].isna() | (frame["g"] == 2024)]
    change = late[late["t"] >= 2024].groupby("u")["y"].mean() - late[late["t"] < 2024].groupby("u")["y"].mean()
    assert first.loc[2024, "estimate"] == pytest.approx(change[0] - change.drop(0).mean(), abs=1e-12)
    # Without errors units count alike, so the pooled effect is the average of the cohorts' by their treated units.
    assert out["estimate"].iloc[0] == pytest.approx(
        0.25 * first.loc[2024, "estimate"] + 0.75 * first.loc[2023, "estimate"], abs=1e-12
    )
    pooled = out[(out["inference"] == "permutation") & out["cohort"].isna()].iloc[0]
    assert pooled["status"] == "not_estimable"
    assert "different dates" in pooled["reason"]


def test_a_unit_without_data_after_is_named() -> None:
    frame = panel().query("r == 'w'")
    frame = frame[~((frame["u"] == 7) & (frame["t"] >= 2023))]
    out = p4equity.fit("meta_regression", frame, outcome="y", unit="u", time="t", cohort="g")
    assert out["n_clusters"].iloc[0] == 11
    assert out["estimand"].iloc[-1] == "left_out"
    assert "7" in out["reason"].iloc[-1]
    assert {"unit": "7", "period": "", "reason": "no period after treatment"} in out.attrs["dropped"]


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"covariates": ["se"]}, UsageError, "no covariates"),
        ({"comparison": "not_yet"}, UsageError, "one arm"),
        ({"tau2": "ML"}, UsageError, "tau2"),
        ({"inference": "cr2"}, UsageError, "knapp_hartung"),
        ({"aggregate": "cohort"}, UsageError, "aggregate"),
    ],
)
def test_what_does_not_apply_is_refused(changes: pd.DataFrame, change: dict[str, object], error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        p4equity.fit("meta_regression", changes, **{**OPTIONS, **change})


def test_faults_in_the_changes(changes: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="several rows a unit"):
        p4equity.fit("meta_regression", pd.concat([changes, changes]), **OPTIONS)
    with pytest.raises(DataError, match="zero"):
        p4equity.fit("meta_regression", changes.assign(se=0.0), sampling_se="se", **OPTIONS)
    with pytest.raises(StudyError, match="no treated"):
        p4equity.fit("meta_regression", changes.assign(g=None), **OPTIONS)
    same = p4equity.fit("meta_regression", changes.assign(y=1.0), inference=["knapp_hartung", "permutation"], **OPTIONS)
    assert (same["status"] == "not_estimable").all()
    assert same["estimate"].isna().all()
