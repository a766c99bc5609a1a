"""Cluster-robust inference on per-cluster moments: CR0 to CR3, Satterthwaite degrees of freedom.

Every function takes `ClusterMoments` (see `moments`), whatever made them: member rows, cells, or a panel of gaps. The
working model behind CR2 and the degrees of freedom is independent members of equal variance, unless the moments were made
with another (see `working_model`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from p4equity.errors import UsageError, did_you_mean
from p4equity.inference.moments import ClusterDesign, ClusterMoments

Array = NDArray[np.float64]
KINDS = ("CR0", "CR1", "CR2", "CR3", "CV3", "CV3J")
SSC = ("fixest", "stata", "full", "none")
DF = ("usual", "satterthwaite")
NOT_IDENTIFIED = "the data do not identify this coefficient: its regressor is collinear with effects or other regressors"
NO_VARIATION = "no variation left to estimate a standard error from"
ONE_CLUSTER = "one cluster only: its error cannot be estimated"
ALONE = 1e-8  # a leverage this close to 1 counts as 1
UNSEEN = 0.5  # share of a contrast's working variance that one cluster alone carries from which CR2 gives no answer


@dataclass(frozen=True)
class ContrastTest:
    """Answer for one linear combination; every number is NaN and `reason` filled when it is not available.

    warning: what the reader of a number should know.
    """

    estimate: float
    std_error: float
    df: float
    statistic: float
    p_value: float
    conf_low: float
    conf_high: float
    reason: str = ""
    warning: str = ""


def small_sample_factor(design: ClusterDesign, ssc: str | int = "fixest") -> float:
    """Factor of CR1: G/(G-1) (N-1)/(N-K).

    fixest: K = slopes + levels of effects not nested in the cluster. stata: K = full rank, swept effects counted.
    full: K = slopes + all levels of all effects, fixest's `K.fixef = "full"`. none: G/(G-1). A number is K itself. N is the
    number of rows, not of members. Source: fixest's `ssc()` defaults; Stata `regress, vce(cluster)`.
    """
    groups, n = design.n_clusters, design.n_obs
    k = counted(ssc, {"fixest": design.k_nonnested, "stata": design.k_full, "full": design.k_levels, "none": 1})
    if groups < 2 or n <= k:
        return float("nan")
    return groups / (groups - 1) * (n - 1) / (n - k)


def counted(ssc: str | int, counts: Mapping[str, int]) -> int:
    """The coefficients K that a convention counts. Raises UsageError for an unknown word."""
    if isinstance(ssc, int) and not isinstance(ssc, bool) and ssc >= 1:
        return ssc
    if ssc not in counts:
        expected, fix = f"{', '.join(SSC)}, or a number of coefficients", did_you_mean(str(ssc), SSC)
        raise UsageError("unknown small-sample convention", expected=expected, found=ssc, fix=fix)
    return counts[str(ssc)]


def contrast_rows(design: ClusterDesign, contrasts: Array) -> tuple[Array, str]:
    """Contrasts (q, k) in whitened coordinates (q, r), and why not when one of them is not identified."""
    rows = [design.contrast(np.asarray(row, float)) for row in np.atleast_2d(contrasts)]
    found = [row for row in rows if row is not None]
    if len(found) < len(rows):
        return np.zeros((0, design.whitener.shape[1])), NOT_IDENTIFIED
    return np.stack(found), ""


def adjusted_rows(design: ClusterDesign, c: Array, kind: str) -> tuple[Array, str]:
    """Vectors (G, q, r) whose product with `ClusterMoments.scores` is each cluster's contribution to the contrasts, and why not.

    CR2: (I - S_g M)^(-1/2) applied to the score, Bell and McCaffrey's adjustment pushed into k x k space (under a working
    model of rows the scores are adjusted already). CR3: its inverse. A direction that one cluster alone identifies has
    residuals of zero there and nothing to adjust: CR2 takes the Moore-Penrose inverse as clubSandwich does (Pustejovsky and
    Tipton 2018), as long as such directions carry less than UNSEEN of each contrast's working variance; CR3, the leave-one-out
    variance, is not defined for it.
    """
    groups = design.n_clusters
    if kind not in KINDS:
        raise UsageError("unknown variance", expected=", ".join(KINDS), found=kind, fix=did_you_mean(kind.upper(), KINDS))
    if groups < 2:
        return np.zeros((groups, *c.shape)), ONE_CLUSTER
    if kind in ("CR0", "CR1"):
        return np.broadcast_to(c, (groups, *c.shape)), ""
    share, label = unseen(design, c)
    if share > (UNSEEN if kind == "CR2" else 1e-12):
        return np.zeros((groups, *c.shape)), f"cluster {label} alone identifies this coefficient: {kind} is not defined"
    if kind == "CR2" and design.by_row is not None:
        return np.broadcast_to(c, (groups, *c.shape)), ""
    values, vectors = design.leverage
    projected = c @ vectors  # (G, q, r): coordinates of the contrasts on each cluster's directions
    power = -0.5 if kind == "CR2" else -1.0
    factor = np.where(_alone(values), 0.0, np.maximum(1 - values, ALONE) ** power)
    return np.asarray((projected * factor[:, None, :]) @ vectors.transpose(0, 2, 1)), ""


def variance_factor(design: ClusterDesign, kind: str, ssc: str | int) -> float:
    """Factor on the sum of squared contributions."""
    if kind == "CR1":
        return small_sample_factor(design, ssc)
    return (design.n_clusters - 1) / design.n_clusters if kind in ("CV3", "CV3J") else 1.0


def _alone(values: Array) -> NDArray[np.bool_]:
    """Which leverages are 1: directions seen in one cluster alone."""
    return np.asarray(1 - values < ALONE)


def unseen(design: ClusterDesign, c: Array, together: bool = False) -> tuple[float, str]:
    """Largest share of a contrast's working variance on directions that one cluster alone identifies, and that cluster.

    c: (q, r) whitened contrasts; the largest over its rows, or, `together`, over all their combinations. CR2's expectation
    under the working model falls short of the variance by this share, for no other cluster tells how noisy such a
    direction is.
    """
    values, vectors = design.leverage
    lonely = (c @ vectors) * _alone(values)[:, None, :]
    parts = lonely @ lonely.transpose(0, 2, 1)  # (G, q, q)
    total = parts.sum(axis=0)
    label = design.clusters[int(np.trace(parts, axis1=1, axis2=2).argmax())]
    if together:
        size, turn = np.linalg.eigh(c @ c.T)
        kept = size > 1e-12 * size[-1]
        root = turn[:, kept] / np.sqrt(size[kept])
        return float(np.linalg.eigvalsh(root.T @ total @ root)[-1]), label
    return float((np.diag(total) / np.einsum("qr,qr->q", c, c)).max()), label


def covariance(moments: ClusterMoments, contrasts: Array, kind: str = "CR2", ssc: str | int = "fixest") -> tuple[Array, str]:
    """Joint covariance (q, q) of contrasts (q, k), and the reason when it is not available (then NaN).

    CR3 is the sum of squared leave-one-cluster-out deviations from the estimate, as in clubSandwich; CV3, Stata's and
    summclust's, is (G-1)/G times it; CV3J takes deviations from their mean instead.
    """
    q = len(np.atleast_2d(contrasts))
    nothing = np.full((q, q), np.nan)
    c, reason = contrast_rows(moments.design, contrasts)
    if reason:
        return nothing, reason
    rows, reason = adjusted_rows(moments.design, c, kind)
    if reason:
        return nothing, reason
    scores = np.einsum("gqr,gr->gq", rows, moments.scores(kind))
    scores = scores - scores.mean(axis=0) if kind == "CV3J" else scores
    factor = variance_factor(moments.design, kind, ssc)
    V = factor * scores.T @ scores
    if not np.isfinite(factor):
        return nothing, "no more rows than coefficients"
    if (np.sqrt(np.diag(V)) <= 1e-10 * np.linalg.norm(c, axis=1) * moments.norm).any():
        return nothing, NO_VARIATION
    return np.asarray(V), ""


@dataclass(frozen=True)
class _Working:
    """Covariance of the clusters' contributions to q contrasts under the working model (error variance 1), never formed as G x G.

    Between clusters g and h and contrasts s and t it is 1{g = h} own[s, t, g] - left[g, s] . right[h, t].
    own: (q, q, G). left, right: (G, q, m), one array under the working model of members.
    """

    own: Array
    left: Array
    right: Array

    @property
    def within(self) -> Array:
        """(q, q): sum over clusters of each one's covariance, the expectation of the robust covariance."""
        return np.asarray(self.own.sum(axis=2) - np.einsum("gsr,gtr->st", self.left, self.right))

    def spread(self) -> float:
        """Sum over contrasts s, t of the variance of the robust covariance's element s, t (normal errors)."""
        own, square = self.own, np.einsum("gsr,gtr->stg", self.left, self.right)
        one, two = (np.einsum("gsi,gtj->stij", side, side) for side in (self.left, self.right))
        diagonal, norms = np.einsum("ssg->sg", own), np.einsum("ssg->sg", square)
        first = diagonal @ diagonal.T - diagonal @ norms.T - norms @ diagonal.T + (one * two).sum(axis=(2, 3))
        second = (own**2 - 2 * own * square).sum(axis=2) + np.einsum("stij,tsij->st", one, two)
        return float((first + second).sum())


def working_covariance(design: ClusterDesign, rows: Array, kind: str) -> _Working:
    """Working covariance of the contributions of a variance's adjusted rows (G, q, r)."""
    if design.by_row is not None:
        return _Working(*design.by_row.covariance(rows, kind))
    moved = np.einsum("grs,gqs->gqr", design.blocks, rows)
    return _Working(np.asarray(np.einsum("gqr,gpr->qpg", rows, moved)), moved, moved)


def satterthwaite(design: ClusterDesign, contrast: Array, kind: str = "CR2") -> float:
    """Bell and McCaffrey's degrees of freedom for one contrast (k,); NaN when not defined.

    (trace P)^2 / sum of P^2 with P the working covariance of the clusters' contributions. Source: Bell and McCaffrey
    (2002); Imbens and Kolesar (2016); Pustejovsky and Tipton (2018).
    """
    c, reason = contrast_rows(design, contrast)
    if not reason:
        rows, reason = adjusted_rows(design, c, kind)
    if reason:
        return float("nan")
    working = working_covariance(design, rows, kind)
    spread = working.spread()
    return 2 * float(working.within[0, 0]) ** 2 / spread if spread > 0 else float("nan")


def degrees_of_freedom(design: ClusterDesign, contrast: Array, kind: str, df: str = "usual") -> float:
    """Reference t of each kind: Satterthwaite for CR2, G - 1 for the others; satterthwaite for all with that word."""
    if df not in DF:
        raise UsageError("unknown degrees of freedom", expected=", ".join(DF), found=df, fix=did_you_mean(str(df), DF))
    if kind == "CR2" or df == "satterthwaite":
        return satterthwaite(design, contrast, kind)
    return float(design.n_clusters - 1)


def not_available(reason: str) -> ContrastTest:
    """An answer without a number."""
    nan = float("nan")
    return ContrastTest(nan, nan, nan, nan, nan, nan, nan, reason)


def contrast_test(
    moments: ClusterMoments,
    contrast: Array,
    *,
    kind: str = "CR2",
    ssc: str | int = "fixest",
    df: str = "usual",
    conf_level: float = 0.95,
    estimate: float | None = None,
) -> ContrastTest:
    """Estimate, standard error, t test and interval of one linear combination (k,) of the coefficients.

    df: see `degrees_of_freedom`. `estimate` replaces the engine's own value (the same to rounding) when another routine
    is the one reported.
    """
    V, reason = covariance(moments, contrast, kind, ssc)
    if reason:
        return not_available(reason)
    c, _ = contrast_rows(moments.design, contrast)
    b = float(c[0] @ moments.theta) if estimate is None else estimate
    se, nu = float(np.sqrt(V[0, 0])), degrees_of_freedom(moments.design, contrast, kind, df)
    if not (np.isfinite(nu) and nu > 0):
        return not_available("degrees of freedom are not defined")
    half = float(stats.t.ppf(0.5 + conf_level / 2, nu)) * se
    share, label = unseen(moments.design, c) if kind == "CR2" else (0.0, "")
    warning = (
        f"cluster {label} alone identifies a part of it with {share:.0%} of its variance, which {kind} does not see: "
        "the error is too small, and the test rejects too often"
    )
    p = float(2 * stats.t.sf(abs(b / se), nu))
    return ContrastTest(b, se, nu, b / se, p, b - half, b + half, warning=warning if share >= 0.005 else "")
