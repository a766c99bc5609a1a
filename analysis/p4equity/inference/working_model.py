"""The working model of CR2: what errors are taken to be, and moments of clusters where rows, not members, are adjusted.

`members` (the default): independent members of equal variance, a row standing for as many as its weight; all follows from
`ClusterDesign`, and cells give the answer of their members. `inverse_variance`: rows with variance 1 / weight, each cluster's
rows adjusted by Pustejovsky and Tipton's symmetric root (clubSandwich's `inverse_var = TRUE`). `homoskedastic`: rows of equal
variance whatever their weights (clubSandwich's default after `lm`). Without weights the three are one. CR0, CR1 and CR3 do
not depend on it; their Satterthwaite degrees of freedom do.
Source: Pustejovsky and Tipton (2018), section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p4equity.errors import UsageError
from p4equity.inference.sweeping import Codes, by_cluster, dummies, orthonormal

Array = NDArray[np.float64]
WORKING_MODELS = ("members", "inverse_variance", "homoskedastic")
NO_RESIDUAL = 1e-10  # a direction whose residuals have this share of the largest variance or less has none to adjust
MOST = 5_000  # rows of one cluster that are adjusted one by one


@dataclass(frozen=True)
class Second:
    """Second moments of the clusters' contributions a_g = L_g c to a contrast c, in whitened coordinates, error variance 1.

    own: (G, r, r) variance of a_g'e_g over the cluster's own rows. inner: (G, r, r) X_g'W_g times what is left of L_g
    after nested effects. plain: (G, r, r) X_g'L_g.
    """

    own: Array
    inner: Array
    plain: Array


@dataclass(frozen=True)
class RowModel:
    """Rows with variances of their own. total: (r, r) X'W V W X. raw: contributions of CR0, L_g = W_g X_g. adjusted: of CR2."""

    total: Array
    raw: Second
    adjusted: Second

    def covariance(self, rows: Array, kind: str) -> tuple[Array, Array, Array]:
        """Parts (own (q, q, G), left and right (G, q, 2r)) of the working covariance of contributions from rows (G, q, r)."""
        part = self.adjusted if kind == "CR2" else self.raw
        own = np.einsum("gqr,grs,gps->qpg", rows, part.own, rows)
        d, f = (np.einsum("grs,gqs->gqr", block, rows) for block in (part.inner, part.plain))
        return own, np.concatenate([d, f], axis=2), np.concatenate([f, d - f @ self.total], axis=2)


def row_model(
    model: str, X: Array, residuals: Array, weights: Array, nested: Sequence[Codes], cluster: Codes, whitener: Array
) -> tuple[RowModel, Array]:
    """Moments under a model of rows, and CR2's scores (G, r, m) of m outcomes.

    X: (N, k), nested effects swept out. residuals: (N, m). cluster: (N,) codes. whitener: (k, r), see `ClusterDesign`.
    With V the model's variances and D their roots, CR2's matrix is D B^(-1/2) D, B = D (I - H)_g V (I - H)_g' D, nested effects
    among the regressors; a direction without residuals is left alone (Moore and Penrose's inverse). Raises UsageError for
    clusters of more than MOST rows where variances differ.
    """
    variance = 1 / weights if model == "inverse_variance" else np.ones(len(weights))
    parts, x = by_cluster(cluster), X @ whitener
    wx = x * weights[:, None]
    total = (wx * variance[:, None]).T @ wx
    if model == "inverse_variance" and (longest := max(map(len, parts))) > MOST:
        raise UsageError(
            "a cluster with too many rows", expected=f"{MOST} or fewer", found=longest, fix="take another working_model"
        )
    found = [_cluster(x[i], wx[i], residuals[i], weights[i], variance[i], [e[i] for e in nested], total) for i in parts]
    own, inner, plain, scores, squares, first = (np.stack(arrays) for arrays in zip(*found, strict=True))
    return RowModel(total, Second(squares, squares, first), Second(own, inner, plain)), scores


def _cluster(
    x: Array, wx: Array, e: Array, w: Array, variance: Array, nested: Sequence[Codes], total: Array
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Arrays of one cluster: own, inner, plain and scores of CR2; own (and inner) and plain of CR0."""
    D, root = np.sqrt(variance)[:, None], np.sqrt(w / w.mean())[:, None]
    effects = orthonormal(root * np.hstack([np.zeros((len(w), 0)), *(dummies(codes) for codes in nested)]))
    given = (D * x, D * wx, D * effects / root, D * effects * root)
    # With one variance B differs from the identity on the span of these columns alone.
    span = _span(given) if (variance == variance[0]).all() else np.eye(len(w))
    xs, ws, low, high = (span.T @ part for part in given)
    rest = (span.T * variance) @ span - low @ high.T  # D (I - nested effects) D
    cross = rest @ ws @ xs.T
    values, vectors = np.linalg.eigh(rest @ rest.T - cross - cross.T + xs @ total @ xs.T)
    kept = values > NO_RESIDUAL * values.max(initial=0.0)
    adjusted = (vectors[:, kept] / np.sqrt(values[kept])) @ (vectors[:, kept].T @ ws)
    left, scores = rest.T @ adjusted, adjusted.T @ (span.T @ (D * e))
    return left.T @ left, ws.T @ left, xs.T @ adjusted, scores, ws.T @ ws, x.T @ wx


def _span(parts: Sequence[Array]) -> Array:
    """Orthonormal basis of the columns of all parts, each column at unit length."""
    columns = np.hstack(parts)
    size = np.linalg.norm(columns, axis=0)
    return orthonormal(columns / np.where(size > 0, size, 1.0))
