"""Group-time effects and their averages as terms of an estimate, with the counts behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from p4equity.estimators.base import NAN, Array, Base, Flags, Request, Term, estimand
from p4equity.estimators.group_time_blocks import NO_LEADS, Block, Row, rows_of
from p4equity.estimators.group_time_cells import NEVER, Cell, Sample, shares
from p4equity.estimators.influence import InfluenceEstimate
from p4equity.estimators.panels import GAP, Panel, year_of

LISTED = 6  # effects named in a sentence


@dataclass(frozen=True)
class _Counts:
    """Codes of the panel's rows, to count what is behind a term."""

    panel: Panel
    cohorts: Array
    times: Array
    cohort: Array
    time: Array
    cluster: Array
    pair: Array

    def base(self, rows: Flags, cells: list[Cell], outcome: int, side: Flags | None = None) -> Base:
        """Counts behind some cells in some rows. side: with two groups, an arm has as many clusters as its smaller group."""
        arms = np.zeros((2, len(self.cohorts), len(self.times)), bool)
        for cell in cells:
            at = np.searchsorted(self.times, [cell.t, cell.base])
            arms[0][np.searchsorted(self.cohorts, cell.g), at] = True
            for c in cell.comparison:
                arms[1][np.searchsorted(self.cohorts, c), at] = True
        treated, other = (rows & arm[self.cohort, self.time] for arm in arms)
        used = treated | other
        years = [y for t in np.unique(self.times[self.time[used]]) if (y := year_of(self.panel.labels[float(t)])) is not None]
        return Base(
            self._members(used, outcome),
            int(used.sum()),
            float(min(years, default=NAN)),
            float(max(years, default=NAN)),
            len(np.unique(self.cluster[used])),
            self._clusters(treated, side),
            self._clusters(other, side),
        )

    def _clusters(self, arm: Flags, side: Flags | None) -> int:
        parts = [arm] if side is None else [arm & side, arm & ~side]
        return min(len(np.unique(self.cluster[part])) for part in parts)

    def _members(self, used: Flags, outcome: int) -> float:
        """Members behind rows; of a gap's reference group, which several compared groups share, each once."""
        members = self.panel.members[used]
        if self.panel.outcomes != GAP:
            return float(members[:, outcome].sum())
        first = np.unique(self.pair[used], return_index=True)[1]
        reference, group = float(members[first, 1].sum()), float(members[:, 2].sum())
        return (reference + group, reference, group)[outcome]


def _counts(panel: Panel) -> _Counts:
    frame = panel.frame
    cohort = frame["cohort"].fillna(NEVER).to_numpy(float)
    cohorts, times = np.unique(cohort), np.unique(frame["time"].to_numpy(float))
    pair = pd.factorize(pd.MultiIndex.from_arrays([frame["unit"], frame["time"], frame["cluster"]]))[0]
    return _Counts(
        panel,
        cohorts,
        times,
        np.searchsorted(cohorts, cohort),
        np.searchsorted(times, frame["time"].to_numpy(float)),
        pd.factorize(frame["cluster"])[0],
        pair,
    )


def answer(
    panel: Panel, blocks: list[Block], request: Request, kind: str | None, notes: tuple[str, ...], pooled: bool
) -> InfluenceEstimate:
    """The estimate of all blocks. pooled: their plain average comes first, where they are several."""
    table = _Table(panel, blocks, request, kind, pooled)
    return table.estimate((*notes, *_cell_notes(panel, blocks, request, kind)))


class _Table:
    """Parameters, one a row of a block and outcome, and the terms that combine them."""

    def __init__(self, panel: Panel, blocks: list[Block], request: Request, kind: str | None, pooled: bool) -> None:
        self.panel, self.blocks, self.kind, self.counts = panel, blocks, kind, _counts(panel)
        self.rows = [{r.key: r for r in rows_of(b, kind, request.anticipation)} for b in blocks]
        self.keys = list(dict.fromkeys(key for rows in self.rows for key in rows))
        self.labels: list[tuple[str, list[int]]] = [(b.label, [k]) for k, b in enumerate(blocks)]
        if pooled and len(blocks) > 1:
            self.labels.insert(0, ("pooled", list(range(len(blocks)))))
        self.place: dict[tuple[int, tuple[object, ...]], int] = {}
        self.columns: list[Row] = []
        for k, rows in enumerate(self.rows):
            for key, row in rows.items():
                if row.values is not None:
                    self.place[k, key] = len(self.columns)
                    self.columns.append(row)

    def estimate(self, notes: tuple[str, ...]) -> InfluenceEstimate:
        """Averages over groups and outcomes first, then tests, then the rest by band."""
        m, clusters = len(self.panel.outcomes), self.blocks[0].sample.clusters
        terms, unseen = [], []
        for step in ("overall", "pretrend", ""):
            keys = [key for key in self.keys if (key[0] if key[0] in ("overall", "pretrend") else "") == step]
            for label, members in self.labels:
                for j in range(m):
                    for key in keys:
                        if not any(key in self.rows[k] for k in members):
                            continue
                        terms.append(self._term(label, members, key, j))
                        unseen.append(max(self._unseen(k, key) for k in members))
        values = [v for row in self.columns if row.values is not None for v in row.values]
        influence = [row.influence for row in self.columns if row.influence is not None]
        stacked = np.concatenate(influence, axis=1) if influence else np.zeros((clusters, 0))
        dropped, stays = self.panel.dropped, self.panel.unbalanced
        return InfluenceEstimate(tuple(terms), dropped, stays, np.array(values), stacked, notes, tuple(unseen))

    def _term(self, label: str, members: list[int], key: tuple[object, ...], outcome: int) -> Term:
        found = [self.rows[k].get(key) for k in members]
        missing = [self.blocks[k].label for k, row in zip(members, found, strict=True) if row is None or row.reason]
        rows = [row for row in found if row is not None]
        row = rows[0]
        reason = next((r.reason for r in rows if r.reason), "")
        if missing and len(members) > 1:
            reason = f"not estimable in {', '.join(missing)}" + (f": {reason}" if reason else "")
        tests = row.tests
        if tests is not None and len(members) > 1:  # a joint test over groups takes the leads that all of them have
            tests = tuple(t for t in tests if all((k, t) in self.place for k in members))
            reason = reason or ("" if tests else NO_LEADS)
        cells = [self.blocks[k].cells[i].cell for k, r in zip(members, found, strict=True) if r for i in r.cells]
        mask = np.any([self.blocks[k].rows for k in members], axis=0)
        name = self.panel.outcomes[outcome]
        detail = key[0] not in ("overall", "pretrend")
        return Term(
            estimand("pretrend" if tests is not None else "att", name),
            self._contrast(members, [key] if tests is None else list(tests), outcome)
            if not reason
            else np.zeros((1, self._size)),
            self.counts.base(mask, cells, outcome, self.blocks[members[0]].side),
            group=label,
            cohort=self._cohort(row),
            event_time=row.at.event,
            period=self._period(row, cells),
            joint=tests is not None,
            band=f"{label} {name}" if detail else "",
            reason=reason,
        )

    @property
    def _size(self) -> int:
        return len(self.columns) * len(self.panel.outcomes)

    def _contrast(self, members: list[int], keys: list[tuple[object, ...]], outcome: int) -> Array:
        """(rows, q) average of the members' parameters, one row a key."""
        out = np.zeros((len(keys), self._size))
        for i, key in enumerate(keys):
            for k in members:
                out[i, self.place[k, key] * len(self.panel.outcomes) + outcome] += 1 / len(members)
        return out

    def _cohort(self, row: Row) -> object:
        """The row's cohort, or the only one of the panel (but not where each cohort has its own row)."""
        several = self.panel.frame.loc[self.panel.treated, "cohort"].unique()
        only = several[0] if len(several) == 1 and self.kind != "group" else NAN
        value = row.at.cohort if np.isfinite(row.at.cohort) else only
        return self.panel.cohorts[float(value)] if np.isfinite(value) else None

    def _period(self, row: Row, cells: list[Cell]) -> str | None:
        several = {c.t for c in cells}
        shared = len(several) == 1 and np.isfinite(row.at.event)
        value = row.at.period if np.isfinite(row.at.period) else several.pop() if shared else NAN
        return str(self.panel.labels[float(value)]) if np.isfinite(value) else None

    def _unseen(self, block: int, key: tuple[object, ...]) -> float:
        """Share of the treated side's variance that lies in cohorts of one cluster, if clusters were equally noisy per weight."""
        row, b = self.rows[block].get(key), self.blocks[block]
        if row is None or not len(row.weights) or row.reason:
            return 0.0
        g = np.array([b.cells[i].cell.g for i in row.cells])
        cohorts = np.unique(g)
        w = shares(b.sample, cohorts)
        loads = w / w.sum(axis=0) * np.array([row.weights[g == c].sum() for c in cohorts])
        alone = np.array([_lonely(b.sample, c) for c in cohorts])
        total = float((loads.sum(axis=1) ** 2).sum())
        return min(1.0, float((loads[:, alone] ** 2).sum()) / total) if total > 0 else 0.0


def _lonely(sample: Sample, cohort: float) -> bool:
    """Whether a cohort, or one of its groups, is one cluster."""
    here = sample.cohort == cohort
    parts = [here & sample.compared, here & ~sample.compared]
    return min(len(np.unique(sample.cluster[part])) for part in parts if part.any()) == 1


def _cell_notes(panel: Panel, blocks: list[Block], request: Request, kind: str | None) -> tuple[str, ...]:
    """Sentences on effects that are missing from averages, on covariates that add nothing, and those the cells bring along."""
    out = []
    for block in blocks:
        group = "" if block.label == "all" else f" ({block.label})"
        missing: dict[str, list[str]] = {}
        for c in block.cells:
            if c.reason and (kind == "dynamic" or c.cell.t >= c.cell.g):
                name = f"cohort {panel.cohorts[c.cell.g]} in {panel.labels[c.cell.t]}"
                missing.setdefault(c.reason, []).append(name)
        for reason, names in missing.items():
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            out.append(f"left out of the averages{group}: {', '.join(names[:LISTED])}{more}: {reason}")
    idle = sorted({j for block in blocks for c in block.cells for j in c.idle})
    out += [f"covariate '{request.covariates[j]}' adds nothing to the others in some comparison, and is left out" for j in idle]
    out += [text for block in blocks for c in block.cells for text in c.notes]
    return tuple(dict.fromkeys(out))
