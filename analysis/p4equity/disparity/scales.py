"""The scales on which a disparity can be asked about: each a smooth function of the rates of a system's groups.

One function gives value, slope and curvature at any rates, so that one engine takes changes of all of them to the second order:
the curvature times the sampling variance is taken off each value (exactly for the between-group variance, which is quadratic),
and enters the sampling variance of its change. Every scale but the rate of the worst group grows with the disparity: a negative
effect narrows, on each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from p4equity.disparity.panel import Array


class Shape(NamedTuple):
    """Value (), slope (G,) and curvature (G, G) of a scale at the rates of G groups."""

    value: float
    slope: Array
    curvature: Array


@dataclass(frozen=True)
class Scale:
    """A scale: `shape(rates, weights)` with rates (G,) as shares and weights (G,), whose meaning is the scale's own.

    factor: from the scale's own units to those of the report, named by `unit`. inside: rates of 0 and 1 have no value.
    """

    shape: Callable[[Array, Array], Shape]
    factor: float
    unit: str
    inside: bool = False

    def has(self, rates: Array) -> bool:
        """Whether there is a value at these rates."""
        return bool(np.all(np.isfinite(rates)) and (not self.inside or np.all((rates > 0) & (rates < 1))))


def _diagonal(values: Array) -> Array:
    return np.asarray(np.diag(values))


def _linear(r: Array, w: Array) -> Shape:
    """sum w r: a gap where weights are 1 for one group and shares of -1 for others; a rate where they are 1 for one group."""
    return Shape(float(w @ r), w, np.zeros((len(r), len(r))))


def _log_success(r: Array, w: Array) -> Shape:
    """sum w ln r."""
    return Shape(float(w @ np.log(r)), w / r, _diagonal(-w / r**2))


def _log_failure(r: Array, w: Array) -> Shape:
    """- sum w ln(1 - r)."""
    q = 1 - r
    return Shape(float(-w @ np.log(q)), w / q, _diagonal(w / q**2))


def _log_odds(r: Array, w: Array) -> Shape:
    """sum w logit r."""
    v = r * (1 - r)
    return Shape(float(w @ (np.log(r) - np.log1p(-r))), w / v, _diagonal(w * (2 * r - 1) / v**2))


def _variance(r: Array, w: Array) -> Shape:
    """sum w (r - sum w r)^2, weights summing to 1."""
    form = _diagonal(w) - np.outer(w, w)
    return Shape(float(r @ form @ r), 2 * form @ r, 2 * form)


def _theil(r: Array, w: Array) -> Shape:
    """sum w (r / m) ln(r / m), m = sum w r, weights summing to 1."""
    mean, log = float(w @ r), np.log(r)
    total = float(w @ (r * log))
    curvature = _diagonal(w / (r * mean)) + np.outer(w, w) * (2 * total / mean**3 - (log[:, None] + log + 1) / mean**2)
    return Shape(total / mean - float(np.log(mean)), w / mean * (log - total / mean), curvature)


def _log_deviation(r: Array, w: Array) -> Shape:
    """ln m - sum w ln r, m = sum w r, weights summing to 1."""
    mean = float(w @ r)
    return Shape(float(np.log(mean) - w @ np.log(r)), w / mean - w / r, _diagonal(w / r**2) - np.outer(w, w) / mean**2)


POINTS = 100.0
LINEAR = Scale(_linear, POINTS, "percentage points")
LOG_SUCCESS = Scale(_log_success, 1.0, "log ratio of success rates (reference / group)", inside=True)
LOG_FAILURE = Scale(_log_failure, 1.0, "log ratio of failure rates (group / reference)", inside=True)
LOG_ODDS = Scale(_log_odds, 1.0, "log odds (reference less group)", inside=True)
VARIANCE = Scale(_variance, POINTS**2, "percentage points squared")
THEIL = Scale(_theil, 1000.0, "thousandths of Theil's index", inside=True)
LOG_DEVIATION = Scale(_log_deviation, 1000.0, "thousandths of the mean log deviation", inside=True)
