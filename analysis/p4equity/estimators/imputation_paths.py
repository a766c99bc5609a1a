"""Paths of event times of the imputation estimator: leads and effects measured from one reference period, jointly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from p4equity.estimators.base import NAN, Answer, Request, Term
from p4equity.estimators.event_study_answers import EventPath, path_answers
from p4equity.estimators.imputation_parts import Part
from p4equity.estimators.imputation_terms import NOTHING, build_terms
from p4equity.estimators.imputed import Imputed, Target, lead_sets
from p4equity.estimators.influence import InfluenceEstimate
from p4equity.estimators.influence_paths import covered_paths
from p4equity.estimators.panels import Panel
from p4equity.estimators.untreated_model import UntreatedModel

MEASURED_FROM = (
    "leads and effects are measured from event time {:+.0f}, as bounds on trends need, with a dummy for every other lead in the"
    " model of untreated cells; the estimator's own effects are measured from all untreated cells together"
)
NO_REFERENCE = (
    "not available, because a path is measured from the last period before treatment and its anticipation, and no treated unit"
    " is observed there"
)
NOT_FROM_THERE = "beside dummies for all leads untreated cells identify no effect, as without never treated units"
Impute = Callable[[Part, UntreatedModel, Sequence[Target], int], Imputed]  # the last: how many leads the path has


@dataclass(frozen=True)
class ImputationPaths:
    """Leads and effects of every answer from one reference period. notes: for the reader; reason: why there is none."""

    estimate: InfluenceEstimate
    reference: float
    notes: tuple[str, ...]
    reason: str

    def answers(self, inference: str, request: Request) -> list[tuple[Term, Answer]]:
        """Rows of every path: sensitivity sets or power of pretests."""
        if self.reason:
            none = np.zeros(0)
            empty = EventPath(self.estimate.terms[0], none, none, np.zeros((0, 0)), self.reference, NAN, self.reason)
            return path_answers(empty, inference, request)
        return covered_paths(self.estimate, inference, request, self.notes)


def imputation_paths(panel: Panel, parts: list[Part], request: Request, variance: str, impute: Impute) -> ImputationPaths:
    """The paths behind all answers.

    Restrictions on how trends part (Rambachan and Roth) speak of differences from one reference period, on both sides of
    treatment. The estimator's leads are measured from the last untreated period, but its effects from all untreated cells
    of a unit: when trends part, an effect is off by its own difference less an average of those before (Roth 2024), and
    sets from the two together would not hold what they claim. Here the model of untreated cells gets a dummy for every lead
    but the last (of the answer's own kind), so that an effect is off by its own difference alone; with one cohort and no
    missing cell the path is that of the event study. Leads and effects are linear in outcomes, so their joint covariance
    is that of cluster sums of their influence; impute gives both. With small_sample (the default) treated residuals are
    deviations from averages without the own cluster, and sums of untreated cells have (N - 1) / (N - K) of their regression:
    cohorts are few, and centred residuals too small.
    """
    everything = replace(request, own={**request.own, "horizons": True, "pretrends": True}, aggregate=None)
    fitted = [_fitted(part, part.targets(panel, everything), impute) for part in parts]
    found = build_terms(panel, parts, fitted, everything)
    why = {NOTHING: NOT_FROM_THERE}
    terms = tuple(replace(t, band=t.band and f"{t.group} path {t.outcome}", reason=why.get(t.reason, t.reason)) for t in found)
    shares = () if variance == "gmm" else unseen_shares(terms, fitted)
    groups = fitted[0].influence[variance].shape[0]
    influence = np.hstack([f.influence[variance].reshape(groups, -1) for f in fitted])
    estimate = InfluenceEstimate(terms, (), (), np.concatenate([f.estimates.ravel() for f in fitted]), influence, unseen=shares)
    reference = -1.0 - request.anticipation
    leads = [part.event(panel)[~part.model.treated] for part in parts]
    apart = any(np.isfinite(e).any() and np.nanmax(e) != reference for e in leads)
    notes = [MEASURED_FROM.format(reference)]
    if lost := sum(int((p.model.treated & p.model.predicted[1] & ~f.used).sum()) for p, f in zip(parts, fitted, strict=True)):
        notes.append(f"{lost} treated cells have no effect measured from there, and are not in the path")
    return ImputationPaths(estimate, reference, tuple(notes), NO_REFERENCE if apart else "")


def unseen_shares(terms: Sequence[Term], fitted: Sequence[Imputed]) -> tuple[float, ...]:
    """For each term the largest share of unobserved variance among the parameters it combines."""
    shares = np.concatenate([np.repeat(f.unseen, f.estimates.shape[1]) for f in fitted])
    return tuple(float(shares[np.abs(t.contrast).sum(axis=0) > 0].max(initial=0.0)) for t in terms)


def _fitted(part: Part, targets: Sequence[Target], impute: Impute) -> Imputed:
    """Leads of the model as it is, and averages of effects beside dummies for them, for each set of labels."""
    place = {id(t): q for q, t in enumerate(targets)}
    pieces: list[tuple[list[int], Imputed]] = []
    for leads in lead_sets(targets) or [[]]:
        labels = {targets[q].label for q in leads} or {t.label for t in targets}
        dummies = [targets[q].rows[:, None].astype(float) for q in leads]
        beside = replace(part.model, crossed=np.hstack([part.model.crossed, *dummies]))
        later = [t for t in targets if t.label in labels and t.kind != "lead"]
        pieces.append(([place[id(t)] for t in later], impute(part, beside, later, len(leads))))
        if leads:
            pieces.append((leads, impute(part, part.model, [targets[q] for q in leads], len(leads))))
    return _joined(targets, pieces)


def _joined(targets: Sequence[Target], pieces: Sequence[tuple[list[int], Imputed]]) -> Imputed:
    """Answers in the order of the targets."""
    order = np.argsort(np.concatenate([at for at, _ in pieces]))

    def put(parts: list[Any], axis: int) -> Any:
        return np.take(np.concatenate(parts, axis=axis), order, axis=axis)

    found = [f for _, f in pieces]
    influence = {v: put([f.influence[v] for f in found], 1) for v in found[0].influence}
    used = np.any([f.used for f in found if any(t.kind != "lead" for t in f.targets)], axis=0)
    estimates, unseen = put([f.estimates for f in found], 0), put([f.unseen for f in found], 0)
    return Imputed(tuple(targets), estimates, influence, unseen, np.asarray(used), put([f.found for f in found], 0))
