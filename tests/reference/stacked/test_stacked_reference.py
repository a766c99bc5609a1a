"""Stacked estimates against diff-diff, a stack built row by row, its own sub-experiments, and a case worked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import p4equity
import pandas as pd
import pytest
import statsmodels.api as sm
from p4equity.errors import StudyError, UsageError

HERE = Path(__file__).parent
# (window, comparison): average with its error, then effects by event time.
CASTLE: dict[tuple[tuple[int, int], str], dict[int | None, tuple[float, float]]] = {
    ((3, 1), "not_yet"): {
        None: (0.025134301445788362, 0.041645715327890784), -3: (-0.011770592449975152, 0.04708343680416125),
        -2: (-0.08897728620558779, 0.0422248452900757), 0: (0.03536815841510413, 0.062153209064563876),
        1: (0.014900444476472595, 0.04222673136600171),
    },
    ((3, 2), "never"): {
        None: (0.01648208716976969, 0.04434817781912795), -3: (-0.02752227585413065, 0.05081797410898486),
        2: (0.03319910003614491, 0.05498572368365666),
    },
    ((3, 2), "not_yet"): {None: (0.018640592934044017, 0.044103743305359926), 2: (0.030654606297801364, 0.054490158105187904)},
}  # fmt: skip
STAGGERED: dict[str, dict[int | None, tuple[float, float]]] = {
    "not_yet": {
        None: (0.03822494309695271, 0.016921646337029358), -3: (-0.007740554591541883, 0.023193861118108308),
        0: (0.03601350237986877, 0.019618695134119547), 1: (0.04043638381403665, 0.019430238847470017),
    },
    "never": {
        None: (0.04194459817251871, 0.01606133644987178), -2: (-0.010016939311677728, 0.01731166284392407),
        0: (0.03829842941272319, 0.01870384756418975), 1: (0.045590766932314224, 0.019148608309415973),
    },
}  # fmt: skip
PRACTICES: dict[str, Any] = {"outcome": "rate", "unit": "practice", "time": "year", "cohort": "first_treat"}


@pytest.fixture(scope="module")
def castle() -> pd.DataFrame:
    from causaldata import castle

    frame = castle.load_pandas().data[["sid", "year", "l_homicide", "post"]]
    start = frame[frame["post"] > 0].groupby("sid")["year"].min()
    return frame.assign(cohort=frame["sid"].map(start))


@pytest.fixture(scope="module")
def staggered() -> pd.DataFrame:
    frame = pd.read_csv(HERE.parent / "interaction_weighted" / "staggered.csv")
    return frame[frame["race"] == "A"].assign(z=lambda f: f["x"] * (f["year"] - 2018))


def fit(frame: pd.DataFrame, **options: Any) -> pd.DataFrame:
    out = p4equity.fit("stacked", frame, **options)
    return out[out["interval"] == "pointwise"]


def agree(out: pd.DataFrame, expected: dict[int | None, tuple[float, float]]) -> None:
    att = out[out["estimand"] == "att"]
    for event, (estimate, error) in expected.items():
        row = att.iloc[0] if event is None else att[att["event_time"] == event].iloc[0]
        assert row["estimate"] == pytest.approx(estimate, abs=1e-10)
        assert row["std_error"] == pytest.approx(error, rel=1e-7)


@pytest.mark.parametrize(("window", "comparison"), CASTLE)
def test_castle_equals_diff_diff(castle: pd.DataFrame, window: tuple[int, int], comparison: str) -> None:
    options = {"outcome": "l_homicide", "unit": "sid", "time": "year", "cohort": "cohort"}
    out = fit(castle, window=window, comparison=comparison, inference="cr1", **options)
    agree(out, CASTLE[window, comparison])
    if window == (3, 1):  # the comparison of libraries that first gave this number printed .02513432
        assert out["estimate"].iloc[0] == pytest.approx(0.02513432, abs=3e-8)
        assert "its window of 3 periods before and 1 after does not fit into the data" in out["reason"].iloc[-1]


@pytest.mark.parametrize("comparison", STAGGERED)
def test_unbalanced_staggered_panel_equals_diff_diff(staggered: pd.DataFrame, comparison: str) -> None:
    agree(fit(staggered, window=(3, 1), comparison=comparison, inference="cr1", **PRACTICES), STAGGERED[comparison])


def by_hand(frame: pd.DataFrame, pre: int, post: int, weight: str) -> pd.DataFrame:
    """The stack and its weights as the paper's code makes them, with sums of weights for counts."""
    parts = []
    for a in (2021, 2022, 2023, 2024):
        own = frame[(frame["first_treat"] == a) | frame["first_treat"].isna() | (frame["first_treat"] > a + post)]
        own = own[own["year"].between(a - pre, a + post)]
        parts.append(own.assign(a=a, e=own["year"] - a, D=(own["first_treat"] == a).astype(float)))
    out = pd.concat(parts, ignore_index=True)
    out["D_w"], out["C_w"] = out["D"] * out[weight], (1 - out["D"]) * out[weight]
    for name, keys in (("all", ["e"]), ("sub", ["a", "e"])):
        out[[f"{name}_D", f"{name}_C"]] = out.groupby(keys)[["D_w", "C_w"]].transform("sum")
    share = (out["sub_D"] / out["all_D"]) / (out["sub_C"] / out["all_C"])
    return out.assign(q=out[weight] * np.where(out["D"] == 1, 1.0, share))


def test_weights_and_covariates_equal_a_stack_built_row_by_row(staggered: pd.DataFrame) -> None:
    stack = by_hand(staggered, 3, 1, "n")
    events = [-3, -2, 0, 1]
    X = np.column_stack([
        *((stack["D"] * (stack["e"] == e)).to_numpy() for e in events), stack["z"], stack["D"],
        pd.get_dummies(stack["e"], dtype=float),
    ])  # fmt: skip
    groups = pd.factorize(stack["system"])[0]
    model = sm.WLS(stack["rate"], X, weights=stack["q"]).fit(cov_type="cluster", cov_kwds={"groups": groups})
    out = fit(staggered, window=(3, 1), weights="n", covariates="z", parent="system", comparison="not_yet", inference="cr1",
              **PRACTICES)  # fmt: skip
    found = out[(out["estimand"] == "att") & out["event_time"].notna()]
    np.testing.assert_allclose(found["estimate"], model.params[:4], atol=1e-10)
    np.testing.assert_allclose(found["std_error"], model.bse[:4], rtol=1e-7)
    assert out["estimate"].iloc[0] == pytest.approx(model.params[2:4].mean(), abs=1e-10)
    # Every unit is one cluster, in however many sub-experiments it serves; cells and members count once.
    used = stack.drop_duplicates(["practice", "year"])
    assert out["n_clusters"].iloc[0] == staggered["system"].nunique()
    assert out["n_cells"].iloc[0] == len(used)
    assert out["n_members"].iloc[0] == used["n"].sum()


@pytest.mark.parametrize("weights", [None, "n"])
def test_it_is_the_average_of_its_sub_experiments(staggered: pd.DataFrame, weights: str | None) -> None:
    """Each event time averages the sub-experiments by their shares of the treated; the row of a cohort is its own 2x2 path."""
    frame = staggered[staggered.groupby("practice")["year"].transform("size") == 8]
    options = {**PRACTICES, "weights": weights, "window": (2, 1), "comparison": "not_yet", "inference": "none"}
    out = fit(frame, aggregate="cohort", **options)
    cohorts = out[out["cohort"].notna() & out["event_time"].isna()].set_index("cohort")["estimate"]
    assert list(cohorts.index) == [2021, 2022, 2023, 2024]
    size = frame.assign(w=frame[weights] if weights else 1.0)
    effects = {}
    for a in cohorts.index:
        clean = frame["first_treat"].isna() | (frame["first_treat"] > a + 1)
        own = size[(frame["first_treat"] == a) | clean]
        mean = own.groupby([own["first_treat"] == a, "year"])[["rate", "w"]].apply(
            lambda g: np.average(g["rate"], weights=g["w"])
        )
        path = mean[True] - mean[False]
        effects[a] = {e: path[a + e] - path[a - 1] for e in (-2, 0, 1)}
        assert cohorts[a] == pytest.approx((effects[a][0] + effects[a][1]) / 2, abs=1e-10)
    if weights is None:
        counts = frame.groupby("first_treat")["practice"].nunique()
        share = {a: counts[a] / counts.sum() for a in cohorts.index}
        found = out[out["event_time"].notna()].set_index("event_time")["estimate"]
        for e in (-2, 0, 1):
            assert found[e] == pytest.approx(sum(share[a] * effects[a][e] for a in effects), abs=1e-10)


def test_stack_by_hand() -> None:
    # Cohort 3: A moves 0, 0, 4, 6 in periods 1 to 4; cohort 4: B and C 1, 1, 1, 3 (and 5 in 5); never N: 0, 1, 2, 3, 4.
    # Window (1, 1): cohort 3 against N (and nobody later: cohort 4 starts within its window): 4 - 1, 6 - 2.
    # Cohort 4 against N: 2 - 1, 4 - 2. Shares 1/3 and 2/3: e = 0: (3 + 2 * 1) / 3, e = 1: (4 + 2 * 2) / 3.
    paths = {"A": (0, 0, 4, 6, 6), "B": (1, 1, 1, 3, 5), "C": (1, 1, 1, 3, 5), "N": (0, 1, 2, 3, 4)}
    start = {"A": 3, "B": 4, "C": 4}
    rows = [(u, t + 1, y, start.get(u)) for u, path in paths.items() for t, y in enumerate(path)]
    frame = pd.DataFrame(rows, columns=["u", "t", "y", "g"])
    options = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g", "inference": "none"}
    out = fit(frame, window=(1, 1), **options)
    found = out[out["event_time"].notna()].set_index("event_time")["estimate"]
    assert found[0] == pytest.approx(5 / 3, abs=1e-12)
    assert found[1] == pytest.approx(8 / 3, abs=1e-12)
    assert out["estimate"].iloc[0] == pytest.approx(13 / 6, abs=1e-12)
    assert out.set_index("estimand").loc["pretrend", "status"] == "not_estimable"
    same = fit(frame, window=(-1, 1), comparison="not_yet", **options)
    assert same["estimate"].iloc[0] == pytest.approx(13 / 6, abs=1e-12)
    # By default the widest window that both cohorts have: two periods before, one after.
    assert set(fit(frame, **options)["event_time"].dropna()) == {-2, 0, 1}
    # With no period after the first, cohort 4 is a clean comparison of cohort 3: 4 - mean(1, 0, 0), while N serves cohort 4.
    short = fit(frame, window=(1, 0), comparison="not_yet", **options)
    assert short["estimate"].iloc[0] == pytest.approx((4 - 1 / 3 + 2 * 1) / 3, abs=1e-12)


def test_windows_that_do_not_fit() -> None:
    rows = [(u, t, {0: 2012, 1: 2012, 2: 2014}.get(u)) for u in range(6) for t in range(2010, 2016)]
    frame = pd.DataFrame(rows, columns=["u", "t", "g"]).assign(y=lambda f: np.sin(f["u"] * f["t"]))
    options = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g", "inference": "none"}
    for bad in ((0, 1), (1, -1), 3, (1.5, 1), ("a", 1), (True, 1)):
        with pytest.raises(UsageError, match="not a window"):
            fit(frame, window=bad, **options)
    with pytest.raises(StudyError, match="no treated unit left"):
        fit(frame, window=(5, 5), **options)
    with pytest.raises(UsageError, match="event time -5"):
        fit(frame, window=(2, 1), reference_period=-5, **options)
    late = fit(frame, window=(3, 1), **options)
    assert late["cohort"].iloc[0] == 2014
    assert {d["unit"] for d in late.attrs["dropped"]} == {"0", "1"}
