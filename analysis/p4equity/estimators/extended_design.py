"""Cells and columns of the extended two-way regression: cohort by period, covariates, effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from p4equity.estimators.base import Array, Request
from p4equity.estimators.interaction_weighted import comparison_rows, with_comparison, with_reference
from p4equity.estimators.panels import Panel
from p4equity.estimators.values import codes
from p4equity.inference.sweeping import Codes, dummies


@dataclass(frozen=True)
class Design:
    """Columns for the rows of a panel.

    panel: with the rows that are used. event: (N,) periods since the first treated one, NaN for comparison units.
    effects: (N, c + c x) indicators of the cells and their products with centred covariates; without treatment they are
    zero. slopes: (N, s) covariates by cohort and by period, slope_owner (s,) the number of each one's covariate. fixed:
    codes of the two effects.
    """

    panel: Panel
    event: Array
    effects: Array
    slopes: Array
    slope_owner: Codes
    fixed: tuple[Codes, Codes]


def design(panel: Panel, request: Request) -> Design:
    """Columns of Wooldridge's regression. comparison never: a cell for every cohort and period but the last before treatment
    (and anticipation); not_yet: for those after treatment alone."""
    panel = _comparable(panel, request)
    frame = panel.frame
    event = np.asarray(frame["time"] - frame["cohort"], float)
    compared = comparison_rows(panel)
    event = np.where(compared, np.nan, event)
    base = -1.0 - request.anticipation
    own = ~np.isnan(event) & ((event >= 0) if request.comparison == "not_yet" else (event != base))
    keys = pd.DataFrame({"group": frame["group"], "cohort": frame["cohort"], "time": frame["time"], "event": event})
    cells = keys[own].drop_duplicates().sort_values(["group", "cohort", "time"]).reset_index(drop=True)
    number = keys.merge(cells.reset_index(names="cell"), on=["group", "cohort", "time", "event"], how="left", sort=False)["cell"]
    D = np.zeros((len(frame), len(cells)))
    D[own, number.to_numpy(float)[own].astype(int)] = 1.0
    cohort = codes(frame["cohort"].fillna(-np.inf), frame["group"])
    time = codes(frame["time"], frame["group"])
    x = panel.covariates()
    centred = _centred(x, cohort, frame["rows"].to_numpy(float))
    bases = [dummies(cohort), dummies(time)]
    slopes = [b * x[:, [j]] for j in range(x.shape[1]) for b in bases]
    owner = [j for j in range(x.shape[1]) for b in bases for _ in range(b.shape[1])]
    effects = np.hstack([D, *(D * centred[:, [j]] for j in range(x.shape[1]))])
    first = codes(frame["unit"], frame["group"]) if request.own.get("effects") == "unit" else cohort
    stacked = np.hstack([np.zeros((len(frame), 0)), *slopes])
    return Design(panel, event, effects, stacked, np.array(owner, np.int64), (first, time))


def _comparable(panel: Panel, request: Request) -> Panel:
    """Rows with somebody untreated to compare with; for `never` also with the period that effects are measured from."""
    if request.comparison == "not_yet":
        return with_comparison(panel, request, np.ones(len(panel.frame), bool))
    panel = with_comparison(panel, request, comparison_rows(panel))
    event = np.where(comparison_rows(panel), np.nan, panel.frame["time"] - panel.frame["cohort"])
    return with_reference(panel, event, [-1.0 - request.anticipation], request)


def _centred(x: Array, cohort: Codes, rows: Array) -> Array:
    """Covariates (N, c) less their mean over the rows of the cohort."""
    out = x.copy()
    total = np.bincount(cohort, rows)
    for j, column in enumerate(x.T):
        out[:, j] -= (np.bincount(cohort, rows * column) / np.where(total > 0, total, 1.0))[cohort]
    return out
