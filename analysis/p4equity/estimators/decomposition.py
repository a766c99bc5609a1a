"""Two-way estimate of a balanced panel taken apart into comparisons of two timing groups, on arrays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from p4equity.estimators.base import Array, Flags

TREATED_UNTREATED = "treated_vs_untreated"
EARLIER_LATER = "earlier_vs_later"
LATER_EARLIER = "later_vs_earlier"
LATER_ALWAYS = "later_vs_always"
BOTH_TREATED = "both_treated"
WITHIN = "within_cohorts"


@dataclass(frozen=True)
class Comparison:
    """One part. kind: see the constants. treated, other: numbers of the timing groups (NaN: never treated; -inf: treated
    throughout); both NaN for the part within groups. estimates: (m,) of each outcome. weight: share, or for comparisons beside
    a part within groups share of all comparisons."""

    kind: str
    treated: float
    other: float
    estimates: Array
    weight: float


@dataclass(frozen=True)
class Balanced:
    """A balanced panel. Y: (units, periods, m). starts: (units,) first treated period, NaN for never, -inf for throughout. times:
    (periods,). weights: (units,) constant over time. X: (units, periods, c)."""

    Y: Array
    starts: Array
    times: Array
    weights: Array
    X: Array

    @property
    def treatment(self) -> Array:
        """(units, periods) 1 from the first treated period on."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.times[None, :] >= self.starts[:, None], float)

    def groups(self) -> list[tuple[float, Array]]:
        """Timing groups with their units: treated throughout first, then by date, never treated last."""
        found = sorted({float(s) for s in self.starts if not np.isnan(s)})
        out = [(s, np.asarray(self.starts == s, float)) for s in found]
        return [*out, (float("nan"), np.isnan(self.starts).astype(float))] if np.isnan(self.starts).any() else out


def without_covariates(panel: Balanced) -> list[Comparison]:
    """Goodman-Bacon's two-by-two comparisons: their weights sum to 1, and weights times estimates to the two-way estimate.

    With n the sums of unit weights and D the shares of periods treated, a weight is proportional to n_k n_U D_k (1 - D_k)
    against never treated units or units treated throughout, n_k n_l (D_k - D_l) (1 - D_k) for an earlier cohort k against a
    later one l before l starts, and n_k n_l D_l (D_k - D_l) for l against k after k has started. Source: Goodman-Bacon
    (2021), theorem 1.
    """
    groups, parts = panel.groups(), []
    n = {start: float(units @ panel.weights) for start, units in groups}
    path = {start: np.einsum("u,utm->tm", units * panel.weights, panel.Y) / n[start] for start, units in groups}
    share = {start: float(np.mean(panel.times >= start)) for start, _ in groups}
    times = panel.times
    for (k, _), (later, _) in combinations(groups, 2):
        size = n[k] * n[later]
        if np.isnan(later):
            if np.isinf(k):
                continue  # neither ever changes
            weight = size * share[k] * (1 - share[k])
            parts.append((TREATED_UNTREATED, k, later, _change(path[k], path[later], times >= k, times < k), weight))
            continue
        late = times >= later
        if np.isinf(k):
            weight = size * share[later] * (1 - share[later])
            parts.append((LATER_ALWAYS, later, k, _change(path[later], path[k], late, ~late), weight))
            continue
        between = (times >= k) & ~late
        if not between.any():
            continue  # no period is seen in which only the earlier one is treated
        first = _change(path[k], path[later], between, times < k)
        second = _change(path[later], path[k], late, between)
        parts.append((EARLIER_LATER, k, later, first, size * (share[k] - share[later]) * (1 - share[k])))
        parts.append((LATER_EARLIER, later, k, second, size * share[later] * (share[k] - share[later])))
    total = sum(weight for *_, weight in parts)
    return [Comparison(kind, a, b, estimates, weight / total) for kind, a, b, estimates, weight in parts]


def _change(treated: Array, other: Array, after: Flags, before: Flags) -> Array:
    """(m,) change of the treated path beyond that of the other."""
    difference = treated - other
    return np.asarray(difference[after].mean(axis=0) - difference[before].mean(axis=0))


def with_covariates(panel: Balanced) -> list[Comparison]:
    """The part within timing groups, with its share Omega of the variance of adjusted treatment, and one comparison a pair of
    groups, whose weights sum to 1: the two-way estimate is Omega x within + (1 - Omega) x the weighted sum.

    Treatment less its prediction by effects and covariates, d, varies within timing groups (units beside their group) and
    between them; the part between splits into pairs, as any weighted covariance of group means does: weights proportional
    to n_k n_l sum over t of (d_kt - d_lt)^2, estimates the covariance of (y_kt - y_lt) with (d_kt - d_lt) over it. Source:
    Goodman-Bacon (2021), section 5.2.
    """
    w = panel.weights
    d = panel.treatment
    if panel.X.shape[2]:
        columns = np.stack([two_way(panel.X[:, :, [j]], w)[:, :, 0].ravel() for j in range(panel.X.shape[2])], axis=1)
        root = np.sqrt(np.repeat(w, len(panel.times)))
        y = two_way(d[:, :, None], w)[:, :, 0].ravel()
        slopes = np.linalg.lstsq(root[:, None] * columns, root * y, rcond=1e-10)[0]
        d = (y - columns @ slopes).reshape(d.shape)
    else:
        d = two_way(d[:, :, None], w)[:, :, 0]
    groups = panel.groups()
    n = {start: float(units @ w) for start, units in groups}
    mean = {start: (units * w) @ d / n[start] for start, units in groups}
    path = {start: np.einsum("u,utm->tm", units * w, panel.Y) / n[start] for start, units in groups}
    between = sum(units[:, None] * (mean[start] - mean[start].mean())[None, :] for start, units in groups)
    inside = d - between
    total, within = float((w[:, None] * d**2).sum()), float((w[:, None] * inside**2).sum())
    if total <= 1e-12 * float(w.sum()) * len(panel.times):
        return []  # effects and covariates leave nothing of treatment
    omega = within / total
    own = np.einsum("ut,utm->m", w[:, None] * inside, panel.Y) / within if omega > 1e-12 else np.full(panel.Y.shape[2], np.nan)
    parts = []
    for (k, _), (later, _) in combinations(groups, 2):
        gap, rise = mean[k] - mean[later], path[k] - path[later]
        gap = gap - gap.mean()
        square = float(gap @ gap)
        kind = TREATED_UNTREATED if np.isnan(later) else LATER_ALWAYS if np.isinf(k) else BOTH_TREATED
        a, b = (later, k) if kind == LATER_ALWAYS else (k, later)
        if square > 1e-14 * total:
            parts.append((kind, a, b, np.asarray(gap @ rise / square), n[k] * n[later] * square))
    scale = sum(weight for *_, weight in parts)
    out = [Comparison(WITHIN, float("nan"), float("nan"), np.asarray(own), omega)]
    return out + [Comparison(kind, a, b, estimates, weight / scale) for kind, a, b, estimates, weight in parts]


def two_way(values: Array, weights: Array) -> Array:
    """(units, periods, m) values less unit and period effects of a balanced panel with unit weights."""
    unit = values.mean(axis=1, keepdims=True)
    period = np.einsum("u,utm->tm", weights, values)[None] / weights.sum()
    return np.asarray(values - unit - period + period.mean(axis=1, keepdims=True))
