"""The paragraphs on selection and on payments by chance: their heads follow from the rows, their numbers are rows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_rows import answer
from p4equity.estimates import estimates_table
from p4equity.exhibits.select import fresh_baselines, pooled_analysis, selection_analysis
from p4equity.results import write_csv
from p4equity.section import open_section, payments, selection
from p4equity.section.section import Section
from p4equity.study import Study, load_study

STUDY = "bcbsma_pay_for_equity"


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study(STUDY)


def section(tmp_path: Path, rows: list[dict[str, Any]], **tables: pd.DataFrame) -> Section:
    (tmp_path / "results").mkdir(exist_ok=True, parents=True)
    for name, table in {"estimates": estimates_table(rows), **tables}.items():
        write_csv(table, tmp_path / "results" / f"{name}.csv")
    (tmp_path / "report.json").write_text(json.dumps({"study": STUDY, "synthetic": True}), "utf-8")
    return open_section(str(tmp_path))


def rows_of(study: Study, expected: float, **more: Any) -> list[dict[str, Any]]:
    """Pooled rows: primary -3, expected as given, fresh -2.8, shrunken -2, against selected -1 with an interval to zero."""
    pooled, question, fresh = pooled_analysis(study), selection_analysis(study), fresh_baselines(study)[0]
    assert pooled is not None
    assert question is not None
    alone = {"conf_low": None, "conf_high": None, "std_error": None, "p_value": None}
    return [
        answer(pooled, "pooled", -3.0),
        answer(fresh, "pooled", -2.8),
        answer(question, "pooled", outcome=selection.EXPECTED, **{"estimate": expected, **more}) | alone,
        answer(question, "pooled", -2.0, outcome=selection.SHRUNKEN),
        answer(question, "pooled", -1.0, 1.5, outcome=selection.AGAINST),
    ]


def plain(text: str) -> str:
    """Without the marks of looked-up numbers."""
    return re.sub(r"\[([^\]]*)\]\{[^}]*\}", r"\1", text)


def test_selection_is_set_beside_the_primary_estimate(tmp_path: Path, study: Study) -> None:
    text = selection.spurious(section(tmp_path, rows_of(study, -0.6)))
    said = plain(text)
    assert said.startswith("**Selection alone is expected to give 20% of the primary estimate.**")
    assert "widest gaps of 2021, the expected change is −0.6 points" in said
    assert "an estimate of −3.0 points (95% interval −4.0 to −2.0)" in said
    assert "−2.8 (−3.8 to −1.8) with a baseline of 2019 and 2022 alone" in said
    assert said.endswith("of the intervals, two exclude zero.")
    assert text.count("row-id=") == 9  # one expectation, four estimates with intervals: every number is a row


def test_selection_that_explains_nothing_or_cannot_be_told(tmp_path: Path, study: Study) -> None:
    assert "**Selection alone does not explain the primary estimate.**" in selection.spurious(
        section(tmp_path, rows_of(study, 0.4))
    )
    silent = rows_of(study, 0.0, status="not_estimable", reason="too few", estimate=None)
    assert "cannot be told" in selection.spurious(section(tmp_path, silent))


def tables(score: float, chance: float, stopped: int) -> dict[str, pd.DataFrame]:
    row = {
        "system_id": "all",
        "statistic": "pairwise_gap",
        "by_comparison": 0.2,
        "by_permutation": 0.3,
        "earned_per_month": 2.0,
        "status": "ok",
        "reason": None,
    }
    formulas = [
        {
            **row,
            "formula_id": "default",
            "label": "a",
            "score": score,
            "by_simulation": chance,
            "units_stopped": stopped,
            "earned": 4e6,
        },
        {**row, "formula_id": "b", "label": "b", "score": 0.35, "by_simulation": 0.05, "units_stopped": 0},
        {**row, "formula_id": "unguarded", "label": "c", "score": 0.5, "by_simulation": 0.25, "units_stopped": 0},
    ]
    curve = [
        {"formula_id": "default", "label": "a", "true_narrowing": p, "score": 0.1 * (p + 1), "monte_carlo_error": 0.001}
        for p in (0.0, 1.0, 2.0, 4.0)
    ]
    return {"payment_formula": pd.DataFrame(formulas), "payment_curve": pd.DataFrame(curve)}


def test_what_chance_earns_is_a_share_of_what_is_paid(tmp_path: Path, study: Study) -> None:
    text = payments.by_chance(section(tmp_path, rows_of(study, -0.6), **tables(0.4, 0.1, 3)))
    assert text.startswith("**What chance earns would be 25% of what is paid.**")
    assert "expected to earn 10% of the maximum" in text
    assert "40% is earned" in text
    assert "would have earned 30% on average; that holds part of the effect" in text
    assert "as the baseline holds 2021. Comparison systems, which have no contract, would earn 20% on the same measures" in text
    assert "narrowing of every gap by 2 points would be expected to earn 30%" in text
    assert "**Two other formulas on the same data would earn 35 to 50%, 5 to 25% by chance" in text
    assert (
        "the group gains leaves three units unpaid; without it 50% would be earned instead of 40%, and 25% instead of 10%" in text
    )


def test_chance_that_earns_more_than_is_paid_is_called_that(tmp_path: Path, study: Study) -> None:
    text = payments.by_chance(section(tmp_path, rows_of(study, -0.6), **tables(0.05, 0.2, 0)))
    assert text.startswith("**What chance earns would exceed what is paid.**")
    assert "Asking that" not in text


def paid(study: Study) -> pd.DataFrame:
    """Two cells with five millions at stake each: two earned, and one expected by chance, in each."""
    cell = {"earned": 2e6, "max_possible": 5e6, "earned_by_chance": 1e6, "status": "ok", "gate_met": True}
    return pd.DataFrame([{"system_id": s.id, **cell} for s in study.arm_systems("participating")[:2]])


def test_one_figure_for_chance_stands_beside_what_others_earn_without_a_contract(tmp_path: Path, study: Study) -> None:
    s = section(tmp_path, rows_of(study, -0.6), payment_result=paid(study), **tables(0.4, 0.2, 0))
    for brief in (True, False):
        text = payments.totals(s, brief=brief)
        assert "4.00 of at most 10.00 million USD" in text
        assert f"ampling error alone would earn 2.00 million USD{'' if brief else ' on average'}" in text
        assert f"changes like those of comparison systems{'' if brief else ', which have no contract,'} 2.00 million USD." in text
    assert payments.per_month(s, 4.0).endswith("they come to 2.00 USD a member-month, or 0.50 for each point of the estimate.")
    assert payments.per_month(s, None).endswith("2.00 USD a member-month.")
    assert payments.per_month(section(tmp_path / "none", rows_of(study, -0.6)), 4.0) == ""


def test_pay_that_ends_at_zero_says_what_it_would_be_beyond(tmp_path: Path, study: Study) -> None:
    made = tables(0.4, 0.2, 0)
    more = made["payment_formula"].iloc[[0]].assign(formula_id="past_zero", earned=5e6)
    made["payment_formula"] = pd.concat([made["payment_formula"], more], ignore_index=True)
    text = payments.formula(section(tmp_path, rows_of(study, -0.6), payment_result=paid(study), **made))
    assert "Pay ends where the gap is closed; paid beyond it, 5.00 instead of 4.00 million USD would be earned." in text
    made["payment_formula"].loc[made["payment_formula"]["formula_id"] == "past_zero", "earned"] = 4e6
    text = payments.formula(section(tmp_path, rows_of(study, -0.6), payment_result=paid(study), **made))
    assert "paid beyond it, as much would be earned." in text


def test_a_run_without_formulas_has_no_paragraph(tmp_path: Path, study: Study) -> None:
    assert payments.by_chance(section(tmp_path, rows_of(study, -0.6))) == ""
