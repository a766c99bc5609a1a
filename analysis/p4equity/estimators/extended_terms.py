"""Rows of the extended two-way regression: averages of its cells, as influences and as contrasts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from p4equity.estimators.base import Array, Base, Flags, Request, Term, estimand
from p4equity.estimators.extended_design import Design
from p4equity.estimators.extended_models import LinearModel, Model, NonlinearModel
from p4equity.estimators.influence import InfluenceEstimate
from p4equity.inference.moments import independent_columns
from p4equity.inference.sweeping import dummies

NO_CELLS = "no treated cell of this group is observed after treatment"
NO_LEADS = "not available, because there is no period before the reference period"


@dataclass(frozen=True)
class _Average:
    """One row of answers. omegas: (q, N) weights of rows; several for a joint test. rank: order of its kind."""

    rank: int
    term: Term
    omegas: Array


@dataclass(frozen=True)
class Averages:
    """All averages that a request asks for."""

    design: Design
    model: Model
    request: Request

    def by_influence(self) -> InfluenceEstimate:
        """Parameters are the averages themselves."""
        terms: list[Term] = []
        values: list[float] = []
        columns: list[Array] = []
        shares: list[float] = []
        planned = self._planned()
        size = sum(len(a.omegas) for a in planned)
        for a in planned:
            found = [self.model.scalar(omega, a.term.outcome) for omega in a.omegas]
            contrast = np.zeros((len(found), size))
            contrast[np.arange(len(found)), len(values) + np.arange(len(found))] = 1.0
            reason = a.term.reason or next((s.reason for s in found if s.reason), "")
            terms.append(replace(a.term, contrast=contrast, reason=reason))
            values += [s.value for s in found]
            columns += [s.influence for s in found]
            shares.append(0.0 if a.term.joint else max((s.unseen for s in found), default=0.0))
        panel = self.design.panel
        influence = np.stack(columns, axis=1) if columns else np.zeros((0, 0))
        return InfluenceEstimate(
            tuple(terms), panel.dropped, panel.unbalanced, np.nan_to_num(np.array(values)), influence, unseen=tuple(shares)
        )

    def by_contrast(self, model: LinearModel) -> tuple[Term, ...]:
        """Terms whose contrasts combine coefficients of the regression."""
        out = []
        for a in self._planned():
            rows = [model.gradient(omega) for omega in a.omegas]
            out.append(replace(a.term, contrast=np.stack(rows) if rows else np.zeros((0, model.effects.shape[1]))))
        return tuple(out)

    def _planned(self) -> list[_Average]:
        panel = self.design.panel
        every = np.ones(len(panel.frame), bool)
        blocks = [("pooled", every)] if len(panel.groups) > 1 else []
        blocks += [(g, np.asarray(panel.column("group") == g, bool)) for g in panel.groups]
        out: list[_Average] = []
        for label, rows in blocks:
            for j, name in enumerate(panel.outcomes):
                out += self._block(label, rows, j, name)
        return sorted(out, key=lambda a: a.rank)

    def _block(self, label: str, rows: Flags, j: int, name: str) -> list[_Average]:
        """Averages of one group (or all) and outcome."""
        design, kind = self.design, self.request.aggregate or "event"
        event = design.event
        after = rows & (event >= 0)
        out = [self._average(0, after, rows, label, j, name)]
        base = -1.0 - self.request.anticipation
        leads = [float(e) for e in np.unique(event[rows & (event < base)])] if self.request.comparison == "never" else []
        if self.request.comparison == "never":
            test = self._average(1, after, rows, label, j, name)
            omegas = [self._omega(rows & (event == e)) for e in leads]
            stacked = np.stack(omegas) if omegas else np.zeros((0, len(event)))
            term = replace(test.term, estimand=estimand("pretrend", name), joint=True, reason="" if leads else NO_LEADS)
            out.append(_Average(1, term, stacked))
        if kind == "event":
            for e in [*leads, *(float(e) for e in np.unique(event[after]))]:
                a = self._average(2, rows & (event == e), rows, label, j, name)
                out.append(replace(a, term=replace(a.term, event_time=e, band=f"{label} {name}")))
        column = {"group": "cohort", "calendar": "time"}.get(kind)
        if column:
            values = design.panel.frame[column].to_numpy(float)
            for v in np.unique(values[after]):
                a = self._average(3, after & (values == v), rows, label, j, name)
                cohort = a.term.cohort if kind == "group" else None
                period = a.term.period if kind == "calendar" else None
                out.append(replace(a, term=replace(a.term, cohort=cohort, period=period)))
        return out

    def _omega(self, rows: Flags) -> Array:
        """(N,) weights of an average over rows; over groups the plain average."""
        frame = self.design.panel.frame
        word = str(self.request.own.get("average", "cells"))
        once = word == "cells" and self.request.weights is not None
        by = (np.ones(len(rows)) if once else frame["w" if word == "weights" else "rows"].to_numpy(float)) * rows
        group = self.design.panel.column("group")
        labels = [g for g in self.design.panel.groups if by[group == g].sum() > 0]
        out = np.zeros(len(rows))
        for g in labels:
            mine = np.where(group == g, by, 0.0)
            out += mine / mine.sum() / len(labels)
        return out

    def _average(self, rank: int, target: Flags, rows: Flags, label: str, j: int, name: str) -> _Average:
        """An average over the target rows, with what they have in common."""
        panel = self.design.panel
        frame = panel.frame[target]
        starts, times = frame["cohort"].unique(), frame["time"].unique()
        cohort = panel.cohorts[float(starts[0])] if len(starts) == 1 else None
        period = str(panel.labels[float(times[0])]) if len(times) == 1 and rank else None
        reason, base = "" if target.any() else NO_CELLS, self._base(target, rows, j)
        term = Term(estimand("att", name), np.zeros((1, 0)), base, 0, j, label, cohort, period=period, reason=reason)
        return _Average(rank, term, self._omega(target)[None, :])

    def _base(self, target: Flags, rows: Flags, j: int) -> Base:
        """Counts behind an average: its cells and those of the comparison; clusters of both."""
        panel, cluster = self.design.panel, self.design.panel.frame["cluster"]
        untreated = rows & ~panel.treated
        first = panel.frame.loc[rows & panel.treated, "cohort"].min()
        later = (panel.frame["cohort"].isna() | (panel.frame["cohort"] > first)).to_numpy(bool)
        if self.request.comparison == "never":
            later = later & np.isnan(self.design.event)
        return replace(
            panel.base(target | untreated, j),
            n_treated_clusters=int(cluster[target].nunique()),
            n_comparison_clusters=int(cluster[untreated & later].nunique()),
        )


def idle_covariates(design: Design, model: LinearModel | NonlinearModel, request: Request) -> tuple[str, ...]:
    """Sentences on covariates none of whose columns adds anything, and on fitted rates of 0 or 1."""
    if isinstance(model, LinearModel):
        idle = {int(n.split()[1]) for n in model.fit.idle}
        used = [not set(np.flatnonzero(design.slope_owner == j)) <= idle for j in range(len(request.covariates))]
        edge = 0
    else:
        X = np.hstack([*(dummies(codes) for codes in design.fixed), design.slopes])
        kept = independent_columns(X.T @ X)[X.shape[1] - design.slopes.shape[1] :]
        used = [bool(kept[design.slope_owner == j].any()) for j in range(len(request.covariates))]
        edge = sum(int(p.fit.edge.sum()) for p in model.pieces.values())
    text = "adds nothing to the effects and the other covariates, and is left out"
    out = [f"covariate '{x}' {text}" for x, k in zip(request.covariates, used, strict=True) if not k]
    if edge:
        out.append(f"{edge} cells have a fitted outcome of 0 or 1: effects that compare them have no finite coefficient")
    return tuple(out)
