"""From any tidy frame to checked cells: one row a unit, group, period and cluster, weighted means and sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from p4equity.errors import DataError, StudyError, UsageError, did_you_mean
from p4equity.estimators.base import Array, Dropped, Request

WHERE = "fit: data"


@dataclass(frozen=True)
class Cells:
    """Checked cells, sorted.

    frame: unit, group, cluster, parent (labels), time, cohort (numbers on one scale; cohort NaN = not treated within
    the data), y, w (sum of weights, or of rows without weights), se, members, x0.. (covariates). labels: period of
    each time. n_obs: rows used.
    """

    frame: pd.DataFrame
    labels: dict[float, object]
    n_obs: int
    dropped: tuple[Dropped, ...]
    cohorts: dict[float, object]


def check_columns(data: pd.DataFrame, request: Request) -> None:
    """Raise UsageError naming the first argument whose column the frame does not have."""
    roles = ["outcome", "unit", "time", "cohort", "group", "parent", "weights", "sampling_se", "cluster"]
    wanted = [(role, getattr(request, role)) for role in roles] + [("covariates", x) for x in request.covariates]
    for role, column in wanted:
        if column is not None and column not in data.columns:
            known = [str(c) for c in data.columns]
            raise UsageError(
                f"no column '{column}'",
                where=f"fit: {role}",
                expected="a column of the data",
                found=column,
                fix=did_you_mean(str(column), known),
            )


def numeric(data: pd.DataFrame, column: str, role: str) -> Array:
    """A column as floats, missing as NaN. Raises DataError when it holds something else than numbers."""
    series = data[column]
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(object)
    try:
        out = pd.to_numeric(series, errors="raise").astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as problem:
        raise DataError(
            "not numeric",
            where=f"{WHERE}, column '{column}'",
            expected=f"numbers in the {role} column",
            found=str(data[column].dtype),
        ) from problem
    if np.isinf(out).any():
        raise DataError(
            "infinite values",
            where=f"{WHERE}, column '{column}'",
            expected=f"finite {role}",
            found=f"{int(np.isinf(out).sum())} rows",
        )
    return np.asarray(out)


def _is_date(series: pd.Series) -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(series.dtype) or isinstance(series.dtype, pd.PeriodDtype))


def timeline(data: pd.DataFrame, request: Request) -> tuple[Array, Array, dict[float, object]]:
    """Time and cohort of each row on one numeric scale, and the label of each time. Dates become the order of their periods."""
    if request.time is None:
        nothing: dict[float, object] = {0.0: None}
        return np.zeros(len(data)), _flags(data, request), nothing
    time, cohort = data[request.time], data[request.cohort]
    if not _is_date(time):
        t, c = numeric(data, request.time, "time"), numeric(data, request.cohort, "cohort")
        _refuse_zero(c, float(np.nanmin(t, initial=np.inf)), request)
        return t, c, {float(v): int(v) if float(v).is_integer() else float(v) for v in np.unique(t[~np.isnan(t)])}
    if not _is_date(cohort) and pd.to_numeric(cohort, errors="coerce").notna().any():
        raise DataError(
            "cohort is a number, time a date",
            where=f"{WHERE}, column '{request.cohort}'",
            expected="dates",
            found=str(cohort.dtype),
        )
    stamps, starts = pd.Series(_stamps(time, request)), pd.Series(_stamps(cohort, request))
    periods = np.sort(stamps.dropna().unique())
    t = np.where(stamps.isna(), np.nan, np.searchsorted(periods, stamps.to_numpy()).astype(float))
    c = np.where(starts.isna(), np.nan, np.searchsorted(periods, starts.to_numpy()).astype(float))
    return t, c, {float(i): pd.Timestamp(p).date() for i, p in enumerate(periods)}


def _stamps(series: pd.Series, request: Request) -> object:
    if isinstance(series.dtype, pd.PeriodDtype):
        return series.dt.start_time.to_numpy()
    try:
        return pd.to_datetime(series, errors="raise").to_numpy()
    except (TypeError, ValueError) as problem:
        raise DataError(
            "not a date",
            where=f"{WHERE}, columns '{request.time}' and '{request.cohort}'",
            expected="dates",
            found=str(series.dtype),
        ) from problem


def _refuse_zero(cohort: Array, first: float, request: Request) -> None:
    if (cohort == 0).any() and first > 0:
        raise UsageError(
            "0 is not 'never treated'",
            where=f"fit: cohort, column '{request.cohort}'",
            expected="null for never treated",
            found="0",
            fix="replace 0 by a missing value, so that no period is mistaken for it",
        )


def labels_of(data: pd.DataFrame, column: str) -> pd.Series:
    """A column as text labels; whole floats lose their '.0'; missing stays missing."""
    series = data[column]
    if pd.api.types.is_float_dtype(series.dtype) and (series.dropna() % 1 == 0).all():
        series = series.astype("Int64")
    return series.astype(object).where(series.notna(), None).map(lambda v: None if v is None else str(v))


def tidy(data: pd.DataFrame, request: Request) -> Cells:
    """Checked cells of a frame.

    Rows that miss outcome, unit, time, cluster, group, a covariate or weight are left out and reported; so are rows of
    weight zero. Raises UsageError for missing columns, DataError for wrong types, negative weights or a cohort that
    changes within a unit.
    """
    check_columns(data, request)
    if pd.api.types.is_bool_dtype(data[request.cohort].dtype):
        raise UsageError(
            "a flag is not a cohort",
            where="fit: cohort",
            expected="the first treated period, null for never",
            found="true and false",
        )
    if not len(data):
        raise DataError("no rows", where=WHERE, expected="at least one treated and one comparison unit", found="0 rows")
    time, cohort, labels = timeline(data, request)
    frame = pd.DataFrame({"unit": labels_of(data, request.unit).to_numpy(), "time": time, "cohort": cohort})
    frame["y"] = numeric(data, request.outcome, "outcome")
    frame["w"] = numeric(data, request.weights, "weights") if request.weights else 1.0
    frame["se"] = numeric(data, request.sampling_se, "sampling_se") if request.sampling_se else 0.0
    frame["group"] = labels_of(data, request.group).to_numpy() if request.group else "all"
    frame["parent"] = labels_of(data, request.parent).to_numpy() if request.parent else frame["unit"]
    frame["cluster"] = labels_of(data, request.cluster).to_numpy() if request.cluster else frame["parent"]
    for j, covariate in enumerate(request.covariates):
        frame[f"x{j}"] = numeric(data, covariate, "covariate")
    used, dropped = _complete(frame, labels)
    if not len(used):
        raise DataError(
            "no row has outcome, unit, time and weight",
            where=WHERE,
            expected="complete rows",
            found=f"{len(frame)} incomplete",
        )
    used = check_cohort(used)
    last = float(used["time"].max())
    cohorts = {float(c): labels.get(float(c), int(c) if float(c).is_integer() else c) for c in used["cohort"].dropna().unique()}
    # A date after the data (and its window of anticipation) leaves a unit untreated throughout.
    used["cohort"] = used["cohort"].where(used["cohort"] <= last + request.anticipation)
    return Cells(aggregate(used, request), labels, len(used), dropped, cohorts)


def _flags(data: pd.DataFrame, request: Request) -> Array:
    """Without time, only whether a unit has a cohort matters: one change a unit. Null is never; anything else is treated."""
    column = data[request.cohort]
    if pd.api.types.is_numeric_dtype(column.dtype):
        _refuse_zero(numeric(data, request.cohort, "cohort"), 1.0, request)
    return np.where(column.isna(), np.nan, 0.0)


def _complete(frame: pd.DataFrame, labels: dict[float, object]) -> tuple[pd.DataFrame, tuple[Dropped, ...]]:
    if (frame["w"] < 0).any() or (frame["se"] < 0).any():
        raise DataError(
            "negative weights or errors",
            where=WHERE,
            expected="0 or more",
            found=f"{int((frame[['w', 'se']] < 0).any(axis=1).sum())} rows",
        )
    needed = [c for c in frame.columns if c != "cohort"]
    missing = frame[needed].isna().any(axis=1)
    zero = ~missing & (frame["w"] == 0)
    out: list[Dropped] = []
    for flag, reason in ((missing, "missing value"), (zero, "weight of zero")):
        left = frame[flag]
        for unit, rows in left.groupby(left["unit"].fillna("(no unit)"), sort=True):
            periods = ", ".join(sorted({str(labels.get(t, "no time")) for t in rows["time"]}))
            out.append(Dropped(str(unit), periods, f"{reason} in {len(rows)} rows"))
    return frame[~missing & ~zero].copy(), tuple(out)


def check_cohort(frame: pd.DataFrame) -> pd.DataFrame:
    """Raise DataError unless every unit has one cohort, one parent."""
    filled = frame.assign(cohort=frame["cohort"].fillna(-np.inf))
    for column, word in (("cohort", "first treated period"), ("parent", "parent")):
        counts = filled.groupby("unit", sort=True)[column].nunique()
        if (counts > 1).any():
            unit = str(counts.index[counts > 1][0])
            raise DataError(
                f"{word} changes within a unit",
                where=f"{WHERE}, unit {unit}",
                expected=f"one {word} a unit (null = never, in all its rows)",
                found=f"{int(counts.max())} values; {int((counts > 1).sum())} units concerned",
            )
    return frame


def aggregate(frame: pd.DataFrame, request: Request) -> pd.DataFrame:
    """Weighted means by unit, group, time and cluster: exact for regressions whose regressors are constant in such a cell."""
    keys = ["unit", "group", "time", "cluster"]
    x = [c for c in frame.columns if c.startswith("x") and c[1:].isdigit()]
    values = ["y", *x]
    # Sorted by value too, so that sums do not depend on the order of the rows.
    rows = frame.sort_values([*keys, *values, "w", "se"], kind="stable")
    sums = rows[[*keys, "parent", "cohort"]].assign(w=rows["w"], rows=1.0, se=(rows["w"] * rows["se"]) ** 2)
    for column in values:
        sums[column] = rows["w"] * rows[column]
    how = dict.fromkeys(["w", "rows", "se", *values], "sum") | {"parent": "first", "cohort": "first"}
    out = sums.groupby(keys, sort=True, as_index=False).agg(how)
    for column in values:
        out[column] = out[column] / out["w"]
    single = out["rows"] == 1
    out["se"] = np.sqrt(out["se"]) / out["w"]
    if single.all():  # nothing was averaged: keep the caller's numbers to the last digit
        out[["y", *x, "se"]] = rows[["y", *x, "se"]].to_numpy()
    whole = request.weights is not None and bool((frame["w"] % 1 == 0).all())
    out["members"] = out["w"] if whole else np.nan
    return out


def require_arms(treated: int, comparison: int, request: Request) -> None:
    """Raise StudyError when no treated or no comparison unit is left."""
    if treated and comparison:
        return
    arm = "comparison" if treated else "treated"
    other = "not_yet" if request.comparison == "never" else "never"
    fix = "check the cohort column: null means never treated"
    if not comparison and treated:
        fix += f"; comparison='{other}' chooses other comparison units"
    raise StudyError(
        f"no {arm} unit left",
        where="fit",
        expected=f"at least one {arm} unit with data before and after",
        found="none",
        fix=fix,
    )
