"""Unit and time weights of synthetic difference-in-differences: ridge regressions on the simplex, many problems at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
METHODS = ("sdid", "sc", "did")  # synthetic difference-in-differences, synthetic control, plain difference-in-differences
FIRST, LIMIT = 100, 10_000  # steps before weights are made sparse, and after
SMALL = 1e-6  # ridge of the time weights, and of synthetic control, in units of the noise
STOP = 1e-5  # a step that lowers the root of the objective by less, in units of the noise, is the last one
CELLS = 2_000_000  # problems x weights solved at once


@dataclass(frozen=True)
class Penalties:
    """Of one treated block: noise (outcome units), ridge of unit and of time weights, and the least decrease of a step."""

    noise: float
    unit: float
    time: float
    decrease: float


def penalties(before: Array, n_treated: int, n_after: int, method: str) -> Penalties:
    """Regularization from comparison units' outcomes before treatment (N0, T0).

    noise = standard deviation of their first differences; unit = (N_tr T_post)^(1/4) noise for sdid, 1e-6 noise for sc;
    time = 1e-6 noise. Source: Arkhangelsky, Athey, Hirshberg, Imbens and Wager (2021), Algorithm 1; their program for 1e-6.
    """
    differences = np.diff(before, axis=1)
    with np.errstate(over="ignore"):
        noise = float(np.std(differences, ddof=1)) if differences.size > 1 else 0.0
    unit = (n_treated * n_after) ** 0.25 if method == "sdid" else SMALL
    return Penalties(noise, unit * noise, SMALL * noise, (STOP * min(noise, 1e150)) ** 2)


@dataclass(frozen=True)
class Problems:
    """B problems with one matrix: weights x >= 0 that sum to 1 and minimize |A x - target|^2 / n + ridge^2 |x|^2.

    A: (n, k). target, rows: (B, n), rows counting how often a row enters (n = their sum). copies: (B, k), of a column, none
    where it may get no weight; copies share a weight equally, and so its penalty. intercept: A x - target about its mean.
    """

    A: Array
    target: Array
    rows: Array
    copies: Array
    ridge: float
    intercept: bool

    def take(self, keep: Flags | slice) -> Problems:
        """Some of the problems."""
        return replace(self, target=self.target[keep], rows=self.rows[keep], copies=self.copies[keep])

    def level(self) -> Problems:
        """The same problems without the level of each row, which weights that sum to 1 do not see, but rounding does."""
        level = self.A.mean(axis=1)
        A = self.A - level[:, None]
        return replace(self, A=A - A.mean(axis=0) if self.intercept else A, target=self.target - level)

    def about(self, e: Array, total: Array) -> Array:
        """(B, n) errors about their mean where there is an intercept. total: (B,) sums of rows."""
        if not self.intercept:
            return e
        return np.asarray(e - (np.einsum("bn,bn->b", self.rows, e) / total)[:, None])


def frank_wolfe(problems: Problems, start: Array, decrease: float, limit: int) -> Array:
    """(B, k) weights that nearly solve the problems, from start (B, k).

    Each step goes toward the best vertex with exact line search; a problem ends with the step that lowers its objective by no
    more than `decrease`, or after `limit` steps: the stopping rule of the authors' program, whose answer need not be the
    minimum where the ridge is small.
    """
    out, active, p = start.copy(), np.arange(len(start)), problems.level()
    x, last, fresh, ridge = start, np.full(len(start), np.inf), True, p.ridge**2
    for step in range(1, limit + 1):
        if fresh:  # the problems that are left
            each, total, counted = np.arange(len(x)), p.rows.sum(axis=1), bool((p.rows != 1).any())
            once = np.divide(1.0, p.copies, out=np.zeros_like(p.copies), where=p.copies > 0)
            closed, eta = np.where(p.copies > 0, 0.0, np.inf), total * ridge
            share, some = eta[:, None] * once, bool(closed.any())
            fitted, length = x @ p.A.T, np.einsum("bk,bk,bk->b", once, x, x)
            error = p.about(fitted - p.target, total)
        gradient = (p.rows * error if counted else error) @ p.A + share * x
        best = (gradient + closed if some else gradient).argmin(axis=1)
        change = p.about(p.A.T[best] - fitted, total)
        curvature = np.einsum("bn,bn,bn->b", p.rows, change, change)
        curvature += eta * (once[each, best] * (1 - 2 * x[each, best]) + length)
        slope = np.einsum("bk,bk->b", gradient, x) - gradient[each, best]
        ahead = np.divide(slope, curvature, out=np.zeros_like(slope), where=curvature > 0)
        ahead = np.minimum(np.maximum(ahead, 0.0), 1.0)
        x = x * (1 - ahead)[:, None]
        x[each, best] += ahead
        fitted, length = x @ p.A.T, np.einsum("bk,bk,bk->b", once, x, x)
        error = p.about(fitted - p.target, total)
        value = ridge * length + np.einsum("bn,bn,bn->b", p.rows, error, error) / total
        goes_on = (last - value > decrease) | (step < 2)
        last, fresh = value, not goes_on.all()
        if fresh:
            out[active[~goes_on]] = x[~goes_on]
            active, x, last, p = active[goes_on], x[goes_on], last[goes_on], p.take(goes_on)
        if not len(active):
            break
    out[active] = x
    return out


def sparse(x: Array, copies: Array) -> Array:
    """(B, k) weights without those of a quarter of the largest or less, made to sum to 1 again."""
    each = np.divide(x, copies, out=np.zeros_like(x), where=copies > 0)
    kept = np.where(each <= each.max(axis=1, keepdims=True) / 4, 0.0, x)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def simplex_weights(problems: Problems, start: Array, decrease: float) -> Array:
    """(B, k) weights: some steps, then sparse weights, then steps to the end from there; see `frank_wolfe`."""
    size = max(1, CELLS // max(problems.A.shape))
    parts = []
    for low in range(0, len(start), size):
        part = problems.take(slice(low, low + size))
        first = frank_wolfe(part, start[low : low + size], decrease, FIRST)
        parts.append(frank_wolfe(part, sparse(first, part.copies), decrease, LIMIT))
    return np.concatenate(parts)


def normalized(x: Array, otherwise: Array) -> Array:
    """(B, N) x made to sum to 1; where it is all zero, `otherwise` made to sum to 1."""
    x = np.where(x.sum(axis=1, keepdims=True) > 0, x, otherwise)
    return np.asarray(x / x.sum(axis=1, keepdims=True))


def synthetic_weights(
    Y: Array, n_before: int, controls: Array, treated: Array, penalty: Penalties, method: str, start: tuple[Array, Array] | None
) -> tuple[Array, Array]:
    """Unit weights (B, N) and time weights (B, n_before) of B problems on one panel.

    Y: (N, T), the first n_before periods before treatment. controls, treated: (B, N) how often a unit stands in each arm. start:
    unit (N,) and time (n_before,) weights to start from; equal ones without. sdid: unit weights that follow the treated mean
    before treatment, time weights that predict comparison units' mean after it, both up to a constant (Arkhangelsky et al. 2021,
    Algorithm 1); sc: unit weights without the constant, no time weights; did: equal weights.
    """
    size, before = len(controls), Y[:, :n_before]
    every = np.ones((size, n_before))
    unit, time = (np.ones(Y.shape[0]), np.ones(n_before)) if start is None else start
    if method == "did":
        return normalized(controls, controls), every / n_before
    target = treated @ before / treated.sum(axis=1, keepdims=True)
    problems = Problems(before.T, target, every, controls, penalty.unit, method == "sdid")
    units = simplex_weights(problems, normalized(unit * controls, controls), penalty.decrease)
    if method == "sc":
        return units, np.zeros((size, n_before))
    after = np.broadcast_to(Y[:, n_before:].mean(axis=1), controls.shape)
    problems = Problems(before, after, controls, every, penalty.time, True)
    return units, simplex_weights(problems, normalized(time * every, every), penalty.decrease)


def effect_curves(Y: Array, n_before: int, units: Array, times: Array, treated: Array) -> Array:
    """(B, m, T - n_before) effects by period after treatment: treated mean less synthetic, less the same before treatment.

    Y: (m, N, T) outcomes that share the weights. The before difference is the time-weighted mean (none for synthetic control,
    whose time weights are 0).
    """
    contrast = treated / np.maximum(treated.sum(axis=1, keepdims=True), 1.0) - units
    gap = np.einsum("bn,mnt->bmt", contrast, Y)
    return np.asarray(gap[:, :, n_before:] - np.einsum("bmt,bt->bm", gap[:, :, :n_before], times)[:, :, None])
