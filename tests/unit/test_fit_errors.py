"""What `fit` refuses, with which words and which exit code; and what it answers with a reason instead of a number."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import DataError, P4Error, StudyError, UsageError
from p4equity.estimators import ESTIMATORS

OPTIONS = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g"}


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = [(u, t, 2022.0 if u < 3 else None, r) for u in range(8) for t in range(2019, 2025) for r in "ab"]
    out = pd.DataFrame(rows, columns=["u", "t", "g", "r"])
    return out.assign(y=rng.normal(size=len(out)), w=rng.integers(1, 9, len(out)), one=1)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"outcome": "yy"}, UsageError, "did you mean 'y'"),
        ({"covariates": ["income"]}, UsageError, "no column 'income'"),
        ({"unit": None}, UsageError, "no unit"),
        ({"time": None}, UsageError, "no time"),
        ({"comparison": "notyet"}, UsageError, "did you mean 'not_yet'"),
        ({"inference": ["cr2", "knapp_hartung"]}, UsageError, "unknown inference 'knapp_hartung'"),
        ({"variance": "CR9"}, UsageError, "unknown variance"),
        ({"varience": "CR2"}, UsageError, "did you mean 'variance'"),
        ({"ssc": "fixes", "inference": "cr1"}, UsageError, "fixest"),
        ({"conf_level": 95}, UsageError, "out of range"),
        ({"anticipation": -1}, UsageError, "out of range"),
        ({"aggregate": "calendar"}, UsageError, "cohort"),
        ({"group": "r"}, UsageError, "needs its reference"),
        ({"group": "r", "reference": "c"}, UsageError, "no group 'c'"),
    ],
)
def test_words_that_are_not_known(frame: pd.DataFrame, change: dict[str, object], error: type[P4Error], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        p4equity.fit("did", frame, **{**OPTIONS, **change})
    assert caught.value.exit_code == 2


def test_unknown_estimator(frame: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="did you mean 'event_study'"):
        p4equity.fit("event_studdy", frame, **OPTIONS)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda f: f.assign(y="high"), "'y': not numeric"),
        (lambda f: f.assign(y=np.inf), "infinite"),
        (lambda f: f.assign(y=f["y"] * 1e60), "'y': numbers too large to square"),
        (lambda f: f.assign(y=f["y"] * 1e-60), "'y': numbers too small to square"),
        (lambda f: f.assign(w=f["w"] * 1e-60), "'w': numbers too small to square"),
        (lambda f: f.assign(y=np.nan), "no row has outcome"),
        (lambda f: f.assign(w=-f["w"]), "negative weights"),
        (lambda f: f.assign(w=0), "no row has outcome"),
        (lambda f: f[:0], "no rows"),
        (lambda f: f.assign(g=np.where(f["t"] == 2020, 2021, f["g"])), "changes within a unit"),
        (lambda f: f.assign(t=pd.to_datetime(f["t"].astype(str))), "cohort is a number, time a date"),
        (lambda f: f.assign(t=pd.to_datetime(f["t"].astype(str)), g="spring"), "not a date"),
        (lambda f: f.assign(g="2022-ish"), "not numeric"),
    ],
)
def test_values_that_cannot_be_used(frame: pd.DataFrame, change: Callable[[pd.DataFrame], pd.DataFrame], text: str) -> None:
    with pytest.raises(DataError, match=text) as caught:
        p4equity.fit("did", change(frame), weights="w", **OPTIONS)
    assert caught.value.exit_code == 10


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda f: f.assign(g=f["g"].fillna(0)), "0 is not 'never treated'"),
        (lambda f: f.assign(g=f["g"].notna()), "a flag is not a cohort"),
    ],
)
def test_cohorts_that_mean_something_else(frame: pd.DataFrame, change: Callable[[pd.DataFrame], pd.DataFrame], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        p4equity.fit("did", change(frame), **OPTIONS)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda f: f.assign(g=None), "no treated unit left"),
        (lambda f: f.assign(g=2022), "no comparison unit left"),
        (lambda f: f[f["t"] >= 2022], "no treated unit left"),
        (lambda f: f[f["t"] < 2022], "no treated unit left"),
        (lambda f: f.assign(g=f["g"].fillna(2024)), "not_yet"),
    ],
)
@pytest.mark.parametrize("id", ["did", "event_study", "meta_regression"])
def test_nothing_to_compare(frame: pd.DataFrame, id: str, change: Callable[[pd.DataFrame], pd.DataFrame], text: str) -> None:
    with pytest.raises(StudyError, match="no (treated|comparison) unit" if id == "meta_regression" else text) as caught:
        p4equity.fit(id, change(frame), **OPTIONS)
    assert caught.value.exit_code == 11


def gone(f: pd.DataFrame, rows: pd.Series) -> pd.DataFrame:
    return f.assign(y=f["y"].mask(rows))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda f: f.assign(g=None), "no treated unit left: column 'g' holds no first treated period"),
        (lambda f: f.assign(g=2022), "no comparison unit left: column 'g' holds a first treated period for every unit"),
        (lambda f: f[f["t"] < 2022], "the first treated period of 3 units lies after the data"),
        (lambda f: gone(f, f["g"].notna()), "no treated unit left: 3 units in the data, left out: missing value$"),
        (lambda f: gone(f, f["g"].isna()), "no comparison unit left: 5 units in the data, left out: missing value$"),
        (lambda f: gone(f, f["g"].notna() & (f["t"] < 2022)), "left out: missing value, then no period before its first"),
        (lambda f: gone(f, f["g"].notna() & (f["t"] >= 2022)), "left out: missing value, then no period from its first treated"),
        (lambda f: f[f["g"].isna() | (f["u"] == 0) & (f["t"] < 2020) | (f["u"] > 0) & (f["t"] > 2022)],
         "3 units in the data, left out: 2 for no period before its first treated period, 1 for one period only"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("id", ["did", "interaction_weighted", "imputation", "bacon"])
def test_the_cause_is_what_left_the_units_out(
    frame: pd.DataFrame, id: str, change: Callable[[pd.DataFrame], pd.DataFrame], text: str
) -> None:
    with pytest.raises(StudyError) as caught:
        p4equity.fit(id, change(frame), **OPTIONS)
    assert re.search(text, caught.value.problem), caught.value.problem
    assert ("cohort column" in caught.value.fix) == ("left out" not in text)


@pytest.mark.parametrize(
    ("id", "text"),
    [
        ("meta_regression", "missing value, then no period before treatment$"),
        ("group_time", "missing value, then missing periods$"),
    ],
)
def test_estimators_with_rules_of_their_own_name_them(frame: pd.DataFrame, id: str, text: str) -> None:
    with pytest.raises(StudyError) as caught:
        p4equity.fit(id, gone(frame, frame["g"].notna() & (frame["t"] < 2022)), **OPTIONS)
    assert re.search(text, caught.value.problem), caught.value.problem
    assert "cohort column" not in str(caught.value)


def test_messages_carry_no_traceback_of_values(frame: pd.DataFrame) -> None:
    with pytest.raises(DataError) as caught:
        p4equity.fit("did", frame.assign(y=[f"secret {i}" for i in range(len(frame))]), **OPTIONS)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("methods", [["cr0", "cr1", "cr2", "cr3"], ["wild_bootstrap"], ["permutation"]])
def test_an_outcome_without_variation_has_a_reason(frame: pd.DataFrame, methods: list[str]) -> None:
    out = p4equity.fit("did", frame[frame["r"] == "a"].assign(y=0.0), inference=methods, **OPTIONS)
    assert (out["status"] == "not_estimable").all()
    assert out["estimate"].isna().all()


@pytest.mark.parametrize("id", ["did", "event_study"])
def test_one_cluster_has_a_reason(frame: pd.DataFrame, id: str) -> None:
    out = p4equity.fit(id, frame, cluster="one", inference=["cr1", "cr2", "wild_bootstrap"], **OPTIONS)
    assert (out["status"] == "not_estimable").all()
    assert out["reason"].str.contains("one cluster").any()


def test_one_cluster_in_a_triple_difference_has_a_reason(frame: pd.DataFrame) -> None:
    out = p4equity.fit("triple_difference", frame, cluster="one", group="r", reference="a", **OPTIONS)
    assert out["reason"].str.contains("one cluster").all()


def test_a_covariate_that_repeats_the_treatment_has_a_reason(frame: pd.DataFrame) -> None:
    frame = frame.assign(x=(frame["t"] >= frame["g"]).astype(float))
    out = p4equity.fit("did", frame, covariates=["x"], inference=["cr2", "wild_bootstrap", "none"], **OPTIONS)
    assert out["reason"].str.contains("collinear").all()


def test_a_covariate_that_adds_nothing_is_harmless(frame: pd.DataFrame) -> None:
    plain = p4equity.fit("did", frame, **OPTIONS)
    found = p4equity.fit("did", frame.assign(x=frame["t"] * 2.0, z=frame["u"] * 1.0), covariates=["x", "z"], **OPTIONS)
    assert found["estimate"].iloc[0] == pytest.approx(plain["estimate"].iloc[0], abs=1e-12)


def test_leads_and_lags_without_never_treated_are_not_identified(frame: pd.DataFrame) -> None:
    frame = frame.assign(g=frame["g"].fillna(2024))
    out = p4equity.fit("event_study", frame, comparison="not_yet", **OPTIONS)
    assert (out["status"] == "not_estimable").all()
    assert out["reason"].str.contains("collinear").any()


def test_saturated_data_raise_nothing() -> None:
    rows = [(u, t, 2 if u == "A" else None, float(t * (u == "A"))) for u in "AB" for t in (1, 2)]
    out = p4equity.fit("did", pd.DataFrame(rows, columns=["u", "t", "g", "y"]), inference=["none", "cr2", "cr1"], **OPTIONS)
    assert out["estimate"].iloc[0] == pytest.approx(1.0)
    assert list(out["status"]) == ["ok", "not_estimable", "not_estimable"]


@pytest.mark.parametrize("scale", [1e48, 1e-48])
@pytest.mark.parametrize("id", [e for e in ESTIMATORS if e not in ("triple_difference", "bacon")])
def test_units_of_measurement_change_the_numbers_and_nothing_else(frame: pd.DataFrame, id: str, scale: float) -> None:
    numbers = ["estimate", "std_error", "conf_low", "conf_high"]
    with np.errstate(all="raise", under="ignore"):
        one, other = (p4equity.fit(id, f, weights="w", **OPTIONS) for f in (frame, frame.assign(y=frame["y"] * scale)))
    assert one["status"].tolist() == other["status"].tolist()
    np.testing.assert_allclose(other[numbers] / scale, one[numbers], rtol=1e-6)
    np.testing.assert_allclose(other["p_value"].astype(float), one["p_value"].astype(float), rtol=1e-6)
