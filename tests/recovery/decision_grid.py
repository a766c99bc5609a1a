"""The grid on which the primary decision is judged, and a second implementation of the averaged t test, fast over many draws."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from p4equity.inference import averaged_t as prior
from scipy import stats

Array = NDArray[np.float64]
PRE, POST, YEARS = (0, 2, 3), (4, 5, 6), 7  # the second year stands apart
CONTRAST = np.array([(t in POST) / 3 - (t in PRE) / 3 for t in range(YEARS)])
PERSISTENCE = 0.5
MEDIAN_ERROR = 1.5  # points: standard error of a change in a system of median size


@dataclass(frozen=True)
class Setting:
    """One cell of the grid. shock: SD of system-year shocks in points. stated: stated over true sampling variance."""

    systems: int
    treated: int
    which: str
    shock: float
    tails: str = "normal"
    growing: bool = False
    stated: float = 1.0
    effect_sd: float = 0.0


def grid() -> list[Setting]:
    """Numbers of systems and treated, who is treated, and each departure in turn."""
    out = []
    for systems in (12, 20):
        for treated in (5, 3, 2):
            for which in ("largest", "mixed", "smallest"):
                base = (systems, treated, which)
                out += [Setting(*base, shock) for shock in (0.0, 0.75, 1.5, 2.5)]
                out += [Setting(*base, 1.5, tails="t3"), Setting(*base, 1.5, growing=True)]
                out += [Setting(*base, shock, stated=s) for shock in (0.0, 0.75) for s in (0.5, 2.0)]
                out += [Setting(*base, shock, effect_sd=s) for shock in (0.0, 1.5) for s in (1.0, 2.0)]
    return out


@dataclass(frozen=True)
class Draws:
    """y, v (stated), truth (true variances), each (R, n); arm (R, n)."""

    y: Array
    arm: NDArray[np.bool_]
    v: Array
    truth: Array

    def moved(self, multiple: float) -> Draws:
        """The same with an effect of so many standard errors of the best estimate."""
        w = 1 / self.truth
        error = np.sqrt(1 / (w * self.arm).sum(1) + 1 / (w * ~self.arm).sum(1))
        return Draws(self.y + multiple * error[:, None] * self.arm, self.arm, self.v, self.truth)


def draws(s: Setting, count: int, seed: int) -> Draws:
    """Changes of systems whose sizes are drawn anew each time (log-normal, 0.9); no effect on average."""
    rng = np.random.default_rng(seed)
    size = np.exp(0.9 * rng.standard_normal((count, s.systems)))
    order = np.argsort(-size, axis=1)
    spread = np.linspace(0, s.systems - 1, s.treated + 2)[1:-1].round().astype(int)
    pick = {"largest": slice(0, s.treated), "smallest": slice(-s.treated, None), "mixed": spread}[s.which]
    arm = np.zeros(size.shape, bool)
    np.put_along_axis(arm, order[:, pick], True, axis=1)
    v = MEDIAN_ERROR**2 / size
    y = _shock_sizes(s, v) * (_shocks(rng, size.shape, s.tails) @ CONTRAST) + np.sqrt(v) * rng.standard_normal(size.shape)
    if s.effect_sd:
        y = y + arm * s.effect_sd * rng.standard_normal(size.shape)
    return Draws(y, arm, v * s.stated, variances(s, v * s.stated, arm))


def variances(s: Setting, stated: Array, arm: NDArray[np.bool_]) -> Array:
    """(R, n) true variances of changes whose stated sampling variances are these, if this is the setting."""
    v = stated / s.stated
    lags = np.abs(np.subtract.outer(np.arange(YEARS), np.arange(YEARS)))
    return np.asarray(v + _shock_sizes(s, v) ** 2 * float(CONTRAST @ PERSISTENCE**lags @ CONTRAST) + arm * s.effect_sd**2)


def _shock_sizes(s: Setting, v: Array) -> Array:
    """(R, n) standard deviations of the shocks of a year."""
    size = MEDIAN_ERROR**2 / v
    return np.asarray(s.shock * (np.sqrt(size / np.exp(0.405)) if s.growing else np.ones_like(size)))


def _shocks(rng: np.random.Generator, shape: tuple[int, ...], tails: str) -> Array:
    """(R, n, years) autoregressive shocks of variance one."""

    def innovation() -> Array:
        return rng.standard_normal(shape) if tails == "normal" else rng.standard_t(3, shape) / np.sqrt(3)

    out = np.zeros((*shape, YEARS))
    out[..., 0] = innovation()
    for t in range(1, YEARS):
        out[..., t] = PERSISTENCE * out[..., t - 1] + np.sqrt(1 - PERSISTENCE**2) * innovation()
    return out


def _difference(y: Array, w: Array, arm: NDArray[np.bool_]) -> tuple[Array, Array, Array, Array]:
    """Weighted difference of means, 1 over the product of the arms' weights' sums, its variance, residual sum of squares."""
    total = [(w * a).sum(1) for a in (arm, ~arm)]
    means = [(w * a * y).sum(1) / t for a, t in zip((arm, ~arm), total, strict=True)]
    rest = y - np.where(arm, means[0][:, None], means[1][:, None])
    return means[0] - means[1], total[0] * total[1], 1 / total[0] + 1 / total[1], (w * rest**2).sum(1)


def averaged_p(y: Array, arm: NDArray[np.bool_], v: Array, varying: bool = False) -> Array:
    """(R,) p values of the averaged t test, pattern by pattern over all draws at once."""
    n = y.shape[1]
    size = np.exp(np.log(v).mean(1, keepdims=True))
    shapes = [(v / size + beyond * (size / v) ** growth, p) for beyond, growth, p in prior.SHAPES]
    logs, tails = [], []
    for shape, p in shapes:
        for ratio, q in prior.RATIO_VARYING if varying else prior.RATIO:
            w = 1 / (shape * np.where(arm, np.exp(ratio), 1.0))
            b, product, variance, rest = _difference(y, w, arm)
            logs.append(np.log(p * q) + (np.log(w).sum(1) - np.log(product) - (n - 2) * np.log(rest)) / 2)
            tails.append(stats.t.cdf(-b / np.sqrt(variance * rest / (n - 2)), n - 2))
    log = np.array(logs)
    weight = np.exp(log - log.max(0))
    low = (weight * np.array(tails)).sum(0) / weight.sum(0)
    return np.asarray(np.minimum(2 * np.minimum(low, 1 - low), 1.0))


def oracle_p(d: Draws) -> Array:
    """(R,) p values of one who knows every variance: the normal test of the best weighted difference."""
    b, _, variance, _ = _difference(d.y, 1 / d.truth, d.arm)
    return np.asarray(2 * stats.norm.sf(np.abs(b) / np.sqrt(variance)))


def _root(y: Array, v: Array, arm: NDArray[np.bool_] | None, steps: int = 60) -> Array:
    """(R,) Paule and Mandel's variance by bisection, with (arm) or without a difference between arms."""
    n = y.shape[1]
    free = n - (1 if arm is None else 2)

    def q(tau2: Array) -> Array:
        w = 1 / (v + tau2[:, None])
        if arm is None:
            return np.asarray((w * (y - ((w * y).sum(1) / w.sum(1))[:, None]) ** 2).sum(1))
        return _difference(y, w, arm)[3]

    low, high = np.zeros(len(y)), 4 * y.var(1) + v.max(1)
    above = q(low) > free
    while (far := q(high) > free).any():
        high = np.where(far, 4 * high, high)
    for _ in range(steps):
        middle = (low + high) / 2
        more = q(middle) > free
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return np.where(above, (low + high) / 2, 0.0)


def knapp_hartung_p(d: Draws) -> Array:
    """(R,) p values of the random-effects regression as registered: scale held at one with fewer than three treated."""
    n = d.y.shape[1]
    w = 1 / (d.v + _root(d.y, d.v, d.arm)[:, None])
    b, _, variance, rest = _difference(d.y, w, d.arm)
    scale = rest / (n - 2)
    if d.arm[0].sum() < 3:
        scale = np.maximum(scale, 1.0)
    return np.asarray(2 * stats.t.sf(np.abs(b) / np.sqrt(scale * variance), n - 2))


def permutation_p(d: Draws, most: int = 2000, block: int = 500) -> Array:
    """(R,) p values of the permutation of the null-standardized difference; a random part of the assignments where many."""
    n, k = d.y.shape[1], int(d.arm[0].sum())
    picks = list(combinations(range(n), k))
    table = np.zeros((len(picks), n))
    for row, pick in zip(table, picks, strict=True):
        row[list(pick)] = 1.0
    if len(table) > most:
        table = table[np.random.default_rng(1).choice(len(table), most, replace=False)]
    w = 1 / (d.v + _root(d.y, d.v, None)[:, None])
    out = np.empty(len(d.y))
    for start in range(0, len(out), block):
        rows = slice(start, start + block)
        weight, value = w[rows], w[rows] * d.y[rows]
        total, whole = weight.sum(1), value.sum(1)

        def statistic(a: Array, b: Array, total: Array = total, whole: Array = whole) -> Array:
            return np.asarray(np.abs(b / a - (whole - b) / (total - a)) / np.sqrt(1 / a + 1 / (total - a)))

        own = statistic((weight * d.arm[rows]).sum(1), (value * d.arm[rows]).sum(1))
        out[rows] = (statistic(table @ weight.T, table @ value.T) >= own * (1 - 1e-9)).mean(0)
    return out
