"""Disparity statistics of rates of groups: gaps, ratios, gap to the best group, index of disparity; what each is blind to.

Rates are shares of members with the good outcome (higher is better). Absolute gaps, log ratios and log-odds gaps are reference
less group, so that above zero the group is behind and a fall narrows. Ratios stand the usual way round, group over reference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from p4equity.disparity.panel import Array
from p4equity.errors import UsageError

GRID = 801  # points of the numerical integral for an expected maximum
WIDE = 9.0  # standard errors beyond which a normal density is nothing
NO_ORDER = "groups without an order have no ranks: another order of the same groups would give another number"


@dataclass(frozen=True)
class Ratios:
    """Group over reference, of success and of failure: one alone can tell the opposite of the other, so they come together."""

    success: Array
    failure: Array


def absolute_gap(reference: ArrayLike, group: ArrayLike) -> Array:
    """Rate of the reference group less that of the group; above zero the group is behind."""
    return np.asarray(np.asarray(reference, float) - np.asarray(group, float))


def ratios(reference: ArrayLike, group: ArrayLike) -> Ratios:
    """Ratio of success r_g / r_ref (below 1: behind) and of failure (1 - r_g) / (1 - r_ref) (above 1: behind).

    From 60 and 50% to 90 and 80% the ratio of success nears 1 (0.83 to 0.89) while that of failure leaves it (1.25 to 2).
    Infinite where the reference group has a rate of 0 (success) or 1 (failure).
    """
    r, g = np.asarray(reference, float), np.asarray(group, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Ratios(np.asarray(g / r), np.asarray((1 - g) / (1 - r)))


def log_odds_gap(reference: ArrayLike, group: ArrayLike) -> Array:
    """logit r_ref - logit r_g: the log odds ratio; failure gives the same with the other sign. Infinite at rates of 0 and 1."""
    r, g = np.asarray(reference, float), np.asarray(group, float)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(r) - np.log1p(-r) - np.log(g) + np.log1p(-g))


def weighted_mean_gap(reference: ArrayLike, rates: ArrayLike, weights: ArrayLike) -> Array:
    """(...) weighted mean of reference less group, signed. reference: (...); rates, weights: (..., G) of the compared groups."""
    gaps = absolute_gap(np.asarray(reference, float)[..., None], rates)
    return np.asarray((gaps * _shares(weights)).sum(axis=-1))


def index_of_disparity(reference: ArrayLike, rates: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """(...) percent: weighted mean of abs(r_g - r_ref) over r_ref; without weights each group counts the same.

    Blind to direction, and too high where rates are noisy (an absolute value has no mean of zero). Source: Pearcy and Keppel
    (2002), Public Health Reports 117:273, with the reference group as the reference point.
    """
    r, g = np.asarray(reference, float), np.asarray(rates, float)
    share = _shares(np.ones(g.shape[-1]) if weights is None else weights)
    return np.asarray(100 * (share * np.abs(g - r[..., None])).sum(axis=-1) / r)


def worst_group_rate(rates: ArrayLike) -> Array:
    """(...) rate of the group that is worst off: no fall of another group can raise it. Too low where rates are noisy."""
    return np.asarray(np.asarray(rates, float).min(axis=-1))


def gap_to_best(rates: ArrayLike, variances: ArrayLike | None = None) -> Array:
    """(..., G) gap of every group to the best one of its own row, 0 for that one.

    The largest of several noisy rates is too high on average: with equal true rates and G groups by E[max] of G standard normals
    (1.03 for four) times a rate's standard error. With `variances` (..., G) of independent rates the excess is estimated by a
    parametric bootstrap, in closed form: the expected maximum of normals around the rates less the largest of them. That takes
    off about two fifths of the bias where true rates are equal and all of it where one leads, and hardly overshoots; shrinking
    the rates first takes off more at equal rates and overshoots by half a standard error where one leads a little. No
    correction from the same rates is unbiased; for changes take the group that all systems together name (`named_group`).
    """
    r = np.asarray(rates, float)
    gap = r.max(axis=-1, keepdims=True) - r
    if variances is None:
        return np.asarray(gap)
    v = np.broadcast_to(np.asarray(variances, float), r.shape)
    return np.asarray(gap - excess_of_largest(r, v)[..., None])


def excess_of_largest(means: ArrayLike, variances: ArrayLike) -> Array:
    """(...) E[max] of independent normals less the largest of their means. means, variances: (..., G); a variance of 0: known."""
    m, s = np.asarray(means, float), np.sqrt(np.asarray(variances, float))
    m, s = np.broadcast_arrays(m, s)
    top = m.max(axis=-1)
    high = (m + WIDE * s).max(axis=-1)
    x = np.linspace((m - WIDE * s).max(axis=-1), high, GRID, axis=-1)
    off, sd = x[..., None, :] - m[..., None], s[..., None]
    step = np.where(off < 0, -np.inf, np.inf)  # a known value is passed at once
    below = np.prod(stats.norm.cdf(np.divide(off, sd, out=step, where=sd > 0)), axis=-2)
    return np.asarray(high - np.trapezoid(below, x, axis=-1) - top)


def named_group(den: ArrayLike, num: ArrayLike, *, worst: bool = False) -> int:
    """Position of the best (or worst) group over all systems together. den, num: (S, G) of the baseline years.

    One yardstick for every system and year. What naming by noisy rates does to a group's baseline is the same in each system on
    average, whatever its size (the covariance of its noise with that of the whole is sigma^2 / N in all): a comparison of
    systems' changes in the gap to it is unbiased, which one with every system's own best group is not. Groups without members
    are never named; raises UsageError where none has any.
    """
    n, x = np.asarray(den, float).sum(axis=0), np.asarray(num, float).sum(axis=0)
    if not np.any(n > 0):
        raise UsageError("no group to name", expected="members of one group at least in the baseline years", found=n.tolist())
    rate = np.divide(x, n, out=np.full(n.shape, np.inf if worst else -np.inf), where=n > 0)
    return int(rate.argmin() if worst else rate.argmax())


def slope_index(rates: ArrayLike, weights: ArrayLike, *, ordered: bool) -> float:
    """Slope of the rate over mid-ranks, from the lowest to the highest of ordered groups. rates, weights: (G,), in order.

    Source: Mackenbach and Kunst (1997), Social Science and Medicine 44:757. Raises UsageError for groups without an order.
    """
    r, w, rank = _ranked(rates, weights, ordered)
    centred = rank - (w * rank).sum()
    return float((w * centred * r).sum() / (w * centred**2).sum())


def concentration_index(rates: ArrayLike, weights: ArrayLike, *, ordered: bool) -> float:
    """2 cov(rate, mid-rank) / mean rate over ordered groups, -1 to 1; above 0 the higher ranks have more.

    Source: Kakwani, Wagstaff and van Doorslaer (1997), Journal of Econometrics 77:87. Raises UsageError without an order.
    """
    r, w, rank = _ranked(rates, weights, ordered)
    mean = (w * r).sum()
    return float(2 * (w * (r - mean) * (rank - (w * rank).sum())).sum() / mean)


def _ranked(rates: ArrayLike, weights: ArrayLike, ordered: bool) -> tuple[Array, Array, Array]:
    if not ordered:
        raise UsageError(
            "a rank-based index of groups without an order", expected="ordered groups, such as fifths of area deprivation",
            found=NO_ORDER, fix="take the between-group variance or the Theil index, which need no order",
        )  # fmt: skip
    w = _shares(weights)
    return np.asarray(rates, float), w, np.asarray(np.cumsum(w) - w / 2)


def _shares(weights: ArrayLike) -> Array:
    w = np.asarray(weights, float)
    total = w.sum(axis=-1, keepdims=True)
    if not (np.all(w >= 0) and np.all(total > 0)):
        raise UsageError("weights of groups give no mean", expected="weights of at least 0, one above", found=w.tolist())
    return np.asarray(w / total)
