"""Rows, effects and treated cells of each model of the imputation estimator, and what is to be averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from p4equity.errors import UsageError
from p4equity.estimators.base import Array, Dropped, Flags, Request
from p4equity.estimators.event_study import whole_event
from p4equity.estimators.imputed import Imputed, Target
from p4equity.estimators.panels import Panel, build, checked, compared_groups, plain_panel
from p4equity.estimators.tidy import Cells
from p4equity.estimators.untreated_model import UntreatedModel
from p4equity.estimators.values import codes
from p4equity.inference.sweeping import Codes, dummies, is_nested


@dataclass(frozen=True)
class Part:
    """One model. rows: (N,) of the panel. labels: label of each set of answers and the rows (n,) it averages over. effects: codes
    (n,) of all its effects. covariates: how many of its last columns are. sign: -1 where the outcome is a compared
    group's and the answer the gap's."""

    rows: Flags
    model: UntreatedModel
    labels: tuple[tuple[str, Flags], ...]
    effects: tuple[Codes, ...]
    covariates: int
    sign: float = 1.0

    def lead_factor(self, cluster: Codes, rows: int, leads: int) -> float:
        """fixest's G / (G - 1) (N - 1) / (N - K) of a regression on untreated rows (`rows` before they were aggregated)."""
        own = ~self.model.treated
        crossed = [e[own] for e in self.effects if not is_nested(e[own], cluster[own])]
        slopes = int(self.model.kept[self.model.crossed.shape[1] - self.covariates :].sum())
        k = leads + slopes + 1 + sum(len(np.unique(e)) - 1 for e in crossed)
        groups = len(np.unique(cluster[own]))
        return groups / (groups - 1) * (rows - 1) / (rows - k) if groups > 1 and rows > k else float("nan")

    def event(self, panel: Panel) -> Array:
        """(n,) periods since the first treated one; NaN for never treated units and, of a triple difference, the reference."""
        frame = panel.frame[self.rows]
        out = (frame["time"] - frame["cohort"]).to_numpy(float)
        return np.where(self.labels[0][1], out, np.nan)

    def auxiliary(self, panel: Panel, request: Request) -> Codes:
        """(n,) codes of the cells within which treated residuals are centred."""
        frame, event = panel.frame[self.rows], self.event(panel)
        word = str(request.own.get("auxiliary", "cohort_event"))
        columns: list[object] = [self.model.treated]
        columns += [frame["cohort"]] if word.startswith("cohort") else []
        columns += [event] if word.endswith("event") else []
        return codes(*columns)

    def targets(self, panel: Panel, request: Request) -> list[Target]:
        """Averages of treated cells, and leads, for each label."""
        event, frame = self.event(panel), panel.frame[self.rows]
        treated = self.model.treated
        seen = sorted({float(e) for e in event[treated]})
        leads = sorted({float(e) for e in event[~treated] if not np.isnan(e)})
        out: list[Target] = []
        for label, within in self.labels:
            rows = within & treated
            out.append(Target(label, "att", np.nan, rows))
            out += [Target(label, "event", e, rows & (event == e)) for e in _horizons(request.own.get("horizons"), seen)]
            column = {"cohort": "cohort", "calendar": "time"}.get(request.aggregate or "")
            if column:
                values = frame[column].to_numpy(float)
                out += [Target(label, str(request.aggregate), v, rows & (values == v)) for v in np.unique(values[rows])]
            chosen = _leads(request.own.get("pretrends", True), leads)
            out += [Target(label, "lead", e, np.asarray(within & ~treated & (event == e), bool)) for e in chosen]
        return out


def _horizons(given: Any, seen: Sequence[float]) -> list[float]:
    """Event times after treatment that get a row each."""
    if given is None or given is False:
        return []
    if given is True:
        return list(seen)
    return _each(given, seen, "horizons")


def _leads(given: Any, seen: Sequence[float]) -> list[float]:
    """Leads with a coefficient: all but the last one, or those named."""
    if given is True:
        return list(seen[:-1])
    return [] if given is None or given is False else _each(given, seen, "pretrends")


def _each(given: Any, seen: Sequence[float], name: str) -> list[float]:
    values = given if isinstance(given, list | tuple | range | np.ndarray) else [given]
    out = sorted({float(e) for v in values if (e := whole_event(v, name)) is not None})
    if missing := [f"{e:.0f}" for e in out if e not in seen]:
        expected = f"True, or some of: {', '.join(f'{e:.0f}' for e in seen) or 'none is observed'}"
        raise UsageError("an event time that is not observed", where=f"fit: {name}", expected=expected, found=", ".join(missing))
    return out


def parts_of(cells: Cells, request: Request) -> tuple[Panel, list[Part]]:
    """The panel and one model a group, or one of all groups for the triple difference."""
    if request.own.get("form", "gap") == "triple_difference":
        return _triple(cells, request)
    panel = build(cells, request)
    return panel, [_two_way(panel, g) for g in panel.groups]


def _two_way(panel: Panel, group: str) -> Part:
    """Effects of unit and period within one group."""
    rows = np.asarray(panel.column("group") == group, bool)
    frame = panel.frame[rows]
    unit, time, x = codes(frame["unit"]), codes(frame["time"]), panel.covariates()[rows]
    model = UntreatedModel(panel.treated[rows], frame["w"].to_numpy(float), [unit], unit, np.hstack([dummies(time), x]))
    return Part(rows, model, ((group, np.ones(len(frame), bool)),), (unit, time), x.shape[1])


def _triple(cells: Cells, request: Request) -> tuple[Panel, list[Part]]:
    """Effects of unit by group, group by period, and parent by period; treated are compared groups of treated units."""
    if request.group is None:
        expected = "a column and its reference level"
        raise UsageError("a triple difference needs groups", where="fit: group", expected=expected, found="nothing")
    reference, others = compared_groups(cells.frame, request)
    panel = checked(plain_panel(cells, "gap", (reference, *others)), request)
    frame, group = panel.frame, panel.column("group")
    compared = np.asarray(group != reference, bool)
    labels = [("pooled" if len(others) > 1 else others[0], compared)]
    labels += [(g, np.asarray(group == g, bool)) for g in others] if len(others) > 1 else []
    nested = [codes(frame["unit"], group), codes(frame["parent"], frame["time"])]
    common, x = codes(group, frame["time"]), panel.covariates()
    crossed = np.hstack([dummies(common), x])
    model = UntreatedModel(panel.treated & compared, frame["w"].to_numpy(float), nested, codes(frame["parent"]), crossed)
    every = np.ones(len(frame), bool)
    return panel, [Part(every, model, tuple(labels), (*nested, common), x.shape[1], -1.0)]


def left_out(panel: Panel, part: Part, fitted: Imputed) -> list[Dropped]:
    """Treated cells that could not be imputed, with the reason, by unit."""
    frame = panel.frame[part.rows].reset_index(drop=True)
    lost = part.model.treated & ~fitted.used
    if not lost.any():
        return []
    inside = part.model.predicted[0]
    untreated = set(frame.loc[~part.model.treated, "time"])
    reason = np.where(~inside, "no untreated cell tells its level", "untreated cells do not identify its untreated outcome")
    reason = np.where(inside & ~frame["time"].isin(untreated).to_numpy(), "no untreated unit in this period", reason)
    suffix = "" if panel.groups == ("all",) else frame["group"].map(" ({})".format)
    rows = pd.DataFrame({"unit": frame["unit"], "time": frame["time"], "reason": "cannot be imputed: " + pd.Series(reason)})
    rows["reason"] += suffix
    return [
        Dropped(str(unit), ", ".join(str(panel.labels[t]) for t in sorted(some["time"].unique())), str(text))
        for (unit, text), some in rows[lost].groupby(["unit", "reason"], sort=True)
    ]
