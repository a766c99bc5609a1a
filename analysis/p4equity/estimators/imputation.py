"""Imputation estimator: untreated outcomes of treated cells predicted from untreated cells, differences averaged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from p4equity.errors import UsageError
from p4equity.estimators.arguments import known
from p4equity.estimators.base import Answer, Array, Estimate, Request, Term
from p4equity.estimators.imputation_parts import Part, left_out, parts_of
from p4equity.estimators.imputation_terms import build_terms
from p4equity.estimators.imputed import Imputed, impute
from p4equity.estimators.influence import BOOTSTRAP, InfluenceEstimate
from p4equity.estimators.panels import Panel
from p4equity.estimators.tidy import Cells
from p4equity.inference.sweeping import Codes

OPTIONS = ("variance", "horizons", "pretrends", "auxiliary", "leave_out", "form", "draws")
VARIANCES = ("exact", "bjs", "gmm")
SQUARED = (
    "bjs: with unequal weights didimputation 0.5.0, which this follows, weighs untreated cells by squared weights, which are not"
    " those of the estimate; variance='exact' uses the estimate's own"
)
INFERENCES = (*VARIANCES, BOOTSTRAP, "none")
WORDS = {"form": ("gap", "triple_difference"), "auxiliary": ("cohort_event", "event", "cohort", "all")}


@dataclass(frozen=True)
class ImputationEstimate(Estimate):
    """Result under each variance, the first one the caller's."""

    under: dict[str, InfluenceEstimate]
    notes_: tuple[str, ...] = ()

    def answers(self, inference: str, request: Request) -> list[tuple[Term, Answer]]:
        """Answers from the influence functions of the variance asked for."""
        variance = inference if inference in self.under else str(request.own.get("variance", VARIANCES[0])).lower()
        return self.under[variance].answers(inference, request)

    def notes(self, request: Request) -> tuple[str, ...]:  # noqa: ARG002
        """Sentences about the whole estimate."""
        return self.notes_


def estimate(cells: Cells, request: Request) -> ImputationEstimate:
    """Average effect on treated cells: what they are beyond what untreated cells predict for them.

    Y(0)_ut = a_u + l_t + x_ut'g is fitted, weighted, on all cells that are not treated (never, or not yet), effects are
    y_ut - Y(0)_ut, and rows are their weighted averages: over all treated cells (`att`); with horizons=True or a list of
    event times one row each, at the end with simultaneous limits; with aggregate="cohort" or "calendar" one row each.
    Leads are coefficients of event times before treatment in a two-way regression on untreated cells alone, relative to
    the last of them (pretrends=True, the default), or of a list of event times relative to all others: rows `pretrend`
    with an event time, and without one their joint test (chi-squared: with few clusters it rejects too often).
    variance: "exact" (default: treated residuals are deviations from averages of effects by cohort and event time, by the
    estimate's own weights; auxiliary="event", "cohort" or "all" averages over more, leave_out=True without the own
    cluster), "bjs" (the same, but as didimputation 0.5.0 has it: with unequal weights untreated cells enter by squared
    ones, which are not those of the estimate, and a warning says so), "gmm" (deviations from the row's own estimate: the
    two-stage correction of did2s). Normal quantiles, no G / (G - 1); multiplier_bootstrap (option draws) resamples signs
    of the clusters. Cohorts of one treated cluster leave nothing to measure: gmm, or auxiliary="event", compares them with
    others. Cells that cannot be imputed, for want of an untreated period of the
    unit or an untreated unit in the period, are left out, with a row that says so.
    With a group: gap, reference and group, all imputed with the gap's weights; several groups: their plain average
    first. form="triple_difference": one model of all cells with effects of unit by group, group by period, and parent
    (or unit) by period; treated are the compared groups of treated units, averaged by their own weights, with the sign
    of the gap. Both words of comparison use all untreated cells; "not_yet" also allows a panel without never treated
    units. Assumptions: parallel trends of all units in all periods, no anticipation beyond `anticipation` periods (left
    out). Source: Borusyak, Jaravel and Spiess (2024), theorems 2 and 3; Gardner (2022) for gmm.
    Reference cases: R didimputation and did2s (tests/reference/imputation).
    """
    for name, words in WORDS.items():
        known(request.own.get(name, words[0]), words, name, f"fit: {name}")
    known(request.aggregate or "cohort", ("cohort", "calendar"), "aggregation", "fit: aggregate")
    panel, parts = parts_of(cells, request)
    clusters, cluster = np.unique(panel.column("cluster").astype(str), return_inverse=True)
    fitted = [_impute(panel, part, cluster, len(clusters), request) for part in parts]
    terms = build_terms(panel, parts, fitted, request)
    dropped = panel.dropped + tuple(d for part, f in zip(parts, fitted, strict=True) for d in left_out(panel, part, f))
    values = np.concatenate([f.estimates.ravel() for f in fitted])
    unseen = _unseen(terms, np.concatenate([np.repeat(f.unseen, f.estimates.shape[1]) for f in fitted]))
    under = {}
    for name in VARIANCES:
        influence = np.hstack([f.influence[name].reshape(len(clusters), -1) for f in fitted])
        shares = () if name == "gmm" else unseen
        under[name] = InfluenceEstimate(terms, dropped, panel.unbalanced, values, influence, unseen=shares)
    return ImputationEstimate(terms, dropped, panel.unbalanced, under, (*_idle(parts, request), *_squared(parts, request)))


def _unseen(terms: tuple[Term, ...], shares: Array) -> tuple[float, ...]:
    """For each term the largest share of unobserved variance among the parameters it combines."""
    return tuple(float(shares[np.abs(t.contrast).sum(axis=0) > 0].max(initial=0.0)) for t in terms)


def _impute(panel: Panel, part: Part, cluster: Codes, groups: int, request: Request) -> Imputed:
    leave_out = request.own.get("leave_out", False)
    if not isinstance(leave_out, bool):
        raise UsageError("not a flag", where="fit: leave_out", expected="True or False", found=repr(leave_out))
    own = cluster[part.rows]
    untreated = int(panel.frame.loc[part.rows, "rows"].to_numpy(float)[~part.model.treated].sum())
    return impute(
        part.model,
        part.sign * panel.Y[part.rows],
        own,
        part.effects[0],
        part.auxiliary(panel, request),
        part.targets(panel, request),
        groups=groups,
        lead_factor=lambda leads: part.lead_factor(own, untreated, leads),
        leave_out=leave_out,
    )


def _squared(parts: list[Part], request: Request) -> tuple[str, ...]:
    """A sentence on the weights of bjs where it is asked for and they matter."""
    unequal = any(len(np.unique(part.model.weights)) > 1 for part in parts)
    return (SQUARED,) if unequal and "bjs" in request.inference else ()


def _idle(parts: list[Part], request: Request) -> tuple[str, ...]:
    """Sentences on covariates that no part of the model uses."""
    text = "adds nothing to the effects and the other covariates, and is left out"
    count = len(request.covariates)
    used = np.any([part.model.kept[-count:] for part in parts], axis=0) if count else []
    return tuple(f"covariate '{x}' {text}" for x, k in zip(request.covariates, used, strict=True) if not k)
