"""Which answers outside the hierarchy of claims are announced: Holm's rule over all that one sentence speaks of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from scipy import stats

from p4equity.evaluation.claims import FEWEST
from p4equity.inference.multiplicity import Array, holm

Row = TypeVar("Row", bound=Mapping[str, Any])


def announced(rows: Sequence[Row], alpha: float) -> list[Row]:
    """The rows whose effect may be announced: their adjusted p is at most alpha. Any of them is false at most that often."""
    return [row for row, p in zip(rows, adjusted(rows), strict=True) if p <= alpha]


def adjusted(rows: Sequence[Mapping[str, Any]]) -> Array:
    """(n,) Holm's p over these rows of estimates, one question each.

    NaN, and no test of the family, without a number and where an arm has fewer than FEWEST systems: no method is known to hold
    its level there.
    """
    return holm(np.array([_p(row) for row in rows], float))


def _p(row: Mapping[str, Any]) -> float:
    """The row's own p; of an answer with sampling error alone that of the normal law."""
    if row["status"] != "ok" or _few(row):
        return float("nan")
    if _known(row["p_value"]):
        return float(row["p_value"])
    if not (_known(row["std_error"]) and row["std_error"] > 0):
        return float("nan")
    return float(2 * stats.norm.sf(abs(row["estimate"]) / row["std_error"]))


def _few(row: Mapping[str, Any]) -> bool:
    """Whether a question about two arms has one that is too small; one about a single arm, or all systems, has none."""
    treated, every = row["n_treated_clusters"], row["n_clusters"]
    if not (_known(treated) and treated):
        return False
    return bool(min(treated, every - treated) < FEWEST)


def _known(value: Any) -> bool:
    return value is not None and value == value
