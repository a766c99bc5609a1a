"""Group-time effects in staggered designs against csdid (and moderndid), and the values R's did prints for county employment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import p4equity
import pandas as pd
import pytest

HERE = Path(__file__).parent
EXPECTED = pd.read_csv(HERE / "expected_staggered.csv")
LPOP = {"covariates": "lpop"}
LATE: dict[str, Any] = {"comparison": "not_yet"}
ROWS: dict[str, Any] = {"panel": False, "unit": None}
CROSS: dict[str, Any] = {"unbalanced": "cross_sections"}
COUNTY: dict[str, tuple[str, dict[str, Any]]] = {
    "never": ("all", {}),
    "not_yet": ("all", LATE),
    "dr": ("all", LPOP),
    "reg": ("all", LPOP | {"method": "reg"}),
    "ipw": ("all", LPOP | {"method": "ipw"}),
    "universal": ("all", LPOP | {"base_period": "universal"}),
    "anticipation": ("all", LPOP | {"anticipation": 1}),
    "anticipation_not_yet": ("all", LATE | {"anticipation": 1}),
    "anticipation_universal": ("all", LATE | {"anticipation": 1, "base_period": "universal"}),
    "weights": ("all", LPOP | {"weights": "pop"}),
    "weights_time": ("all", {"weights": "wt"}),
    "time_varying_x": ("all", {"covariates": ["lpop", "x2"]}),
    "cluster": ("all", {"cluster": "state"}),
    "cluster_dr": ("all", LPOP | LATE | {"cluster": "state"}),
    "eventually": ("eventually", LATE),
    "eventually_dr": ("eventually", LATE | LPOP),
    "rc": ("all", ROWS),
    "rc_dr": ("all", ROWS | LPOP),
    "rc_reg": ("all", ROWS | LPOP | {"method": "reg"}),
    "rc_ipw": ("all", ROWS | LPOP | {"method": "ipw"}),
    "rc_weights": ("all", ROWS | LPOP | {"weights": "wt"}),
    "rc_cluster": ("all", ROWS | {"cluster": "state"}),
    "rc_cluster_dr": ("all", ROWS | LATE | {"cluster": "state", "covariates": ["lpop", "x2"]}),
    "unbalanced_drop": ("unbalanced", LPOP),
    "unbalanced_cross": ("unbalanced", CROSS),
    "unbalanced_cross_dr": ("unbalanced", CROSS | LATE | LPOP),
    "unbalanced_cross_w": ("unbalanced", CROSS | LPOP | {"weights": "pop", "method": "reg"}),
}
STAGGERED: dict[str, dict[str, Any]] = {
    "drop": {},
    "drop_weights": LATE | {"weights": "n"},
    "drop_dr": LATE | {"covariates": "x"},
    "drop_cluster": LATE | {"weights": "n", "cluster": "system"},
    "cross": CROSS,
    "cross_weights": CROSS | LATE | {"weights": "n"},
    "cross_cluster": CROSS | LATE | {"cluster": "system", "anticipation": 1},
    "cross_reg": CROSS | LATE | {"covariates": "x", "method": "reg"},
    "rows": ROWS | LATE | {"weights": "n"},
}
PUBLISHED = {  # aggregate: overall estimate and error
    "simple": (-0.0400, 0.0120),
    "dynamic": (-0.0772, 0.0200),
    "group": (-0.0310, 0.0124),
    "calendar": (-0.0417, 0.0160),
}


@pytest.fixture(scope="module")
def counties() -> dict[str, pd.DataFrame]:
    wide = pd.read_csv(HERE / "county_employment.csv")
    frame = wide.melt(["countyreal", "first_treat", "lpop"], var_name="year", value_name="lemp")
    frame["year"] = frame["year"].str.removeprefix("lemp").astype(int)
    frame = frame.sort_values(["countyreal", "year"], ignore_index=True)
    rank = frame["countyreal"].rank(method="dense").astype(int)
    year = frame["year"]
    frame = frame.assign(
        g=frame["first_treat"].where(frame["first_treat"] > 0),
        state=frame["countyreal"] // 1000,
        pop=np.exp(frame["lpop"]),
        wt=1 + rank * 7919 % 13 + 0.5 * (year - 2003),  # changes over time
        x2=frame["lpop"] * (year - 2000) / 5 + (rank * 31 + year * 17) % 11 / 10,  # changes over time
    )
    hole = (rank % 9 == 0) & (year >= 2006) | (rank % 14 == 3) & (year == 2004) | (rank % 25 == 7) & (year <= 2004)
    return {"all": frame, "eventually": frame[frame["g"].notna()], "unbalanced": frame[~hole]}


@pytest.fixture(scope="module")
def staggered() -> pd.DataFrame:
    frame = pd.read_csv(HERE.parent / "interaction_weighted" / "staggered.csv")
    return frame[frame["race"] == "A"].assign(g=frame["first_treat"])


def agree(expected: pd.DataFrame, frame: pd.DataFrame, options: dict[str, Any]) -> int:
    """Compare every effect and average of a case; the number of errors compared."""
    options = options | {"inference": ["none", "analytical"]}
    errors, cells = 0, p4equity.fit("group_time", frame, **options)  # first row: the simple average
    for kind, rows in expected.groupby("kind"):
        whole = kind in ("cell", "simple")
        both = cells if whole else p4equity.fit("group_time", frame, aggregate=str(kind), **options)
        both = both[both["estimand"].eq("att") & both["interval"].eq("pointwise")]
        plain, out = (both[both["inference"] == i] for i in ("none", "analytical"))
        for r in rows.itertuples():
            if np.isnan(r.se):  # a universal base period
                assert r.estimate == 0
                continue
            place = _place(plain, str(kind), r.of, r.period)
            assert plain["estimate"].iloc[place] == pytest.approx(r.estimate, abs=1e-7)
            if out["status"].iloc[place] == "ok":
                assert out["std_error"].iloc[place] == pytest.approx(r.se, rel=1e-6)
                errors += 1
            else:  # only where one cluster is all of the treated side, or most of it
                assert "treated" in out["reason"].iloc[place]
                assert "cluster" in options
    return errors


def _place(out: pd.DataFrame, kind: str, of: float, period: float) -> int:
    if np.isnan(of):
        return 0
    if kind == "cell":
        rows = out["cohort"].eq(int(of)) & out["period"].eq(str(int(period))) & out["event_time"].notna()
    elif kind == "calendar":
        rows = out["period"].eq(str(int(of))) & out["event_time"].isna()
    else:
        rows = out["event_time" if kind == "dynamic" else "cohort"].eq(int(of))
    places = np.flatnonzero(rows.fillna(False))
    assert len(places) == 1
    return int(places[0])


@pytest.mark.parametrize("case", COUNTY)
def test_county_employment_equals_csdid(counties: dict[str, pd.DataFrame], case: str) -> None:
    frame, options = COUNTY[case]
    expected = EXPECTED[(EXPECTED["data"] == "county") & (EXPECTED["case"] == case)]
    given = {"outcome": "lemp", "unit": "countyreal", "time": "year", "cohort": "g"} | options
    assert agree(expected, counties[frame], given) >= 18


@pytest.mark.parametrize("case", STAGGERED)
def test_an_unbalanced_staggered_panel_equals_csdid(staggered: pd.DataFrame, case: str) -> None:
    expected = EXPECTED[(EXPECTED["data"] == "staggered") & (EXPECTED["case"] == case)]
    given = {"outcome": "rate", "unit": "practice", "time": "year", "cohort": "g"} | STAGGERED[case]
    assert agree(expected, staggered, given) >= 40


@pytest.mark.parametrize("kind", PUBLISHED)
def test_county_employment_is_what_did_prints(counties: dict[str, pd.DataFrame], kind: str) -> None:
    given = {"outcome": "lemp", "unit": "countyreal", "time": "year", "cohort": "g"}
    overall = p4equity.fit("group_time", counties["all"], aggregate=kind, **given).iloc[0]
    assert overall["estimate"] == pytest.approx(PUBLISHED[kind][0], abs=6e-5)
    assert overall["std_error"] == pytest.approx(PUBLISHED[kind][1], abs=6e-5)


def test_every_frozen_case_is_compared() -> None:
    assert set(EXPECTED.loc[EXPECTED["data"] == "county", "case"]) == set(COUNTY)
    assert set(EXPECTED.loc[EXPECTED["data"] == "staggered", "case"]) == set(STAGGERED)
