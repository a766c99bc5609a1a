"""What holds of every estimator for staggered adoption: identities, invariances, and data that allow no answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import DataError, StudyError, UsageError

IDS = ["interaction_weighted", "imputation", "extended_twfe", "stacked", "bacon"]
WITHOUT_ERRORS = ["bacon"]
STARTS = [2021, 2021, 2021, 2022, 2022, 2022, 2023, None, None, None, None, None]
NUMBERS = ["estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "df"]
PLAIN: dict[str, Any] = {"outcome": "y", "unit": "system", "time": "year", "cohort": "start"}


def cells(seed: int = 0, starts: list[int | None] = STARTS, weights: bool = False) -> pd.DataFrame:
    """Systems by year and group: rates around a trend, an effect of 0.05 in the group and 0.02 in the reference."""
    rng = np.random.default_rng(seed)
    rows = [(f"S{u:02d}", t, g, c) for u, c in enumerate(starts) for t in range(2018, 2026) for g in ("black", "white")]
    frame = pd.DataFrame(rows, columns=["system", "year", "group", "start"])
    frame["start"] = frame["start"].astype("Float64")
    level = dict(zip(sorted(frame["system"].unique()), rng.normal(0.6, 0.05, len(starts)), strict=True))
    on = (frame["year"] >= frame["start"]).fillna(False).astype(float)
    frame["y"] = frame["system"].map(level) + 0.01 * (frame["year"] - 2018) + rng.normal(0, 0.01, len(frame))
    frame["y"] += on * np.where(frame["group"] == "black", 0.05, 0.02) - 0.1 * (frame["group"] == "black")
    frame["n"] = np.repeat(rng.integers(50, 500, len(frame) // 16), 16) if weights else 1
    return frame


def white(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["group"] == "white"].reset_index(drop=True)


def fit(id: str, frame: pd.DataFrame, **options: Any) -> pd.DataFrame:
    return p4equity.fit(id, frame, **{**PLAIN, **options})


def same(found: pd.DataFrame, expected: pd.DataFrame, **tolerance: Any) -> None:
    pd.testing.assert_frame_equal(found[NUMBERS], expected[NUMBERS], **tolerance)


@pytest.mark.parametrize("id", IDS)
def test_every_row_is_a_number_or_a_reason(id: str) -> None:
    out = fit(id, white(cells()))
    assert out["status"].iloc[0] == "ok"
    assert out["estimand"].iloc[0] == "att"
    assert out["estimate"].iloc[0] == pytest.approx(0.02, abs=0.02)
    assert (out["estimate"].notna() == (out["status"] == "ok")).all()
    assert (out["reason"].isna() == (out["status"] == "ok")).all()
    between = out.dropna(subset=["conf_low", "conf_high"])
    assert (between["conf_low"] <= between["estimate"]).all()
    assert (between["estimate"] <= between["conf_high"]).all()


@pytest.mark.parametrize("id", IDS)
def test_gap_is_reference_minus_group_and_the_gap_of_its_own_panel(id: str) -> None:
    frame = cells(1)
    out = fit(id, frame, group="group", reference="white", inference="none")
    rows = out[out["status"].eq("ok") & out["interval"].eq("pointwise")]
    kind = rows["estimand"].str.extract(r"^(.*)_(gap|reference|group)$")
    keys = ["event_time", "cohort", "period"]
    wide = rows[keys].astype(str).assign(kind=kind[0], side=kind[1], e=rows["estimate"])
    wide = wide[wide["kind"].notna()].pivot(index=["kind", *keys], columns="side", values="e")
    assert len(wide) >= 2
    assert (wide["gap"] - (wide["reference"] - wide["group"])).abs().max() < 1e-12
    both = frame.pivot(index=["system", "year"], columns="group", values="y").reset_index()
    own = both.assign(y=both["white"] - both["black"]).merge(frame[["system", "year", "start"]].drop_duplicates())
    plain = fit(id, own, inference="none")["estimate"].iloc[0]
    assert out["estimand"].iloc[0] == "att_gap"
    assert out["estimate"].iloc[0] == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize("id", IDS)
def test_row_order_labels_and_types_do_not_matter(id: str) -> None:
    frame = white(cells(2))
    expected = fit(id, frame)
    pd.testing.assert_frame_equal(fit(id, frame.sample(frac=1, random_state=1)), expected, check_exact=True)
    names = dict(zip(sorted(frame["system"].unique()), "ZAYBXCWDVEUF", strict=True))
    same(fit(id, frame.assign(system=frame["system"].map(names))), expected, rtol=1e-8, atol=1e-12)
    text = frame.assign(year=frame["year"].astype(str), start=frame["start"].astype("Int64").astype("string"))
    same(fit(id, text.assign(system=text["system"].astype("category"))), expected, rtol=1e-10)
    dates = frame.assign(
        year=pd.to_datetime(frame["year"].astype(str)), start=pd.to_datetime(frame["start"].astype("Int64").astype("string"))
    )
    same(fit(id, dates), expected, rtol=1e-10)
    numbers = {name: i for i, name in enumerate(sorted(frame["system"].unique()))}
    same(fit(id, frame.assign(system=frame["system"].map(numbers))), expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("id", IDS)
def test_scaled_and_shifted_outcomes(id: str) -> None:
    frame = white(cells(3))
    expected, moved = fit(id, frame), fit(id, frame.assign(y=100 * frame["y"] + 7))
    for column in ("estimate", "std_error"):
        rows = expected["estimand"].str.contains("weight")
        np.testing.assert_allclose(moved[column][~rows], 100 * expected[column][~rows], rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(moved[column][rows], expected[column][rows], rtol=1e-8)
    np.testing.assert_allclose(moved["p_value"], expected["p_value"], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("id", IDS)
def test_a_cell_given_in_two_rows_is_one_cell(id: str) -> None:
    frame = white(cells(4, weights=True))
    expected = fit(id, frame, weights="n", inference="none")
    first = frame.index == 3
    rest = frame["n"] - 20
    split = pd.concat([frame.assign(n=frame["n"].where(~first, 20)), frame[first].assign(n=rest[first])])
    same(fit(id, split, weights="n", inference="none"), expected, rtol=1e-10)


@pytest.mark.parametrize("id", IDS)
def test_a_unit_without_outcomes_changes_nothing_and_is_named(id: str) -> None:
    frame = white(cells(5))
    ghost = frame[frame["system"] == "S11"].assign(system="S99", y=np.nan)
    out, expected = fit(id, pd.concat([frame, ghost])), fit(id, frame)
    same(out[out["estimand"] != "left_out"], expected[expected["estimand"] != "left_out"], rtol=1e-12)
    assert any(d["unit"] == "S99" and "missing" in d["reason"] for d in out.attrs["dropped"])


@pytest.mark.parametrize("id", IDS)
def test_weights_of_zero_are_left_out_and_named(id: str) -> None:
    frame = white(cells(6, weights=True))
    out = fit(id, frame.assign(n=frame["n"].where(frame["system"] != "S08", 0)), weights="n")
    assert out["status"].iloc[0] == "ok"
    assert any(d["unit"] == "S08" and "weight of zero" in d["reason"] for d in out.attrs["dropped"])
    with pytest.raises(DataError):
        fit(id, frame.assign(n=0), weights="n")


@pytest.mark.parametrize("id", [i for i in IDS if i not in WITHOUT_ERRORS])
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_constant_outcome_has_no_error(id: str, value: float) -> None:
    out = fit(id, white(cells()).assign(y=value))
    assert out["status"].iloc[0] == "not_estimable"
    assert out["reason"].notna().all()
    assert fit(id, white(cells()).assign(y=value), inference="none")["estimate"].iloc[0] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("id", [i for i in IDS if i not in WITHOUT_ERRORS])
def test_one_treated_unit_has_an_estimate_without_error(id: str) -> None:
    frame = white(cells(7, starts=[2022] + [None] * 9))
    out = fit(id, frame)
    assert out["status"].iloc[0] == "not_estimable"
    assert "1 treated" in out["reason"].iloc[0] or "one treated" in out["reason"].iloc[0]
    alone = fit(id, frame, inference="none")
    assert alone["status"].iloc[0] == "ok"
    assert alone["estimate"].iloc[0] == pytest.approx(0.02, abs=0.03)
    assert alone["estimate"].iloc[0] != 0


@pytest.mark.parametrize("id", IDS)
def test_a_unit_that_leaves_stays_until_then_and_is_named(id: str) -> None:
    frame = white(cells(8))
    frame = frame[~((frame["system"] == "S00") & (frame["year"] >= 2024))]
    out = fit(id, frame)
    assert any(u["unit"] == "S00" and u["period"] == "2024, 2025" for u in out.attrs["unbalanced"])
    if id not in ("bacon",):
        assert out["status"].iloc[0] == "ok"


@pytest.mark.parametrize("id", IDS)
def test_without_a_treated_or_a_comparison_unit(id: str) -> None:
    with pytest.raises(StudyError, match="no treated unit"):
        fit(id, white(cells(9, starts=[None] * 6)))
    with pytest.raises(StudyError, match="no comparison unit"):
        fit(id, white(cells(9, starts=[2021, 2022] * 3)))
    out = fit(id, white(cells(9, starts=[2021] * 3 + [2023] * 3 + [2025] * 3)), comparison="not_yet", inference="none")
    assert out["status"].iloc[0] == "ok"
    assert out["estimate"].iloc[0] == pytest.approx(0.02, abs=0.03)


@pytest.mark.parametrize("id", [i for i in IDS if i != "bacon"])
def test_treated_throughout_is_left_out_and_named(id: str) -> None:
    frame = white(cells(10, starts=[2010, 2018, *STARTS]))
    out, expected = fit(id, frame), fit(id, frame[frame["system"] > "S01"])
    assert out["estimate"].iloc[0] == pytest.approx(expected["estimate"].iloc[0], abs=1e-12)
    assert {d["unit"] for d in out.attrs["dropped"]} == {"S00", "S01"}
    late = white(cells(10, starts=[*STARTS[:-1], 2040]))
    assert fit(id, late)["estimate"].iloc[0] == pytest.approx(fit(id, white(cells(10)))["estimate"].iloc[0], abs=1e-12)


@pytest.mark.parametrize("id", IDS)
def test_unknown_options_and_aggregations_are_named(id: str) -> None:
    with pytest.raises(UsageError, match="aggregat"):
        fit(id, white(cells()), aggregate="sideways")
    with pytest.raises(UsageError, match="unknown option"):
        fit(id, white(cells()), sideways=1)


@pytest.mark.parametrize("id", [i for i in IDS if i != "bacon"])
def test_covariates_that_add_nothing_do_not_move_the_estimate(id: str) -> None:
    """A constant, and a copy of another covariate."""
    frame = white(cells(11))
    frame = frame.assign(x=np.random.default_rng(1).normal(size=len(frame)), one=1.0)
    frame = frame.assign(x=frame.groupby("system")["x"].transform("mean") if id == "extended_twfe" else frame["x"])
    expected = fit(id, frame, covariates="x")["estimate"].iloc[0]
    out = fit(id, frame.assign(copy=2 * frame["x"]), covariates=["x", "one", "copy"])
    assert out["estimate"].iloc[0] == pytest.approx(expected, abs=1e-10)
    assert sum("adds nothing" in text for text in out.attrs["warnings"]) == 2


def test_a_panel_with_as_many_effects_as_rows_has_its_answer() -> None:
    """linearmodels counts six effects in six rows and refuses for want of a covariance, which nobody asked for."""
    rows = [("A", 2018, 1.0), ("A", 2019, 4.0), ("B", 2018, 2.0), ("B", 2019, 3.0), ("C", 2020, 1.0), ("C", 2021, 1.5)]
    frame = pd.DataFrame(rows, columns=["system", "year", "y"]).assign(start=lambda f: f["system"].map({"A": 2019.0}))
    for id in ("did", "event_study", "interaction_weighted", "imputation", "extended_twfe", "bacon"):
        out = fit(id, frame, inference="none", **({"effects": "unit"} if id == "extended_twfe" else {}))
        assert out["estimate"].iloc[0] == pytest.approx(2.0, abs=1e-12)


@pytest.mark.parametrize("id", IDS)
def test_a_group_without_any_pair_has_no_number(id: str) -> None:
    """Asian rows stand only in periods in which the reference group has none."""
    frame = cells(12)
    asian = white(frame).assign(group="asian", year=lambda f: f["year"] + 20)
    families = [{"family": f} for f in ("linear", "logit")] if id == "extended_twfe" else [{}]
    for more in families:
        out = fit(id, pd.concat([frame, asian]), group="group", reference="white", inference="none", **more)
        assert (out["estimate"].notna() == (out["status"] == "ok")).all()
        assert (out.loc[out["group"] == "asian", "status"] == "not_estimable").all()
        assert out.loc[out["group"] == "black", "status"].iloc[0] == "ok"


TRUTH = {2021: 0.10, 2022: 0.04, 2023: -0.06}  # effect at the start; it grows by a tenth of itself a period


def without_noise() -> tuple[pd.DataFrame, pd.Series]:
    """Outcomes without noise whose effects differ by cohort and grow, and the effect of each row."""
    frame = white(cells(13, weights=True))
    since = (frame["year"] - frame["start"]).astype(float)
    size = frame["start"].map(TRUTH).astype(float) * (1 + 0.1 * since)
    effect = size.where(since >= 0, 0.0)
    level = frame["system"].map({s: i / 10 for i, s in enumerate(sorted(frame["system"].unique()))})
    return frame.assign(y=level + np.sin(frame["year"]) + effect), effect


@pytest.mark.parametrize("weights", [None, "n"])
def test_effects_that_differ_and_grow_are_recovered_exactly(weights: str | None) -> None:
    frame, effect = without_noise()
    on = (frame["year"] >= frame["start"]).fillna(False).to_numpy(bool)
    w = frame["n"].to_numpy(float) if weights else np.ones(len(frame))
    truth = float(np.average(effect[on], weights=w[on]))
    options: dict[str, Any] = {"weights": weights, "inference": "none"}
    found = {
        "interaction_weighted": fit("interaction_weighted", frame, **options),
        "imputation": fit("imputation", frame, horizons=True, **options),
        "extended_twfe": fit("extended_twfe", frame, average="weights", comparison="not_yet", **options),
    }
    for id, out in found.items():
        assert out["estimate"].iloc[0] == pytest.approx(truth, abs=1e-12), id
        at = out[(out["event_time"] == 1) & (out["interval"] == "pointwise")]
        now = on & (frame["year"] - frame["start"] == 1).fillna(False).to_numpy(bool)
        assert at["estimate"].iloc[0] == pytest.approx(float(np.average(effect[now], weights=w[now])), abs=1e-12), id
    stacked = fit("stacked", frame, window=(3, 2), **options)
    early = on & (frame["year"] - frame["start"] <= 2).fillna(False).to_numpy(bool)
    each = [float(np.average(effect[m], weights=w[m])) for e in range(3)
            for m in [early & (frame["year"] - frame["start"] == e).fillna(False).to_numpy(bool)]]  # fmt: skip
    assert stacked["estimate"].iloc[0] == pytest.approx(np.mean(each), abs=1e-12)
    two_way = fit("bacon", frame, **options)
    assert abs(two_way["estimate"].iloc[0] - truth) > 1e-3  # and the decomposition says by which comparisons
    if weights is None:
        parts = pd.DataFrame(two_way.attrs["comparisons"])
        assert (parts["kind"] == "later_vs_earlier").any()


@pytest.mark.parametrize("id", IDS)
def test_anticipation_is_neither_base_nor_effect(id: str) -> None:
    """Outcomes react one period early. Told so, every estimator finds the effect from the start on; not told, it does not."""
    frame, effect = without_noise()
    since = (frame["year"] - frame["start"]).astype(float)
    frame["y"] = frame["y"] - effect + 0.05 * (since >= 0) + 0.02 * (since == -1)
    more: dict[str, Any] = {"window": (3, 2)} if id == "stacked" else {"comparison": "not_yet"} if id == "extended_twfe" else {}
    told = fit(id, frame, inference="none", anticipation=1, **more)
    assert told["estimate"].iloc[0] == pytest.approx(0.05, abs=1e-12)
    naive = fit(id, frame, inference="none", **more)
    assert abs(naive["estimate"].iloc[0] - 0.05) > 1e-3
    if id in ("interaction_weighted", "stacked"):
        at = told[told["estimand"] == "att"].set_index("event_time")["estimate"]
        assert at[-1] == pytest.approx(0.02, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("id", "options"),
    [
        ("interaction_weighted", {"inference": "cr2"}),
        ("imputation", {"inference": "bjs"}),
        ("imputation", {"inference": "bjs", "leave_out": True}),
        ("extended_twfe", {"inference": "cr2", "aggregate": "simple"}),
        ("extended_twfe", {"inference": "delta", "aggregate": "simple"}),
        ("stacked", {"inference": "cr2", "window": (3, 2)}),
    ],
)
def test_intervals_cover_the_truth(id: str, options: dict[str, Any]) -> None:
    """200 draws, 20 treated and 20 never treated units in four cohorts, autocorrelated noise: 95% within Monte Carlo error, less
    what normal quantiles lose with 40 clusters."""
    starts: list[int | None] = [2020] * 5 + [2021] * 5 + [2022] * 5 + [2023] * 5 + [None] * 20
    hits = []
    for seed in range(200):
        rng = np.random.default_rng([99, seed])
        noise = np.zeros((40, 8))
        for t in range(8):
            noise[:, t] = 0.5 * noise[:, max(t - 1, 0)] + rng.normal(0, 1, 40)
        rows = [(f"S{u:02d}", 2018 + t, c, noise[u, t] + 0.3 * t) for u, c in enumerate(starts) for t in range(8)]
        frame = pd.DataFrame(rows, columns=["system", "year", "start", "y"])
        frame["y"] += 1.0 * (frame["year"] >= frame["start"])
        row = fit(id, frame, **options).iloc[0]
        hits.append(row["conf_low"] <= 1.0 <= row["conf_high"])
    assert 0.89 <= np.mean(hits) <= 0.99
