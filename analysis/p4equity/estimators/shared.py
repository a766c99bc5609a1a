"""One regression for all answers that rest on it: several methods of inference, several analyses of a plan."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields
from types import ModuleType
from typing import Any

import pandas as pd

from p4equity.estimators.base import Estimate, Request
from p4equity.estimators.path_options import PATH_OPTIONS
from p4equity.estimators.tidy import ROWS, tidy

REGRESSIONS = ("did", "event_study", "triple_difference")
# What only answers read, not the regression behind them.
OF_ANSWERS = (
    *("variance", "ssc", "df", "g_df", "vcov_fix", "wild_weights", "bootstrap_type", "p_type", "draws", "limit", "joint_test"),
    *PATH_OPTIONS,
)


def estimated(module: ModuleType, data: pd.DataFrame, request: Request, shared: dict[Hashable, Any] | None) -> Estimate:
    """The estimate of a request; from `shared`, which belongs to one frame, where the same regression was made before."""
    kept = {} if shared is None or request.estimator not in REGRESSIONS else shared
    key = _key(request)
    if key not in kept:
        kept[key] = module.estimate(tidy(data, request), request)
    estimate: Estimate = kept[key]
    return estimate


def _key(request: Request) -> Hashable:
    """All of a request that a regression depends on."""
    answering = ("inference", "chosen", "conf_level", "seed", "own")
    asked = tuple((f.name, str(getattr(request, f.name))) for f in fields(request) if f.name not in answering)
    own = tuple(sorted((name, str(value)) for name, value in request.own.items() if name not in OF_ANSWERS))
    return asked, own, tuple(sorted(set(ROWS) & set(request.inference)))
