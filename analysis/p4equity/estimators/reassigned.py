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
from p4equity.inference.reassignment import BLOCK, Labels, Reassignments, laws, reassignments
from p4equity.inference.refitted_scores import Alike, Solutions, alike, score_squares
from p4equity.inference.refitting import Sums, solved, sums, zeros_and_ones
from p4equity.inference.sweeping import Codes, residuals, sweep

ONCE = 2_000_000  # numbers of one kind held at once
WORK = 5e9  # operations a test may take: beyond, fewer assignments are drawn
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
    def _regressors(self) -> Array:
        """(C, N, K) regressors of the rows under each date, units taken out, in root-weight scale."""
        root, N = np.sqrt(self.weights)[:, None], len(self.cohort)
        return np.stack(
            [root * sweep(self.columns(np.full(N, d)), self.effects[:1], self.weights, self.holder)[0] for d in self.labels[1]]
        )

    @cached_property
    def _parts(self) -> tuple[Array, Array, Array]:
        """Sums by holder and date it could have: A (n, C, q, K), S (n, C, K, K), u (n, C, K, m + K).

        With X the regressors of a date, units taken out: A = Q'X, S = X'WX, u = X'W[y, d], where d are the regressors of
        the dates that were and y, d have all effects taken out.
        """
        n, Q = len(self.labels[0]), self._basis
        Z = np.sqrt(self.weights)[:, None] * self._outcomes
        A, S, u = [], [], []
        for X in self._regressors:
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

    def laws(self, drawn: Reassignments, contrasts: Array, studentized: bool) -> list[list[Law]]:
        """Laws of contrasts' b (contrasts (p, K)) by outcome; studentized: over its CR0 error with holders as clusters.

        All share what each assignment costs, so they are answered together, once.
        """
        key = (id(drawn), contrasts.tobytes(), studentized)
        if key not in self._laws:
            A, S, _ = self._parts
            p, m = len(contrasts), self.Y.shape[1]
            block = max(1, min(BLOCK, ONCE // (A[0, 0].size + S[0, 0].size + S.shape[2] * (p + m + S.shape[2]) + S.shape[0])))
            found = laws(drawn, lambda table: self._evaluate(table, contrasts, studentized), block)
            self._laws[key] = [found[j * p : (j + 1) * p] for j in range(m)]
        return self._laws[key]

    @cached_property
    def _laws(self) -> dict[tuple[int, bytes, bool], list[list[Law]]]:
        return {}

    def most(self, studentized: bool) -> int:
        """Assignments that WORK allows."""
        A, S, u = self._parts
        cost = A.size + S.size + u.size + 50 * S[0, 0].size + (len(A) * A.shape[2] * (A.shape[2] + 8) if studentized else 0)
        return int(WORK // cost)

    @cached_property
    def _totals(self) -> tuple[Sums, Sums]:
        """How to add up A and S, and u."""
        A, S, u = (part.reshape(*part.shape[:2], -1) for part in self._parts)
        codes = self.labels[0]
        return sums(np.concatenate([A, S], axis=2), codes, self.strata), sums(u, codes, self.strata)

    @cached_property
    def _alike(self) -> list[Alike]:
        """Holders of equal design, for their scores."""
        root = np.sqrt(self.weights)[:, None]
        place = np.lexsort((self.effects[0], self.effects[1])).argsort()
        return alike(self.holder, place, self._regressors, self._basis, root * self._outcomes)

    def _evaluate(self, table: Labels, contrasts: Array, studentized: bool) -> list[Array]:
        """Estimates (m p, B), estimates of the directions, and their variances, under label vectors (B, n)."""
        (_, dates, q, K), m = self._parts[0].shape, self.Y.shape[1]
        directions = contrasts / (contrasts**2).sum(axis=1, keepdims=True)
        design, outcomes = self._totals
        ones = zeros_and_ones(table, dates, {*design.used, *outcomes.used})
        both = design.total(ones)
        A, S = both[: q * K].reshape(q, K, -1), both[q * K :].reshape(K, K, -1)
        u = outcomes.total(ones).reshape(K, m + K, -1)
        moved = np.tensordot(directions, u[:, m:], axes=(1, 1)).transpose(1, 0, 2)  # (K, p, B)
        moment, scale = S - np.einsum("qib,qjb->ijb", A, A), np.einsum("iib->ib", S)
        weights = solved(moment, scale, np.repeat(contrasts.T[:, :, None], S.shape[2], axis=2))  # contrasts' M^-1

        def each(part: Array) -> Array:
            """(m p, B), outcomes slowest."""
            return np.broadcast_to(part, (m, len(contrasts), len(table))).reshape(-1, len(table))

        estimates = [each(np.einsum("kpb,kmb->mpb", weights, u[:, :m])), each(np.einsum("kpb,kpb->pb", weights, moved))]
        if not studentized:
            return estimates
        coefficients = solved(moment, scale, np.concatenate([u[:, :m], moved], axis=1))
        found = Solutions.of(A, weights, coefficients[:, :m], coefficients[:, m:])
        return [*estimates, *(each(part) for part in score_squares(self._alike, table, found, directions))]


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
