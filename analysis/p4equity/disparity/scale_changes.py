"""Changes of systems on any scale of disparity, from baseline to contract years, with their sampling covariance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.changes import Changes, contrast
from p4equity.disparity.panel import Array, Panel, rate_covariance
from p4equity.disparity.scales import Scale

SIGNS = np.array([-1.0, 1.0])  # of the window before and of the window after
TOO_SMALL = "no baseline or no contract year reaches the minimum denominator"
AT_THE_EDGE = "a rate of 0 or 100 percent in a window has no value on this scale"
NO_COMPARISON = "no comparison system has these years"


@dataclass(frozen=True)
class Asked:
    """One series: a measure, the groups whose rates it takes, and the scale's weights of them in each system (S, G).

    A group of weight 0 is not looked at.
    """

    measure: str
    groups: tuple[str, ...]
    weights: Array
    label: str = "pooled"


@dataclass
class _Series:
    """Rates and sampling covariances of one series' groups, and the scale's values on windows of years, made once each."""

    panel: Panel
    scale: Scale
    asked: Asked
    minimum: float
    compared: NDArray[np.int64]
    values: dict[tuple[int, bytes], float] = field(default_factory=dict)
    centres: dict[bytes, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = [self.panel.index(self.asked.measure, g) for g in self.asked.groups]
        self.rate = np.nan_to_num(self.panel.rate[:, columns])
        large = self.panel.den[:, columns] >= max(self.minimum, 1)
        unused = np.asarray(self.asked.weights)[:, :, None] == 0
        self.enough: NDArray[np.bool_] = np.asarray((large | unused).all(axis=1))

    def covariance(self, s: int) -> Array:
        """(G, T, T) of the groups' yearly rates; groups share no members."""
        return np.array([rate_covariance(self.panel, s, g, self.asked.measure, self.asked.measure) for g in self.asked.groups])

    def value(self, s: int, window: Array) -> float:
        """The scale at the mean rates of a window (T,), less half its curvature times their variances; NaN where it has none."""
        key = (s, window.tobytes())
        if key not in self.values:
            rates = self.rate[s] @ window
            found = np.nan
            if self.scale.has(rates) and not np.any((window > 0) & ~self.enough[s]):
                shape = self.scale.shape(rates, self.asked.weights[s])
                noise = np.einsum("t,gtu,u->g", window, self.covariance(s), window)
                found = shape.value - float(np.diag(shape.curvature) @ noise) / 2
            self.values[key] = found
        return self.values[key]

    def centre(self, window: Array) -> float:
        """Mean value of the comparison systems that have all years of a window; NaN without one."""
        key = window.tobytes()
        if key not in self.centres:
            found = np.array([self.value(int(c), window) for c in self.compared])
            found = found[np.isfinite(found)]
            self.centres[key] = float(np.mean(found)) if len(found) else np.nan
        return self.centres[key]


def scale_changes(
    panel: Panel,
    scale: Scale,
    series: Sequence[Asked],
    windows: Mapping[str, tuple[Sequence[int], Sequence[int]]],
    comparison: Sequence[str],
    minimum: float,
) -> Changes:
    """Change of every system on a scale: its value at the mean rates of the contract years less that at those of the baseline.

    Windows are averaged before the scale is applied, since bent scales are the more biased the noisier a rate. `gap` holds the
    changes in units of the scale (reference and group are empty), centred on the mean change of the comparison systems over the
    same years; on the linear scale all is as in `gap_changes`. windows, comparison, minimum: as there; a year counts where
    every group of the series reaches the minimum.
    """
    S, J, T = len(panel.systems), len(series), len(panel.years)
    contrasts, change = np.full((S, J, T), np.nan), np.full((S, J), np.nan)
    covariance = np.zeros((S, J, J))
    compared = np.flatnonzero(np.isin(panel.systems, list(comparison)))
    made = [_Series(panel, scale, asked, minimum, compared) for asked in series]
    dropped: list[tuple[str, str, str, str]] = []
    for s, system in enumerate(panel.systems):
        slopes: dict[int, tuple[Array, Array]] = {}
        for j, one in enumerate(made):
            weights = contrast(panel.years, *windows[system], one.enough[s])
            reason = TOO_SMALL if weights is None else None
            if weights is not None:
                change[s, j], reason = _change(one, s, weights)
            if weights is None or reason is not None:
                dropped.append((system, one.asked.measure, one.asked.label, str(reason)))
                continue
            contrasts[s, j] = weights
            slopes[j] = _slopes(one, s, _both(weights))
        covariance[s] = _covariance(panel, s, series, slopes, contrasts[s])
    empty = np.full_like(change, np.nan)
    none = np.zeros_like(covariance)
    names = tuple((a.measure, a.label) for a in series)
    return Changes(panel.systems, names, change, empty, empty, covariance, none, none, contrasts, tuple(dropped))


class Levels(NamedTuple):
    """(S,) values on a scale, their sampling variances, and the values as observed, with what sampling adds."""

    value: Array
    variance: Array
    observed: Array


def scale_levels(panel: Panel, scale: Scale, asked: Asked, years: Sequence[int], minimum: float) -> Levels:
    """Each system's value on a scale at its mean rates over these years; NaN without one.

    All years are needed. The value is free of the bias that curvature and noise add to the second order; units are the scale's.
    """
    one = _Series(panel, scale, asked, minimum, np.zeros(0, np.int64))
    window = np.isin(panel.years, list(years)) / len(years)
    values = np.array([one.value(s, window) for s in range(len(panel.systems))])
    variances, observed = np.full(len(values), np.nan), np.full(len(values), np.nan)
    for s in np.flatnonzero(np.isfinite(values)):
        observed[s] = scale.shape(one.rate[s] @ window, asked.weights[s]).value
        (slope,), added = _slopes(one, int(s), window[None], np.ones(1))
        noise = np.einsum("t,gtu,u->g", window, one.covariance(int(s)), window)
        variances[s] = max(float(slope**2 @ noise) - float(added), float(added))
    return Levels(values, variances, observed)


def _both(weights: Array) -> Array:
    """(2, T) windows before and after of a contrast, each summing to 1."""
    return np.stack([np.maximum(-weights, 0.0), np.maximum(weights, 0.0)])


def _change(one: _Series, s: int, weights: Array) -> tuple[float, str | None]:
    """The centred change of one system, or the reason why there is none."""
    before, after = _both(weights)
    own = one.value(s, after) - one.value(s, before)
    if not np.isfinite(own):
        return np.nan, AT_THE_EDGE
    common = one.centre(after) - one.centre(before)
    return own - common, None if np.isfinite(common) else NO_COMPARISON


def _slopes(one: _Series, s: int, windows: Array, signs: Array = SIGNS) -> tuple[Array, Array]:
    """(W, G) slope in the groups' mean rates of W windows that enter with these signs, and the variance that curvature adds."""
    shapes = [one.scale.shape(one.rate[s] @ w, one.asked.weights[s]) for w in windows]
    noise = np.einsum("at,gtu,bu->gab", windows, one.covariance(s), windows)
    bent = np.array([sign * shape.curvature for sign, shape in zip(signs, shapes, strict=True)])
    added = np.einsum("agk,kab,bkg,gba->", bent, noise, bent, noise) / 2
    return np.array([sign * shape.slope for sign, shape in zip(signs, shapes, strict=True)]), np.asarray(added)


def _covariance(
    panel: Panel, s: int, series: Sequence[Asked], slopes: Mapping[int, tuple[Array, Array]], contrasts: Array
) -> Array:
    """(J, J) sampling covariance of one system's changes.

    Var f(x) = slope' V slope + tr(H V H V) / 2 for normal rates, H the curvature. A slope at noisy rates makes the first term too
    large by twice the second on average; so the second is taken off, and the variance is never less than it. Correlations are
    those of the first term.
    """
    found = np.zeros((len(series), len(series)))
    for j, (slope_1, _) in slopes.items():
        for k, (slope_2, _) in slopes.items():
            if k > j:
                continue
            one, two = series[j], series[k]
            first, second = _both(contrasts[j]), _both(contrasts[k])
            for g, group in enumerate(one.groups):
                if group in two.groups:
                    own = first @ rate_covariance(panel, s, group, one.measure, two.measure) @ second.T
                    found[j, k] += slope_1[:, g] @ own @ slope_2[:, two.groups.index(group)]
            found[k, j] = found[j, k]
    shrink, variance = np.zeros(len(series)), np.zeros(len(series))
    for j, (_, added) in slopes.items():
        plain = found[j, j]
        variance[j] = max(plain - float(added), float(added))
        shrink[j] = np.sqrt(variance[j] / plain) if plain > 0 else 0.0
    found *= np.outer(shrink, shrink)
    np.fill_diagonal(found, variance)
    return found
