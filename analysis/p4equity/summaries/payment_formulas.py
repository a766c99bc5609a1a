"""Several payment formulas on the same data: what each system would have earned, and how much of it noise alone would earn."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.panel import Array
from p4equity.evaluation.context import Context
from p4equity.incentive import Formula, Outcome, empirical_bayes, observed, sampling_variance, simulated
from p4equity.summaries.payment_cells import Key, Paid, Registered, eligible_systems, paid_cells, registered_formulas, stakes
from p4equity.summaries.payment_cells import unit_count as units_of

if TYPE_CHECKING:
    import pandas as pd

FORMULA_COLUMNS = (
    "formula_id", "label", "paid_on", "system_id", "n_cells", "units_paid", "score", "by_simulation", "by_permutation",
    "as_much_by_permutation", "shrunken_score", "units_unpaid", "units_added", "units_moved", "units_stopped",
    "max_possible", "earned", "status", "reason",
)  # fmt: skip
CURVE_COLUMNS = ("formula_id", "label", "true_narrowing", "score", "monte_carlo_error")
LARGE = 0.25  # of the maximum: a change of the score that a system would feel
A_CENT = 0.01  # USD per member-month: no system loses a payment to rounding
ALL = "all"
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Units:
    """Units of pay of several systems on one measure: whose they are, what is at stake, noise and thrift of each.

    system: (U,) positions among the eligible systems. stake, variance, thrift: (U,).
    """

    system: NDArray[np.int64]
    stake: Array
    variance: Array
    thrift: Flags
    seen: Outcome

    def of(self, units: NDArray[np.int64]) -> Units:
        """The units of these positions, in any shape."""
        return Units(
            self.system[units], self.stake[units], self.variance[units], self.thrift[units], self.seen.taken(units)
        )  # fmt: skip

    def paid(self, formula: Formula, shrink: bool, outcome: Outcome | None = None) -> Array:
        """(..., U) shares of the maximum, of these units as seen or of an outcome drawn for them."""
        found = self.seen if outcome is None else outcome
        improvement = found.improvement
        if shrink:
            improvement = empirical_bayes(improvement, np.broadcast_to(self.variance, improvement.shape))
        return found.paid(improvement, formula, self.thrift)


def payment_formula_tables(context: Context, hidden: Collection[Key] = ()) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(formulas, curve): each registered formula over all systems and system by system; its expected score by true narrowing.

    hidden: system, measure and group of cells that must not be told; they enter nothing. Scores are shares of what is at stake.
    `by_simulation`: expected when no rate truly changed and every cell has its own sampling errors, gates included.
    `by_permutation`: the mean over contract rows dealt anew among the eligible systems of a stratum, each paid for its own
    change (small systems are paid more for noise, so that it can differ from the former where nothing changed);
    `as_much_by_permutation`: the share of such deals that earn as much as the true one. Empty without [payment].
    """
    import pandas as pd

    plan = context.study.payment
    rows: list[dict[str, Any]] = []
    curve: list[dict[str, Any]] = []
    for own in registered_formulas(plan) if plan and context.study.groups.compared else []:
        world = _World.of(context, own, hidden)
        rows += world.rows()
        curve += world.curve()
    formulas = pd.DataFrame(rows).reindex(columns=list(FORMULA_COLUMNS))
    counts = [c for c in FORMULA_COLUMNS if c.startswith(("n_", "units_"))]
    return formulas.astype(dict.fromkeys(counts, "Int64")), pd.DataFrame(curve).reindex(columns=list(CURVE_COLUMNS))


@dataclass(frozen=True)
class _World:
    """One formula with the units of every contracted measure, and the contracted units drawn again without a true change."""

    context: Context
    own: Registered
    systems: tuple[str, ...]
    units: tuple[Units, ...]
    contracted: tuple[Flags, ...]
    cells: tuple[tuple[Paid, ...], ...]
    noise: tuple[tuple[Array, ...], ...]

    @classmethod
    def of(cls, context: Context, own: Registered, hidden: Collection[Key]) -> _World:
        """From the panel; noise is drawn once and serves every true narrowing."""
        assert context.study.payment is not None
        systems, matrix = tuple(eligible_systems(context)), context.study.contract_matrix()
        seed, draws = context.seed(f"payment|{own.id}"), context.study.payment.draws
        units, contracted, cells, noise = [], [], [], []
        for m, measure in enumerate(dict.fromkeys(str(x) for x in matrix["measure_id"])):
            found, held = paid_cells(context, own, measure, hidden), set(matrix.loc[matrix["measure_id"] == measure, "system_id"])
            if not any(c.system in held for c in found):
                continue
            drawn = [c.cell.noise(draws, np.random.default_rng([seed, m, i])) for i, c in enumerate(found)]
            counts = [units_of(own, c) for c in found]
            units.append(
                Units(
                    np.repeat([systems.index(c.system) for c in found], counts), stakes(own, found),
                    np.concatenate([sampling_variance(c.cell, own.formula, e) for c, e in zip(found, drawn, strict=True)]),
                    np.repeat([c.thrift <= own.formula.efficiency_margin + A_CENT for c in found], counts),
                    Outcome.joined([observed(c.cell, own.formula) for c in found]),
                )
            )  # fmt: skip
            contracted.append(np.repeat([c.system in held for c in found], counts))
            mine = [i for i, c in enumerate(found) if c.system in held]
            cells.append(tuple(found[i] for i in mine))
            noise.append(tuple(drawn[i] for i in mine))
        return cls(context, own, systems, tuple(units), tuple(contracted), tuple(cells), tuple(noise))

    @property
    def shrink(self) -> bool:
        """Whether the formula itself pays on shrunken improvements."""
        return self.own.formula.shrinkage != "none"

    def seen(self) -> list[Units]:
        """The contracted units of each measure."""
        return [u.of(np.flatnonzero(own)) for u, own in zip(self.units, self.contracted, strict=True)]

    def drawn(self, true: float) -> list[Array]:
        """(draws, U) scores of contracted units by measure when gaps truly narrow by `true` points and the rest is noise."""
        out = []
        for units, cells, noise in zip(self.seen(), self.cells, self.noise, strict=True):
            parts = [simulated(c.cell, self.own.formula, e, true) for c, e in zip(cells, noise, strict=True)]
            out.append(units.paid(self.own.formula, self.shrink, Outcome.joined(parts)))
        return out

    def rows(self) -> list[dict[str, Any]]:
        """One row over all systems, and one a contracted system."""
        common = {"formula_id": self.own.id, "label": self.own.label, "paid_on": self.own.formula.statistic}
        seen = self.seen()
        system, stake = (np.concatenate([getattr(u, n) for u in seen] or [np.zeros(0)]) for n in ("system", "stake"))
        scores = [np.concatenate([u.paid(self.own.formula, s) for u in seen] or [np.zeros(0)]) for s in (False, True)]
        chance = np.concatenate([d.mean(axis=0) for d in self.drawn(0.0)] or [np.zeros(0)])
        stopped = np.concatenate([_stopped(u, self.own.formula, self.shrink) for u in seen] or [np.zeros(0, bool)])
        out: list[dict[str, Any]] = []
        for name in [ALL, *(s for s in self.systems if (system == self.systems.index(s)).any())]:
            at = np.ones(len(system), bool) if name == ALL else system == self.systems.index(name)
            if not stake[at].sum() > 0:
                reason = "no cell has the minimum denominator"
                out.append({**common, "system_id": name, "status": "not_estimable", "reason": reason})
                continue
            row: dict[str, Any] = {**common, "system_id": name, "status": "ok", "reason": None}
            row |= self._totals(scores[0][at], scores[1][at], chance[at], stake[at]) | {"units_stopped": int(stopped[at].sum())}
            out.append(row | (self._permuted(row["score"]) if name == ALL else {}))
        return out

    def _totals(self, plain: Array, shrunken: Array, chance: Array, stake: Array) -> dict[str, Any]:
        paid = shrunken if self.shrink else plain
        known = self.context.study.measure_sets.spending is not None
        return {
            "n_cells": len(stake), "units_paid": int((paid > 0).sum()), "score": _share(paid, stake),
            "by_simulation": _share(chance, stake), "shrunken_score": _share(shrunken, stake),
            "units_unpaid": int(((plain > 0) & (shrunken <= 0)).sum()), "units_added": int(((plain <= 0) & (shrunken > 0)).sum()),
            "units_moved": int((np.abs(plain - shrunken) >= LARGE).sum()), "max_possible": float(stake.sum()) if known else None,
            "earned": float((paid * stake).sum()) if known else None,
        }  # fmt: skip

    def _permuted(self, earned: float) -> dict[str, Any]:
        """Mean share earned when contract rows are dealt anew within strata, and the share of deals that earn as much."""
        draws = self.context.study.payment.draws if self.context.study.payment else 0
        rng = np.random.default_rng([self.context.seed(f"payment|{self.own.id}"), 0])
        deal = _deals(self.context.strata(self.systems), draws, rng)
        paid, stake = np.zeros(draws), np.zeros(draws)
        for units, own in zip(self.units, self.contracted, strict=True):
            held = np.unique(units.system[own])
            got = deal[:, held]  # who holds, in each deal, the rows of the systems that hold a contract on this measure
            at, there = _positions(units.system, got)
            gathered = units.of(at)
            mask = np.where(there, 1.0, np.nan)
            seen = gathered.seen
            outcome = Outcome(seen.improvement * mask, seen.reference_change, seen.group_change, seen.overall_change)
            improvement = outcome.improvement
            if self.shrink:
                improvement = empirical_bayes(improvement, gathered.variance * mask)
            scores = outcome.paid(np.nan_to_num(improvement, nan=-np.inf), self.own.formula, gathered.thrift)
            paid += (np.where(there, scores * gathered.stake, 0.0)).sum(axis=1)
            stake += np.where(there, gathered.stake, 0.0).sum(axis=1)
        share = np.divide(paid, stake, out=np.full(draws, np.nan), where=stake > 0)
        known = share[np.isfinite(share)]
        if not len(known):
            return {}
        return {"by_permutation": float(known.mean()), "as_much_by_permutation": float((known >= earned - 1e-12).mean())}

    def curve(self) -> list[dict[str, Any]]:
        """Expected score of all contracted units at each true narrowing of the plan."""
        plan = self.context.study.payment
        stake = np.concatenate([u.stake for u in self.seen()] or [np.zeros(0)])
        if plan is None or not stake.sum() > 0:
            return []
        out = []
        for true in plan.narrowing:
            share = np.concatenate(self.drawn(true), axis=1) @ stake / stake.sum()
            error = float(share.std(ddof=1) / np.sqrt(len(share)))
            what = {"formula_id": self.own.id, "label": self.own.label, "true_narrowing": float(true)}
            out.append({**what, "score": float(share.mean()), "monte_carlo_error": error})
        return out


def _stopped(units: Units, formula: Formula, shrink: bool) -> Flags:
    """Units that would be paid if it were not for the guards against leveling down."""
    free = replace(formula, reference_margin=None, group_gain=None)
    return np.asarray((units.paid(free, shrink) > 0) & ~units.seen.guarded(formula))


def _share(scores: Array, stake: Array) -> float:
    return float((scores * stake).sum() / stake.sum())


def _deals(strata: NDArray[np.int64], draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(draws, E) systems that hold the contract row of each system when rows are dealt anew within strata."""
    out = np.tile(np.arange(len(strata)), (draws, 1))
    for code in np.unique(strata):
        own = np.flatnonzero(strata == code)
        out[:, own] = rng.permuted(np.tile(own, (draws, 1)), axis=1)
    return out


def _positions(system: NDArray[np.int64], got: NDArray[np.int64]) -> tuple[NDArray[np.int64], Flags]:
    """(draws, n x most units) positions of the units of these systems, and which of them there are."""
    most = int(np.bincount(system).max())
    table = np.full((max(int(system.max()), int(got.max())) + 1, most), -1, np.int64)
    for s in np.unique(system):
        own = np.flatnonzero(system == s)
        table[s, : len(own)] = own
    at = table[got].reshape(len(got), -1)
    return np.maximum(at, 0), np.asarray(at >= 0)
