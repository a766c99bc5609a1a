"""Regressions with fixed effects: coefficients by linearmodels, inference on the cluster moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from p4equity.estimators.base import Answer, Array, Estimate, Flags, Request, Term
from p4equity.inference.moments import ClusterMoments, Codes, cluster_moments, dummies, independent_columns, is_nested


@dataclass(frozen=True)
class Fit:
    """One regression: coefficients (k, m) of its k columns for m outcomes, and the moments of each outcome."""

    coefficients: Array
    moments: tuple[ClusterMoments, ...]

    def value(self, contrast: Array, outcome: int) -> float:
        """The linear combination (k,) of an outcome's coefficients."""
        return float(contrast @ self.coefficients[:, outcome])


@dataclass(frozen=True)
class LinearEstimate(Estimate):
    """Result of a regression estimator. changes: unit changes per outcome where permuting them answers the same question."""

    fits: tuple[Fit, ...]
    changes: tuple[Array, ...] = ()
    changes_treated: Array | None = None
    no_permutation: str = ""

    def answers(self, inference: str, request: Request) -> list[tuple[Term, Answer]]:
        """One answer a term (two where simultaneous limits exist)."""
        from p4equity.estimators.linear_answers import answer_terms

        return answer_terms(self, inference, request)


def codes(*columns: object) -> Codes:
    """One integer code a distinct combination of labels."""
    joined = pd.MultiIndex.from_arrays([np.asarray(c).astype(str) for c in columns])
    return np.asarray(pd.factorize(joined, sort=True)[0], np.int64)


def pad(contrast: Array, size: int) -> Array:
    """(q, k) rows over the first columns, filled with zeros to `size` columns."""
    rows = np.atleast_2d(contrast)
    return np.hstack([rows, np.zeros((len(rows), size - rows.shape[1]))])


def regress(
    Y: Array,
    terms: Array,
    covariates: Array,
    *,
    effects: Sequence[Codes],
    cluster: NDArray[np.object_],
    weights: Array,
    names: Sequence[str],
    n_obs: int,
) -> Fit:
    """Weighted regression of each outcome (N, m) on terms (N, p) and covariates (N, c) with two or three categorical
    effects.

    The first effect is the unit; linearmodels absorbs the first two, the third enters as dummies. Columns that add
    nothing are left out there; whether a combination is identified is decided on the moments.
    """
    X = np.hstack([terms, covariates])
    moments = cluster_moments(X, Y, np.asarray(cluster), weights=weights, effects=effects, names=names, n_obs=n_obs)
    design = moments[0].design
    k = X.shape[1]
    total = design.S.sum(axis=0)
    order = np.r_[k : total.shape[0], terms.shape[1] : k, : terms.shape[1]]
    kept = np.zeros(total.shape[0], bool)
    kept[order] = independent_columns(total[np.ix_(order, order)])
    coefficients = np.zeros((total.shape[0], Y.shape[1]))
    if len(effects) > 2 and is_nested(effects[2], codes(cluster)):
        # One cluster holds all: the third effect is swept, not a column, and no error will follow. The engine's own values.
        return Fit(np.stack([design.whitener @ m.theta for m in moments], axis=1), moments)
    extra = np.zeros((len(X), 0))
    if len(effects) > 2:
        third = dummies(effects[2])
        extra = third[:, kept[total.shape[0] - third.shape[1] :]]
    if kept[:k].any():
        columns = np.flatnonzero(kept[:k])
        exog = np.hstack([X[:, columns], extra])
        coefficients[columns] = _panel_ols(Y, exog, effects, weights)[: len(columns)]
    return Fit(coefficients, moments)


def _panel_ols(Y: Array, exog: Array, effects: Sequence[Codes], weights: Array) -> Array:
    """(columns, m) coefficients of linearmodels' PanelOLS, first two effects absorbed; its standard errors are not used."""
    from linearmodels.panel import PanelOLS

    index = codes(*effects)
    unique = np.unique(index)
    if len(unique) < len(index):  # clusters within unit and period: the coefficients are those of the unit-period means
        total = np.bincount(index, weights)
        Y = np.stack([np.bincount(index, weights * y) / total for y in Y.T], axis=1)
        first = np.unique(index, return_index=True)[1]
        exog, effects, weights = exog[first], [e[first] for e in effects], np.asarray(total, float)
    number = pd.Series(effects[0]).groupby(effects[0]).cumcount().to_numpy()
    rows = pd.MultiIndex.from_arrays([effects[0], number], names=["entity", "row"])
    X = pd.DataFrame(exog, index=rows, columns=[f"c{j}" for j in range(exog.shape[1])])
    w = pd.Series(weights / weights.mean(), index=rows, name="w")
    other = pd.DataFrame({"effect": effects[1]}, index=rows)
    out = np.zeros((exog.shape[1], Y.shape[1]))
    for j in range(Y.shape[1]):
        model = PanelOLS(pd.Series(Y[:, j], index=rows, name="y"), X, weights=w, entity_effects=True, other_effects=other)
        out[:, j] = model.fit(cov_type="unadjusted", debiased=False, count_effects=False).params.to_numpy()
    return out


def changes(frame: pd.DataFrame, Y: Array, treated: Flags) -> tuple[tuple[Array, ...], Array]:
    """Mean after minus mean before by unit, for each outcome, and which units are treated; one cohort's dates serve all units."""
    start = frame.loc[treated, "time"].min()
    after = np.asarray(frame["time"] >= start)
    units, position = np.unique(frame["unit"].to_numpy().astype(str), return_inverse=True)
    n1, n0 = np.bincount(position, after), np.bincount(position, ~after)
    out = [np.bincount(position, y * after) / n1 - np.bincount(position, y * ~after) / n0 for y in Y.T]
    return tuple(np.asarray(o) for o in out), np.asarray(np.bincount(position, treated) > 0, float)[: len(units)]
