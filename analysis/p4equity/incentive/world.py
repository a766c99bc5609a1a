"""What a formula looks at in one system and measure: as observed, and drawn again from the cell's own errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from p4equity.incentive.formula import GAPS, Array, Formula, gate_met, guard_met, narrowing, score
from p4equity.incentive.statistic import disparity
from p4equity.symmetric import symmetric_root

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Cell:
    """Rates of G groups (reference first) of one system and measure over T years, percent.

    rates, den: (G, T). covariance: (G, T, T) sampling covariances of a group's rates, points squared. years, before, after: (T,),
    the last two weights of the baseline and performance years, each summing to 1. shares: (G,) part of the measure's members in
    each group. overall_change: of the rate of all members, points.
    """

    rates: Array
    den: Array
    covariance: Array
    years: Array
    before: Array
    after: Array
    shares: Array
    overall_change: float

    @property
    def elapsed(self) -> float:
        """Years between the middle of the baseline and of the performance years."""
        return float((self.after - self.before) @ self.years)

    def noise(self, draws: int, rng: np.random.Generator) -> Array:
        """(draws, G, T) sampling errors of the rates, correlated between the years of a group as its members recur."""
        root = symmetric_root(self.covariance)
        return np.asarray(np.einsum("gtu,dgu->dgt", root, rng.standard_normal((draws, *self.rates.shape))))

    def unchanged(self) -> Array:
        """(G, T) rates of a world in which nothing changed: every year a group's mean of both windows."""
        level = self.rates @ (self.before + self.after) / 2
        return np.broadcast_to(level[:, None], self.rates.shape)


@dataclass(frozen=True)
class Outcome:
    """What is paid on and what must hold, for U units of pay (a compared group each, or all of them together), points.

    All (..., U): improvement, changes of the reference group, of the paid group (of all compared groups where they are paid
    together) and of all members.
    """

    improvement: Array
    reference_change: Array
    group_change: Array
    overall_change: Array

    @classmethod
    def joined(cls, parts: Sequence[Outcome]) -> Outcome:
        """Units of several cells, one after the other."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts], axis=-1) for f in fields(cls)))

    def taken(self, units: NDArray[np.int64]) -> Outcome:
        """The units of these positions, in any shape."""
        return Outcome(*(getattr(self, f.name)[units] for f in fields(self)))

    def guarded(self, formula: Formula) -> Flags:
        """(..., U) whether the guards against leveling down let a unit be paid."""
        return guard_met(self.reference_change, self.group_change, formula)

    def paid(self, improvement: Array, formula: Formula, thrift: Flags | bool = False) -> Array:
        """(..., U) share of the maximum: for the improvement where everything holds, and for thrift where overall quality does.

        improvement: this outcome's, or what shrinkage made of it. thrift: whether spending held.
        """
        held = gate_met(self.overall_change, formula)
        equity = score(improvement, formula) * (held & self.guarded(formula))
        if not formula.efficiency_share:
            return np.asarray(equity)
        return np.asarray((1 - formula.efficiency_share) * equity + formula.efficiency_share * (held & np.asarray(thrift)))


def observed(cell: Cell, formula: Formula) -> Outcome:
    """The outcome of the rates as they are."""
    return _outcome(cell, formula, cell.rates, np.asarray(cell.overall_change))


def simulated(cell: Cell, formula: Formula, noise: Array, true: float = 0.0) -> Outcome:
    """Outcomes (draws, U) when the rates of compared groups truly rise by `true` points and all else is noise (draws, G, T)."""
    gain = np.zeros(cell.rates.shape)
    gain[1:] = true * (cell.after > 0)
    rates = cell.unchanged() + gain + noise
    overall = (rates @ (cell.after - cell.before)) @ cell.shares
    return _outcome(cell, formula, rates, overall)


def _outcome(cell: Cell, formula: Formula, rates: Array, overall: Array) -> Outcome:
    line, values = cell.after - cell.before, disparity(formula.statistic, rates, cell.den)
    improvement = narrowing(values @ cell.before, values @ cell.after, past_zero=not _ends_at_zero(formula))
    changes = rates @ line
    group = changes[..., 1:]
    if improvement.shape[-1] == 1 and group.shape[-1] > 1:
        weights = cell.shares[1:] / cell.shares[1:].sum()
        group = (group @ weights)[..., None]
    scale = 1 / cell.elapsed if formula.per_year else 1.0
    one = np.ones(improvement.shape[-1])
    return Outcome(scale * improvement, changes[..., :1] * one, group, overall[..., None] * one)


def _ends_at_zero(formula: Formula) -> bool:
    """Whether what is paid for ends where the group is no longer behind."""
    return formula.statistic in GAPS and not formula.past_zero


def sampling_variance(cell: Cell, formula: Formula, noise: Array) -> Array:
    """(U,) sampling variance of the improvement: exact for the whole gap to the reference group, else from the draws."""
    if formula.statistic != "pairwise_gap" or _ends_at_zero(formula):
        return np.asarray(simulated(cell, formula, noise).improvement.var(axis=0, ddof=1))
    line = cell.after - cell.before
    own = np.einsum("t,gtu,u->g", line, cell.covariance, line)
    scale = 1 / cell.elapsed if formula.per_year else 1.0
    return np.asarray(scale**2 * (own[0] + own[1:]))
