"""Synthetic difference-in-differences against R synthdid, its port on two published panels, and a case worked by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import p4equity
import pandas as pd
import pytest

HERE = Path(__file__).parent
EXPECTED = pd.read_csv(HERE / "expected.csv")
OUTSIDE = pd.read_csv(HERE / "outside.csv", dtype={"label": str}, keep_default_na=False)
METHODS = {"synthdid": "sdid", "sc": "sc", "did": "did"}


@pytest.fixture(scope="module")
def systems() -> pd.DataFrame:
    frame = pd.read_csv(HERE.parent / "did" / "hs_common_system_year.csv")
    return frame.assign(cohort=frame["first_treat"].where(frame["treated"] == 1))


@pytest.fixture(scope="module")
def california() -> pd.DataFrame:
    frame = pd.read_csv(HERE / "california_prop99.csv")
    return frame.assign(cohort=np.where(frame["state"] == "California", 1989, np.nan))


@pytest.fixture(scope="module")
def castle() -> pd.DataFrame:
    from causaldata import castle

    frame = castle.load_pandas().data[["sid", "year", "l_homicide", "post"]]
    return frame.assign(cohort=frame["sid"].map(frame[frame["post"] > 0].groupby("sid")["year"].min()))


def rows_of(frame: pd.DataFrame, outcome: str, method: str, inference: str, **options: object) -> pd.DataFrame:
    names = {"outcome": outcome, "unit": "system", "time": "year", "cohort": "cohort"} | options
    return p4equity.fit("synthetic_did", frame, method=method, inference=inference, **names)


POINT = EXPECTED[EXPECTED["se"].isna()]
JACKKNIFE = EXPECTED[EXPECTED["vcov"].fillna("").str.startswith("jackknife")]
DRAWN = EXPECTED[EXPECTED["vcov"].fillna("").str.contains("Monte Carlo")]


def test_every_reference_row_is_used() -> None:
    assert len(POINT) + len(JACKKNIFE) + len(DRAWN) == len(EXPECTED) == 24


@pytest.mark.parametrize("row", list(POINT.itertuples()), ids=lambda r: f"{r.subset} {r.estimator}")
def test_estimates_and_penalties_equal_r(systems: pd.DataFrame, row: object) -> None:
    out = rows_of(systems, row.subset, METHODS[row.estimator], "none")
    assert out["estimate"].iloc[0] == pytest.approx(row.estimate, rel=1e-8)
    assert out["estimate"].iloc[1:4].mean() == pytest.approx(row.estimate, rel=1e-8)  # the effects by year average to it
    other, fit = json.loads(row.other), out.attrs["fit"][0]
    assert fit["ridge_times"] == pytest.approx(other["zeta_lambda"], rel=1e-12)
    if row.estimator != "did":  # R prints a ridge that its did_estimate, whose weights are given, never uses
        assert fit["ridge_units"] == pytest.approx(other["zeta_omega"], rel=1e-12)


@pytest.mark.parametrize("row", list(JACKKNIFE.itertuples()), ids=lambda r: f"{r.subset} {r.estimator}")
def test_jackknife_errors_equal_r(systems: pd.DataFrame, row: object) -> None:
    out = rows_of(systems, row.subset, METHODS[row.estimator], "jackknife").iloc[0]
    assert out["std_error"] == pytest.approx(row.se, rel=1e-8)
    assert out["conf_high"] == pytest.approx(row.estimate + 1.959963984540054 * row.se, rel=1e-8)


@pytest.mark.parametrize("subset", ["gap", "rate_min"])
def test_placebo_and_bootstrap_errors_are_near_r(systems: pd.DataFrame, subset: str) -> None:
    out = rows_of(systems, subset, "sdid", ["placebo", "bootstrap"])
    for inference, least in (("placebo", 0.05), ("bootstrap", 0.10)):
        rows = DRAWN[(DRAWN["subset"] == subset) & DRAWN["vcov"].str.startswith(inference)]
        assert len(rows) == 3
        found = out.loc[out["inference"] == inference, "std_error"].iloc[0]
        assert found == pytest.approx(rows["se"].mean(), abs=max(3 * rows["se"].std(), least * rows["se"].mean()))


def outside(panel: str, method: str, comparison: str = "never") -> pd.DataFrame:
    pick = (OUTSIDE["panel"] == panel) & (OUTSIDE["method"] == method) & (OUTSIDE["comparison"] == comparison)
    assert pick.any()
    return OUTSIDE[pick].set_index(["quantity", "label"])["value"]


PUBLISHED = {"sdid": -15.6, "sc": -19.6, "did": -27.3}


@pytest.mark.parametrize("method", PUBLISHED)
def test_proposition_99(california: pd.DataFrame, method: str) -> None:
    names = {"outcome": "packs", "unit": "state", "time": "year", "cohort": "cohort"}
    out = p4equity.fit("synthetic_did", california, method=method, **names)
    expected = outside("prop99", method)
    assert out["estimate"].iloc[0] == pytest.approx(PUBLISHED[method], abs=0.05)
    assert out["estimate"].iloc[0] == pytest.approx(expected["estimate", ""], rel=1e-8)
    curve = out.iloc[1:13].set_index("period")["estimate"]
    for year, effect in expected["effect"].items():
        assert curve[year] == pytest.approx(effect, rel=1e-8)
    assert out["std_error"].iloc[0] == pytest.approx(expected["placebo error", ""], rel=1e-8)
    for quantity, name, label in (("unit weight", "unit_weights", "unit"), ("time weight", "time_weights", "period")):
        if quantity in expected.index:
            found = {r[label]: r["weight"] for r in out.attrs[name] if r["weight"] > 1e-6}
            assert found == pytest.approx(expected[quantity].to_dict(), abs=1e-8)


@pytest.mark.parametrize(
    ("method", "comparison"),
    [("sdid", "never"), ("sdid", "not_yet"), ("sc", "never"), ("did", "never"), ("did", "not_yet")],
)
def test_staggered_castle_doctrine(castle: pd.DataFrame, method: str, comparison: str) -> None:
    names = {"outcome": "l_homicide", "unit": "sid", "time": "year", "cohort": "cohort"}
    out = p4equity.fit("synthetic_did", castle, method=method, comparison=comparison, inference="none", **names)
    expected = outside("castle", method, comparison)
    assert out["estimate"].iloc[0] == pytest.approx(expected["estimate", ""], rel=1e-8)
    cohorts = out[out["cohort"].notna() & out["event_time"].isna()].set_index("cohort")["estimate"]
    assert len(cohorts) == len(expected["cohort"]) == 5
    for cohort, effect in expected["cohort"].items():
        assert cohorts[int(cohort)] == pytest.approx(effect, rel=1e-8)


@pytest.mark.parametrize("method", PUBLISHED)
def test_staggered_jackknife(castle: pd.DataFrame, method: str) -> None:
    names = {"outcome": "l_homicide", "unit": "sid", "time": "year", "cohort": "cohort"}
    several = castle[castle["cohort"].isna() | castle["cohort"].isin([2007, 2008, 2009])]
    row = p4equity.fit("synthetic_did", several, method=method, inference="jackknife", **names).iloc[0]
    expected = outside("castle 2007-2009", method)
    assert row["estimate"] == pytest.approx(expected["estimate", ""], rel=1e-8)
    assert row["std_error"] == pytest.approx(expected["jackknife error", ""], rel=1e-8)


BY_HAND = {"T": (0, 3, 5, 6), "A": (0, 4, 3, 3), "B": (1, 1, 1, 1)}


def by_hand(last: int) -> pd.DataFrame:
    rows = [(u, t, y, 3 if u == "T" else None) for u, path in BY_HAND.items() for t, y in enumerate(path[:last], start=1)]
    return pd.DataFrame(rows, columns=["u", "t", "y", "g"])


def test_three_units_by_hand() -> None:
    # First differences before treatment: A 4, B 0, so the noise is sqrt(8), and with one treated unit and period the squared
    # ridge is 8. Unit weight w of A, about a constant: (4w - 3)^2 / 4 + 8 (w^2 + (1 - w)^2) is least at 40 w = 22.
    # Time weight l of period 2, about a constant: A less B is -1, 3 and then 2: -(1 - l) + 3 l = 2.
    names = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g", "inference": ["placebo", "placebo_rank"]}
    out = p4equity.fit("synthetic_did", by_hand(3), **names)
    assert {r["unit"]: r["weight"] for r in out.attrs["unit_weights"]} == pytest.approx({"A": 0.55, "B": 0.45}, abs=1e-6)
    assert [r["weight"] for r in out.attrs["time_weights"]] == pytest.approx([0.25, 0.75], abs=1e-6)
    # After: 5 - (.55 3 + .45 1) = 2.9. Before: .25 (0 - .45) + .75 (3 - 2.2 - .45) = .15.
    rank = out[out["inference"] == "placebo_rank"].iloc[0]
    assert rank["estimate"] == pytest.approx(2.75, abs=1e-6)
    # A as if treated, B its one comparison unit: 3 - 1 after, and before it the mean of -1 and 3 (one unit cannot tell periods
    # apart, the ridge makes them alike): 1. B beside A: -1. Both are smaller than 2.75; mirror images have no spread of theirs.
    assert out["reason"].iloc[0].startswith("1 different placebo assignment only")
    assert (rank["p_value"], rank["p_attainable"]) == pytest.approx((1 / 3, 1 / 3))
    assert np.isnan(rank["conf_low"])


def test_synthetic_control_and_plain_differences_by_hand() -> None:
    names = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g", "inference": "none"}
    # Without a constant: (1 - w)^2 + (3 w - 2)^2 is least at w = .7: 5 - (.7 3 + .3) = 2.6, and in the fourth period 3.6.
    out = p4equity.fit("synthetic_did", by_hand(4), method="sc", **names)
    assert out["estimate"].tolist() == pytest.approx([3.1, 2.6, 3.6], abs=1e-4)
    # Equal weights: (5 - 2) - (1.5 - 1.5) = 3, then 4.
    out = p4equity.fit("synthetic_did", by_hand(4), method="did", **names)
    assert out["estimate"].tolist() == pytest.approx([3.5, 3.0, 4.0], abs=1e-12)
    assert out["event_time"].tolist()[1:] == [0, 1]
