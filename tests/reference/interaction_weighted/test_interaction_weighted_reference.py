"""Interaction-weighted estimates against fixest's sunab, diff-diff, a regression with dummies, and a case worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import p4equity
import pandas as pd
import pytest
import statsmodels.api as sm

HERE = Path(__file__).parent
EXPECTED = pd.read_csv(HERE / "expected.csv")
# Effects and errors by event time; the first pair is the average over treated cells.
DIFF_DIFF = {
    None: (0.06245851665117654, 0.022668538872059208),
    -5: (-0.035369, 0.026935), -4: (-0.009248, 0.031239), -3: (-0.002107, 0.020047), -2: (-0.010196, 0.018314),
    0: (0.038298, 0.019213), 1: (0.045591, 0.017493), 2: (0.090265, 0.029122), 3: (0.089943, 0.043969),
}  # fmt: skip


@pytest.fixture(scope="module")
def castle() -> pd.DataFrame:
    from causaldata import castle

    frame = castle.load_pandas().data[["sid", "year", "l_homicide", "post", "popwt"]]
    start = frame[frame["post"] > 0].groupby("sid")["year"].min() - 1
    return frame.assign(cohort=frame["sid"].map(start))


@pytest.fixture(scope="module")
def staggered() -> pd.DataFrame:
    frame = pd.read_csv(HERE / "staggered.csv")
    return frame[frame["race"] == "A"]


CASTLE = {"outcome": "l_homicide", "unit": "sid", "time": "year", "cohort": "cohort", "weights": "popwt"}
PRACTICES = {"outcome": "rate", "unit": "practice", "parent": "system", "time": "year", "cohort": "first_treat"}


def points(out: pd.DataFrame) -> pd.DataFrame:
    return out[(out["interval"] == "pointwise") & (out["estimand"] == "att")]


def compare(found: pd.DataFrame, expected: pd.DataFrame, key: str) -> int:
    """Estimates to 1e-7 in every row, errors where three treated clusters allow one; the number of errors compared."""
    errors = 0
    for _, row in expected.iterrows():
        mine = found[found[key] == int(row["term"].split("::")[1])]
        assert len(mine) == 1
        assert mine["estimate"].iloc[0] == pytest.approx(row["estimate"], abs=1e-7)
        if "std_error" in mine and mine["std_error"].notna().all():
            errors += 1
            assert mine["std_error"].iloc[0] == pytest.approx(row["se"], rel=1e-6)
            assert mine["p_value"].iloc[0] == pytest.approx(row["p"], rel=1e-5)
    return errors


def rows_of(dataset: str, kind: str, inference: str = "cr1") -> pd.DataFrame:
    out = EXPECTED[(EXPECTED["dataset"] == dataset) & (EXPECTED["estimator"] == f"sunab/{kind}")]
    out = out[out["vcov"].str.contains("iid") == (inference == "iid")]
    assert len(out)
    return out


def test_castle_by_period_cohort_and_over_all_equals_sunab(castle: pd.DataFrame) -> None:
    out = points(p4equity.fit("interaction_weighted", castle, inference="none", aggregate="cohort", **CASTLE))
    robust = points(p4equity.fit("interaction_weighted", castle, inference="cr1", aggregate="cohort", **CASTLE))
    robust = robust[robust["status"] == "ok"]
    total = rows_of("castle", "att").iloc[0]
    assert out["estimate"].iloc[0] == pytest.approx(total["estimate"], abs=1e-7)
    assert robust["std_error"].iloc[0] == pytest.approx(total["se"], rel=1e-6)
    assert robust["p_value"].iloc[0] == pytest.approx(total["p"], rel=1e-5)
    events, cohorts = rows_of("castle", "period"), rows_of("castle", "cohort")
    compare(out[out["event_time"].notna()], events, "event_time")
    compare(out[out["cohort"].notna()], cohorts, "cohort")
    inside = events[~events["term"].isin(["year::-9", "year::5"])]  # one state each: no error of their own
    assert compare(robust[robust["event_time"].notna()], inside, "event_time") == 12
    several = cohorts[cohorts["term"].isin(["cohort::2006", "cohort::2007"])]
    assert compare(robust[robust["cohort"].notna()], several, "cohort") == 2


def test_castle_by_cohort_and_period_equals_sunab(castle: pd.DataFrame) -> None:
    out = points(p4equity.fit("interaction_weighted", castle, inference="none", aggregate="cohort_event", **CASTLE))
    found = out[out["cohort"].notna()].set_index(["event_time", "cohort"])
    expected = rows_of("castle", "cohort_x_period")
    assert found["estimate"].notna().sum() == len(expected) == 50
    for _, row in expected.iterrows():
        _, event, cohort = row["term"].split("::")
        mine = found.loc[(int(event.split(":")[0]), int(cohort))]
        assert mine["estimate"] == pytest.approx(row["estimate"], abs=1e-7)


@pytest.mark.parametrize(
    ("race", "inference"), [*((race, "cr1") for race in ("White", "Black", "Hispanic", "Asian", None)), (None, "iid")]
)
def test_practices_and_gaps_of_systems_equal_sunab(race: str | None, inference: str) -> None:
    """One cohort: practices of one race in systems, weighted; and without a race the gaps of systems, unweighted."""
    if race:
        frame = pd.read_csv(HERE.parent / "triple_difference" / "hs_common.csv")
        frame = frame[frame["race"] == race].assign(first_treat=lambda f: f["first_treat"].where(f["treated"] == 1))
        options, name, subset = PRACTICES | {"weights": "n"}, "hs_common", EXPECTED["subset"] == f"race=={race}"
    else:
        frame = pd.read_csv(HERE.parent / "did" / "hs_common_system_year.csv")
        frame = frame.assign(first_treat=frame["first_treat"].where(frame["treated"] == 1))
        options, name = PRACTICES | {"outcome": "gap", "unit": "system"}, "hs_common_system_year"
        subset = EXPECTED["subset"].isna()
    out = points(p4equity.fit("interaction_weighted", frame, inference=inference, aggregate="cohort", **options))
    expected = {kind: rows_of(name, kind, inference).loc[lambda r: subset[r.index]] for kind in ("att", "period", "cohort")}
    total = expected["att"].iloc[0]
    assert out["estimate"].iloc[0] == pytest.approx(total["estimate"], abs=1e-7)
    assert out["std_error"].iloc[0] == pytest.approx(total["se"], rel=1e-6)
    assert out["p_value"].iloc[0] == pytest.approx(total["p"], rel=1e-5)
    assert compare(out[out["event_time"].notna()], expected["period"], "event_time") == 7
    assert compare(out[out["event_time"].isna()].iloc[1:], expected["cohort"], "cohort") == 1


def test_unbalanced_staggered_panel_equals_diff_diff(staggered: pd.DataFrame) -> None:
    out = points(p4equity.fit("interaction_weighted", staggered, inference="cr1", **PRACTICES))
    assert out["estimate"].iloc[0] == pytest.approx(DIFF_DIFF[None][0], abs=1e-10)
    assert out["std_error"].iloc[0] == pytest.approx(DIFF_DIFF[None][1], rel=1e-6)
    found = out[out["event_time"].notna()].set_index("event_time")
    for event, (effect, se) in DIFF_DIFF.items():
        if event is not None:
            assert found.loc[event, "estimate"] == pytest.approx(effect, abs=6e-7)
            assert found.loc[event, "std_error"] == pytest.approx(se, abs=6e-7)


def test_covariates_and_weights_equal_a_regression_with_dummies(staggered: pd.DataFrame) -> None:
    frame = staggered.assign(z=staggered["x"] * (staggered["year"] - 2018)).reset_index(drop=True)
    out = p4equity.fit(
        "interaction_weighted", frame, covariates="z", weights="n", inference=["none", "cr1"], ssc="none", **PRACTICES
    )
    event = frame["year"] - frame["first_treat"]
    cells = frame.assign(e=event)[event.notna() & (event != -1)].groupby(["first_treat", "e"])["n"].sum()
    columns = [((frame["first_treat"] == c) & (event == e)).astype(float) for c, e in cells.index]
    dummies = pd.get_dummies(frame[["practice", "year"]].astype(str), dtype=float).drop(columns="year_2018")
    X = np.column_stack([*columns, frame["z"], dummies])
    model = sm.WLS(frame["rate"], X, weights=frame["n"]).fit(cov_type="cluster", cov_kwds={
        "groups": pd.factorize(frame["system"])[0], "use_correction": False})  # fmt: skip
    post = np.array([e >= 0 for _, e in cells.index])
    share = np.where(post, cells, 0.0) / cells[post].sum()
    contrast = np.r_[share, np.zeros(X.shape[1] - len(share))]
    first = out.groupby("inference").first()
    assert first.loc["none", "estimate"] == pytest.approx(float(contrast @ model.params), abs=1e-9)
    groups = frame["system"].nunique()
    se = float(np.sqrt(contrast @ np.asarray(model.cov_params()) @ contrast * groups / (groups - 1)))
    assert first.loc["cr1", "std_error"] == pytest.approx(se, rel=1e-6)


def test_two_cohorts_by_hand() -> None:
    # Never treated: 0, 1, 1, 2 (twice). Cohort 2 (two units): 1, 5, 6, 8. Cohort 3 (one unit): 2, 3, 9, 11.
    # Against never treated and each one's period before: cohort 2: 3, 4, 5 at e = 0, 1, 2; cohort 3: 6, 7 at e = 0, 1, lead 0.
    paths = {"N1": (0, 1, 1, 2), "N2": (0, 1, 1, 2), "A": (1, 5, 6, 8), "B": (1, 5, 6, 8), "C": (2, 3, 9, 11)}
    start = {"A": 2, "B": 2, "C": 3}
    rows = [(u, t + 1, y, start.get(u)) for u, path in paths.items() for t, y in enumerate(path)]
    frame = pd.DataFrame(rows, columns=["u", "t", "y", "g"])
    options = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g", "inference": "none"}
    out = p4equity.fit("interaction_weighted", frame, aggregate="cohort", **options)
    assert out["estimate"].iloc[0] == pytest.approx((2 * (3 + 4 + 5) + 6 + 7) / 8, abs=1e-12)
    assert out.set_index("estimand").loc["att_dynamic", "estimate"] == pytest.approx((4 + 5 + 5) / 3, abs=1e-12)
    found = out[out["event_time"].notna()].set_index("event_time")["estimate"]
    assert [found[e] for e in (-2, 0, 1, 2)] == pytest.approx([0.0, 4.0, 5.0, 5.0], abs=1e-12)
    assert list(out[out["cohort"].notna()]["estimate"]) == pytest.approx([4.0, 6.5], abs=1e-12)
    # Without never treated units the last cohort serves, and periods from its start on go.
    late = p4equity.fit("interaction_weighted", frame[frame["g"].notna()], comparison="not_yet", **options)
    assert late["estimate"].iloc[0] == pytest.approx(4.0 - 1.0, abs=1e-12)
    assert "no untreated comparison unit in this period" in late["reason"].iloc[-1]
