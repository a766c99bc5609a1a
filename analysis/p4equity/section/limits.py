"""Limits in order of importance, what would change the conclusions, and the disclosures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity import words
from p4equity.section import phrases
from p4equity.section.answers import by_measure, primary_question
from p4equity.section.implementation import increment

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section


def main_limits(s: Section) -> str:
    """The limits that apply to this study, the gravest first."""
    return "\n".join(f"{i}. {text}" for i, text in enumerate([x for x in _limits(s) if x], start=1))


def _limits(s: Section) -> list[str]:
    study, info = s.study, s.study.info
    units, label = info.unit_label_plural, info.treatment_label
    return [
        "**Synthetic data.** No conclusion about a real program follows from this edition." if s.synthetic else "",
        (
            f"**No random assignment.** {phrases.capital(units)} with a {label} differ from the others in ways the data may not"
            " show. Every method here assumes that, without it, both would have moved alike."
        ),
        _numbers(s),
        (
            f"**An increment, not the program.** {phrases.capital(phrases.count(len(study.cointerventions)))} other programs and"
            f" events fall into the same years, some of them in both arms. {increment(s)}"
            if study.cointerventions
            else ""
        ),
        *(
            f"**{s.label(x.system_id)} left in {x.date.year}.** Its patients and clinicians may have gone to both arms; how that"
            f" is handled changes numbers{_where(s, 'robustness')}."
            for x in study.exits
        ),
        (
            f"**Race and ethnicity are imputed for some members.** {_imputation(study.race.primary)} make gaps look larger or"
            " smaller than they are, depending on how members are assigned [@chen_2019]."
            if study.race is not None
            else ""
        ),
        (
            "**Gaps are adjusted for age at most.** Counts of members carry ages, and neither sex, diagnoses nor area"
            " deprivation, so that no gap adjusted for social position stands beside these. They include what reaches care"
            " through income and neighborhood, as a gap in care should; how much that is, this study cannot say."
            if study.groups.compared and study.composition is not None
            else ""
        ),
        (
            "**Some rates depend on documentation.** Where a missing reading counts as a failure, better data raise the rate"
            " without better care."
            if any(study.measure(m).has_reading for m in study.measure_sets.contracted)
            else ""
        ),
        (
            "**Who moved is judged by a weaker rule.** Claims about gaps are adjusted for the number of questions; the"
            " verdicts on whose rates moved"
            f" rest on one{_where(s, 'leveling')}."
            if study.groups.compared
            else ""
        ),
        (
            "**Aggregates.** Nothing can be said of persons, and reporting practices enter the outcome."
            if study.data.kind == "value"
            else ""
        ),
    ]


def _imputation(version: str) -> str:
    """What the primary version does to the method of imputation; a sentence goes on after "can"."""
    if version == "frozen":
        return "One version for all years keeps the method of imputation constant. It does not remove its errors, which can"
    return "The method of imputation changes with the version in use, and so may gaps without a change of care. Its errors can"


def _where(s: Section, name: str) -> str:
    return f" ({phrases.section_ref(s, name)})" if phrases.has_section(s, name) else ""


def _numbers(s: Section) -> str:
    first = primary_question(s)
    if first is None or not first.main["n_treated_clusters"]:
        return ""
    info, treated = s.study.info, int(first.main["n_treated_clusters"])
    few = [a for a in by_measure(s) if a.main["n_treated_clusters"] and int(a.main["n_treated_clusters"]) < 3]
    text = (
        f"**The number of {info.unit_label_plural}.** The primary comparison rests on {phrases.units(s, treated)} with a"
        f" {info.treatment_label}"
    )
    text += f", and on {phrases.measures(s, [a.measure_id for a in few])} on fewer than three" if few else ""
    return f"{text}. The intervals say how much chance that leaves."


def change_our_mind(s: Section) -> str:
    """What would overturn the reading of the results, in whole sentences."""
    info = s.study.info
    units, label = info.unit_label_plural, info.treatment_label
    items = [
        f"The comparison would lose its footing if new data showed {units} with a {label} drifting away from the others in the"
        f" years before, or if an outcome that the {label} cannot touch moved together with it."
    ]
    if s.study.groups.compared:
        items.append(
            "The size of the gaps would have to be estimated again if self-reported race and ethnicity showed other gaps than the"
            " imputed data."
        )
    if any(s.study.measure(m).has_reading for m in s.study.measure_sets.contracted):
        items.append(
            "A rise in a documented rate would be read as better records rather than better care if the rate among those with a"
            " reading did not move with it."
        )
    if s.study.exits:
        items.append(
            f"And the dates and measures by which {units} count as having a {label} would change if its terms turned out other"
            " than assumed here."
        )
    return " ".join(items)


def unanswered(s: Section) -> str:
    """Threats that no analysis of this edition answers."""
    table = s.study.threats
    open_ = table[table["evidence"].isna()] if len(table) else table
    if not len(open_):
        return "Every threat named in the plan has an analysis or a gate that answers it."
    some = f"{phrases.capital(phrases.count(len(open_)))} of {phrases.count(len(table))} threats"
    listed = phrases.bullets(str(t) for t in open_["description"])
    return f"{some} named in the plan {'has' if len(open_) == 1 else 'have'} no test in this edition:\n\n{listed}"


def deviations(s: Section) -> str:
    """How many departures from the plan are logged, and how many were decided after outcomes were seen."""
    table = s.study.deviations
    if not len(table):
        return f"No departure from the {_plan(s)} is logged."
    late = int(table["after_outcomes"].astype(str).str.lower().eq("true").sum())
    return (
        f"{phrases.capital(phrases.plural(len(table), 'departure'))} from the {_plan(s)}"
        f" {'is' if len(table) == 1 else 'are'} logged, {phrases.count(late) if late else 'none'} after outcomes were seen."
    )


def _plan(s: Section) -> str:
    return "registered plan" if s.study.info.registration else "plan"


NOT_STATED = "Not stated"


def disclosures(s: Section) -> pd.DataFrame:
    """Who paid, who did the work, registration, ethics, data and code, masking and suppression."""
    import pandas as pd

    study, info = s.study, s.study.info
    threshold = study.disclosure.threshold
    rows = [
        ["Evaluator", info.evaluator],
        ["Funding", info.funder],
        ["Payer", f"{info.payer}. It had no part in this document" if info.payer and s.synthetic else info.payer or ""],
        ["Registration", f"{phrases.capital(info.registered_at)}; plan dated {words.date(info.registered_on)}"],
        ["Ethics", info.ethics],
        ["Conflicts of interest", getattr(info, "conflicts", None) or NOT_STATED],
        ["Who saw drafts", getattr(info, "drafts_seen_by", None) or NOT_STATED],
        ["Involvement of patients and communities", getattr(info, "patient_involvement", None) or NOT_STATED],
        ["Toolkit", "p4equity is not affiliated with any insurer or health system"],
        [
            "Data",
            (
                "Synthetic: anyone can make the same extract"
                if s.synthetic
                else "Published"
                if study.data.kind == "value"
                else "Restricted; released cells allow a re-run"
            ),
        ],
        ["Code", f"Open{phrases.section_ref(s, 'appendix', '; see ')}"],
        [
            "Suppression",
            (
                f"Counts of 1 to {threshold - 1}, and what would reveal them, are withheld"
                if threshold > 1
                else "None: published data"
            ),
        ],
        [
            "Names",
            (
                f"Masked labels outside {phrases.section_ref(s, 'program')}. Masking is labelling, not protection"
                if study.disclosure.system_names == "masked"
                else "Public"
            ),
        ],
    ]
    return pd.DataFrame([r for r in rows if r[1]], columns=["Item", "Statement"])
