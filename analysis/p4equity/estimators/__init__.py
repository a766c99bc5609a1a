"""Estimators behind one door: `fit` takes any tidy frame and gives rows of answers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import pandas as pd

from p4equity.errors import UsageError

ESTIMATORS = (
    "did",
    "event_study",
    "triple_difference",
    "meta_regression",
    "interaction_weighted",
    "imputation",
    "extended_twfe",
    "stacked",
    "bacon",
    "synthetic_did",
    "group_time",
)


@cache
def _threads() -> Any:
    import numpy as np
    import scipy.linalg
    from threadpoolctl import ThreadpoolController

    np.linalg.eigh(np.eye(2)), scipy.linalg.eigh(np.eye(2))  # loaded, so that the controller sees both
    return ThreadpoolController()


def fit(
    id: str,
    data: pd.DataFrame,
    *,
    outcome: str,
    unit: str | None = None,
    time: str | None = None,
    cohort: str,
    group: str | None = None,
    reference: object = None,
    parent: str | None = None,
    weights: str | None = None,
    sampling_se: str | None = None,
    cluster: str | Sequence[str] | None = None,
    covariates: Sequence[str] | str | None = (),
    comparison: str = "never",
    anticipation: int = 0,
    inference: str | Sequence[str] | None = None,
    aggregate: str | None = None,
    conf_level: float = 0.95,
    seed: int = 0,
    shared: dict[Hashable, Any] | None = None,
    **own: Any,
) -> pd.DataFrame:
    """Estimate an effect on any tidy frame with the estimator `id`, one of ESTIMATORS.

    data: one row an observation or a cell. outcome, unit, time, cohort, group, parent, weights, sampling_se, cluster,
    covariates name columns. time: whole numbers, one a period, or dates (then event time counts observed periods).
    cohort: first treated period of the unit, one of those in time where time is a date; null or infinity for never (0
    is not never). group and reference (one of its levels): the outcome becomes the gap, reference minus group. parent:
    what units belong to (the system of a practice), and the default cluster; without it units are the clusters. cluster:
    one column, or two for two-way clustering (did, event_study, triple_difference; cr1 or cr0).
    weights: cell counts or other positive weights. sampling_se: standard error of the outcome (meta_regression).
    covariates: time-varying numbers; what varies inside a unit and period is adjusted for row by row. comparison: never
    or not_yet. anticipation: periods before treatment left out. inference: one method or several of the estimator's
    INFERENCES (the first is its default; none = the estimate alone), or "auto": primary method and cross-checks chosen from
    numbers and sizes of clusters, the choice and its reason first among the warnings. With few treated units, or smaller ones
    than the others, wild_bootstrap_unrestricted and the permutation of did reject a true null too often (up to 14% at 5%).
    Cluster-robust and bootstrap errors need three treated and three comparison clusters: else a reason names what answers.
    shared: a dictionary for all calls on one frame, in which regressions are kept: one serves several methods of inference.
    own: options of the estimator, see its module.

    Returns one row an answer, the pooled one first: estimand, group, cohort, event_time, period; estimate, std_error,
    statistic, p_value, conf_low, conf_high, conf_level, interval, outcome_unit; inference, df, n_clusters,
    n_treated_clusters, p_attainable; n_members, n_cells, first_year, last_year; status, reason, registered. Outcome
    units are unchanged. Numbers are missing unless status is ok; limits are missing where unbounded. Units left out
    stand in a last row; details in `attrs`: dropped, unbalanced, warnings. Raises UsageError (unknown word or column),
    DataError (unusable values), StudyError (no treated or no comparison unit).
    """
    given = {k: v for k, v in locals().items() if k not in ("id", "data", "inference", "own", "shared")}
    return _run(id, data, inference, own, given, shared)


def _run(
    id: str,
    data: pd.DataFrame,
    inference: str | Sequence[str] | None,
    own: Mapping[str, Any],
    given: dict[str, Any],
    shared: dict[Hashable, Any] | None,
) -> pd.DataFrame:
    """Check the words of a call, then tidy, estimate and print, on one thread."""
    from p4equity.estimators.arguments import clusters, columns, known, level, methods, options, together, whole
    from p4equity.estimators.automatic import AUTO, automatic
    from p4equity.estimators.base import Request
    from p4equity.estimators.rows import to_frame
    from p4equity.estimators.shared import estimated
    from p4equity.estimators.tidy import tidy

    if not isinstance(data, pd.DataFrame):
        raise UsageError("not a data frame", where="fit: data", expected="a pandas DataFrame", found=type(data).__name__)
    known(id, ESTIMATORS, "estimator", "fit: id")
    known(given["comparison"], ("never", "not_yet"), "comparison", "fit: comparison")
    module = import_module(f"p4equity.estimators.{id}")
    for option in own:
        known(option, module.OPTIONS, "option", f"fit: {id}")
    given["cluster"], given["cluster2"] = clusters(given["cluster"], id, module)
    given["covariates"] = columns(given["covariates"])
    given["anticipation"] = whole(given["anticipation"], "anticipation", 0)
    given["seed"] = whole(given["seed"], "seed", 0)
    given["conf_level"] = level(given["conf_level"])
    together(id, given)
    wanted = () if inference == AUTO else methods(id, module, inference, own, two_way=given["cluster2"] is not None)
    if given["unit"] is None:
        data, given["unit"] = _own_units(data, id, given["time"], given["parent"], own)
    if given["time"] is None and id != "meta_regression":
        raise UsageError("no time", where="fit: time", expected="the column of periods", found="nothing")
    chosen = inference is not None or "variance" in own
    request = Request(estimator=id, inference=wanted, chosen=chosen, own=options(own), **given)
    with _threads().limit(limits=1):
        if inference != AUTO:
            return to_frame(estimated(module, data, request, shared), request)
        cells = tidy(data, request)
        request, choice = automatic(cells, request, module)
        frame = to_frame(module.estimate(cells, request), request)
        frame.attrs["warnings"] = [choice, *frame.attrs["warnings"]]
        return frame


def _own_units(
    data: pd.DataFrame, id: str, time: str | None, parent: str | None, own: Mapping[str, Any]
) -> tuple[pd.DataFrame, str]:
    """The unit where none is named: the parent, or for changes and repeated cross-sections each row its own."""
    if parent is not None:
        return data, parent
    if own.get("panel") is not False and (id != "meta_regression" or time is not None):
        raise UsageError(
            "no unit", where="fit: unit", expected="the column that names treated and comparison units", found="nothing"
        )
    return data.assign(**{"(row)": range(len(data))}), "(row)"
