"""The sections of `study.toml`: the registered plan as typed blocks.

A section or key that a study may leave out has a default here; every other one is required. Defaults of an analysis
(`pre_years`, `cohorts`, `map`, `race_version`, `exits`) are filled from the plan when the study is loaded.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field

from p4equity.study.base import Block, Many, Share, Year
from p4equity.study.plan_composition import Composition
from p4equity.study.plan_contracts import Payment, Selection
from p4equity.study.plan_precision import Precision
from p4equity.study.vocabulary import (
    BOUNDS_TRENDS,
    Clusters,
    Covariate,
    EstimatorId,
    ExitRule,
    FamilyRule,
    GateId,
    InferenceId,
    Members,
    Other,
    Outcome,
    PracticeMap,
    RaceMethod,
    RaceVersion,
    Registered,
    Weighting,
)

YearKey = Annotated[int, Field(ge=1900, le=2200, strict=False)]  # keys of a TOML table are strings


class Info(Block):
    """[study]: identity and front matter. `report_date` is the date on the cover, so that reports do not change by day."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    short_title: str
    payer: str | None = None
    evaluator: str
    funder: str
    report_date: date
    registration: Annotated[str, Field(min_length=0)] = ""
    registered_on: date
    ethics: str
    synthetic_default: bool
    estimand: str
    disclaimer: str | None = None
    unit_label: str = "system"
    unit_label_plural: str = "systems"
    treatment_label: str = "contract"

    @property
    def registered_at(self) -> str:
        """Where the plan is registered, or that it is not."""
        return self.registration or "not registered"


class OutcomeColumn(Block):
    """How one measure is read from a published panel: its column and the transformation the study registered."""

    column: str
    transform: Literal["none", "log"] = "none"


class ValueSource(Block):
    """[data.value]: a published panel of aggregates, one row a unit and year, shipped by a Python package.

    `unit` names the column matched with each system's `source_key`; `treated` the 0/1 column of adoption, which must agree
    with the study's contracts; `weight` the column of weights (null: every row counts one); `outcomes` maps measure ids.
    """

    package: str
    dataset: str
    version: str
    unit: str
    year: str
    treated: str | None = None
    weight: str | None = None
    weight_label: str | None = None
    outcomes: dict[str, OutcomeColumn]
    citation: str
    license: str | None = None


class Data(Block):
    """[data]: what kind of numbers, which years, and the defaults of the synthetic extract."""

    kind: Literal["counts", "value"]
    years: Annotated[Many[Year], Field(min_length=2)]
    members: Annotated[int, Field(gt=0)] | None = None
    seed: int = 0
    scenario: str | None = None
    value: ValueSource | None = None


class Population(Block):
    """[population]: attribution, the practice map, minimum enrolment, what happens to a system that leaves.

    `exit_range`: points by which the gaps of a system that left may have moved since its last year, either way, for bounds.
    """

    attribution_rule: str = "performance_year"
    map: PracticeMap = "baseline"
    map_date: date | None = None
    map_sensitivity: PracticeMap | None = None
    minimum_months: Annotated[int, Field(ge=0, le=12)] = 0
    exit_rule: ExitRule = "until_exit"
    exit_range: Annotated[float, Field(gt=0)] | None = None
    strata_key: Literal["stratum"] = "stratum"


class Groups(Block):
    """[groups]: the scheme, the reference group and the groups compared with it; none compared: a study without gaps."""

    scheme: str | None = None
    reference: str | None = None
    compared: Many[str] = ()


class Race(Block):
    """[race]: which version of the race and ethnicity data is primary, and which version reported which year. An analysis with
    `race_version = "other"` reads the one that is not primary, so that one key switches both. `imputations`: how
    often race and ethnicity are drawn for members who did not report them, for analyses with `race_method = "imputed"`.
    """

    primary: RaceVersion
    frozen_version: str
    contemporaneous_versions: dict[YearKey, str]
    imputations: Annotated[int, Field(ge=20)] | None = None


class Baseline(Block):
    """[baseline]: the years of the baseline, of the weights and of measure selection; `reference_year` of event studies."""

    pre_years: Annotated[Many[Year], Field(min_length=1)]
    apart: Many[Year] = ()
    reference_year: Year
    weights_years: Annotated[Many[Year], Field(min_length=1)]
    selection_years: Many[Year] = ()


class MeasureSets(Block):
    """[measures]: measure ids by their role in the design; further sets under `[measures.sets]`."""

    contracted: Annotated[Many[str], Field(min_length=1)]
    not_incentivized: Many[str] = ()
    negative_control: Many[str] = ()
    broken_series: Many[str] = ()
    spending: str | None = None
    sets: dict[str, Many[str]] = Field(default_factory=dict)


class Inference(Block):
    """[inference]: levels, methods and weights that every analysis shares.

    `family` adjusts the claims of one family of questions: holm (family-wise error), benjamini_hochberg (false discoveries)
    or none. The order of families is the same under each; `multiplicity` says both in the report's words. `shocks`: range of the
    standard deviation of yearly shocks to a system's gap beside sampling error, half of which carry over to the next year.
    """

    conf_level: Annotated[float, Field(gt=0.5, lt=1)]
    alpha: Annotated[float, Field(gt=0, lt=0.5)]
    primary: Many[InferenceId]
    cross_check: Many[InferenceId] = ()
    tau2: Literal["PM", "DL", "REML"] = "PM"
    wild_draws: Annotated[int, Field(ge=99)] = 9999
    wild_weights: Literal["webb", "rademacher"] = "webb"
    permutation_limit: Annotated[int, Field(ge=99)] = 1_000_000
    calibration_draws: Annotated[int, Field(ge=0)] = 4_000  # simulated data sets a setting; 0: no calibration
    group_weights: Literal["equal", "patient"] = "equal"
    minimum_denominator: Annotated[int, Field(ge=0)] = 0
    multiplicity: str
    family: FamilyRule = "holm"
    meaningful_share: Share = 0.25
    shocks: Annotated[Many[float], Field(min_length=2, max_length=2)] = (0.5, 1.5)


class Analysis(Block):
    """[[analysis]]: one registered question; it becomes one row a measure, group and inference.

    `contracts = "own"` calls a system treated on a measure only when its contract names that measure; `"any"` when it has
    any contract. `pooled = "measures"` asks one question over all measures, `also_pooled` asks it beside one a measure.
    `covariate`: one fact about systems to hold fixed, for the estimator adjusted_change; `interaction` also asks how much more
    the effect is with it. `placebo`: the date from which contracts are taken to run, for the estimator placebo_date. `caliper`:
    points of the baseline gap within which a system needs a counterpart in the other arm, or it leaves the measure.
    `weighting = "patient"` uses the cells' own weights (members; in a value study the weight column), `"system"` counts all
    alike; the estimator meta_regression takes them in place of precision. `clusters = "owner"` makes
    systems of one owner one unit. `race_method` places members in groups: by the recorded class, by probabilities (`weighted`,
    or `linear`: regression on probabilities; two assumptions between which a level lies), only those who reported themselves, or
    several times as `imputed` from probabilities, results, system and contract.
    `members`: as they are in each year (`open`), at the same ages (`age_standardized`), only those who `stayed`, or those
    weighted to all at baseline by group, system and age (`stayed_weighted`); see [composition].
    `unpaid`: for the estimator paid_contrast, what paid measures are set against; of these a system counts those outside its
    contract.
    """

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    question: str | None = None
    title: str | None = None
    registered: Registered
    outcome: Outcome
    estimator: EstimatorId
    measures: str | Many[str]
    groups: Literal["pooled", "each", "all"] = "all"
    pooled: Literal["measures"] | None = None
    also_pooled: bool = False
    cohorts: Many[Year] = ()
    contracts: Literal["own", "any"] = "own"
    pre_years: Many[Year] = ()
    map: PracticeMap | None = None
    race_version: RaceVersion | Other | None = None
    race_method: RaceMethod = "classes"
    exits: ExitRule | None = None
    clusters: Clusters = "system"
    covariate: Covariate | None = None
    interaction: bool = False
    placebo: Year | None = None
    caliper: Annotated[float, Field(gt=0)] | None = None
    members: Members = "open"
    weighting: Weighting = "random_effects"
    leave_out: Literal["each_system"] | None = None
    unpaid: str | Many[str] = "not_incentivized"
    inference: Annotated[Many[InferenceId], Field(min_length=1)]
    margin: float | None = None
    direction: Literal["above", "below"] | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def bounds_trends(self) -> bool:
        """Whether it asks how far trends may part before an answer is compatible with no effect, instead of for an effect."""
        return set(self.inference) <= set(BOUNDS_TRENDS)


class Gate(Block):
    """[[gate]]: an effect-blind check. `limit` is the worst value that passes; `governs`: which rows fall with it, those of the
    measure and pooled answers it is part of, those of the measure alone, other race versions, or all.
    """

    id: GateId
    question: str
    limit: float
    direction: Literal["at_least", "at_most"]
    governs: Literal["measure", "measure_alone", "race_sensitivity", "all"]


class Disclosure(Block):
    """[disclosure]: counts of 1 to `threshold` - 1 never leave; masked or public names of systems."""

    threshold: Annotated[int, Field(ge=0)]
    minimum_rate_denominator: Annotated[int, Field(ge=0)] = 0
    system_names: Literal["masked", "public"]


class Leveling(Block):
    """[leveling]: who moved when a gap moved, percentage points.

    `margin`: a gain below it is none, and a fall of the reference within it is none that spoils leveling up. `prior_sd`: of
    effects on either side before the data, for the probabilities of leveling up and down.
    """

    margin: Annotated[float, Field(ge=0)]
    prior_sd: Annotated[float, Field(gt=0)] = 3.0


class Report(Block):
    """[report]: the sections, in order."""

    sections: Annotated[Many[str], Field(min_length=1)]


class Plan(Block):
    """The whole of `study.toml`."""

    study: Info
    data: Data
    population: Population = Population()
    groups: Groups = Groups()
    race: Race | None = None
    baseline: Baseline
    measures: MeasureSets
    inference: Inference
    analysis: Annotated[Many[Analysis], Field(min_length=1)]
    gate: Many[Gate] = ()
    disclosure: Disclosure
    leveling: Leveling | None = None
    selection: Selection | None = None
    payment: Payment | None = None
    precision: Precision | None = None
    composition: Composition | None = None
    report: Report
