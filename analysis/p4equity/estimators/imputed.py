"""Averages of imputed effects and leads of untreated cells, with their influence functions summed by cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from p4equity.estimators.base import Array, Flags
from p4equity.estimators.untreated_model import UntreatedModel
from p4equity.inference.sweeping import Codes

VARIANCES = ("exact", "bjs", "gmm")
ROUNDING = 1e-13  # effects below this share of the outcome's scale are zero
NULL = 1e-10  # eigenvalues of scaled moments of leads below this share count as zero


@dataclass(frozen=True)
class Target:
    """What to average or, for a lead, to estimate: rows (n,) of the part. kind: att, event, cohort, calendar or lead; value:
    its event time, cohort or period."""

    label: str
    kind: str
    value: float
    rows: Flags


@dataclass(frozen=True)
class Imputed:
    """Answers of one model. estimates (q, m): targets by outcomes; influence: for each variance (G, q, m); unseen (q,): share
    of the treated side's variance that is not observed; used (n,): treated rows that could be imputed; found (q,): whether a
    target has any, or a lead is identified."""

    targets: tuple[Target, ...]
    estimates: Array
    influence: dict[str, Array]
    unseen: Array
    used: Flags
    found: Flags


def impute(
    model: UntreatedModel,
    Y: Array,
    cluster: Codes,
    unit: Codes,
    auxiliary: Codes,
    targets: Sequence[Target],
    *,
    groups: int,
    lead_factor: Callable[[int], float],
    leave_out: bool = False,
    untreated_factor: float = 1.0,
) -> Imputed:
    """Average effects, and leads, of one model for outcomes Y (n, m).

    cluster: (n,) codes below `groups`. unit: (n,) codes. auxiliary: (n,) codes of the cells within which treated
    residuals are centred. lead_factor: small-sample factor of the covariance of so many leads; untreated_factor: the same of
    the part of effects' variance that is due to untreated rows.
    """
    root = np.where(model.treated, 1.0, np.sqrt(untreated_factor))[:, None]
    used = np.asarray(model.treated & model.predicted[1], bool)
    scale = np.sqrt(model.weights @ Y**2 / max(float(model.weights.sum()), 1e-300))
    E = model.residuals(Y)
    E = np.where(np.abs(E) > ROUNDING * scale, E, 0.0)
    W = np.stack([model.weights * (t.rows & used & (t.kind != "lead")) for t in targets], axis=1)
    total = W.sum(axis=0)
    found = total > 0
    W = W / np.where(found, total, 1.0)
    own = model.back(W)
    V = {"bjs": _squared_back(model, W), "gmm": own, "exact": own}
    estimates = W.T @ E
    influence = {v: np.zeros((groups, len(targets), Y.shape[1])) for v in VARIANCES}
    cells = _Cells(cluster, unit, auxiliary, groups, leave_out)
    for q in [i for i, has in enumerate(found) if has]:
        for name, weights in V.items():
            centre = estimates[q] if name == "gmm" else cells.centre(weights[:, q], E)
            scores = weights[:, q, None] * root * (E - np.where(model.treated[:, None], centre, 0.0))
            for j in range(Y.shape[1]):
                influence[name][:, q, j] = np.bincount(cluster, scores[:, j], groups)
    unseen = np.array([cells.unseen(w) for w in W.T])
    for leads in lead_sets(targets):
        b, scores, identified = _leads(model, E, np.stack([targets[q].rows for q in leads], axis=1).astype(float))
        estimates[leads], found[leads] = b, identified
        factor = np.sqrt(lead_factor(len(leads)))
        for i, q in enumerate(leads):
            for j in range(Y.shape[1]):
                sums = factor * np.bincount(cluster, scores[:, i, j], groups)
                for name in VARIANCES:
                    influence[name][:, q, j] = sums
    return Imputed(tuple(targets), estimates, influence, unseen, used, found)


def lead_sets(targets: Sequence[Target]) -> list[list[int]]:
    """Leads estimated in one regression each: those of the first label, which others divide, and those of all others."""
    leads = [q for q, t in enumerate(targets) if t.kind == "lead"]
    first = [q for q in leads if targets[q].label == targets[0].label]
    return [part for part in (first, [q for q in leads if q not in first]) if part]


def _squared_back(model: UntreatedModel, W: Array) -> Array:
    """Weights of rows as didimputation 0.5.0 has them: -w Z0 (Z0' w^2 Z0)^-1 Z1' w W on untreated rows."""
    if len(W) == 0 or np.ptp(model.weights) == 0:
        return model.back(W)
    w = model.weights[:, None]
    return np.asarray(np.where(model.treated[:, None], W, replace(model, weights=model.weights**2).back(W * w) / w))


@dataclass(frozen=True)
class _Cells:
    """Auxiliary cells of treated rows, and clusters within them."""

    cluster: Codes
    unit: Codes
    auxiliary: Codes
    groups: int
    leave_out: bool

    def _pairs(self, own: Codes) -> tuple[Codes, Codes]:
        """For each row its pair of auxiliary cell and own code, and for each pair its cell."""
        pairs, position = np.unique(np.stack([self.auxiliary, own], axis=1), axis=0, return_inverse=True)
        return position.ravel(), pairs[:, 0]

    def centre(self, v: Array, E: Array) -> Array:
        """(n, m) averages of effects within auxiliary cells (sums over units of the sum of v times the sum of v e, over
        the sum of squared sums of v), without the own cluster if asked for."""
        place, cell = self._pairs(self.unit)
        sums = np.bincount(place, v)
        cluster = np.zeros(len(cell), np.int64)
        cluster[place] = self.cluster
        group = np.unique(np.stack([cell, cluster], axis=1), axis=0, return_inverse=True)[1].ravel()
        out = np.zeros_like(E)
        for j, e in enumerate(E.T):
            top, below = sums * np.bincount(place, v * e), sums**2
            T, B = np.bincount(cell, top)[cell], np.bincount(cell, below)[cell]
            if self.leave_out:
                rest = B - np.bincount(group, below)[group]
                other = rest > 1e-12 * B
                T, B = np.where(other, T - np.bincount(group, top)[group], T), np.where(other, rest, B)
            out[:, j] = np.divide(T, B, out=np.zeros_like(T), where=B > 0)[place]
        return out

    def unseen(self, w: Array) -> float:
        """Share of the treated side's variance in auxiliary cells of one cluster, which is not observed, if clusters were
        equally noisy per weight w (n,)."""
        if not w.any():
            return 0.0
        place, cell = self._pairs(self.cluster)
        own = np.bincount(place, w)
        cluster = np.zeros(len(cell), np.int64)
        cluster[place] = self.cluster
        lonely = own > np.bincount(cell, own)[cell] * (1 - 1e-9)
        loads, seen = np.bincount(cluster, own), np.bincount(cluster, own * lonely)
        return float((seen**2).sum() / (loads**2).sum())


def _leads(model: UntreatedModel, E: Array, L: Array) -> tuple[Array, Array, Flags]:
    """Coefficients (k, m) of lead dummies L (n, k) beside the model on untreated rows, scores (n, k, m), identified ones (k,)."""
    w = model.weights * ~model.treated
    X = model.residuals(L) * ~model.treated[:, None]
    size, before = np.sqrt(w @ X**2), np.sqrt(w @ L**2)
    live = size > 1e-9 * before
    scaled = X * np.divide(live, size, out=np.zeros_like(size), where=live)
    values, vectors = np.linalg.eigh(scaled.T @ (w[:, None] * scaled))
    kept = values > NULL * max(float(values[-1]), 1e-300)
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    maps = (scaled @ inverse) * w[:, None] * np.divide(live, size, out=np.zeros_like(size), where=live)  # (n, k)
    b = maps.T @ E
    rest = E - X @ b
    identified = live & (np.abs(vectors[:, ~kept]).max(axis=1, initial=0.0) < 1e-7)
    return b, np.einsum("nk,nm->nkm", maps, rest), np.asarray(identified, bool)
