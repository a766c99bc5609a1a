"""One payment formula in the systems of a study: units of pay as seen, and the contracted ones drawn again without a change."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.panel import Array
from p4equity.evaluation.context import Context
from p4equity.incentive import Formula, Outcome, empirical_bayes, observed, sampling_variance, simulated
from p4equity.summaries.payment_cells import Key, Paid, Registered, eligible_systems, paid_cells, stakes
from p4equity.summaries.payment_cells import unit_count as units_of

A_CENT = 0.01  # USD per member-month: no system loses a payment to rounding
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


@dataclass(frozen=True)
class World:
    """One formula with the units of every contracted measure, and the contracted units drawn again without a true change."""

    context: Context
    own: Registered
    systems: tuple[str, ...]
    units: tuple[Units, ...]
    contracted: tuple[Flags, ...]
    cells: tuple[tuple[Paid, ...], ...]
    noise: tuple[tuple[Array, ...], ...]

    @classmethod
    def of(cls, context: Context, own: Registered, hidden: Collection[Key]) -> World:
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

    def scores(self, *, shrunken: bool) -> list[Array]:
        """(U,) shares of the maximum of contracted units by measure, as seen or with improvements shrunk first."""
        return [u.paid(self.own.formula, shrunken) for u in self.seen()]

    def by_chance(self) -> list[Array]:
        """(U,) expected shares of contracted units by measure when no rate truly changed, gates included."""
        return [d.mean(axis=0) for d in self.drawn(0.0)]

    def keys(self) -> list[tuple[Paid, str]]:
        """The cell and group of each contracted unit that is paid by group, in the order of the units."""
        return [(c, g) for cells in self.cells for c in cells for g in c.groups]

    def without_contract(self) -> float | None:
        """Share that comparison systems would earn on the same measures, these weighted by what is at stake under contracts."""
        compared = {s.id for s in self.context.study.arm_systems("comparison")}
        own = np.array([s in compared for s in self.systems])
        shares, weights = [], []
        for units, mine in zip(self.units, self.seen(), strict=True):
            others = units.of(np.flatnonzero(own[units.system]))
            if others.stake.sum() > 0:
                shares.append(float(others.paid(self.own.formula, self.shrink) @ others.stake / others.stake.sum()))
                weights.append(float(mine.stake.sum()))
        return float(np.average(shares, weights=weights)) if sum(weights) > 0 else None

    def months(self, system: str | None = None) -> float:
        """Member-months of contracted systems, or of one, in the performance years of their contracts; NaN where not known."""
        found: dict[str, float] = {}
        for cell in (c for cells in self.cells for c in cells if system in (None, c.system)):
            found[cell.system] = max(cell.months, found.get(cell.system, cell.months))
        return sum(found.values())

    def drawn(self, true: float) -> list[Array]:
        """(draws, U) scores of contracted units by measure when gaps truly narrow by `true` points and the rest is noise."""
        out = []
        for units, cells, noise in zip(self.seen(), self.cells, self.noise, strict=True):
            parts = [simulated(c.cell, self.own.formula, e, true) for c, e in zip(cells, noise, strict=True)]
            out.append(units.paid(self.own.formula, self.shrink, Outcome.joined(parts)))
        return out
