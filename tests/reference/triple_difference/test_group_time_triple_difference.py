"""Group-time triple differences against triplediff (one cohort) and moderndid (staggered), and cases worked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import UsageError

HERE = Path(__file__).parent
CALL = ["years", "method", "covariates", "weights", "base_period"]
EXPECTED = pd.read_csv(HERE / "group_time.csv").fillna(dict.fromkeys(CALL, ""))
STAGGERED = pd.read_csv(HERE / "group_time_staggered.csv")
START = {**dict.fromkeys(["S01", "S02"], 2021), **dict.fromkeys(["S03", "S04", "S05"], 2023),
         **dict.fromkeys(["S06", "S07", "S08", "S09"], 2024)}  # fmt: skip
X = {"covariates": ["medicaid_share", "urban"]}
LATE = {"comparison": "not_yet"}
ROWS: dict[str, Any] = {"unit": "row", "cluster": "row", "panel": False}
CASES: dict[str, dict[str, Any]] = {
    "never": {},
    "not_yet": LATE,
    "not_yet_universal": LATE | {"base_period": "universal"},
    "not_yet_dr": LATE | X,
    "not_yet_reg": LATE | X | {"method": "reg"},
    "not_yet_ipw": LATE | X | {"method": "ipw"},
    "not_yet_weights": LATE | X | {"weights": "w0"},
    "never_dr": X,
    "rows": ROWS | LATE,
    "rows_dr": ROWS | LATE | X,
    "rows_reg": ROWS | LATE | X | {"method": "reg"},
    "rows_ipw": ROWS | X | {"method": "ipw"},
}


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    frame = pd.read_csv(HERE / "hs_common.csv")
    frame = frame.assign(g=frame["first_treat"].where(frame["treated"] == 1), late=frame["system"].map(START))
    return frame.assign(prid=frame["practice"] + frame["race"], row=range(len(frame)))


def fit(frame: pd.DataFrame, last: int = 2022, **options: Any) -> pd.DataFrame:
    """Triple difference with practice x race as units and clusters, as triplediff has it; w0 is the mean n up to `last`."""
    w0 = frame["prid"].map(frame[frame["year"] <= last].groupby("prid")["n"].mean())
    given = {"outcome": "rate", "unit": "practice", "time": "year", "cohort": "g", "group": "race", "reference": "White"}
    given |= {"cluster": "prid", "method": "dr"}
    return p4equity.fit("triple_difference", frame.assign(w0=w0), **{**given, **options})


def place(out: pd.DataFrame, kind: str, of: float, period: float = np.nan) -> pd.Series | None:
    """The row of an effect on the pooled gap; None where there is none."""
    out = out[out["estimand"].eq("att_gap") & out["group"].eq("pooled") & out["interval"].eq("pointwise")]
    if np.isnan(of):
        return out.iloc[0]
    if kind == "cell":
        rows = out["event_time"].notna() & out["period"].eq(str(int(of if np.isnan(period) else period)))
        rows &= np.isnan(period) | out["cohort"].eq(int(of)).fillna(False)
    elif kind == "calendar":
        rows = out["period"].eq(str(int(of))) & out["event_time"].isna()
    else:
        rows = out["event_time" if kind == "dynamic" else "cohort"].eq(int(of)).fillna(False)
    found = out[rows.to_numpy(bool)]
    assert len(found) <= 1
    return found.iloc[0] if len(found) else None


@pytest.mark.parametrize("call", EXPECTED[CALL].drop_duplicates().to_numpy(), ids=lambda call: " ".join(filter(None, call)))
def test_every_effect_equals_triplediff(cells: pd.DataFrame, call: np.ndarray) -> None:
    options = {name: value for name, value in zip(CALL, call, strict=True) if value and name != "years"}
    options["covariates"] = str(options.get("covariates", "")).split()
    frame = cells[cells["year"].isin([2022, 2023])] if call[0] else cells
    expected = EXPECTED[(EXPECTED[CALL] == call).all(axis=1)]
    compared = 0
    for kind, rows in expected.groupby("kind"):
        out = fit(frame, aggregate=None if kind == "cell" else kind, **options)
        for r in rows.itertuples():
            found = place(out, str(kind), r.of)
            if np.isnan(r.se):  # the universal base period itself
                assert r.estimate == 0
                assert found is None
                continue
            assert found is not None
            assert found["estimate"] == pytest.approx(-r.estimate, abs=1e-7)
            assert found["std_error"] == pytest.approx(r.se, rel=1e-6)
            compared += 1
    assert compared >= (1 if call[0] else 20)


@pytest.mark.parametrize("case", CASES)
def test_staggered_effects_equal_moderndid(cells: pd.DataFrame, case: str) -> None:
    expected = STAGGERED[STAGGERED["case"] == case]
    errors = 0
    for kind, rows in expected.groupby("kind"):
        out = fit(cells, 2020, cohort="late", aggregate=None if kind == "cell" else kind, **CASES[case])
        for r in rows.itertuples():
            found = place(out, str(kind), r.of, r.period)
            if found is None:
                assert r.estimate == 0
                continue
            assert found["estimate"] == pytest.approx(-r.estimate, abs=1e-7)
            if kind == "cell":
                assert found["std_error"] == pytest.approx(r.se, rel=1e-6)
                errors += 1
    assert errors == 21
    assert set(CASES) == set(STAGGERED["case"])


@pytest.mark.parametrize("kind", ["dynamic", "group"])
def test_errors_of_averages_are_the_derivatives_by_the_weights(kind: str) -> None:
    """Cohort shares included: the error is the root of the sum of squared derivatives by each unit's weight."""
    rng = np.random.default_rng(1)
    start = [2, 2, 2, 3, 3, None, None, None]
    rows = [(f"u{i}", t, r, g, f"u{i}{r}") for i, g in enumerate(start) for r in ("White", "b") for t in (1, 2, 3)]
    frame = pd.DataFrame(rows, columns=["practice", "year", "race", "g", "prid"])
    frame = frame.assign(rate=rng.normal(size=len(frame)), n=1, one=frame["prid"].map(dict.fromkeys(frame["prid"], 1.0)))
    frame["one"] += frame["prid"].rank(method="dense") % 3
    options = {"weights": "one", "aggregate": kind, "method": "reg"}
    out = fit(frame, **options)
    keep = (out["estimand"] == "att_gap") & (out["interval"] == "pointwise")
    psi = []
    for unit in frame["prid"].unique():
        moved = [frame.assign(one=frame["one"] * np.where(frame["prid"] == unit, 1 + h, 1.0)) for h in (1e-4, -1e-4)]
        ends = [fit(m, inference="none", **options) for m in moved]
        up, down = (e.loc[e["estimand"] == "att_gap", "estimate"].to_numpy(float) for e in ends)
        psi.append((up - down) / 2e-4)
    np.testing.assert_allclose(out["std_error"][keep], np.sqrt((np.array(psi) ** 2).sum(axis=0)), rtol=1e-6)


def test_four_groups_by_hand() -> None:
    # Changes from period 1 to 2. Treated: reference +1, group +6. Comparison: reference +2, group +4. The group gained 5 - 2 = 3
    # more on the reference than elsewhere, so that the gap (reference minus group) moved by -3.
    change = {("A", "w"): (0, 2), ("A", "b"): (5, 7), ("C", "w"): (1, 3), ("C", "b"): (3, 5)}
    units = [(f"{s}{i}", r, y, 2 if s == "A" else None) for (s, r), ys in change.items() for i, y in enumerate(ys)]
    rows = [(u, t, r, y * (t == 2), g) for u, r, y, g in units for t in (1, 2)]
    frame = pd.DataFrame(rows, columns=["u", "t", "r", "y", "g"])
    frame = pd.concat([frame, frame.assign(u=frame["u"] + "'")])  # every unit twice: an error needs three clusters an arm
    frame["id"] = frame["u"] + frame["r"]
    options: dict[str, Any] = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g", "group": "r", "reference": "w"}
    out = p4equity.fit("triple_difference", frame, method="reg", cluster="id", **options).iloc[0]
    assert out["estimate"] == pytest.approx(-3.0)
    # Deviations of 1 in four groups of four: 4 x 4 / 16 = 1, times n / (n - 1) of sixteen units.
    assert out["std_error"] == pytest.approx(np.sqrt(16 / 15))
    regression = p4equity.fit("triple_difference", frame, inference="none", **options).iloc[0]
    assert regression["estimate"] == pytest.approx(-3.0)


def test_comparison_cohorts_are_combined_by_precision_not_by_pooling() -> None:
    # One treated cohort (4), two comparison cohorts of one size: 6 (not yet treated) with little noise, never treated with much.
    rng = np.random.default_rng(0)
    rows = []
    for cohort, noise in ((4, 1.0), (6, 0.2), (None, 3.0)):
        for u in range(8):
            for r in "wb":
                level, drift = rng.normal(), rng.normal(scale=noise)
                rows += [(f"{cohort}-{u}", t, r, level + drift * (t >= 4), cohort) for t in (3, 4)]
    frame = pd.DataFrame(rows, columns=["u", "t", "r", "y", "g"])
    frame = pd.concat([frame, frame[frame["t"] == 4].assign(t=6)])
    wide = frame.pivot(index=["u", "r", "g"], columns="t", values="y").reset_index()
    wide["d"] = wide[4] - wide[3]
    arm = {k: v["d"] for k, v in wide.groupby([wide["g"].fillna(0), "r"])}
    gap = {c: arm[c, "w"].mean() - arm[c, "b"].mean() for c in (4, 6, 0)}
    noise_of = {c: sum(arm[c, r].var(ddof=0) / 8 for r in "wb") for c in (6, 0)}
    share = noise_of[0] / (noise_of[0] + noise_of[6])
    expected = gap[4] - share * gap[6] - (1 - share) * gap[0]
    options: dict[str, Any] = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g", "group": "r", "reference": "w"}
    out = p4equity.fit("triple_difference", frame, method="reg", comparison="not_yet", inference="none", **options)
    found = out[out["period"].eq("4") & out["cohort"].eq(4)]["estimate"].iloc[0]
    assert found == pytest.approx(expected, abs=1e-10)
    pooled = gap[4] - (gap[6] + gap[0]) / 2
    assert abs(found - pooled) > 0.05


def test_without_covariates_it_is_the_gap_of_two_group_time_effects(cells: pd.DataFrame) -> None:
    frame = cells[cells["race"].isin(["White", "Black"])]
    out = fit(frame, cohort="late", method="reg", cluster="system", aggregate="dynamic")
    parts = {}
    for race in ("White", "Black"):
        options = {"outcome": "rate", "unit": "practice", "time": "year", "cohort": "late", "parent": "system"}
        parts[race] = p4equity.fit("group_time", frame[frame["race"] == race], aggregate="dynamic", **options)
    same = out["estimand"] == "att_gap"
    np.testing.assert_allclose(
        out["estimate"][same], parts["White"]["estimate"][same] - parts["Black"]["estimate"][same], atol=1e-12
    )


def test_paths_of_gaps_have_sensitivity_sets(cells: pd.DataFrame) -> None:
    frame = cells[cells["race"].isin(["White", "Black"])]
    options = {"aggregate": "dynamic", "base_period": "universal", "inference": "relative_magnitudes", "bound": 1.0}
    out = fit(frame, cluster="system", **options)
    assert out["status"].iloc[0] == "ok"
    assert out["conf_low"].iloc[0] < out["conf_high"].iloc[0]


def test_words_and_options_of_the_other_method(cells: pd.DataFrame) -> None:
    for change in ({"method": "drr"}, {"ssc": "none"}, {"variance": "cr2"}, {"inference": "cr2"}, {"aggregate": "cohort"},
                   {"cluster": ["system", "year"]}, {"method": "regression", "base_period": "universal"},
                   {"method": "regression", "aggregate": "dynamic"}):  # fmt: skip
        with pytest.raises(UsageError):
            fit(cells, **change)
    assert fit(cells, variance="cr1", aggregate="simple")["inference"].iloc[0] == "cr1"
    assert fit(cells, aggregate="simple")["inference"].iloc[0] == "analytical"


def test_groups_that_are_missing_have_a_reason(cells: pd.DataFrame) -> None:
    frame = cells[cells["race"].isin(["White", "Black"])]
    without = frame[~(frame["system"].isin(["S01", "S02"]) & frame["race"].eq("Black"))]
    out = fit(without, cohort="late", aggregate="group", **LATE)
    row = out[out["cohort"].eq(2021).fillna(False)].iloc[0]
    assert row["status"] == "not_estimable"
    assert "no compared group among the treated units" in row["reason"]
    some = frame[~(frame["system"].isin(["S06", "S07", "S08", "S09"]) & frame["race"].eq("White"))]
    noted = fit(some, cohort="late", aggregate="simple", **LATE)
    assert noted["status"].iloc[0] == "ok"
    assert any("not compared with cohort 2024: no reference group among the comparison" in w for w in noted.attrs["warnings"])
    one = frame[frame["system"].isin(["S01", "S10", "S11", "S12"])]
    assert "1 treated cluster" in fit(one, cohort="late", cluster="system", aggregate="simple")["reason"].iloc[0]
