"""The questions of the plan: the target trial, the estimands, the hierarchy, and the plan with what became of each analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p4equity import words
from p4equity.exhibits.select import WEIGHTED
from p4equity.section import phrases
from p4equity.section.program import uniform
from p4equity.study.names import MEMBERS_NAMES, RACE_METHOD_NAMES, RACE_VERSION_NAMES, estimator_name, inference_name

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section

_OUTCOMES = {
    "gap": "Did the gap change",
    "rate": "Did the rate of all members hold",
    "spending": "Did spending hold",
    "value": "Did the outcome change",
    "companion": "Was it care or documentation",
}
_WEIGHTING = {"system": ", {units} equal", "patient": ", by size", "random_effects": ""}


def question(s: Section, analysis: Any) -> str:
    """The question of an analysis in words: its own, else from outcome, sample and what it changes."""
    if analysis.question or analysis.title:
        return str(analysis.question or analysis.title)
    study, label = s.study, s.study.info.treatment_label
    text = _OUTCOMES.get(analysis.outcome, "Did the outcome change")
    if analysis.estimator == "event_study":
        text += " year by year"
    sets = study.measure_sets
    names = set(study.measure_ids(analysis.measures))
    if names and names <= set(sets.not_incentivized):
        text += f" on measures without a {label}"
    elif names and names <= set(sets.negative_control):
        text += " on a measure that nothing should move"
    elif analysis.estimator == "system_change":
        text += f" in each {study.info.unit_label}"
    elif analysis.leave_out:
        over = " over all contracted measures together" if analysis.pooled else " on each measure"
        text += f"{over} with each {study.info.unit_label} left out in turn"
    elif analysis.groups == "each":
        text += " for each group"
    elif analysis.pooled:
        text += " over all contracted measures together"
    elif analysis.outcome == "gap":
        text += " on each measure" + (" and over all together" if analysis.also_pooled else "")
    parts = [_method(s, analysis), *changed(s, analysis)]
    return text + (f" ({'; '.join(p for p in parts if p)})" if any(parts) else "") + "?"


def _method(s: Section, analysis: Any) -> str:
    """The estimator and weights, where other analyses of the plan ask the same question with another."""
    same = [
        x for x in s.study.analyses if (x.outcome, x.groups, x.measures) == (analysis.outcome, analysis.groups, analysis.measures)
    ]
    if analysis.groups != "each" or analysis.estimator == "event_study" or len({(x.estimator, x.weighting) for x in same}) < 2:
        return ""
    name = estimator_name(analysis.estimator).short
    return name + _WEIGHTING.get(analysis.weighting, "").format(units=s.study.info.unit_label_plural)


def changed(s: Section, analysis: Any) -> list[str]:
    """The choices in which an analysis departs from the base of the plan, in words."""
    study, parts = s.study, []
    if tuple(analysis.pre_years) and tuple(analysis.pre_years) != tuple(study.baseline.pre_years):
        parts.append(f"baseline {phrases.years(analysis.pre_years)}")
    if analysis.map and analysis.map != study.population.map:
        parts.append("practices in the system of each year")
    if analysis.race_method != "classes":
        parts.append(RACE_METHOD_NAMES[analysis.race_method])
    elif analysis.race_version and study.race and analysis.race_version != study.race.primary:
        parts.append(f"race and ethnicity data {RACE_VERSION_NAMES[analysis.race_version]}")
    if analysis.exits and analysis.exits != study.population.exit_rule:
        parts.append(
            {
                "drop": f"{study.info.unit_label_plural} that left dropped",
                "carry": f"{study.info.unit_label_plural} that left kept to the end",
            }.get(analysis.exits, analysis.exits)
        )
    if analysis.members != "open":
        parts.append(MEMBERS_NAMES[analysis.members])
    if analysis.caliper is not None:
        parts.append(f"{study.info.unit_label_plural} with a baseline gap within {analysis.caliper:g} points of the other arm's")
    if analysis.clusters == "owner":
        parts.append(f"{study.info.unit_label_plural} of one owner as one")
    if analysis.cohorts and tuple(analysis.cohorts) != (study.launch_cohort,) and len(study.cohorts) > len(analysis.cohorts):
        parts.append(f"cohort {phrases.years(analysis.cohorts)}")
    primary = next((x for x in study.analyses if x.registered == "primary"), None)
    if study.data.kind == "counts" and analysis.estimator == "meta_regression" and analysis.weighting != "random_effects":
        parts.append(f"{study.info.unit_label_plural} {WEIGHTED[analysis.weighting]}")
    if study.data.kind == "value" and primary is not None and analysis.weighting != primary.weighting:
        parts.append(f"every {study.info.unit_label} counting the same" if analysis.weighting == "system" else "weights by size")
    return parts


def plan(s: Section) -> pd.DataFrame:
    """Every analysis of the plan: question, rank, estimator, and how many of its rows have a number."""
    import pandas as pd

    estimates, rows = s.results("estimates"), []
    for analysis in s.study.analyses:
        own = estimates[(estimates["analysis_id"] == analysis.id) & (estimates["inference"] != "claim")]
        states = own["status"].value_counts()
        counts = [str(int(states.get(k, 0))) for k in ("ok", "not_estimable", "suppressed")]
        name = estimator_name(analysis.estimator).short
        methods = ", ".join(inference_name(m).short for m in analysis.inference)
        weights = _WEIGHTING.get(analysis.weighting, "").format(units=s.study.info.unit_label_plural)
        rows.append([question(s, analysis), analysis.registered, f"{phrases.capital(name)}{weights}; {methods}", *counts])
    return pd.DataFrame(rows, columns=["Question", "Rank", "Method", "Answered", "Not estimable", "Suppressed"])


def target_trial(s: Section) -> pd.DataFrame:
    """The trial this study imitates, item by item."""
    import pandas as pd

    study, info = s.study, s.study.info
    counts = study.data.kind == "counts"
    unit, label = info.unit_label, info.treatment_label
    first = next((a for a in study.analyses if a.registered == "primary"), None)
    methods = phrases.join(phrases.method(m) for m in study.inference.primary)
    eligible = f"{phrases.capital(info.unit_label_plural)} of the study"
    if counts:
        eligible += (
            f"; members with at least {study.population.minimum_months} months of coverage in the year, attributed to a"
            f" practice of the {unit}"
        )
    attributed = ""
    if counts and study.population.map_date:
        attributed = (
            f"Practices stay with the {unit} they belonged to on {words.date(study.population.map_date)}, whatever happens later"
        )
    rows = [
        ["Eligibility", eligible],
        ["Strategies", f"A {label}{'' if uniform(s) else ' on a measure'} from the first full year on, or none"],
        [
            "Assignment",
            (
                f"Not random: by agreement of both sides. Compared {info.unit_label_plural} are those without one in any year"
                if info.payer
                else f"Not random: each {unit} decided for itself"
            ),
        ],
        ["Time zero", f"January 1 of the first full year under a {label} ({phrases.years(study.cohorts)})"],
        [
            "Baseline",
            phrases.years(study.baseline.pre_years)
            + (f"; {phrases.years(study.baseline.apart)} apart" if study.baseline.apart else ""),
        ],
        ["Follow-up", f"Until {max(study.years)}" + (f", or until a {unit} leaves" if study.exits else "")],
        ["Attribution", attributed],
        ["Outcome", _outcome(s)],
        ["Contrast", info.estimand],
        ["Weights", _weights(s)],
        [
            "Analysis",
            f"{phrases.capital(phrases.estimator(first.estimator)) if first else ''}; inference: {methods}",
        ],
    ]
    return pd.DataFrame([r for r in rows if r[1]], columns=["Item", "This study"])


def _outcome(s: Section) -> str:
    if s.study.groups.compared:
        return (
            f"Gap of each measure: rate of {phrases.reference(s)} members minus rate of {phrases.groups(s)} members, percentage"
            " points; every measure counted so that higher is better"
        )
    first = next((a for a in s.study.analyses if a.registered == "primary"), None)
    return phrases.join(s.study.measure(m).description for m in s.study.measure_ids(first.measures)) if first else ""


def _weights(s: Section) -> str:
    if s.study.data.kind == "value":
        source = s.study.data.value
        return (
            f"Once by {source.weight_label}, once every {s.study.info.unit_label} the same"
            if source and source.weight_label
            else ""
        )
    equal = s.study.inference.group_weights == "equal"
    years = phrases.years(s.study.baseline.weights_years)
    return (
        f"{phrases.capital(s.study.info.unit_label_plural)} by precision; groups of a measure"
        f" and contracted cells in pooled answers {'equally' if equal else f'by members of {years}'}."
        f" Beside it, regressions weighted by members, frozen at their means of {years}"
    )


def estimands(s: Section) -> pd.DataFrame:
    """The estimands of a study of gaps: what each compares, what it takes, and where this study answers it."""
    import pandas as pd

    info, asked = s.study.info, {a.estimator for a in s.study.analyses}
    label, units = info.treatment_label, info.unit_label_plural
    both = f"{phrases.capital(units)} with and without a {label}, before and after"
    others = "Data on other payers" if info.payer else f"Data on {units} outside the study"
    rows = [
        ["E1", "Effect on rates", f"Change of the rate of one group under a {label} minus the change in comparison {units}", both,
         phrases.section_ref(s, "leveling")],
        ["E2", "Effect on the gap",
         f"Effect on the rate of {phrases.reference(s)} members minus effect on the rate of the group; negative moves toward the"
         " group", "As E1", phrases.section_ref(s, "gaps")],
        ["E3", "Effect of the whole package", f"The {label} and what came with it, against {units} with neither", others, ""],
        ["E4", "Paid against unpaid measures",
         f"Effect on measures that a {label} pays for minus effect on other measures of the same {units}",
         f"Which {label} covers which measure", phrases.section_ref(s, "guardrails") if "paid_contrast" in asked else ""],
        ["E5", "Spillover, patients", f"Effect on patients outside {info.payer or 'the study'}", others, ""],
        ["", "Spillover, groups", "Effect on groups without a gap at baseline, and on groups that are not compared",
         "None more: the extract holds them", _other_groups(s)],
        ["E6", "Effect per dollar", "Spending per point of gap narrowed; change of gaps for each dollar of grants a member",
         "Spending; amounts of grants", _per_dollar(s)],
    ]  # fmt: skip
    for row in rows:
        row[-1] = row[-1] or "Not in this study"
    return pd.DataFrame(rows, columns=["", "Estimand", "Contrast", "Needs", "Answer"])


def _other_groups(s: Section) -> str:
    """Where groups without a gap are answered, and that groups which are not compared have no analysis."""
    asked = any(a.groups == "each" and a.estimator == "meta_regression" and a.outcome == "gap" for a in s.study.analyses)
    where = phrases.section_ref(s, "gaps") if asked else ""
    rest = [g for g in (s.study.scheme.ids if s.study.scheme else ()) if g not in s.study.group_ids]
    none = f"no analysis is planned of {phrases.join(phrases.group(s, g) for g in rest)} members" if rest else ""
    return phrases.capital("; ".join(part for part in (f"groups without a gap: {where}" if where else "", none) if part))


def _per_dollar(s: Section) -> str:
    found = []
    if any(a.estimator == "cost_per_point" for a in s.study.analyses):
        found.append(phrases.section_ref(s, "guardrails"))
    if any(a.covariate == "grant_per_member" for a in s.study.analyses):
        found.append(phrases.exhibit_ref(s, "T20", "robustness"))
    return phrases.join(found)


def estimands_note(s: Section) -> str:
    """What E1 and E2 are effects of, in the words of the plan."""
    return f"E1 and E2 are the primary estimands. They are an effect of this and of nothing more: {s.study.info.estimand}"
