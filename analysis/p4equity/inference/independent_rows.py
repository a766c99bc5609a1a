"""Errors that take the rows of a regression as independent: equal variances (iid), or each row its own (HC1).

Treatment varies by cluster, so that rows of a cluster err together and these errors are too small; they serve to compare
with, and to reproduce, regressions that were reported with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from p4equity.errors import UsageError, did_you_mean
from p4equity.inference.cluster_robust import NO_VARIATION, NOT_IDENTIFIED, ContrastTest, counted, not_available
from p4equity.inference.moments import inverse_moments
from p4equity.inference.sweeping import Codes, residuals, take_out

Array = NDArray[np.float64]
KINDS = ("IID", "HC1")
WARNING = "rows count as independent, although treatment varies by cluster: where they err together it is too small"


@dataclass(frozen=True)
class RowMoments:
    """One regression by rows. bread: (p, p) inverse moment matrix of the p regressors, effects taken out. meat: (p, p) sum of
    squared scores. rss: weighted sum of squared residuals. n_obs: rows. counts: coefficients K by word of `ssc`. norm: root
    of y'Wy."""

    bread: Array
    meat: Array
    rss: float
    n_obs: int
    counts: Mapping[str, int]
    norm: float


def row_moments(
    X: ArrayLike,
    Y: ArrayLike,
    *,
    counts: Mapping[str, int],
    weights: ArrayLike | None = None,
    effects: Sequence[Codes] = (),
    cluster: Codes | None = None,
) -> tuple[RowMoments, ...]:
    """Moments of the regression of each column of Y (N,) or (N, m) on X (N, p) and categorical effects, as in `cluster_moments`.

    counts: K by word of `ssc` (see `row_test`). cluster: any codes in which effects are nested, which makes sweeping cheap.
    """
    x, y = np.asarray(X, float), np.asarray(Y, float)
    y = y[:, None] if y.ndim == 1 else y
    w = np.ones(len(x)) if weights is None else np.asarray(weights, float)
    if not (len(x) == len(y) == len(w)) or not (np.isfinite(w).all() and (w > 0).all()):
        raise UsageError("rows do not match", expected="X, Y and positive weights of one length")
    g = np.zeros(len(x), np.int64) if cluster is None else cluster
    x, rest = take_out(x, effects, w, g), residuals(y, effects, w, g)
    wx = x * w[:, None]
    bread = inverse_moments(wx.T @ x)
    e = rest - x @ (bread @ (wx.T @ rest))
    out = []
    for j in range(y.shape[1]):
        scores = wx * e[:, [j]]
        out.append(
            RowMoments(bread, scores.T @ scores, float(w @ e[:, j] ** 2), len(x), counts, float(np.sqrt(w @ y[:, j] ** 2)))
        )
    return tuple(out)


def row_test(
    moments: RowMoments, contrast: Array, estimate: float, *, kind: str, ssc: str | int = "fixest", conf_level: float = 0.95
) -> ContrastTest:
    """Standard error, t test with N - K degrees of freedom and interval of one linear combination (p,).

    IID: residual variance over N - K. HC1: N/(N - K) times the sandwich of MacKinnon and White. K: slopes and all levels of the
    effects (fixest and full), the full rank (stata), a number, or none: 0, White's own, with the degrees of freedom of the rank.
    Source: MacKinnon and White (1985); fixest's `vcov = "iid"` and `"hetero"`.
    """
    if kind not in KINDS:
        raise UsageError("unknown variance", expected=", ".join(KINDS), found=kind, fix=did_you_mean(kind.upper(), KINDS))
    k, n = counted(ssc, moments.counts), moments.n_obs
    free = n - (moments.counts["stata"] if ssc == "none" else k)
    if free <= 0:
        return not_available("no more rows than coefficients")
    c = np.asarray(contrast, float)
    spread = float(c @ moments.bread @ c)
    scale = n - (0 if ssc == "none" else k)
    if not spread > 0:
        return not_available(NOT_IDENTIFIED)
    half = moments.bread @ c
    variance = moments.rss * spread / scale if kind == "IID" else n / scale * float(half @ moments.meat @ half)
    se = float(np.sqrt(variance))
    if se <= 1e-10 * np.sqrt(spread) * moments.norm:
        return not_available(NO_VARIATION)
    width, t = float(stats.t.ppf(0.5 + conf_level / 2, free)) * se, estimate / se
    p = float(2 * stats.t.sf(abs(t), free))
    return ContrastTest(estimate, se, float(free), t, p, estimate - width, estimate + width, warning=WARNING)
