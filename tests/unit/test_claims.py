"""The hierarchy of claims by hand: pooled, measures, groups; co-primary baselines; parents without an answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pandas as pd
import pytest
from p4equity.evaluation.claims import NO_PARENT, TOO_FEW, claim_rows
from p4equity.evaluation.context import Context
from p4equity.inference.multiplicity import METHODS
from p4equity.study import Study
from p4equity.study.vocabulary import FamilyRule


def answers(p: dict[tuple[str, str, str], float | None], treated: int = 5) -> list[dict[str, Any]]:
    """Two rows a question (analysis, measure, group): the primary test with this p, permutation with another; None: no answer."""
    rows = []
    for (analysis, measure, group), value in p.items():
        for inference, share in (("averaged_t", 1.0), ("permutation", 5.0)):
            answer = (
                {"p_value": value * share, "status": "ok"} if value is not None else {"status": "not_estimable", "reason": "none"}
            )
            rows.append(
                {
                    "analysis_id": analysis, "measure_id": measure, "group": group, "inference": inference,
                    "outcome": "rate" if group == "all" else "gap",
                    "system_id": "all", "sample": "main", "estimator": "meta_regression", "estimate": -1.0, "n_clusters": 12,
                    "n_treated_clusters": treated, **answer,
                }
            )  # fmt: skip
    return rows


def claims(study: Study, p: dict[tuple[str, str, str], float | None], treated: int = 5) -> dict[tuple[str, str, str], Any]:
    context = Context(study, pd.DataFrame(), pd.DataFrame(), "", "")
    found = claim_rows(context, answers(p, treated))
    return {(r["analysis_id"], r["measure_id"], r["group"]): r for r in found}


def test_pooled_then_measures_by_holm_then_groups_within_their_measure(study: Study) -> None:
    a, b = study.measure_sets.contracted[:2]
    g, h = study.groups.compared[:2]
    found = claims(
        study,
        {
            ("pooled", "pooled", "pooled"): 0.02,
            ("measure", a, "pooled"): 0.004, ("measure", b, "pooled"): 0.03,
            ("group", a, g): 0.001, ("group", a, h): 0.02, ("group", b, g): 0.001,
        },
    )  # fmt: skip
    p = {k: r["p_value"] for k, r in found.items()}
    assert p["pooled", "pooled", "pooled"] == 0.02
    assert p["measure", a, "pooled"] == 0.02  # Holm 2 x 0.004, but not below the pooled p
    assert p["measure", b, "pooled"] == 0.03
    assert p["group", a, g] == 0.02  # Holm 2 x 0.001, not below its measure
    assert p["group", a, h] == 0.02
    assert p["group", b, g] == 0.03


def test_a_co_primary_baseline_must_reject_too(study: Study) -> None:
    a = study.measure_sets.contracted[0]
    found = claims(
        study,
        {
            ("pooled", "pooled", "pooled"): 0.001, ("measure", a, "pooled"): 0.01,
            ("measure_fresh_baseline", "pooled", "pooled"): 0.002, ("measure_fresh_baseline", a, "pooled"): 0.2,
        },
    )  # fmt: skip
    assert {r["p_value"] for (_, m, _), r in found.items() if m == a} == {0.2}
    assert {r["p_value"] for (_, m, _), r in found.items() if m == "pooled"} == {0.002}


@pytest.mark.parametrize("absent", ["pooled", "measure"])
def test_a_question_whose_parent_has_no_answer_has_none(study: Study, absent: str) -> None:
    a, g = study.measure_sets.contracted[0], study.groups.compared[0]
    values = {("pooled", "pooled", "pooled"): 0.001, ("measure", a, "pooled"): 0.001, ("group", a, g): 0.001}
    missing = {k: (None if k[0] == absent else v) for k, v in values.items()}
    found = claims(study, missing)
    last = found["group", a, g]
    assert last["status"] == "not_estimable"
    assert last["reason"] == NO_PARENT


def test_questions_outside_the_hierarchy_are_adjusted_on_their_own(study: Study) -> None:
    first, second = study.measure_sets.not_incentivized[:2]
    found = claims(
        study,
        {
            ("pooled", "pooled", "pooled"): 0.9,
            ("not_incentivized", first, "pooled"): 0.01, ("not_incentivized", second, "pooled"): 0.02,
        },
    )  # fmt: skip
    assert found["not_incentivized", first, "pooled"]["p_value"] == 0.02
    assert found["not_incentivized", second, "pooled"]["p_value"] == 0.02


def test_guardrails_are_a_family_of_their_own_over_measures(study: Study) -> None:
    a, b, c = study.measure_sets.contracted[:3]
    p = {("overall_quality", a, "all"): 0.01, ("overall_quality", b, "all"): 0.03, ("overall_quality", c, "all"): 0.15}
    found = claims(study, p | {("pooled", "pooled", "pooled"): 0.9})
    assert [found["overall_quality", m, "all"]["p_value"] for m in (a, b, c)] == pytest.approx([0.03, 0.06, 0.15])


def test_with_fewer_than_three_contracted_systems_nothing_is_claimed(study: Study) -> None:
    a = study.measure_sets.contracted[0]
    p = {("pooled", "pooled", "pooled"): 0.001, ("measure", a, "pooled"): 0.001}
    found = claims(study, p, treated=2)
    assert {r["reason"] for r in found.values()} == {TOO_FEW}
    assert {r["status"] for r in found.values()} == {"not_estimable"}
    assert {r["status"] for r in claims(study, p, treated=3).values()} == {"ok"}


def test_with_two_primary_inferences_the_larger_p_counts(study: Study) -> None:
    both = study.inference.model_copy(update={"primary": ("averaged_t", "permutation")})
    found = claims(replace(study, inference=both), {("pooled", "pooled", "pooled"): 0.01})
    assert found["pooled", "pooled", "pooled"]["p_value"] == pytest.approx(0.05)


def test_a_sensitivity_analysis_makes_no_claim(study: Study) -> None:
    changed = [a.id for a in study.analyses if a.id.startswith("sensitivity_") or a.leave_out]
    assert len(changed) >= 5
    assert claims(study, {(a, "pooled", "pooled"): 0.001 for a in changed}) == {}
    assert claims(study, {("pooled", "pooled", "pooled"): 0.001})


def with_rule(study: Study, **change: Any) -> Study:
    return replace(study, inference=study.inference.model_copy(update=change))


def test_the_plan_chooses_the_rule_within_a_family(study: Study) -> None:
    a, b, c = study.measure_sets.contracted[:3]
    p = {("pooled", "pooled", "pooled"): 0.001} | {("measure", m, "pooled"): v for m, v in ((a, 0.01), (b, 0.03), (c, 0.04))}
    expected = {"holm": [0.03, 0.06, 0.06], "benjamini_hochberg": [0.03, 0.04, 0.04], "none": [0.01, 0.03, 0.04]}
    assert set(expected) == set(METHODS) == set(get_args(FamilyRule))
    for rule, values in expected.items():
        found = claims(with_rule(study, family=rule), p)
        assert [found["measure", m, "pooled"]["p_value"] for m in (a, b, c)] == pytest.approx(values)
    assert study.inference.family == "holm"


def test_a_pooled_question_asked_beside_the_measures_goes_before_them(study: Study) -> None:
    a, b = study.measure_sets.contracted[:2]
    alone = replace(study, analyses=tuple(x for x in study.analyses if x.id != "pooled"))
    p = {("measure", a, "pooled"): 0.001, ("measure", b, "pooled"): 0.2}
    assert claims(alone, p)["measure", a, "pooled"]["p_value"] == 0.002
    beside = claims(alone, p | {("measure_fresh_baseline", "pooled", "pooled"): 0.03})
    assert beside["measure", a, "pooled"]["p_value"] == 0.03
    silent = claims(alone, p | {("measure_fresh_baseline", "pooled", "pooled"): None})
    assert silent["measure", a, "pooled"]["reason"] == NO_PARENT


def test_groups_of_a_measure_that_was_not_asked_about_have_no_answer(study: Study) -> None:
    a, g = study.measure_sets.contracted[0], study.groups.compared[0]
    found = claims(study, {("pooled", "pooled", "pooled"): 0.001, ("group", a, g): 0.001})
    assert found["group", a, g]["reason"] == NO_PARENT
    assert claims(study, {("measure", a, "pooled"): 0.001})["measure", a, "pooled"]["reason"] == NO_PARENT
