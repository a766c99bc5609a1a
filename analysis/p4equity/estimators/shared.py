"""One regression for all answers that rest on it, and one table of cells for all models: several analyses of a plan."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields
from types import ModuleType
from typing import Any

import pandas as pd

from p4equity.estimators.base import Estimate, Request
from p4equity.estimators.path_options import PATH_OPTIONS
from p4equity.estimators.tidy import ROWS, Cells, tidy

REGRESSIONS = ("did", "event_study", "triple_difference")
# What only answers read, not the regression behind them.
OF_ANSWERS = (
    *("variance", "ssc", "df", "g_df", "vcov_fix", "wild_weights", "bootstrap_type", "p_type", "draws", "limit", "joint_test"),
    *PATH_OPTIONS,
)
# What models read, not the cells they start from.
OF_MODELS = (
    *("method", "pretrends", "auxiliary", "leave_out", "horizons", "form", "window", "tau2", "base_period", "reference_period"),
    *("bin_below", "bin_above", "apart"),
)
OF_CELLS = (
    *("outcome", "cohort", "unit", "time", "group", "parent", "weights", "sampling_se", "cluster", "cluster2", "covariates"),
    "anticipation",
)


def estimated(module: ModuleType, data: pd.DataFrame, request: Request, shared: dict[Hashable, Any] | None) -> Estimate:
    """The estimate of a request; `shared` belongs to one frame: what was made of it before is taken from there."""
    if shared is None:
        return _made(module, tidy(data, request), request)
    if (cells := _cells_key(request)) not in shared:
        shared[cells] = tidy(data, request)
    if request.estimator not in REGRESSIONS:
        return _made(module, shared[cells], request)
    if (regression := _regression_key(request)) not in shared:
        shared[regression] = _made(module, shared[cells], request)
    estimate: Estimate = shared[regression]
    return estimate


def _made(module: ModuleType, cells: Cells, request: Request) -> Estimate:
    estimate: Estimate = module.estimate(cells, request)
    return estimate


def _regression_key(request: Request) -> Hashable:
    """All of a request that a regression depends on."""
    answering = ("inference", "chosen", "conf_level", "seed", "own")
    asked = tuple((f.name, str(getattr(request, f.name))) for f in fields(request) if f.name not in answering)
    return "regression", asked, _own(request, OF_ANSWERS), _of_rows(request)


def _cells_key(request: Request) -> Hashable:
    """All of a request that its cells depend on; options of which this is not known count as such."""
    own, of_rows = _own(request, (*OF_ANSWERS, *OF_MODELS)), _of_rows(request)
    asked = tuple(str(getattr(request, name)) for name in OF_CELLS)
    return "cells", asked, own, of_rows, request.estimator if own or of_rows else ""


def _own(request: Request, but: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in request.own.items() if name not in but))


def _of_rows(request: Request) -> tuple[str, ...]:
    """Methods that rest on the rows themselves."""
    return tuple(sorted(set(ROWS) & set(request.inference)))
