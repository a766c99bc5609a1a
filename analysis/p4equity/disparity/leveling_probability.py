"""How probable each kind of narrowing is after the data, for a reader equally unsure of both effects before."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.leveling import Region, Span, regions

Array = NDArray[np.float64]
Density = Callable[[Array, Array], Array]
FAR = 8.0  # standard deviations of the prior beyond which nothing is left
STEPS = np.array([0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0])  # standard errors around the estimate, ends of panels
NO_GAIN = "a narrowing without any gain"
NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)


def posterior(estimate: Array, covariance: Array, df: float, prior_sd: float, margin: float) -> dict[str, float]:
    """Probability of each kind of narrowing given both effects' estimates (reference, group).

    The kinds are those of `leveling.regions`, which share no pair of effects; what is left of one is the probability that the
    gap does not narrow, or by less than the margin without a fall. Beside them, under `NO_GAIN`, that of a narrowing in which
    the group does not gain at all: leveling down with a margin of zero.

    Prior: both effects independent normal with mean zero and `prior_sd` points. Likelihood: the law behind Hotelling's region, a
    bivariate t with df - 1 degrees of freedom and the scale covariance * df / (df - 1): few clusters make its tails heavy, so
    that an estimate far out counts for less than under a normal law. Integrated on panels of Gauss and Legendre's rule; the sum
    over the whole plane is the divisor.
    """
    scale = np.linalg.inv(covariance * df / (df - 1))

    def density(x: Array, y: Array) -> Array:
        dx, dy = x - estimate[0], y - estimate[1]
        square = scale[0, 0] * dx**2 + 2 * scale[0, 1] * dx * dy + scale[1, 1] * dy**2
        prior = -(x**2 + y**2) / (2 * prior_sd**2)
        return np.asarray(np.exp(prior - (df + 1) / 2 * np.log1p(square / (df - 1))))

    errors = np.sqrt(np.diag(covariance))
    cuts = [np.concatenate([e - STEPS * s, [e], e + STEPS * s]) for e, s in zip(estimate, errors, strict=True)]
    return _shares(density, cuts[0], cuts[1], prior_sd, margin)


def prior(prior_sd: float, margin: float) -> dict[str, float]:
    """The same before the data."""

    def density(x: Array, y: Array) -> Array:
        return np.asarray(np.exp(-(x**2 + y**2) / (2 * prior_sd**2)))

    none = np.empty(0)
    return _shares(density, none, none, prior_sd, margin)


def _shares(density: Density, cuts_x: Array, cuts_y: Array, sd: float, margin: float) -> dict[str, float]:
    even = np.linspace(-FAR * sd, FAR * sd, 33)
    bends = [-margin, 0.0, margin]
    x, y = (np.unique(np.clip([*even, *bends, *cuts], even[0], even[-1])) for cuts in (cuts_x, cuts_y))
    low, high = even[0], even[-1]

    def mass(region: Region, narrows: bool = True) -> float:
        left, right, bottom, top = (
            float(np.clip(end, low, high)) for side in (region.reference, region.group) for end in (side.low, side.high)
        )
        upward = (lambda v: np.clip(v, bottom, top)) if narrows else (lambda v: np.full_like(v, bottom))
        return _integral(density, np.unique(np.clip(x, left, right)), y, upward, lambda v: np.full_like(v, top))

    every = Span(-math.inf, math.inf)
    kinds = {kind: mass(region) for kind, region in regions(margin).items()}
    whole = max(mass(Region(every, every), narrows=False), sum(kinds.values()))  # parts have panels of their own
    below = Span(-math.inf, 0.0)
    return {kind: min(found / whole, 1.0) for kind, found in (kinds | {NO_GAIN: mass(Region(below, below))}).items()}


def _integral(density: Density, x: Array, y: Array, bottom: Callable[[Array], Array], top: Callable[[Array], Array]) -> float:
    """Over x between its ends and y between two functions of x; kinks of the density and of the bounds are ends of panels."""
    at, weight = _panels(x)
    ends = np.clip(y[None, :], bottom(at)[:, None], top(at)[:, None])
    half = np.diff(ends, axis=1) / 2
    middle = (ends[:, 1:] + ends[:, :-1]) / 2
    inner = middle[..., None] + half[..., None] * NODES
    values = density(at[:, None, None], inner) * half[..., None] * WEIGHTS
    return float(weight @ values.sum(axis=(1, 2)))


def _panels(ends: Array) -> tuple[Array, Array]:
    half, middle = np.diff(ends) / 2, (ends[1:] + ends[:-1]) / 2
    return (middle[:, None] + half[:, None] * NODES).ravel(), (half[:, None] * WEIGHTS).ravel()
