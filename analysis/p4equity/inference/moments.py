"""Per-cluster moments of a weighted regression: all that few-cluster inference needs, exact from cells.

A regression of y on X with weights W and clusters g enters everything that follows only through S_g = X_g'W X_g and
u_g = X_g'W y_g. Effects whose levels each lie in one cluster are swept out first; the others enter as dummies, beside
which X and y are residuals on all effects (`sweeping`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from p4equity.errors import UsageError, did_you_mean
from p4equity.inference.sweeping import Absorber, Codes, by_cluster
from p4equity.inference.working_model import WORKING_MODELS, RowModel, row_model

Array = NDArray[np.float64]
SINGULAR = 1e-10  # eigenvalues of the scaled moment matrix below this share count as zero
UNIDENTIFIED = 1e-7  # share of a contrast outside the row space beyond which it is not estimable


@dataclass(frozen=True)
class ClusterDesign:
    """Moments of the regressors, one k x k block a cluster.

    S: (G, k, k), X_g'W X_g after sweeping. names: (k,) columns. clusters: (G,) labels. n_obs: rows. k_nonnested:
    coefficients not nested in the cluster, as fixest counts them. k_full: full rank of the regression, swept effects
    included. k_levels: coefficients when every level of every effect counts, less one for each effect after the first.
    by_row: moments under a working model of rows; None is that of members (see `working_model`).
    """

    S: Array
    names: tuple[str, ...]
    clusters: tuple[str, ...]
    n_obs: int
    k_nonnested: int
    k_full: int
    k_levels: int = 0
    by_row: RowModel | None = None

    @property
    def n_clusters(self) -> int:
        """Number of clusters G."""
        return len(self.clusters)

    @cached_property
    def _spectrum(self) -> tuple[Array, Array, Array]:
        """Column scale (k,), basis (k, r) that whitens the moment matrix, null directions (k, m) in scaled coordinates."""
        total = self.S.sum(axis=0)
        scale = np.sqrt(np.diag(total))
        live = scale > 0
        inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=live)
        values, vectors = np.linalg.eigh(total * np.outer(inverse, inverse))
        kept = values > SINGULAR * max(float(values[-1]), 1e-300) if len(values) else np.zeros(0, bool)
        basis = inverse[:, None] * vectors[:, kept] / np.sqrt(values[kept])
        return scale, np.asarray(basis), np.asarray(vectors[:, ~kept])

    @property
    def whitener(self) -> Array:
        """(k, r) T with T' (sum of S_g) T = I and T T' = the pseudo-inverse of the moment matrix on estimable directions."""
        return self._spectrum[1]

    @cached_property
    def blocks(self) -> Array:
        """(G, r, r) whitened moments; they sum to the identity."""
        return np.asarray(self.whitener.T @ self.S @ self.whitener)

    @cached_property
    def leverage(self) -> tuple[Array, Array]:
        """Eigenvalues (G, r) and eigenvectors (G, r, r) of the whitened moments; 1: a direction seen in one cluster alone."""
        values, vectors = np.linalg.eigh((self.blocks + self.blocks.transpose(0, 2, 1)) / 2)
        return np.asarray(values), np.asarray(vectors)

    def contrast(self, weights: Array) -> Array | None:
        """A linear combination of coefficients (k,) in whitened coordinates (r,); None when the data do not identify it."""
        scale, basis, null = self._spectrum
        dead = scale == 0
        if np.any(weights[dead] != 0):
            return None
        scaled = np.divide(weights, scale, out=np.zeros_like(weights), where=~dead)
        size = float(np.linalg.norm(scaled))
        if size == 0 or float(np.linalg.norm(null[~dead].T @ scaled[~dead])) > UNIDENTIFIED * size:
            return None
        return np.asarray(basis.T @ weights)


@dataclass(frozen=True)
class ClusterMoments:
    """The design with one outcome: u (G, k), X_g'W y_g after sweeping; norm: root of y'Wy, the scale of the outcome.

    adjusted: (G, r) whitened scores of CR2 under a working model of rows.
    """

    design: ClusterDesign
    u: Array
    norm: float
    adjusted: Array | None = None

    @cached_property
    def theta(self) -> Array:
        """(r,) whitened coefficients: a contrast c has the estimate c @ theta."""
        return np.asarray(self.design.whitener.T @ self.u.sum(axis=0))

    @cached_property
    def z(self) -> Array:
        """(G, r) whitened scores X_g'W e_g."""
        return np.asarray(self.u @ self.design.whitener - self.design.blocks @ self.theta)

    def scores(self, kind: str) -> Array:
        """(G, r) scores that the rows of a variance (`cluster_robust.adjusted_rows`) multiply."""
        return self.z if self.adjusted is None or kind != "CR2" else self.adjusted


def cluster_moments(
    X: ArrayLike,
    Y: ArrayLike,
    cluster: Sequence[object] | NDArray[np.generic],
    *,
    weights: ArrayLike | None = None,
    effects: Sequence[Codes] = (),
    names: Sequence[str] | None = None,
    n_obs: int | None = None,
    working_model: str = WORKING_MODELS[0],
    absorber: Absorber | None = None,
) -> tuple[ClusterMoments, ...]:
    """Moments of the regression of each column of Y (N,) or (N, m) on X (N, k) and categorical effects.

    cluster: (N,) labels. weights: (N,) positive; with cell means and cell counts the moments are those of the members,
    so that coefficients, CR0, CR2, CR3, degrees of freedom and wild bootstrap are the members' own. effects: integer
    codes (N,) each; X and Y are residuals on all of them. n_obs: rows in the small-sample factor, by default N. The
    columns of the result's design are X, then dummies of the effects not nested in the cluster. working_model: what CR2 and
    degrees of freedom take errors to be, see module `working_model`. absorber: these effects, made ready with these weights
    and clusters. Raises UsageError when shapes differ or weights are not positive, and for an unknown working model.
    """
    if working_model not in WORKING_MODELS:
        fix = did_you_mean(str(working_model), WORKING_MODELS)
        raise UsageError("unknown working model", expected=", ".join(WORKING_MODELS), found=working_model, fix=fix)
    x, y = np.asarray(X, float), np.asarray(Y, float)
    y = y[:, None] if y.ndim == 1 else y
    w = np.ones(len(x)) if weights is None else np.asarray(weights, float)
    if not (len(x) == len(y) == len(w) == len(cluster)) or not (np.isfinite(w).all() and (w > 0).all()):
        raise UsageError("rows do not match", expected="X, Y, positive weights and clusters of one length")
    labels, g = np.unique(np.asarray(cluster).astype(str), return_inverse=True)
    absorber = absorber or Absorber(effects, w, g)
    D = np.hstack([absorber.take_out(x), absorber.others])
    rest = absorber.residuals(y)
    S, u = _sums(D, rest, w, g)
    columns = [
        *(names or [f"x{j}" for j in range(x.shape[1])]),
        *(f"effect{j}" for j in range(D.shape[1] - x.shape[1])),
    ]
    whole, crossed_rank = rank(S.sum(axis=0)), rank(S.sum(axis=0)[x.shape[1] :, x.shape[1] :])
    k, every = (count_levels(e, whole - crossed_rank, bool(effects)) for e in (absorber.crossed, effects))
    design = ClusterDesign(S, tuple(columns), tuple(labels), n_obs or len(x), k, whole + absorber.rank, every)
    adjusted: list[Array | None] = [None] * y.shape[1]
    if working_model != WORKING_MODELS[0] and (w != w[0]).any():
        T = design.whitener
        rows, scores = row_model(working_model, D, rest - D @ (T @ (T.T @ u.sum(axis=0))), w, absorber.nested, g, T)
        design, adjusted = replace(design, by_row=rows), [np.asarray(s) for s in scores.transpose(2, 0, 1)]
    return tuple(ClusterMoments(design, u[:, :, j], float(np.sqrt(w @ y[:, j] ** 2)), adjusted[j]) for j in range(y.shape[1]))


def count_levels(effects: Sequence[Codes], slopes: int, constant: bool) -> int:
    """Coefficients as fixest counts them: slopes and all levels of the effects, less one for each effect after the first."""
    return slopes + sum(len(np.unique(e)) - 1 for e in effects) + int(constant)


def _sums(D: Array, y: Array, w: Array, cluster: Codes) -> tuple[Array, Array]:
    """X_g'W X_g (G, k, k) and X_g'W y_g (G, k, m) of each cluster."""
    parts = by_cluster(cluster)
    S, u = np.zeros((len(parts), D.shape[1], D.shape[1])), np.zeros((len(parts), D.shape[1], y.shape[1]))
    for i, rows in enumerate(parts):
        own = D[rows]
        weighted = (own * w[rows, None]).T
        S[i], u[i] = weighted @ own, weighted @ y[rows]
    return S, u


def rank(total: Array) -> int:
    """Rank of a moment matrix, columns scaled to unit norm."""
    scale = np.sqrt(np.diag(total))
    live = scale > 0
    if not live.any():
        return 0
    values = np.linalg.eigvalsh(total[np.ix_(live, live)] / np.outer(scale[live], scale[live]))
    return int((values > SINGULAR * values[-1]).sum())


def inverse_moments(total: Array) -> Array:
    """Pseudo-inverse of a moment matrix, its columns scaled to unit norm."""
    scale = np.sqrt(np.diag(total))
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    values, vectors = np.linalg.eigh(total * np.outer(inverse, inverse))
    kept = values > SINGULAR * values.max(initial=1e-300)
    half = inverse[:, None] * vectors[:, kept] / np.sqrt(values[kept])
    return np.asarray(half @ half.T)


def independent_columns(total: Array) -> NDArray[np.bool_]:
    """Which columns of a moment matrix (k, k) add something to those before them (Cholesky with a tolerance)."""
    scale = np.sqrt(np.diag(total))
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    rest = total * np.outer(inverse, inverse)
    kept = np.zeros(len(total), bool)
    for j in range(len(total)):
        if rest[j, j] > SINGULAR:
            kept[j] = True
            rest = rest - np.outer(rest[:, j], rest[j]) / rest[j, j]
    return kept
