"""Per-cluster moments of a weighted regression: all that few-cluster inference needs, exact from cells.

A regression of y on X with weights W and clusters g enters everything that follows only through S_g = X_g'W X_g and
u_g = X_g'W y_g. Effects whose levels each lie in one cluster are swept out first; the others enter as dummies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from p4equity.errors import UsageError

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
ABSORBED = 1e-9  # a column whose norm falls below this share when effects are swept out has nothing left
SINGULAR = 1e-10  # eigenvalues of the scaled moment matrix below this share count as zero
UNIDENTIFIED = 1e-7  # share of a contrast outside the row space beyond which it is not estimable


@dataclass(frozen=True)
class ClusterDesign:
    """Moments of the regressors, one k x k block a cluster.

    S: (G, k, k), X_g'W X_g after sweeping. names: (k,) columns. clusters: (G,) labels. n_obs: rows. k_nonnested:
    coefficients not nested in the cluster, as fixest counts them. k_full: full rank of the regression, swept effects
    included.
    """

    S: Array
    names: tuple[str, ...]
    clusters: tuple[str, ...]
    n_obs: int
    k_nonnested: int
    k_full: int

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
    """The design with one outcome: u (G, k), X_g'W y_g after sweeping; norm: root of y'Wy, the scale of the outcome."""

    design: ClusterDesign
    u: Array
    norm: float

    @cached_property
    def theta(self) -> Array:
        """(r,) whitened coefficients: a contrast c has the estimate c @ theta."""
        return np.asarray(self.design.whitener.T @ self.u.sum(axis=0))

    @cached_property
    def z(self) -> Array:
        """(G, r) whitened scores X_g'W e_g."""
        return np.asarray(self.u @ self.design.whitener - self.design.blocks @ self.theta)


def is_nested(effect: Codes, cluster: Codes) -> bool:
    """Whether every level of an effect lies in one cluster."""
    pairs = np.unique(np.stack([effect, cluster]), axis=1)
    return bool(pairs.shape[1] == len(np.unique(effect)))


def dummies(codes: Codes) -> Array:
    """(N, levels) indicator columns of integer codes."""
    levels, position = np.unique(codes, return_inverse=True)
    out = np.zeros((len(codes), len(levels)))
    out[np.arange(len(codes)), position] = 1.0
    return out


def sweep(columns: Array, effects: Sequence[Codes], weights: Array, cluster: Codes) -> tuple[Array, int]:
    """Residuals of columns (N, m) on nested effects, weighted, and the rank of those effects."""
    if not effects:
        return columns, 0
    if len(effects) == 1:
        _, position = np.unique(effects[0], return_inverse=True)
        total = np.bincount(position, weights)
        means = np.stack([np.bincount(position, weights * column) / total for column in columns.T], axis=1)
        return columns - means[position], len(total)
    out, rank = columns.copy(), 0
    for g in np.unique(cluster):
        rows = np.flatnonzero(cluster == g)
        root = np.sqrt(weights[rows])[:, None]
        left, values, _ = np.linalg.svd(root * np.hstack([dummies(e[rows]) for e in effects]), full_matrices=False)
        basis = left[:, values > 1e-9 * values[0]]
        whitened = root * columns[rows]
        out[rows] = (whitened - basis @ (basis.T @ whitened)) / root
        rank += basis.shape[1]
    return out, rank


def cluster_moments(
    X: ArrayLike,
    Y: ArrayLike,
    cluster: Sequence[object] | NDArray[np.generic],
    *,
    weights: ArrayLike | None = None,
    effects: Sequence[Codes] = (),
    names: Sequence[str] | None = None,
    n_obs: int | None = None,
) -> tuple[ClusterMoments, ...]:
    """Moments of the regression of each column of Y (N,) or (N, m) on X (N, k) and categorical effects.

    cluster: (N,) labels. weights: (N,) positive; with cell means and cell counts the moments are those of the members,
    so that coefficients, CR0, CR2, CR3, degrees of freedom and wild bootstrap are the members' own. effects: integer
    codes (N,) each. n_obs: rows in the small-sample factor, by default N. The columns of the result's design are X,
    then dummies of the effects not nested in the cluster. Raises UsageError when shapes differ or weights are not
    positive.
    """
    x, y = np.asarray(X, float), np.asarray(Y, float)
    y = y[:, None] if y.ndim == 1 else y
    w = np.ones(len(x)) if weights is None else np.asarray(weights, float)
    if not (len(x) == len(y) == len(w) == len(cluster)) or not (np.isfinite(w).all() and (w > 0).all()):
        raise UsageError("rows do not match", expected="X, Y, positive weights and clusters of one length")
    labels, g = np.unique(np.asarray(cluster).astype(str), return_inverse=True)
    nested = [e for e in effects if is_nested(e, g)]
    crossed = [e for e in effects if not is_nested(e, g)]
    D = np.hstack([x, *(dummies(e) for e in crossed)])
    before = np.sqrt(w @ D**2)
    D, swept_rank = sweep(D, nested, w, g)
    D = D * (np.sqrt(w @ D**2) > ABSORBED * before)
    outcome, _ = sweep(y, nested, w, g)
    WD = D * w[:, None]
    S, u = np.zeros((len(labels), D.shape[1], D.shape[1])), np.zeros((len(labels), D.shape[1], y.shape[1]))
    for i in range(len(labels)):
        rows = g == i
        S[i], u[i] = WD[rows].T @ D[rows], WD[rows].T @ outcome[rows]
    columns = [
        *(names or [f"x{j}" for j in range(x.shape[1])]),
        *(f"effect{j}" for j in range(D.shape[1] - x.shape[1])),
    ]
    rank, crossed_rank = _rank(S.sum(axis=0)), _rank(S.sum(axis=0)[x.shape[1] :, x.shape[1] :])
    # fixest counts all levels of the effects not nested in the cluster, less one for each after the first.
    k = rank - crossed_rank + sum(len(np.unique(e)) - 1 for e in crossed) + (1 if effects else 0)
    design = ClusterDesign(S, tuple(columns), tuple(labels), n_obs or len(x), k, rank + swept_rank)
    return tuple(ClusterMoments(design, u[:, :, j], float(np.sqrt(w @ y[:, j] ** 2))) for j in range(y.shape[1]))


def _rank(total: Array) -> int:
    """Rank of a moment matrix, columns scaled to unit norm."""
    scale = np.sqrt(np.diag(total))
    live = scale > 0
    if not live.any():
        return 0
    values = np.linalg.eigvalsh(total[np.ix_(live, live)] / np.outer(scale[live], scale[live]))
    return int((values > SINGULAR * values[-1]).sum())


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
