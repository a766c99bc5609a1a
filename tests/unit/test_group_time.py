"""Group-time effects: which units and periods are compared, cells and members, and what has no answer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from group_time_panel import NUMBERS, fit, panel, pointwise
from p4equity.errors import DataError, StudyError, UsageError
from p4equity.estimators.group_time_cells import NEVER, Cell, schedule
from p4equity.estimators.influence import chi_squared_size
from scipy import stats

# Which periods and units are compared


def test_schedule_with_varying_and_universal_base() -> None:
    times, cohorts = np.array([1.0, 2, 3, 4]), np.array([3.0, 4.0, NEVER])
    cells = [(c.g, c.t, c.base) for c in schedule(times, cohorts)]
    assert cells == [(3, 2, 1), (3, 3, 2), (3, 4, 2), (4, 2, 1), (4, 3, 2), (4, 4, 3)]
    cells = [(c.g, c.t, c.base) for c in schedule(times, cohorts, base_period="universal")]
    assert cells == [(3, 1, 2), (3, 3, 2), (3, 4, 2), (4, 1, 3), (4, 2, 3), (4, 4, 3)]
    late = {(c.g, c.t): c.comparison for c in schedule(times, cohorts, comparison="not_yet")}
    assert late[3, 2] == late[3, 3] == (4, NEVER)
    assert late[4, 2] == (3, NEVER)
    assert late[3, 4] == late[4, 3] == late[4, 4] == (NEVER,)
    one = schedule(times, cohorts, comparison="not_yet", anticipation=1)
    # With anticipation the base is two periods before treatment, and units one period before theirs are no comparison.
    assert one[1] == Cell(3, 3, 1, (NEVER,))
    assert one[0] == Cell(3, 2, 1, (4, NEVER))


def test_a_cohort_between_periods_and_periods_with_gaps_use_the_last_period_before() -> None:
    frame = panel()
    some = frame[frame["t"].isin([2000, 2001, 2005])]
    out = pointwise(fit(some, inference="none"))
    cells = out[out["event_time"].notna()].set_index(["cohort", "period"])["estimate"]
    wide = some.pivot(index="u", columns="t", values="y")
    change, g = wide[2005] - wide[2001], some.groupby("u")["g"].first()
    for cohort in (2003, 2004):
        expected = change[g == cohort].mean() - change[g.isna()].mean()
        assert cells[(cohort, "2005")] == pytest.approx(expected, abs=1e-12)
    assert set(out["event_time"].dropna()) == {-2, -3, 1, 2}


def test_cohorts_after_the_data_are_comparison_unless_they_anticipate() -> None:
    frame = panel(1)
    moved = frame.assign(g=frame["g"].where(frame["u"] != "u11", 2007))
    pd.testing.assert_frame_equal(fit(moved)[NUMBERS], fit(frame)[NUMBERS])
    out = fit(moved, anticipation=2)
    assert 2007 in set(out["cohort"].dropna())  # its leads are estimated, and it serves nobody
    without = fit(frame[frame["u"] != "u11"], anticipation=2)
    assert out["estimate"].iloc[0] == pytest.approx(without["estimate"].iloc[0], abs=1e-12)


def test_without_never_treated_the_last_cohort_serves_until_it_starts() -> None:
    frame = panel(2, (2002, 2002, 2002, 2003, 2003, 2003, 2005, 2005, 2005))
    with pytest.raises(StudyError, match="not_yet"):
        fit(frame)
    out = fit(frame, comparison="not_yet", inference="none")
    assert set(out["cohort"].dropna()) == {2002, 2003}
    assert "2005" not in set(out["period"].dropna())
    assert any("cohort 2005 serves as comparison only" in w for w in out.attrs["warnings"])
    assert {d["period"] for d in out.attrs["dropped"]} == {"2005"}
    never = frame.assign(g=frame["g"].where(frame["g"] < 2005))
    expected = fit(never[never["t"] < 2005], comparison="not_yet", inference="none")
    pd.testing.assert_series_equal(out["estimate"][:-1], expected["estimate"], rtol=1e-12)


def test_treated_from_the_first_period_is_left_out_also_where_only_such_units_saw_it() -> None:
    early = panel(3, (2000, 1990, 2003, 2003, 2003, *[np.nan] * 4))
    out = fit(early)
    assert {d["unit"] for d in out.attrs["dropped"]} == {"u00", "u01"}
    assert "no period before its first treated period: u00, u01" in out["reason"].iloc[-1]
    late = early[(early["t"] > 2000) | early["u"].isin(["u00", "u01"])]
    assert fit(late)["status"].iloc[0] == "ok"
    first = panel(3, (2001, 2001, 2003, 2003, *[np.nan] * 4))
    assert {d["unit"] for d in fit(first, anticipation=1).attrs["dropped"]} == {"u00", "u01"}


# Unbalanced panels


def test_units_that_leave_are_dropped_or_kept_and_a_warning_says_so() -> None:
    frame = panel(4)
    gone = frame[~(frame["u"].eq("u00") & frame["t"].ge(2004)) & ~(frame["u"].eq("u07") & frame["t"].eq(2001))]
    out = fit(gone)
    assert {(d["unit"], d["period"]) for d in out.attrs["dropped"]} == {("u00", "2004, 2005"), ("u07", "2001")}
    assert out["estimand"].iloc[-1] == "left_out"
    assert any("composition changes: 1 of 12 units leave (u00 (last seen 2003))" in w for w in out.attrs["warnings"])
    expected = fit(frame[~frame["u"].isin(["u00", "u07"])])
    pd.testing.assert_frame_equal(out[NUMBERS][:-1], expected[NUMBERS])
    kept = fit(gone, unbalanced="cross_sections")
    assert kept.attrs["dropped"] == []
    assert {(d["unit"], d["period"]) for d in kept.attrs["unbalanced"]} == {("u00", "2004, 2005"), ("u07", "2001")}
    cell = pointwise(kept).set_index(["cohort", "period"])["estimate"][(2003, "2005")]
    means = gone.groupby(["t", gone["g"].fillna(0)])["y"].mean()
    both = means[2005, 2003] - means[2002, 2003] - (means[2005, 0] - means[2002, 0])
    assert cell == pytest.approx(both, abs=1e-12)
    assert any("mix this with change" in w for w in kept.attrs["warnings"])


def test_a_complete_panel_is_a_panel_whatever_unbalanced_says() -> None:
    frame = panel(5)
    pd.testing.assert_frame_equal(fit(frame, unbalanced="cross_sections"), fit(frame))


def test_no_complete_unit_is_a_data_error_with_the_way_out() -> None:
    frame = panel(6)
    place = frame["u"].str[1:].astype(int) % 6 + 2000
    holes = frame[frame["t"] != place]
    with pytest.raises(DataError, match="no unit has a row in every period") as caught:
        fit(holes)
    assert "cross_sections" in str(caught.value)
    assert fit(holes, unbalanced="cross_sections")["status"].iloc[0] == "ok"


# Repeated cross-sections and cells


def members(seed: int = 7, size: int = 4000) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    s, t, x = rng.integers(0, 14, size), rng.integers(2000, 2006, size), rng.integers(0, 3, size)
    g = np.where(s < 3, 2002.0, np.where(s < 6, 2004.0, np.nan))
    chance = 0.4 + 0.01 * (s % 5) + 0.05 * x + 0.1 * (t >= g)
    return pd.DataFrame({"u": s, "t": t, "x": x * 1.0, "g": g, "y": (rng.random(size) < chance) * 1.0, "u2": s // 2})


@pytest.mark.parametrize("covariates", [(), ("x",)])
@pytest.mark.parametrize("method", ["dr", "reg", "ipw"])
def test_cells_with_counts_give_the_numbers_of_the_members(covariates: tuple[str, ...], method: str) -> None:
    rows = members()
    cells = rows.groupby(["u", "t", *covariates]).agg(g=("g", "first"), n=("y", "size"), y=("y", "mean")).reset_index()
    options = {"covariates": covariates, "method": method, "panel": False, "comparison": "not_yet"}
    expected = fit(rows, unit=None, cluster="u", **options)  # every member a unit of its own
    found = fit(cells, weights="n", **options)
    np.testing.assert_allclose(found["estimate"], expected["estimate"], atol=1e-12)
    np.testing.assert_allclose(found["std_error"], expected["std_error"], rtol=1e-10)
    assert found["n_cells"].iloc[0] < expected["n_cells"].iloc[0]
    assert found["n_members"].iloc[0] == expected["n_cells"].iloc[0]


def test_cells_that_are_their_own_clusters_are_told_apart_from_members() -> None:
    rows = members()
    cells = rows.groupby(["u", "t"]).agg(g=("g", "first"), n=("y", "size"), y=("y", "mean")).reset_index()
    alone = fit(cells, unit=None, weights="n", panel=False)
    assert any("not as a count of members" in w for w in alone.attrs["warnings"])
    assert not any("members" in w for w in fit(cells, weights="n", panel=False).attrs["warnings"])
    assert alone["std_error"].iloc[0] != pytest.approx(fit(rows, unit=None, panel=False)["std_error"].iloc[0], rel=0.01)


def test_rows_of_members_in_a_panel_are_refused_only_where_they_differ_in_covariates() -> None:
    rows = members()
    with pytest.raises(DataError, match="several rows a unit and period"):
        fit(rows, covariates="x")
    with pytest.raises(DataError, match="cluster changes within a unit"):
        fit(panel().assign(c=lambda f: f["t"] % 3), cluster="c")
    means = rows.groupby(["u", "t"]).agg(g=("g", "first"), n=("y", "size"), y=("y", "mean")).reset_index()
    pd.testing.assert_frame_equal(fit(rows)[NUMBERS], fit(means, weights="n")[NUMBERS], rtol=1e-10)


# What has no answer


def test_one_treated_unit_has_an_estimate_but_no_error() -> None:
    frame = panel(8, (2003, *[np.nan] * 7))
    out = fit(frame)
    assert (out["status"] == "not_estimable").all()
    assert out["reason"].str.contains("1 treated cluster: .* instead: conley_taber or ferman_pinto of did").all()
    alone = fit(frame, inference="none")
    assert alone["estimate"].iloc[0] == pytest.approx(1.5, abs=0.5)
    assert (alone[alone["estimand"] == "att"]["status"] == "ok").all()


def test_a_cohort_of_one_unit_has_no_error_of_its_own_and_the_average_warns() -> None:
    frame = panel(9, (2002, 2003, 2003, 2003, 2003, *[np.nan] * 6))
    out = fit(frame, aggregate="group")
    assert out.set_index("cohort").loc[2002, "reason"].startswith("one treated cluster")
    assert out["status"].iloc[0] == "ok"
    # A cohort of one in five, weights of 1/5 for each unit: 1/25 of 5/25 of the treated side's variance.
    assert any("cohorts of one treated cluster carry 20%" in w and "too small" in w for w in out.attrs["warnings"])
    lonely = fit(panel(9, (2002, 2003, 2004, *[np.nan] * 6)), aggregate="group")
    assert "cohorts of one treated cluster carry 100%" in lonely["reason"].iloc[0]


@pytest.mark.parametrize("inference", ["analytical", "multiplier_bootstrap", "cr1"])
def test_one_comparison_cluster_and_one_cluster_have_no_error(inference: str) -> None:
    frame = panel(10, (2003, 2003, 2003, np.nan))
    assert "1 comparison cluster" in fit(frame, inference=inference)["reason"].iloc[0]
    assert "one cluster only" in fit(panel(10).assign(c=1), cluster="c", inference=inference)["reason"].iloc[0]


def test_few_clusters_are_named_and_reject_as_often_as_said() -> None:
    said = {size: fit(panel(0, (*[2003] * size, *[np.nan] * 12))).attrs["warnings"] for size in (3, 5, 11)}
    assert said[3][0] == "3 treated clusters: " + said[5][0].split(": ")[1]
    assert "17% of the time at 5% with 3, 11% with 5, 8% with 8" in said[5][0]
    assert not any("small sample" in sentence for sentence in said[11])
    assert fit(panel(0, (2003, 2003, 2003, *[np.nan] * 12)), inference="none").attrs["warnings"] == []
    rng = np.random.default_rng(0)
    for treated, comparison, share in ((3, 15, 0.17), (5, 15, 0.11), (8, 20, 0.08)):
        a, b = rng.normal(size=(20_000, treated)), rng.normal(size=(20_000, comparison))
        error = np.sqrt(a.var(axis=1) / treated + b.var(axis=1) / comparison)
        assert (np.abs(a.mean(axis=1) - b.mean(axis=1)) > 1.96 * error).mean() == pytest.approx(share, abs=0.01)


def test_a_joint_test_on_few_clusters_says_how_often_it_rejects_or_is_none() -> None:
    rng = np.random.default_rng(1)
    for values, treated, comparison in ((3, 6, 10), (2, 5, 15), (4, 20, 20)):
        a, b = rng.normal(size=(20_000, treated, values)), rng.normal(size=(20_000, comparison, values))
        gap, V = a.mean(axis=1) - b.mean(axis=1), np.zeros((20_000, values, values))
        for arm in (a, b):
            rest = arm - arm.mean(axis=1, keepdims=True)
            V += np.einsum("rni,rnj->rij", rest, rest) / arm.shape[1] / (arm.shape[1] - 1)
        W = np.einsum("ri,rij,rj->r", gap, np.linalg.inv(V), gap)
        rejected = (stats.chi2.isf(0.05, values) < W).mean()
        assert chi_squared_size(values, treated, comparison) == pytest.approx(rejected, rel=0.15)
    said = fit(panel(0, (*[2004] * 6, *[np.nan] * 12))).attrs["warnings"]
    assert any("chi-squared test of 3 values on 6 treated and 12 comparison" in sentence for sentence in said)
    joint = fit(panel(0, (*[2004] * 3, *[np.nan] * 12))).set_index("estimand").loc["pretrend"]
    rows = joint if isinstance(joint, pd.DataFrame) else joint.to_frame().T
    assert rows["reason"].str.contains("3 clusters of an arm show no covariance of 3 values").any()


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_constant_outcome_has_a_reason(value: float) -> None:
    out = fit(panel().assign(y=value), inference=["analytical", "multiplier_bootstrap", "cr1"])
    assert (out["status"] == "not_estimable").all()
    assert out["estimate"].isna().all()


def test_covariates_that_predict_treatment_leave_rows_with_a_reason() -> None:
    frame = panel(11)
    frame["z"] = frame["g"].notna().astype(float) + 0.01 * frame["x"]
    for method in ("dr", "ipw"):
        out = fit(frame, covariates="z", method=method)
        assert (out["status"] == "not_estimable").all()
        assert "no overlap" in out["reason"].iloc[0]
    frame["z"] = frame["x"].where(frame["g"].eq(2004), 0.0)
    out = fit(frame, covariates="z", method="reg")
    cells = pointwise(out)[lambda f: f["event_time"].notna()].groupby("cohort")["status"].agg(set)
    assert cells.to_dict() == {2003: {"ok"}, 2004: {"not_estimable"}}
    assert out["status"].iloc[0] == "ok"  # over the cells that are left, and a warning says which are not
    assert any("left out of the averages: cohort 2004 in 2004, cohort 2004 in 2005" in w for w in out.attrs["warnings"])


def test_covariates_that_add_nothing_are_named_and_move_nothing() -> None:
    frame = panel(12).assign(one=1.0, twice=lambda f: 2 * f["x"] - 3)
    out = fit(frame, covariates=["one", "x", "twice"])
    pd.testing.assert_frame_equal(out[NUMBERS], fit(frame, covariates="x")[NUMBERS], rtol=1e-9)
    assert [w.split("'")[1] for w in out.attrs["warnings"] if "adds nothing" in w] == ["one", "twice"]


def test_words_that_are_not_known() -> None:
    frame = panel()
    for change in ({"method": "drr"}, {"base_period": "fixed"}, {"unbalanced": "keep"}, {"fix_weights": "late"}, {"panel": "no"},
                   {"aggregate": "cohort"}, {"inference": "cr2"}, {"draws": 0}, {"panel": False, "fix_weights": "varying"},
                   {"cluster": ["u", "t"]}, {"methd": "dr"}, {"unit": None}):  # fmt: skip
        with pytest.raises(UsageError):
            fit(frame, **change)
