"""Linear and nonlinear fits of the extended two-way design: an average effect, its gradient and its influence by cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from p4equity.errors import DataError
from p4equity.estimators.base import Array, Request
from p4equity.estimators.extended_design import Design
from p4equity.estimators.glm import GlmFit, fit_glm
from p4equity.estimators.linear import Fit, pad, regress, ssc_of
from p4equity.estimators.panels import GAP, compared_groups
from p4equity.estimators.tidy import Cells, cell_keys
from p4equity.inference.cluster_robust import NOT_IDENTIFIED, small_sample_factor, unseen
from p4equity.inference.moments import ClusterMoments
from p4equity.inference.sweeping import dummies

ROUNDING = 1e-10  # scores below this share of the outcome's scale are rounding
NO_CONVERGENCE = "the likelihood has no maximum that could be found: outcomes of 0 or 1 throughout a cohort or period"


@dataclass(frozen=True)
class Scalar:
    """An average effect: its value, influence by cluster (G,) scaled so that influence' influence is its variance, the share of
    the working variance that one cluster alone identifies, and why it is not available."""

    value: float
    influence: Array
    unseen: float = 0.0
    reason: str = ""


class Model(Protocol):
    """What both families answer."""

    def scalar(self, omega: Array, outcome: int) -> Scalar:
        """The average effect over rows with weights omega (N,), zero off treated rows."""
        ...


def influence(moments: ClusterMoments, gradient: Array, clusters: list[str], ssc: str | int) -> tuple[Array, float, str]:
    """Influence (G,) of gradient'coefficients on the labels `clusters`, the share one cluster alone identifies, and why not."""
    c = moments.design.contrast(gradient)
    if c is None:
        return np.zeros(len(clusters)), 0.0, NOT_IDENTIFIED
    out = np.zeros(len(clusters))
    own = moments.z @ c
    if np.linalg.norm(own) > ROUNDING * float(np.linalg.norm(c)) * moments.norm:
        out[[clusters.index(label) for label in moments.design.clusters]] = own
    # A factor that is not defined (one cluster, no rows to spare) leaves no variance to answer with.
    factor = small_sample_factor(moments.design, ssc)
    share = unseen(moments.design, c[None, :])[0] if moments.design.n_clusters > 1 else 0.0
    return out * np.sqrt(factor if np.isfinite(factor) else 0.0), share, ""


@dataclass(frozen=True)
class LinearModel:
    """Least squares of all outcomes on the same columns."""

    fit: Fit
    effects: Array
    clusters: list[str]
    ssc: str | int

    def gradient(self, omega: Array) -> Array:
        """(c,) weights of the effect columns."""
        return np.asarray(omega @ self.effects)

    def scalar(self, omega: Array, outcome: int) -> Scalar:
        """The average effect over rows with weights omega (N,)."""
        moments = self.fit.moments[outcome]
        gradient = pad(self.gradient(omega), len(moments.design.names))[0]
        own, share, reason = influence(moments, gradient, self.clusters, self.ssc)
        return Scalar(self.fit.value(gradient, outcome), own, share, reason)


def linear_model(design: Design, clusters: list[str], request: Request) -> LinearModel:
    """Weighted least squares with the two effects swept out."""
    panel, slopes = design.panel, design.slopes
    names = [f"effect {i}" for i in range(design.effects.shape[1])] + [f"slope {i}" for i in range(slopes.shape[1])]
    fit = regress(
        panel.Y,
        design.effects,
        slopes,
        effects=list(design.fixed),
        cluster=panel.column("cluster"),
        weights=panel.frame["w"].to_numpy(float),
        names=names,
        n_obs=panel.n_obs,
        cluster2=panel.second_cluster,
        request=request,
    )
    return LinearModel(fit, design.effects, clusters, ssc_of(request))


@dataclass(frozen=True)
class _Piece:
    """One regression: numbers of the panel's rows it is fitted on, their columns, and where the effect columns begin."""

    rows: NDArray[np.intp]
    X: Array
    first: int
    fit: GlmFit


@dataclass(frozen=True)
class NonlinearModel:
    """Logit or Poisson regressions, one an outcome and group; the gap is the difference of two average effects."""

    pieces: dict[tuple[int, str], _Piece]
    labels: NDArray[np.object_]
    gap: bool
    clusters: list[str]
    ssc: str | int

    def scalar(self, omega: Array, outcome: int) -> Scalar:
        """The average effect on the outcome's own scale over rows with weights omega (N,)."""
        if self.gap and outcome == 0:
            reference, group = self.scalar(omega, 1), self.scalar(omega, 2)
            value, both = reference.value - group.value, reference.influence - group.influence
            return Scalar(value, both, max(reference.unseen, group.unseen), reference.reason or group.reason)
        total, sums, share = 0.0, np.zeros(len(self.clusters)), 0.0
        for label in np.unique(self.labels[omega != 0]):
            piece = self.pieces[outcome, str(label)]
            if not piece.fit.converged:
                return Scalar(float("nan"), sums, 0.0, NO_CONVERGENCE)
            value, gradient = _effect(piece, omega[piece.rows])
            own, part, reason = influence(piece.fit.moments, gradient, self.clusters, self.ssc)
            if reason:
                return Scalar(float("nan"), sums, 0.0, reason)
            total, sums, share = total + value, sums + own, max(share, part)
        return Scalar(total, sums, share)


def _effect(piece: _Piece, omega: Array) -> tuple[float, Array]:
    """Weighted sum of the differences between fitted outcomes with and without treatment, and its derivative (k,)."""
    used = omega != 0
    X, w = piece.X[used], omega[used]
    without = X.copy()
    without[:, piece.first :] = 0.0
    on, off = X @ piece.fit.coefficients, without @ piece.fit.coefficients
    value = float(w @ (piece.fit.mean(on) - piece.fit.mean(off)))
    return value, np.asarray((w * piece.fit.slope(on)) @ X - (w * piece.fit.slope(off)) @ without)


def nonlinear_model(
    cells: Cells, design: Design, request: Request, family: str, clusters: list[str], ssc: str | int
) -> NonlinearModel:
    """One regression an outcome and group, weighted by the outcome's own counts. Raises DataError for outcomes out of range."""
    panel = design.panel
    weights = _own_weights(cells, design, request)
    labels = panel.column("group")
    pieces: dict[tuple[int, str], _Piece] = {}
    for j, name in enumerate(panel.outcomes):
        if name == "gap":
            continue
        _in_range(panel.Y[:, j], family, request)
        for label in panel.groups:
            rows = np.flatnonzero(labels == label)
            if not len(rows):
                continue
            fixed = [dummies(codes[rows]) for codes in design.fixed]
            effects = design.effects[rows]
            effects = effects[:, np.abs(effects).max(axis=0, initial=0.0) > 0]
            # Effects of cohort and period first, so that columns that repeat them have no coefficient.
            X = np.hstack([*fixed, design.slopes[rows], effects])
            fit = fit_glm(
                family,
                X,
                panel.Y[rows, j],
                weights[rows, j],
                panel.column("cluster")[rows],
                [f"c{i}" for i in range(X.shape[1])],
                int(panel.frame["rows"].to_numpy(float)[rows].sum()),
            )
            pieces[j, label] = _Piece(rows, X, X.shape[1] - effects.shape[1], fit)
    return NonlinearModel(pieces, labels, panel.outcomes == GAP, clusters, ssc)


def _in_range(y: Array, family: str, request: Request) -> None:
    low, high = float(y.min()), float(y.max())
    if low < 0 or (family == "logit" and high > 1):
        raise DataError(
            f"outcomes out of the range of family '{family}'",
            where=f"fit: column '{request.outcome}'",
            expected="rates between 0 and 1" if family == "logit" else "0 or more",
            found=f"{low:g} to {high:g}",
            fix="use family='linear', or pass rates with their counts as weights",
        )


def _own_weights(cells: Cells, design: Design, request: Request) -> Array:
    """(N, m) weights of each outcome's own cells: of reference and group where the outcome is a gap."""
    frame = design.panel.frame
    if design.panel.outcomes != GAP:
        return np.asarray(frame[["w"]].to_numpy(float))
    reference, _ = compared_groups(cells.frame, request)
    keys = [c for c in cell_keys(cells.frame) if c != "group"]
    own = frame[[*keys, "group"]].merge(cells.frame[[*keys, "group", "w"]], on=[*keys, "group"], how="left")["w"]
    other = cells.frame.loc[cells.frame["group"] == reference, [*keys, "w"]]
    base = frame[keys].merge(other, on=keys, how="left")["w"]
    return np.column_stack([frame["w"], base, own]).astype(float)
