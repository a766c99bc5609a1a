"""The model of untreated outcomes: fixed effects and covariates fitted on untreated cells, predicted for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from p4equity.estimators.base import Array, Flags
from p4equity.inference.moments import independent_columns
from p4equity.inference.sweeping import RANK, Codes, by_cluster, dummies

UNIDENTIFIED = 1e-7  # share of a row outside the untreated rows' span beyond which it is not predicted
DIGITS = 1e-9  # residual columns below this share of the column are rounding


@dataclass(frozen=True)
class UntreatedModel:
    """Weighted least squares of untreated rows on effects nested in blocks and on other columns.

    treated: (N,) rows that are predicted, not fitted. weights: (N,) positive. nested: codes (N,) of effects whose levels
    each lie in one block. block: (N,) codes of the blocks. crossed: (N, k) other columns, such as period dummies and
    covariates. Nothing of the size of the nested effects is ever formed.
    """

    treated: Flags
    weights: Array
    nested: Sequence[Codes]
    block: Codes
    crossed: Array

    @cached_property
    def _blocks(self) -> list[tuple[Codes, Codes, Array]]:
        """For each block its rows, its untreated rows, and the map (rows, untreated rows) from outcomes to predictions."""
        out = []
        for rows in by_cluster(self.block):
            Z = np.hstack([dummies(e[rows]) for e in self.nested])
            fitted = ~self.treated[rows]
            root = np.sqrt(self.weights[rows[fitted]])
            inverse = np.linalg.pinv(root[:, None] * Z[fitted], rcond=RANK) if fitted.any() else np.zeros((Z.shape[1], 0))
            out.append((rows, rows[fitted], Z @ inverse * root))
        return out

    @cached_property
    def _means(self) -> tuple[Codes, Array]:
        """With one nested effect: position (N,) of each row's level, and untreated weight of each level."""
        _, position = np.unique(self.nested[0], return_inverse=True)
        return np.asarray(position, np.int64), np.asarray(np.bincount(position, self.weights * ~self.treated), float)

    def _within(self, columns: Array) -> Array:
        """(N, m) columns less their predictions from the nested effects alone, fitted on untreated rows."""
        out = columns.copy()
        if len(self.nested) == 1:
            position, total = self._means
            w = self.weights * ~self.treated
            safe = np.where(total > 0, total, 1.0)
            for j, column in enumerate(columns.T):
                out[:, j] -= (np.bincount(position, w * column, len(total)) / safe)[position]
            return out
        for rows, fitted, predict in self._blocks:
            out[rows] -= predict @ columns[fitted]
        return out

    def _within_back(self, own: Array) -> Array:
        """(N, q) weights that predictions by the nested effects put on untreated rows, given weights of the predicted rows."""
        out = np.zeros_like(own)
        if len(self.nested) == 1:
            position, total = self._means
            w = self.weights * ~self.treated
            safe = np.where(total > 0, total, 1.0)
            for j, column in enumerate(own.T):
                out[:, j] = w * (np.bincount(position, column, len(total)) / safe)[position]
            return out
        for rows, fitted, predict in self._blocks:
            out[fitted] += predict.T @ own[rows]
        return out

    @cached_property
    def _residual(self) -> Array:
        """(N, k) crossed columns less their predictions by the nested effects; rounding is zero."""
        out = self._within(self._within(self.crossed))
        scale = np.sqrt(self.weights @ self.crossed**2)
        size = np.sqrt((self.weights * ~self.treated) @ out**2)
        out[~self.treated] *= size > DIGITS * scale
        return np.asarray(out)

    @cached_property
    def _kept(self) -> tuple[Flags, Array]:
        """Which crossed columns (k,) add something on untreated rows, and the inverse of their moments."""
        fitted = self._residual[~self.treated]
        S = fitted.T @ (self.weights[~self.treated, None] * fitted)
        kept = independent_columns(S)
        return kept, np.asarray(np.linalg.inv(S[np.ix_(kept, kept)]) if kept.any() else np.zeros((0, 0)), float)

    @property
    def kept(self) -> Flags:
        """(k,) crossed columns that add something to the effects and to those before them."""
        return self._kept[0]

    def residuals(self, columns: Array) -> Array:
        """(N, m) columns less their predictions; for untreated rows the residuals of the fit, for treated ones y - y(0)."""
        within = self._within(columns)
        kept, inverse = self._kept
        if not kept.any():
            return within
        fitted = self._residual[~self.treated][:, kept]
        slopes = inverse @ (fitted.T @ (self.weights[~self.treated, None] * within[~self.treated]))
        return np.asarray(within - self._residual[:, kept] @ slopes)

    def back(self, own: Array) -> Array:
        """(N, q) weights of all rows in sums of `own` (N, q), weights of treated rows, times their y - y(0)."""
        kept, inverse = self._kept
        X = self._residual[:, kept]
        out = own - self._within_back(own)
        if kept.any():
            out -= (self.weights * ~self.treated)[:, None] * (X @ (inverse @ (X.T @ own)))
        return np.asarray(out)

    @cached_property
    def predicted(self) -> tuple[Flags, Flags]:
        """(N,) rows whose nested effects untreated rows identify, and those that are identified altogether."""
        inside = np.ones(len(self.treated), bool)
        if len(self.nested) == 1:
            position, total = self._means
            inside = np.asarray(total[position] > 0, bool)
        else:
            for rows, fitted, predict in self._blocks:
                Z = np.hstack([dummies(e[rows]) for e in self.nested])
                back = predict @ Z[np.isin(rows, fitted)]
                inside[rows] = np.abs(back - Z).max(axis=1) < UNIDENTIFIED
        kept, inverse = self._kept
        X = self._residual
        fitted_rows = ~self.treated
        S = X[fitted_rows].T @ (self.weights[fitted_rows, None] * X[fitted_rows])
        # A column left out is on untreated rows a combination of those kept; a row that breaks the combination is not predicted.
        combination = inverse @ S[np.ix_(kept, ~kept)]
        gap = X[:, ~kept] - X[:, kept] @ combination
        scale = np.maximum(np.abs(self.crossed[:, ~kept]).max(axis=0, initial=0.0), 1e-300)
        whole = inside & (np.abs(gap) < UNIDENTIFIED * scale * 100).all(axis=1)
        return inside, np.asarray(whole, bool)
