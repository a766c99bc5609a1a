"""The cells behind the selection question: gaps that the rule looked at, changes, and the rule replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.selection import worst
from p4equity.errors import StudyError
from p4equity.evaluation.context import Context
from p4equity.evaluation.pooled import stacked_data
from p4equity.evaluation.selection_years import SelectionYears, comparison, spread_of, yearly
from p4equity.inference.stacked import Stacked
from p4equity.study import Analysis

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class SelectionCells:
    """S systems of both arms by M candidate measures, percentage points.

    changes, covariance (S, M, M), contracts: as in the pooled question. expected (S, M): change expected of a contracted cell
    from its selection alone; often: how often the rule picks it; picks, candidates (S,): how many measures of how many.
    seen (S, M): gaps of the selection years, NaN where the rule could not look. drawn (S, M), drawn_covariance: changes from the
    shrunken baseline. spread: variance of comparison systems' changes beside sampling.
    """

    systems: tuple[str, ...]
    measures: tuple[str, ...]
    changes: Array
    covariance: Array
    contracts: Flags
    strata: NDArray[np.int64]
    cell_weights: Array | None
    expected: Array
    often: Array
    picks: NDArray[np.int64]
    candidates: NDArray[np.int64]
    seen: Array
    drawn: Array
    drawn_covariance: Array
    spread: float

    def columns(self, measures: Sequence[str]) -> list[int]:
        """Positions of the measures among the candidates."""
        return [self.measures.index(m) for m in measures if m in self.measures]

    def part(self, columns: list[int]) -> Stacked:
        """The registered changes of some measures."""
        return self._stacked(self.changes, self.covariance, columns)

    def shrunken(self, columns: list[int]) -> Stacked:
        """Changes from the shrunken baseline."""
        return self._stacked(self.drawn, self.drawn_covariance, columns)

    def _stacked(self, y: Array, covariance: Array, columns: list[int]) -> Stacked:
        square = covariance[:, columns][:, :, columns]
        weights = None if self.cell_weights is None else self.cell_weights[:, columns]
        arms = self.contracts | ~self.contracts.any(axis=1, keepdims=True)  # contracted on other measures alone: in neither arm
        return Stacked(np.where(arms, y, np.nan)[:, columns], self.contracts[:, columns], square, self.strata, weights)

    def replayed(self, weights: Array) -> tuple[float, float]:
        """Change of comparison cells that the rule picks beyond others of their measure, and its standard error.

        For every contracted cell, comparison systems' worst cells: as many a system as its own contract has measures. Each is
        held against the other comparison systems on its measure, so that it does not enter what it is compared with.
        weights (S, M): of contracted cells in the estimate. NaN where the rule picks no cell.
        """
        compared = comparison(self.contracts)
        y, seen = self.changes[compared], self.seen[compared]
        loading = np.zeros_like(y)
        for s in np.flatnonzero((weights != 0).any(axis=1)):
            own = _against_others(worst(seen, int(self.picks[s]), np.isfinite(y)), np.isfinite(y))
            if own is None:
                return np.nan, np.nan
            loading += weights[s].sum() * own
        V = self.covariance[compared] + self.spread * np.eye(y.shape[1])
        value = float((loading * np.nan_to_num(y)).sum())
        return value, float(np.sqrt(np.einsum("sm,smn,sn->", loading, V, loading)))


def _against_others(picked: Flags, known: Flags) -> Array | None:
    """(C, M) weights of the mean, over picked cells, of a cell's change less the mean of the other systems on its measure."""
    others = known.sum(axis=0) - 1
    picked = picked & (others > 0)
    if not picked.any():
        return None
    share = picked / picked.sum()
    rest = np.divide(share, others, out=np.zeros(share.shape), where=picked)
    return np.asarray(share - known * (rest.sum(axis=0) - rest))


def selection_cells(context: Context, analysis: Analysis) -> SelectionCells:
    """Everything the question needs. Raises StudyError when the plan has no rule or an arm is empty."""
    study, rule = context.study, context.study.selection
    if rule is None or not study.baseline.selection_years:
        raise StudyError("the plan has no selection rule", fix="add [selection], and selection_years in [baseline]")
    candidates = tuple(dict.fromkeys(m for word in rule.measures for m in _measures(context, word)))
    data = stacked_data(context, analysis.model_copy(update={"measures": candidates}))
    gap = data.sides["gap"]
    if not gap.estimable:
        raise StudyError("no measure with a change in both arms", fix="check contracts, arms and the minimum denominator")
    compared = comparison(gap.contracts)
    years = SelectionYears.of(context, analysis, rule, data, yearly(context, analysis, data))
    spread = spread_of(np.where(compared[:, None], gap.y, np.nan), np.einsum("smm->sm", gap.covariance))
    expected, often, picks, offered = years.expected(rule.worst, rule.draws, context.seed(analysis.id))
    drawn, drawn_covariance = years.drawn()
    return SelectionCells(
        data.systems, data.measures, gap.y, gap.covariance, gap.contracts, gap.strata, gap.cell_weights, expected, often, picks,
        offered, years.seen, drawn, drawn_covariance, spread,
    )  # fmt: skip


def _measures(context: Context, word: str) -> tuple[str, ...]:
    """The measures of a set of the plan, or one measure."""
    return (word,) if word in context.study.measures else context.study.measure_ids(word)
