"""From any tidy frame to checked cells: one row a unit, group, period and cluster, weighted means and sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from p4equity.errors import DataError, UsageError, did_you_mean
from p4equity.estimators.arms import Assigned, assigned
from p4equity.estimators.base import Array, Dropped, Flags, Request
from p4equity.estimators.timeline import timeline
from p4equity.estimators.values import WHERE, Labels, codes, kind, labels_of, numeric
from p4equity.inference.working_model import WORKING_MODELS

ROWS = ("iid", "hc1")  # errors of independent rows
WEIGHTS = ("aweights", "fweights")
OWN_COLUMNS = ("strata", "sizes", "within")  # options of estimators that name a column
EXACT = 2.0**53  # sums of weights beyond it are no counts: floats no longer tell whole numbers apart


@dataclass(frozen=True)
class Cells:
    """Checked cells, sorted.

    frame: unit, group, cluster (and cluster2 with two ways of clustering), parent (labels), time, cohort (numbers on one
    scale; cohort NaN = not treated within the data), y, w (sum of weights, or of rows without weights), se, members,
    x0.. (covariates). labels: period of each time. n_obs: rows used. arms: all units given, with and without rows here.
    """

    frame: pd.DataFrame
    labels: dict[float, object]
    n_obs: int
    dropped: tuple[Dropped, ...]
    cohorts: dict[float, object]
    arms: Assigned


def check_columns(data: pd.DataFrame, request: Request) -> None:
    """Raise UsageError naming the first argument whose column the frame does not have."""
    roles = ["outcome", "unit", "time", "cohort", "group", "parent", "weights", "sampling_se", "cluster", "cluster2"]
    wanted = [(role, getattr(request, role)) for role in roles] + [("covariates", x) for x in request.covariates]
    wanted += [(role, request.own.get(role)) for role in OWN_COLUMNS]
    for role, column in wanted:
        if column is not None and column not in data.columns:
            known = [str(c) for c in data.columns]
            raise UsageError(
                f"no column '{column}'",
                where=f"fit: {role.removesuffix('2')}",
                expected="a column of the data",
                found=column,
                fix=did_you_mean(str(column), known),
            )
        if column is not None and isinstance(data[column], pd.DataFrame):
            raise UsageError(
                f"several columns are named '{column}'",
                where=f"fit: {role.removesuffix('2')}",
                expected="one column",
                found=f"{data[column].shape[1]} columns",
                fix="rename or drop all but one",
            )


def tidy(data: pd.DataFrame, request: Request) -> Cells:
    """Checked cells of a frame.

    Rows that miss outcome, unit, time, cluster, group, a covariate or weight are left out and reported; so are rows of
    weight zero. Raises UsageError for missing columns, DataError for wrong types, negative weights or a cohort that
    changes within a unit.
    """
    check_columns(data, request)
    if kind(data[request.cohort]) == "flag":
        raise UsageError(
            "a flag is not a cohort",
            where="fit: cohort",
            expected="the first treated period, null for never",
            found="true and false",
        )
    if not len(data):
        raise DataError("no rows", where=WHERE, expected="at least one treated and one comparison unit", found="0 rows")
    time, cohort, labels = timeline(data, request)
    frame = _frame(data, request, time, cohort)
    used, dropped = _complete(frame, labels)
    if request.own.get("weights_type") == "fweights":
        _check_counts(used, request)
    if not len(used):
        raise DataError(
            "no row has outcome, unit, time and weight",
            where=WHERE,
            expected="complete rows",
            found=f"{len(frame)} incomplete",
        )
    check_cohort(used)
    if "stratum" in used and used["stratum"].isna().any():
        units = used.loc[used["stratum"].isna(), "unit"].nunique()
        column = request.own["strata"]
        raise DataError("units without a stratum", where=f"fit: strata, column '{column}'", expected="a level for every unit",
                        found=f"none in {units} units", fix="give them a level, or leave these units out")  # fmt: skip
    last = float(used["time"].max())
    cohorts = {float(c): labels.get(float(c), int(c) if float(c).is_integer() else c) for c in used["cohort"].dropna().unique()}
    # A date after the data (and its window of anticipation) leaves a unit untreated throughout.
    within = used.assign(cohort=used["cohort"].where(used["cohort"] <= last + request.anticipation))
    arms = assigned(frame["unit"].to_numpy(), cohort, last + request.anticipation)
    cells = aggregate(within, request)
    return Cells(cells, labels, int(cells["rows"].sum()), dropped, cohorts, arms)


def _frame(data: pd.DataFrame, request: Request, time: Array, cohort: Array) -> pd.DataFrame:
    """The columns a request names under names of their own: labels as texts, the others as numbers."""
    own, n = request.own, len(data)
    labels = {"unit": labels_of(data, request.unit)}
    numbers = {
        "time": time,
        "cohort": cohort,
        "y": numeric(data, request.outcome, "outcome"),
        "w": numeric(data, request.weights, "weights") if request.weights else np.ones(n),
        "se": numeric(data, request.sampling_se, "sampling_se") if request.sampling_se else np.zeros(n),
    }
    labels["group"] = labels_of(data, request.group) if request.group else np.full(n, "all", object)
    labels["parent"] = labels_of(data, request.parent) if request.parent else labels["unit"]
    labels["cluster"] = labels_of(data, request.cluster) if request.cluster else labels["parent"]
    if request.cluster2:
        labels["cluster2"] = labels_of(data, request.cluster2)
    if own.get("within") is not None:
        labels["level"] = labels_of(data, own["within"])
        labels["unit"] = _inside(labels["unit"], labels["level"])
    if own.get("strata") is not None:
        labels["stratum"] = labels_of(data, own["strata"])
    if own.get("sizes") is not None:
        numbers["size"] = _positive(numeric(data, own["sizes"], "sizes"), request)
    for j, covariate in enumerate(request.covariates):
        numbers[f"x{j}"] = numeric(data, covariate, "covariate")
    # Texts stay Python's: compared, looked up and gone through many times, never computed with.
    return pd.DataFrame({**{name: pd.Series(texts, dtype=object) for name, texts in labels.items()}, **numbers})


def _inside(unit: Labels, level: Labels) -> Labels:
    """Labels of units inside a level, missing where either is."""
    texts = [None if u is None or v is None else f"{u} ({v})" for u, v in zip(unit, level, strict=True)]
    return np.array(texts, object)


def _check_counts(frame: pd.DataFrame, request: Request) -> None:
    """Raise UsageError unless weights can count rows that are not there, and DataError unless they are whole numbers."""
    where = "fit: weights_type"
    if request.weights is None:
        raise UsageError("frequencies without weights", where=where, expected="weights, the column of counts", found="nothing")
    if request.group is not None and request.estimator != "triple_difference":
        raise UsageError(
            "the rows of a gap are no members",
            where=where,
            expected="no group, or triple_difference",
            found=request.group,
            fix="use triple_difference, the same regression on the rows of members",
        )
    if rows := sorted(set(ROWS) & set(request.inference)):
        raise UsageError(
            "errors of independent rows need the rows, not their counts and means",
            where=where,
            expected="a cluster-robust method",
            found=rows[0],
        )
    if broken := int((frame["w"] % 1 != 0).sum()):
        raise DataError(
            "not a whole number",
            where=f"{WHERE}, column '{request.weights}'",
            expected="counts, for weights_type='fweights'",
            found=f"fractions in {broken} of {len(frame)} rows",
        )


def _positive(values: Array, request: Request) -> Array:
    """Sizes of cells, missing where the row misses them. Raises DataError for one that is not above 0."""
    if (values <= 0).any():
        where, found = f"fit: sizes, column '{request.own['sizes']}'", f"{int((values <= 0).sum())} rows"
        raise DataError("sizes of zero or less", where=where, expected="above 0", found=found)
    return values


def _complete(frame: pd.DataFrame, labels: dict[float, object]) -> tuple[pd.DataFrame, tuple[Dropped, ...]]:
    if (frame["w"] < 0).any() or (frame["se"] < 0).any():
        raise DataError(
            "negative weights or errors",
            where=WHERE,
            expected="0 or more",
            found=f"{int((frame[['w', 'se']] < 0).any(axis=1).sum())} rows",
        )
    needed = [c for c in frame.columns if c not in ("cohort", "stratum")]
    missing = frame[needed].isna().any(axis=1)
    zero = ~missing & (frame["w"] == 0)
    if not (missing | zero).any():
        return frame, ()
    out: list[Dropped] = []
    for flag, reason in ((missing, "missing value"), (zero, "weight of zero")):
        left = frame[flag]
        for unit, rows in left.groupby(left["unit"].fillna("(no unit)"), sort=True):
            seen = {labels.get(t, "no time") for t in rows["time"]} - {None}
            rows_left = "1 row" if len(rows) == 1 else f"{len(rows)} rows"
            out.append(Dropped(str(unit), ", ".join(sorted(map(str, seen))), f"{reason} in {rows_left}"))
    return frame[~missing & ~zero], tuple(out)


def check_cohort(frame: pd.DataFrame) -> None:
    """Raise DataError unless every unit has one cohort, one parent, and one stratum."""
    unit, constant = codes(frame["unit"]), (("cohort", "first treated period"), ("parent", "parent"), ("stratum", "stratum"))
    for column, word in (pair for pair in constant if pair[0] in frame):
        given = np.asarray(frame[column].notna()) | (column == "cohort")  # null is a cohort: never
        values = codes(frame[column])
        size = int(values.max()) + 1
        counts = np.bincount(np.unique((unit * size + values)[given]) // size)
        if (counts > 1).any():
            raise DataError(
                f"{word} changes within a unit",
                where=f"{WHERE}, unit {frame['unit'].to_numpy()[unit == int(np.argmax(counts > 1))][0]}",
                expected=f"one {word} a unit (null = never, in all its rows)",
                found=f"{int(counts.max())} values; {int((counts > 1).sum())} units concerned",
            )


def cell_keys(frame: pd.DataFrame) -> list[str]:
    """Columns that make a cell: unit, group, time, and the cluster or clusters."""
    return ["unit", "group", "time", *(c for c in ("cluster", "cluster2") if c in frame.columns)]


def aggregate(frame: pd.DataFrame, request: Request) -> pd.DataFrame:
    """Weighted means by unit, group, time, cluster and covariates: exact, for all regressors are constant in such a cell.

    A covariate that varies inside a unit and period splits its cell: the regression is then that of the rows. So does an
    answer that asks about rows (`by_row`).
    """
    x = [c for c in frame.columns if c.startswith("x") and c[1:].isdigit()]
    keys = [*cell_keys(frame), *x]
    # Sorted by value too, so that sums do not depend on the order of the rows.
    number = [frame[c].to_numpy() if c in ("time", *x) else codes(frame[c]) for c in keys]
    order = np.lexsort([frame[c].to_numpy() for c in ("se", "w", "y")] + number[::-1])
    rows, number = frame.iloc[order].reset_index(drop=True), [n[order] for n in number]
    rows["rows"] = rows["w"] if request.own.get("weights_type") == "fweights" else 1.0
    starts = np.ones(len(rows), bool)
    if not by_row(request):
        starts[1:] = np.any([n[1:] != n[:-1] for n in number], axis=0)
    out = rows if starts.all() else _averaged(rows, starts, keys)  # nothing to average: the caller's numbers to the last digit
    whole = request.weights is not None and bool((frame["w"] % 1 == 0).all()) and float(frame["w"].sum()) < EXACT
    out["members"] = out["w"] if whole else np.nan
    return out


def _averaged(rows: pd.DataFrame, starts: Flags, keys: Sequence[str]) -> pd.DataFrame:
    """One row from each start to the next: means weighted, weights, rows and sizes added up."""
    sums = pd.DataFrame({"w": rows["w"], "rows": rows["rows"], "se": (rows["w"] * rows["se"]) ** 2, "y": rows["w"] * rows["y"]})
    if "size" in rows:
        sums["size"] = rows["size"]
    sums = sums.groupby(np.cumsum(starts)).sum().reset_index(drop=True)
    kept = [*keys, *(c for c in ("parent", "cohort", "stratum", "level") if c in rows)]
    out = pd.concat([rows.loc[starts, kept].reset_index(drop=True), sums], axis=1)
    return out.assign(y=out["y"] / out["w"], se=np.sqrt(out["se"]) / out["w"])


def by_row(request: Request) -> bool:
    """Whether an answer rests on the variances of the rows themselves: those of a gap are its own."""
    rows = request.own.get("working_model", WORKING_MODELS[0]) != WORKING_MODELS[0] or bool(set(ROWS) & set(request.inference))
    return rows and (request.group is None or request.estimator == "triple_difference")
