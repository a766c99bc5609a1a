"""Rubin's rules: one answer from the answers of several imputations, with small-sample degrees of freedom.

Rubin (1987), equations 3.1.2 to 3.1.6, and Barnard and Rubin (1999), Biometrika 86, 948-955, equation 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from p4equity.errors import UsageError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pooled:
    """An answer over M imputations: estimate, its standard error, df, two-sided p of 0 and interval.

    within, between: mean of the sampling variances, variance of the estimates. imputation_share: share of the total variance that
    comes from what is imputed, 0 to 1. imputation_error: Monte Carlo standard error of the estimate.
    """

    estimate: float
    std_error: float
    df: float
    statistic: float
    p_value: float
    conf_low: float
    conf_high: float
    within: float
    between: float
    imputation_share: float
    imputation_error: float


def rubin(estimates: ArrayLike, variances: ArrayLike, df_complete: float = np.inf, *, conf_level: float = 0.95) -> Pooled:
    """The mean of the estimates, its total variance, and a t distribution by Barnard and Rubin.

    estimates, variances: (M,) of M >= 2 imputations, in any unit and its square. df_complete: degrees of freedom the answer would
    have if nothing were missing; infinite for a normal law. Raises UsageError for fewer imputations, values that are not finite,
    variances that are negative or all 0, and df_complete that is not positive.
    """
    q, u = np.asarray(estimates, float), np.asarray(variances, float)
    if q.ndim != 1 or q.shape != u.shape or len(q) < 2:
        raise UsageError(
            "Rubin's rules need two or more imputations", expected="two arrays of one length", found=(q.shape, u.shape)
        )
    if not (np.isfinite(q).all() and np.isfinite(u).all() and (u >= 0).all()):
        raise UsageError("an imputation without an answer", expected="finite estimates and variances", found="some that are not")
    if not df_complete > 0:
        raise UsageError("degrees of freedom of complete data", expected="above 0", found=df_complete)
    M, within, between = len(q), float(u.mean()), float(q.var(ddof=1))
    extra = (1 + 1 / M) * between
    total = within + extra
    if not total > 0:
        raise UsageError("no variance within or between imputations", expected="some", found=0)
    share = extra / total
    df = _barnard_rubin(share, M, df_complete)
    if not df > 0:
        raise UsageError("no degrees of freedom are left", expected="some variance within imputations", found=within)
    estimate, error = float(q.mean()), float(np.sqrt(total))
    half = float(stats.t.ppf(0.5 + conf_level / 2, df)) * error
    statistic = estimate / error
    return Pooled(
        estimate, error, df, statistic, float(2 * stats.t.sf(abs(statistic), df)), estimate - half, estimate + half, within,
        between, share, float(np.sqrt(between / M)),
    )  # fmt: skip


def _barnard_rubin(share: float, M: int, df_complete: float) -> float:
    """Equation 3 of Barnard and Rubin; share: of the total variance that comes from imputation."""
    old = (M - 1) / share**2 if share**2 > 0 else np.inf
    if np.isinf(df_complete):
        return float(old)
    observed = (df_complete + 1) / (df_complete + 3) * df_complete * (1 - share)
    return float(observed if np.isinf(old) else old * observed / (old + observed))
