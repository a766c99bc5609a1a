"""Too few clusters for an error: one rule for all estimators, with the methods for few treated units that answer instead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from p4equity.estimators.base import FEW, Base, Term

ARMS = ("n_clusters", "n_treated_clusters", "n_comparison_clusters")
ONE_CLUSTER = "one cluster only: its error cannot be estimated"
NEED = "{} {} {}: cluster-robust and bootstrap errors need {} or more"
ADVICE = "; instead: "  # between the reason and what a caller of `fit` may ask for
OF_DID = "conley_taber or ferman_pinto of did"
INSTEAD = {
    "did": "conley_taber, or ferman_pinto where sizes are known",
    "event_study": f"permutation, or {OF_DID}",
    "synthetic_did": "placebo_rank or placebo",
}
NO_RESIDUALS = "permutation of did"  # two comparison units or more are what the methods for few treated units draw from
ONE_TREATED = (
    "one treated cluster: its own variation is not observed, so no error can be given; inference='none' gives the estimate"
)
TWO_TREATED = "two treated clusters: the error rests on the difference between them and is very uncertain"


def too_few(base: Base, estimator: str) -> str:
    """Why no cluster-robust or bootstrap error is given for what rests on these clusters, and what answers instead, or ''.

    One treated cluster shows nothing of how much treated clusters vary, and two so little that no correction holds a test's
    level. estimator: the word `fit` was called with.
    """
    if base.n_clusters < 2:
        return ONE_CLUSTER
    for count, arm in ((base.n_treated_clusters, "treated"), (base.n_comparison_clusters, "comparison")):
        if count < FEW:
            text = NEED.format(count, arm, "cluster" if count == 1 else "clusters", FEW)
            few = arm == "treated" and base.n_comparison_clusters > 1
            return f"{text}{ADVICE}{INSTEAD.get(estimator, OF_DID) if few else NO_RESIDUALS}"
    return ""


def whole(terms: Iterable[Term]) -> dict[str, Base]:
    """For each group the most clusters of each arm behind any of its terms: those of the whole answer."""
    out: dict[str, Base] = {}
    for term in terms:
        most = out.setdefault(term.group, term.base)
        counts = {name: max(getattr(most, name), getattr(term.base, name)) for name in ARMS}
        out[term.group] = replace(most, **counts)
    return out
