"""The implementation table from small made tables: counts, weighted answers, agreement of coders, empty bases."""

from __future__ import annotations

import pandas as pd
import pytest
from p4equity.dictionary import load_dictionary
from p4equity.study import Study
from p4equity.summaries.implementation import implementation_table
from p4equity.summaries.interviews import pooled_kappa


def one(frame: pd.DataFrame, indicator: str, arm: str = "all", item: str = "all") -> pd.Series:
    found = frame[(frame["indicator"] == indicator) & (frame["arm"] == arm) & (frame["item"] == item)]
    assert len(found) == 1
    return found.iloc[0]


def ids(study: Study) -> tuple[str, str]:
    return study.arm_systems("participating")[0].id, study.arm_systems("comparison")[0].id


def test_without_tables_only_the_study_speaks(study: Study) -> None:
    frame = implementation_table(study, {})
    assert frame["indicator"].tolist() == ["systems_contracted"]
    assert frame.columns.tolist() == list(load_dictionary().table("implementation").names)


def test_reports_grants_and_coaching_by_arm(study: Study) -> None:
    mine, other = ids(study)
    reports = pd.DataFrame(
        {
            "system_id": [mine, mine, other],
            "delivered": [True, True, False],
            "opened": [True, None, None],
            "n_users": [4, None, None],
        }
    )
    grants = pd.DataFrame({"system_id": [mine, other], "amount": [100.0, 50.0], "purpose": ["staffing", "staffing"]})
    coaching = pd.DataFrame({"system_id": [mine, mine], "sessions": [2, 0], "attendees": [5, 0]})
    frame = implementation_table(study, {"stratified_report": reports, "grant": grants, "ta_participation": coaching})
    assert one(frame, "reports_opened", "participating")["value"] == 50.0
    assert one(frame, "users_per_opened_report", "participating")["value"] == 4.0
    nothing = one(frame, "reports_opened", "comparison")
    assert nothing["status"] == "not_estimable"
    assert pd.isna(nothing["value"])
    assert one(frame, "grants_by_purpose", "all", "staffing")["value"] == 150.0
    assert one(frame, "sessions", "participating")["n"] == 2
    assert one(frame, "systems_attending", "comparison")["n"] == 0


def test_grants_count_for_members_and_not_for_systems(study: Study) -> None:
    """Twice the money a system of twice the members is the same a member; a system without a grant counts with zero."""
    mine, other = ids(study)
    third = study.arm_systems("comparison")[1].id
    grants = pd.DataFrame({"system_id": [mine, other], "amount": [9000.0, 3000.0], "purpose": ["staffing", "staffing"]})
    version = study.race.primary if study.race else "frozen"
    months = {mine: 3000, other: 500, third: 500}
    cell = pd.DataFrame(
        [
            (study.population.map, version, study.measure_sets.spending, s, f"{s}-1", year, 12 * n)
            for s, n in months.items() for year in study.years
        ],
        columns=["map", "race_version", "measure_id", "system_id", "practice_id", "year", "den"],
    )  # fmt: skip
    frame = implementation_table(study, {"grant": grants}, cell)
    assert one(frame, "amount_per_member", "participating")["value"] == pytest.approx(3.0)
    assert one(frame, "amount_per_member", "comparison")["value"] == pytest.approx(3.0)
    assert one(frame, "mean_amount_per_member", "comparison")["value"] == pytest.approx((6.0 + 0.0) / 2)
    assert one(frame, "amount_per_member")["value"] == pytest.approx(12_000 / 4000)
    assert one(frame, "amount_per_system", "participating")["value"] != one(frame, "amount_per_system", "comparison")["value"]
    assert "amount_per_member" not in set(implementation_table(study, {"grant": grants})["indicator"])  # no members known


def test_survey_means_are_weighted_and_leave_out_no_answers(study: Study) -> None:
    mine, _ = ids(study)
    answers = pd.DataFrame(
        {
            "respondent_id": ["a", "b", "c", "d"], "wave": [2, 2, 2, 1], "system_id": [mine] * 4, "item_id": ["trust"] * 4,
            "response": [5, 2, 98, 1], "weight": [1.0, 3.0, 9.0, 1.0],
        }
    )  # fmt: skip
    frame = implementation_table(study, {"survey_response": answers})
    assert one(frame, "respondents", "participating")["n"] == 3
    mean = one(frame, "mean", "participating", "trust")
    assert (mean["n"], mean["value"]) == (2, pytest.approx(2.75))
    assert one(frame, "agree", "participating", "trust")["value"] == pytest.approx(25.0)


def test_interviews_count_by_role_and_withdrawn_ones_not_at_all(study: Study) -> None:
    mine, _ = ids(study)
    held = pd.DataFrame(
        {
            "interview_id": ["i1", "i2", "i3"], "system_id": [mine, None, mine], "role": ["exec", "payer", "exec"],
            "minutes": [30, 50, 90], "consent": ["quote", "analysis", "none"],
        }
    )  # fmt: skip
    codes = pd.DataFrame(
        [("i1", 1, "x", 2, "c1"), ("i1", 1, "x", 0, "c2"), ("i1", 2, "y", -1, "c1"), ("i3", 1, "x", 2, "c1")],
        columns=["interview_id", "segment", "code", "valence", "coder"],
    )
    frame = implementation_table(study, {"interview": held, "interview_code": codes})
    assert one(frame, "interviews")["n"] == 2
    assert one(frame, "interviews", "outside", "payer")["value"] == 50.0
    segments = one(frame, "segments", "all", "x")
    assert (segments["n"], segments["value"]) == (1, 1.0)


def test_kappa_of_one_code_is_cohens_and_full_chance_agreement_has_none() -> None:
    first = [[1]] * 20 + [[1]] * 5 + [[0]] * 10 + [[0]] * 15
    second = [[1]] * 20 + [[0]] * 5 + [[1]] * 10 + [[0]] * 15
    assert pooled_kappa(first, second) == pytest.approx(0.4)  # Cohen's textbook example: (0.70 - 0.50) / (1 - 0.50)
    assert pooled_kappa([[1], [1]], [[1], [1]]) is None
