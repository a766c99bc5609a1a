"""Rates of groups from race and ethnicity probabilities: the weighted estimator, the regression on probabilities, their errors.

For a member with probability p_g of group g and result y: weighted rate = sum p_g y / sum p_g; regression ("linear") rates
solve (sum p p') r = sum p y, least squares without a constant, since a member's probabilities add up to 1. With calibrated
probabilities and class B (Chen et al. 2019; Elzayn et al. 2023), for one group against all others,

    weighted difference - true = - E[cov(y, B | p)] / var(B)      linear difference - true = E[cov(y, p | B)] / var(p)

Where the result follows one's own group (given p) in the same direction as it follows p (given the group), weighted and linear
lie on both sides of the truth: weighted = linear x corr(p, B)^2 is the one nearer zero. The conditions are about levels: nothing
makes a *change* lie between a change of the one and a change of the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEAST_SHARE = 1e-6  # an eigenvalue of sum p p' below this share of the largest: the groups cannot be told apart


@dataclass(frozen=True)
class RaceSums:
    """Sums over members: p and p_num (..., G), p_p (..., G, G). Any leading axes: systems, measures, years."""

    p: Array
    p_num: Array
    p_p: Array

    def over(self, axis: int | tuple[int, ...]) -> RaceSums:
        """Summed over leading axes."""
        return RaceSums(self.p.sum(axis=axis), self.p_num.sum(axis=axis), self.p_p.sum(axis=axis))


def sums_of(p: Array, y: Array) -> RaceSums:
    """The sums of members with probabilities (n, G) and results (n,): for simulations; data come as sums."""
    return RaceSums(p.sum(axis=0), p.T @ y, p.T @ p)


def weighted_rates(sums: RaceSums) -> Array:
    """(..., G) probability-weighted rates; NaN where a group has no weight."""
    return np.asarray(np.divide(sums.p_num, sums.p, out=np.full(np.shape(sums.p), np.nan), where=sums.p > 0))


def argmax_rates(p: Array, y: Array) -> Array:
    """(G,) rates of classes: each member counts in the group of the largest probability. p: (n, G), y: (n,). NaN in an empty one.

    For simulations: it overstates a gap where results follow what the probabilities predict, and understates it where they follow
    one's own group.
    """
    return weighted_rates(sums_of(np.eye(p.shape[1])[p.argmax(axis=1)], y))


def linear_rates(sums: RaceSums) -> Array:
    """(..., G) coefficients of the regression on probabilities; NaN where they do not tell all groups apart.

    They are not confined to 0 to 1: beyond lies what members of a group would have if the line held that far.
    """
    inverse = _inverse(sums.p_p)
    rates = (np.nan_to_num(inverse) @ sums.p_num[..., None])[..., 0]
    return np.asarray(np.where(np.isnan(np.diagonal(inverse, axis1=-2, axis2=-1)), np.nan, rates))


def weighted_spread(sums: RaceSums) -> Array:
    """(..., G, G) sampling covariance of the weighted rates for results of variance 1: sum p p' over (sum p)(sum p')."""
    product = sums.p[..., :, None] * sums.p[..., None, :]
    return np.divide(sums.p_p, product, out=np.zeros(np.shape(sums.p_p)), where=product > 0)


def linear_spread(sums: RaceSums) -> Array:
    """(..., G, G) sampling covariance of the regression's rates for results of variance 1: the inverse of sum p p'."""
    return _inverse(sums.p_p)


def squared_correlation(sums: RaceSums) -> Array:
    """(..., G) squared correlation of a group's probability with membership, if the probabilities are calibrated:
    var(p) / (mean p x (1 - mean p)). It is the share of a difference between members and all others that weighting keeps.
    """
    n = sums.p.sum(axis=-1, keepdims=True)
    mean = np.divide(sums.p, n, out=np.full(np.shape(sums.p), np.nan), where=n > 0)
    square = np.diagonal(sums.p_p, axis1=-2, axis2=-1) / np.where(n > 0, n, np.nan)
    binary = mean * (1 - mean)
    return np.asarray(np.divide(square - mean**2, binary, out=np.full(np.shape(mean), np.nan), where=binary > 0))


def _inverse(p_p: Array) -> Array:
    """(..., G, G) inverses of symmetric matrices, scaled by their diagonals. NaN where one is singular, and for groups that no
    member has a probability of, which the others do without.
    """
    size = np.sqrt(np.maximum(np.diagonal(p_p, axis1=-2, axis2=-1), 0.0))
    some = size > 0
    unit = np.where(some, size, 1.0)
    scaled = p_p / (unit[..., :, None] * unit[..., None, :]) + np.eye(size.shape[-1]) * ~some[..., None, :]
    values, vectors = np.linalg.eigh(scaled)
    sound = (values[..., 0] > LEAST_SHARE * values[..., -1])[..., None] & some
    safe = np.where(sound.any(axis=-1, keepdims=True), values, 1.0)
    inverse = (vectors / safe[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    inverse = inverse / (unit[..., :, None] * unit[..., None, :])
    return np.asarray(np.where(sound[..., :, None] & sound[..., None, :], inverse, np.nan))


def gap_and_error(rates: Array, spread: Array, reference: int, group: int) -> tuple[Array, Array]:
    """Gap reference - group and its sampling error from rates (..., G) and spreads for variance 1.

    A group's results are taken to have the variance r (1 - r) of its own rate, two groups' the geometric mean: exact for one
    variance and for probabilities of 0 and 1. Robust errors need fourth moments of p (regression) or sum p^2 y (weighted); with
    rates of 0.3 to 0.8 they differ by a few percent.
    """
    variance = (spread * _deviations(rates))[..., [[reference], [group]], [[reference, group]]]
    contrast = np.array([1.0, -1.0])
    gap = rates[..., reference] - rates[..., group]
    return np.asarray(gap), np.sqrt(np.einsum("i,...ij,j->...", contrast, variance, contrast))


def deviations(rates: Array) -> Array:
    """Standard deviation of one member's result around its group's rate, for a rate that may lie outside 0 to 1."""
    inside = np.clip(rates, 0.01, 0.99)
    return np.sqrt(inside * (1 - inside))


def _deviations(rates: Array) -> Array:
    one = deviations(rates)
    return np.asarray(one[..., :, None] * one[..., None, :])
