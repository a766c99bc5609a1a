"""Effects on gaps (or on published values): claims, measures, groups, cross-checks, years before, and published coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p4equity.section import phrases
from p4equity.section.answers import Answer, answers, by_measure, excludes_zero, figures, primary_question, sentence
from p4equity.section.confidence import rated

if TYPE_CHECKING:
    from p4equity.section.section import Section


def heading(s: Section) -> str:
    """The section's heading: equity gaps, or effects where there are no groups."""
    return f"# {'Equity gaps' if s.study.groups.compared else 'Effects'} {{#sec:gaps}}"


def primary(s: Section) -> str:
    """The primary answer, finding first, with its confidence."""
    first = primary_question(s)
    if first is None:
        return "The plan has no primary question."
    return f"{sentence(s, first, phrases.measure(s, first.measure_id))} {rated(s, first)}"


def base(s: Section) -> str:
    """What the primary answer rests on: units, treated units, members, years, method, smallest attainable p."""
    first = primary_question(s)
    if first is None or not first.ok:
        return ""
    row, info = first.main, s.study.info
    text = (
        f"It rests on {s.number(row['row_id'], what='n_clusters')} {info.unit_label_plural},"
        f" {s.number(row['row_id'], what='n_treated_clusters')} of them with a {info.treatment_label}"
    )
    if row["n_members"]:
        text += f", and {s.number(row['row_id'], what='n_members')} member-years"
    text += f", with data of {s.number(row['row_id'], what='first_year')} to {s.number(row['row_id'], what='last_year')}."
    exact = next((r for r in first.others if r["inference"] == "permutation" and r["status"] == "ok" and r["p_attainable"]), None)
    if exact is not None:
        text += f" The smallest p the permutation could give is {s.number(exact['row_id'], what='p_attainable')}."
    return text


def single_measures(s: Section) -> str:
    """One paragraph a measure."""
    return phrases.paragraphs(*(f"{sentence(s, a, phrases.measure(s, a.measure_id))} {rated(s, a)}" for a in by_measure(s)))


def fresh_baseline(s: Section) -> str:
    """The primary questions with the years left out by which measures were selected."""
    for analysis in s.study.analyses:
        main = by_measure(s)
        if not main or analysis.registered != "primary" or analysis.pooled or analysis.id == main[0].analysis_id:
            continue
        found = [a for a in answers(s, analysis.id) if a.ok]
        if not found:
            return ""
        parts = [
            f"{phrases.lower(phrases.measure(s, a.measure_id))} {figures(s, a.main, level=False, with_unit=False)}" for a in found
        ]
        before = {a.measure_id: a.claimed for a in main}
        moved = [a.measure_id for a in found if a.claimed != before.get(a.measure_id)]
        head = "the claims are the same" if any(before.values()) else "there is still no claim"
        if moved:
            head = f"the claim changes for {phrases.measures(s, moved)}"
        years = phrases.years(analysis.pre_years)
        return f"**Without the years by which measures were chosen** (baseline {years}), {head}: {'; '.join(parts)} points."
    return ""


def groups(s: Section) -> str:
    """Which single groups carry a claim, and how many do not."""
    for analysis in s.study.analyses:
        if analysis.groups != "each" or analysis.estimator != "meta_regression" or analysis.outcome != "gap":
            continue
        items = answers(s, analysis.id)
        claimed = [a for a in items if a.claimed]
        odd = [a for a in items if not a.baseline_gap]
        text = f"**{_heading(len(claimed))} of {len(items)} single group-by-measure questions supports a claim.**"
        text += "".join(
            f" {phrases.measure(s, a.measure_id)}, {phrases.group(s, a.group)}: {figures(s, a.main)}." for a in claimed
        )
        if odd:
            named = phrases.join(
                f"{phrases.lower(phrases.measure(s, a.measure_id))} for {phrases.group(s, a.group)} members" for a in odd
            )
            text += f" There was no gap above zero to narrow at baseline on {named}: these stay out of every pooled number."
        return text
    return ""


def _heading(n: int) -> str:
    return phrases.capital(phrases.count(n)) if n else "None"


def before(s: Section) -> str:
    """The joint tests of the years before, with what such a test can and cannot do."""
    found = s.run.rows({"inference": list({m for a in s.study.analyses for m in a.inference})})
    found = found[found["outcome"].astype(str).isin(["pretrend_gap", "pretrend_value"])]
    ok = found[found["status"] == "ok"]
    label = s.study.info.treatment_label
    if found.empty:
        return ""
    if ok.empty:
        return (
            f"The years before the {label} could not be tested together: {phrases.with_labels(s, str(found['reason'].iloc[0]))}."
        )
    early = ok[ok["p_value"] < s.study.inference.alpha]
    text = (
        f"Of {phrases.plural(len(ok), 'joint test')} of the years before the {label},"
        f" {phrases.count(len(early)) if len(early) else 'none'} rejected at {s.study.inference.alpha:g}"
    )
    silent = len(found) - len(ok)
    text += f"; {phrases.count(silent)} could not be made." if silent else "."
    return (
        f"{text} This is weak comfort: with few units such a test finds only large differences, and passing it makes the rest"
        " look better than it is [@roth_2022]. Look at the width of the intervals before the start, not at the p values."
    )


def other_methods(s: Section) -> str:
    """How the registered regressions compare with the primary method, in one paragraph; nothing for a study without gaps."""
    ours = next(
        (a for a in s.study.analyses if a.groups == "each" and a.estimator == "meta_regression" and a.outcome == "gap"), None
    )
    others = [
        a for a in s.study.analyses if a.groups == "each" and a.outcome == "gap" and a.estimator in ("did", "triple_difference")
    ]
    if ours is None or not others:
        return ""
    main = {(a.measure_id, a.group): a for a in answers(s, ours.id) if a.ok}
    same, seen = 0, 0
    missing: list[str] = []
    for analysis in others:
        for a in answers(s, analysis.id):
            if not a.ok:
                missing.append(phrases.with_labels(s, str(a.main["reason"])))
            elif (a.measure_id, a.group) in main:
                seen += 1
                same += (a.main["estimate"] < 0) == (main[a.measure_id, a.group].main["estimate"] < 0)
    names = phrases.join(dict.fromkeys(phrases.ESTIMATORS[a.estimator] for a in others))
    table = phrases.exhibit_ref(s, "T3", "robustness", "; all of them stand in ")
    agree = f"all {seen}" if same == seen else str(same)
    absent = f" {len(missing)} more could not be made ({'; '.join(dict.fromkeys(missing))})." if missing else ""
    return (
        f"**Other methods.** The same cells were also put through {names}, with other weights and other errors. Of {seen}"
        f" estimates for single groups {agree} have the sign of the primary method{table}.{absent} They are shown to be"
        " compared, not to be chosen from."
    )


def values(s: Section) -> str:
    """Secondary answers of a study of published values: one paragraph an analysis."""
    out = []
    for analysis in s.study.analyses:
        if analysis.registered == "primary" or analysis.estimator == "event_study" or _is_control(s, analysis):
            continue
        items = answers(s, analysis.id)
        parts = [f"{phrases.lower(phrases.measure(s, a.measure_id))} {figures(s, a.main)}" for a in items]
        out.append(
            f"**{analysis.title or analysis.id}.** {_count_excluding(items)} {phrases.capital('; '.join(parts))}."
            if parts
            else ""
        )
    return phrases.paragraphs(*out)


def _is_control(s: Section, analysis: Any) -> bool:
    return bool(set(s.study.measure_ids(analysis.measures)) & set(s.study.measure_sets.negative_control))


def _count_excluding(items: list[Answer]) -> str:
    clear = [a for a in items if excludes_zero(a.main)]
    if len(items) == 1:
        return "Its interval excludes zero; secondary, unadjusted." if clear else "The data cannot tell."
    return (
        f"{phrases.capital(phrases.count(len(clear)))} of {phrases.count(len(items))} intervals"
        f" {'excludes' if len(clear) == 1 else 'exclude'} zero; secondary, unadjusted."
    )


def published(s: Section) -> str:
    """How near the study comes to what was printed: rows of the same specification, and the others."""
    same, near, outside = 0, 0, 0
    for p in s.study.published:
        a = next((x for x in answers(s, p.analysis_id) if x.measure_id == p.measure_id), None)
        if a is None or not a.ok:
            continue
        off = abs(float(a.main["estimate"]) - p.estimate)
        if p.same_specification:
            same += off < 1e-6
        elif a.main["conf_low"] is not None and a.main["conf_low"] <= p.estimate <= a.main["conf_high"]:
            near += 1
        else:
            outside += 1
    exact = sum(p.same_specification for p in s.study.published)
    text = (
        f"**{phrases.capital(phrases.count(same))} of {phrases.count(exact)} coefficients of the same specification agree to"
        " six decimals.** "
        if exact
        else ""
    )
    text += (
        f"Of {phrases.plural(near + outside, 'coefficient')} printed for a nearby specification, {phrases.count(near)} lie"
        " inside this study's interval"
    )
    return text + (f" and {phrases.count(outside)} outside." if outside else ".")
