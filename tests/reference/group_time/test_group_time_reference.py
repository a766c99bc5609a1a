"""Group-time effects against R's did: every effect, average, Wald statistic and bootstrap band; and a case worked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import p4equity
import pandas as pd
import pytest
from scipy import stats

HERE = Path(__file__).parent
EXPECTED = pd.read_csv(HERE / "expected.csv", keep_default_na=True).fillna(
    dict.fromkeys(("weights", "covariates", "method", "base_period", "cluster", "fix_weights"), "")
)
BANDS = pd.read_csv(HERE / "bands.csv").fillna({"weights": "", "cluster": ""})
CALL = ["data", "weights", "covariates", "method", "base_period", "cluster", "fix_weights"]
CALLS = list(EXPECTED[CALL].drop_duplicates().itertuples(index=False, name=None))


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    cells = pd.read_csv(HERE.parent / "triple_difference" / "hs_common.csv")
    black = cells[cells["race"] == "Black"]
    before = black[black["year"] <= 2022].groupby("practice")["n"].mean()
    systems = pd.read_csv(HERE.parent / "did" / "hs_common_system_year.csv")
    return {
        "practices": black.assign(g=black["first_treat"].where(black["treated"] == 1), w0=black["practice"].map(before)),
        "gap": systems.assign(g=systems["first_treat"].where(systems["first_treat"] > 0)),
    }


def arguments(data: str, weights: str, covariates: str = "", method: str = "", base: str = "", cluster: str = "",
              fix_weights: str = "") -> dict[str, Any]:  # fmt: skip
    out: dict[str, Any] = {"outcome": "gap" if data == "gap" else "rate", "unit": "system" if data == "gap" else "practice"}
    out |= {"time": "year", "cohort": "g", "covariates": covariates.split()}
    named = {"weights": weights, "method": method, "base_period": base, "cluster": cluster, "fix_weights": fix_weights}
    return out | {name: value for name, value in named.items() if value}


def row(out: pd.DataFrame, kind: str, of: float) -> pd.DataFrame:
    """The row of an effect: overall where `of` is missing, else by period, event time or cohort."""
    out = out[out["estimand"].eq("att")]
    if np.isnan(of):
        return out.iloc[[0]]
    if kind == "cell":
        return out[out["period"].eq(str(int(of))) & out["event_time"].notna()]
    if kind == "calendar":
        return out[out["period"].eq(str(int(of)))]
    if kind == "group":
        return out.iloc[1:][out.iloc[1:]["cohort"].eq(int(of))]
    return out[out["event_time"].eq(int(of))]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: " ".join(filter(None, call)))
def test_effects_and_averages_equal_did(frames: dict[str, pd.DataFrame], call: tuple[str, ...]) -> None:
    expected = EXPECTED[(EXPECTED[CALL] == list(call)).all(axis=1)]
    compared, cells = 0, p4equity.fit("group_time", frames[call[0]], **arguments(*call))  # first row: the simple average
    for kind, rows in expected.groupby("kind"):
        whole = kind in ("cell", "simple")
        out = cells if whole else p4equity.fit("group_time", frames[call[0]], aggregate=kind, **arguments(*call))
        out = out[out["interval"] == "pointwise"]
        for r in rows.itertuples():
            found = row(out, str(kind), r.of)
            if np.isnan(r.se):  # the base period itself
                assert r.estimate == 0
                assert found.empty
                continue
            assert len(found) == 1
            assert found["estimate"].iloc[0] == pytest.approx(r.estimate, abs=1e-7)
            assert found["std_error"].iloc[0] == pytest.approx(r.se, rel=1e-6)
            if np.isfinite(r.ci_low):
                assert found["conf_low"].iloc[0] == pytest.approx(r.ci_low, abs=1e-7)
                assert found["conf_high"].iloc[0] == pytest.approx(r.ci_high, abs=1e-7)
            compared += 1
        if kind == "cell":
            wald = rows["wald"].iloc[0]
            assert out.set_index("estimand").loc["pretrend", "statistic"] == pytest.approx(wald, rel=1e-6)
    assert compared >= 20


@pytest.mark.parametrize(("data", "weights", "cluster"), BANDS[["data", "weights", "cluster"]].drop_duplicates().to_numpy())
def test_bootstrap_errors_and_bands_are_near_did(frames: dict[str, pd.DataFrame], data: str, weights: str, cluster: str) -> None:
    expected = BANDS[(BANDS[["data", "weights", "cluster"]] == [data, weights, cluster]).all(axis=1)]
    options = arguments(data, weights, cluster=cluster) | {"inference": ["multiplier_bootstrap", "analytical"]}
    for kind, rows in expected.groupby("kind"):
        aggregate = None if kind == "cell" else str(kind)
        out = p4equity.fit("group_time", frames[data], aggregate=aggregate, draws=30_000, **options)
        drawn = out[out["inference"] == "multiplier_bootstrap"]
        pointwise, band = (drawn[drawn["interval"] == i] for i in ("pointwise", "simultaneous"))
        for of, several in rows[rows["what"] == "effect"].groupby("of", dropna=False):
            assert row(pointwise, str(kind), of)["std_error"].iloc[0] == pytest.approx(several["value"].mean(), rel=0.05)
        if not band.empty:
            critical = ((band["conf_high"] - band["estimate"]) / band["std_error"]).iloc[0]
            assert critical == pytest.approx(rows.loc[rows["what"] == "critical", "value"].mean(), abs=0.02)
        limit = rows.loc[rows["what"] == "critical_normal", "value"]
        if len(limit):
            band = out[(out["inference"] == "analytical") & (out["interval"] == "simultaneous")]
            critical = ((band["conf_high"] - band["estimate"]) / band["std_error"]).iloc[0]
            assert critical == pytest.approx(limit.iloc[0], abs=0.02)


def test_two_cohorts_by_hand() -> None:
    # Changes between periods 1, 2 and 3: cohort 2 rises by 5 and 7 in period 2 (6 on average), and by 8 and 12 over both
    # periods (10); cohort 3 rises by 2 and 4 and by 9 and 11 in period 3; never treated by 1 and 3, and by 2 and 2. Every unit
    # is there twice, which halves variances: three clusters an arm are the fewest that have an error.
    levels = {"A": (0, 5, 8), "B": (0, 7, 12), "C": (0, 2, 11), "D": (0, 4, 15), "E": (0, 1, 3), "F": (0, 3, 5)}
    start = {"A": 2, "B": 2, "C": 3, "D": 3}
    frame = pd.DataFrame([(u, t, y, start.get(u)) for u, ys in levels.items() for t, y in enumerate(ys, 1)],
                         columns=["u", "t", "y", "g"])  # fmt: skip
    frame = pd.concat([frame, frame.assign(u=frame["u"] + "2")])
    options: dict[str, Any] = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g"}
    out = p4equity.fit("group_time", frame, **options)
    cells = out[out["event_time"].notna() & out["interval"].eq("pointwise")].set_index(["cohort", "period"])
    # ATT(2,2) = 6 - 2, ATT(2,3) = 10 - 4, ATT(3,2) = 3 - 2 before treatment, ATT(3,3) = 10 - 2.
    assert cells["estimate"].to_dict() == pytest.approx({(2, "2"): 4.0, (2, "3"): 6.0, (3, "2"): 1.0, (3, "3"): 8.0})
    # Deviations of 1 on both sides, two units an arm: variance 2 / 4 + 2 / 4.
    assert cells.loc[(2, "2"), "std_error"] == pytest.approx(np.sqrt(1.0 / 2))
    # Deviations of 2 among the treated and 1 among the comparison: 8 / 4 + 2 / 4.
    assert cells.loc[(2, "3"), "std_error"] == pytest.approx(np.sqrt(2.5 / 2))
    # Comparison units moved alike from 2 to 3: only the treated vary, by 1: 2 / 4.
    assert cells.loc[(3, "3"), "std_error"] == pytest.approx(np.sqrt(0.5 / 2))
    # Cohorts of two units each: (4 + 6 + 8) / 3. Influence by unit: A, B -(1 + 2) / 6 and + of it, C, D 1 / 6, E, F (1 + 1) / 6
    # and - of it; estimated weights add (10 - 2 x 6) / 6 = -1 / 3 for A and B, (8 - 6) / 6 = 1 / 3 for C and D.
    psi = np.array([-1 / 2 - 1 / 3, 1 / 2 - 1 / 3, -1 / 6 + 1 / 3, 1 / 6 + 1 / 3, 1 / 3, -1 / 3])
    assert out["estimate"].iloc[0] == pytest.approx(6.0)
    assert out["std_error"].iloc[0] == pytest.approx(float(np.sqrt(psi @ psi / 2)))
    # With units not yet treated, period 2 has four comparison units, of changes 2, 4, 1, 3: 6 - 2.5.
    late = p4equity.fit("group_time", frame, comparison="not_yet", **options)
    assert late[late["period"].eq("2") & late["cohort"].eq(2)]["estimate"].iloc[0] == pytest.approx(3.5)
    # Averages: event times 0 and 1 are 6 and 6, cohorts 5 and 8, periods 4 and 7.
    for kind, parts, overall in (("dynamic", [1, 6, 6], 6), ("group", [5, 8], 6.5), ("calendar", [4, 7], 5.5)):
        means = p4equity.fit("group_time", frame, aggregate=kind, inference="none", **options)
        means = means[means["estimand"] == "att"]["estimate"].to_list()
        assert means == pytest.approx([overall, *parts])


def test_cr1_is_the_analytical_error_with_g_over_g_minus_one(frames: dict[str, pd.DataFrame]) -> None:
    out = p4equity.fit("group_time", frames["gap"], aggregate="simple", inference=["analytical", "cr1"], **arguments("gap", ""))
    plain, cr1 = out.iloc[0], out.iloc[1]
    assert cr1["std_error"] == pytest.approx(plain["std_error"] * np.sqrt(20 / 19), rel=1e-12)
    assert cr1["df"] == 19
    assert cr1["p_value"] == pytest.approx(2 * stats.t.sf(abs(cr1["statistic"]), 19), rel=1e-9)
    assert plain["p_value"] == pytest.approx(2 * stats.norm.sf(abs(plain["statistic"])), rel=1e-9)
