"""Direct standardization: rates as they would be if every system, group and year had the same mix of strata (age, sex, ...)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from p4equity.disparity.panel import Array
from p4equity.errors import UsageError

SUM_OF_SHARES = 1e-9


@dataclass(frozen=True)
class Standardized:
    """Raw and standardized rates with their sampling variances, all of the shape of the counts without the axis of strata.

    rate: NaN where a stratum with a share in the fixed mix holds nobody: a mean over the other strata would compare another mix.
    raw: rate of the members as they are, NaN without members. Units: numerator per denominator (a share).
    """

    rate: Array
    variance: Array
    raw: Array
    raw_variance: Array

    @property
    def composition(self) -> Array:
        """The part of a raw rate that its own mix adds to the rate under the fixed mix."""
        return self.raw - self.rate


def standard_mix(den: ArrayLike) -> Array:
    """(K,) shares of the strata over all members of the standard population. den: (..., K) counts, strata last.

    Raises UsageError when the standard population is empty.
    """
    counts = np.asarray(den, float)
    total = counts.reshape(-1, counts.shape[-1]).sum(axis=0)
    if not total.sum() > 0:
        raise UsageError("the standard population is empty", expected="members in some stratum", found=total.tolist())
    mix: Array = total / total.sum()
    return mix


def mixed_rate(rates: ArrayLike, shares: ArrayLike) -> Array:
    """(...) rate of a population with these shares of strata: the sum of share times rate. rates, shares: (..., K).

    With shares of the population itself this is its raw rate, with fixed shares its standardized one. Strata without a share
    do not count, whatever their rate. Raises UsageError unless shares are at least 0 and sum to 1.
    """
    r, w = np.asarray(rates, float), _checked(np.asarray(shares, float))
    return np.asarray(np.where(w > 0, w * r, 0.0).sum(axis=-1))


def direct_standardization(
    den: ArrayLike, num: ArrayLike, shares: ArrayLike, *, member_variance: ArrayLike | None = None
) -> Standardized:
    """Rates under a fixed mix of strata, r = sum_k w_k x_k / n_k, with Var = sum_k w_k^2 s_k^2 / n_k (shares are constants).

    den, num: (..., K) members and successes, strata last. shares: (K,) the fixed mix, or (..., K). member_variance: (..., K)
    variance s_k^2 of one member's outcome in a stratum; p_k (1 - p_k) when left out, which is 0 in a stratum where all or none
    succeed, so that small strata are better served by a variance pooled over systems.
    Source: Fay and Feuer (1997), Statistics in Medicine 16:791, with binomial strata.
    Raises UsageError unless shares are at least 0 and sum to 1.
    """
    n, x, w = np.asarray(den, float), np.asarray(num, float), _checked(np.asarray(shares, float))
    w = np.broadcast_to(w, n.shape)
    p = np.divide(x, n, out=np.full(n.shape, np.nan), where=n > 0)
    one = p * (1 - p) if member_variance is None else np.broadcast_to(np.asarray(member_variance, float), n.shape)
    error = np.divide(one, n, out=np.full(n.shape, np.nan), where=n > 0)
    total = n.sum(axis=-1, keepdims=True)
    own = np.divide(n, total, out=np.zeros(n.shape), where=total > 0)
    anyone = total[..., 0] > 0
    return Standardized(
        mixed_rate(p, w),
        _weighted(w, error),
        np.where(anyone, np.where(own > 0, own * p, 0.0).sum(axis=-1), np.nan),
        np.where(anyone, _weighted(own, error), np.nan),
    )


def standardized_covariance(shares: ArrayLike, covariance: ArrayLike) -> Array:
    """(..., T, T) sampling covariance of standardized rates between years (or other cells) from that of their strata.

    shares: (K,) the fixed mix. covariance: (..., K, T, K, T) of stratum rates. Members who grow older pass from one stratum to
    the next, so the blocks between strata are not zero between years, and the change of a standardized rate needs them.
    """
    w = _checked(np.asarray(shares, float))
    return np.asarray(np.einsum("k,...ktlu,l->...tu", w, np.asarray(covariance, float), w))


def _weighted(shares: Array, error: Array) -> Array:
    return np.asarray(np.where(shares > 0, shares**2 * error, 0.0).sum(axis=-1))


def _checked(shares: Array) -> Array:
    sums = shares.sum(axis=-1)
    if not (np.all(shares >= 0) and np.all(np.abs(sums - 1) <= SUM_OF_SHARES)):
        raise UsageError(
            "shares of strata are no mix", expected="shares of at least 0 that sum to 1", found=np.asarray(sums).tolist()
        )
    return shares
