"""Which hypothesized values fit: the conditional test and its hybrid with the least favorable critical value.

Source: Andrews, Roth and Pakes (2023); Rambachan and Roth (2023), section 3. The hybrid rejects at once when the largest
functional exceeds the critical value of size kappa under which all moments bind; otherwise it compares it with the
quantile of a normal truncated to the values for which the same functional stays the largest, at size
(alpha - kappa) / (1 - kappa).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri, ndtri_exp

from p4equity.inference.sensitivity.restrictions import Functionals
from p4equity.symmetric import symmetric_root

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
DRAWS = 1000  # R HonestDiD's number of draws behind the least favorable critical value
DEGENERATE = 1e-12  # a functional with a variance below this has none


def accepted(functionals: Functionals, theta: Array, *, alpha: float, kappa: float | None) -> Flags:
    """(G,) whether each value of theta (G,) fits. kappa: size of the hybrid's first stage; None: the conditional test alone."""
    C = functionals.covariance
    values = functionals.level[:, None] - functionals.slope[:, None] * theta
    best = values.argmax(axis=0)
    eta = values[best, np.arange(len(theta))]
    least = least_favorable(functionals, kappa) if kappa else np.inf
    size = (alpha - kappa) / (1 - kappa) if kappa else alpha
    # R's test without nuisance parameters does not truncate at the first stage's critical value (slightly wider sets).
    cap = least if functionals.nuisance else np.inf
    out = np.zeros(len(theta), bool)
    for v in np.unique(best):
        here = best == v
        out[here] = _stays(values[:, here], C, int(v), size, cap)
    return np.asarray(out & (eta <= least))


def _stays(values: Array, C: Array, v: int, size: float, cap: float) -> Flags:
    """Second stage for the values of theta at which functional v is the largest."""
    eta, variance = values[v], float(C[v, v])
    if variance < DEGENERATE:
        return np.asarray(eta <= 1e-10)
    share = C[:, v] / variance  # how each functional moves with v
    rest = values - share[:, None] * eta
    gap = 1 - share
    above, below = gap > 1e-10, gap < -1e-10
    crossing = rest / np.where(above | below, gap, 1.0)[:, None]
    low = crossing[above].max(axis=0, initial=-np.inf)
    high = np.minimum(crossing[below].min(axis=0, initial=np.inf), cap)
    sd = np.sqrt(variance)
    critical = np.maximum(0.0, truncated_normal_quantile(1 - size, np.minimum(low, eta) / sd, np.maximum(high, eta) / sd))
    return np.asarray(eta / sd <= critical)


def truncated_normal_quantile(p: float, low: Array, high: Array) -> Array:
    """Quantile of a standard normal between low and high, on the log scale of the nearer tail."""
    flip = low > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    share = np.where(flip, 1 - p, p)
    with np.errstate(divide="ignore"):
        logs = np.logaddexp(np.log1p(-share) + log_ndtr(a), np.log(share) + log_ndtr(b))
    q = np.where(logs < 0, ndtri_exp(np.minimum(logs, -1e-300)), np.inf)
    return np.asarray(np.where(flip, -q, q))


def least_favorable(functionals: Functionals, kappa: float) -> float:
    """Quantile 1 - kappa of the largest functional when every moment binds, from R's own draws (see `r_normals`)."""
    m = len(functionals.rows_covariance)
    root = symmetric_root(functionals.rows_covariance)
    largest = (r_normals(DRAWS * m).reshape(DRAWS, m) @ (root @ functionals.vertices.T)).max(axis=1)
    return float(np.quantile(largest, 1 - kappa))


@lru_cache(maxsize=16)
def r_normals(size: int, seed: int = 0) -> Array:
    """R's `set.seed(seed); rnorm(size)`: Mersenne twister with R's seeding, inversion of two uniforms.

    The least favorable critical value of HonestDiD rests on 1,000 such draws and is itself uncertain by 0.15; with the
    same draws it is the same.
    """
    state, x = [], seed
    for step in range(50 + 625):
        x = (69069 * x + 1) % 2**32
        if step >= 50:
            state.append(x)
    twister = np.random.MT19937()
    twister.state = {"bit_generator": "MT19937", "state": {"key": np.array(state[1:], np.uint32), "pos": 624}}
    uniform = twister.random_raw(2 * size) * 2.3283064365386963e-10
    big = 134217728.0
    return np.asarray(ndtri((np.floor(big * uniform[0::2]) + uniform[1::2]) / big))
