"""Propensity of treatment: a weighted logit by Newton's method, with the reasons why it cannot be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from p4equity.estimators.base import Array, Flags

OVERLAP = 0.999  # an unweighted propensity this large: the 2x2 has no comparison (did's rule)
TRIMMED = 0.995  # comparison units with a propensity this large get no weight (DRDID's rule)
LARGEST = 1 - 1e-6  # propensities are held below it (DRDID's rule)
STEPS = 50
RANK = 1e-8  # columns whose independent part is smaller than this share of their size are collinear
NO_OVERLAP = "no overlap: the covariates predict treatment almost perfectly, with a propensity of 0.999 or more"
COLLINEAR = "the covariates are collinear {}"


@dataclass(frozen=True)
class Propensity:
    """score (n,): probability of treatment. kept (n,): 0 for comparison units beyond the trimming level. influence (n, k):
    first-order effect of each row on the coefficients."""

    score: Array
    kept: Array
    influence: Array


def design(X: Array, w: Array) -> tuple[Array, tuple[int, ...]]:
    """A constant and the covariates (n, k), centred and scaled, without those that add nothing; and the places of these.

    Estimates do not depend on centre and scale, their digits do.
    """
    root = np.sqrt(w / w.sum())
    columns, basis, idle = [np.ones(len(X))], [root], []
    for j, x in enumerate(X.T):
        size = float(np.abs(x).max(initial=0.0))
        z = x - root**2 @ x
        scale = float(np.linalg.norm(root * z))
        if scale <= 1e-12 * size or size == 0:
            idle.append(j)
            continue
        z = z / scale
        rest = root * z
        for _ in range(2):
            for q in basis:
                rest = rest - (q @ rest) * q
        length = float(np.linalg.norm(rest))
        if length <= RANK:
            idle.append(j)
            continue
        columns.append(z)
        basis.append(rest / length)
    return np.column_stack(columns), tuple(idle)


def independent(X: Array, w: Array) -> bool:
    """Whether the columns of X (n, k) are linearly independent in rows of positive weight."""
    rows = X[w > 0]
    if len(rows) < X.shape[1]:
        return False
    size = np.linalg.norm(rows, axis=0)
    if not size.min(initial=np.inf) > 0:
        return False
    values = np.linalg.svd(rows / size, compute_uv=False)
    return bool(values[-1] > RANK * values[0])


def propensity(treated: Flags, X: Array, w: Array, rows: Array) -> tuple[Propensity | None, str]:
    """Logit of treatment (n,) on X (n, k, with its constant), weighted by w; or None and why not.

    rows: (n,) weights of the check of overlap, the number of observations behind each row.
    """
    if not independent(X, w):
        return None, COLLINEAR.format("in the units compared")
    check = _scores(treated, X, rows)
    if check is None or float(check.max()) >= OVERLAP:
        return None, NO_OVERLAP
    fitted = check if float(np.ptp(w / rows)) <= 1e-14 * float(w[0] / rows[0]) else _scores(treated, X, w)
    if fitted is None:
        return None, NO_OVERLAP
    score = np.minimum(fitted, LARGEST)
    kept = np.where(treated, 1.0, score < TRIMMED)
    if not (kept * w * ~treated).sum() > 0:
        return None, NO_OVERLAP
    H = np.einsum("n,ni,nj->ij", w * score * (1 - score), X, X)
    if np.linalg.cond(H) > 1 / np.finfo(float).eps:
        return None, NO_OVERLAP
    influence = (w * (treated - score))[:, None] * np.linalg.solve(H, X.T).T
    return Propensity(score, kept, influence), ""


def _scores(treated: Flags, X: Array, w: Array) -> Array | None:
    """Fitted probabilities (n,) at the maximum of the weighted likelihood, or None where it has none (separation)."""
    weights = w / w.sum()
    beta = np.zeros(X.shape[1])
    share = float(weights[treated].sum())
    beta[0] = np.log(share / (1 - share))
    best = _likelihood(treated, X @ beta, weights)
    for _ in range(STEPS):
        p = _expit(X @ beta)
        gradient = X.T @ (weights * (treated - p))
        H = np.einsum("n,ni,nj->ij", weights * p * (1 - p), X, X)
        if np.linalg.cond(H) > 1 / np.finfo(float).eps:
            return None
        step = np.linalg.solve(H, gradient)
        if float(gradient @ step) < 1e-26:
            return p
        for _ in range(30):  # halved until the likelihood rises
            value = _likelihood(treated, X @ (beta + step), weights)
            if value >= best - 1e-14 * abs(best):
                break
            step = step / 2
        beta, best = beta + step, value
    return _expit(X @ beta) if float(gradient @ step) < 1e-14 else None


def _expit(eta: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * eta)))


def _likelihood(treated: Flags, eta: Array, weights: Array) -> float:
    return float(weights @ (treated * eta - np.logaddexp(0.0, eta)))
