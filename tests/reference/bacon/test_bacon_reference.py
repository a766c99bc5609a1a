"""The decomposition against R's bacondecomp, the steps of its controlled version, the regression it takes apart, and by hand."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import UsageError

HERE = Path(__file__).parent
EXPECTED = pd.read_csv(HERE / "expected.csv")
KINDS = {
    "Treated vs Untreated": "treated_vs_untreated",
    "Earlier vs Later Treated": "earlier_vs_later",
    "Later vs Earlier Treated": "later_vs_earlier",
}
CASTLE: dict[str, Any] = {"outcome": "l_homicide", "unit": "sid", "time": "year", "cohort": "cohort"}


def fit(frame: pd.DataFrame, **options: Any) -> pd.DataFrame:
    return p4equity.fit("bacon", frame, **{**CASTLE, **options})


@pytest.fixture(scope="module")
def castle() -> pd.DataFrame:
    from causaldata import castle

    frame = castle.load_pandas().data[["sid", "year", "l_homicide", "post", "l_income", "popwt"]].astype(float)
    start = frame[frame["post"] > 0].groupby("sid")["year"].min()
    return frame.assign(cohort=frame["sid"].map(start), law=frame["sid"].map(start) - 1)


def compare(out: pd.DataFrame, expected: pd.DataFrame) -> int:
    found = out.assign(period=out["period"].replace("never", "inf").astype(float)).set_index(["estimand", "cohort", "period"])
    rows = expected[expected["estimator"] == "bacon"]
    for _, row in rows.iterrows():
        kind = KINDS[row["term"]]
        key = (int(float(row["group"])), float(row["time"]))
        assert found.loc[(kind, *key), "estimate"] == pytest.approx(row["estimate"], abs=1e-7)
        assert found.loc[(f"weight_{kind}", *key), "estimate"] == pytest.approx(row["weight"], abs=1e-12)
    for _, row in expected[expected["estimator"] == "bacon_type_total"].iterrows():
        total = out[out["cohort"].isna()].set_index("estimand")["estimate"]
        assert total[KINDS[row["term"]]] == pytest.approx(row["estimate"], abs=1e-7)
        assert total["weight_" + KINDS[row["term"]]] == pytest.approx(row["weight"], abs=1e-12)
    total = expected[expected["estimator"] == "bacon_total"].iloc[0]
    assert out["estimate"].iloc[0] == pytest.approx(total["estimate"], abs=1e-7)
    return len(rows)


@pytest.mark.parametrize(("column", "subset"), [("law", False), ("cohort", True)])
def test_castle_equals_bacondecomp(castle: pd.DataFrame, column: str, subset: bool) -> None:
    rows = EXPECTED[(EXPECTED["dataset"] == "castle") & (EXPECTED["subset"].notna() == subset)]
    out = fit(castle.assign(cohort=castle[column]))
    assert compare(out, rows) == 25
    assert len(out.attrs["comparisons"]) == 25
    assert set(out["outcome_unit"][out["estimand"].str.startswith("weight_")]) == {"share"}


def test_one_cohort_equals_bacondecomp() -> None:
    frame = pd.read_csv(HERE.parent / "did" / "hs_common_system_year.csv")
    frame = frame.assign(cohort=frame["first_treat"].where(frame["treated"] == 1))
    out = fit(frame, outcome="gap", unit="system")
    assert compare(out, EXPECTED[EXPECTED["dataset"] == "hs_common_system_year"]) == 1


def parts(out: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(out.attrs["comparisons"])


@pytest.mark.parametrize("weights", [None, "popwt"])
def test_weights_times_estimates_sum_to_the_regression(castle: pd.DataFrame, weights: str | None) -> None:
    out, did = fit(castle, weights=weights), p4equity.fit("did", castle, weights=weights, inference="none", **CASTLE)
    found = parts(out)
    assert out["estimate"].iloc[0] == did["estimate"].iloc[0]
    assert found["weight"].sum() == pytest.approx(1.0, abs=1e-13)
    assert (found["weight"] * found["estimate"]).sum() == pytest.approx(did["estimate"].iloc[0], abs=1e-12)
    # Each comparison is itself a weighted two-way regression of its two cohorts, in the periods in which one of them changes.
    row = found[(found["kind"] == "later_vs_earlier") & (found["treated"] == "2008") & (found["comparison"] == "2007")].iloc[0]
    some = castle[castle["cohort"].isin([2007, 2008]) & (castle["year"] >= 2007)]
    some = some.assign(cohort=some["cohort"].where(some["cohort"] == 2008))
    own = p4equity.fit("did", some, weights=weights, inference="none", **CASTLE)
    assert row["estimate"] == pytest.approx(own["estimate"].iloc[0], abs=1e-12)


def test_units_treated_throughout_serve_as_comparison(castle: pd.DataFrame) -> None:
    frame = castle.assign(cohort=castle["cohort"].where(castle["sid"] > 3, 1999).where(castle["sid"] != 2, 2000))
    out = fit(frame)
    found = parts(out)
    always = found[found["kind"] == "later_vs_always"]
    assert set(always["comparison"]) == {"always"}
    assert (found["weight"] * found["estimate"]).sum() == pytest.approx(out["estimate"].iloc[0], abs=1e-12)
    treated = (frame["year"] >= frame["cohort"]).astype(float)
    X = np.column_stack([treated, pd.get_dummies(frame[["sid", "year"]].astype(str), dtype=float)])
    brute = np.linalg.lstsq(X, frame["l_homicide"], rcond=None)[0][0]
    assert out["estimate"].iloc[0] == pytest.approx(brute, abs=1e-10)
    assert any("treated throughout" in text and "1, 2, 3" in text for text in out.attrs["warnings"])


def residual(y: np.ndarray, frame: pd.DataFrame, columns: list[np.ndarray]) -> np.ndarray:
    """Residual of y on unit and period dummies and further columns."""
    X = np.column_stack([*columns, pd.get_dummies(frame[["sid", "year"]].astype(str), dtype=float)])
    return y - X @ np.linalg.lstsq(X, y, rcond=1e-10)[0]


def controlled(frame: pd.DataFrame, x: str) -> tuple[float, float, dict[tuple[float, float], tuple[float, float]]]:
    """Omega, the part within cohorts, and estimate and weight of each pair, by the steps of bacondecomp."""
    start = frame["cohort"].fillna(np.inf)
    D = (frame["year"] >= start).to_numpy(float)
    y = frame["l_homicide"].to_numpy()
    d = residual(D, frame, [frame[x].to_numpy()])
    work = frame.assign(k=start, d=d, p=D - d, D=D)
    means = {name: work.groupby(keys)["d"].transform("mean") for name, keys in (("kt", ["k", "year"]), ("k", "k"), ("i", "sid"))}
    inside = d - means["i"] - (means["kt"] - means["k"])
    omega = float((inside**2).sum() / (d**2).sum())
    work["g_x"], work["g_p"] = (work.groupby(["k", "year"])[c].transform("mean") for c in (x, "p"))
    found = {}
    groups = sorted(work["k"].unique())
    for i, k in enumerate(groups):
        for other in groups[i + 1 :]:
            pair = work[work["k"].isin([k, other])]
            yy = pair["l_homicide"].to_numpy()
            Dt, xt = residual(pair["D"].to_numpy(), pair, []), residual(pair["g_x"].to_numpy(), pair, [])
            fitted = xt * (xt @ Dt) / (xt @ xt)
            rsq, VD = (fitted @ fitted) / (Dt @ Dt), (Dt**2).mean()
            dp = fitted - residual(pair["g_p"].to_numpy(), pair, [])
            rest = residual(pair["D"].to_numpy(), pair, [pair["g_x"].to_numpy()])
            BD, Bb, Vdp = (rest @ yy) / (rest @ rest), (dp @ yy) / (dp @ dp), (dp**2).mean()
            weight = (1 - rsq) * VD + Vdp
            found[float(k), float(other)] = (((1 - rsq) * VD * BD + Vdp * Bb) / weight, len(pair) ** 2 * weight)
    total = sum(w for _, w in found.values())
    return omega, float(inside @ y / (inside @ inside)), {key: (e, w / total) for key, (e, w) in found.items()}


def test_covariates_equal_the_steps_of_bacondecomp(castle: pd.DataFrame) -> None:
    out = fit(castle, covariates="l_income")
    omega, within, pairs = controlled(castle, "l_income")
    total = out[out["cohort"].isna()].set_index("estimand")["estimate"]
    assert total["weight_within_cohorts"] == pytest.approx(omega, abs=1e-10)
    assert total["within_cohorts"] == pytest.approx(within, abs=1e-9)
    found = parts(out)
    assert len(found) == len(pairs) == 15
    for _, row in found.iterrows():
        estimate, weight = pairs[float(row["treated"]), np.inf if row["comparison"] == "never" else float(row["comparison"])]
        assert row["estimate"] == pytest.approx(estimate, abs=1e-8)
        assert row["weight"] == pytest.approx(weight, abs=1e-10)
    did = p4equity.fit("did", castle, covariates="l_income", inference="none", **CASTLE)["estimate"].iloc[0]
    between = (found["weight"] * found["estimate"]).sum()
    assert omega * within + (1 - omega) * between == pytest.approx(did, abs=1e-10)


@pytest.mark.parametrize("weights", [None, "popwt"])
def test_weighted_covariates_sum_to_the_regression(castle: pd.DataFrame, weights: str | None) -> None:
    frame = castle.assign(cohort=castle["cohort"].where(castle["sid"] != 3, 1990))
    out = fit(frame, covariates="l_income", weights=weights)
    total, found = out[out["cohort"].isna()].set_index("estimand")["estimate"], parts(out)
    omega = total["weight_within_cohorts"]
    both = omega * total["within_cohorts"] + (1 - omega) * (found["weight"] * found["estimate"]).sum()
    assert both == pytest.approx(out["estimate"].iloc[0], abs=1e-10)
    same = fit(frame.assign(c=frame["sid"] * 1.0), covariates="c", weights=weights)
    plain = fit(frame, weights=weights)
    assert list(same["estimand"]) == list(plain["estimand"])  # a constant covariate leaves the plain decomposition
    np.testing.assert_allclose(same["estimate"], plain["estimate"], atol=1e-10)


def test_decomposition_by_hand() -> None:
    # Periods 1 to 3. A starts in 2, B in 3, N never; each one unit. A: 0, 4, 6; B: 1, 1, 4; N: 0, 1, 2.
    # D shares 2/3 and 1/3. A-N: 5 - 1.5 = 3.5, weight 2/9; B-N: 3 - 1.5, 2/9; A-B before 3: 4, 1/9; B-A from 2 on: 3 - 2, 1/9.
    paths = {"A": (0, 4, 6), "B": (1, 1, 4), "N": (0, 1, 2)}
    start = {"A": 2, "B": 3}
    rows = [(u, t + 1, y, start.get(u)) for u, path in paths.items() for t, y in enumerate(path)]
    frame = pd.DataFrame(rows, columns=["sid", "year", "l_homicide", "cohort"])
    found = parts(fit(frame)).set_index(["kind", "treated"])
    expected = {
        ("treated_vs_untreated", "2"): (3.5, 1 / 3), ("treated_vs_untreated", "3"): (1.5, 1 / 3),
        ("earlier_vs_later", "2"): (4.0, 1 / 6), ("later_vs_earlier", "3"): (1.0, 1 / 6),
    }  # fmt: skip
    for key, (estimate, weight) in expected.items():
        assert found.loc[key, "estimate"] == pytest.approx(estimate, abs=1e-12)
        assert found.loc[key, "weight"] == pytest.approx(weight, abs=1e-12)
    assert fit(frame)["estimate"].iloc[0] == pytest.approx(2.5, abs=1e-12)


def test_cohorts_without_a_period_between_them_are_not_compared() -> None:
    # Cohorts 2 and 3, seen in periods 1 and 3 only: each rises beside N, and nothing tells one from the other.
    paths = {"A": (0.0, 6.0), "B": (1.0, 4.0), "N": (0.0, 2.0)}
    rows = [(u, t, y, {"A": 2, "B": 3}.get(u)) for u, path in paths.items() for t, y in zip((1, 3), path, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = fit(pd.DataFrame(rows, columns=["sid", "year", "l_homicide", "cohort"]))
    assert (out["status"] == "ok").all()
    found = parts(out)
    assert list(zip(found["kind"], found["treated"], found["estimate"], found["weight"], strict=True)) == [
        ("treated_vs_untreated", "2", pytest.approx(4.0), pytest.approx(0.5)),
        ("treated_vs_untreated", "3", pytest.approx(1.0), pytest.approx(0.5)),
    ]
    assert out["estimate"].iloc[0] == pytest.approx(2.5, abs=1e-12)


def test_what_cannot_be_decomposed_keeps_its_regression(castle: pd.DataFrame) -> None:
    holes = castle[~((castle["sid"] == 5) & (castle["year"] == 2004))]
    out = fit(holes)
    did = p4equity.fit("did", holes, inference="none", **CASTLE)
    assert list(out["estimand"]) == ["att", "decomposition"]
    assert out["estimate"].iloc[0] == pytest.approx(did["estimate"].iloc[0], abs=1e-12)
    assert "every unit in every period; missing: 5" in out["reason"].iloc[1]
    moving = fit(castle.assign(w=castle["popwt"] * castle["year"]), weights="w")
    assert "weights that do not change over time" in moving["reason"].iloc[1]
    with pytest.raises(UsageError, match="unknown inference"):
        fit(castle, inference="cr2")


def test_groups_are_decomposed_each_with_one_set_of_weights(castle: pd.DataFrame) -> None:
    rng = np.random.default_rng(1)
    stacked = pd.concat([castle.assign(g=g, l_homicide=castle["l_homicide"] + rng.normal(size=len(castle))) for g in "abc"])
    out = fit(stacked, group="g", reference="a")
    assert list(out["estimand"].iloc[:3]) == ["att_gap", "att_reference", "att_group"]
    assert list(out["group"].iloc[[0, 3, 6]]) == ["pooled", "b", "c"]
    found = parts(out)
    for label in ("b", "c"):
        own = found[found["group"] == label]
        for side in ("gap", "reference", "group"):
            att = out[(out["group"] == label) & (out["estimand"] == f"att_{side}")]["estimate"].iloc[0]
            assert (own["weight"] * own[f"estimate_{side}"]).sum() == pytest.approx(att, abs=1e-12)
        difference = own["estimate_gap"] - (own["estimate_reference"] - own["estimate_group"])
        assert difference.abs().max() < 1e-12
