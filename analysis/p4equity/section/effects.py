"""Effects on gaps (or on published values): claims, measures, groups, cross-checks, years before, and published coefficients."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from p4equity.section import parting, phrases, reversal
from p4equity.section.answers import (
    EVERYONE,
    Answer,
    answers,
    by_measure,
    excludes_zero,
    figures,
    members,
    primary_question,
    sentence,
)
from p4equity.section.confidence import rated
from p4equity.section.robustness import span

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
    said = f"{sentence(s, first, phrases.measure(s, first.measure_id))}"
    return f"{said} {span(s, first)} {rated(s, first)}" if first.ok else said


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
    exact = next(
        (
            r
            for r in (*first.others, *first.checks)
            if r["inference"] == "permutation" and r["status"] == "ok" and r["p_attainable"]
        ),
        None,
    )
    if exact is not None:
        text += f" The smallest p value the permutation could reach is {s.number(exact['row_id'], what='p_attainable')}."
    return text


def single_measures(s: Section) -> str:
    """One paragraph a measure, named with its groups where it does not hold all of them."""
    items = ((sentence(s, a, _subject(s, a)), reversal.words(s, a), rated(s, a)) for a in by_measure(s))
    return phrases.paragraphs(*(" ".join(x for x in parts if x) for parts in items))


def _subject(s: Section, a: Answer) -> str:
    """ "A1c control (Hispanic members)" where the pooled answer holds only some groups."""
    name, who = phrases.measure(s, a.measure_id), members(s, a)
    return name if who == EVERYONE else f"{name} ({who})"


def fresh_baseline(s: Section) -> str:
    """The primary questions with the years left out by which measures were selected."""
    for analysis in s.study.analyses:
        main, first = by_measure(s), primary_question(s)
        if not main or analysis.registered != "primary" or analysis.pooled or analysis.id == main[0].analysis_id:
            continue
        found = [a for a in answers(s, analysis.id) if a.ok]
        if not found:
            return ""
        parts = [
            f"{phrases.lower(phrases.measure(s, a.measure_id))} {figures(s, a.main, level=False, with_unit=False)}" for a in found
        ]
        before = {a.measure_id: a.claimed for a in [*main, *([first] if first else [])]}
        moved = [a.measure_id for a in found if a.claimed != before.get(a.measure_id)]
        head = "the claims are the same" if any(before.values()) else "there is still no claim"
        if moved:
            head = f"the claim changes for {phrases.measures(s, moved)}"
        years = phrases.years(analysis.pre_years)
        return (
            "**Without the years by which measures were chosen.** Measures chosen for a wide gap tend to narrow by chance"
            f" [@daw_hatfield_2018]. With a baseline of {years} alone, {head}: {'; '.join(parts)} points."
        )
    return ""


def groups(s: Section) -> str:
    """Which single groups carry a claim, and how many do not."""
    for analysis in s.study.analyses:
        if analysis.groups != "each" or analysis.estimator != "meta_regression" or analysis.outcome != "gap":
            continue
        items = answers(s, analysis.id)
        claimed = [a for a in items if a.claimed]
        odd = [a for a in items if not a.baseline_gap]
        verb = "supports" if len(claimed) == 1 else "support"
        text = (
            f"**{phrases.capital(phrases.count(len(claimed)) if claimed else 'none')} of {phrases.count(len(items))} questions"
            f" about one group and one measure {verb if claimed else 'supports'} a claim.**"
        )
        for a in claimed:
            text += f" {phrases.measure(s, a.measure_id)}, {phrases.group(s, a.group)} members: {figures(s, a.main)}."
            text += f" {reversal.words(s, a)}".rstrip()
        return f"{text} {_no_gap(s, odd)}" if odd else text
    return ""


def _no_gap(s: Section, odd: list[Answer]) -> str:
    """Where no gap was shown at baseline, with the baseline gap itself, and what follows."""
    parts = []
    for a in odd:
        name = f"{phrases.lower(phrases.measure(s, a.measure_id))} for {phrases.group(s, a.group)} members"
        found = s.run.rows({"analysis_id": "baseline_gap", "measure_id": a.measure_id, "group": a.group, "status": "ok"})
        key = str(found["row_id"].iloc[0]) if len(found) == 1 else ""
        parts.append(f"{name} ({s.number(key, signed=True)} points, {s.number(key, what='interval')})" if key else name)
    return (
        f"No gap was shown at baseline on {phrases.join(parts)}, since the interval of the baseline gap is not above zero. There"
        " was nothing to narrow: these stay out of every pooled number, and a negative effect there is not called a narrowing."
    )


def before(s: Section) -> str:
    """The joint tests of the years before, with what such a test can and cannot do."""
    found = s.run.rows({"inference": list({m for a in s.study.analyses for m in a.inference})})
    found = found[found["outcome"].astype(str).isin(["pretrend_gap", "pretrend_value"]) & (found["estimator"] == "event_study")]
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
        + (
            f", each by itself: with nothing there, {phrases.plain(s.study.inference.alpha * len(ok))} would on average"
            if len(early)
            else ""
        )
    )
    silent = found[found["status"] != "ok"]
    text += f"; {phrases.count(len(silent))} could not be made ({_why(s, list(silent['reason']))})." if len(silent) else "."
    return (
        f"{text} This is weak comfort: with few {s.study.info.unit_label_plural} such a test finds only large differences, and"
        " results that pass it look better than they are [@roth_2022]. Look at the width of the intervals before the start, not"
        f" at the p values. {parting.trends(s)} {_one_year(s)}"
    )


def _one_year(s: Section) -> str:
    """Which measures the event study can follow for one year only after the start, and why."""
    named = []
    for analysis in s.study.analyses:
        if analysis.estimator != "event_study" or analysis.bounds_trends:
            continue
        rows = s.run.rows({"analysis_id": analysis.id, "outcome": analysis.outcome, "status": "ok"})
        after = rows[rows["event_time"] >= 0].groupby("measure_id")["event_time"].nunique()
        named += [m for m in after.index[after == 1] if m not in named]
    if not named:
        return ""
    verb = "has" if len(named) == 1 else "have"
    return (
        f"{phrases.capital(phrases.measures(s, named))} {verb} a single year after the start: in later years too few"
        f" {s.study.info.unit_label_plural} with a {s.study.info.treatment_label} remain for these errors."
    )


_FEW = re.compile(r"\d treated clusters?: cluster-robust")


def _why(s: Section, reasons: list[Any]) -> str:
    """Reasons in a reader's words, each once."""
    few = f"fewer than three {s.study.info.unit_label_plural} have the {s.study.info.treatment_label}, too few for these errors"
    texts = [str(r) for r in reasons if isinstance(r, str)]
    return "; ".join(dict.fromkeys(few if _FEW.search(t) else phrases.with_labels(s, t) for t in texts))


def other_methods(s: Section) -> str:
    """How the regressions of the plan compare with the primary method, in one paragraph; nothing for a study without gaps."""
    ours = next(
        (a for a in s.study.analyses if a.groups == "each" and a.estimator == "meta_regression" and a.outcome == "gap"), None
    )
    others = [
        a for a in s.study.analyses if a.groups == "each" and a.outcome == "gap" and a.estimator in ("did", "triple_difference")
    ]
    if ours is None or not others:
        return ""
    main = {(a.measure_id, a.group): a for a in answers(s, ours.id) if a.ok}
    found = [a for analysis in others for a in answers(s, analysis.id)]
    # two estimators with the same number are one estimate: the triple difference is a difference-in-differences of the gap
    seen = {(a.measure_id, a.group, round(a.main["estimate"], 6)): a for a in found if a.ok and (a.measure_id, a.group) in main}
    same = sum((a.main["estimate"] < 0) == (main[a.measure_id, a.group].main["estimate"] < 0) for a in seen.values())
    missing = {(a.measure_id, a.group): a.main["reason"] for a in found if not a.ok}
    names = phrases.join(dict.fromkeys(phrases.estimator(a.estimator) for a in others))
    agree = f"all {phrases.count(len(seen))} have" if same == len(seen) else f"{same} {'has' if same == 1 else 'have'}"
    absent = f" For {len(missing)} more there is no number: {_why(s, list(missing.values()))}." if missing else ""
    table = phrases.exhibit_ref(s, "T3", "robustness", "; they stand in ")
    used = [key for key in dict.fromkeys(phrases.cited(m) for a in others for m in a.inference) if key]
    cited = f" [{'; '.join(used)}]" if used else ""
    twins = any(a.estimator == "triple_difference" for a in others)
    return (
        f"**Other methods.** The same cells were also put through {names}, with other weights and other errors{cited}. Of"
        f" {phrases.count(len(seen))} distinct estimates for single groups, {agree} the sign of the primary"
        f" method{table}.{absent}"
        + (
            " The triple difference [@olden_moen_2022] equals the difference-in-differences of the gap weighted by members, so it"
            " is not counted again and is no test of its own."
            if twins
            else ""
        )
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
    """How near the study comes to the coefficients set beside it: rows of the same specification, and the others."""
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
        f"Of {phrases.plural(near + outside, 'coefficient')} given for a nearby specification, {phrases.count(near)} lie"
        " inside this study's interval"
    )
    return text + (f" and {phrases.count(outside)} outside." if outside else ".")
