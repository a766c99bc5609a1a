"""Imputation against did2s, didimputation and diff-diff, its own weights, and a case worked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import p4equity
import pandas as pd
import pytest

HERE = Path(__file__).parent
EXPECTED = pd.read_csv(HERE / "expected.csv")
DIFF_DIFF: dict[str, tuple[dict[str, Any], float, float]] = {
    "bjs": ({}, 0.0637936739307892, 0.019576156510000657),
    "gmm": ({"variance": "gmm"}, 0.0637936739307892, 0.020365783872804338),
    "covariate": ({"covariates": "z"}, 0.07374278726193134, 0.01418929265169144),
    "covariate, gmm": ({"covariates": "z", "variance": "gmm"}, 0.07374278726193134, 0.01521318054527308),
    "by event time": ({"auxiliary": "event"}, 0.0637936739307892, 0.019854215487756715),
    "by cohort": ({"auxiliary": "cohort"}, 0.0637936739307892, 0.019643253162765748),
    "leave out": ({"leave_out": True, "cluster": "practice"}, 0.0637936739307892, 0.022561611355407223),
    "weights": ({"weights": "wt", "variance": "exact"}, 0.05296649944158115, 0.025218662959928712 * np.sqrt(14 / 15)),
}
HORIZONS = {
    0: (0.04176163631138358, 0.016105318698324912), 1: (0.04669014959402484, 0.016616966322084148),
    2: (0.08838271089284544, 0.026214693194882333), 3: (0.08930570043131303, 0.03521749210367922),
    4: (0.09006200711504767, 0.019739272126720966),
}  # fmt: skip


def first_treated(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(cohort=frame["first_treat"].where(frame["treated"] == 1))


@pytest.fixture(scope="module")
def practices() -> pd.DataFrame:
    return first_treated(pd.read_csv(HERE.parent / "triple_difference" / "hs_common.csv"))


@pytest.fixture(scope="module")
def gap() -> pd.DataFrame:
    return first_treated(pd.read_csv(HERE.parent / "did" / "hs_common_system_year.csv"))


@pytest.fixture(scope="module")
def staggered() -> pd.DataFrame:
    frame = pd.read_csv(HERE.parent / "interaction_weighted" / "staggered.csv")
    frame = frame[frame["race"] == "A"]
    first = frame.groupby("practice")["n"].transform("first")
    return frame.assign(z=frame["x"] * (frame["year"] - 2018), wt=first)


@pytest.fixture(scope="module")
def castle() -> pd.DataFrame:
    from causaldata import castle

    frame = castle.load_pandas().data[["sid", "year", "l_homicide", "post", "popwt"]]
    start = frame[frame["post"] > 0].groupby("sid")["year"].min()
    return frame.assign(cohort=frame["sid"].map(start))


def fit(frame: pd.DataFrame, **options: Any) -> pd.DataFrame:
    return p4equity.fit("imputation", frame, **{"time": "year", "cohort": "cohort", **options})


PRACTICES = {"outcome": "rate", "unit": "practice", "parent": "system"}


def row(number: int) -> pd.Series:
    return EXPECTED[EXPECTED["row"] == number].iloc[0]


def agree(found: pd.Series, expected: pd.Series, sign: float = 1.0) -> None:
    assert found["status"] == "ok"
    assert found["estimate"] == pytest.approx(sign * expected["estimate"], abs=1e-7)
    assert found["std_error"] == pytest.approx(expected["se"], rel=1e-6)


@pytest.mark.parametrize(("number", "weights"), [(170, "popwt"), (171, None)])
def test_castle_equals_did2s(castle: pd.DataFrame, number: int, weights: str | None) -> None:
    found = fit(castle, outcome="l_homicide", unit="sid", weights=weights, variance="gmm").iloc[0]
    agree(found, row(number))
    assert found["p_value"] == pytest.approx(2 * (1 - _normal(abs(found["statistic"]))), rel=1e-6)


def test_castle_bjs_equals_the_published_comparison(castle: pd.DataFrame) -> None:
    """Estimate and error that diff-diff, did_imputation (Python) and py2sdid agree on, to the digits printed."""
    found = fit(castle, outcome="l_homicide", unit="sid").iloc[0]
    assert found["estimate"] == pytest.approx(0.06689986, abs=4e-8)
    assert found["std_error"] == pytest.approx(0.05669, abs=5e-6)


def _normal(z: float) -> float:
    from scipy.stats import norm

    return float(norm.cdf(z))


@pytest.mark.parametrize(
    ("number", "options"),
    [
        (256, {"weights": "n", "variance": "gmm"}),
        (257, {"variance": "gmm"}),
        (258, {"weights": "n", "variance": "gmm", "cluster": "practice"}),
        (266, {"weights": "n", "variance": "bjs"}),
        (267, {"variance": "bjs"}),
        (267, {"variance": "exact"}),
        (268, {"weights": "n", "variance": "bjs", "cluster": "practice"}),
    ],
)
def test_practices_equal_r(practices: pd.DataFrame, number: int, options: dict[str, Any]) -> None:
    agree(fit(practices[practices["race"] == "Black"], **PRACTICES, **options).iloc[0], row(number))


@pytest.mark.parametrize(("variance", "numbers"), [("gmm", (263, 264, 265)), ("bjs", (276, 277, 278))])
def test_horizons_of_practices_equal_r(practices: pd.DataFrame, variance: str, numbers: tuple[int, ...]) -> None:
    out = fit(practices[practices["race"] == "Black"], weights="n", variance=variance, horizons=True, **PRACTICES)
    found = out[(out["interval"] == "pointwise") & (out["estimand"] == "att") & out["event_time"].notna()].set_index("event_time")
    assert list(found.index) == [0, 1, 2]
    for e, number in enumerate(numbers):
        agree(found.loc[e], row(number))


@pytest.mark.parametrize("variance", ["bjs", "gmm"])
def test_leads_equal_didimputation(practices: pd.DataFrame, variance: str) -> None:
    out = fit(practices[practices["race"] == "Black"], weights="n", variance=variance, **PRACTICES)
    rows = out[(out["estimand"] == "pretrend") & (out["interval"] == "pointwise")]
    found = rows[rows["event_time"].notna()].set_index("event_time")
    for number in range(272, 276):
        agree(found.loc[int(row(number)["term"])], row(number))
    assert len(found) == 4
    # A list of leads: the others, and the last one, are what they are measured from.
    some = fit(practices[practices["race"] == "Black"], weights="n", pretrends=[-2], **PRACTICES)
    black = practices[(practices["race"] == "Black") & ~(practices["year"] >= practices["cohort"])]
    placebo = black.assign(d=(black["cohort"] - black["year"] == 2).astype(float))
    brute = _two_way(placebo, "d")
    lead = some[(some["estimand"] == "pretrend") & (some["event_time"] == -2)].iloc[0]
    assert lead["estimate"] == pytest.approx(brute, abs=1e-10)


def _two_way(frame: pd.DataFrame, column: str) -> float:
    dummies = pd.get_dummies(frame[["practice", "year"]].astype(str), dtype=float).to_numpy()
    root = np.sqrt(frame["n"].to_numpy(float))[:, None]
    X = np.column_stack([frame[column], dummies]) * root
    return float(np.linalg.lstsq(X, frame["rate"].to_numpy() * root[:, 0], rcond=None)[0][0])


def test_gaps_of_systems_equal_r(gap: pd.DataFrame) -> None:
    options = {"outcome": "gap", "unit": "system", "horizons": True}
    for variance, numbers in (("gmm", (288, 293, 294, 295)), ("bjs", (296, 297, 298, 299))):
        out = fit(gap, variance=variance, **options)
        rows = out[(out["interval"] == "pointwise") & (out["estimand"] == "att")]
        for i, number in enumerate(numbers):
            agree(rows.iloc[i], row(number))


@pytest.mark.parametrize(
    ("unit", "numbers"), [("system", (279, 285, 286, 287)), ("practice", (280,))], ids=["systems", "practices in systems"]
)
def test_triple_difference_equals_did2s(practices: pd.DataFrame, unit: str, numbers: tuple[int, ...]) -> None:
    """The toolkit's gap is reference minus group: the sign turns."""
    out = fit(
        practices, outcome="rate", unit=unit, parent="system", weights="n", group="race", reference="White", variance="gmm",
        form="triple_difference", horizons=True,
    )  # fmt: skip
    rows = out[(out["interval"] == "pointwise") & (out["estimand"] == "att_gap") & (out["group"] == "pooled")]
    for i, number in enumerate(numbers):
        agree(rows.iloc[i], row(number), sign=-1.0)


def test_triple_difference_of_two_groups_imputes_the_gap(practices: pd.DataFrame) -> None:
    two = practices[practices["race"].isin(["White", "Black"])]
    options = {**PRACTICES, "unit": "system", "group": "race", "reference": "White", "weights": "n", "inference": "none"}
    triple = fit(two, form="triple_difference", horizons=[0], aggregate="cohort", **options)
    gaps = fit(two, horizons=[0], **options)
    one = two[two["cohort"].isna() | (two["system"] == "S01")]
    single = fit(one, form="triple_difference", horizons=[0], **options), fit(one, horizons=[0], **options)
    at = [out[(out["estimand"] == "att_gap") & (out["event_time"] == 0)]["estimate"].iloc[0] for out in single]
    assert at[0] == pytest.approx(at[1], abs=1e-10)  # one treated cell: no average that weights could change
    assert triple["estimate"].iloc[0] == pytest.approx(gaps["estimate"].iloc[0], abs=0.003)


@pytest.mark.parametrize("case", DIFF_DIFF)
def test_unbalanced_staggered_panel_equals_diff_diff(staggered: pd.DataFrame, case: str) -> None:
    options, estimate, error = DIFF_DIFF[case]
    found = fit(staggered, **{**PRACTICES, "cohort": "first_treat", **options}).iloc[0]
    assert found["estimate"] == pytest.approx(estimate, abs=1e-9)
    assert found["std_error"] == pytest.approx(error, rel=2e-5 if case == "weights" else 1e-6)  # solved by iteration there


def test_horizons_of_an_unbalanced_staggered_panel_equal_diff_diff(staggered: pd.DataFrame) -> None:
    out = fit(staggered, horizons=True, **{**PRACTICES, "cohort": "first_treat"})
    rows = out[(out["interval"] == "pointwise") & (out["estimand"] == "att") & out["event_time"].notna()].set_index("event_time")
    for e, (estimate, error) in HORIZONS.items():
        assert rows.loc[e, "estimate"] == pytest.approx(estimate, abs=1e-9)
        assert rows.loc[e, "std_error"] == pytest.approx(error, rel=1e-6)


def test_weights_of_the_estimate_and_those_of_didimputation() -> None:
    """`back` gives the weights of the estimate itself, whatever the effects; with squared weights it no longer does."""
    from p4equity.estimators.imputed import _squared_back
    from p4equity.estimators.untreated_model import UntreatedModel
    from p4equity.inference.sweeping import dummies

    rng = np.random.default_rng(3)
    unit, time = np.repeat(np.arange(9), 6), np.tile(np.arange(6), 9)
    kept = rng.random(54) < 0.9
    unit, time = unit[kept], time[kept]
    treated = ((unit < 2) & (time >= 3)) | ((unit == 2) & (time >= 4))
    w, y = rng.uniform(1, 9, len(unit)), rng.normal(size=(len(unit), 1))
    crossed = np.column_stack([dummies(time), rng.normal(size=len(unit))])
    own = np.where(treated, w, 0.0)[:, None] / w[treated].sum()
    for nested, block in (([unit], unit), ([unit, 100 * (unit // 3) + time], unit // 3)):
        model = UntreatedModel(treated & (unit != 0), w, nested, block, crossed)
        able = model.treated & model.predicted[1]
        target = own * able[:, None]
        v = model.back(target)
        assert float((v * y).sum()) == pytest.approx(float((target * model.residuals(y)).sum()), abs=1e-12)
        Z = np.column_stack([*(dummies(e) for e in nested), crossed])[~model.treated]
        assert np.abs(Z.T @ v[~model.treated] + np.column_stack([*(dummies(e) for e in nested), crossed])[model.treated].T
                      @ v[model.treated]).max() < 1e-10  # fmt: skip
        assert abs(float((_squared_back(model, target) * y).sum()) - float((v * y).sum())) > 1e-6


def test_few_treated_cells_are_imputed_not_zero() -> None:
    """did_imputation 0.1.0 answers 0.0 with error 0.0 where the effective number of treated cells is below its `minn`."""
    rng = np.random.default_rng(0)
    rows = [(u, t, 2024 if u < 3 else None) for u in range(9) for t in range(2018, 2026)]
    frame = pd.DataFrame(rows, columns=["u", "year", "cohort"]).assign(y=lambda f: rng.normal(0, 0.1, len(f)))
    frame["y"] += 5.0 * (frame["year"] >= frame["cohort"])
    found = fit(frame, outcome="y", unit="u").iloc[0]
    assert found["estimate"] == pytest.approx(5.0, abs=0.3)
    assert found["std_error"] > 0.01
    alone = frame[~frame["u"].isin([1, 2]) & ~((frame["u"] == 0) & (frame["year"] == 2025))]
    single = fit(alone, outcome="y", unit="u", inference=["bjs", "gmm", "none"])
    assert (single["status"][single["inference"] != "none"] == "not_estimable").all()
    last = single[single["inference"] == "none"].iloc[0]
    assert last["estimate"] == pytest.approx(5.0, abs=0.5)


def test_multiplier_bootstrap_is_near_the_analytical_error(staggered: pd.DataFrame) -> None:
    options = {**PRACTICES, "cohort": "first_treat", "cluster": "practice", "horizons": True}
    for variance in ("bjs", "gmm"):
        exact = fit(staggered, variance=variance, **options)
        drawn = fit(staggered, variance=variance, inference="multiplier_bootstrap", draws=20_000, **options)
        assert drawn["std_error"].iloc[0] == pytest.approx(exact["std_error"].iloc[0], rel=0.05)
        assert drawn["estimate"].iloc[0] == exact["estimate"].iloc[0]


def test_what_cannot_be_imputed_is_named_and_never_zero() -> None:
    rows = [(u, t, g) for u, g in (("A", 3), ("B", 3), ("C", 5), ("D", 5)) for t in range(1, 7)]
    frame = pd.DataFrame(rows, columns=["u", "year", "cohort"])
    frame = frame[~((frame["u"] == "B") & (frame["year"] < 3))]
    frame["y"] = 1.0 + 2.0 * (frame["year"] >= frame["cohort"])
    out = fit(frame, outcome="y", unit="u", comparison="not_yet", inference="none", horizons=True, pretrends=False)
    assert out["estimate"].iloc[0] == pytest.approx(2.0, abs=1e-12)
    found = out[out["event_time"].notna()].set_index("event_time")
    assert list(found[found["status"] == "ok"].index) == [0, 1]  # A in periods 3 and 4, while C and D are untreated
    assert set(found[found["status"] == "not_estimable"].index) == {2, 3}
    assert found.loc[3, "reason"] == "no treated cell of it can be imputed from untreated ones"
    dropped = {(d["unit"], d["period"]): d["reason"] for d in out.attrs["dropped"]}
    assert dropped["A", "5, 6"] == "cannot be imputed: no untreated unit in this period"
    assert dropped["C", "5, 6"] == "cannot be imputed: no untreated unit in this period"
    assert dropped["B", ""] == "no period before its first treated period"
    assert "cannot be imputed" in out["reason"].iloc[-1]


def test_imputation_by_hand() -> None:
    # Never treated N: 1, 2, 4 and M: 3, 4, 6. Treated A from 3: 5, 6, 11; B from 2: 2, 5, 9.
    # Untreated: N, M in all periods, A in 1 and 2, B in 1. Periods move by +1, +2 for all: A predicted 8, B 3 and 5.
    paths = {"N": (1, 2, 4), "M": (3, 4, 6), "A": (5, 6, 11), "B": (2, 5, 9)}
    start = {"A": 3, "B": 2}
    rows = [(u, t + 1, y, start.get(u)) for u, path in paths.items() for t, y in enumerate(path)]
    frame = pd.DataFrame(rows, columns=["u", "year", "y", "cohort"])
    out = fit(frame, outcome="y", unit="u", horizons=True, aggregate="cohort", inference="none")
    assert out["estimate"].iloc[0] == pytest.approx((3 + 2 + 4) / 3, abs=1e-12)
    at = out[(out["estimand"] == "att") & out["event_time"].notna()]["estimate"]
    assert list(at) == pytest.approx([2.5, 4.0], abs=1e-12)
    by_cohort = out[(out["estimand"] == "att") & out["event_time"].isna()].iloc[1:]
    assert dict(zip(by_cohort["cohort"], by_cohort["estimate"], strict=True)) == pytest.approx({2: 3.0, 3: 3.0}, abs=1e-12)
    # Residuals are zero for N, M and A before treatment, so gmm sums what each unit deviates by: (0, 0)/3 and (-1 + 1)/3.
    moved = frame.assign(y=frame["y"] + (frame["u"] == "B") * (frame["year"] > 1))
    # Effects 3, 3, 5 about 11/3: A -2/3, B 2/3, over 3; every unit twice, for an error needs three an arm, halves the variance.
    twice = fit(pd.concat([moved, moved.assign(u=moved["u"] + "2")]), outcome="y", unit="u", variance="gmm")
    assert twice["std_error"].iloc[0] == pytest.approx(np.sqrt(2 * (2 / 9) ** 2 / 2), rel=1e-9)
    assert "2 treated clusters" in fit(moved, outcome="y", unit="u", variance="gmm")["reason"].iloc[0]


def test_auxiliary_cells_of_one_cluster_are_told(staggered: pd.DataFrame) -> None:
    options = {**PRACTICES, "cohort": "first_treat", "aggregate": "cohort"}
    out = fit(staggered, **options)
    assert any("cohorts of one treated cluster carry" in text for text in out.attrs["warnings"])
    only = staggered[staggered["first_treat"].isna() | staggered["system"].isin(["S01", "S04", "S09"])]  # a cohort each
    each = fit(only, **options).iloc[0]
    assert each["status"] == "not_estimable"
    assert "cohorts of one treated cluster carry 100%" in each["reason"]
    assert fit(only, variance="gmm", **options).iloc[0]["status"] == "ok"
    assert fit(only, auxiliary="event", **options).iloc[0]["status"] == "ok"


def test_unequal_weights_are_named_where_bjs_squares_them(practices: pd.DataFrame) -> None:
    black = practices[practices["race"] == "Black"]
    said = [any("squared weights" in w for w in fit(black, weights=w, variance=v, **PRACTICES).attrs["warnings"])
            for w, v in (("n", "bjs"), ("n", "exact"), (None, "bjs"))]  # fmt: skip
    assert said == [True, False, False]
