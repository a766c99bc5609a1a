"""Sensitivity sets and power of pretests behind `fit`: rows, options, and data that cannot give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import UsageError

PATHS = ["relative_magnitudes", "smoothness", "pretest_power"]


def panel(systems: int = 14, treated: int = 5, years: range = range(2018, 2026), seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [
        {"system": f"s{i}", "year": t, "cohort": 2023.0 if i < treated else np.nan, "n": 40 + 5 * i,
         "y": 0.2 * i + 0.1 * t + 1.2 * (i < treated and t >= 2023) + rng.normal(0, 0.4)}
        for i in range(systems)
        for t in years
    ]  # fmt: skip
    return pd.DataFrame(rows)


def fit(data: pd.DataFrame, **options: Any) -> pd.DataFrame:
    given: dict[str, Any] = {"outcome": "y", "unit": "system", "time": "year", "cohort": "cohort"}
    return p4equity.fit(options.pop("estimator", "event_study"), data, **(given | options))


def test_rows_of_each_method() -> None:
    found = fit(panel(), inference=["cr2", *PATHS])
    plain = found[found["inference"] == "cr2"].iloc[0]
    own = found[found["inference"].isin(PATHS)]
    assert own["estimand"].tolist() == [
        *(f"att, relative magnitudes {b}" for b in ("0.5", "1", "1.5", "2")),
        "att, relative magnitudes breakdown",
        "att, smoothness 0",
        "att, smoothness breakdown",
        *(f"att, pretest {what}, power {p}%" for p in (50, 80) for what in ("slope", "bias", "bias if passed")),
    ]
    sets = own[own["interval"] == "sensitivity"]
    assert sets["estimate"].to_numpy() == pytest.approx(plain["estimate"])
    assert sets["df"].to_numpy() == pytest.approx(plain["df"])
    assert sets[["std_error", "statistic", "p_value"]].isna().all(axis=None)
    assert (own["status"] == "ok").all()
    assert (sets["conf_low"].iloc[:4].diff().dropna() < 0).all()
    units = own.set_index("estimand")["outcome_unit"]
    assert units["att, relative magnitudes breakdown"] == "bound"
    assert units["att, pretest slope, power 50%"] == "outcome per period"
    assert set(units[["att, smoothness breakdown", "att, relative magnitudes 1", "att, pretest bias, power 80%"]]) == {"outcome"}
    assert any("rejects without a violation" in w for w in found.attrs["warnings"])


def test_the_set_without_violation_is_the_t_interval() -> None:
    data = panel()
    plain = fit(data).iloc[0]
    row = fit(data, inference="relative_magnitudes", bound=0).iloc[0]
    step = 40 * (plain["conf_high"] - plain["conf_low"]) / 3.92 / 999
    assert row["conf_low"] == pytest.approx(plain["conf_low"], abs=step)
    assert row["conf_high"] == pytest.approx(plain["conf_high"], abs=step)


def test_options_reach_the_sets() -> None:
    data = panel()
    default = fit(data, inference="relative_magnitudes")
    wide = (default["conf_high"] - default["conf_low"])[:4]
    normal = fit(data, inference="relative_magnitudes", small_sample=False)
    assert ((normal["conf_high"] - normal["conf_low"])[:3] < wide[:3]).all()
    assert normal["df"].isna().all()
    assert any("normal sets" in w for w in normal.attrs["warnings"])
    first = fit(data, inference="relative_magnitudes", average=[0], bound=1).iloc[0]
    levels = fit(data).query("event_time == 0")["estimate"].iloc[0]
    assert first["estimate"] == pytest.approx(levels)
    weighted = fit(data, inference="smoothness", average={0: 0.5, 1: 0.5}, set_method="hybrid").iloc[0]
    pair = fit(data).query("interval == 'pointwise' and event_time in (0, 1)")["estimate"]
    assert weighted["estimate"] == pytest.approx(pair.mean())
    joint = fit(data, inference="pretest_power", pretest="joint", power=0.5)
    assert len(joint) == 3
    other = fit(data, inference="relative_magnitudes", variance="cr1", bound=1).iloc[0]
    assert other["df"] == 13


@pytest.mark.parametrize("word", ["exclude", "apart"])
def test_a_pandemic_year_stays_out_of_the_largest_change(word: str) -> None:
    data = panel()
    shock = (data["year"] == 2020) & data["cohort"].notna()
    hit = data.assign(y=data["y"] + 30 * shock)
    out = {word: [-3]}
    plain, bad = (
        fit(data, inference="relative_magnitudes", bound=1, **out),
        fit(hit, inference="relative_magnitudes", bound=1, **out),
    )
    assert bad["conf_low"].tolist() == pytest.approx(plain["conf_low"].tolist(), nan_ok=True)
    assert bad["estimate"].tolist() == pytest.approx(plain["estimate"].tolist())
    unbounded = fit(hit, inference="relative_magnitudes", bound=1).iloc[0]
    assert np.isnan(unbounded["conf_low"])
    assert unbounded["status"] == "ok"


def test_unbounded_limits_are_missing_and_named() -> None:
    found = fit(panel(), inference="relative_magnitudes", bound=50)
    assert found.iloc[0][["conf_low", "conf_high"]].isna().all()
    assert any("lower and upper limit unbounded" in w for w in found.attrs["warnings"])


def test_groups_have_a_path_each() -> None:
    data = panel()
    cells = pd.concat([data.assign(race=race, y=panel(seed=seed)["y"] + 1) for seed, race in enumerate("rab")])
    found = fit(cells, group="race", reference="r", weights="n", inference="relative_magnitudes", bound=1)
    assert set(found["group"]) == {"pooled", "a", "b"}
    assert {"att_gap, relative magnitudes 1", "att_reference, relative magnitudes breakdown"} <= set(found["estimand"])
    assert (found["status"] == "ok").all()


def test_anticipation_moves_the_reference() -> None:
    data = panel()
    found = fit(data, anticipation=1, inference=["relative_magnitudes", "pretest_power"], bound=1)
    assert (found["status"] == "ok").all()
    assert found["estimate"].iloc[0] == pytest.approx(fit(data, anticipation=1)["estimate"].iloc[0])


REASONS = {
    "no period before": {"years": range(2022, 2026)},
    "1 treated cluster": {"treated": 1},
    "2 treated clusters": {"treated": 2},
    "2 comparison clusters": {"systems": 7},
}


@pytest.mark.parametrize("reason", REASONS)
def test_what_cannot_be_answered_is_a_row_with_its_reason(reason: str) -> None:
    found = fit(panel(**REASONS[reason]), inference=PATHS)
    assert len(found) == 13
    assert (found["status"] == "not_estimable").all()
    assert found["estimate"].isna().all()
    assert found["reason"].str.contains(reason).all()


def test_hard_data_raise_nothing() -> None:
    data = panel()
    for changed in (
        data.assign(y=1.0),
        data.assign(y=0.0),
        data[~((data["system"] == "s0") & (data["year"] < 2021))],
        data.assign(cohort=data["cohort"].where(data["system"] != "s1", 2025)),
        data[data["year"].isin([2021, 2022, 2023])],
        data[data["year"] != 2020],
    ):
        found = fit(changed, inference=PATHS)
        assert ((found["status"] == "ok") == found["estimate"].notna()).all()
        assert found.loc[(found["status"] != "ok"), "reason"].notna().all()
    late = fit(data.assign(cohort=data["cohort"].where(data["system"] != "s1", 2025)), inference="relative_magnitudes")
    assert any("is left out" in w for w in late.attrs["warnings"]) or late["reason"].notna().any()
    assert fit(data, inference="smoothness", reference_period=-3)["reason"].str.contains("not the last one before").all()


def test_wrong_options_are_told() -> None:
    for bad in (
        {"bound": -1},
        {"bound": "one"},
        {"bound": [0.5, None]},
        {"average": [7]},
        {"average": [-2]},
        {"average": {0: "half"}},
        {"exclude": [-1]},
        {"exclude": "2020"},
        {"gap": "bridge"},
        {"set_method": "fixed_length"},
        {"small_sample": "no"},
        {"power": 1.0},
        {"pretest": "wald"},
    ):
        with pytest.raises(UsageError):
            fit(panel(), inference="relative_magnitudes", **bad)
    with pytest.raises(UsageError):
        p4equity.fit("did", panel(), outcome="y", unit="system", time="year", cohort="cohort", inference="smoothness")


def test_labels_order_and_seed_do_not_move_the_rows() -> None:
    data = panel()
    one = fit(data, inference=PATHS)
    other = data.assign(system=data["system"].map(lambda s: f"z{99 - int(s[1:])}")).sample(frac=1, random_state=3)
    numbers = ["estimate", "conf_low", "conf_high"]
    assert fit(other, inference=PATHS)[numbers].to_numpy() == pytest.approx(one[numbers].to_numpy(), rel=1e-9, nan_ok=True)
    assert fit(data, inference=PATHS).equals(one)


def test_one_cohort_has_the_same_sets_by_interaction_weights() -> None:
    data, numbers = panel(), ["estimate", "conf_low", "conf_high", "df"]
    one, other = (fit(data, inference=PATHS), fit(data, inference=PATHS, estimator="interaction_weighted"))
    assert other[numbers].to_numpy() == pytest.approx(one[numbers].to_numpy(), rel=1e-6, nan_ok=True)


def test_group_time_effects_have_sets_from_one_reference_period() -> None:
    data = panel(systems=30, treated=12)
    data = data.assign(cohort=data["cohort"].where(~data["system"].isin(["s0", "s1", "s2", "s3"]), 2022))
    given = {"estimator": "group_time", "aggregate": "dynamic", "base_period": "universal"}
    plain = fit(data, **given)
    sets = fit(data, inference=["relative_magnitudes", "pretest_power"], bound=[0, 0.2], small_sample=False, **given)
    row, free = plain.iloc[0], sets.iloc[0]
    assert free["estimate"] == pytest.approx(row["estimate"])
    step = 40 * row["std_error"] / 999
    assert (free["conf_low"], free["conf_high"]) == pytest.approx((row["conf_low"], row["conf_high"]), abs=step)
    assert sets.iloc[1]["conf_high"] > free["conf_high"]
    assert (sets["status"] == "ok").all()
    few = fit(panel(), inference="relative_magnitudes", **given)
    assert few["df"].iloc[0] == 13
    assert any("treated clusters" in w for w in few.attrs["warnings"])
    for other in ({"aggregate": "dynamic"}, {"base_period": "universal"}):
        rows = fit(data, inference=PATHS, estimator="group_time", **other)
        assert rows["reason"].str.contains("base_period='universal'").all()
