"""Two-way clustering: CR0 and CR1 of Cameron, Gelbach and Miller, with fixest's small-sample conventions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from p4equity.errors import UsageError, did_you_mean
from p4equity.inference.cluster_robust import NO_VARIATION, ContrastTest, counted, not_available
from p4equity.inference.moments import count_levels, inverse_moments, rank
from p4equity.inference.sweeping import Codes, is_nested, residuals, take_out

Array = NDArray[np.float64]
KINDS = ("CR0", "CR1")
G_DF = ("min", "conventional")
REPLACED = 1e-16  # what fixest puts in the place of eigenvalues that are not positive
NEGATIVE = 1e-12  # an eigenvalue this far below 0, beside the largest, is negative beyond rounding
FADED = 0.1  # with one way's variance below this share of that of the intersections, that way has none of its own
LOST = 1e-6  # a variance below this share of the larger one-way variance has been lost to the subtraction
ONLY = "two-way clustering has CR0 and CR1 only"
NOT_POSITIVE = (
    "the two-way variance of this coefficient is not positive: scores of rows that share both clusters outweigh those of "
    "either clustering; cluster by one column"
)
FIXED = (
    "the two-way variance is not positive, and 1e-16 stands in its place, as in fixest (vcov_fix): this is no error of the "
    "estimate; cluster by one column"
)
REPAIRED = (
    "the two-way covariance is not positive definite, and its negative eigenvalues are set to zero, as fixest does: "
    "cluster by one column beside it"
)

EMPTY = (
    "one of the two ways of clustering has no variance of its own here, for effects and coefficients fit its clusters exactly: "
    "subtracting what both share leaves too small an error; cluster by the other column"
)


@dataclass(frozen=True)
class TwoWayMoments:
    """Scores of one regression, summed over the clusters of either way and of both at once.

    bread: (p, p) inverse moment matrix of the p regressors, effects taken out. scores: three arrays (G, p), X'We by
    first clusters, second clusters, and their intersections. counts: coefficients K by word of `ssc`; fixest leaves out
    effects nested in either clustering. norm: root of y'Wy.
    """

    bread: Array
    scores: tuple[Array, Array, Array]
    n_obs: int
    counts: dict[str, int]
    norm: float

    @property
    def n_clusters(self) -> tuple[int, int, int]:
        """Clusters of the first way, the second, and both."""
        first, second, both = (len(s) for s in self.scores)
        return first, second, both


def two_way_moments(
    X: ArrayLike,
    Y: ArrayLike,
    first: Sequence[object] | NDArray[np.generic],
    second: Sequence[object] | NDArray[np.generic],
    *,
    weights: ArrayLike | None = None,
    effects: Sequence[Codes] = (),
    n_obs: int | None = None,
    k_full: int | None = None,
) -> tuple[TwoWayMoments, ...]:
    """Moments of the regression of each column of Y (N,) or (N, m) on X (N, p) and categorical effects.

    first, second: (N,) cluster labels. k_full: full rank with all effects, which `ssc` stata counts; by default all
    levels. The rest as in `cluster_moments`, whose coefficients these are. Raises UsageError when shapes differ.
    """
    x, y = np.asarray(X, float), np.asarray(Y, float)
    y = y[:, None] if y.ndim == 1 else y
    w = np.ones(len(x)) if weights is None else np.asarray(weights, float)
    if not (len(x) == len(y) == len(w) == len(first) == len(second)) or not (np.isfinite(w).all() and (w > 0).all()):
        raise UsageError("rows do not match", expected="X, Y, positive weights and two clusters of one length")
    one, two = (np.unique(np.asarray(labels).astype(str), return_inverse=True)[1].astype(np.int64) for labels in (first, second))
    both = np.unique(one * (two.max() + 1) + two, return_inverse=True)[1].astype(np.int64)
    x, y = take_out(x, effects, w, one), residuals(y, effects, w, one)
    S = (x * w[:, None]).T @ x
    bread = inverse_moments(S)
    e = y - x @ (bread @ ((x * w[:, None]).T @ y))
    open_ = [effect for effect in effects if not (is_nested(effect, one) or is_nested(effect, two))]
    slopes = rank(S)
    k, every = (count_levels(some, slopes, bool(effects)) for some in (open_, effects))
    counts = {"fixest": k, "stata": every if k_full is None else k_full, "full": every, "none": 1}
    out = []
    for j in range(y.shape[1]):
        scores = _three_sums(x * (w * e[:, j])[:, None], one, two, both)
        out.append(TwoWayMoments(bread, scores, n_obs or len(x), counts, float(np.sqrt(w @ y[:, j] ** 2))))
    return tuple(out)


def _three_sums(scores: Array, one: Codes, two: Codes, both: Codes) -> tuple[Array, Array, Array]:
    def sums(codes: Codes) -> Array:
        return np.stack([np.bincount(codes, column) for column in scores.T], axis=1) if scores.shape[1] else np.zeros((0, 0))

    return sums(one), sums(two), sums(both)


def factors(moments: TwoWayMoments, kind: str, ssc: str | int, g_df: str) -> tuple[float, float, float]:
    """Factors of the three one-way variances: none for CR0; for CR1 G/(G-1) times (N-1)/(N-K).

    g_df: min takes the smallest of the two numbers of clusters in all three terms, conventional each term's own. ssc:
    see `cluster_robust.small_sample_factor`. NaN where there are no more rows than coefficients.
    """
    for word, words, what in ((kind, KINDS, "two-way variance"), (g_df, G_DF, "g_df")):
        if word not in words:
            raise UsageError(f"unknown {what}", expected=", ".join(words), found=word, fix=did_you_mean(str(word), words))
    if kind == "CR0":
        return 1.0, 1.0, 1.0
    k, n = counted(ssc, moments.counts), moments.n_obs
    scale = (n - 1) / (n - k) if n > k else float("nan")
    least = min(moments.n_clusters[:2])
    one, two, both = (scale * g / (g - 1) for g in (moments.n_clusters if g_df == "conventional" else (least,) * 3))
    return one, two, both


def two_way_covariance(
    moments: TwoWayMoments,
    contrasts: Array,
    kind: str = "CR1",
    ssc: str | int = "fixest",
    g_df: str = "min",
    vcov_fix: bool = False,
) -> tuple[Array, str, str]:
    """Joint covariance (q, q) of contrasts (q, p), why it is not available (then NaN), and what the reader should know.

    V = V1 + V2 - V12. Where V of all coefficients has a negative eigenvalue, that is replaced as in fixest, and the third
    part of the answer says so; a contrast of which nothing positive, or nothing of one of the two ways, is left has no answer,
    unless `vcov_fix` asks for the number that fixest prints (an error of 1e-8 where the variance was negative).
    Source: Cameron, Gelbach and Miller (2011), Journal of Business and Economic Statistics 29:2.
    """
    rows = np.atleast_2d(np.asarray(contrasts, float))
    nothing = np.full((len(rows), len(rows)), np.nan)
    if min(moments.n_clusters[:2]) < 2:
        return nothing, "one cluster only in one of the two ways: its error cannot be estimated", ""
    scale = factors(moments, kind, ssc, g_df)
    if not np.isfinite(scale).all():
        return nothing, "no more rows than coefficients", ""
    parts = [f * moments.bread @ (s.T @ s) @ moments.bread for f, s in zip(scale, moments.scores, strict=True)]
    V = parts[0] + parts[1] - parts[2]
    values, vectors = np.linalg.eigh((V + V.T) / 2)
    largest = max(float(np.linalg.eigvalsh(part)[-1]) for part in parts)
    warning = ""
    if values[0] < -NEGATIVE * largest:
        V, warning = (vectors * np.maximum(values, REPLACED)) @ vectors.T, REPAIRED
    out = rows @ V @ rows.T
    one, two, both = (np.einsum("qi,ij,qj->q", rows, part, rows) for part in parts)
    either = np.stack([one, two])
    floor = (1e-10 * moments.norm) ** 2 * np.einsum("qi,ij,qj->q", rows, moments.bread, rows)
    if (either.max(axis=0) <= floor).any():
        return nothing, NO_VARIATION, ""
    faded, lost = (either.min(axis=0) <= FADED * both).any(), (np.diag(out) <= LOST * either.max(axis=0)).any()
    if (faded or lost) and not vcov_fix:
        return nothing, EMPTY if faded else NOT_POSITIVE, ""
    if faded or lost:
        warning = FIXED if lost else EMPTY
    return np.asarray(out), "", warning


def two_way_test(
    moments: TwoWayMoments,
    contrast: Array,
    estimate: float,
    *,
    kind: str = "CR1",
    ssc: str | int = "fixest",
    g_df: str = "min",
    conf_level: float = 0.95,
    vcov_fix: bool = False,
) -> ContrastTest:
    """Standard error, t test and interval of one linear combination (p,); t with min(G) - 1 degrees of freedom."""
    V, reason, warning = two_way_covariance(moments, contrast, kind, ssc, g_df, vcov_fix)
    if reason:
        return not_available(reason)
    se, df = float(np.sqrt(V[0, 0])), float(min(moments.n_clusters[:2]) - 1)
    half = float(stats.t.ppf(0.5 + conf_level / 2, df)) * se
    t = estimate / se
    p = float(2 * stats.t.sf(abs(t), df))
    return ContrastTest(estimate, se, df, t, p, estimate - half, estimate + half, warning=warning)
