"""Time and first treated period of each row on one numeric scale, from whole numbers or dates of any type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from p4equity.errors import DataError, UsageError
from p4equity.estimators.base import Array, Request
from p4equity.estimators.values import WHERE, kind, numeric, plain

NEVER = "null (a missing value) for units never treated"
IRREGULAR = 0.05  # days, or months, by which dates may miss their place and still count as regular


def timeline(data: pd.DataFrame, request: Request) -> tuple[Array, Array, dict[float, object]]:
    """Time (N,) and cohort (N,) of each row, NaN where missing or never treated, and the label of each time.

    Whole numbers stay as they are; infinity as a cohort is never. Dates (time stamps with or without a zone, dates,
    periods) become the order of the periods observed. A cohort date is one of the observed ones, or before the first
    (treated throughout), or after the last: then the unit is untreated, and its place after the last period follows
    from the spacing of the periods, so that anticipation reaches it only if it is near. Raises DataError for numbers
    with a fraction, dates between two periods, spans of time, and dates beside numbers.
    """
    if request.time is None:
        nothing: dict[float, object] = {0.0: None}
        return np.zeros(len(data)), _flags(data, request), nothing
    time, cohort = kind(data[request.time]), kind(data[request.cohort])
    _refuse(time, request.time, "time", "whole numbers or dates")
    _refuse(cohort, request.cohort, "cohort", f"the first treated period, and {NEVER}")
    if time == "date":
        if cohort == "number":
            raise DataError("cohort is a number, time a date", where=_at(request.cohort), expected="dates", found="numbers")
        return _dates(data, request)
    if cohort == "date":
        fix = f"give the first treated period as one of the numbers in '{request.time}', or turn both columns into dates"
        raise DataError("cohort is a date, time a number", where=_at(request.cohort), expected="numbers", found="dates", fix=fix)
    t, c = numeric(data, request.time, "time"), _cohorts(data, request)
    for values, column in ((t, request.time), (c, request.cohort)):
        _whole(values, column)
    _refuse_zero(c, float(np.nanmin(t, initial=np.inf)), request)
    return t, c, {float(v): int(v) for v in np.unique(t[~np.isnan(t)])}


def _at(column: str) -> str:
    return f"{WHERE}, column '{column}'"


def _refuse(found: str, column: str, role: str, expected: str) -> None:
    """Raise DataError for a column that is neither numbers nor dates (text is read later)."""
    fixes = {
        "span": "add the spans to a start date, or number the periods 1, 2, 3 ...",
        "mixed": "turn the whole column into whole numbers, or into dates",
        "flag": "give the first treated period instead of a flag",
    }
    if found in fixes:
        words = {"span": "spans of time", "mixed": "values of several types", "flag": "true and false"}
        raise DataError(f"{role} is neither a number nor a date", where=_at(column), expected=expected, found=words[found],
                        fix=fixes[found])  # fmt: skip


def _cohorts(data: pd.DataFrame, request: Request) -> Array:
    """Cohorts given as numbers, infinity read as never."""
    try:
        return numeric(data, request.cohort, "cohort", never=True)
    except DataError as error:
        if kind(data[request.cohort]) != "text":
            raise
        fix = "replace words such as 'never' by a missing value"
        raise DataError(error.problem, where=error.where, expected=f"numbers, and {NEVER}", found="text", fix=fix) from error


def _whole(values: Array, column: str) -> None:
    broken = int((values % 1 != 0).sum() - np.isnan(values).sum())
    if broken:
        raise DataError(
            "not a whole number",
            where=_at(column),
            expected="whole numbers, one a period",
            found=f"fractions in {broken} of {len(values)} rows",
            fix="number the periods 1, 2, 3 ... in time and cohort alike (quarters: 4 x year + quarter), or pass dates",
        )


def _refuse_zero(cohort: Array, first: float, request: Request) -> None:
    if (cohort == 0).any() and first > 0:
        raise UsageError(
            "0 is not 'never treated'",
            where=f"fit: cohort, column '{request.cohort}'",
            expected="null for never treated",
            found="0",
            fix="replace 0 by a missing value, so that no period is mistaken for it",
        )


def _flags(data: pd.DataFrame, request: Request) -> Array:
    """Without time, only whether a unit has a cohort matters: one change a unit. Null and infinity are never."""
    found = kind(data[request.cohort])
    _refuse(found, request.cohort, "cohort", f"a period, and {NEVER}")
    if found in ("date", "nothing") or (found == "text" and _readable(data[request.cohort])):
        return np.where(data[request.cohort].isna(), np.nan, 0.0)
    c = _cohorts(data, request)
    _refuse_zero(c, 1.0, request)
    return np.where(np.isnan(c), np.nan, 0.0)


def _readable(series: pd.Series) -> bool:
    """Whether a column of text holds dates."""
    try:
        pd.to_datetime(series, errors="raise")
    except (TypeError, ValueError):
        return False
    return True


def _dates(data: pd.DataFrame, request: Request) -> tuple[Array, Array, dict[float, object]]:
    time, cohort = plain(data[str(request.time)]), plain(data[request.cohort])
    stamps, zone = _stamps(time, request)
    starts, other = _stamps(cohort, request)
    if (zone is None) != (other is None) and starts.notna().any():
        raise DataError(
            "time and cohort differ in time zone",
            where=f"{WHERE}, columns '{request.time}' and '{request.cohort}'",
            expected="both with a time zone, or none",
            found=f"time: {zone or 'none'}, cohort: {other or 'none'}",
            fix="use .dt.tz_localize on the column without a zone, or tz_localize(None) on the other",
        )
    if zone is not None:
        stamps = stamps.dt.tz_localize(None)
        starts = starts.dt.tz_convert(zone).dt.tz_localize(None) if other is not None else starts
    stamps, starts = stamps.astype("datetime64[us]"), starts.astype("datetime64[us]")
    periods = np.sort(stamps.dropna().unique())
    t = np.where(stamps.isna(), np.nan, np.searchsorted(periods, stamps.to_numpy()).astype(float))
    c, between = _places(pd.DatetimeIndex(starts.dropna().unique()), pd.DatetimeIndex(periods), request.anticipation)
    place = starts.map(c).to_numpy(float)
    lost = starts.isin(between)
    if lost.any():
        units = data.loc[lost.to_numpy(), request.unit].nunique()
        near = ", ".join(str(pd.Timestamp(p).date()) for p in periods[:3])
        raise DataError(
            "cohort dates that are not a period of the data",
            where=_at(request.cohort),
            expected=f"dates that stand in column '{request.time}' ({near} ...)",
            found=f"other dates in {units} {'unit' if units == 1 else 'units'}",
            fix="give each unit the first period that counts as treated: the one that holds its start, or the next one",
        )
    return t, place, {float(i): pd.Timestamp(p).date() for i, p in enumerate(periods)}


def _stamps(series: pd.Series, request: Request) -> tuple[pd.Series, Any]:
    """Time stamps of a column, and their zone; a period is its first moment."""
    if not series.notna().any():
        return pd.Series(pd.NaT, index=range(len(series)), dtype="datetime64[us]"), None
    if isinstance(series.dtype, pd.PeriodDtype) or pd.api.types.infer_dtype(series, skipna=True) == "period":
        return pd.Series(pd.PeriodIndex(series).start_time), None
    try:
        out = pd.to_datetime(series.reset_index(drop=True), errors="raise")
    except (TypeError, ValueError) as problem:
        raise DataError(
            "not a date",
            where=f"{WHERE}, columns '{request.time}' and '{request.cohort}'",
            expected=f"dates, and {NEVER}",
            found=str(series.dtype),
            fix="convert both columns with pandas.to_datetime; replace words such as 'never' by a missing value",
        ) from problem
    if not pd.api.types.is_datetime64_any_dtype(out.dtype):
        raise DataError("several time zones", where=f"{WHERE}, columns '{request.time}' and '{request.cohort}'",
                        expected="one time zone a column", found="several", fix="convert to one with utc=True")  # fmt: skip
    return out, getattr(out.dtype, "tz", None)


def _places(starts: pd.DatetimeIndex, periods: pd.DatetimeIndex, anticipation: int) -> tuple[dict[Any, float], list[Any]]:
    """Place of each cohort date on the scale of the periods' order, and the dates that have none.

    Before the first period: 0. After the last: as many steps beyond it as the spacing says; without a regular spacing
    none is beyond doubt within `anticipation` times the longest gap.
    """
    order = {p: float(i) for i, p in enumerate(periods)}
    places, none = {}, []
    for start in starts:
        if start in order or not len(periods) or start < periods[0]:
            places[start] = order.get(start, 0.0)
        elif start < periods[-1]:
            none.append(start)
        else:
            low, high = _steps(start, periods)
            if low != high and 1 <= anticipation >= low:
                none.append(start)
            else:
                places[start] = len(periods) - 1 + high
    return places, none


def _steps(start: pd.Timestamp, periods: pd.DatetimeIndex) -> tuple[float, float]:
    """Periods from the last one to a later date: at least and at most; equal when it falls on the spacing."""
    if len(periods) < 2:
        return 0.0, 1.0
    for position in (_days, _months):
        at = position(periods)
        gaps, ahead = np.diff(at), float(position(pd.DatetimeIndex([start]))[0] - at[-1])
        if np.ptp(gaps) <= IRREGULAR and (position is _days or gaps.min() > 1 - IRREGULAR):
            steps = ahead / float(gaps.mean())
            near = round(steps)
            if near and abs(ahead - near * float(gaps.mean())) <= IRREGULAR * max(near, 1):
                return float(near), float(near)
            return float(np.floor(steps)), float(np.floor(steps) + 1)
    days = _days(periods)
    far = float(_days(pd.DatetimeIndex([start]))[0] - days[-1]) / float(np.diff(days).max())
    return float(np.floor(far)), float(np.floor(far) + 1)


def _days(dates: pd.DatetimeIndex) -> Array:
    return np.asarray(dates.as_unit("us").asi8 / 86_400e6, float)


def _months(dates: pd.DatetimeIndex) -> Array:
    """Months since year 0; the day counts as a share of its month, and the last day as a whole one."""
    share = np.where(dates.is_month_end, 1.0, (dates.day - 1) / 31)
    return np.asarray(12 * dates.year + dates.month + share, float)
