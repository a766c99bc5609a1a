"""One, two or few treated units among comparison units: Conley and Taber's, and Ferman and Pinto's, reference distributions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p4equity.errors import UsageError
from p4equity.inference.permutation import TIE

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
LIMIT = 1_000_000  # draws enumerated; beyond, that many are drawn


@dataclass(frozen=True)
class Loads:
    """How variances enter an estimate sum of w_i y_i with units' variances a + b s_i (s_i such as 1 / size).

    W: (J, N) what comparison unit l would add at the dates and weights of treated unit j. c: (J,) sum of squared weights
    of j; x: (J, N) and own (J,), sum of squared weights times s of l, and of j itself. other_c, other_x: (N,) the same of
    the comparison units at their own weights. shares: (N,) weights of the comparison mean, summing to 1.
    """

    W: Array
    c: Array
    x: Array
    own: Array
    other_c: Array
    other_x: Array
    shares: Array


@dataclass(frozen=True)
class FewTreatedResult:
    """p_value: share of draws at least as large in size as the estimate, which counts as one of them.

    conf_low, conf_high: effects not rejected, infinite where the attainable p exceeds alpha. p_attainable: 1 / (1 + draws).
    slope: (J,) share of the variance that falls with size, at the treated units; NaN where sizes are not used.
    """

    estimate: float
    p_value: float
    conf_low: float
    conf_high: float
    p_attainable: float
    n_draws: int
    sampled: bool
    monte_carlo_error: float
    slope: Array


def of_changes(y: Array, treated: Flags, sizes: Array, weights: Array | None = None) -> tuple[float, Loads]:
    """Estimate and loads of a (weighted) difference in mean change. y, sizes (s of each unit), weights: (n,)."""
    w = np.ones(len(y)) if weights is None else weights
    a, b = w[treated] / w[treated].sum(), w[~treated] / w[~treated].sum()
    estimate = float(a @ y[treated] - b @ y[~treated])
    squares, s0 = a**2, sizes[~treated]
    loads = Loads(np.outer(a, y[~treated]), squares, np.outer(squares, s0), squares * sizes[treated], b**2, b**2 * s0, b)
    return estimate, loads


def conley_taber(
    estimate: float, loads: Loads, *, conf_level: float = 0.95, limit: int = LIMIT, seed: int = 0
) -> FewTreatedResult:
    """Is the estimate larger than comparison units' own movements at the treated units' dates would make it?

    Draws give each treated unit the residual of one comparison unit, with replacement: all N^J of them, or `limit` random
    ones. Two changes for few comparison units, which vanish as N grows: residuals and draws are scaled to the variance
    of the estimate, and the estimate counts as one of the draws, so that p is never 0. Valid when all units are equally
    noisy. Simulated with 12 comparison units, log-normal sizes (sd 0.9) and between-unit variance of none to most: at a
    nominal 5% two treated units of typical size reject a true null 6% of the time, the two largest 1 to 5%, the two
    smallest 19 to 31%; one treated unit cannot reach 5% with fewer than 19 comparison units, and at 10% rejects 5 to 6%,
    1 to 5% and 20 to 32%. Source: Conley and Taber (2011), Review of Economics and Statistics 93:1.
    """
    ones, zeros = np.ones(len(loads.c)), np.zeros(len(loads.c))
    return _test(estimate, loads, ones, zeros, conf_level, limit, seed, np.full(len(ones), np.nan))


def ferman_pinto(
    estimate: float,
    loads: Loads,
    *,
    between: float | None = None,
    conf_level: float = 0.95,
    limit: int = LIMIT,
    seed: int = 0,
) -> FewTreatedResult:
    """Conley and Taber's test with residuals rescaled to the variance that a unit of the treated one's size has.

    Var = a + b s with s = 1 / size: a, b >= 0 by least squares of squared residuals of the comparison units, once a
    treated unit; or, where sampling variances s are known, a = `between` (variance beyond sampling) and b = 1. In the
    simulation described at `conley_taber` two treated units reject a true null 7 to 8% of the time at 5% when typical, 5
    to 11% when the largest, 11 to 17% when the smallest, for a and b come from 12 residuals; with known sampling
    variances 6 to 11% throughout. One treated unit rejects at 10% 8%, 5 to 12%, 13 to 19%, and 5 to 12% with known
    variances. Source: Ferman and Pinto (2019), Review of Economics and Statistics 101:3.
    """
    if between is not None:
        a, b = np.full(len(loads.c), between), np.ones(len(loads.c))
    else:
        a, b = _size_model(loads)
    own = a * loads.c + b * loads.own
    return _test(
        estimate, loads, a, b, conf_level, limit, seed, np.divide(b * loads.own, own, out=np.zeros_like(own), where=own > 0)
    )


def residuals(loads: Loads) -> Array:
    """(J, N) movements of comparison units less their mean."""
    return np.asarray(loads.W - (loads.W @ loads.shares)[:, None])


def _residual_loads(loads: Loads) -> tuple[Array, Array]:
    """(J, N) constant and size loads of each residual's variance, the comparison mean's own error included."""
    b = loads.shares
    c = loads.c[:, None] * (1 - 2 * b + float(b @ b))[None, :]
    x = loads.x * (1 - 2 * b) + (loads.x @ b**2)[:, None]
    return c, x


def _size_model(loads: Loads) -> tuple[Array, Array]:
    """(J,) a and b of Var = a + b s, from squared residuals at each treated unit's dates; neither below 0."""
    squares = residuals(loads) ** 2
    out = []
    for q, c, x in zip(squares, *_residual_loads(loads), strict=True):
        X = np.column_stack([c, x])
        scale = np.sqrt((X**2).sum(axis=0))
        a, b = np.linalg.lstsq(X / scale, q, rcond=1e-8)[0] / scale
        if np.ptp(x / c) <= 1e-9 * float((x / c).max()) or b < 0:  # sizes do not differ, or noise does not fall with them
            a, b = float(c @ q / (c @ c)), 0.0
        elif a < 0:
            a, b = 0.0, float(x @ q / (x @ x))
        out.append((a, b))
    return np.array([a for a, _ in out]), np.array([b for _, b in out])


def _test(
    estimate: float, loads: Loads, a: Array, b: Array, conf_level: float, limit: int, seed: int, slope: Array
) -> FewTreatedResult:
    """p and interval from draws of residuals, each rescaled from its own model variance to the treated unit's."""
    if loads.W.shape[1] < 2:
        raise UsageError("a comparison of residuals needs two comparison units", expected=">= 2", found=loads.W.shape[1])
    c, x = _residual_loads(loads)
    own = a * loads.c + b * loads.own
    spread = np.sqrt(a[:, None] * c + b[:, None] * x)
    everything = own.sum() + float(a.mean() * loads.other_c.sum() + b.mean() * loads.other_x.sum())
    if not (spread > 0).all() or not own.sum() > 0:
        raise UsageError("no variation among comparison units")
    pieces = residuals(loads) / spread * np.sqrt(own)[:, None] * np.sqrt(everything / own.sum())
    size, sampled = np.abs(_draws(pieces, limit, seed)), pieces.shape[1] ** len(pieces) > limit
    p = float((1 + np.count_nonzero(size >= abs(estimate) * (1 - TIE))) / (1 + len(size)))
    # Effects within the m-th largest draw of the estimate are not rejected.
    m = int(np.floor((1 - conf_level) * (1 + len(size)) * (1 + TIE)))
    half = float(np.partition(size, len(size) - m)[len(size) - m]) if m else float("inf")
    error = float(np.sqrt(p * (1 - p) / len(size))) if sampled else 0.0
    floor = 1 / (1 + len(size))
    return FewTreatedResult(estimate, p, estimate - half, estimate + half, floor, len(size), sampled, error, slope)


def _draws(pieces: Array, limit: int, seed: int) -> Array:
    """Sums over treated units (J, N) of one comparison unit's piece each: all N^J, or `limit` random ones."""
    J, N = pieces.shape
    if limit < N**J:
        rng = np.random.default_rng(seed)
        # Comparison units in the order of their pieces, treated units in that of theirs: names do not matter.
        ordered = np.sort(pieces, axis=1)
        return np.asarray(sum(row[rng.integers(0, N, limit)] for row in ordered[np.lexsort(ordered.T[::-1])]))
    out = np.zeros(1)
    for row in pieces:
        out = (out[:, None] + row[None, :]).ravel()
    return out
