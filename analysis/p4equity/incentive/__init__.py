"""The illustrative payment model: formulas, what they pay for a narrowing, and what they pay for noise.

No contract's formula is public; these are stand-ins that a study states in its plan. Improvements and standard errors are in the
units of the statistic paid on (percentage points; squared points for a variance), scores are shares of the maximum.
"""

from __future__ import annotations

from p4equity.incentive.chance import chance_of_narrowing, expected_score, expected_score_by_chance
from p4equity.incentive.formula import STATISTICS, Formula, gate_met, guard_met, narrowing, score
from p4equity.incentive.shrinkage import empirical_bayes
from p4equity.incentive.statistic import disparity
from p4equity.incentive.world import Cell, Outcome, observed, sampling_variance, simulated

__all__ = [
    "STATISTICS",
    "Cell",
    "Formula",
    "Outcome",
    "chance_of_narrowing",
    "disparity",
    "empirical_bayes",
    "expected_score",
    "expected_score_by_chance",
    "gate_met",
    "guard_met",
    "narrowing",
    "observed",
    "sampling_variance",
    "score",
    "simulated",
]
