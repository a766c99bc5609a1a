"""Cost per point: the ratio of two registered answers, its set by Fieller, and a reason wherever no narrowing is shown."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from p4equity.evaluation.context import Context
from p4equity.evaluation.cost import ASSUMED, gap_fit
from p4equity.evaluation.plan import analysis_rows
from p4equity.inference.fieller import fieller
from p4equity.study import Study
from random_cells import random_context
from scipy import stats

ASKED = "cost_per_point"


def planted(study: Study, *, narrowing: float, usd: float) -> Context:
    """Random cells; at contracted systems compared groups and spending rise from the first contract year on."""
    context = random_context(study)
    cell, launch = context.cell, study.launch_cohort
    contracted = {(s.id, m): (study.cohort_of(s.id, m) or 9999) for s in study.systems for m in study.measure_sets.contracted}
    start = np.array([contracted[key] for key in zip(cell["system_id"], cell["measure_id"], strict=True)])
    moved = (start <= cell["year"]) & (cell["group"] != study.groups.reference)
    num = np.round(cell["num"] + np.where(moved, narrowing, 0.0) * cell["den"]).astype(int)
    cell = cell.assign(num=np.minimum(num, cell["den"]))
    rng = np.random.default_rng(9)
    treated = {s.id for s in study.arm_systems("participating") if (study.cohort_of(s.id) or 9999) == launch}
    money = cell[cell["measure_id"] == study.measure_sets.contracted[0]].assign(measure_id=study.measure_sets.spending)
    after = (money["year"] >= launch) & money["system_id"].isin(treated)
    level = 50_000 + 100 * usd * after + rng.normal(0, 100, len(money))
    money = money.assign(num=np.round(money["den"] * level).astype(int))
    own = money.rename(columns={"measure_id": "measure_1", "year": "year_1"})
    squares = np.round(own["den"] * 1.0e10).astype("int64")  # spread of one member-month: about 866 USD
    spread = own.assign(
        measure_2=own["measure_1"],
        year_2=own["year_1"],
        den_den=own["den"],
        num_den=own["num"],
        den_num=own["num"],
        num_num=squares,
    )
    overlap = pd.concat([context.overlap, spread], ignore_index=True)
    return Context(study, pd.concat([cell, money], ignore_index=True), overlap, "data", "code")


def rows_of(context: Context) -> dict[str, dict[str, object]]:
    """By sample: as estimated, and at each assumed correlation."""
    rows = analysis_rows(context, context.study.analysis(ASKED))
    assert [r["sample"] for r in rows] == ["main", *ASSUMED.values()]
    return {r["sample"]: r for r in rows}


def row_of(context: Context) -> dict[str, object]:
    return rows_of(context)["main"]


def test_the_ratio_is_that_of_the_two_registered_answers(study: Study) -> None:
    context = planted(study, narrowing=0.08, usd=16.0)
    row = row_of(context)
    gap = next(r for r in analysis_rows(context, study.analysis("pooled").model_copy(update={"inference": ("averaged_t",)}))
               if r["outcome"] == "gap")  # fmt: skip
    spent = next(r for r in analysis_rows(context, study.analysis("spending")) if r["inference"] == "averaged_t")
    assert row["status"] == "ok"
    assert row["estimate"] == pytest.approx(spent["estimate"] / -gap["estimate"])
    assert row["estimate"] == pytest.approx(2.0, abs=0.4)
    critical = stats.t.ppf(0.975, min(gap["df"], spent["df"]))
    widths = []
    for together in (-1.0, 0.0, 1.0):  # whatever the correlation of both effects, the set lies between these
        covariance = together * spent["std_error"] * gap["std_error"]
        found = fieller(spent["estimate"], -gap["estimate"], spent["std_error"] ** 2, gap["std_error"] ** 2, covariance, critical)
        widths.append(found.high - found.low)
    assert min(widths) - 1e-9 <= row["conf_high"] - row["conf_low"] <= max(widths) + 1e-9


def test_the_interval_stands_at_assumed_correlations_too_and_says_what_its_own_rests_on(study: Study) -> None:
    context = planted(study, narrowing=0.08, usd=16.0)
    rows = rows_of(context)
    gap = gap_fit(context, study.analysis(ASKED))
    spent = next(r for r in analysis_rows(context, study.analysis("spending")) if r["inference"] == "averaged_t")
    critical = stats.t.ppf(0.975, min(gap.df, spent["df"]))
    for correlation, sample in ASSUMED.items():
        covariance = -correlation * spent["std_error"] * gap.std_error
        by_hand = fieller(spent["estimate"], -gap.estimate, spent["std_error"] ** 2, gap.std_error**2, covariance, critical)
        assert (rows[sample]["conf_low"], rows[sample]["conf_high"]) == pytest.approx((by_hand.low, by_hand.high))
        assert rows[sample]["estimate"] == rows["main"]["estimate"]
    found = re.fullmatch(
        r"correlation of both effects (-?\d\.\d\d), from leaving out each of (\d+) systems.*", str(rows["main"]["reason"])
    )
    assert found
    assert -1 <= float(found[1]) <= 1
    assert int(found[2]) == rows["main"]["n_clusters"]


def test_a_correlation_that_cannot_be_told_is_said_to_be_taken_as_none(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p4equity.evaluation.cost.FEWEST", 99)
    row = row_of(planted(study, narrowing=0.08, usd=16.0))
    assert row["status"] == "ok"
    assert "taken as uncorrelated: fewer than 99 systems" in str(row["reason"])


def test_without_a_shown_narrowing_there_is_a_reason_and_no_number(study: Study) -> None:
    row = row_of(planted(study, narrowing=0.0, usd=16.0))
    assert row["status"] == "not_estimable"
    assert "narrowing is not shown" in str(row["reason"])


def test_without_spending_there_is_a_reason_and_no_number(study: Study) -> None:
    row = row_of(random_context(study))
    assert row["status"] == "not_estimable"
    assert "spending" in str(row["reason"])
