"""Unit and time weights of synthetic difference-in-differences: ridge regressions on the simplex, many problems at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
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


def frank_wolfe(
    A: Array,
    target: Array,
    start: Array,
    ridge: float,
    decrease: float,
    limit: int,
    *,
    intercept: bool,
    rows: Array,
    copies: Array,
) -> Array:
    """(B, k) weights x >= 0 that sum to 1 and nearly minimize, in each problem, |A x - target|^2 / n + ridge^2 |x|^2.

    A: (n, k) shared; target, rows: (B, n), rows counting how often a row enters (n = their sum); start, copies: (B, k),
    copies of a column, none where it may get no weight (copies share a weight equally, and so its penalty). intercept:
    A x - target about its mean. Each step goes toward the best vertex with exact line search; a problem ends with the step that
    lowers its objective by no more than `decrease`, or after `limit` steps: the stopping rule of the authors' program, whose
    answer need not be the minimum where the ridge is small.
    """
    out, active = start.copy(), np.arange(len(start))
    total = rows.sum(axis=1)
    share, eta = rows / total[:, None], total * ridge**2
    once = np.divide(1.0, copies, out=np.zeros_like(copies), where=copies > 0)
    closed = np.where(copies > 0, 0.0, np.inf)
    level = A.mean(axis=1)  # taken out of both sides: weights that sum to 1 do not see it, rounding does
    A, target = A - level[:, None], target - level
    if intercept:
        A = A - A.mean(axis=0)

    def about(e: Array) -> Array:
        return e - np.einsum("bn,bn->b", share, e)[:, None] if intercept else e

    x, last = start.copy(), np.full(len(start), np.inf)
    fitted, length = x @ A.T, np.einsum("bk,bk,bk->b", once, x, x)
    error = about(fitted - target)
    for step in range(1, limit + 1):
        each = np.arange(len(x))
        gradient = (rows * error) @ A + (eta[:, None] * once) * x
        best = np.argmin(gradient + closed, axis=1)
        change = about(A.T[best] - fitted)
        ridge_part = eta * (once[each, best] * (1 - 2 * x[each, best]) + length)
        curvature = np.einsum("bn,bn,bn->b", rows, change, change) + ridge_part
        slope = np.einsum("bk,bk->b", gradient, x) - gradient[each, best]
        ahead = np.divide(slope, curvature, out=np.zeros_like(slope), where=curvature > 0)
        ahead = np.minimum(np.maximum(ahead, 0.0), 1.0)
        x = x * (1 - ahead)[:, None]
        x[each, best] += ahead
        fitted, length = x @ A.T, np.einsum("bk,bk,bk->b", once, x, x)
        error = about(fitted - target)
        value = ridge**2 * length + np.einsum("bn,bn,bn->b", share, error, error)
        goes_on = (last - value > decrease) | (step < 2)
        last = value
        if not goes_on.all():
            out[active[~goes_on]] = x[~goes_on]
            active, x, fitted, error, length, last, target = (
                v[goes_on] for v in (active, x, fitted, error, length, last, target)
            )
            rows, share, eta, once, closed = (v[goes_on] for v in (rows, share, eta, once, closed))
            if not len(active):
                return out
    out[active] = x
    return out


def sparse(x: Array, copies: Array) -> Array:
    """(B, k) weights without those of a quarter of the largest or less, made to sum to 1 again."""
    each = np.divide(x, copies, out=np.zeros_like(x), where=copies > 0)
    kept = np.where(each <= each.max(axis=1, keepdims=True) / 4, 0.0, x)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def simplex_weights(
    A: Array, target: Array, start: Array, ridge: float, decrease: float, *, intercept: bool, rows: Array, copies: Array
) -> Array:
    """(B, k) weights: some steps, then sparse weights, then steps to the end from there; see `frank_wolfe`."""
    size = max(1, CELLS // max(A.shape))
    parts = []
    for low in range(0, len(start), size):
        here = slice(low, low + size)
        b, r, c = target[here], rows[here], copies[here]
        first = frank_wolfe(A, b, start[here], ridge, decrease, FIRST, intercept=intercept, rows=r, copies=c)
        parts.append(frank_wolfe(A, b, sparse(first, c), ridge, decrease, LIMIT, intercept=intercept, rows=r, copies=c))
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
    unit_start = normalized(unit * controls, controls)
    units = simplex_weights(
        before.T, target, unit_start, penalty.unit, penalty.decrease, intercept=method == "sdid", rows=every, copies=controls
    )
    if method == "sc":
        return units, np.zeros((size, n_before))
    after = np.broadcast_to(Y[:, n_before:].mean(axis=1), controls.shape)
    time_start = normalized(time * every, every)
    times = simplex_weights(
        before, after, time_start, penalty.time, penalty.decrease, intercept=True, rows=controls, copies=every
    )
    return units, times


def effect_curves(Y: Array, n_before: int, units: Array, times: Array, treated: Array) -> Array:
    """(B, m, T - n_before) effects by period after treatment: treated mean less synthetic, less the same before treatment.

    Y: (m, N, T) outcomes that share the weights. The before difference is the time-weighted mean (none for synthetic control,
    whose time weights are 0).
    """
    contrast = treated / np.maximum(treated.sum(axis=1, keepdims=True), 1.0) - units
    gap = np.einsum("bn,mnt->bmt", contrast, Y)
    return np.asarray(gap[:, :, n_before:] - np.einsum("bmt,bt->bm", gap[:, :, :n_before], times)[:, :, None])
