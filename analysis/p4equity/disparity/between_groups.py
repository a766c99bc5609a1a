"""Inequality over all groups at once: between-group variance without its sampling term, Theil's index and its split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlogy

from p4equity.disparity.panel import Array
from p4equity.errors import UsageError


@dataclass(frozen=True)
class Spread:
    """Between-group variance as observed, the part that sampling alone is expected to add, and what is left; units squared.

    `corrected` can be below zero, as it must for its mean to be zero where all groups have the same rate.
    """

    observed: Array
    sampling: Array

    @property
    def corrected(self) -> Array:
        """Observed less sampling: unbiased."""
        return self.observed - self.sampling


@dataclass(frozen=True)
class Split:
    """An index over groups of classes (such as systems): within classes, between them; they add to the total."""

    within: float
    between: float

    @property
    def total(self) -> float:
        """The index over all groups."""
        return self.within + self.between


def between_group_variance(den: ArrayLike, num: ArrayLike, weights: ArrayLike | None = None) -> Spread:
    """sum_g w_g (r_g - sum w r)^2 of binomial counts, and its exact sampling term sum_g w_g (1 - w_g) Var(r_g).

    den, num: (..., G) counts, unequal sizes allowed. weights: (..., G); those of the denominators when left out. Var(r_g) is
    estimated without bias by r (1 - r) / (n - 1), so the corrected variance is unbiased for any sizes of two or more.
    """
    n, x = np.asarray(den, float), np.asarray(num, float)
    if np.any(n < 2):
        raise UsageError("a group is too small for a sampling variance", expected="denominators of 2 or more", found=n.tolist())
    w = _shares(n if weights is None else np.asarray(weights, float))
    r = x / n
    mean = (w * r).sum(axis=-1, keepdims=True)
    sampling = (w * (1 - w) * r * (1 - r) / (n - 1)).sum(axis=-1)
    return Spread(np.asarray((w * (r - mean) ** 2).sum(axis=-1)), np.asarray(sampling))


def spurious_variance(rate: ArrayLike, members: ArrayLike, groups: int) -> Array:
    """(G - 1) p (1 - p) / N: the between-group variance that N members in G groups of equal rate p show on average.

    The sampling term above for weights of the denominators: sum w_g (1 - w_g) p (1 - p) / (N w_g). Larger in smaller systems, so
    uncorrected variances of systems of different size cannot be compared.
    """
    p, n = np.asarray(rate, float), np.asarray(members, float)
    return np.asarray((groups - 1) * p * (1 - p) / n)


def implied_rate(spread: float, members: float, groups: int) -> float:
    """The rate of at least one half at which N members in G groups of equal rates show this standard deviation (a share)."""
    half = 0.25 - spread**2 * members / (groups - 1)
    if half < 0:
        raise UsageError("no rate gives that much", expected="spread^2 N / (G - 1) of at most 1/4", found=round(0.25 - half, 4))
    return 0.5 + float(np.sqrt(half))


def theil(rates: ArrayLike, weights: ArrayLike) -> Array:
    """(...) Theil's T: sum_g w_g (r_g / r) ln(r_g / r), r the weighted mean; 0 where all rates are equal. rates: (..., G)."""
    r, w = np.asarray(rates, float), _shares(np.asarray(weights, float))
    relative = r / (w * r).sum(axis=-1, keepdims=True)
    return np.asarray((w * xlogy(relative, relative)).sum(axis=-1))


def mean_log_deviation(rates: ArrayLike, weights: ArrayLike) -> Array:
    """(...) sum_g w_g ln(r / r_g), more sensitive to the worst off than Theil's T; infinite where a rate is 0."""
    r, w = np.asarray(rates, float), _shares(np.asarray(weights, float))
    mean = (w * r).sum(axis=-1)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(mean) - (w * np.log(r)).sum(axis=-1))


def theil_split(rates: ArrayLike, weights: ArrayLike) -> Split:
    """Theil's T over groups of classes. rates, weights: (C, G). Classes within count by their share of all successes.

    A class without members takes no part, whatever its rates; nor does a group without members in a class.
    """
    r, w, share, mean, overall = _classes(rates, weights)
    success = share * mean / overall
    between = float((share * xlogy(mean / overall, mean / overall)).sum())
    return Split(float((success * theil(r, w)).sum()), between)


def log_deviation_split(rates: ArrayLike, weights: ArrayLike) -> Split:
    """Mean log deviation over groups of classes. rates, weights: (C, G). Classes count by their share of members.

    A class without members takes no part, whatever its rates; nor does a group without members in a class.
    """
    r, w, share, mean, overall = _classes(rates, weights)
    return Split(float((share * mean_log_deviation(r, w)).sum()), float((share * np.log(overall / mean)).sum()))


def _classes(rates: ArrayLike, weights: ArrayLike) -> tuple[Array, Array, Array, Array, float]:
    r, w = np.asarray(rates, float), np.asarray(weights, float)
    known = w.sum(axis=1) > 0
    r, w = r[known], _shares(w.ravel()).reshape(w.shape)[known]
    r = np.where(w > 0, r, r[w > 0].mean())  # of nobody: any rate will do
    share = w.sum(axis=1)
    mean = (w * r).sum(axis=1) / share
    return r, w, share, mean, float((share * mean).sum())


def _shares(weights: Array) -> Array:
    total = weights.sum(axis=-1, keepdims=True)
    if not (np.all(weights >= 0) and np.all(total > 0)):
        raise UsageError("weights of groups give no mean", expected="weights of at least 0, one above", found=weights.tolist())
    return np.asarray(weights / total)
