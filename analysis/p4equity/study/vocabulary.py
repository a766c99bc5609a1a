"""The words a plan may use: estimators, inferences, gates, outcomes; one place to add one."""

from __future__ import annotations

from typing import Literal, get_args

EstimatorId = Literal[
    "did", "event_study", "triple_difference", "meta_regression", "group_time", "interaction_weighted", "imputation",
    "extended_twfe", "stacked", "synthetic_did", "bacon", "system_change", "cost_per_point", "exit_bounds", "selected_baseline",
    "adjusted_change", "scale_change", "race_level", "attributed_share", "paid_contrast", "documentation",
    "leveling", "retention", "specification_break", "placebo_date",
]  # fmt: skip
InferenceId = Literal[
    "averaged_t", "averaged_t_varying", "knapp_hartung", "permutation", "permutation_raw", "permutation_studentized",
    "permutation_standardized", "wild_bootstrap", "wild_bootstrap_unrestricted", "multiplier_bootstrap", "cr0", "cr1", "cr2",
    "cr3", "cv3", "cv3j", "conley_taber", "ferman_pinto", "analytical", "bjs", "gmm", "exact", "delta", "placebo",
    "placebo_rank", "jackknife", "bootstrap", "relative_magnitudes", "smoothness", "pretest_power", "sampling", "none",
    "iid", "hc1", "fieller", "residual_permutation",
]  # fmt: skip
GateId = Literal[
    "completeness",
    "reading_completeness",
    "race_data_drift",
    "balance",
    "attrition",
    "selection_regression",
    "detectable_effect",
]
Outcome = Literal[
    "gap", "rate", "companion", "spending", "value", "spending_per_point", "selected_baseline", "ratio", "log_odds_gap",
    "adjusted_gap",
    "weighted_mean_gap", "gap_to_best", "between_group_variance", "theil", "worst_group_rate", "race_level",
    "attributed_share", "paid_contrast", "documentation", "leveling", "retention",
    "specification_break", "gap_bound", "placebo_gap",
]  # fmt: skip
Registered = Literal["primary", "secondary", "exploratory"]
Arm = Literal["participating", "comparison", "excluded"]
PracticeMap = Literal["baseline", "as_treated"]
RaceVersion = Literal["frozen", "contemporaneous"]
Other = Literal["other"]  # of both race versions the one that is not primary
RaceMethod = Literal["classes", "weighted", "linear", "self_report", "imputed"]
ExitRule = Literal["until_exit", "drop", "carry"]
Clusters = Literal["system", "owner"]
Covariate = Literal["grant_per_member", "medicaid_share", "baseline_quality", "near_contracted"]
Members = Literal["open", "age_standardized", "stayed", "stayed_weighted"]
Weighting = Literal["system", "patient", "random_effects"]
FamilyRule = Literal["holm", "benjamini_hochberg", "none"]
PaymentStatistic = Literal["pairwise_gap", "gap_to_best", "between_group_variance", "weighted_mean_gap", "worst_group_rate"]
Certainty = Literal["document", "press", "inference", "assumption"]

# Evidence against a threat beside analyses and gates: facts that a run checks about itself, and years set apart in event studies.
FACTS: tuple[str, ...] = ("plan_of_results", "one_code_version", "deviation_log", "years_apart")

ESTIMATORS: tuple[str, ...] = get_args(EstimatorId)
INFERENCES: tuple[str, ...] = get_args(InferenceId)
GATES: tuple[str, ...] = get_args(GateId)
PAYMENT_STATISTICS: tuple[str, ...] = get_args(PaymentStatistic)

_CLUSTER: tuple[str, ...] = ("cr0", "cr1", "cr2", "cr3", "cv3", "cv3j", "wild_bootstrap", "wild_bootstrap_unrestricted")
PERMUTED: tuple[str, ...] = ("permutation", "permutation_raw", "permutation_studentized", "permutation_standardized")
_ROWS: tuple[str, ...] = ("iid", "hc1")
_REGRESSION = (*_CLUSTER, *PERMUTED, "none")
_PATHS: tuple[str, ...] = ("relative_magnitudes", "smoothness", "pretest_power")
# Tests of one change a system: a question over several measures has several.
CHANGES_ONLY: tuple[str, ...] = (*PERMUTED[1:], "conley_taber", "ferman_pinto")
_TWO_STAGE: tuple[str, ...] = ("averaged_t", "averaged_t_varying", "knapp_hartung", "permutation")
INFERENCES_OF: dict[str, tuple[str, ...]] = {
    "did": (*_REGRESSION, *_ROWS, "conley_taber", "ferman_pinto"),
    "event_study": (*_REGRESSION, *_ROWS, *_PATHS),
    "triple_difference": (*_REGRESSION, *_ROWS),
    "meta_regression": ("averaged_t", "averaged_t_varying", "knapp_hartung", "permutation", *CHANGES_ONLY, "none"),
    "group_time": ("analytical", "multiplier_bootstrap", "cr1", "none", *_PATHS),
    "interaction_weighted": (*_REGRESSION, *_ROWS, *_PATHS),
    "imputation": ("exact", "bjs", "gmm", "multiplier_bootstrap", "none", *_PATHS),
    "extended_twfe": ("delta", *_CLUSTER, "multiplier_bootstrap", "none"),
    "stacked": _REGRESSION,
    "synthetic_did": ("placebo", "placebo_rank", "jackknife", "bootstrap", "none"),
    "bacon": ("none",),
    "system_change": ("sampling",),
    "exit_bounds": ("averaged_t", "knapp_hartung"),
    "cost_per_point": ("fieller",),
    "selected_baseline": ("averaged_t",),
    "adjusted_change": ("averaged_t", "residual_permutation"),
    "scale_change": _TWO_STAGE,
    "race_level": ("sampling",),
    "attributed_share": _TWO_STAGE,
    "paid_contrast": _TWO_STAGE,
    "documentation": _TWO_STAGE,
    "leveling": ("averaged_t", "averaged_t_varying"),
    "retention": _TWO_STAGE,
    "specification_break": ("sampling",),
    "placebo_date": _TWO_STAGE,
}
BOUNDS_TRENDS: tuple[str, ...] = _PATHS  # how far trends may part, not an effect
# Questions of this field: registered like estimators, each answered by a file of its own in evaluation/ (see its tasks.py).
OWN_QUESTIONS: tuple[str, ...] = (
    "adjusted_change", "system_change", "cost_per_point", "exit_bounds", "selected_baseline", "scale_change", "race_level",
    "attributed_share", "paid_contrast", "documentation", "leveling", "retention", "specification_break", "placebo_date",
)  # fmt: skip
OWN_WEIGHTS = ("meta_regression", *OWN_QUESTIONS)  # they weigh by precision; the others need a registered weighting
# Of these, whose weights are shares of members: anyone can form them from cells.
MEMBERS_WEIGHTS = ("race_level", "specification_break")
# The outcomes that these estimators answer, each by no other estimator.
OUTCOMES_OF: dict[str, tuple[str, ...]] = {
    "adjusted_change": ("adjusted_gap",),
    "scale_change": (
        "ratio", "log_odds_gap", "weighted_mean_gap", "gap_to_best", "between_group_variance", "theil", "worst_group_rate",
    ),
    "race_level": ("race_level",),
    "attributed_share": ("attributed_share",),
    "paid_contrast": ("paid_contrast",),
    "documentation": ("documentation",),
    "leveling": ("leveling",),
    "retention": ("retention",),
    "exit_bounds": ("gap_bound",),
    "specification_break": ("specification_break",),
    "placebo_date": ("placebo_gap",),
}  # fmt: skip
NOT_POOLED: tuple[str, ...] = ("between_group_variance", "theil")  # their size depends on a measure's level
