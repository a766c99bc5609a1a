"""Units known by one change each: permutation of who is treated, and methods for few treated units."""

from __future__ import annotations

import numpy as np

from p4equity.estimators.base import Answer, Request
from p4equity.estimators.changes import Changes
from p4equity.estimators.few_treated import few_treated_answer
from p4equity.estimators.permuted import ALIKE, ALONE, ONE, alike, permutation_answer
from p4equity.inference.few_treated import of_changes
from p4equity.inference.permutation import null_weights, permutation_test
from p4equity.inference.random_effects import tau2_estimate

SEVERAL = "treated units have different dates: exchanging labels would have to move dates too; see the rows by cohort"


def permute_changes(changes: Changes, outcome: int, known: bool, inference: str, request: Request) -> Answer:
    """One outcome's difference in changes by permutation of who is treated.

    known: sampling errors were given. permutation and permutation_standardized: the difference with random-effects weights
    fitted under the null, over its error; permutation_studentized: that difference over an error from each arm's own
    spread; permutation_raw: the plain difference in mean changes.
    """
    if changes.several:
        return Answer(reason=SEVERAL)
    statistic = inference.removeprefix("permutation").lstrip("_") or "standardized"
    method = str(request.own.get("tau2", "PM"))
    y, arm = changes.Y[:, outcome], changes.treated
    if alike(y, changes.scale):
        return Answer(reason=ALIKE)
    if statistic == "studentized" and not 2 <= arm.sum() <= len(arm) - 2:
        return Answer(reason=ALONE)
    v = changes.V[:, 0] if known and statistic != "raw" else None
    result = permutation_test(
        y,
        arm,
        v,
        strata=changes.strata,
        conf_level=request.conf_level,
        limit=int(request.own.get("limit", 1_000_000)),
        seed=request.seed,
        method=method,
        weights=None if v is None or outcome == 0 else null_weights(changes.Y[:, 0], v, method),  # the gap's, for its parts too
        statistic=statistic,
    )
    return Answer(reason=ONE) if result.n_assignments == 1 else permutation_answer(result.estimate, result)


def few_treated_changes(changes: Changes, outcome: int, known: bool, inference: str, request: Request) -> Answer:
    """One outcome's difference in changes against the comparison units' own movements.

    conley_taber: the plain difference in mean changes. ferman_pinto: the difference with random-effects weights, the
    variance between units fitted on the comparison units alone; it needs sampling errors.
    """
    y, arm = changes.Y[:, outcome], changes.treated
    others = int((~arm).sum())
    if others < 2:
        return Answer(reason="two comparison units are needed")
    if alike(y[~arm], changes.scale):
        return Answer(reason="no variation among comparison units: there is nothing to compare with")
    if inference == "conley_taber":
        b, loads = of_changes(y, arm, np.ones(len(y)))
        return few_treated_answer(b, loads, inference, request)
    if not known:
        return Answer(reason="ferman_pinto needs sampling errors here: pass sampling_se")
    method, constant = str(request.own.get("tau2", "PM")), np.ones((others, 1))
    first, own = (tau2_estimate(changes.Y[~arm, j], constant, changes.V[~arm, j], method) for j in (0, outcome))
    weights = 1 / (changes.V[:, 0] + first)  # the gap's, for its parts too
    b, loads = of_changes(y, arm, changes.V[:, outcome], weights)
    return few_treated_answer(b, loads, inference, request, between=own)
