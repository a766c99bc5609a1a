"""One-sided permutation test of a constant effect: the share of assignments at least as extreme in one direction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from p4equity.inference.canonical import order_of_units
from p4equity.inference.permutation import (
    TIE,
    Array,
    Flags,
    assignments,
    count_assignments,
    null_weights,
    standardized_difference,
)
from p4equity.inference.random_effects import check_inputs
from p4equity.inference.stacked import Stacked
from p4equity.inference.stacked_permutation import assignment_effects, assignment_table, contract_patterns


def one_sided_permutation(
    y: Array,
    treated: Flags,
    sampling_variance: Array,
    effect: float,
    *,
    above: bool,
    strata: NDArray[np.int64] | None = None,
    limit: int = 1_000_000,
    seed: int = 0,
    method: str = "PM",
) -> tuple[float, float]:
    """p of "the effect is `effect` or worse", and the smallest p that any outcome could give.

    above: whether effects above `effect` are the better ones. y, sampling_variance: (n,) changes and their sampling variances;
    treated: (n,) bool; strata: (n,) ints within which contracts may be exchanged. The statistic is that of `permutation_test`
    with the effect taken out of treated units; the observed assignment is among those counted, so p is never 0. A one-sided
    level of half a two-sided one asks for more assignments than the two-sided test: p cannot be below 1 / assignments.
    """
    y, arm, v = np.asarray(y, float), np.asarray(treated, bool), np.asarray(sampling_variance, float)
    check_inputs(y, arm, v)
    groups = np.zeros(len(y), np.int64) if strata is None else np.asarray(strata)
    if count_assignments(arm, groups) > limit:  # drawn: in an order that no renaming of units changes
        order = order_of_units(np.column_stack([y, v, arm]), groups)
        y, arm, v, groups = y[order], arm[order], v[order], groups[order]
    drawn = assignments(arm, groups, limit, seed)
    shifted = y - effect * arm
    weights = null_weights(shifted, v, method)
    sign = 1.0 if above else -1.0
    statistics = sign * drawn.statistics(shifted, weights)
    observed = sign * float(standardized_difference(shifted, arm.astype(float)[None, :], weights)[0])
    return float(np.mean(statistics >= observed - TIE * abs(observed))), 1 / len(drawn.table)


def stacked_one_sided(data: Stacked, effect: float, *, above: bool, limit: int = 1_000_000, seed: int = 0) -> tuple[float, float]:
    """The same for the pooled question, by permutation of whole contract rows: see `stacked_permutation`."""
    patterns, held = contract_patterns(data.contracts)
    _, table = assignment_table(data, limit, seed)
    effects, errors = assignment_effects(data, patterns, np.concatenate([table, held[None, :]]), effect)
    statistics = (1.0 if above else -1.0) * effects / errors
    usable, observed = statistics[:-1][np.isfinite(statistics[:-1])], float(statistics[-1])
    return float(np.mean(usable >= observed - TIE * abs(observed))), 1 / len(usable)
