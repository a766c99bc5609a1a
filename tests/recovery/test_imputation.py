"""Imputation gives back gaps and their changes whatever results follow: own group, neighbourhood and name, or both.

Weighting is right in the last case alone, the regression on probabilities in the first alone. Over 20 seeds each where slow.
"""

from __future__ import annotations

import numpy as np
import pytest
from imputed_members import TREATED, change_of_gaps, gaps_before, made
from p4equity.disparity.imputation import imputed_totals

IMPUTATIONS = 20
CONTRACTED, OTHERS = slice(0, TREATED), slice(TREATED, None)


@pytest.mark.parametrize(
    ("context", "seeds"), [(0.5, 10), *[pytest.param(c, 20, marks=pytest.mark.slow) for c in (0.0, 0.5, 1.0)]]
)
def test_gaps_and_changes_are_recovered(context: float, seeds: int) -> None:
    misses: dict[str, list[np.ndarray]] = {"before": [], "effect": []}
    weighted = []
    for seed in range(seeds):
        drawn = made(np.random.default_rng([seed, int(10 * context)]), context)
        totals = imputed_totals(drawn.histories, IMPUTATIONS, seed)
        for name, of in (("before", gaps_before), ("effect", _effect)):
            values, true = of(totals), of(drawn.truth)
            error = values.std(axis=0, ddof=1) * np.sqrt(1 + 1 / IMPUTATIONS)
            misses[name].append((values.mean(axis=0) - true) / error)
        weighted.append(gaps_before(drawn.weighted) - gaps_before(drawn.truth))
    for name, found in misses.items():
        assert np.all(np.abs(np.mean(found, axis=0)) < 3.5 / np.sqrt(seeds)), f"{name}: {np.mean(found, axis=0)} standard errors"
    assert 0.75 < np.std(list(misses.values())) < 1.3  # imputations differ among each other as much as they miss
    short = np.mean(weighted, axis=0)[0] < -1.0  # the largest gap, of the first compared group
    assert short == (context < 1)  # what probabilities alone would have given


def _effect(totals: np.ndarray) -> np.ndarray:
    return change_of_gaps(totals, CONTRACTED) - change_of_gaps(totals, OTHERS)
