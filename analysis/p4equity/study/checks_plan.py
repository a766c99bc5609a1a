"""Checks inside `study.toml`: years, groups, measures and analyses must fit together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from p4equity.dictionary import Dictionary, Measure
from p4equity.errors import StudyError, did_you_mean
from p4equity.resources import notebooks_dir
from p4equity.study.checks_composition import check_composition
from p4equity.study.checks_contracts import check_contracts
from p4equity.study.checks_design import check_design
from p4equity.study.checks_race import check_race_method
from p4equity.study.checks_scales import check_scale
from p4equity.study.locate import KeyPath
from p4equity.study.model import measures_of
from p4equity.study.plan import Analysis, Inference, MeasureSets, Plan
from p4equity.study.problems import Problems
from p4equity.study.vocabulary import CHANGES_ONLY, INFERENCES_OF, OWN_WEIGHTS, PERMUTED

FILE = "study.toml"
NO_LINE = (*PERMUTED, *CHANGES_ONLY)  # tests whose statistic fixes the weights of systems


def check_plan(plan: Plan, measures: Mapping[str, Measure], dictionary: Dictionary, problems: Problems) -> None:
    """Notes every problem that the plan has on its own."""
    _check_years(plan, problems)
    _check_kind(plan, problems)
    _check_threshold(plan, problems)
    _check_groups(plan, dictionary, problems)
    _check_race(plan, dictionary, problems)
    _check_sets(plan.measures, measures, problems)
    _check_family(plan.inference, problems)
    check_composition(plan, problems)
    check_contracts(plan, problems)
    duplicates([a.id for a in plan.analysis], FILE, "analysis", "id", problems)
    duplicates([g.id for g in plan.gate], FILE, "gate", "id", problems)
    duplicates(plan.report.sections, FILE, "report", "sections", problems)
    _check_sections(plan, problems)
    for i, analysis in enumerate(plan.analysis):
        _check_analysis(plan, analysis, ("analysis", i), measures, problems)


def duplicates(values: Sequence[str], file: str, block: str, key: str, problems: Problems) -> None:
    """Notes each value that a list of blocks, or a list in one block, holds twice."""
    for i, value in enumerate(values):
        if value in values[:i]:
            path: KeyPath = (block, i, key) if block != "report" else (block, key)
            problems.add(file, path, f"duplicate {key} '{value}'", fix=f"give each {block} {key} once")


def _check_sections(plan: Plan, problems: Problems) -> None:
    """Notes sections that no numbered notebook writes, and those about what the plan does not hold."""
    known = [path.stem[3:] for path in sorted(notebooks_dir().glob("[0-9][0-9]_*.ipynb"))]
    about = {"leveling": (plan.groups.compared, "[groups] compared"), "payments": (plan.payment, "[payment]")}
    for section in plan.report.sections:
        held, block = about.get(section, (True, ""))
        if not held:
            problems.add(
                FILE, ("report", "sections"), f"the section '{section}' is about what the plan does not hold", expected=block,
                fix=f"leave '{section}' out of report.sections, or add {block}",
            )  # fmt: skip
        if section not in known:
            problems.add(
                FILE, ("report", "sections"), f"unknown section '{section}'", expected="names of notebooks/NN_<section>.ipynb",
                fix=did_you_mean(section, known),
            )  # fmt: skip


def _check_years(plan: Plan, problems: Problems) -> None:
    years = plan.data.years
    if list(years) != sorted(set(years)):
        problems.add(FILE, ("data", "years"), "the years must ascend, each once", found=list(years))
    base = plan.baseline
    lists: dict[str, Iterable[int]] = {
        "pre_years": base.pre_years,
        "apart": base.apart,
        "reference_year": [base.reference_year],
        "weights_years": base.weights_years,
        "selection_years": base.selection_years,
    }
    for key, values in lists.items():
        inside(values, years, ("baseline", key), problems)
    both = sorted(set(base.pre_years) & set(base.apart))
    if both:
        problems.add(
            FILE, ("baseline", "pre_years"), "a year set apart cannot be a baseline year", found=both,
            fix="take it out of pre_years or of apart",
        )  # fmt: skip
    if plan.payment:
        inside(plan.payment.baseline_years, years, ("payment", "baseline_years"), problems)
        inside(plan.payment.performance_years, years, ("payment", "performance_years"), problems)
    if plan.precision:
        for key in ("baseline_years", "performance_years"):
            inside(getattr(plan.precision, key), years, ("precision", key), problems)


def inside(values: Iterable[int], years: Sequence[int], path: KeyPath, problems: Problems) -> None:
    """Notes years that the study does not cover."""
    outside = [year for year in values if year not in years]
    if outside:
        problems.add(
            FILE, path, "years outside data.years", expected=f"years from {years[0]} to {years[-1]}", found=outside,
            fix="correct the year, or add it to data.years",
        )  # fmt: skip


def _check_kind(plan: Plan, problems: Problems) -> None:
    if plan.data.kind == "value":
        if plan.data.value is None:
            problems.add(FILE, ("data", "kind"), 'kind = "value" needs a section [data.value] that names the panel')
        return
    if plan.data.value is not None:
        problems.add(FILE, ("data", "value"), '[data.value] is read only with kind = "value"', fix="remove one of the two")
    if plan.population.map == "baseline" and plan.population.map_date is None:
        problems.add(
            FILE, ("population", "map"), "a baseline map needs map_date", expected="map_date = YYYY-MM-DD",
            fix="name the day whose practice-to-system map is frozen",
        )  # fmt: skip


def _check_threshold(plan: Plan, problems: Problems) -> None:
    """Only data that are published already may do without a disclosure threshold."""
    if plan.data.kind == "counts" and plan.disclosure.threshold < 2:
        problems.add(
            FILE, ("disclosure", "threshold"), "counts of members need a disclosure threshold", expected="2 or more; 11 is usual",
            found=plan.disclosure.threshold, fix='set threshold = 11; 0 is for published aggregates, kind = "value"',
        )  # fmt: skip


def _check_groups(plan: Plan, dictionary: Dictionary, problems: Problems) -> None:
    groups = plan.groups
    if groups.compared and not (groups.scheme and groups.reference):
        problems.add(FILE, ("groups", "compared"), "groups to compare need a scheme and a reference group")
        return
    if groups.scheme is None:
        return
    if groups.scheme not in dictionary.schemes:
        problems.add(
            FILE, ("groups", "scheme"), "the dictionary has no such group scheme", found=groups.scheme,
            fix=did_you_mean(groups.scheme, dictionary.schemes),
        )  # fmt: skip
        return
    known = [group.id for group in dictionary.schemes[groups.scheme].groups]
    named = [("reference", groups.reference)] if groups.reference else []
    for key, group in [*named, *(("compared", group) for group in groups.compared)]:
        if group not in known:
            problems.add(FILE, ("groups", key), f"unknown group '{group}'", fix=did_you_mean(group, known))
    if groups.reference in groups.compared:
        problems.add(FILE, ("groups", "compared"), "the reference group cannot be compared with itself", found=groups.reference)


def _check_race(plan: Plan, dictionary: Dictionary, problems: Problems) -> None:
    if plan.race is None:
        if plan.groups.compared and plan.data.kind == "counts":
            problems.add(FILE, ("groups", "compared"), "groups of members need a section [race] that names the data versions")
        return
    versions = plan.race.contemporaneous_versions
    missing = [year for year in plan.data.years if year not in versions]
    if missing:
        problems.add(
            FILE, ("race", "contemporaneous_versions"), "years without a version of the race and ethnicity data",
            found=missing, fix="say which version reported each year",
        )  # fmt: skip
    inside(versions, plan.data.years, ("race", "contemporaneous_versions"), problems)
    table = dictionary.tables.get("race_ethnicity")
    field = next((f for f in table.fields if f.name == "version"), None) if table else None
    known = [str(value) for value in field.enum or ()] if field else []
    for key, version in [
        ("frozen_version", plan.race.frozen_version),
        *(("contemporaneous_versions", v) for v in versions.values()),
    ]:
        if known and version not in known:
            problems.add(FILE, ("race", key), f"unknown version '{version}'", fix=did_you_mean(version, known))


def _check_family(inference: Inference, problems: Problems) -> None:
    """The report prints `multiplicity` and the claims follow `family`: the words must not name another rule."""
    named = {"holm": "holm", "benjamini_hochberg": "benjamini", "romano_wolf": "romano"}
    others = [rule for rule, word in named.items() if word in inference.multiplicity.lower() and rule != inference.family]
    if others:
        problems.add(
            FILE, ("inference", "multiplicity"), "names another rule than the one that claims follow",
            expected=f"words on family = \"{inference.family}\"", found=", ".join(others), fix="change family, or the words",
        )  # fmt: skip


def _check_sets(sets: MeasureSets, measures: Mapping[str, Measure], problems: Problems) -> None:
    for key in type(sets).model_fields:
        named = sets.sets if key == "sets" else {key: measures_of(sets, key)}
        for name, ids in named.items():
            path: KeyPath = ("measures", "sets", name) if key == "sets" else ("measures", name)
            check_measures(ids, measures, FILE, path, problems)
    for name in sets.sets:
        if name in type(sets).model_fields:
            problems.add(FILE, ("measures", "sets", name), "this name belongs to a role of [measures]", fix="choose another")
    if sets.spending and sets.spending in measures and measures[sets.spending].kind != "spending":
        problems.add(FILE, ("measures", "spending"), "not a measure of spending", found=sets.spending)


def check_measures(ids: Sequence[str], measures: Mapping[str, Measure], file: str, path: KeyPath, problems: Problems) -> None:
    """Notes measures that neither the dictionary nor the study defines."""
    for measure in ids:
        if measure not in measures:
            problems.add(file, path, f"unknown measure '{measure}'", fix=did_you_mean(measure, measures))


def _check_analysis(plan: Plan, analysis: Analysis, path: KeyPath, measures: Mapping[str, Measure], problems: Problems) -> None:
    try:
        ids = measures_of(plan.measures, analysis.measures)
    except StudyError as error:
        problems.add(FILE, (*path, "measures"), error.problem, found=error.found, fix=error.fix)
        return
    if not ids:
        problems.add(FILE, (*path, "measures"), "the set holds no measure", found=analysis.measures)
    if not isinstance(analysis.measures, str):
        check_measures(ids, measures, FILE, (*path, "measures"), problems)
    if analysis.pooled and len(ids) < 2:
        problems.add(FILE, (*path, "pooled"), "pooling over measures needs at least two", found=", ".join(ids))
    inside(analysis.pre_years, plan.data.years, (*path, "pre_years"), problems)
    if (analysis.margin is None) != (analysis.direction is None):
        problems.add(FILE, path, "margin and direction belong together", fix="give both for non-inferiority, or neither")
    _check_method(analysis, path, problems)
    check_race_method(plan, analysis, ids, path, problems)
    _check_outcome(plan, analysis, [measures[m] for m in ids if m in measures], path, problems)
    check_scale(analysis, path, problems)
    check_design(plan, analysis, path, problems)


def _check_method(analysis: Analysis, path: KeyPath, problems: Problems) -> None:
    allowed = INFERENCES_OF[analysis.estimator]
    for inference in analysis.inference:
        if inference not in allowed:
            problems.add(
                FILE, (*path, "inference"), f"'{inference}' is not defined for the estimator '{analysis.estimator}'",
                expected=", ".join(allowed),
            )  # fmt: skip
    if analysis.pooled or analysis.also_pooled:
        for inference in sorted(set(analysis.inference) & set(CHANGES_ONLY)):
            problems.add(
                FILE, (*path, "inference"), f"'{inference}' tests one change a system, not measures pooled",
                expected=", ".join(word for word in allowed if word not in CHANGES_ONLY),
                fix="ask for it in an analysis of each measure",
            )  # fmt: skip
    if analysis.estimator in OWN_WEIGHTS and analysis.options:
        problems.add(
            FILE, (*path, "options"), f"the estimator '{analysis.estimator}' takes no options in a plan",
            found=", ".join(analysis.options), fix="tau2, permutation_limit and strata stand in [inference] and [population]",
        )  # fmt: skip
    if analysis.estimator == "meta_regression" and analysis.weighting != "random_effects":
        for inference in sorted(set(analysis.inference) & set(NO_LINE)):
            problems.add(
                FILE, (*path, "inference"), f"'{inference}' has weights of its own, not weighting = \"{analysis.weighting}\"",
                expected=", ".join(word for word in allowed if word not in NO_LINE),
                fix="ask for it in an analysis with weighting = \"random_effects\"",
            )  # fmt: skip
    if analysis.estimator not in OWN_WEIGHTS and analysis.weighting == "random_effects":
        problems.add(
            FILE, (*path, "weighting"), f"the estimator '{analysis.estimator}' needs weights of its own",
            expected="weighting = \"system\" or \"patient\"",
        )  # fmt: skip


def _check_outcome(plan: Plan, analysis: Analysis, measures: list[Measure], path: KeyPath, problems: Problems) -> None:
    outcome, where = analysis.outcome, (*path, "outcome")
    if (outcome == "gap" or analysis.groups in ("pooled", "each")) and not plan.groups.compared:
        problems.add(
            FILE, where, "a gap needs groups to compare", found="groups.compared is empty",
            fix="name them, or take groups = \"all\" with another outcome",
        )  # fmt: skip
    kinds = {"spending": "spending", "value": "value", "attributed_share": "spending"}
    for measure in measures:
        if measure.kind != kinds.get(outcome, "proportion"):
            problems.add(
                FILE, where, f"the outcome '{outcome}' does not fit the measure '{measure.id}'", found=f"kind {measure.kind}"
            )
    if outcome == "companion" and not any(measure.has_reading for measure in measures):
        problems.add(FILE, where, "no measure here has a reading, so there is no companion rate")
    if (outcome == "value") != (plan.data.kind == "value"):
        problems.add(FILE, where, f"the outcome '{outcome}' does not fit data.kind = \"{plan.data.kind}\"")
