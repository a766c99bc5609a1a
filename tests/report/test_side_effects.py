"""Sentences on side effects, guardrails, help on both sides and weights: numbers are rows, words follow from them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_rows import answer
from p4equity.disparity.guardrail import WORSE
from p4equity.estimates import estimates_table
from p4equity.exhibits.select import pooled_analysis
from p4equity.results import write_csv
from p4equity.section import (
    glance,
    guardrails,
    implementation,
    margins,
    open_section,
    parting,
    questions,
    robustness,
    side_effects,
)
from p4equity.section.answers import answers, primary_question
from p4equity.section.section import Section
from p4equity.study import Study, load_study

STUDY = "bcbsma_pay_for_equity"


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study(STUDY)


def section(folder: Path, rows: list[dict[str, Any]], **tables: pd.DataFrame) -> Section:
    (folder / "results").mkdir(exist_ok=True)
    write_csv(estimates_table(rows), folder / "results" / "estimates.csv")
    for name, table in tables.items():
        write_csv(table, folder / "results" / f"{name}.csv")
    (folder / "report.json").write_text(json.dumps({"study": STUDY, "synthetic": True}), "utf-8")
    return open_section(str(folder))


def plain(said: str) -> str:
    """The text without the marks of its numbers."""
    return re.sub(r"\[([^\]]*)\]\{[^}]*\}", r"\1", said).replace("\\", "")


def grants(participating: float, comparison: float) -> pd.DataFrame:
    """The table of implementation with so many USD a member; by system participating ones always have twice as much."""
    arms = {"participating": participating, "comparison": comparison}
    rows = [("grants", "grants", "all", 12, 16_500_000.0, "USD")]
    rows += [("grants", "amount_per_system", arm, 6, 1e6 * (1 + (arm == "participating")), "USD a system") for arm in arms]
    rows += [("grants", "amount_per_member", arm, 6, dose, "USD a member") for arm, dose in arms.items()]
    rows += [
        ("grants", "mean_amount_per_member", arm, 6, dose + 20, "USD a member, mean of systems") for arm, dose in arms.items()
    ]
    table = pd.DataFrame(rows, columns=["section", "indicator", "arm", "n", "value", "unit"])
    return table.assign(item="all", basis="systems", status="ok", reason=None)


def test_help_is_compared_by_member_and_not_by_system(study: Study, tmp_path: Path) -> None:
    rows = [answer(pooled_analysis(study), "pooled", -3.0)]
    same = section(tmp_path, rows, implementation=grants(45.0, 48.6))
    assert "both sides had about as much" in implementation.increment(same)
    assert "about as much" in implementation.increment(same, brief=True)
    text = implementation.grants(same)
    assert "Money to prepare went to both arms, about as much of it for each member" in text
    assert "45† USD for each attributed member of participating systems and 49† USD" in text
    assert "(mean of systems: 65 and 69 USD)" in text
    other = section(tmp_path, rows, implementation=grants(90.0, 48.6))
    assert "participating systems had more grant money per attributed member (90 against 49 USD, synthetic)" in (
        implementation.increment(other)
    )
    assert "more of it for each member to participating systems" in implementation.grants(other)


def test_unpaid_measures_taken_together_say_which_changes_they_exclude(study: Study, tmp_path: Path) -> None:
    single, together = study.analysis("not_incentivized"), study.analysis("not_incentivized_pooled")
    rows = [answer(single, m, 0.5, 3.0) for m in study.measure_ids("not_incentivized")]
    rows += [answer(together, "pooled", 0.7, 2.4), answer(together, "pooled", 0.7, 2.2, inference="permutation", p_value=0.44)]
    text = plain(robustness.elsewhere(section(tmp_path, rows)))
    assert text.count("Gaps on measures without a contract") == 1
    assert "All of them together: +0.7 points (95% interval −1.7 to 3.1), p = 0.44 by permutation" in text
    assert "a mean narrowing by more than 1.7 points and a mean widening by more than 3.1 are excluded" in text


def test_contracted_measures_in_and_outside_a_contract_and_those_without_readings(study: Study, tmp_path: Path) -> None:
    held, bare = study.analysis("paid_contrast_held"), study.analysis("claims_only")
    parts = study.analysis("documentation")
    measure = next(m for m in study.measure_ids("contracted") if study.measure(m).has_reading)
    rows = [answer(held, "pooled", -4.6, 3.0), answer(bare, "pooled", -4.3, 1.5)]
    rows += [answer(parts, measure, x, outcome=f"gap_from_{part}") for part, x in (("readings", 1.0), ("control", -3.7))]
    text = plain(side_effects.side_effects(section(tmp_path, rows)))
    assert (
        "those that a system's contract names against those it leaves out: −4.6 points (95% interval −7.6 to −1.6), secondary"
        in text
    )
    assert "The effect on gaps is the sum of two parts." in text
    assert "which need no reading, the pooled effect is −4.3 points (95% interval −5.8 to −2.8)." in text


def test_power_against_the_margin_is_said_where_it_is_low(study: Study, tmp_path: Path) -> None:
    quality, spent = study.analysis("overall_quality"), study.analysis("spending")
    usd = {"outcome_unit": "USD per member-month"}
    rows = [answer(quality, m, 0.2) for m in (*study.measure_ids("contracted")[:2], "pooled")]
    rows += [answer(spent, str(study.measure_sets.spending), 7.0, **usd)]
    share = {"outcome_unit": "share", "conf_low": None, "conf_high": None, "p_value": None}
    for m, x in (*zip(study.measure_ids("contracted")[:2], (0.17, 0.21), strict=True), ("pooled", 0.34)):
        rows.append(answer(quality, m, x) | share | {"outcome": "rate_margin_power"})
    rows.append(answer(spent, str(study.measure_sets.spending), 0.97) | share | {"outcome": "spending_margin_power"})
    text = plain(margins.power(section(tmp_path, rows)))
    assert "overall quality (margin 1.0 points): 0.17 to 0.21 for single measures and 0.34 for all together" in text
    assert "spending (margin 15 USD per member-month): 0.97" in text
    assert "“the data cannot tell” is the likely answer" in text


@pytest.mark.parametrize(
    ("p", "half", "said"),
    [
        (0.011, 1.0, "Chance alone would rarely give this (p = 0.011 after adjustment for the other questions)."),
        (0.069, 1.0, "primary analyses of the question, adjusted for the others (p = 0.069)."),
        (0.211, 5.0, "Chance is not excluded."),
    ],
)
def test_an_interval_without_zero_that_is_no_claim_is_explained(
    study: Study, tmp_path: Path, p: float, half: float, said: str
) -> None:
    pooled = pooled_analysis(study)
    rows = [answer(pooled, "pooled", -3.2, half), answer(pooled, "pooled", -3.2, half, inference="claim") | {"p_value": p}]
    s = section(tmp_path, rows)
    first = primary_question(s)
    assert first is not None
    assert plain(glance._chance(s, first)).endswith(said)
    assert ("the interval alone excludes zero" in plain(glance._chance(s, first))) == (p == 0.069)


def test_rates_that_fell_share_a_sentence_and_its_unit(study: Study, tmp_path: Path) -> None:
    quality = study.analysis("overall_quality")
    rows = [answer(quality, m, x) for m, x in zip(("pooled", *study.measure_ids("contracted")[:1]), (-7.0, -8.1), strict=True)]
    s = section(tmp_path, rows)
    fell = [guardrails.Guardrail(a.main, -1.0, WORSE) for a in answers(s, quality.id)]
    one, two = (plain(guardrails._fallen(s, part, " by more than 1.0 points")) for part in (fell[:1], fell))
    assert one == "all measures together fell by more than 1.0 points: −7.0 points (95% interval −8.0 to −6.0)"
    assert two == (
        "two rates fell by more than 1.0 points: all measures together −7.0 points (95% interval −8.0 to −6.0);"
        " colorectal 50-75 −8.1 (−9.1 to −7.1)"
    )


def test_the_first_page_says_which_weights_its_estimate_has(study: Study, tmp_path: Path) -> None:
    rows = [
        answer(pooled_analysis(study), "pooled", -3.2),
        answer(study.analysis("sensitivity_patient_weighted"), "pooled", -3.5),
    ]
    s = section(tmp_path, rows)
    first = primary_question(s)
    assert first is not None
    said = plain(glance._by_members(s, first, down=True))
    assert said == " Weighted by members, not systems by precision, it is 3.5 points (2.5 to 4.5)."
    assert glance._by_members(section(tmp_path, rows[:1]), first, down=True) == ""


def test_spillover_to_other_groups_is_no_question_of_other_data(study: Study, tmp_path: Path) -> None:
    table = questions.estimands(section(tmp_path, [answer(pooled_analysis(study), "pooled", -3.0)])).set_index("Estimand")
    assert table.loc["Spillover, patients", "Answer"] == "Not in this study"
    groups = table.loc["Spillover, groups"]
    assert groups["Needs"] == "None more: the extract holds them"
    assert "no analysis is planned of" in groups["Answer"]
    assert "Other" in groups["Answer"] or "other" in groups["Answer"]


def test_paid_against_unpaid_is_no_claim(study: Study, tmp_path: Path) -> None:
    rows = [answer(study.analysis("paid_contrast"), "pooled", -4.0, p_value=0.028)]
    text = plain(side_effects._paid(section(tmp_path, rows)))
    assert "p = 0.028. This is secondary and unadjusted, not a claim." in text
    assert "narrowed more" not in text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.0, 0.0), "In none of two series"),
        ((0.0, 0.4), "In one of two series the average after the start excludes zero, but only while trends part by no more"),
    ],
)
def test_how_far_trends_may_part_follows_the_breakdown(
    study: Study, tmp_path: Path, values: tuple[float, float], words: str
) -> None:
    asked = next(a for a in study.analyses if a.bounds_trends)
    rows = [
        answer(asked, "CBP", x, group=g, outcome="gap_relative_magnitudes_breakdown", inference="relative_magnitudes")
        for x, g in zip(values, study.groups.compared, strict=False)
    ]
    assert words in plain(parting.trends(section(tmp_path, rows)))
