"""What holds for every table exhibit: traceable, masked, the same bytes each time, and a reason where there is none."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_rows import MODULES, UNABLE, answer, build, gate_row, made, main_rows, payment, power_row
from p4equity.exhibits.base import write_exhibit
from p4equity.results import Results
from p4equity.study import Study

# --- all of them


@pytest.mark.parametrize("name", [m for m in MODULES if m not in ("t6_threats", "t7_deviations")])
def test_a_study_without_the_tables_is_told_why(study: Study, name: str) -> None:
    bare = made(replace(study, published=()), main_rows(study))
    module = import_module(f"p4equity.exhibits.{name}")
    assert module.build(bare) is None
    assert bare.skipped[module.ID]


def groups_of(study: Study) -> tuple[str, ...]:
    return ("pooled", *study.groups.compared)


def full_results(study: Study) -> Results:
    """Every registered analysis under each of its inferences, one answer in seven without a number, and all other tables."""
    rows: list[dict[str, Any]] = []
    for a in study.analyses:
        measures = ["pooled"] if a.pooled else study.measure_ids(a.measures)
        groups = study.groups.compared if a.groups == "each" else [a.groups]
        samples = [f"without {s.id}" for s in study.arm_systems("comparison")] if a.leave_out else ["main"]
        for m, g, s, i in product(measures, groups, samples, a.inference):
            n = len(rows)
            more = UNABLE if n % 7 == 6 else {"estimate": n % 5 - 3.0}
            rows.append(answer(a, m, group=g, sample=s, inference=i, **more))
    first = study.measure_sets.contracted[0]
    systems = [s.id for s in study.arm_systems("participating")]
    reached = {"section": "reach", "indicator": "systems_contracted", "arm": "all", "item": "all", "n": 5, "basis": "systems"}
    return made(
        study,
        rows,
        diagnostics=pd.DataFrame([gate_row(g, first, g.limit, "PASS") for g in study.gates]),
        power=pd.DataFrame([power_row(m, 6.0, group=g) for m in study.measure_sets.contracted for g in groups_of(study)]),
        payment_result=pd.DataFrame([payment(s, first, g) for s in systems for g in study.groups.compared]),
        implementation=pd.DataFrame([{**reached, "value": 40.0, "unit": "percent of systems", "status": "ok", "reason": None}]),
    )


@pytest.mark.parametrize("name", [m for m in MODULES if m != "t_published"])
def test_tables_are_traceable_masked_and_written_alike(tmp_path: Path, study: Study, name: str) -> None:
    results = full_results(study)
    for folder in ("a", "b"):
        write_exhibit(build(name, results), tmp_path / folder)
    exhibit = build(name, results)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / f).iterdir()} for f in ("a", "b"))
    assert first == second
    document = json.loads(first[f"{exhibit.id}.json"])
    known = set(results.estimates["row_id"]) | set(results.table("diagnostics")["row_id"])
    traced = {i for row in document["cell_row_ids"] for cell in row for i in cell.split()}
    assert traced <= known
    assert set(exhibit.row_ids) == traced & set(results.estimates["row_id"])
    assert bool(traced) == (name in ("t3_sensitivity", "t4_power", "t6_threats"))
    assert exhibit.alt.strip() not in ("", exhibit.title)
    shown = json.dumps([document["rows"], document["row_groups"], exhibit.alt, exhibit.footnote], ensure_ascii=False)
    for system in study.systems:
        assert not re.search(rf"\b({system.id}|{re.escape(system.label)})\b", shown)
