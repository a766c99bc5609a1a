"""Raw rates before and after, by arm and group: what happened, before any model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.exhibits.select import measure_analysis
from p4equity.section import phrases

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section

ARMS = ("contracted", "comparison")


def heading(s: Section) -> str:
    """The section's heading: quality by group, or raw outcomes where there are no groups."""
    return f"# {'Quality by group' if s.study.groups.compared else 'Raw outcomes over the years'} {{#sec:quality}}"


def lead(s: Section) -> str:
    """What is shown, and the one thing in it that matters most."""
    if s.study.groups.compared:
        return f"Raw rates first, without a model and without smoothing. {falls(s)}"
    info = s.study.info
    return (
        f"Raw means first, without a model: {info.unit_label_plural} that had a {info.treatment_label} at any time, and those"
        " that had none."
    )


def caption(s: Section) -> str:
    """Caption of the table of rates before and after."""
    return f"{'Rates' if s.study.groups.compared else 'Means'} before and under the {s.study.info.treatment_label}, raw"


def note(s: Section) -> str:
    """Which years are before and after, and what is not in the table."""
    before = phrases.years(s.study.baseline.pre_years)
    text = (
        f"Means of the yearly {'rates, percent' if s.study.groups.compared else 'values'}. Before: {before}; after: from the"
        f" first full year under a {s.study.info.treatment_label} on."
    )
    if s.study.baseline.apart:
        text += f" {phrases.years(s.study.baseline.apart)} stands apart."
    if s.study.exits:
        text += (
            f" A {s.study.info.unit_label} that left counts until its last full year; the mix changes then. Estimates allow for"
            " that, this table does not."
        )
    return text + _later(s)


def _later(s: Section) -> str:
    """Measures on which some units began later: all count from the first start on, and whom the estimate counts."""
    analysis, parts = measure_analysis(s.study), []
    for measure_id in s.study.measure_sets.contracted:
        starts = {x.id: c for x in s.study.arm_systems("participating") if (c := s.study.cohort_of(x.id, measure_id)) is not None}
        if len(set(starts.values())) < 2:
            continue
        named = phrases.join(f"{s.label(x)} ({c})" for x, c in starts.items())
        own = [x for x, c in starts.items() if analysis is not None and c in (analysis.cohorts or s.study.cohorts)]
        alone = f"; the estimate counts {phrases.join(s.label(x) for x in own)} alone" if 0 < len(own) < len(starts) else ""
        parts.append(f" {phrases.measure(s, measure_id)}: {named} count together from {min(starts.values())} on{alone}.")
    return "".join(parts)


def row_groups(s: Section, measure_ids: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
    """(first row, measure) of each block of the table of rates."""
    if not s.study.groups.compared:
        return ()
    names = list(_rows(s, measure_ids)["Measure"])
    return tuple((i, str(n)) for i, n in enumerate(names) if i == 0 or names[i - 1] != n)


def before_after(s: Section, measure_ids: tuple[str, ...]) -> pd.DataFrame:
    """Mean of the yearly rates before and under contract and the change, by group (or measure) and arm."""
    return _rows(s, measure_ids).drop(columns="Measure" if s.study.groups.compared else "Group")


def spanners(s: Section) -> tuple[tuple[str, int], ...]:
    """Heads over the columns of the table of rates."""
    own = "Contracted" if s.study.info.payer else f"With a {s.study.info.treatment_label}"
    return ("", 1), (own, 3), ("Comparison", 3)


def _mean(rows: pd.DataFrame, years: list[int]) -> float | None:
    """Mean of the yearly rates; None unless every year is shown."""
    used = rows[rows["year"].isin(years) & (rows["status"] == "ok")]
    return float(used["rate"].mean()) if len(used) == len(years) else None


def _periods(s: Section, measure_id: str) -> tuple[list[int], list[int]]:
    """Baseline years and full treated years of all units contracted on a measure (of the first cohort when they differ)."""
    cohorts = [c for x in s.study.arm_systems("participating") if (c := s.study.cohort_of(x.id, measure_id)) is not None]
    start = min(cohorts, default=s.study.launch_cohort)
    return list(s.study.baseline.pre_years), [t for t in s.study.years if t >= start and t not in s.study.baseline.apart]


def _rows(s: Section, measure_ids: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    table, rows = s.results("rate"), []
    for measure_id in measure_ids:
        own = table[table["measure_id"] == measure_id]
        for group in s.study.group_ids or ("all",):
            cells, shown = [phrases.measure(s, measure_id), phrases.group(s, group)], False
            for arm in ARMS:
                part = own[(own["group"] == group) & (own["arm"] == arm)]
                means = [_mean(part, years) for years in _periods(s, measure_id)]
                known = all(m is not None for m in means)
                shown |= known
                places = 1 if s.study.groups.compared else 2
                cells += [phrases.plain(m, places) for m in means]
                cells.append(
                    phrases.plain(means[1] - means[0], places, signed=True)
                    if means[0] is not None and means[1] is not None
                    else "–"
                )
            if shown:
                rows.append(cells)
    heads = ["Before", "After", "Change"]
    return pd.DataFrame(rows, columns=["Measure", "Group", *heads, *(f"{h} " for h in heads)])


def sentence(s: Section, measure_id: str) -> str:
    """One sentence on the reference group and each compared group in contracted units, raw."""
    own = s.results("rate")
    own = own[(own["measure_id"] == measure_id) & (own["arm"] == "contracted")]
    parts = []
    for group in s.study.group_ids or ("all",):
        before, after = (_mean(own[own["group"] == group], years) for years in _periods(s, measure_id))
        if before is not None and after is not None:
            parts.append(f"{phrases.group(s, group)} {phrases.plain(before)} to {phrases.plain(after)}")
    return (
        f"**{phrases.measure(s, measure_id)}:** {'; '.join(parts)}."
        if parts
        else f"**{phrases.measure(s, measure_id)}:** suppressed or without data."
    )


def falls(s: Section) -> str:
    """For which contracted measures the reference group's raw rate fell under contract more than elsewhere."""
    table, named = s.results("rate"), []
    for measure_id in s.study.measure_sets.contracted:
        change = []
        for arm in ARMS:
            part = table[
                (table["measure_id"] == measure_id) & (table["arm"] == arm) & (table["group"] == s.study.groups.reference)
            ]
            before, after = (_mean(part, years) for years in _periods(s, measure_id))
            change.append(after - before if before is not None and after is not None else None)
        own, other = change
        if own is not None and other is not None and own < 0 and own < other:
            named.append(
                f"{phrases.lower(phrases.measure(s, measure_id))} ({phrases.plain(own, signed=True)} points against"
                f" {phrases.plain(other, signed=True)} in comparison {s.study.info.unit_label_plural})"
            )
    if not named:
        return (
            f"On no contracted measure did the raw rate of {phrases.reference(s)} members fall, and fall by more than elsewhere."
        )
    return (
        f"The raw rate of {phrases.reference(s)} members fell, and fell by more than elsewhere, on {phrases.join(named)}."
        " Whether that is more than chance stands in [@sec:leveling]."
        if phrases.has_section(s, "leveling")
        else ""
    )
