"""Regressions with fixed effects: coefficients by linearmodels, inference on the cluster moments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from p4equity.estimators.base import FEW, Answer, Array, Estimate, Flags, Request, Term
from p4equity.estimators.reassigned import Reassigned, strata_of
from p4equity.estimators.tidy import ROWS
from p4equity.estimators.values import codes
from p4equity.inference.independent_rows import RowMoments, row_moments
from p4equity.inference.moments import ClusterMoments, cluster_moments, independent_columns
from p4equity.inference.sweeping import Absorber, Codes
from p4equity.inference.two_way import TwoWayMoments, two_way_moments
from p4equity.inference.working_model import WORKING_MODELS

if TYPE_CHECKING:
    from p4equity.estimators.few_treated import FewTreatedDesign

CLUSTER_ROBUST = ("cr0", "cr1", "cr2", "cr3", "cv3", "cv3j")
WILD = ("wild_bootstrap", "wild_bootstrap_unrestricted")
PERMUTATIONS = ("permutation", "permutation_raw", "permutation_studentized", "permutation_standardized")
METHODS = ("cr2", "cr0", "cr1", "cr3", "cv3", "cv3j", *WILD, *PERMUTATIONS, "none")  # the first is the default
OF_VARIANCE = ("ssc", "df", "working_model", "g_df", "vcov_fix", "wild_weights", "bootstrap_type", "p_type")
OF_LEADS = ("joint_test",)


@dataclass(frozen=True)
class Fit:
    """One regression: coefficients (k, m) of its k columns for m outcomes, and the moments of each outcome.

    idle: names of the covariates that add nothing to effects and other covariates. two_way: moments of each outcome
    where a second column clusters too. by_row: where errors of independent rows are asked for.
    """

    coefficients: Array
    moments: tuple[ClusterMoments, ...]
    idle: tuple[str, ...] = ()
    two_way: tuple[TwoWayMoments, ...] = ()
    by_row: tuple[RowMoments, ...] = ()

    def value(self, contrast: Array, outcome: int) -> float:
        """The linear combination (k,) of an outcome's coefficients."""
        return float(contrast @ self.coefficients[:, outcome])


@dataclass(frozen=True)
class LinearEstimate(Estimate):
    """Result of a regression estimator.

    changes: unit changes per outcome where permuting them answers the same question, with strata of the units. reassigned:
    where it does not, each fit under other dates, or why its dates cannot be exchanged. few_treated: each fit as weights on
    rows, where methods for few treated units are defined; both made when asked for.
    """

    fits: tuple[Fit, ...]
    changes: tuple[Array, ...] = ()
    changes_treated: Array | None = None
    no_permutation: str = ""
    strata: Codes | None = None
    reassigned: tuple[Callable[[], Reassigned | str], ...] = ()
    few_treated: tuple[Callable[[], FewTreatedDesign], ...] = ()

    def answers(self, inference: str, request: Request) -> list[tuple[Term, Answer]]:
        """One answer a term (two where simultaneous limits exist)."""
        from p4equity.estimators.linear_answers import answer_terms

        return answer_terms(self, inference, request)

    def methods(self, request: Request) -> tuple[str, ...]:
        """Those of the request; with one or two treated clusters and none chosen, the one for few treated units."""
        few = 1 <= self.terms[0].base.n_treated_clusters <= 2 <= self.terms[0].base.n_comparison_clusters
        if request.chosen or not (self.few_treated and few):
            return request.inference
        return ("ferman_pinto" if self.few_treated[0]().sizes_known else "conley_taber",)

    def notes(self, request: Request) -> tuple[str, ...]:
        """Covariates that were left out of the first regression, and a method that takes the place of the default."""
        given, used = request.inference, self.methods(request)
        n = self.terms[0].base.n_treated_clusters
        other = (
            () if used == given else (f"{n} treated of the clusters: {given[0]} needs {FEW} or more, {used[0]} answers instead",)
        )
        names = {f"x{j}": name for j, name in enumerate(request.covariates)}
        text = "adds nothing to the effects and the other covariates, and is left out"
        return (*other, *(f"covariate '{names[x]}' {text}" for x in self.fits[0].idle if x in names))


def ssc_of(request: Request) -> str | int:
    """The small-sample convention of a request: a word, or the number of coefficients to count."""
    given = request.own.get("ssc", "fixest")
    return given if isinstance(given, int) else str(given)


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
    cluster2: NDArray[np.object_] | None = None,
    request: Request | None = None,
    absorber: Absorber | None = None,
) -> Fit:
    """Weighted regression of each outcome (N, m) on terms (N, p) and covariates (N, c) with two or three categorical
    effects.

    The first effect is the unit. Terms and covariates are residuals on all effects first. Columns that add nothing are
    left out of the coefficients; whether a combination is identified is decided on the moments. cluster2: labels of a
    second way of clustering. request: its working model, and whether errors of independent rows are asked for. absorber: these
    effects with these weights and clusters, where several regressions share them.
    """
    absorber = absorber or Absorber(effects, weights, codes(cluster))
    X = absorber.take_out(np.hstack([terms, covariates]))
    model = WORKING_MODELS[0] if request is None else str(request.own.get("working_model", WORKING_MODELS[0]))
    moments = cluster_moments(
        X,
        Y,
        np.asarray(cluster),
        weights=weights,
        effects=effects,
        names=names,
        n_obs=n_obs,
        working_model=model,
        absorber=absorber,
    )
    p, k = terms.shape[1], X.shape[1]
    order = np.r_[p:k, :p]  # covariates first: a term that repeats them has no coefficient
    kept = np.zeros(k, bool)
    kept[order] = independent_columns(np.einsum("n,ni,nj->ij", weights, X[:, order], X[:, order]))
    coefficients = np.zeros((len(moments[0].design.names), Y.shape[1]))
    if kept.any():
        coefficients[np.flatnonzero(kept)] = _least_squares(absorber.residuals(Y), X[:, kept], weights)
    idle = tuple(n for n, used in zip(names[p:], kept[p:], strict=True) if not used)
    design = moments[0].design
    wanted = request is not None and bool(set(ROWS) & set(request.inference))
    counts = {"fixest": design.k_levels, "full": design.k_levels, "stata": design.k_full, "none": 0}
    by_row = row_moments(X, Y, counts=counts, weights=weights, effects=effects, cluster=absorber.cluster) if wanted else ()
    if cluster2 is None:
        return Fit(coefficients, moments, idle, (), by_row)
    pair = two_way_moments(X, Y, cluster, cluster2, weights=weights, effects=effects, n_obs=n_obs, k_full=design.k_full)
    return Fit(coefficients, moments, idle, pair, by_row)


def _least_squares(Y: Array, exog: Array, weights: Array) -> Array:
    """(columns, m) coefficients of outcomes (N, m) on regressors (N, columns) by linearmodels' least squares; no errors.

    Both are residuals on all effects, so that these need not enter (Frisch, Waugh and Lovell). Its parameters alone, all
    outcomes at once: the fit of a whole model object for each outcome was half of the time of a regression on cells. Columns
    are scaled to unit size.
    """
    from linearmodels.iv import IV2SLS

    scale, root = np.sqrt(weights @ exog**2 / weights.sum()), np.sqrt(weights / weights.mean())[:, None]
    X = root * exog / scale
    return np.asarray(IV2SLS.estimate_parameters(X, root * Y, X, 1.0) / scale[:, None])


def changes(frame: pd.DataFrame, Y: Array, treated: Flags) -> tuple[tuple[Array, ...], Array, Codes]:
    """Mean after minus mean before by unit for each outcome, which units are treated, and their strata.

    One cohort's dates serve all units.
    """
    start = frame.loc[treated, "time"].min()
    after = np.asarray(frame["time"] >= start)
    units, position = np.unique(frame["unit"].to_numpy().astype(str), return_inverse=True)
    n1, n0 = np.bincount(position, after), np.bincount(position, ~after)
    out = [np.bincount(position, y * after) / n1 - np.bincount(position, y * ~after) / n0 for y in Y.T]
    stratum = frame["stratum"].to_numpy() if "stratum" in frame else None
    arm = np.asarray(np.bincount(position, treated) > 0, float)[: len(units)]
    return tuple(np.asarray(o) for o in out), arm, strata_of(np.asarray(position, np.int64), stratum)
