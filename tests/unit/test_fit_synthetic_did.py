"""Synthetic difference-in-differences through the public door: rows, reasons, gaps, cohorts, paths."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from p4equity.errors import StudyError, UsageError
from synthetic_did_panel import NUMBERS, fit, panel

ALL = ["placebo", "placebo_rank", "jackknife", "bootstrap", "none"]


def first(frame: pd.DataFrame, **options: object) -> pd.Series:
    return fit(frame, **options).iloc[0]


def gaps(seed: int = 0) -> pd.DataFrame:
    parts = [panel(seed + k).assign(r=r, n=n) for k, (r, n) in enumerate((("w", 50), ("b", 20), ("h", 10)))]
    return pd.concat(parts, ignore_index=True)


def test_rows_averages_first_then_periods_with_every_method() -> None:
    out = fit(panel(treated=3), inference=ALL)
    assert len(out) == 5 * 4
    part = out[out["inference"] == "placebo"]
    assert part["event_time"].isna().tolist() == [True, False, False, False]
    assert part["event_time"].iloc[1:].tolist() == [0, 1, 2]
    assert part["period"].iloc[1:].tolist() == ["2005", "2006", "2007"]
    assert set(out["cohort"]) == {2005}
    assert (out["status"] == "ok").all()
    assert part["estimate"].iloc[1:].mean() == pytest.approx(part["estimate"].iloc[0], abs=1e-12)
    assert (part["n_clusters"].iloc[0], part["n_treated_clusters"].iloc[0], part["n_cells"].iloc[0]) == (9, 3, 72)
    assert (part["first_year"].iloc[0], part["last_year"].iloc[0], part["n_cells"].iloc[1]) == (2000, 2007, 9)
    errors = out[out["inference"].isin(["placebo", "jackknife", "bootstrap"])]
    assert (errors["conf_low"] < errors["estimate"]).all()
    assert out[out["inference"] == "none"]["std_error"].isna().all()


def test_placebo_error_by_brute_force() -> None:
    """Every pair of comparison units as if treated, worked from their changes."""
    frame = panel(1, units=7, treated=2)
    out = fit(frame, method="did")
    never, wide = [f"u{u}" for u in range(2, 7)], frame.pivot(index="u", columns="t", values="y")
    change = wide.loc[:, 2005:].mean(axis=1) - wide.loc[:, :2004].mean(axis=1)
    effects = [change[list(p)].mean() - change[[u for u in never if u not in p]].mean() for p in combinations(never, 2)]
    assert out["std_error"].iloc[0] == pytest.approx(np.std(effects), rel=1e-12)
    rank = first(frame, method="did", inference="placebo_rank")
    assert rank["p_value"] == pytest.approx((1 + sum(abs(e) >= abs(rank["estimate"]) for e in effects)) / 11)
    assert rank["p_attainable"] == pytest.approx(1 / 11)


def test_jackknife_by_leaving_units_out() -> None:
    frame = panel(2, units=8, treated=3)
    row = first(frame, method="did", inference="jackknife")
    left = [first(frame[frame["u"] != f"u{u}"], method="did", inference="none")["estimate"] for u in range(8)]
    assert row["std_error"] == pytest.approx(np.sqrt(7 / 8 * np.sum((left - np.mean(left)) ** 2)), rel=1e-10)


def test_draws_follow_the_seed_and_say_their_error() -> None:
    frame = panel(3, units=14, treated=3)
    a, b = (first(frame, limit=10, draws=60, seed=s, method="did") for s in (1, 2))
    assert a["std_error"] == first(frame, limit=10, draws=60, seed=1, method="did")["std_error"] != b["std_error"]
    out = fit(frame, limit=10, draws=60, method="did")
    assert any("60 of 165 placebo assignments drawn: Monte Carlo error" in w for w in out.attrs["warnings"])
    every = first(frame, method="did")["std_error"]
    assert a["std_error"] == pytest.approx(every, rel=0.3)


ONE = panel(treated=1)


@pytest.mark.parametrize(
    ("frame", "options", "reason"),
    [
        (ONE, {"inference": "jackknife"}, "1 treated cluster: .* instead: placebo_rank"),
        (ONE, {"inference": "bootstrap"}, "1 treated cluster: .* instead: placebo_rank"),
        (panel(units=3, treated=2), {"inference": "none"}, "one comparison unit"),
        (panel(units=5, treated=3), {}, "more never treated units than treated ones, here 2 and 3"),
        (panel(units=6, treated=2), {}, "3 different placebo assignments only: .* see placebo_rank"),
        (panel(units=3, treated=1), {"method": "did"}, "1 different placebo assignment only"),
        (panel(), {"method": "did", "inference": "bootstrap"}, "2 treated clusters"),
        (panel(units=4, treated=3), {"method": "did", "inference": "jackknife"}, "1 comparison cluster"),
        (panel()[lambda f: f["t"] >= 2004], {}, "one period before treatment"),
        (panel(), {"anticipation": 4}, "one period before treatment"),
        (panel().assign(y=0.0), {}, "do not vary"),
        (panel().assign(y=0.1), {"method": "did"}, "no variation left"),
        (panel().assign(y=0.1), {"method": "did", "inference": "placebo_rank"}, "nothing to rank"),
        (panel().assign(s=lambda f: f["u"].str[1:].astype(int) // 2), {"parent": "s"}, "units lie in clusters"),
    ],
)
def test_what_cannot_be_estimated_has_a_reason_and_no_number(
    frame: pd.DataFrame, options: dict[str, object], reason: str
) -> None:
    out = fit(frame, **options)
    assert (out["status"] == "not_estimable").all()
    assert out["reason"].str.contains(reason).all()
    assert out[NUMBERS].isna().all(axis=None)


def test_reasons_do_not_hide_the_estimate() -> None:
    for frame, options in ((ONE, {}), (panel(units=5, treated=3), {}), (panel(units=3, treated=2), {"method": "did"})):
        assert first(frame, inference="none", **options)["status"] == "ok"
    assert first(panel()[lambda f: f["t"] >= 2004], method="did")["status"] == "ok"


def test_one_treated_unit_ranks_among_the_others() -> None:
    row = first(ONE.assign(y=ONE["y"] + 50 * ((ONE["g"] == 2005) & (ONE["t"] >= 2005))), inference="placebo_rank")
    assert row["p_value"] == row["p_attainable"] == pytest.approx(1 / 9)
    assert pd.isna(row["conf_low"])
    wide = first(panel(units=25, treated=1), inference="placebo_rank")
    assert wide["conf_low"] < wide["estimate"] < wide["conf_high"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"method": "sdd"}, "did you mean 'sdid'"),
        ({"covariates": ["x"]}, "no covariates"),
        ({"aggregate": "cohort"}, "nothing to aggregate"),
        ({"inference": "cr2"}, "inference"),
        ({"draws": 0}, "out of range"),
    ],
)
def test_unknown_words_are_usage_errors(options: dict[str, object], error: str) -> None:
    with pytest.raises(UsageError, match=error):
        fit(panel().assign(x=1.0), **options)


def test_missing_arms_are_study_errors() -> None:
    with pytest.raises(StudyError, match="no treated"):
        fit(panel().assign(g=np.nan))
    with pytest.raises(StudyError, match="not_yet"):
        fit(panel().assign(g=lambda f: f["g"].fillna(2006)))
    with pytest.raises(StudyError, match="no period before"):
        fit(panel(), anticipation=5)


def test_incomplete_units_and_rare_periods_are_left_out_and_said() -> None:
    frame = panel(4)
    hole = frame[~((frame["u"] == "u5") & (frame["t"] == 2003))]
    out = fit(hole, inference="none")
    assert out["estimate"].iloc[0] == pytest.approx(first(frame[frame["u"] != "u5"], inference="none")["estimate"], rel=1e-9)
    last = out.iloc[-1]
    assert (last["estimand"], last["status"]) == ("left_out", "not_estimable")
    assert "u5 (2003)" in last["reason"]
    stray = pd.concat([frame, pd.DataFrame([("u4", 2011, np.nan, 3.0)], columns=frame.columns)])
    out = fit(stray, inference="none")
    assert out["estimate"].iloc[0] == first(frame, inference="none")["estimate"]
    assert "all units (2011)" in out["reason"].iloc[-1]
    exit_ = panel(4, treated=1)
    exit_ = exit_[~((exit_["u"] == "u0") & (exit_["t"] == 2007))]
    assert first(exit_, inference="none")["estimate"] == pytest.approx(
        first(exit_[exit_["t"] < 2007], inference="none")["estimate"], rel=1e-9
    )


def test_anticipation_leaves_periods_out() -> None:
    frame = panel(5)
    out, fewer = fit(frame, anticipation=2, inference="none"), fit(frame[~frame["t"].isin([2003, 2004])], inference="none")
    assert out["estimate"].tolist() == pytest.approx(fewer["estimate"].tolist(), rel=1e-9)
    assert [r["period"] for r in out.attrs["time_weights"]] == ["2000", "2001", "2002"]


@pytest.mark.parametrize("method", ["sdid", "sc", "did"])
def test_gap_is_reference_minus_group(method: str) -> None:
    out = fit(gaps(), group="r", reference="w", weights="n", method=method, inference="none")
    wide = out.assign(e=out["event_time"].fillna(-9)).pivot(index=["group", "e"], columns="estimand", values="estimate")
    assert len(wide) == 3 * 4
    assert (wide["att_gap"] - (wide["att_reference"] - wide["att_group"])).abs().max() < 1e-12
    rows = out[(out["estimand"] == "att_gap") & out["event_time"].isna()].set_index("group")
    assert list(rows.index) == ["pooled", "b", "h"]
    assert rows.loc["pooled", "estimate"] == pytest.approx(rows["estimate"].iloc[1:].mean(), abs=1e-14)
    assert rows.loc["pooled", "n_members"] == 80 * 72
    assert any("units count alike" in w for w in out.attrs["warnings"])


def test_gap_weights_are_those_of_the_gap_as_an_outcome() -> None:
    frame = gaps()
    wide = frame[frame["r"] != "h"].pivot(index=["u", "t", "g"], columns="r", values="y").reset_index()
    plain = fit(wide.assign(y=wide["w"] - wide["b"]), inference="jackknife")
    gap = fit(frame[frame["r"] != "h"], group="r", reference="w", inference="jackknife")
    rows = gap[gap["estimand"] == "att_gap"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows[NUMBERS], plain[NUMBERS], rtol=1e-9)


def test_groups_with_other_units_have_no_common_placebo() -> None:
    frame = gaps()
    small = frame[~((frame["u"] == "u7") & (frame["r"] == "h") & (frame["t"] == 2002))]
    out = fit(small, group="r", reference="w", method="did")
    rows = out[(out["estimand"] == "att_gap") & out["event_time"].isna()].set_index("group")
    assert rows["status"].to_dict() == {"pooled": "not_estimable", "b": "ok", "h": "ok"}
    assert "differ in their units" in rows.loc["pooled", "reason"]


def staggered(seed: int = 6) -> pd.DataFrame:
    frame = panel(seed, units=12, treated=4)
    return frame.assign(g=frame["g"].where(~frame["u"].isin(["u0", "u1"]), 2003.0))


def test_cohorts_are_averaged_by_treated_unit_periods() -> None:
    frame = staggered()
    out = fit(frame, inference="none")
    alone = {c: fit(frame[frame["g"].isna() | (frame["g"] == c)], inference="none")["estimate"] for c in (2003, 2005)}
    cohorts = out[out["event_time"].isna()].set_index("cohort")["estimate"].dropna()
    assert cohorts[2003] == pytest.approx(alone[2003][0], abs=1e-14)
    assert cohorts[2005] == pytest.approx(alone[2005][0], abs=1e-14)
    assert out["estimate"].iloc[0] == pytest.approx((10 * alone[2003][0] + 6 * alone[2005][0]) / 16, abs=1e-12)
    at = out[out["event_time"].notna()].set_index("event_time")["estimate"]
    assert at[0] == pytest.approx((alone[2003][1] + alone[2005][1]) / 2, abs=1e-12)
    assert at[4] == pytest.approx(alone[2003][5], abs=1e-12)
    assert pd.isna(out["cohort"].iloc[0])


def test_units_treated_later_serve_until_then() -> None:
    frame = staggered()
    out = fit(frame, comparison="not_yet", inference="none")
    early = frame[frame["t"] < 2005].assign(g=lambda f: f["g"].where(f["g"] == 2003))
    cohorts = out[out["event_time"].isna()].set_index("cohort")["estimate"]
    assert cohorts[2003] == pytest.approx(first(early, inference="none")["estimate"], abs=1e-14)
    assert any("cohort 2003 is followed until 2004" in w for w in out.attrs["warnings"])
    none_never = fit(frame.dropna(subset="g"), comparison="not_yet", inference="none")
    assert none_never[none_never["cohort"] == 2003]["status"].eq("ok").all()
    assert none_never.set_index("cohort").loc[2005, "status"] == "not_estimable"


def test_a_cohort_without_estimate_leaves_the_others_theirs() -> None:
    frame = staggered()
    late = frame[frame["t"] >= 2002]  # cohort 2003 has one period before it
    out = fit(late, inference="none")
    assert out["estimate"].iloc[0] == pytest.approx(first(late[late["g"] != 2003], inference="none")["estimate"], rel=1e-9)
    assert "one period before treatment" in out.set_index("cohort").loc[2003, "reason"]
    assert "u0, u1" in out["reason"].iloc[-1]


def test_details_are_records_that_frames_can_carry() -> None:
    out = fit(gaps(), group="r", reference="w", inference="none")
    json.dumps(out.attrs, allow_nan=False)
    assert len(pd.concat([out, fit(gaps(1), group="r", reference="w", inference="none")])) == 2 * len(out)
    weights = pd.DataFrame(out.attrs["unit_weights"]).groupby("group")["weight"]
    assert weights.sum().to_numpy() == pytest.approx([1, 1])
    assert weights.size().tolist() == [7, 7]
    paths = pd.DataFrame(out.attrs["paths"])
    after = paths[paths["event_time"] >= 0].groupby(["group", "outcome"])["effect"].mean()
    rows = out[out["event_time"].isna()].set_index(["group", "estimand"])["estimate"]
    for (group, outcome), effect in after.items():
        assert rows[group, f"att_{outcome}"] == pytest.approx(effect, abs=1e-12)
    assert (paths["treated"] - paths["counterfactual"] - paths["effect"]).abs().max() < 1e-12
    before = paths[(paths["event_time"] < 0) & (paths["outcome"] == "gap")]
    distance = before["treated"] - before["synthetic"]
    rmse = distance.groupby(before["group"]).apply(lambda d: np.sqrt(np.mean((d - d.mean()) ** 2)))
    assert [f["rmse_before"] for f in out.attrs["fit"]] == pytest.approx(rmse.tolist())
    assert before.groupby("group")["time_weight"].sum().tolist() == pytest.approx([1, 1])
