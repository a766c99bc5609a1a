"""The words a plan may use: estimators, inferences, gates, outcomes; one place to add one."""

from __future__ import annotations

from typing import Literal, get_args

EstimatorId = Literal["did", "event_study", "triple_difference", "meta_regression", "system_change"]
InferenceId = Literal[
    "averaged_t", "averaged_t_varying", "knapp_hartung", "permutation", "wild_bootstrap", "cr0", "cr1", "cr2", "cr3", "sampling",
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
Outcome = Literal["gap", "rate", "companion", "spending", "value"]
Registered = Literal["primary", "secondary", "exploratory"]
Arm = Literal["participating", "comparison", "excluded"]
PracticeMap = Literal["baseline", "as_treated"]
RaceVersion = Literal["frozen", "contemporaneous"]
ExitRule = Literal["until_exit", "drop", "carry"]
Weighting = Literal["system", "patient", "random_effects"]
Certainty = Literal["document", "press", "inference", "assumption"]

ESTIMATORS: tuple[str, ...] = get_args(EstimatorId)
INFERENCES: tuple[str, ...] = get_args(InferenceId)
GATES: tuple[str, ...] = get_args(GateId)

_REGRESSION = ("cr0", "cr1", "cr2", "cr3", "wild_bootstrap", "permutation")
INFERENCES_OF: dict[str, tuple[str, ...]] = {
    "did": _REGRESSION,
    "event_study": _REGRESSION,
    "triple_difference": _REGRESSION,
    "meta_regression": ("averaged_t", "averaged_t_varying", "knapp_hartung", "permutation"),
    "system_change": ("sampling",),
}
