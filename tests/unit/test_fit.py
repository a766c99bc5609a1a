"""The public door: columns, statuses, kinds of input, invariances."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import UsageError

COLUMNS = [
    *("estimand", "group", "cohort", "event_time", "period"),
    *("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "conf_level", "interval", "outcome_unit"),
    *("inference", "df", "n_clusters", "n_treated_clusters", "p_attainable"),
    *("n_members", "n_cells", "first_year", "last_year"),
    *("status", "reason", "registered"),
]
NUMBERS = ["estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "df"]
ALL = ["cr0", "cr1", "cr2", "cr3", "wild_bootstrap", "wild_bootstrap_unrestricted", "permutation", "none"]


def cells(seed: int = 0, units: int = 9, treated: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [
        (f"S{u:02d}", t, r, 2022.0 if u < treated else None, int(rng.integers(30, 900)))
        for u in range(units)
        for t in range(2018, 2025)
        for r in ("black", "hispanic", "white")
    ]
    frame = pd.DataFrame(rows, columns=["system", "year", "group", "start", "n"])
    rate = 0.6 + 0.1 * (frame["group"] == "white") + 0.03 * ((frame["year"] >= frame["start"]) & (frame["group"] != "white"))
    frame["s"] = rng.binomial(frame["n"], rate)
    return frame.assign(y=frame["s"] / frame["n"])


PLAIN = {"outcome": "y", "unit": "system", "time": "year", "cohort": "start"}
GAP = {**PLAIN, "group": "group", "reference": "white", "weights": "n"}


def white(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["group"] == "white"]


@pytest.mark.parametrize("id", ["did", "event_study", "triple_difference", "meta_regression"])
def test_columns_statuses_and_pooled_row_first(id: str) -> None:
    out = p4equity.fit(id, cells(), **GAP)
    assert list(out.columns) == COLUMNS
    assert out["group"].iloc[0] == "pooled"
    assert (out["estimate"].notna() == (out["status"] == "ok")).all()
    assert (out["reason"].isna() == (out["status"] == "ok")).all()
    ordered = out.dropna(subset=["conf_low", "conf_high"])
    assert (ordered["conf_low"] <= ordered["estimate"]).all()
    assert (ordered["estimate"] <= ordered["conf_high"]).all()
    assert set(out["registered"]) == {"exploratory"}
    assert set(out["cohort"]) == {2022}


@pytest.mark.parametrize("id", ["did", "event_study", "meta_regression"])
def test_gap_is_reference_minus_group_to_rounding(id: str) -> None:
    out = p4equity.fit(id, cells(1), **GAP)
    rows = out[out["status"].eq("ok") & out["estimand"].str.startswith("att") & out["interval"].eq("pointwise")]
    wide = rows.assign(e=rows["event_time"].fillna(-99).astype(int)).pivot(
        index=["group", "e"], columns="estimand", values="estimate"
    )
    assert len(wide) >= 3
    assert (wide["att_gap"] - (wide["att_reference"] - wide["att_group"])).abs().max() < 1e-12


def test_pooled_gap_is_the_average_of_the_groups() -> None:
    out = p4equity.fit("did", cells(2), **GAP)
    gap = out[out["estimand"] == "att_gap"].set_index("group")["estimate"]
    assert gap["pooled"] == pytest.approx((gap["black"] + gap["hispanic"]) / 2, abs=1e-14)
    members = out.set_index(["estimand", "group"])["n_members"]
    frame = cells(2)
    assert members["att_reference", "pooled"] == frame.loc[frame["group"] == "white", "n"].sum()
    assert members["att_gap", "pooled"] == frame["n"].sum()
    assert members["att_group", "black"] == frame.loc[frame["group"] == "black", "n"].sum()


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.assign(start=f["start"].astype("Int64")),
        lambda f: f.assign(start=f["start"].astype(object).where(f["start"].notna(), None)),
        lambda f: f.assign(start=f["start"].astype("Float64")),
        lambda f: f.assign(year=f["year"].astype(str), start=f["start"].astype("Int64").astype("string")),
        lambda f: f.assign(
            year=pd.to_datetime(f["year"].astype(str)), start=pd.to_datetime(f["start"].astype("Int64").astype("string"))
        ),
        lambda f: f.assign(year=pd.PeriodIndex(f["year"].astype(str), freq="Y")).assign(
            start=[pd.NaT if np.isnan(v) else pd.Period(str(int(v)), freq="Y") for v in f["start"]]
        ),
        lambda f: f.assign(system=f["system"].astype("category"), y=f["y"].astype("Float64")),
        lambda f: f.assign(start=f["start"].fillna(2090.0)),
    ],
    ids=["Int64", "None", "Float64", "text", "dates", "periods", "category", "after the data"],
)
def test_cohort_and_time_in_any_dtype(change: object) -> None:
    frame = white(cells(3))
    expected = p4equity.fit("did", frame, inference=["cr2", "permutation"], **PLAIN)
    found = p4equity.fit("did", change(frame), inference=["cr2", "permutation"], **PLAIN)  # type: ignore[operator]
    pd.testing.assert_frame_equal(found[NUMBERS], expected[NUMBERS], rtol=1e-12)
    assert list(found["first_year"]) == [2018, 2018]
    assert list(found["n_treated_clusters"]) == [4, 4]


def test_row_order_does_not_move_a_bit() -> None:
    frame = cells(4)
    for id in ("did", "event_study", "triple_difference", "meta_regression"):
        options = GAP if id == "meta_regression" else {**GAP, "inference": ["cr1", "cr2", "wild_bootstrap"]}
        expected = p4equity.fit(id, frame, **options)
        found = p4equity.fit(id, frame.sample(frac=1, random_state=1), **options)
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_weights_in_any_unit_and_relabelled_units() -> None:
    frame = cells(5)
    methods = {"inference": ["cr0", "cr1", "cr2", "cr3", "wild_bootstrap"]}
    expected = p4equity.fit("did", frame, **GAP, **methods)[NUMBERS]
    heavy = p4equity.fit("did", frame.assign(n=frame["n"] * 1e-4), **GAP, **methods)[NUMBERS]
    pd.testing.assert_frame_equal(heavy, expected, rtol=1e-9)
    names = dict(zip(sorted(frame["system"].unique()), "ZYXWVUTSR", strict=True))
    other = p4equity.fit("did", frame.assign(system=frame["system"].map(names)), **GAP, inference=["cr0", "cr2", "cr3"])[NUMBERS]
    pd.testing.assert_frame_equal(other, p4equity.fit("did", frame, **GAP, inference=["cr0", "cr2", "cr3"])[NUMBERS], rtol=1e-9)


def test_members_and_cells_give_the_same_answer() -> None:
    frame = cells(6, units=7, treated=3)
    frame = frame.assign(n=frame["n"] // 8 + 2).assign(s=lambda f: (f["y"] * f["n"]).round().astype(int))
    frame = frame.assign(y=frame["s"] / frame["n"])
    counts = ((1, frame["s"]), (0, frame["n"] - frame["s"]))
    members = pd.concat([frame.loc[frame.index.repeat(n)].assign(hit=hit) for hit, n in counts])
    # Member rows and cells differ in number: the convention that does not count rows.
    methods = {"inference": ["cr0", "cr1", "cr2", "cr3", "wild_bootstrap"], "ssc": "none"}
    for id in ("did", "triple_difference"):
        options = {k: v for k, v in GAP.items() if k != "weights"}
        rows = p4equity.fit(id, members, **{**options, "outcome": "hit"}, **methods)
        sums = p4equity.fit(id, frame, **GAP, **methods)
        pd.testing.assert_frame_equal(rows[NUMBERS], sums[NUMBERS], rtol=1e-8)


def test_splitting_a_cell_in_two_changes_nothing() -> None:
    frame = cells(7)
    half = frame.assign(n=frame["n"] / 2)
    expected = p4equity.fit("did", frame, **GAP, inference=["cr2", "wild_bootstrap"])
    found = p4equity.fit("did", pd.concat([half, half]), **GAP, inference=["cr2", "wild_bootstrap"])
    pd.testing.assert_frame_equal(found[NUMBERS], expected[NUMBERS], rtol=1e-9)


def test_scaled_outcomes_scale() -> None:
    frame = white(cells(8))
    expected = p4equity.fit("did", frame, **PLAIN, inference=ALL)
    found = p4equity.fit("did", frame.assign(y=frame["y"] * 100 + 7), **PLAIN, inference=ALL)
    for column in ("estimate", "std_error", "conf_low", "conf_high"):
        # 1e-5: the ends of the permutation interval are searched for to 1e-7 of the range of the data.
        np.testing.assert_allclose(found[column], expected[column] * 100, rtol=1e-5)
    np.testing.assert_allclose(found["p_value"], expected["p_value"], rtol=1e-7)


def test_standard_errors_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "import numpy as np, pandas as pd, p4equity\n"
        "r = np.random.default_rng(0)\n"
        "f = pd.DataFrame([(f'S{u}', t, 3 if u < 4 else None) for u in range(9) for t in range(6)], columns=['u', 't', 'g'])\n"
        "f['y'] = r.normal(size=len(f))\n"
        "o = p4equity.fit('did', f, outcome='y', unit='u', time='t', cohort='g', inference=['cr1', 'cr2', 'wild_bootstrap'])\n"
        "print(o.to_csv(float_format='%.17g'))\n"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": s}, capture_output=True, text=True, check=True).stdout
        for s in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert "wild_bootstrap" in runs[0]


def test_importing_the_package_is_light() -> None:
    code = "import sys, p4equity; print(p4equity.__version__, 'pandas' in sys.modules, 'linearmodels' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split()[1:] == ["False", "False"]
    with pytest.raises(AttributeError, match="nonesuch"):
        _ = p4equity.nonesuch


def test_covariates_that_vary_over_time_are_adjusted_for() -> None:
    frame = white(cells(9))
    rng = np.random.default_rng(1)
    frame = frame.assign(x=rng.normal(size=len(frame)))
    frame["y"] = 2.0 * frame["x"] + 0.5 * (frame["year"] >= frame["start"]) + frame["year"] * 0.1
    out = p4equity.fit("did", frame, **PLAIN, covariates=["x"], inference="none")
    assert out["estimate"].iloc[0] == pytest.approx(0.5, abs=1e-10)


def test_anticipation_leaves_periods_out_and_says_so() -> None:
    frame = white(cells(10))
    out = p4equity.fit("did", frame, **PLAIN, anticipation=1, inference="none")
    without = frame[~((frame["year"] == 2021) & frame["start"].notna())]
    assert out["estimate"].iloc[0] == pytest.approx(
        p4equity.fit("did", without, **PLAIN, inference="none")["estimate"].iloc[0], abs=1e-12
    )
    assert out["estimand"].iloc[-1] == "left_out"
    assert "window of anticipation: S00 (2021)" in out["reason"].iloc[-1]


def test_units_left_out_and_units_with_gaps_are_named() -> None:
    frame = white(cells(11))
    frame = frame[~((frame["system"] == "S00") & (frame["year"] < 2022)) & ~((frame["system"] == "S08") & (frame["year"] > 2022))]
    frame = frame.assign(y=frame["y"].where((frame["system"] != "S05") | (frame["year"] != 2019)))
    out = p4equity.fit("did", frame, **PLAIN, inference=["cr2", "permutation"])
    assert out["n_clusters"].iloc[0] == 8
    assert "no period before its first treated period: S00" in out["reason"].iloc[-1]
    assert "missing value in 1 row: S05 (2019)" in out["reason"].iloc[-1]
    assert {"unit": "S08", "period": "2023, 2024", "reason": "stays, without these periods"} in out.attrs["unbalanced"]
    # Three treated and five comparison units with data: their dates exchange in 56 ways, and the regression is refitted.
    permuted = out[out["inference"] == "permutation"].iloc[0]
    assert permuted["status"] == "ok"
    assert permuted["p_attainable"] == pytest.approx(1 / 56)


def test_an_always_treated_or_single_period_unit_does_not_move_the_estimate() -> None:
    frame = white(cells(12))
    extra = frame[frame["system"] == "S08"].assign(system="X", start=2018.0, y=9.0)
    lonely = frame[(frame["system"] == "S08") & (frame["year"] == 2020)].assign(system="Y", y=5.0)
    out = p4equity.fit("did", pd.concat([frame, extra, lonely]), **PLAIN)
    expected = p4equity.fit("did", frame, **PLAIN)
    pd.testing.assert_frame_equal(out.iloc[:1][NUMBERS], expected.iloc[:1][NUMBERS], check_exact=True)
    assert "X" in out["reason"].iloc[-1]
    assert "Y" in out["reason"].iloc[-1]


def test_few_treated_clusters_are_not_estimated_but_permuted() -> None:
    frame = white(cells(13, treated=2))
    out = p4equity.fit("did", frame, **PLAIN, inference=ALL).set_index("inference")
    assert set(out.index[out["status"] == "ok"]) == {"permutation", "none"}
    assert out.loc["cr2", "reason"].startswith("2 treated clusters")
    many = p4equity.fit("did", white(cells(13, treated=7)), **PLAIN).iloc[0]
    assert many["reason"].startswith("2 comparison clusters")


def test_warnings_travel_with_the_answer() -> None:
    out = p4equity.fit("did", white(cells(14, treated=3)), **PLAIN, inference="wild_bootstrap")
    assert out["status"].iloc[0] == "ok"
    assert any("3 treated clusters" in text for text in out.attrs["warnings"])


def test_an_event_study_shows_anticipation_and_does_not_test_it_as_a_lead() -> None:
    frame = white(cells())
    plain = p4equity.fit("event_study", frame, **PLAIN, reference_period=-2, inference="cr1")
    out = p4equity.fit("event_study", frame, **PLAIN, anticipation=1, inference="cr1")
    shown = [r[r["event_time"].notna() & (r["interval"] == "pointwise")] for r in (plain, out)]
    by_time = [r.set_index("event_time")["estimate"] for r in shown]
    pd.testing.assert_series_equal(*by_time)
    assert -1 in by_time[1].index
    leads = [r.loc[r["estimand"] == "pretrend", "estimate"].item() for r in (plain, out)]
    assert leads[0] == pytest.approx(by_time[0][by_time[0].index < 0].mean())
    assert leads[1] == pytest.approx(by_time[0][by_time[0].index < -1].mean())


@pytest.mark.parametrize("id", ["did", "event_study", "meta_regression"])
def test_twenty_thousand_units_are_answered(id: str) -> None:
    rng = np.random.default_rng(0)
    unit, year = (a.ravel() for a in np.meshgrid(range(20_000), range(6), indexing="ij"))
    frame = pd.DataFrame({"u": unit, "t": year, "g": np.where(unit % 3 == 0, 3.0, np.nan), "y": rng.normal(size=len(unit))})
    out = p4equity.fit(id, frame, outcome="y", unit="u", time="t", cohort="g")
    assert out["status"].iloc[0] == "ok"


def test_periods_that_stand_apart_are_shown_and_neither_tested_nor_averaged() -> None:
    frame = white(cells())
    plain = p4equity.fit("event_study", frame, **PLAIN, inference="cr1")
    out = p4equity.fit("event_study", frame, **PLAIN, apart=[-3, 1], inference="cr1")
    shown = plain["event_time"].notna()
    pd.testing.assert_frame_equal(plain[shown], out[out["event_time"].notna()])
    path = plain[shown & (plain["interval"] == "pointwise")].set_index("event_time")["estimate"]
    assert out["estimate"].iloc[0] == pytest.approx(path[(path.index >= 0) & (path.index != 1)].mean())
    lead = out.loc[out["estimand"] == "pretrend", "estimate"].item()
    assert lead == pytest.approx(path[(path.index < 0) & (path.index != -3)].mean())
    with pytest.raises(UsageError, match="stands apart"):
        p4equity.fit("event_study", frame, **PLAIN, apart=[0, 1, 2], inference="cr1")
