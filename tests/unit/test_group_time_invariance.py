"""Group-time effects: gaps and groups, and what does not move the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from group_time_panel import NUMBERS, fit, panel, pointwise
from hypothesis import given, settings
from hypothesis import strategies as st
from p4equity.estimators.aggregation import KINDS

# Gaps and groups


def groups(seed: int = 13) -> pd.DataFrame:
    frame = panel(seed)
    rng = np.random.default_rng(seed)
    noise = {r: rng.normal(size=len(frame)) * 0.1 for r in ("w", "a", "b")}
    parts = [frame.assign(r=r, y=frame["y"] * k + noise[r]) for r, k in (("w", 1), ("a", 0.7), ("b", 0.4))]
    return pd.concat(parts, ignore_index=True).assign(n=lambda f: rng.integers(20, 90, len(f)))


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_gap_is_reference_minus_group_in_every_row_and_pooled_is_the_average(kind: str | None) -> None:
    frame = groups()
    out = fit(frame, group="r", reference="w", weights="n", covariates="x", aggregate=kind, inference="none")
    out = out[out["estimand"].str.startswith("att")]
    key = ["group", "cohort", "event_time", "period"]
    keyed = out.assign(key=list(map(str, out[key].itertuples(index=False))))
    wide = keyed.pivot(index="key", columns="estimand", values="estimate")
    assert (wide["att_gap"] - (wide["att_reference"] - wide["att_group"])).abs().max() < 1e-12
    assert out["group"].iloc[0] == "pooled"
    by = out.set_index(["estimand", "group", *key[1:]])["estimate"].unstack("group")
    assert (by["pooled"] - (by["a"] + by["b"]) / 2).abs().max() < 1e-12
    both = fit(frame, group="r", reference="w", weights="n", aggregate="simple")
    assert both["std_error"].iloc[0] < both.set_index(["estimand", "group"])["std_error"].loc["att_gap"].max()


def test_a_gap_is_the_effect_on_the_gap_panel() -> None:
    frame = groups(14)
    two = frame[frame["r"] != "b"]
    wide = two.pivot(index=["u", "t", "g"], columns="r", values=["y", "n"]).reset_index()
    gap = pd.DataFrame({"u": wide["u"], "t": wide["t"], "g": wide["g"], "y": wide["y"]["w"] - wide["y"]["a"]})
    gap["n"] = wide["n"]["w"] * wide["n"]["a"] / (wide["n"]["w"] + wide["n"]["a"])
    out = fit(two, group="r", reference="w", weights="n")
    expected = fit(gap, weights="n")
    found = out[out["estimand"].isin(["att_gap", "pretrend_gap"])].reset_index(drop=True)
    np.testing.assert_allclose(found[NUMBERS], expected[NUMBERS], rtol=1e-6, atol=1e-12)
    assert out["n_members"].iloc[0] > 0


# Invariances


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(-50, 50), st.floats(0.1, 20), st.sampled_from([None, "dynamic", "group", "calendar"]))
def test_order_labels_shift_and_scale_do_not_matter(seed: int, shift: float, scale: float, kind: str | None) -> None:
    frame = panel(seed)
    options: dict[str, Any] = {"aggregate": kind, "inference": ["analytical", "multiplier_bootstrap"], "draws": 200}
    options |= {"covariates": "x", "method": "reg"}
    expected = fit(frame, **options)
    rng = np.random.default_rng(seed)
    names = dict(zip(frame["u"].unique(), rng.permutation(len(frame))[: frame["u"].nunique()], strict=True))
    moved = frame.assign(u=frame["u"].map(names), y=scale * frame["y"] + shift).sample(frac=1, random_state=seed)
    found = fit(moved, **options)
    lead = expected["interval"] == "pointwise"
    np.testing.assert_allclose(found["estimate"][lead], scale * expected["estimate"][lead], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found["std_error"][lead], scale * expected["std_error"][lead], rtol=1e-6)
    np.testing.assert_allclose(found["p_value"], expected["p_value"], rtol=1e-5, atol=1e-5)


def test_splitting_cells_in_two_and_units_without_outcomes_change_nothing() -> None:
    frame = panel(15)
    expected = fit(frame, weights="n")
    split = pd.concat([frame.assign(n=7), frame.assign(n=frame["n"] - 7)])
    pd.testing.assert_frame_equal(fit(split, weights="n")[NUMBERS], expected[NUMBERS], rtol=1e-9)
    ghost = pd.concat([frame, frame[frame["u"] == "u00"].assign(u="ghost", y=np.nan)])
    out = fit(ghost, weights="n")
    pd.testing.assert_frame_equal(out[NUMBERS][:-1], expected[NUMBERS], rtol=1e-12)
    assert "missing value in 6 rows: ghost" in out["reason"].iloc[-1]


def test_dates_give_the_answer_of_years() -> None:
    frame = panel(16)
    stamps = {c: pd.to_datetime(frame[c].astype("Int64").astype("string") + "-07-01") for c in ("t", "g")}
    for options in ({}, {"comparison": "not_yet", "anticipation": 1}):
        pd.testing.assert_frame_equal(fit(frame.assign(**stamps), **options)[NUMBERS], fit(frame, **options)[NUMBERS], rtol=1e-9)


def test_weights_that_change_over_time_are_fixed_as_asked() -> None:
    frame = panel(17)
    wide = {c: frame.pivot(index="u", columns="t", values=c) for c in ("y", "n")}
    g = frame.groupby("u")["g"].first()

    def by_hand(t: int, base: int, weight: int) -> float:
        change, w = wide["y"][t] - wide["y"][base], wide["n"][weight]
        arms = [g == 2004, g.isna()]
        one, none = (float(np.average(change[a], weights=w[a])) for a in arms)
        return one - none

    for name, lead, post in (("earlier", 2001, 2003), ("base_period", 2003, 2003), ("first_period", 2000, 2000)):
        cells = pointwise(fit(frame, weights="n", fix_weights=name)).set_index(["cohort", "period"])["estimate"]
        assert cells[(2004, "2002")] == pytest.approx(by_hand(2002, 2001, lead), abs=1e-12)
        assert cells[(2004, "2005")] == pytest.approx(by_hand(2005, 2003, post), abs=1e-12)
    means = frame.assign(w=frame["y"] * frame["n"]).groupby(["t", frame["g"].fillna(0)])[["w", "n"]].sum()
    own = means["w"] / means["n"]
    cells = pointwise(fit(frame, weights="n", fix_weights="varying")).set_index(["cohort", "period"])["estimate"]
    assert cells[(2004, "2005")] == pytest.approx(own[2005, 2004] - own[2003, 2004] - own[2005, 0] + own[2003, 0], abs=1e-12)
    assert any("weights change over time" in w for w in fit(frame, weights="n").attrs["warnings"])
