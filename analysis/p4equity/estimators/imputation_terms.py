"""Rows of the imputation estimator: which parameters each answer combines, and the data behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from p4equity.estimators.base import Array, Base, Flags, Request, Term, estimand
from p4equity.estimators.imputation_parts import Part
from p4equity.estimators.imputed import Imputed
from p4equity.estimators.panels import Panel

NOTHING = "no treated cell of it can be imputed from untreated ones"
UNKNOWN = "untreated cells do not identify this lead beside the effects"
NO_LEADS = "not available, because there is no period before the reference period"
RANK = {"att": 0, "event": 2, "lead": 3, "cohort": 4, "calendar": 4}


def build_terms(panel: Panel, parts: list[Part], fitted: list[Imputed], request: Request) -> tuple[Term, ...]:
    """Averages after treatment first (the pooled answer in the first row), then tests of leads, event times, leads, others."""
    return _Rows(panel, parts, fitted, request).terms()


@dataclass(frozen=True)
class _Rows:
    panel: Panel
    parts: list[Part]
    fitted: list[Imputed]
    request: Request

    def terms(self) -> tuple[Term, ...]:
        """All terms, by the rank of their kind."""
        table = self._table()
        labels = list(dict.fromkeys(table["label"]))
        blocks = [(label, [label]) for label in labels]
        if len(self.parts) > 1:
            blocks = [("pooled", labels), *blocks]
        out: list[tuple[int, Term]] = []
        for label, members in blocks:
            own = table[table["label"].isin(members)]
            for j, name in enumerate(self.panel.outcomes):
                out += self._block(label, own, j, name, len(table))
        return tuple(term for _, term in sorted(out, key=lambda pair: pair[0]))

    def _table(self) -> pd.DataFrame:
        """One row a target: label, kind, value, whether it was found, its part and place, in the order of the parameters."""
        records = [
            (t.label, t.kind, t.value, bool(f.found[q]), p, q) for p, f in enumerate(self.fitted) for q, t in enumerate(f.targets)
        ]
        return pd.DataFrame(records, columns=["label", "kind", "value", "found", "part", "place"])

    def _block(self, label: str, table: pd.DataFrame, j: int, name: str, size: int) -> list[tuple[int, Term]]:
        """Terms of one label and outcome."""
        out: list[tuple[int, Term]] = []
        leads: list[Array] = []
        for (kind, value), rows in table.groupby(["kind", "value"], sort=True, dropna=False):
            contrast = self._contrast(rows, j, size)
            reason = "" if contrast.any() else (UNKNOWN if kind == "lead" else NOTHING)
            if kind == "lead":
                leads.append(contrast)
            term = self._term(str(kind), float(value), label, rows, j, name)
            out.append((RANK[str(kind)], replace(term, contrast=contrast[None, :], reason=reason)))
        whole = next(t for rank, t in out if rank == 0)
        identified = [c for c in leads if c.any()]
        reason = "" if identified else NO_LEADS
        matrix = np.stack(identified) if identified else np.zeros((0, size * len(self.panel.outcomes)))
        joint = replace(whole, estimand=estimand("pretrend", name), contrast=matrix, joint=True, reason=reason)
        return [*out, (1, joint)]

    def _contrast(self, rows: pd.DataFrame, j: int, size: int) -> Array:
        """(parameters,) plain average of the targets that were found."""
        outcomes = len(self.panel.outcomes)
        out = np.zeros(size * outcomes)
        found = rows.index[rows["found"].to_numpy(bool)].to_numpy()
        out[found * outcomes + j] = 1 / max(len(found), 1)
        return out

    def _term(self, kind: str, value: float, label: str, rows: pd.DataFrame, j: int, name: str) -> Term:
        """A term without its contrast."""
        panel = self.panel
        target, every = np.zeros(len(panel.frame), bool), np.zeros(len(panel.frame), bool)
        for p, q in zip(rows["part"], rows["place"], strict=True):
            part, f = self.parts[p], self.fitted[p]
            place = np.flatnonzero(part.rows)
            mine = f.targets[q].rows & (f.used | (kind == "lead"))
            target[place[mine]] = True
            every[place[~part.model.treated]] = True
        starts = panel.frame.loc[target, "cohort"].unique()
        cohort = panel.cohorts[float(starts[0])] if len(starts) == 1 else None
        times = panel.frame.loc[target, "time"].unique()
        timed = kind in ("event", "lead", "calendar") and len(times) == 1
        return Term(
            estimand("pretrend" if kind == "lead" else "att", name),
            np.zeros((1, 0)),
            self._base(target, every, j),
            outcome=j,
            group=label,
            cohort=cohort if kind != "calendar" else None,
            event_time=value if kind in ("event", "lead") else float("nan"),
            period=str(panel.labels[float(times[0])]) if timed else None,
            band=f"{label} {name} {kind}" if kind in ("event", "lead") else "",
        )

    def _base(self, target: Flags, untreated: Flags, j: int) -> Base:
        """Counts behind the treated cells of a term and all untreated cells."""
        panel = self.panel
        cluster = panel.frame["cluster"]
        whole = panel.base(target | untreated, j)
        first = panel.frame.loc[panel.treated, "cohort"].min()
        later = panel.frame["cohort"].isna() | (panel.frame["cohort"] > first)
        return replace(
            whole,
            n_treated_clusters=int(cluster[target].nunique()),
            n_comparison_clusters=int(cluster[untreated & later.to_numpy()].nunique()),
        )
