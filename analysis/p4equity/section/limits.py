"""Limits in order of importance, what would change the conclusions, and the disclosures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.section import phrases
from p4equity.section.answers import by_measure, primary_question

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section


def main_limits(s: Section) -> str:
    """The limits that apply to this study, the gravest first."""
    study, info = s.study, s.study.info
    first = primary_question(s)
    items = []
    if s.synthetic:
        items.append("**Synthetic data.** No conclusion about a real program follows from this edition.")
    items.append(
        f"**No random assignment.** {phrases.capital(info.unit_label_plural)} with a {info.treatment_label} differ from the"
        " others in ways the data may not show. Every method here assumes that, without it, both would have moved alike."
    )
    if first is not None and first.main["n_treated_clusters"]:
        treated = int(first.main["n_treated_clusters"])
        few = [a for a in by_measure(s) if a.main["n_treated_clusters"] and int(a.main["n_treated_clusters"]) < 3]
        text = (
            f"**Numbers of {info.unit_label_plural}.** {phrases.capital(phrases.units(s, treated))} with a"
            f" {info.treatment_label} are compared"
        )
        text += f"; on {phrases.measures(s, [a.measure_id for a in few])} fewer than three are" if few else ""
        items.append(text + ". Intervals say how much chance that leaves.")
    if study.cointerventions:
        items.append(
            f"**An increment, not the program.** {phrases.capital(phrases.count(len(study.cointerventions)))} other"
            " interventions ran at the same time, most of them in both arms."
        )
    for leaving in study.exits:
        items.append(
            f"**{s.label(leaving.system_id)} left in {leaving.date.year}.** Its patients and clinicians went to both arms; how"
            " that is handled changes"
            f" numbers{phrases.section_ref(s, 'robustness', ' (')}{')' if phrases.has_section(s, 'robustness') else ''}."
        )
    if study.race is not None:
        items.append(
            "**Race and ethnicity are mostly imputed.** One version for all years keeps errors constant; it does not remove"
            " them, and they make gaps and their changes look smaller."
        )
    if any(study.measure(m).has_reading for m in study.measure_sets.contracted):
        items.append(
            "**Some rates depend on documentation.** Where a missing reading counts as a failure, better data raise the rate"
            " without better care."
        )
    if study.data.kind == "value":
        items.append("**Aggregates.** Nothing can be said of persons, and reporting practices enter the outcome.")
    return "\n".join(f"{i}. {text}" for i, text in enumerate(items, start=1))


def change_our_mind(s: Section) -> str:
    """What would overturn the reading of the results."""
    label = s.study.info.treatment_label
    items = [
        f"event-study years before the {label} that drift in the direction of the effect in new data",
        f"a negative control that moves together with the {label}",
    ]
    if s.study.groups.compared:
        items.append("self-reported race and ethnicity that show other gaps than the imputed data")
        items.append("a measure of care, not of documentation, that does not move with a contracted rate")
    if s.study.exits:
        items.append(f"terms of the {label}s, or of those that ended, other than assumed")
    return phrases.capital(phrases.join(items)) + "."


def unanswered(s: Section) -> str:
    """Threats that no analysis of this edition answers."""
    table = s.study.threats
    open_ = table[table["evidence"].isna()] if len(table) else table
    if not len(open_):
        return "Every threat named in the plan has an analysis or a gate that answers it."
    listed = "; ".join(str(t) for t in open_["description"])
    some = f"{phrases.capital(phrases.count(len(open_)))} of {phrases.count(len(table))} threats"
    return f"{some} named in the plan {'has' if len(open_) == 1 else 'have'} no test in this edition: {listed}."


def deviations(s: Section) -> str:
    """How many departures from the plan are logged, and how many were decided after outcomes were seen."""
    table = s.study.deviations
    if not len(table):
        return "No departure from the registered plan is logged."
    late = int(table["after_outcomes"].astype(str).str.lower().eq("true").sum())
    return (
        f"{phrases.capital(phrases.plural(len(table), 'departure'))} from the registered plan"
        f" {'is' if len(table) == 1 else 'are'} logged, {phrases.count(late) if late else 'none'} after outcomes were seen."
    )


def disclosures(s: Section) -> pd.DataFrame:
    """Who paid, who did the work, registration, ethics, data and code, masking and suppression."""
    import pandas as pd

    study, info = s.study, s.study.info
    threshold = study.disclosure.threshold
    rows = [
        ["Evaluator", info.evaluator],
        ["Funding", info.funder],
        ["Payer", f"{info.payer}. It had no part in this document" if info.payer and s.synthetic else info.payer or ""],
        ["Registration", f"{phrases.capital(info.registered_at)}; plan dated {info.registered_on.isoformat()}"],
        ["Ethics", info.ethics],
        ["Conflicts", "p4equity is not affiliated with any insurer or health system"],
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
