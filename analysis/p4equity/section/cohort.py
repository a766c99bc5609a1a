"""Who and what the numbers rest on: sources, measures and their breaks, race and ethnicity data, counts of members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity import words
from p4equity.section import phrases

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section

ALIKE = 0.1  # standardized difference below which arms are usually called alike
_ROLES = {
    "contracted": "contracted", "not_incentivized": "not contracted", "negative_control": "negative control",
    "broken_series": "shown only", "spending": "guardrail",
}  # fmt: skip


def source(s: Section) -> str:
    """What kind of data this is and where it comes from."""
    study = s.study
    years = f"{min(study.years)} to {max(study.years)}"
    if study.data.kind == "value":
        data = study.data.value
        text = f"The data are published aggregates: one value for each {study.info.unit_label} and year, {years}."
        if data is not None:
            text += (
                f" Panel: the Python package {data.package}, version {data.version}, data set {data.dataset}. Source:"
                f" {data.citation} License: {data.license}."
            )
        return text
    if s.synthetic:
        return (
            f"The data are a synthetic extract, {years}: the same tables a payer would hand over, made by the toolkit"
            " from public figures and from assumptions, with effects planted on purpose. No person, payer or system is in"
            " them."
        )
    return (
        f"The data are the payer's extract of the years {years}, used member by member (tier A) or as released cells (tier B);"
        " from the cells on, both are the same."
    )


def population(s: Section) -> str:
    """Who is counted, in which unit, and what happens to units that leave."""
    study, p = s.study, s.study.population
    unit = study.info.unit_label
    text = (
        f"A member counts in a year with at least {p.minimum_months} months of coverage and a practice of a {unit} of the study."
    )
    if p.map_date and p.map == "baseline":
        text += (
            f" Practices belong, in every year, to the {unit} they were in on {words.date(p.map_date)}: what moved later is"
            " part of the effect, not of the sample."
        )
    for leaving in study.exits:
        said = {"until_exit": "contributes the years that ended before", "drop": "is left out", "carry": "is kept to the end"}[
            p.exit_rule
        ]
        text += (
            f" {s.label(leaving.system_id)} left in {leaving.date.year} and"
            f" {said if p.exit_rule != 'until_exit' else said + ' it left'}."
        )
    return text


def flow_sentence(s: Section) -> str:
    """First and last step of the flow chart in the last baseline year."""
    table = s.results("flow_chart")
    year = max(s.study.baseline.pre_years)
    rows = table[
        (table["arm"] == "all") & (table["group"] == "all") & (table["year"] == year) & (table["status"] == "ok")
    ].sort_values("step")
    if len(rows) < 2:
        return "The counts of this step are suppressed."
    first, last = rows.iloc[0], rows.iloc[-1]
    return (
        f"In {year}, the last baseline year, {phrases.plain(first['n'], 0)} members were enrolled and"
        f" {phrases.plain(last['n'], 0)} ({phrases.percent(float(last['n']), float(first['n']))}) entered at least one measure."
    )


def measures(s: Section) -> pd.DataFrame:
    """One row a measure of the study: role, ages, what it counts, changes of specification."""
    import pandas as pd

    rows, sets = [], s.study.measure_sets
    for role in _ROLES:
        value = getattr(sets, role)
        for measure_id in (value,) if isinstance(value, str) else value or ():
            m = s.study.measure(measure_id)
            breaks = "; ".join(f"{b.year}: {b.note}" for b in m.breaks) or "none"
            ages = f"{m.age_min} to {m.age_max}" if m.age_min is not None and m.kind != "value" else ""
            rows.append([m.title, _role(s, role), ages, m.description, breaks])
    frame = pd.DataFrame(rows, columns=["Measure", "Role", "Ages", "What it counts", "Breaks"])
    return frame.drop(columns=[c for c in ("Ages", "Breaks") if set(frame[c]) <= {"", "none"}])


def _role(s: Section, role: str) -> str:
    """A measure's part in the design; a published outcome is no contract."""
    return "outcome" if s.study.data.kind == "value" and role == "contracted" else _ROLES[role]


def measures_note(s: Section) -> str:
    """Direction and sources of the measures."""
    ids = [m for role in _ROLES for v in [getattr(s.study.measure_sets, role)] for m in ((v,) if isinstance(v, str) else v or ())]
    found = [s.study.measure(m) for m in ids]
    turned = [phrases.lower(m.short_title) for m in found if m.turned]
    lower = [phrases.lower(m.short_title) for m in found if not m.higher_is_better and not m.turned]
    better = (
        "Lower is better"
        if len(lower) == len(found)
        else f"Higher is better except for {phrases.join(lower)}"
        if lower
        else "Higher is better"
    )
    if turned:
        better += f"; of {phrases.join(turned)} rates are the share of members without it, so that higher is better there too"
    listed = "; ".join(dict.fromkeys(m.source for m in found))
    return f"{better}. Sources: {listed}."


def race_text(s: Section) -> str:
    """How race and ethnicity are known, and which version the analyses use."""
    race = s.study.race
    if race is None:
        return ""
    lost = [g.label for g in s.study.scheme.groups if g.id not in s.study.group_ids]
    one, each = f"one version for all years ({race.frozen_version})", "the versions in use when each year was reported"
    if race.primary == "frozen":
        text, other = f"{one}, applied back to the first: a change of version cannot look like a change of care.", each
    else:
        text, other = f"{each}: a change of version can look like a change of care.", one
    text = f"The primary analyses use {text}"
    if any(a.race_method == "classes" and a.race_version not in (None, race.primary) for a in s.study.analyses):
        text += (
            f" {phrases.capital(other)} {'are' if other == each else 'is'} a sensitivity"
            f" analysis{phrases.section_ref(s, 'robustness', ' (')}{')' if phrases.has_section(s, 'robustness') else ''}."
        )
    if lost:
        text += (
            f" Members recorded as {phrases.join(phrases.lower(x) for x in lost)} are too few to compare; they are counted in the"
            " flow chart, by recorded category in [@tbl:T1], and left out of gaps."
        )
    return text


def balance_sentence(s: Section) -> str:
    """The largest standardized difference of the baseline characteristics."""
    table = s.results("profile").dropna(subset=["smd"])
    table = table[table["status"] == "ok"]
    if table.empty:
        return ""
    worst = table.loc[table["smd"].abs().idxmax()]
    label = str(worst["characteristic"]).replace("_", " ")
    return (
        f"Before the {s.study.info.treatment_label}s the arms were alike in most recorded respects: the largest standardized"
        f" difference is {phrases.plain(abs(worst['smd']), 2)} ({label}: {phrases.with_labels(s, str(worst['level']))})."
        if abs(worst["smd"]) < ALIKE
        else (
            f"The largest standardized difference between arms before the {s.study.info.treatment_label}s is"
            f" {phrases.plain(abs(worst['smd']), 2)} ({label}: {phrases.with_labels(s, str(worst['level']))})."
        )
    )
