"""Restrictions on the difference in trends as moment inequalities, and the functionals that decide whether a value fits them.

A restriction says A delta <= d for the difference in trends delta (n,). For a hypothesized value theta of the target the
moments A (beta - tau) - d must not be positive for some path of effects tau whose weighted sum is theta. By linear
programming duality the smallest violation, in standard errors, is the largest of a few linear functionals of the
moments, the vertices of the dual problem (Andrews, Roth and Pakes 2023). Here the inequalities come in pairs of opposite
sign whose effects have a triangular matrix, so that the vertices are known in closed form: no linear program is solved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p4equity.inference.sensitivity.path import Path

Array = NDArray[np.float64]
NO_VARIANCE = 1e-14


@dataclass(frozen=True)
class Functionals:
    """V functionals of m moments: value at theta is level - slope theta, joint covariance (V, V).

    vertices (V, m), rows_covariance (m, m) of the moments; level, slope (V,). nuisance: whether effects other than the
    target were solved for.
    """

    vertices: Array
    rows_covariance: Array
    level: Array
    slope: Array
    nuisance: bool

    @property
    def covariance(self) -> Array:
        """(V, V) joint covariance of the functionals."""
        return np.asarray(self.vertices @ self.rows_covariance @ self.vertices.T)


def spans(path: Path) -> Array:
    """(n,) periods between neighbours, the reference period among them."""
    return np.ones(len(path.event_times)) if path.gap == "whole" else np.diff(_times(path))


def _times(path: Path) -> Array:
    return np.insert(path.event_times, path.before, path.reference)


def differences(path: Path) -> Array:
    """(n, n) changes between neighbours, the first `before` of them up to the reference period."""
    n = len(path.event_times)
    full = np.eye(n, n + 1, 1) - np.eye(n, n + 1)
    return np.asarray(np.delete(full, path.before, axis=1))


def slope_changes(path: Path) -> tuple[Array, Array]:
    """(n - 1, n) changes of slope at each inner period, and (n - 1,) what one unit of the bound allows there."""
    span = spans(path)
    slopes = differences(path) / span[:, None]
    return np.asarray(np.diff(slopes, axis=0)), np.asarray((span[1:] + span[:-1]) / 2)


def changes_before(path: Path) -> Array:
    """(c, n) changes per period before the reference period that the bound is relative to."""
    span = spans(path)[: path.before]
    kept = np.ones(len(span), bool) if path.gap != "drop" else span == 1
    return np.asarray((differences(path)[: path.before] / span[:, None])[kept])


def relative_magnitudes(path: Path, bound: float) -> list[Functionals]:
    """One set of functionals for each change before the reference period and each sign it may have.

    Restriction: |change after| <= bound x periods x the change that is the largest before. The set is the union over
    which change that is (Rambachan and Roth 2023, section 2.4.1 and Lemma 2.2).
    """
    after, span = differences(path)[path.before :], spans(path)[path.before :]
    out = []
    for change in changes_before(path):
        for sign in (1.0, -1.0):
            most = bound * sign * span[:, None] * change
            out.append(_paired(path, after - most, -after - most, np.zeros(2 * path.after)))
    return out


def smoothness(path: Path, bound: float) -> list[Functionals]:
    """Functionals of the restriction that the slope changes by no more than `bound` from period to period.

    With several periods after the reference period the changes of slope among leads alone are left out (they do not
    involve the target); with one they stay, as in HonestDiD.
    """
    rows, scale = slope_changes(path)
    keep = slice(path.before - 1, None) if path.after > 1 else slice(None)
    rows, scale = rows[keep], scale[keep]
    return [_paired(path, rows, -rows, bound * np.concatenate([scale, scale]))]


def _paired(path: Path, upper: Array, lower: Array, limit: Array) -> Functionals:
    """Functionals of the moments [upper; lower] beta - limit."""
    A, after = np.vstack([upper, lower]), slice(path.before, None)
    V = A @ path.covariance @ A.T
    sd = np.sqrt(np.maximum(np.diag(V), NO_VARIANCE * float(np.trace(path.covariance))))
    weights = path.weights[after]
    if path.after == 1:
        vertices = np.diag(1 / sd)
    else:
        half = len(upper)
        g = np.linalg.solve(upper[:, after].T, weights)  # the combination of moments that sees the target alone
        one = np.concatenate([np.maximum(g, 0), np.maximum(-g, 0)])
        other = np.concatenate([one[half:], one[:half]])
        pairs = np.hstack([np.eye(half), np.eye(half)])
        vertices = np.vstack([one, other, pairs])
        vertices /= (vertices @ sd)[:, None]
    effect = weights / float(weights @ weights)  # any path of effects with the target 1: the others are solved out
    slope = vertices @ (A[:, after] @ effect)
    return Functionals(vertices, V, vertices @ (A @ path.estimates - limit), slope, path.after > 1)


def largest_bias(path: Path) -> float:
    """Largest violation of the target under smoothness with a bound of 1 when there is none before the reference period."""
    rows, scale = slope_changes(path)
    after = slice(path.before - 1, None)
    parts = np.linalg.solve(rows[after, path.before :].T, path.weights[path.before :])
    return float(scale[after] @ np.abs(parts))
