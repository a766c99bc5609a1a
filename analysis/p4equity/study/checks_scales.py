"""Checks of questions on other scales: each outcome with its estimator; pooled over measures only where that has a meaning."""

from __future__ import annotations

from typing import get_args

from p4equity.study.locate import KeyPath
from p4equity.study.plan import Analysis
from p4equity.study.problems import Problems
from p4equity.study.vocabulary import NOT_POOLED, OUTCOMES_OF, Covariate

FILE = "study.toml"


def check_scale(analysis: Analysis, path: KeyPath, problems: Problems) -> None:
    """Notes an outcome whose estimator is another, groups apart, and measures pooled that have no common unit."""
    own = OUTCOMES_OF.get(analysis.estimator, ())
    answering = [e for e, outcomes in OUTCOMES_OF.items() if analysis.outcome in outcomes]
    if (own and analysis.outcome not in own) or (answering and analysis.estimator not in answering):
        problems.add(
            FILE, (*path, "outcome"), f"the estimator '{analysis.estimator}' does not answer the outcome '{analysis.outcome}'",
            expected=", ".join(own) or f'estimator = "{answering[0]}"', found=analysis.outcome,
        )  # fmt: skip
    if (analysis.estimator == "adjusted_change") != (analysis.covariate is not None):
        problems.add(
            FILE, (*path, "covariate"), "the estimator 'adjusted_change' holds one covariate fixed, and no other does",
            expected=", ".join(get_args(Covariate)), found=analysis.covariate or "none",
            fix='give a covariate with estimator = "adjusted_change", and with no other estimator',
        )  # fmt: skip
    if analysis.estimator == "scale_change" and analysis.groups != "pooled":
        problems.add(
            FILE, (*path, "groups"), "a statistic over groups is asked of all of them together", expected='groups = "pooled"',
            found=analysis.groups,
        )  # fmt: skip
    if analysis.outcome in NOT_POOLED and (analysis.pooled or analysis.also_pooled):
        problems.add(
            FILE, path, f"the outcome '{analysis.outcome}' has no mean over measures", found="pooled or also_pooled",
            expected="one question a measure", fix="leave the key out: the size of this outcome depends on a measure's level",
        )  # fmt: skip
