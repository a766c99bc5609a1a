"""Readings and control as rows: the two parts add up to the effects that other analyses print, to the last digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.study import Study
from random_cells import random_context

METHODS = ("averaged_t", "averaged_t_varying", "knapp_hartung")


@pytest.fixture(scope="module")
def context(study: Study) -> Context:
    """Random cells in which every success has a reading, and a share of failures that differs from cell to cell."""
    made = random_context(study)
    rng = np.random.default_rng(5)
    tested = made.cell["num"] + np.floor((made.cell["den"] - made.cell["num"]) * rng.uniform(0.2, 0.6, len(made.cell)))
    has = made.cell["measure_id"].map(lambda m: study.measure(m).has_reading)
    made.cell["with_reading"] = tested.where(has)
    return made


def number(rows: Sequence[dict[str, Any]], **wanted: object) -> float:
    found = [r for r in rows if all(r[k] == v for k, v in wanted.items())]
    assert len(found) == 1
    assert found[0]["status"] == "ok"
    return float(found[0]["estimate"])


@pytest.mark.parametrize(("side", "analysis_id"), [("gap", "measure"), ("rate", "overall_quality")])
def test_parts_add_up_to_the_effect_itself(study: Study, context: Context, side: str, analysis_id: str) -> None:
    parts = analysis_rows(context, study.analysis("documentation").model_copy(update={"inference": METHODS}))
    whole = analysis_rows(context, study.analysis(analysis_id).model_copy(update={"inference": METHODS}))
    measures = [m for m in study.measure_ids("contracted") if study.measure(m).has_reading]
    assert measures
    for measure in measures:
        for method in METHODS:
            at = {"measure_id": measure, "inference": method}
            both = [number(parts, outcome=f"{side}_from_{part}", **at) for part in ("readings", "control")]
            assert sum(both) == pytest.approx(number(whole, outcome=side, **at), abs=1e-12)
            assert min(abs(x) for x in both) > 1e-6


def test_a_year_without_readings_takes_its_system_out_with_the_reason(study: Study, context: Context) -> None:
    measure = next(m for m in study.measure_ids("contracted") if study.measure(m).has_reading)
    lost = study.arm_systems("comparison")[0].id
    cell = context.cell.copy()
    year = max(study.years)
    cell.loc[(cell["system_id"] == lost) & (cell["measure_id"] == measure) & (cell["year"] == year), ["with_reading", "num"]] = 0
    other = Context(study, cell, context.overlap, "data", "code")
    rows = analysis_rows(other, study.analysis("documentation"))
    samples = {r["sample"] for r in rows if r["measure_id"] == measure and r["status"] == "ok"}
    assert samples == {f"without {lost} (a year without any reading)"}
