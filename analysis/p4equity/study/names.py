"""What inferences and estimators are called where a reader meets them; one place to add a name."""

from __future__ import annotations

from dataclasses import dataclass

CLAIM = "claim"  # rows of the adjusted p, no inference of a plan


@dataclass(frozen=True)
class InferenceName:
    """prose: in a sentence. short: heads, legends, lists. brief: where many stand on a line. footnote: what an interval rests on.
    cited: the reference a sentence adds."""

    prose: str
    short: str
    brief: str
    footnote: str
    cited: str


@dataclass(frozen=True)
class EstimatorName:
    """prose: in a sentence. short: before its inferences. head: above its rows."""

    prose: str
    short: str
    head: str


def _i(prose: str, short: str = "", brief: str = "", footnote: str = "", cited: str = "") -> InferenceName:
    """What is not given: short as in prose, brief as short, the footnote as in prose."""
    return InferenceName(prose, short or prose, brief or short or prose, footnote or prose, cited)


def _e(prose: str, short: str = "", head: str = "") -> EstimatorName:
    """What is not given is the prose."""
    return EstimatorName(prose, short or prose, head or prose[:1].upper() + prose[1:])


def _robust(kind: str, footnote: str = "", cited: str = "") -> InferenceName:
    return _i(f"cluster-robust ({kind})", kind, footnote=f"cluster-robust errors ({kind}{footnote})", cited=cited)


_SHUFFLED = "permutation of contracts among systems"
INFERENCE_NAMES: dict[str, InferenceName] = {
    "averaged_t": _i(
        "averaged t", brief="avg. t", footnote="t test averaged over variance patterns", cited="@severini_mukerjee_ghosh_2002"
    ),
    "averaged_t_varying": _i(
        "averaged t for varying effects", "averaged t, varying effects", "avg. t var.",
        "averaged t test for effects that vary between contracted systems",
    ),
    "knapp_hartung": _i(
        "Knapp-Hartung", brief="KH", footnote="random-effects regression with Knapp-Hartung t", cited="@knapp_hartung_2003"
    ),
    "permutation": _i("permutation", brief="perm.", footnote=_SHUFFLED, cited="@mackinnon_webb_2020"),
    "permutation_raw": _i(
        "permutation of the difference itself", "raw permutation", footnote=f"{_SHUFFLED}, by the difference itself"
    ),
    "permutation_studentized": _i(
        "permutation of the studentized difference", "studentized permutation",
        footnote=f"{_SHUFFLED}, by the studentized difference",
    ),
    "permutation_standardized": _i(
        "permutation of the standardized difference", "standardized permutation",
        footnote=f"{_SHUFFLED}, by the standardized difference",
    ),
    "wild_bootstrap": _i(
        "wild cluster bootstrap", "wild bootstrap", "boot.", "restricted wild cluster bootstrap",
        "@cameron_gelbach_miller_2008; @mackinnon_webb_2018",
    ),
    "wild_bootstrap_unrestricted": _i("unrestricted wild cluster bootstrap", "unrestricted wild bootstrap"),
    "multiplier_bootstrap": _i("multiplier bootstrap", footnote="multiplier bootstrap of influence functions"),
    "cr0": _robust("CR0"),
    "cr1": _robust("CR1"),
    "cr2": _robust("CR2", ", Satterthwaite t", "@pustejovsky_tipton_2018"),
    "cr3": _robust("CR3"),
    "cv3": _i("cluster jackknife (CV3)", "CV3", footnote="errors from leaving out each cluster (CV3)"),
    "cv3j": _i("cluster jackknife around its mean (CV3J)", "CV3J",
               footnote="errors from leaving out each cluster, around their mean (CV3J)"),
    "iid": _i("independent rows", "independent rows", footnote="errors of independent rows with one variance"),
    "hc1": _i("heteroskedasticity-robust (HC1)", "HC1", footnote="errors of independent rows, heteroskedasticity-robust (HC1)"),
    "conley_taber": _i("Conley-Taber", footnote="residuals of comparison systems (Conley and Taber)"),
    "ferman_pinto": _i("Ferman-Pinto", footnote="residuals of comparison systems, rescaled by size (Ferman and Pinto)"),
    "analytical": _i("influence functions", footnote="errors from influence functions"),
    "exact": _i(
        "influence of cohorts and periods", "imputation errors", "imputation",
        footnote="errors from imputed effects by cohort and period"
    ),
    "bjs": _i("imputation errors by squared weights", footnote="errors from imputed effects, by squared weights"),
    "gmm": _i("two-stage errors (GMM)", footnote="two-stage errors of imputed effects (GMM)"),
    "delta": _i("delta method", footnote="cluster-robust errors by the delta method"),
    "placebo": _i("placebo units", "placebo", footnote="spread of the effects of placebo treatments"),
    "placebo_rank": _i("rank among placebo units", "placebo rank", footnote="rank among the effects of placebo treatments"),
    "jackknife": _i("jackknife", footnote="errors from leaving out each system"),
    "bootstrap": _i("bootstrap", footnote="bootstrap of systems"),
    "relative_magnitudes": _i(
        "bounds on differences in trends", "relative magnitudes",
        footnote="sets for trends that part as much as before (Rambachan and Roth)", cited="@rambachan_roth_2023",
    ),
    "smoothness": _i(
        "bounds on changes of slope", "smoothness",
        footnote="sets for trends whose slope may change (Rambachan and Roth)", cited="@rambachan_roth_2023",
    ),
    "pretest_power": _i("power of pretests", footnote="violations that a test of earlier years would find"),
    "sampling": _i("sampling error alone", "sampling", footnote="sampling error of members only"),
    "none": _i("no error"),
    "residual_permutation": _i(
        "permutation of residuals", brief="perm. res.", footnote="permutation of residuals under the null",
        cited="@freedman_lane_1983",
    ),
    "fieller": _i("Fieller's confidence set", "Fieller", footnote="Fieller's confidence set of a ratio"),
    CLAIM: _i("the primary inference, adjusted", CLAIM, footnote="primary p, adjusted by the registered hierarchy"),
}  # fmt: skip
ESTIMATOR_NAMES: dict[str, EstimatorName] = {
    "meta_regression": _e("two-stage random-effects regression", "two-stage", "Random-effects regression"),
    "did": _e("difference-in-differences"),
    "event_study": _e("event study"),
    "triple_difference": _e("triple difference"),
    "group_time": _e("group-time effects"),
    "interaction_weighted": _e("interaction-weighted event study", head="Interaction-weighted"),
    "imputation": _e("imputation estimator", head="Imputation"),
    "extended_twfe": _e("extended two-way fixed effects", head="Extended two-way effects"),
    "stacked": _e("stacked difference-in-differences"),
    "synthetic_did": _e("synthetic difference-in-differences"),
    "bacon": _e("decomposition of the two-way estimate"),
    "system_change": _e("change of each system, raw and shrunken", "change by unit"),
    "race_level": _e("gap by how members are placed in groups", "gap by source of race and ethnicity"),
    "exit_bounds": _e("bounds for the years after an exit", "bounds after an exit"),
    "retention": _e("difference in staying between groups", "staying"),
    "specification_break": _e("jump of a gap at a change of specification", "jump at a break"),
    "placebo_date": _e("two-stage random-effects regression at a placebo date", "two-stage, placebo date"),
    "selected_baseline": _e("selection of measures, replayed", "selection replayed"),
    "scale_change": _e("two-stage random-effects regression on another scale", "two-stage, another scale"),
    "attributed_share": _e("share of each group among attributed members", "attributed share"),
    "paid_contrast": _e("paid against unpaid measures of the same systems", "paid against unpaid"),
    "documentation": _e("part of a change that comes from readings", "readings or control"),
    "leveling": _e("effects on both sides of a gap together", "both sides together"),
    "adjusted_change": _e("two-stage regression with a covariate of the systems", "two-stage with a covariate"),
    "cost_per_point": _e("ratio of the effects on spending and on gaps", "cost per point"),
}

# Estimators whose answers Holm's rule may announce outside the order of questions, as a sentence names them.
ANNOUNCED_OUTSIDE = {
    "scale_change": "the answers on other scales",
    "retention": "who stays",
    "attributed_share": "shares of attributed members",
    "specification_break": "jumps where ages change",
    "adjusted_change": "facts held fixed",
}

# Who the members of an analysis are (`members`).
MEMBERS_NAMES = {
    "open": "members of each year", "age_standardized": "rates at the same ages in all years",
    "stayed": "only members who stayed", "stayed_weighted": "members who stayed, weighted for age alone to all at baseline",
}  # fmt: skip
# Which version of the race and ethnicity data it reads (`race_version`).
RACE_VERSION_NAMES = {"frozen": "in one version for all years", "contemporaneous": "as in use each year"}
# How an analysis places members in groups (`race_method`).
RACE_METHOD_NAMES = {
    "classes": "recorded race and ethnicity", "weighted": "race and ethnicity probabilities as weights",
    "linear": "regression on race and ethnicity probabilities", "self_report": "self-reported race and ethnicity only",
    "imputed": "race and ethnicity imputed several times",
}  # fmt: skip


@dataclass(frozen=True)
class CovariateName:
    """prose: in a sentence. per: after the unit of a change along it. step: its units in one such step."""

    prose: str
    per: str
    step: float


# Facts about systems that an analysis may hold fixed (`covariate`).
COVARIATE_NAMES = {
    "grant_per_member": CovariateName("grant money per attributed member", "per 10 USD a member", 10.0),
    "medicaid_share": CovariateName("the share of patients covered by Medicaid", "per 10 points of Medicaid share", 10.0),
    "baseline_quality": CovariateName("quality at baseline on unpaid measures", "per 5 points of quality at baseline", 5.0),
    "near_contracted": CovariateName("a county shared with a contracted system", "between near and far", 1.0),
}


def covariate_name(word: object) -> CovariateName:
    """Names of a covariate of systems."""
    return COVARIATE_NAMES[str(word)]


def inference_name(word: object) -> InferenceName:
    """Names of an inference; of another word, the word itself."""
    return INFERENCE_NAMES.get(str(word)) or _i(str(word).replace("_", " "))


def estimator_name(word: object) -> EstimatorName:
    """Names of an estimator; of another word, the word itself."""
    return ESTIMATOR_NAMES.get(str(word)) or _e(str(word).replace("_", " "))
