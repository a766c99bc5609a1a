"""Time and cohort of any type: dates after the data, between periods, with zones; fractions, spans and mixtures refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import DataError, StudyError, UsageError

PLAIN = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g"}
NUMBERS = ["estimate", "std_error", "p_value", "df"]


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    rows = [(f"u{u}", t, 2004.0 + u % 2 if u < 4 else np.nan) for u in range(10) for t in range(2000, 2008)]
    out = pd.DataFrame(rows, columns=["u", "t", "g"])
    return out.assign(y=rng.normal(size=len(out)))


def dated(frame: pd.DataFrame, month: int = 1, day: int = 1) -> pd.DataFrame:
    def stamp(v: float) -> pd.Timestamp:
        return pd.NaT if np.isnan(v) else pd.Timestamp(int(v), month, day)

    return frame.assign(t=pd.to_datetime(frame["t"].map(stamp)), g=pd.to_datetime(frame["g"].map(stamp)))


@pytest.mark.parametrize("anticipation", [0, 1, 2])
@pytest.mark.parametrize(("month", "day"), [(1, 1), (7, 1), (12, 31)])
@pytest.mark.parametrize("late", [2008, 2009, 2050])
def test_a_date_after_the_data_is_as_far_away_as_its_year(
    frame: pd.DataFrame, anticipation: int, month: int, day: int, late: int
) -> None:
    some = frame.assign(g=frame["g"].where(~frame["u"].isin(["u8", "u9"]), late))
    expected = p4equity.fit("did", some, anticipation=anticipation, **PLAIN)
    found = p4equity.fit("did", dated(some, month, day), anticipation=anticipation, **PLAIN)
    pd.testing.assert_frame_equal(found[NUMBERS], expected[NUMBERS], rtol=1e-12)
    assert found["n_cells"].iloc[0] == expected["n_cells"].iloc[0]
    assert len(found.attrs["dropped"]) == len(expected.attrs["dropped"])


def test_never_treated_units_may_all_carry_a_far_date(frame: pd.DataFrame) -> None:
    far = dated(frame).assign(g=lambda f: f["g"].fillna(pd.Timestamp("2050-01-01")))
    expected = p4equity.fit("did", frame, anticipation=1, **PLAIN)
    pd.testing.assert_frame_equal(p4equity.fit("did", far, anticipation=1, **PLAIN)[NUMBERS], expected[NUMBERS], rtol=1e-12)


@pytest.mark.parametrize("step", ["MS", "QS", "W", "D", "2D"])
def test_other_spacings_count_steps_beyond_the_data(step: str) -> None:
    stamps = pd.date_range("2020-01-01", periods=12, freq=step)
    beyond = stamps[-1] + 3 * stamps.freq
    rng = np.random.default_rng(0)
    rows = [(u, t, 6.0 if u < 4 else (14.0 if u == 9 else np.nan)) for u in range(10) for t in range(12)]
    frame = pd.DataFrame(rows, columns=["u", "t", "g"]).assign(y=rng.normal(size=120))
    dates = frame.assign(t=stamps[frame["t"]], g=frame["g"].map({6.0: stamps[6], 14.0: beyond}))
    for anticipation in (2, 3, 4):
        a, b = (p4equity.fit("did", f, anticipation=anticipation, **PLAIN) for f in (frame, dates))
        pd.testing.assert_frame_equal(a[NUMBERS], b[NUMBERS], rtol=1e-12)


def test_cohort_dates_between_periods_are_not_moved(frame: pd.DataFrame) -> None:
    between = dated(frame).assign(g=lambda f: f["g"] + pd.Timedelta(days=100))
    with pytest.raises(DataError, match="other dates in 4 units") as caught:
        p4equity.fit("did", between, **PLAIN)
    assert "first period that counts as treated" in str(caught.value)
    early = dated(frame).assign(g=lambda f: f["g"].where(f["u"] != "u0", pd.Timestamp("1999-05-05")))
    assert "no period before its first treated period: u0" in p4equity.fit("did", early, **PLAIN)["reason"].iloc[-1]


def test_dates_beyond_the_data_that_anticipation_may_or_may_not_reach_are_refused(frame: pd.DataFrame) -> None:
    near = dated(frame).assign(g=lambda f: f["g"].where(f["u"] != "u9", pd.Timestamp("2008-04-01")))
    assert p4equity.fit("did", near, **PLAIN)["status"].iloc[0] == "ok"
    with pytest.raises(DataError, match="other dates in 1 unit"):
        p4equity.fit("did", near, anticipation=1, **PLAIN)


def text(frame: pd.DataFrame, zone: str | None = None) -> pd.DataFrame:
    return dated(frame).assign(**{c: lambda f, c=c: f[c].dt.tz_localize(zone) for c in ("t", "g")})


@pytest.mark.parametrize(
    "change",
    [
        lambda f: text(f, "UTC"),
        lambda f: text(f, "America/New_York"),
        lambda f: text(f, "UTC").assign(g=lambda x: x["g"].dt.tz_convert("Asia/Tokyo")),
        lambda f: dated(f).assign(t=lambda x: x["t"].dt.date, g=lambda x: x["g"].dt.date.where(x["g"].notna(), None)),
        lambda f: dated(f).assign(t=lambda x: pd.array(x["t"].dt.date, dtype="date32[pyarrow]")),
        lambda f: dated(f).assign(t=lambda x: x["t"].astype(object), g=lambda x: x["g"].astype(object)),
        lambda f: dated(f).assign(t=lambda x: x["t"].astype("category")),
        lambda f: dated(f).assign(t=lambda x: x["t"].dt.to_period("Y").astype(object)),
        lambda f: f.assign(g=f["g"].fillna(np.inf)),
        lambda f: dated(f).assign(g=lambda x: [dt.date(9999, 12, 31) if pd.isna(v) else v.date() for v in x["g"]]),
    ],
    ids=["utc", "zone", "two zones", "dates", "arrow dates", "objects", "categories", "periods", "infinity", "year 9999"],
)
def test_dates_of_any_type_give_the_answer_of_years(frame: pd.DataFrame, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    expected = p4equity.fit("did", frame, anticipation=1, **PLAIN)[NUMBERS]
    pd.testing.assert_frame_equal(p4equity.fit("did", change(frame), anticipation=1, **PLAIN)[NUMBERS], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.assign(g=dated(f)["g"]), "cohort is a date, time a number"),
        (lambda f: f.assign(t=pd.to_timedelta(f["t"], unit="D")), "spans of time"),
        (lambda f: f.assign(g=pd.to_timedelta(f["g"], unit="D")), "spans of time"),
        (lambda f: f.assign(t=[dt.date(2000, 1, 1), *f["t"].iloc[1:]]), "several types"),
        (lambda f: dated(f).assign(g=lambda x: x["g"].dt.tz_localize("UTC")), "differ in time zone"),
        (lambda f: f.assign(t=f["t"] / 4), "fractions in 60 of 80 rows"),
        (lambda f: f.assign(g=f["g"] + 0.4), "not a whole number"),
        (lambda f: f.assign(g=f["g"].astype(object).where(f["g"].notna(), "never")), "replace words such as 'never'"),
        (lambda f: f.assign(g=-np.inf), "infinite"),
        (lambda f: f.assign(t=f["t"].astype(str) + "-01-01"), "pandas.to_datetime"),
        (lambda f: f.assign(y=pd.Timestamp("2020-01-01")), "not numeric"),
    ],
)
@pytest.mark.parametrize("id", ["did", "event_study"])
def test_what_is_no_time_is_refused(
    frame: pd.DataFrame, id: str, change: Callable[[pd.DataFrame], pd.DataFrame], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        p4equity.fit(id, change(frame), **PLAIN)


def test_without_time_words_are_no_cohort() -> None:
    frame = pd.DataFrame({"y": np.arange(8.0) ** 1.5, "g": ["2020"] * 3 + [None] * 5})
    expected = p4equity.fit("meta_regression", frame, outcome="y", cohort="g")["estimate"].iloc[0]
    for never in ("never", "untreated"):
        with pytest.raises(DataError, match="never"):
            p4equity.fit("meta_regression", frame.assign(g=frame["g"].fillna(never)), outcome="y", cohort="g")
    same = frame.assign(g=[2020.0] * 3 + [np.inf] * 5)
    assert p4equity.fit("meta_regression", same, outcome="y", cohort="g")["estimate"].iloc[0] == expected
    days = frame.assign(g=[dt.date(2020, 5, 1)] * 3 + [None] * 5)
    assert p4equity.fit("meta_regression", days, outcome="y", cohort="g")["estimate"].iloc[0] == expected
    with pytest.raises(UsageError, match="flag"):
        p4equity.fit("meta_regression", frame.assign(g=[True] * 3 + [None] * 5), outcome="y", cohort="g")


def test_left_out_changes_name_no_period() -> None:
    frame = pd.DataFrame({"u": range(8), "y": [np.nan, *range(7)], "g": [2020.0] * 3 + [np.nan] * 5})
    out = p4equity.fit("meta_regression", frame, outcome="y", unit="u", cohort="g")
    assert out["reason"].iloc[-1] == "left out: missing value in 1 row: 0"


@pytest.mark.parametrize("id", ["did", "event_study"])
def test_units_treated_from_the_start_are_named_when_none_is_left(frame: pd.DataFrame, id: str) -> None:
    with pytest.raises(StudyError, match="4 units in the data, left out: no period before its first treated period"):
        p4equity.fit(id, frame.assign(g=frame["g"].where(frame["g"].isna(), 1999)), **PLAIN)


def test_advice_is_given_only_where_it_can_be_followed(frame: pd.DataFrame) -> None:
    late = frame.assign(g=frame["g"].fillna(2006))
    with pytest.raises(StudyError, match="8 units treated later"):
        p4equity.fit("did", late, **PLAIN)
    with pytest.raises(StudyError) as caught:
        p4equity.fit("meta_regression", late, **PLAIN)
    assert "not_yet" not in str(caught.value)
    with pytest.raises(StudyError) as caught:
        p4equity.fit("did", frame.assign(g=2004), comparison="not_yet", **PLAIN)
    assert "comparison=" not in str(caught.value)
