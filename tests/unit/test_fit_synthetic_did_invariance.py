"""Synthetic difference-in-differences: what must not change its numbers, and a truth that it recovers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_did_panel import NUMBERS, fit, panel


def test_row_order_and_labels_do_not_move_a_bit() -> None:
    frame = panel(7, units=12, treated=4)
    frame["g"] = frame["g"].where(~frame["u"].isin(["u0", "u1"]), 2003.0)
    expected = fit(frame, inference=["placebo", "bootstrap"], draws=30, limit=10)
    shuffled = fit(frame.sample(frac=1, random_state=1), inference=["placebo", "bootstrap"], draws=30, limit=10)
    pd.testing.assert_frame_equal(shuffled, expected, check_exact=True)
    names = dict(zip(sorted(frame["u"].unique()), [f"z{k}" for k in (5, 3, 9, 1, 7, 0, 11, 2, 8, 4, 10, 6)], strict=True))
    renamed = fit(frame.assign(u=frame["u"].map(names)), inference=["placebo", "bootstrap"], draws=30, limit=10)
    pd.testing.assert_frame_equal(renamed[NUMBERS], expected[NUMBERS], check_exact=True)


def test_splitting_a_cell_and_adding_an_unseen_unit_change_nothing() -> None:
    frame = panel(8).assign(n=4.0)
    expected = fit(frame, weights="n", inference="jackknife")
    halves = pd.concat([frame.assign(n=1.0, y=frame["y"] + 3), frame.assign(n=3.0, y=frame["y"] - 1)])
    pd.testing.assert_frame_equal(fit(halves, weights="n", inference="jackknife")[NUMBERS], expected[NUMBERS], rtol=1e-8)
    unseen = frame[frame["u"] == "u8"].assign(u="nobody", y=np.nan)
    pd.testing.assert_frame_equal(
        fit(pd.concat([frame, unseen]), weights="n", inference="jackknife").iloc[:-1][NUMBERS],
        expected[NUMBERS],
        check_exact=True,
    )


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["sdid", "sc", "did"]), st.floats(0.01, 1000), st.floats(-1000, 1000))
def test_scale_and_shift(seed: int, method: str, scale: float, shift: float) -> None:
    frame = panel(seed, units=7, treated=2, periods=7)
    expected = fit(frame, method=method, inference=["placebo", "jackknife"])
    found = fit(frame.assign(y=scale * frame["y"] + shift), method=method, inference=["placebo", "jackknife"])
    ok = expected["status"] == "ok"
    assert found["status"].tolist() == expected["status"].tolist()
    assert found.loc[ok, "estimate"].to_numpy() == pytest.approx(
        scale * expected.loc[ok, "estimate"].to_numpy(), rel=1e-4, abs=1e-4 * scale
    )
    assert found.loc[ok, "std_error"].to_numpy() == pytest.approx(scale * expected.loc[ok, "std_error"].to_numpy(), rel=1e-4)


def test_dates_text_and_categories_are_the_same_panel() -> None:
    frame = panel(9)
    expected = fit(frame)[NUMBERS]
    dates = frame.assign(t=pd.to_datetime(frame["t"].astype(str)), g=pd.to_datetime(frame["g"].astype("Int64").astype("string")))
    for other in (dates, frame.assign(u=frame["u"].astype("category"), t=frame["t"].astype(str), g=frame["g"].astype("Float64"))):
        pd.testing.assert_frame_equal(fit(other)[NUMBERS], expected, check_exact=True)
    assert fit(dates)["period"].iloc[1] == "2005-01-01"


def test_it_removes_what_plain_differences_leave() -> None:
    """Units follow two common trends, the treated more than most: over the panels plain differences miss by far more."""
    errors = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        loads = rng.uniform(0, 1, size=(20, 2))
        loads[:3] = rng.uniform(0.6, 0.8, size=(3, 2))
        Y = loads @ np.stack([np.arange(16.0), np.sin(np.arange(16.0))]) + 0.2 * rng.normal(size=(20, 16))
        rows = [(f"u{u:02d}", t, 12.0 if u < 3 else np.nan, Y[u, t] + (t >= 12 and u < 3)) for u in range(20) for t in range(16)]
        frame = pd.DataFrame(rows, columns=["u", "t", "g", "y"])
        errors.append([fit(frame, method=m, inference="none")["estimate"].iloc[0] - 1 for m in ("sdid", "did")])
    synthetic, plain = np.mean(errors, axis=0)
    assert plain > 1
    assert abs(synthetic) < plain / 4
