"""Group-time effects of one compared group as rows: overall first, the joint test of leads, then each effect or average."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from p4equity.estimators.aggregation import OVERALL, At, Average, Effects, aggregate, effects
from p4equity.estimators.base import Array, Flags
from p4equity.estimators.group_time_cells import CellEstimate, Sample, shares

NO_LEADS = "not available, because there is no period before treatment to test"


@dataclass(frozen=True)
class Block:
    """One compared group: its label, its rows (N,) of the panel, its sample and its cells' estimates.

    side: (N,) of a triple difference, the rows that are not of the reference group.
    """

    label: str
    rows: Flags
    sample: Sample
    cells: list[CellEstimate]
    side: Flags | None = None

    @property
    def effects(self) -> Effects | None:
        """The estimable cells with their cohorts' weights."""
        cohorts = np.unique(self.sample.cohort[np.isfinite(self.sample.cohort)])
        return effects(self.cells, cohorts, shares(self.sample, cohorts))


@dataclass(frozen=True)
class Row:
    """One quantity of a block: values (m,) and influence (G, m), the cells behind it with their weights, or a reason.

    tests: keys of the rows whose joint test this is.
    """

    key: tuple[object, ...]
    values: Array | None
    influence: Array | None
    cells: tuple[int, ...]
    weights: Array = field(default_factory=lambda: np.ones(0))
    reason: str = ""
    at: At = OVERALL
    tests: tuple[tuple[object, ...], ...] | None = None


def rows_of(block: Block, kind: str | None, anticipation: int) -> list[Row]:
    """Rows of a block in order: overall; where leads are shown their joint test; then each cell, or each average of a kind."""
    e = block.effects
    overall, parts = aggregate(e, kind or "simple") if e else (None, [])
    every = tuple(i for i, c in enumerate(block.cells) if c.cell.t >= c.cell.g)
    out = [_average(("overall",), overall, every, block)]
    if len(block.cells) == 1 and out[0].influence is not None:  # the average is the cell
        out[0] = replace(out[0], influence=out[0].influence * block.cells[0].factor)
    each = _cells(block) if kind is None else [] if kind == "simple" else _parts(block, parts, kind)
    if kind in (None, "dynamic"):
        leads = tuple(r.key for r in each if not r.reason and r.at.event < -anticipation)
        places = tuple(i for r in each if r.key in leads for i in r.cells)
        out.append(Row(("pretrend",), None, None, places, reason="" if leads else NO_LEADS, tests=leads))
    return out + each


def _average(key: tuple[object, ...], average: Average | None, planned: tuple[int, ...], block: Block, at: At = OVERALL) -> Row:
    if average is not None:
        return Row(key, average.estimate, average.influence, average.cells, average.weights, at=at)
    reasons = list(dict.fromkeys(block.cells[i].reason for i in planned))
    text = f"no effect it averages is estimable: {'; '.join(reasons)}" if reasons else "no period after treatment"
    return Row(key, None, None, planned, np.zeros(len(planned)), text, at)


def _cells(block: Block) -> list[Row]:
    out = []
    for i, c in enumerate(block.cells):
        g, t = c.cell.g, c.cell.t
        influence = None if c.reason else c.influence * c.factor
        values = None if c.reason else c.att
        out.append(Row(("cell", g, t), values, influence, (i,), np.ones(1), c.reason, At(t - g, g, t)))
    return out


def _parts(block: Block, parts: list[Average], kind: str) -> list[Row]:
    """One row an event time, cohort or period that the data have, estimable or not."""
    name = {"dynamic": "event", "group": "cohort", "calendar": "period"}[kind]
    planned: dict[float, list[int]] = {}
    for i, c in enumerate(block.cells):
        if kind == "dynamic" or c.cell.t >= c.cell.g:
            value = {"event": c.cell.t - c.cell.g, "cohort": c.cell.g, "period": c.cell.t}[name]
            planned.setdefault(value, []).append(i)
    found = {getattr(part.at, name): part for part in parts}
    return [_average((name, v), found.get(v), tuple(planned[v]), block, At(**{name: v})) for v in sorted(planned)]
