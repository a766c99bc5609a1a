"""A regression refitted under other dates: thousands of assignments of cohorts to units at once, from sums by unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from p4equity.estimators.base import Array
from p4equity.inference.canonical import order_of_holders
from p4equity.inference.law import Law
from p4equity.inference.reassignment import BLOCK, Labels, Reassignments, law, reassignments
from p4equity.inference.sweeping import Codes, residuals, sweep

ONES = 5_000_000  # labels turned into zeros and ones at once
WORK = 5e9  # operations a test may take: beyond, fewer assignments are drawn
PIVOT = 1e-9  # a pivot this small beside its diagonal: the assignment identifies no effect
NO_COHORT = "units of one cluster have different dates, so that clusters cannot exchange them"


@dataclass(frozen=True)
class Reassigned:
    """A weighted two-way regression whose regressors follow from the dates of its rows.

    columns: dates of all rows (N,), NaN for never -> regressors (N, K). cohort: (N,) observed dates. holder: (N,) code of
    what carries a date (the cluster). Y: (N, m). effects: the unit's and the period's codes; rows of one unit lie in one
    holder. strata: (n,) code of each holder, within which dates may be exchanged.
    """

    columns: Callable[[Array], Array]
    cohort: Array
    holder: Codes
    Y: Array
    covariates: Array
    effects: Sequence[Codes]
    weights: Array
    strata: Codes

    @cached_property
    def labels(self) -> tuple[Codes, Array]:
        """Code of each holder's date (n,), and the dates (C,), NaN for never as the last."""
        first = np.unique(self.holder, return_index=True)[1]
        dates, codes = np.unique(self.cohort[first], return_inverse=True, equal_nan=True)
        return codes.astype(np.int64), dates

    @cached_property
    def _tables(self) -> dict[tuple[int, int], Reassignments]:
        return {}

    def drawn(self, limit: int, seed: int) -> Reassignments:
        """Assignments of the observed dates to holders, made once; no more than `limit`, drawn in an order of the data's own."""
        if (limit, seed) not in self._tables:
            made = reassignments(self.labels[0], self.strata, limit=limit, seed=seed, order=self._order)
            self._tables[limit, seed] = made
        return self._tables[limit, seed]

    def _order(self) -> Codes:
        """(n,) holders in an order that follows from dates, outcomes, covariates and weights of their units."""
        rows = np.column_stack([self.cohort, self.effects[1], self.Y, self.covariates, self.weights])
        return order_of_holders(rows, self.effects[0], self.holder, self.strata)

    @cached_property
    def _basis(self) -> Array:
        """(N, q) orthonormal columns of periods and covariates, units taken out, in root-weight scale."""
        root = np.sqrt(self.weights)[:, None]
        _, period = np.unique(self.effects[1], return_inverse=True)
        other = np.hstack([np.eye(period.max() + 1)[period], self.covariates])
        left, values, _ = np.linalg.svd(root * sweep(other, self.effects[:1], self.weights, self.holder)[0], full_matrices=False)
        return np.asarray(left[:, values > 1e-9 * values.max(initial=0.0)])

    @cached_property
    def _parts(self) -> tuple[Array, Array, Array]:
        """Sums by holder and date it could have: A (n, C, q, K), S (n, C, K, K), u (n, C, K, m + K).

        With X the regressors of a date, units taken out: A = Q'X, S = X'WX, u = X'W[y, d], where d are the regressors of
        the dates that were and y, d have all effects taken out.
        """
        codes, dates = self.labels
        n, Q, root = len(codes), self._basis, np.sqrt(self.weights)[:, None]
        Z = root * self._outcomes
        A, S, u = [], [], []
        for date in dates:
            X = root * sweep(self.columns(np.full(len(self.cohort), date)), self.effects[:1], self.weights, self.holder)[0]
            A.append(self._sums(Q, X, n))
            S.append(self._sums(X, X, n))
            u.append(self._sums(X, Z, n))
        return np.stack(A, axis=1), np.stack(S, axis=1), np.stack(u, axis=1)

    @cached_property
    def _outcomes(self) -> Array:
        """(N, m + K) outcomes and observed regressors less all effects and covariates."""
        both = np.hstack([self.Y, self.columns(self.cohort)])
        x = residuals(self.covariates, self.effects, self.weights, self.holder) if self.covariates.shape[1] else self.covariates
        out = residuals(both, self.effects, self.weights, self.holder)
        if not x.shape[1]:
            return out
        root = np.sqrt(self.weights)[:, None]
        return np.asarray(out - x @ np.linalg.lstsq(root * x, root * out, rcond=1e-10)[0])

    def _sums(self, left: Array, right: Array, n: int) -> Array:
        """(n, a, b) left'right of each holder."""
        out = np.zeros((n, left.shape[1], right.shape[1]))
        for i in range(left.shape[1]):
            for j in range(right.shape[1]):
                out[:, i, j] = np.bincount(self.holder, left[:, i] * right[:, j], n)
        return out

    def law(self, drawn: Reassignments, contrast: Array, outcome: int, studentized: bool) -> Law:
        """Law of contrast' b (contrast (K,)) of one outcome; studentized: over its CR0 error with holders as clusters."""
        direction = contrast / float(contrast @ contrast)
        A, S, _ = self._parts
        block = max(1, min(BLOCK, 10_000_000 // (A[0, 0].size + S[0, 0].size)))
        return law(drawn, lambda table: self._evaluate(table, contrast, direction, outcome, studentized), block)

    def most(self, studentized: bool) -> int:
        """Assignments that WORK allows."""
        A, S, u = self._parts
        cost = A.size + S.size + u.size + 50 * S[0, 0].size + (len(A) * A.shape[2] * (A.shape[2] + 8) if studentized else 0)
        return int(WORK // cost)

    def _evaluate(self, table: Labels, contrast: Array, direction: Array, outcome: int, studentized: bool) -> tuple[Array, ...]:
        """Estimate, estimate of the direction, and their variances, under label vectors (B, n)."""
        A, S, u = self._parts
        m = self.Y.shape[1]
        pair = np.stack([u[..., outcome], u[..., m:] @ direction], axis=-1)  # (n, C, K, 2)
        A_all, S_all, u_all = (_chosen(part, table) for part in (A, S, pair))
        moment = S_all - np.einsum("bqi,bqj->bij", A_all, A_all)
        weights = _solved(moment, np.einsum("bii->bi", S_all), contrast)  # (B, K): contrast' M^-1
        b = np.einsum("bk,bkj->bj", weights, u_all)
        if not studentized:
            return b[:, 0], b[:, 1]
        coefficients = np.stack([_solved_many(moment, np.einsum("bii->bi", S_all), u_all[..., j]) for j in (0, 1)], axis=-1)
        squares = np.zeros((len(table), 2, 2))
        moved, fitted = np.einsum("bqk,bk->bq", A_all, weights), np.einsum("bqk,bkj->bqj", A_all, coefficients)
        for g in range(table.shape[1]):
            own, (z, QQ) = table[:, g], self._crossed(g, outcome, direction)
            Ag, Sg = A[g, own], S[g, own]
            first = np.einsum("bk,bkj->bj", weights, pair[g, own]) - moved @ z
            inside = np.einsum("bk,bkl,blj->bj", weights, Sg, coefficients, optimize=True)
            across = np.einsum("bq,bqj->bj", moved, np.einsum("bqk,bkj->bqj", Ag, coefficients))
            back = np.einsum("bq,bqj->bj", np.einsum("bqk,bk->bq", Ag, weights), fitted)
            scores = first - (inside - across - back + np.einsum("bq,bqj->bj", moved @ QQ, fitted))
            squares += scores[:, :, None] * scores[:, None, :]
        return b[:, 0], b[:, 1], squares[:, 0, 0], squares[:, 0, 1], squares[:, 1, 1]

    def _crossed(self, g: int, outcome: int, direction: Array) -> tuple[Array, Array]:
        """Of the rows of holder g: periods times outcome and direction (q, 2), and periods times periods (q, q)."""
        rows, m = self.holder == g, self.Y.shape[1]
        Q, Z = self._basis[rows], np.sqrt(self.weights[rows])[:, None] * self._outcomes[rows]
        return Q.T @ np.stack([Z[:, outcome], Z[:, m:] @ direction], axis=-1), Q.T @ Q


def _chosen(parts: Array, table: Labels) -> Array:
    """Sum over holders of the part (n, C, ...) of the date each one has in label vectors (B, n)."""
    flat = parts.reshape(parts.shape[0], parts.shape[1], -1)
    out, step = np.zeros((len(table), flat.shape[2])), max(1, ONES // len(parts))
    for low in range(0, len(table), step):
        rows = table[low : low + step]
        for c in range(parts.shape[1]):
            out[low : low + step] += (rows == c).astype(float) @ flat[:, c]
    return out.reshape(len(table), *parts.shape[2:])


def _solved(moment: Array, scale: Array, contrast: Array) -> Array:
    """(B, K) rows contrast' M^-1 of many symmetric moments (B, K, K); NaN where one is singular."""
    return _solved_many(moment, scale, np.broadcast_to(contrast, scale.shape))


def _solved_many(moment: Array, scale: Array, right: Array) -> Array:
    """M x = right of many symmetric positive moments by elimination step by step, NaN where a pivot is lost."""
    K = scale.shape[1]
    M, x = moment.copy(), np.array(right, float)
    singular = np.zeros(len(M), bool)
    for k in range(K):
        lost = ~(M[:, k, k] > PIVOT * scale[:, k])
        singular |= lost
        M[lost, k, k] = 1.0
        for i in range(k + 1, K):
            factor = M[:, k, i] / M[:, k, k]
            M[:, i, i:] -= factor[:, None] * M[:, k, i:]
            x[:, i] -= factor * x[:, k]
    for k in reversed(range(K)):
        x[:, k] = (x[:, k] - np.einsum("bj,bj->b", M[:, k, k + 1 :], x[:, k + 1 :])) / M[:, k, k]
    return np.where(singular[:, None], np.nan, x)


def holders(frame: pd.DataFrame) -> tuple[Codes, str]:
    """Code (N,) of what carries a date, the cluster, and why clusters cannot exchange dates ('' where they can)."""
    code = np.asarray(pd.factorize(frame["cluster"], sort=True)[0], np.int64)
    filled = frame["cohort"].fillna(np.inf)
    if (filled.groupby(code).nunique() > 1).any():
        return code, NO_COHORT
    if (pd.Series(code).groupby(frame["unit"].to_numpy()).nunique() > 1).any():
        return code, "units move between clusters, which therefore cannot exchange dates"
    return code, ""


def strata_of(holder: Codes, stratum: NDArray[np.object_] | None) -> Codes:
    """Code (n,) of each holder's stratum; one for all where there is none."""
    first = np.unique(holder, return_index=True)[1]
    if stratum is None:
        return np.zeros(len(first), np.int64)
    return np.unique(stratum[first].astype(str), return_inverse=True)[1].astype(np.int64)
