"""Event study against fixest and clubSandwich, and a case worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import UsageError

HERE = Path(__file__).parent
EXPECTED = pd.read_csv(HERE / "expected.csv")
OPTIONS = {"time": "year", "cohort": "cohort"}


@pytest.fixture(scope="module")
def gap() -> pd.DataFrame:
    frame = pd.read_csv(HERE / "hs_common_system_year.csv")
    return frame.assign(cohort=frame["first_treat"].where(frame["treated"] == 1))


def by_event(out: pd.DataFrame, interval: str = "pointwise") -> pd.DataFrame:
    return out[out["event_time"].notna() & (out["interval"] == interval)].set_index("event_time")


@pytest.mark.parametrize("level", ["gap", "practice"])
def test_coefficients_and_cr1_equal_fixest(gap: pd.DataFrame, level: str) -> None:
    expected = EXPECTED[(EXPECTED["estimator"] == "feols_event") & (EXPECTED["vcov"] == "vcov(m, vcov = ~system)")]
    if level == "gap":
        out = p4equity.fit("event_study", gap, outcome="gap", unit="system", variance="CR1", **OPTIONS)
        expected = expected[expected["subset"].isna()]
    else:
        rows = pd.read_csv(HERE.parent / "triple_difference" / "hs_common.csv")
        rows = rows.assign(cohort=rows["first_treat"].where(rows["treated"] == 1))[rows["race"] == "Black"]
        out = p4equity.fit(
            "event_study", rows, outcome="rate", unit="practice", parent="system", weights="n", variance="CR1", **OPTIONS
        )
        expected = expected[expected["subset"] == "race==Black"]
    found = by_event(out)
    assert len(expected) == 7 == len(found)
    for _, row in expected.iterrows():
        mine = found.loc[int(row["term"].split("::")[1].split(":")[0])]
        assert mine["estimate"] == pytest.approx(row["estimate"], abs=1e-7)
        assert mine["std_error"] == pytest.approx(row["se"], rel=1e-6)
        assert mine["p_value"] == pytest.approx(row["p"], rel=1e-5)


def test_cr2_and_degrees_of_freedom_equal_clubsandwich(gap: pd.DataFrame) -> None:
    found = by_event(p4equity.fit("event_study", gap, outcome="gap", unit="system", **OPTIONS))
    rows = EXPECTED[(EXPECTED["estimator"] == "lm+vcovCR") & (EXPECTED["vcov"] == "CR2")]
    assert len(rows) == 7
    for _, row in rows.iterrows():
        sign = -1 if row["term"][3] == "m" else 1
        mine = found.loc[sign * int(row["term"][4:])]
        assert mine["std_error"] == pytest.approx(row["se"], rel=1e-6)
        assert mine["df"] == pytest.approx(row["df"], rel=1e-6)


@pytest.mark.parametrize(("kind", "ssc"), [("CR2", "fixest"), ("CR1", "none")])
def test_joint_pretrend_test_equals_htz(gap: pd.DataFrame, kind: str, ssc: str) -> None:
    out = p4equity.fit("event_study", gap, outcome="gap", unit="system", variance=kind, ssc=ssc, **OPTIONS)
    row = out.set_index("estimand").loc["pretrend"]
    expected = EXPECTED[(EXPECTED["estimator"] == "Wald_test/HTZ") & (EXPECTED["vcov"] == kind)].iloc[0]
    assert row["statistic"] == pytest.approx(expected["stat"], rel=1e-6)
    assert row["p_value"] == pytest.approx(expected["p"], rel=1e-6)


def test_joint_test_says_when_it_is_not_available() -> None:
    rng = np.random.default_rng(5)
    rows = [(u, t, 2028 if u < 3 else None) for u in range(6) for t in range(2018, 2030)]
    frame = pd.DataFrame(rows, columns=["u", "t", "g"]).assign(y=rng.normal(size=len(rows)))
    out = p4equity.fit("event_study", frame, outcome="y", unit="u", time="t", cohort="g").set_index("estimand")
    assert out.loc["pretrend", "status"] == "not_estimable"
    assert out.loc["pretrend", "reason"].startswith("not available, because")


def test_simultaneous_bands_contain_pointwise_ones(gap: pd.DataFrame) -> None:
    out = p4equity.fit("event_study", gap, outcome="gap", unit="system", **OPTIONS)
    point, band = by_event(out), by_event(out, "simultaneous")
    assert (band["conf_low"] < point["conf_low"]).all()
    assert (band["conf_high"] > point["conf_high"]).all()
    assert (band["p_value"] >= point["p_value"]).all()
    assert list(out["estimate"].iloc[:1]) == pytest.approx([point.loc[[0, 1, 2], "estimate"].mean()], abs=1e-12)


def test_two_leads_and_lags_by_hand() -> None:
    # Treated 5, 6, 10, 12 and comparison 1, 2, 3, 3, each with a twin: differences 4, 4, 7, 9; against period 2: 0, 3, 5.
    paths = {"A": (5, 6, 10, 12), "B": (7, 8, 12, 14), "C": (1, 2, 3, 3), "D": (0, 1, 2, 2)}
    rows = [(u, t + 1, y, 3 if u in "AB" else None) for u, path in paths.items() for t, y in enumerate(path)]
    frame = pd.DataFrame(rows, columns=["u", "t", "y", "g"])
    out = p4equity.fit("event_study", frame, outcome="y", unit="u", time="t", cohort="g", inference="none")
    assert out["estimate"].iloc[0] == pytest.approx(4.0, abs=1e-12)
    found = by_event(out)["estimate"]
    assert [found[e] for e in (-2, 0, 1)] == pytest.approx([0.0, 3.0, 5.0], abs=1e-12)


def test_binning_shares_a_coefficient(gap: pd.DataFrame) -> None:
    options = {"outcome": "gap", "unit": "system", "inference": "none", **OPTIONS}
    out = p4equity.fit("event_study", gap, bin_below=-3, bin_above=0, reference_period=-1, **options)
    assert sorted(by_event(out).index) == [-3, -2, 0]
    # A bin that holds all periods after treatment, and one that holds all before, is the two-by-two regression.
    both = p4equity.fit("event_study", gap, bin_below=-1, bin_above=0, **options)
    plain = p4equity.fit("did", gap, **options)
    assert both["estimate"].iloc[0] == pytest.approx(plain["estimate"].iloc[0], abs=1e-12)


def test_reference_period_must_be_observed(gap: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="event time -9"):
        p4equity.fit("event_study", gap, outcome="gap", unit="system", reference_period=-9, **OPTIONS)


def test_a_lead_seen_in_one_system_has_no_standard_error() -> None:
    rng = np.random.default_rng(3)
    cohorts = [2023, 2023, 2023, 2024] + [None] * 6
    rows = [(f"S{u}", t, c) for u, c in enumerate(cohorts) for t in range(2018, 2026)]
    frame = pd.DataFrame(rows, columns=["u", "t", "g"]).assign(y=rng.normal(size=len(rows)))
    out = p4equity.fit("event_study", frame, outcome="y", unit="u", time="t", cohort="g")
    lead = by_event(out).loc[-6]
    assert lead["status"] == "not_estimable"
    assert lead["n_treated_clusters"] == 1
    assert np.isnan(lead["std_error"])
    assert by_event(out).loc[-2, "status"] == "ok"
