"""The program as it was: timeline, contracts, who was compared, what else happened, and the intervention described item by item.

The only section that names organizations while data are synthetic; facts that are not public carry a dagger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p4equity import words
from p4equity.section import phrases

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section

DAGGER = "†"
EVERYONE = "all"


MARKS = "† Not public: assumed, or assumed in part. Source numbers are those of [@tbl:documents]."


def heading(s: Section) -> str:
    """The section's heading: a program of a payer, or the treatment and the units of another study."""
    info = s.study.info
    if info.payer:
        return f"# Program and {info.treatment_label}s {{#sec:program}}"
    return f"# {phrases.capital(info.treatment_label)}s and {info.unit_label_plural} {{#sec:program}}"


def contracts_caption(s: Section) -> str:
    """Caption of the table of contracts."""
    info = s.study.info
    if uniform(s):
        return f"{phrases.capital(info.unit_label_plural)} by the first full year under a {info.treatment_label}"
    return f"Who is contracted on which measure, and since when: first year under the {info.treatment_label}"


def contracts_note(s: Section) -> str:
    """What an empty cell means, and how many units each measure has."""
    if uniform(s):
        return f"All other {s.study.info.unit_label_plural} have no {s.study.info.treatment_label} in the years of the study."
    matrix = s.study.contract_matrix()
    counts = [
        f"{phrases.lower(phrases.measure(s, m))} {int((matrix['measure_id'] == m).sum())}"
        for m in s.study.measure_sets.contracted
    ]
    return (
        f"Empty: no {s.study.info.treatment_label} on the measure. {phrases.capital(s.study.info.unit_label_plural)} a measure:"
        f" {phrases.join(counts)}."
    )


def _name(s: Section, system_id: str) -> str:
    """The public name, or the masked label where the study's own names are secret."""
    return str(s.study.label(system_id, masked=False))


def sources(s: Section) -> str:
    """Where the facts come from, which are assumed, which are general knowledge, and that results describe no organization."""
    study = s.study
    cited = {i for block in (*study.systems, *study.contracts, *study.exits, *study.cointerventions) for i in block.sources}
    cited |= {i for e in study.events["source"].dropna() for i in str(e).split(";")}
    weak = [x.id for x in study.sources.values() if x.id in cited and x.certainty == "inference"]
    known = f"; what is marked {phrases.join(weak)} is general knowledge, not checked against a document" if weak else ""
    text = (
        f"The facts of this section come from public documents, listed at its end{known}. A dagger ({DAGGER}) marks what is not"
        " public and was assumed."
    )
    if not (s.mask_systems and study.disclosure.system_names == "masked"):
        return text
    alone = f"This is the only section that names {study.info.unit_label_plural} as they are known in public. {text}"
    if not s.synthetic:
        return f"{alone} {phrases.masked(s)}"
    return (
        f"{alone} The results of this report were drawn at random by the toolkit and describe none of these organizations."
        f" Elsewhere {study.info.unit_label_plural} carry masked labels; masking is labelling, not protection."
    )


def _full(system: Any) -> str:
    """The full name, with the short one that tables use."""
    return f"{system.name} ({system.short_name})" if system.short_name and system.short_name != system.name else str(system.name)


def _who(s: Section, affected: str) -> str:
    ids = [p for p in affected.split(";") if p]
    if ids == [EVERYONE]:
        return "all"
    known = {x.id for x in s.study.systems}
    units = [p for p in ids if p in known]
    if len(units) > 6:
        return f"{len(units)} {s.study.info.unit_label_plural}"
    named = [_name(s, p) if p in known else phrases.lower(phrases.measure(s, p)) if p in s.study.measures else p for p in ids]
    return ", ".join(named)


def timeline(s: Section) -> pd.DataFrame:
    """The event log: date, what happened, to whom, source; assumed details carry the dagger."""
    import pandas as pd

    rows = []
    for event in s.study.events.to_dict("records"):
        mark = DAGGER if event["illustrative"] in (True, "true", "True") else ""
        source = str(event["source"] or "").replace(";", ", ")
        rows.append(
            [
                f"{words.date(event['date'])}{mark}",
                f"{event['label']}: {event['description']}",
                _who(s, str(event["affected"])),
                source,
            ]
        )
    return pd.DataFrame(rows, columns=["Date", "What happened", "Whom it affects", "Source"])


def uniform(s: Section) -> bool:
    """Whether all contracts name the same measures, so that a matrix would say nothing."""
    return len({frozenset(c.measures) for c in s.study.contracts}) <= 1


def contracts(s: Section) -> pd.DataFrame:
    """Who is contracted on what, from which year: a matrix, or units by year where all contracts are alike."""
    import pandas as pd

    matrix = s.study.contract_matrix()
    if uniform(s):
        rows = [
            [str(cohort), str(part["system_id"].nunique()), ", ".join(_name(s, i) for i in dict.fromkeys(part["system_id"]))]
            for cohort, part in matrix.groupby("cohort")
        ]
        label = phrases.capital(s.study.info.unit_label_plural)
        return pd.DataFrame(rows, columns=["First full year", "Number", label])
    measures = s.study.measure_sets.contracted
    rows = []
    for system in s.study.arm_systems("participating"):
        own = matrix[matrix["system_id"] == system.id].set_index("measure_id")["cohort"]
        rows.append([_name(s, system.id), *(str(own[m]) if m in own.index else "" for m in measures)])
    return pd.DataFrame(rows, columns=[phrases.capital(s.study.info.unit_label), *(phrases.measure(s, m) for m in measures)])


def contract_dates(s: Section) -> pd.DataFrame:
    """Announced, in effect, ended and note of each contract."""
    import pandas as pd

    rows = []
    for c in s.study.contracts:
        cells = [_name(s, c.system_id)]
        for key in ("announced", "effective", "ended"):
            value = getattr(c, key)
            cells.append(f"{words.date(value)}{DAGGER if key in c.illustrative else ''}" if value else "")
        rows.append([*cells, c.note or "", ", ".join(c.sources)])
    names = [phrases.capital(s.study.info.unit_label), "Announced", "In effect", "Ended", "Note", "Source"]
    return pd.DataFrame(rows, columns=names)


def has_dates(s: Section) -> bool:
    """Whether any contract has a date of its own."""
    return any(c.announced or c.effective or c.ended for c in s.study.contracts)


def compared(s: Section) -> str:
    """Who takes part, who is compared, who is left out, who left."""
    arms = {arm: [_full(x) for x in s.study.arm_systems(arm)] for arm in ("participating", "comparison", "excluded")}
    info = s.study.info
    parts = [
        (
            f"{phrases.capital(phrases.units(s, len(arms['participating'])))} have a {info.treatment_label}:"
            f" {phrases.join(arms['participating'])}."
        ),
        (
            f"{phrases.capital(phrases.units(s, len(arms['comparison'])))} are compared with them:"
            f" {phrases.join(arms['comparison'])}."
        ),
        f"Left out: {phrases.join(arms['excluded'])}." if arms["excluded"] else "",
    ]
    for leaving in s.study.exits:
        parts.append(f"{_name(s, leaving.system_id)} left on {words.date(leaving.date)}: {leaving.reason}.")
    return " ".join(p for p in parts if p)


def cointerventions(s: Section) -> pd.DataFrame:
    """What else happened, who got it, when, and how the plan handles it."""
    import pandas as pd

    rows = [[c.title, c.recipients, c.period, c.handling, ", ".join(c.sources)] for c in s.study.cointerventions]
    return pd.DataFrame(rows, columns=["What", "Who got it", "When", "How the plan handles it", "Source"])


def description(s: Section) -> pd.DataFrame:
    """The intervention by the items of TIDieR, as far as public documents and the plan say."""
    import pandas as pd

    study, info = s.study, s.study.info
    matrix = study.contract_matrix()
    per = matrix.groupby("system_id")["measure_id"].nunique()
    spread = (
        phrases.count(int(per.min()))
        if per.min() == per.max()
        else f"{phrases.count(int(per.min()))} to {phrases.count(int(per.max()))}"
    )
    names = phrases.measures(s, study.measure_sets.contracted)
    regions = sorted({x.region for x in study.arm_systems("participating") if x.region})
    pay = study.payment
    rows = [
        [
            "Brief name",
            (
                f"{phrases.capital(info.treatment_label)} that pays for narrower gaps"
                if pay
                else phrases.capital(info.treatment_label)
            ),
        ],
        [
            "Why",
            (
                f"Money tied to the gap between {phrases.reference(s)} members and {phrases.groups(s)} members is meant to"
                " direct effort to groups with worse results"
                if pay
                else ""
            ),
        ],
        ["What: targets", f"{phrases.capital(names)}; {spread} of them for each {info.unit_label}"],
        ["What: materials", phrases.join(c.title for c in study.cointerventions[:1])],
        ["Who pays", info.payer or ""],
        ["Who receives", phrases.capital(phrases.units(s, len(study.arm_systems("participating"))))],
        ["Where", phrases.join(regions)],
        ["When", f"First full years {phrases.years(study.cohorts)}; the study follows until {max(study.years)}"],
        [
            "How much",
            (
                f"Not public. Illustrative maximum: {phrases.plain(pay.pmpm_maximum, 2)} USD per member-month for each"
                f" measure{DAGGER}"
                if pay and pay.illustrative
                else ""
            ),
        ],
        [
            "Tailoring",
            (
                f"Measures differ by {info.unit_label}"
                if not uniform(s)
                else f"None: each {info.treatment_label} covers the same measures"
            ),
        ],
        ["Modifications", phrases.capital(phrases.join(f"{_name(s, e.system_id)} left in {e.date.year}" for e in study.exits))],
        ["How well, planned and actual", phrases.section_ref(s, "implementation", "Reach, adoption and views: ")],
    ]
    return pd.DataFrame([r for r in rows if r[1]], columns=["Item", "Description"])


def document_list(s: Section) -> pd.DataFrame:
    """The documents that facts of this section rest on, with what kind of evidence each is."""
    import pandas as pd

    study = s.study
    blocks = [*study.systems, *study.contracts, *study.grants, *study.exits, *study.cointerventions]
    cited = {i for block in blocks for i in block.sources} | {
        i for e in study.events["source"].dropna() for i in str(e).split(";")
    }
    rows = []
    for x in study.sources.values():
        if x.id in cited:
            text = x.title + (f" ({x.published})" if x.published else "") + (f", {x.address}" if x.address else "")
            rows.append([x.id, text, x.certainty])
    return pd.DataFrame(rows, columns=["Source", "Document", "Kind"])
