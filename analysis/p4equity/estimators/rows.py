"""An estimate as rows: the columns every answer has, in one order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from p4equity.estimators.base import Answer, Dropped, Estimate, Request, Term

COLUMNS = (
    "estimand",
    "group",
    "cohort",
    "event_time",
    "period",
    "estimate",
    "std_error",
    "statistic",
    "p_value",
    "conf_low",
    "conf_high",
    "conf_level",
    "interval",
    "outcome_unit",
    "inference",
    "df",
    "n_clusters",
    "n_treated_clusters",
    "p_attainable",
    "n_members",
    "n_cells",
    "first_year",
    "last_year",
    "status",
    "reason",
    "registered",
)
_INTEGER = ("event_time", "n_clusters", "n_treated_clusters", "n_members", "n_cells", "first_year", "last_year")


def to_frame(estimate: Estimate, request: Request) -> pd.DataFrame:
    """One row an answer, by method of inference, the pooled row first; last, where units were left out, the row that
    says so.

    attrs: `dropped` and `unbalanced` (unit, period, reason each), `warnings` (sentences).
    """
    rows, warnings = [], list(estimate.notes(request))
    for inference in estimate.methods(request):
        for term, answer in estimate.answers(inference, request):
            rows.append(_row(term, answer, inference, request))
            warnings += [f"{term.estimand}, {term.group}, {inference}: {text}" for text in answer.warnings]
    if estimate.dropped:
        rows.append(_left_out(estimate, request))
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in COLUMNS}
    whole = all(v is None or isinstance(v, int) for v in columns["cohort"])
    for name in _INTEGER:
        values = [None if v is None or not np.isfinite(v) else int(v) for v in columns[name]]
        columns[name] = pd.array(values, dtype="Int64")
    columns["cohort"] = pd.array(columns["cohort"], dtype="Int64") if whole else pd.Series(columns["cohort"], dtype=object)
    for name in ("period", "reason"):
        columns[name] = pd.Series(columns[name], dtype=object)
    frame = pd.DataFrame(columns)
    frame.attrs["dropped"] = [_record(d) for d in estimate.dropped]
    frame.attrs["unbalanced"] = [_record(d) for d in estimate.unbalanced]
    frame.attrs["warnings"] = list(dict.fromkeys(warnings))
    frame.attrs |= estimate.attributes()
    return frame


def _record(dropped: Dropped) -> dict[str, str]:
    return {"unit": dropped.unit, "period": dropped.period, "reason": dropped.reason}


def _row(term: Term, answer: Answer, inference: str, request: Request) -> dict[str, object]:
    base = term.base
    return {
        "estimand": term.estimand,
        "group": term.group,
        "cohort": term.cohort,
        "event_time": term.event_time,
        "period": term.period,
        "estimate": answer.estimate,
        "std_error": answer.std_error,
        "statistic": answer.statistic,
        "p_value": answer.p_value,
        "conf_low": answer.conf_low,
        "conf_high": answer.conf_high,
        "conf_level": request.conf_level,
        "interval": answer.interval,
        "outcome_unit": answer.unit,
        "inference": inference,
        "df": answer.df,
        "n_clusters": base.n_clusters,
        "n_treated_clusters": base.n_treated_clusters,
        "p_attainable": answer.p_attainable,
        "n_members": base.n_members,
        "n_cells": base.n_cells,
        "first_year": base.first_year,
        "last_year": base.last_year,
        "status": "not_estimable" if answer.reason else "ok",
        "reason": answer.reason or None,
        "registered": "exploratory",
    }


def _left_out(estimate: Estimate, request: Request) -> dict[str, object]:
    """The row that names units and periods that did not enter."""
    by_reason: dict[str, list[str]] = {}
    for d in estimate.dropped:
        by_reason.setdefault(d.reason, []).append(f"{d.unit} ({d.period})" if d.period else d.unit)
    text = "; ".join(f"{reason}: {_some(units)}" for reason, units in by_reason.items())
    row: dict[str, object] = dict.fromkeys(COLUMNS)
    row |= {column: float("nan") for column in COLUMNS[5:11]} | {"df": float("nan"), "p_attainable": float("nan")}
    return row | {
        "estimand": "left_out",
        "group": "all",
        "outcome_unit": "outcome",
        "inference": "none",
        "conf_level": request.conf_level,
        "interval": "pointwise",
        "status": "not_estimable",
        "reason": f"left out: {text}",
        "registered": "exploratory",
    }


def _some(units: list[str], most: int = 10) -> str:
    rest = len(units) - most
    return ", ".join(units[:most]) + (f" and {rest} more" if rest > 0 else "")
