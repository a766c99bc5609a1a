"""Two groups, two periods: the effect on the treated by regression, weighting or both, with its influence function."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from p4equity.estimators.base import Array, Flags
from p4equity.estimators.propensity import COLLINEAR, Propensity, design, independent, propensity

METHODS = ("dr", "reg", "ipw")  # the first is the default


@dataclass(frozen=True)
class TwoByTwo:
    """att (m,): effect on each outcome, NaN with a `reason`.

    influence (n, m): contribution of each row, scaled so that the variance is the sum of its squares (over clusters of its
    sums). idle: covariates that add nothing to the others and the constant, and are left out.
    """

    att: Array
    influence: Array
    reason: str = ""
    idle: tuple[int, ...] = ()


def not_estimable(reason: str, shape: tuple[int, ...]) -> TwoByTwo:
    """A result without a number."""
    return TwoByTwo(np.full(shape[1], np.nan), np.zeros(shape), reason)


@dataclass(frozen=True)
class _Line:
    """Weighted least squares of Y on X in some rows: fitted (n, m) everywhere, and what rows do to a prediction at x."""

    fitted: Array
    scores: Array  # (n, m) weight times residual, zero outside the rows
    whitened: Array  # (n, k) X times the inverse of X'WX

    def effect(self, x: Array) -> Array:
        """(n, m) influence of each row on the prediction at x (k,)."""
        return self.scores * (self.whitened @ x)[:, None]


def _line(Y: Array, X: Array, w: Array) -> _Line | None:
    """The regression in rows of positive weight, or None where X is collinear there."""
    if not independent(X, w):
        return None
    root = np.sqrt(w)[:, None]
    q, r = np.linalg.qr(X * root)
    fitted = X @ np.linalg.solve(r, q.T @ (Y * root))
    whitened = np.linalg.solve(r, np.linalg.solve(r.T, X.T)).T
    return _Line(np.asarray(fitted), w[:, None] * (Y - fitted), whitened)


def _mean(Y: Array, w: Array) -> tuple[Array, Array]:
    """Weighted mean (m,) and its influence (n, m)."""
    total = float(w.sum())
    value = w @ Y / total
    return value, w[:, None] * (Y - value) / total


def _at(X: Array, w: Array) -> Array:
    return np.asarray(w @ X / w.sum())


def panel_att(change: Array, treated: Flags, X: Array, w: Array, method: str = "dr", rows: Array | None = None) -> TwoByTwo:
    """Effect on the treated from changes of units seen in both periods.

    change: (n, m) later minus earlier outcome. treated: (n,), the others are the comparison. X: (n, k) covariates without a
    constant, of the base period. w: (n,) weights. rows: (n,) observations behind each unit, for the check of overlap.
    reg: mean residual of the treated from the comparison units' regression. ipw: comparison units weighted by p / (1 - p),
    weights normalized (Hajek). dr: both (logit and least squares). Without covariates all three are the difference of
    weighted means. Source: Sant'Anna and Zhao (2020), equation (3.1) for dr; R's DRDID, whose rules of trimming hold.
    """
    D, W1, W0 = treated, w * treated, w * ~treated
    Z, idle = design(X, w)
    if Z.shape[1] == 1:
        (one, i1), (none, i0) = _mean(change, W1), _mean(change, W0)
        return TwoByTwo(one - none, i1 - i0, idle=idle)
    score, line, reason = _nuisance(change, D, Z, w, [W0], method, rows)
    if reason:
        return not_estimable(reason, change.shape)
    residual = change - (line[0].fitted if line else 0.0)
    one, i1 = _mean(residual, W1)
    if score is None:
        return TwoByTwo(one, i1 - line[0].effect(_at(Z, W1)), idle=idle)
    c = score.kept * W0 * score.score / (1 - score.score)
    none, i0 = _mean(residual, c)
    influence = i1 - i0 - score.influence @ (Z.T @ (c[:, None] * (residual - none)) / c.sum())
    if line:
        influence = influence - line[0].effect(_at(Z, W1) - _at(Z, c))
    return TwoByTwo(one - none, influence, idle=idle)


def cross_section_att(
    Y: Array, post: Flags, treated: Flags, X: Array, w: Array, method: str = "dr", rows: Array | None = None
) -> TwoByTwo:
    """Effect on the treated from rows of two periods in which units are not followed (repeated cross-sections).

    Y: (n, m). post: (n,) later period. The rest as in `panel_att`, X each row's own. dr is the locally efficient estimator,
    with regressions in all four cells. It assumes that the composition of each group does not change between the periods.
    Source: Sant'Anna and Zhao (2020), equation (3.4) for dr; R's DRDID.
    """
    D, cells = treated, [w * treated * post, w * treated * ~post, w * ~treated * post, w * ~treated * ~post]
    d1, d0, c1, c0 = cells
    Z, idle = design(X, w)
    if Z.shape[1] == 1:
        (a, ia), (b, ib), (c, ic), (d, id_) = (_mean(Y, part) for part in cells)
        return TwoByTwo(a - b - (c - d), ia - ib - (ic - id_), idle=idle)
    all_ = w * D
    score, lines, reason = _nuisance(Y, D, Z, w, [c1, c0, d1, d0] if method == "dr" else [c1, c0], method, rows)
    if reason:
        return not_estimable(reason, Y.shape)
    if score is None:
        (a, ia), (b, ib) = _mean(Y, d1), _mean(Y, d0)
        drift, it = _mean(lines[0].fitted - lines[1].fitted, all_)
        at = _at(Z, all_)
        return TwoByTwo(a - b - drift, ia - ib - it - lines[0].effect(at) + lines[1].effect(at), idle=idle)
    odds = score.kept * score.score / (1 - score.score)
    c1, c0 = c1 * odds, c0 * odds
    e = Y - np.where(post[:, None], lines[0].fitted, lines[1].fitted) if lines else Y
    (a, ia), (b, ib), (c, ic), (d, id_) = (_mean(e, part) for part in (d1, d0, c1, c0))
    slope = Z.T @ (c1[:, None] * (e - c)) / c1.sum() - Z.T @ (c0[:, None] * (e - d)) / c0.sum()
    att, influence = a - b - (c - d), ia - ib - (ic - id_) - score.influence @ slope
    if lines:
        # The derivative. R's DRDID 1.2.3 gives the earlier period's term the later one's sign, which moves errors by less than
        # 1% where the weights balance the covariates; csdid and moderndid have it as here.
        influence = influence - lines[0].effect(_at(Z, d1) - _at(Z, c1)) + lines[1].effect(_at(Z, d0) - _at(Z, c0))
        extra, more = _local_efficiency(Z, lines, all_, d1, d0)
        att, influence = att + extra, influence + more
    return TwoByTwo(att, influence, idle=idle)


def _local_efficiency(Z: Array, lines: list[_Line], all_: Array, d1: Array, d0: Array) -> tuple[Array, Array]:
    """What the treated of both periods together say of the covariates that those of one period do not."""
    c1, c0, t1, t0 = lines
    late, early = t1.fitted - c1.fitted, t0.fitted - c0.fitted
    (a, ia), (b, ib), (c, ic), (d, id_) = _mean(late, all_), _mean(late, d1), _mean(early, all_), _mean(early, d0)
    at1, at0 = _at(Z, all_) - _at(Z, d1), _at(Z, all_) - _at(Z, d0)
    lines_moved = t1.effect(at1) - c1.effect(at1) - t0.effect(at0) + c0.effect(at0)
    return a - b - (c - d), ia - ib - (ic - id_) + lines_moved


def _nuisance(
    Y: Array, treated: Flags, Z: Array, w: Array, cells: list[Array], method: str, rows: Array | None
) -> tuple[Propensity | None, list[_Line], str]:
    """Propensity (ipw, dr) and regressions in the cells (reg, dr), or why one of them does not exist."""
    score: Propensity | None = None
    if method != "reg":
        score, reason = propensity(treated, Z, w, np.ones(len(w)) if rows is None else rows)
        if score is None:
            return None, [], reason
    if method == "ipw":
        return score, [], ""
    lines = [_line(Y, Z, part) for part in cells]
    found = [line for line in lines if line is not None]
    if len(found) < len(lines):
        first = next(i for i, line in enumerate(lines) if line is None)
        arm = "comparison" if len(cells) == 1 or first < 2 else "treated"
        return None, [], COLLINEAR.format(f"among the {arm} units, or these are fewer than the coefficients")
    return score, found, ""
