"""Whether the answer depends on how race and ethnicity are known: other sources, where the truth is known, and drift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p4equity.disparity.race_drift import drift, observed_share, spurious_difference
from p4equity.evaluation.race_level import BY_ARM, CLASSES, OVERALL
from p4equity.section import phrases
from p4equity.section.answers import Answer, excludes_zero, figures, has_baseline_gap, primary_question
from p4equity.section.confidence import checks
from p4equity.study.names import RACE_METHOD_NAMES

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section

ABOUT = ("race_version", "race_method")
WEIGHTED, LINEAR, KNOWN = "weighted", "linear", "self_report"
SHOWN = 0.05  # points: what does not round to zero
Row = dict[str, Any]


def applies(s: Section) -> bool:
    """Whether members are divided by race and ethnicity, and gaps asked about."""
    return s.study.race is not None and bool(s.study.groups.compared)


def show(s: Section) -> None:
    """Heading, paragraphs and the figure; nothing for a study without race and ethnicity data."""
    if applies(s):
        s.text(phrases.paragraphs("## How race and ethnicity are known {#sec:race}", text(s)))
    phrases.show(s, "F7")
    phrases.show(s, "T22")


def text(s: Section) -> str:
    """The primary answer by each source, baseline gaps by each source, and what self-report's growth could pass for."""
    return phrases.paragraphs(_answers(s), _levels(s), _drift(s))


def _answers(s: Section) -> str:
    a = primary_question(s)
    if a is None or not a.ok:
        return ""
    first = s.study.analysis(a.analysis_id)
    found = [b for b in checks(s, a) if _changes(s, b, first) and not _changes_else(s, b, first)]
    if not found:
        return "**The primary question is asked with one source of race and ethnicity alone.**"
    turned = [b for b in found if (b.main["estimate"] < 0) != (a.main["estimate"] < 0)]
    weak = [b for b in found if not excludes_zero(b.main)]
    head = (
        "The sign of the primary answer depends on how race and ethnicity are known"
        if turned
        else "The primary answer keeps its sign however race and ethnicity are known"
    )
    if weak and not turned and excludes_zero(a.main):
        verb = "includes" if len(weak) == 1 else "include"
        head += f", but {phrases.count(len(weak))} of {phrases.count(len(found))} intervals by other sources {verb} zero"
    said = "; ".join(f"{_source(s, b)}: {figures(s, b.main, with_unit=False, level=False)}" for b in found)
    return (
        f"**{head}.** The primary estimate is {figures(s, a.main)}. {phrases.capital(said)} ([@fig:F7]).{_imputation(s, found)}"
    )


def _imputation(s: Section, found: list[Answer]) -> str:
    """What imputation draws groups from, and when it is right."""
    race = s.study.race
    if race is None or not any(s.study.analysis(b.analysis_id).race_method == "imputed" for b in found):
        return ""
    return (
        f" Imputation draws the group of each member who did not report one {race.imputations} times, from probabilities, results"
        f" before and after, system and {s.study.info.treatment_label}; its interval holds what that leaves open [@rubin_1987;"
        " @barnard_rubin_1999]."
        " It is right where members who reported stand for those with the same probabilities, results and system who did not."
    )


def _changes(s: Section, b: Answer, first: Any) -> bool:
    return any(getattr(s.study.analysis(b.analysis_id), k) != getattr(first, k) for k in ABOUT)


def _changes_else(s: Section, b: Answer, first: Any) -> bool:
    other = s.study.analysis(b.analysis_id)
    return any(getattr(other, k) != getattr(first, k) for k in ("map", "exits", "clusters", "pre_years"))


def _source(s: Section, b: Answer) -> str:
    analysis = s.study.analysis(b.analysis_id)
    if analysis.race_method != "classes":
        return RACE_METHOD_NAMES[analysis.race_method]
    return "the version in use each year" if analysis.race_version == "contemporaneous" else "one version for all years"


def _levels(s: Section) -> str:
    """Where the truth is known, does it lie between the two estimates from probabilities?"""
    rows = _level_rows(s)
    pairs = [k for k in dict.fromkeys((r["measure_id"], r["group"]) for r in rows.values()) if has_baseline_gap(s, *k)]
    ways = (f"{KNOWN}_{WEIGHTED}", KNOWN, f"{KNOWN}_{LINEAR}")
    known = [p for p in pairs if all(rows.get((*p, way), {}).get("status") == "ok" for way in ways)]
    if not known:
        return ""
    ends = {p: [float(rows[(*p, way)]["estimate"]) for way in ways] for p in known}
    between = sum(min(low, high) <= truth <= max(low, high) for low, truth, high in ends.values())
    near = sum(_reaches(rows[(*p, KNOWN)], min(low, high), max(low, high)) for p, (low, _, high) in ends.items())
    whole = [p for p in pairs if all(rows.get((*p, way), {}).get("status") == "ok" for way in (WEIGHTED, LINEAR))]
    shares = [float(rows[(*p, WEIGHTED)]["estimate"]) / float(rows[(*p, LINEAR)]["estimate"]) for p in whole]
    least, most = (phrases.plain(100 * f(shares, default=0.0), 0) for f in (min, max))
    kept = f" Over all members, weighting shows {least} to {most}% of the baseline gaps of the regression." if shares else ""
    head = f"{phrases.capital(phrases.count(between) if between else 'none')} of {phrases.plural(len(known), 'known gap')}"
    return (
        f"**{head} {'lies' if between == 1 else 'lie'} inside the range from probabilities as weights to the regression.** Known"
        f" are baseline gaps among members who reported themselves; the interval reaches the range in {phrases.count(near)}."
        " Where results follow a member's own group alone, the regression is right, weighting shows too little, and sampling"
        " errors put the known gap on either"
        f" side of the range's end.{kept}{_recorded(s, rows, pairs)} Self-report is selective, so that others may differ; and a"
        " change need not lie between the two."
    )


def _recorded(s: Section, rows: dict[tuple[str, str, str], Row], pairs: list[tuple[str, str]]) -> str:
    """How many gaps by recorded class lie outside the range over all members, and whether the primary effect does."""
    ways = (WEIGHTED, CLASSES, LINEAR)
    known = [p for p in pairs if all(rows.get((*p, way), {}).get("status") == "ok" for way in ways)]
    if not known:
        return ""
    ends = [[float(rows[(*p, way)]["estimate"]) for way in ways] for p in known]
    sides = {"above": sum(x > max(low, high) for low, x, high in ends), "below": sum(x < min(low, high) for low, x, high in ends)}
    said = (
        phrases.join(f"{side} the range in {phrases.count(n)}" for side, n in sides.items() if n) or "outside the range in none"
    )
    text = f" Over all members the gaps by recorded class lie {said} of {phrases.count(len(known))}"
    a = primary_question(s)
    found = {} if a is None else {s.study.analysis(b.analysis_id).race_method: float(b.main["estimate"]) for b in checks(s, a)}
    if a is None or not a.ok or not {WEIGHTED, LINEAR} <= set(found):
        return f"{text}."
    own, two = float(a.main["estimate"]), (found[WEIGHTED], found[LINEAR])
    inside = min(two) <= own <= max(two)
    larger = abs(own) > max(map(abs, two))
    where = "lies between both ends" if inside else f"is {'larger' if larger else 'smaller'} than either end"
    return f"{text}, and the primary effect {where}."


def _reaches(row: Row, low: float, high: float) -> bool:
    return float(row["conf_low"]) <= high and float(row["conf_high"]) >= low


def _level_rows(s: Section) -> dict[tuple[str, str, str], Row]:
    names = [a.id for a in s.study.analyses if a.estimator == "race_level"]
    found = s.run.rows({"analysis_id": names})
    return {(str(r["measure_id"]), str(r["group"]), str(r["sample"])): r for r in found.to_dict("records")}


def _drift(s: Section) -> str:
    """What the growth of self-report in each arm would make of the largest baseline gap, were probabilities used in between."""
    shares, rows = _shares(s), _level_rows(s)
    largest = _largest(rows)
    if len(shares) < 2 or largest is None:
        return ""
    gap, correlation = float(rows[(*largest, CLASSES)]["estimate"]), _accuracy(rows[(*largest, OVERALL)])
    moved = {arm: drift(gap, *(observed_share(x, correlation) for x in ends)) for arm, ends in shares.items()}
    said = " and ".join(
        f"from {phrases.plain(100 * before, 0)} to {phrases.plain(100 * after, 0)}% in {arm} {s.study.info.unit_label_plural}"
        for arm, (before, after) in shares.items()
    )
    one, other = moved.values()
    head = (
        f"Growing self-report alone could pass for an effect of {phrases.plain(one - other, 1, signed=True)} points"
        if abs(one - other) >= SHOWN
        else "Self-report grew alike in both arms, so that its growth is unlikely to pass for an effect"
    )
    return (
        f"**{head}.** Between"
        f" baseline and {s.study.info.treatment_label} years it rose {said}. If those not asked were known by probability and"
        f" self-report were random, the largest gap at baseline, {phrases.plain(gap)} points ({_named(s, largest)}; squared"
        f" correlation of probability with membership {phrases.plain(correlation, 3)}), would seem to change by"
        f" {phrases.plain(one, 2, signed=True)} and {phrases.plain(other, 2, signed=True)} points. The frozen version is free of"
        f" this.{_between_arms(s, rows)}"
    )


def _largest(rows: dict[tuple[str, str, str], Row]) -> tuple[str, str] | None:
    """Measure and group of the largest baseline gap of which the accuracy of probabilities is known."""
    known = [
        (float(row["estimate"]), key[:2])
        for key, row in rows.items()
        if key[2] == CLASSES and row["status"] == "ok" and rows.get((*key[:2], OVERALL), {}).get("status") == "ok"
    ]
    return max(known)[1] if known else None


def _accuracy(row: Row) -> float:
    """Squared correlation of probability with membership, a share."""
    return float(row["estimate"]) / 100


def _named(s: Section, pair: tuple[str, str]) -> str:
    return f"{phrases.group(s, pair[1])} members, {phrases.lower(phrases.measure(s, pair[0]))}"


def _between_arms(s: Section, rows: dict[tuple[str, str, str], Row]) -> str:
    """What unequal accuracy between arms, constant over time, would make of a change that is common to both.

    Observed over true gap in an arm is s + (1 - s) corr^2 with the arm's own self-report (frozen version) and corr^2.
    """
    shares, found = _frozen_shares(s), []
    for key, row in rows.items():
        pair = key[:2]
        both = [rows.get((*pair, way), {}) for way in BY_ARM.values()]
        if key[2] == CLASSES and len(shares) == len(both) and all(r.get("status") == "ok" for r in (row, *both)):
            seen = [observed_share(shares[arm], _accuracy(r)) for arm, r in zip(BY_ARM, both, strict=True)]
            found.append((spurious_difference(-float(row["estimate"]), *seen), pair, both))
    if not found:
        return ""
    worst, pair, both = max(found, key=lambda f: abs(f[0]))
    own, other = (phrases.plain(_accuracy(r), 3) for r in both)
    return (
        f" It is not free of errors that last and differ between arms: squared correlations differ most in effect for"
        f" {_named(s, pair)} ({own} and {other}), where a gap that closed alike in both arms would pass for an effect of"
        f" {phrases.plain(worst, 2, signed=True)} points."
    )


def _frozen_shares(s: Section) -> dict[str, float]:
    """Self-reported share of the members of each arm in the primary version."""
    if not (s.run_dir / "results" / "profile.csv").is_file():
        return {}
    table = s.results("profile")
    own = table[(table["characteristic"] == "race_source") & (table["level"] == KNOWN) & (table["status"] == "ok")]
    return {str(arm): float(share) for arm, share in zip(own["arm"], own["share"], strict=True)}


def _shares(s: Section) -> dict[str, tuple[float, float]]:
    """Mean self-reported share of the baseline years and of the years from the launch on, by arm."""
    if not (s.run_dir / "results" / "race_source.csv").is_file():
        return {}
    table = s.results("race_source")
    table = table[(table["group"] == "all") & (table["status"] == "ok")]
    found = {}
    for arm in ("participating", "comparison"):
        own = table[table["arm"] == arm]
        before = own[own["year"].isin(s.study.baseline.pre_years)]
        after = own[own["year"] >= s.study.launch_cohort]
        if len(before) and len(after):
            found[arm] = (_mean(before), _mean(after))
    return found


def _mean(rows: pd.DataFrame) -> float:
    return float(rows["self_reported_share"].astype(float).mean()) / 100
