"""Columns of any type as numbers, labels or kinds of value, or a message that says why not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from p4equity.errors import DataError
from p4equity.estimators.base import Array

Codes = NDArray[np.int64]
Labels = NDArray[np.object_]

WHERE = "fit: data"
LARGE = 1e50  # columns whose largest number is beyond this, or below its inverse, leave no room for products of squares
_KINDS = {
    "datetime64": "date", "datetime": "date", "date": "date", "period": "date", "timedelta": "span", "timedelta64": "span",
    "time": "span", "integer": "number", "floating": "number", "mixed-integer-float": "number", "decimal": "number",
    "boolean": "flag", "string": "text", "empty": "nothing", "complex": "mixed", "bytes": "mixed", "interval": "mixed",
}  # fmt: skip


def plain(series: pd.Series) -> pd.Series:
    """The column without categories and arrow types, which hide the type of their values."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        return series.astype(series.cat.categories.dtype if series.notna().all() else object)
    if isinstance(series.dtype, pd.ArrowDtype):
        return series.astype(object)
    return series


def kind(series: pd.Series) -> str:
    """What a column holds: number (also as text), date, span, flag, text, nothing (all missing) or mixed."""
    if not series.notna().any():
        return "nothing"
    values = plain(series)
    found = _KINDS.get(pd.api.types.infer_dtype(values, skipna=True), "mixed")
    if found == "mixed" and values.map(lambda v: isinstance(v, str)).any():
        found = "text" if not _others(values) else "mixed"
    if found == "text":
        try:
            pd.to_numeric(values, errors="raise")
        except (TypeError, ValueError):
            return "text"
        return "number"
    return found


def _others(values: pd.Series) -> bool:
    """Whether some values are neither text nor numbers."""
    return bool(values.dropna().map(lambda v: not isinstance(v, str | int | float | np.number)).any())


def numeric(data: pd.DataFrame, column: str, role: str, never: bool = False) -> Array:
    """A column as floats, missing as NaN; with `never`, infinity as missing too. Raises DataError unless it holds numbers."""
    series = plain(data[column])
    if kind(series) in ("date", "span"):
        raise _not_numeric(data, column, role)
    try:
        out = pd.to_numeric(series, errors="raise").astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError, AttributeError) as problem:
        raise _not_numeric(data, column, role) from problem
    if never:
        out = np.where(np.isposinf(out), np.nan, out)
    if np.isinf(out).any():
        raise DataError(
            "infinite values",
            where=f"{WHERE}, column '{column}'",
            expected=f"finite {role}" + (", null for never treated" if never else ""),
            found=f"{int(np.isinf(out).sum())} rows",
            fix="replace them by missing values",
        )
    most = float(np.nanmax(np.abs(out), initial=0.0)) if role not in ("time", "cohort") else 0.0
    if most > LARGE or 0 < most < 1 / LARGE:
        raise DataError(
            "numbers too large to square" if most > LARGE else "numbers too small to square",
            where=f"{WHERE}, column '{column}'",
            expected=f"{role} whose largest number is between {1 / LARGE:g} and {LARGE:g} in size",
            found=f"{most:.3g}",
            fix=f"change the unit: {'divide' if most > LARGE else 'multiply'} the column by a constant",
        )
    return np.asarray(out)


def _not_numeric(data: pd.DataFrame, column: str, role: str) -> DataError:
    where, found = f"{WHERE}, column '{column}'", str(data[column].dtype)
    fix = "convert it with pandas.to_datetime" if role == "time" and kind(data[column]) == "text" else "convert it to numbers"
    return DataError("not numeric", where=where, expected=f"numbers in the {role} column", found=found, fix=fix)


def labels_of(data: pd.DataFrame, column: str) -> Labels:
    """A column as text labels; whole floats lose their '.0'; missing is None."""
    series = data[column]
    if pd.api.types.is_float_dtype(series.dtype) and (series.dropna() % 1 == 0).all():
        series = series.astype("Int64")
    if isinstance(series.dtype, pd.StringDtype) or pd.api.types.is_integer_dtype(series.dtype):  # one text a level, not a row
        at, levels = pd.factorize(series)
        return np.asarray(np.array([*map(str, levels), None], object)[at])
    texts = [None if gone else str(v) for v, gone in zip(series.astype(object), series.isna(), strict=True)]
    return np.array(texts, object)


def codes(*columns: object) -> Codes:
    """One integer code a distinct combination of labels, in the order of the labels as texts."""
    parts = []
    for column in columns:
        at, levels = pd.factorize(column if isinstance(column, pd.Series) else np.asarray(column), use_na_sentinel=False)
        parts.append(np.unique(np.asarray(levels).astype(str), return_inverse=True)[1][at])
    return joined(*parts)


def joined(*parts: Codes) -> Codes:
    """One integer code a distinct combination of codes, in their order."""
    out: Any = 0
    for part in parts:
        out = out * (int(part.max(initial=0)) + 1) + part
    return np.asarray(np.unique(out, return_inverse=True)[1], np.int64)


def distinct(code: Codes) -> int:
    """How many distinct codes there are."""
    return int(np.count_nonzero(np.bincount(code)))


def distinct_within(code: Codes, value: Codes) -> Codes:
    """(N,) how many distinct values the rows of each row's code have."""
    size = int(value.max(initial=0)) + 1
    return np.asarray(np.bincount(np.unique(code * size + value) // size)[code])


def label_of(value: object, levels: list[str]) -> str:
    """A single value as the label a column with these levels gives it: 1, 1.0 and '1' are one level."""
    candidates = [str(value)]
    if isinstance(value, int | float | np.number) and not isinstance(value, bool) and float(value).is_integer():
        candidates += [str(int(value)), str(float(value))]
    return next((c for c in candidates if c in levels), candidates[0])
