"""T15, T16 and their paragraphs, from the cells of a draw: traceable, directions by intervals, and the numbers of the tables."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_cells import made_cells
from p4equity.diagnostics.findings import primary_analysis
from p4equity.estimates import estimates_table
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.exhibits import t15_scales, t16_within_between
from p4equity.exhibits.base import write_exhibit
from p4equity.results import Results, write_csv
from p4equity.section import open_section, scales
from p4equity.section.section import Section
from p4equity.study import load_study
from p4equity.study.scale_names import SCALE_NAMES
from p4equity.summaries.rates import cell_table
from p4equity.summaries.within_between import within_between_table
from p4equity.synthetic.cell_draws import CellSampler

STUDY = "bcbsma_pay_for_equity"


@pytest.fixture(scope="module")
def results() -> Results:
    """The primary question on every scale and the table of parts, on cells drawn with the planted effects."""
    study = load_study(STUDY)
    drawn = CellSampler(study, *made_cells(study), scenario="clean").draw(np.random.default_rng(12))
    context = Context(study, *drawn, "data", "code")
    asked = [a for a in study.analyses if a.estimator == "scale_change" or a.id in ("pooled", "measure")]
    quick = [a.model_copy(update={"inference": ("averaged_t",)}) if a.pooled else a for a in asked]
    rows = [row for a in quick for row in analysis_rows(context, a)]
    parts = within_between_table(context, cell_table(context, primary_analysis(context)).assign(status="ok"))
    return Results(study, estimates_table(rows), {"gap_parts": parts}, masked=True, synthetic=True)


@pytest.fixture(scope="module")
def section(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Section:
    """An open section on a run folder of these results."""
    run = tmp_path_factory.mktemp("run")
    (run / "results").mkdir()
    write_csv(results.estimates, run / "results" / "estimates.csv")
    write_csv(results.table("gap_parts"), run / "results" / "gap_parts.csv")
    for module in (t15_scales, t16_within_between):
        exhibit = module.build(results)
        assert exhibit is not None
        write_exhibit(exhibit, run / "exhibits")
    (run / "report.json").write_text(json.dumps({"study": STUDY, "synthetic": True, "edition": "draft"}))
    return open_section(str(run), edition="draft")


def test_every_statistic_has_its_line_and_every_cell_its_rows(results: Results) -> None:
    exhibit = t15_scales.build(results)
    assert exhibit is not None
    assert exhibit.table is not None
    assert [row[0] for row in exhibit.table.rows] == [name.short for name in SCALE_NAMES.values()]
    known = results.estimates.set_index("row_id")
    for row, ids in zip(exhibit.table.rows, exhibit.table.cell_row_ids, strict=True):
        for cell, found in zip(row[1:], ids[1:], strict=True):
            rows = known.loc[found.split()]
            if len(rows):
                said = float(re.match(r"[−0-9.]+", cell)[0].replace("−", "-"))  # type: ignore[index]
                assert said == pytest.approx(rows["estimate"].iloc[0], abs=0.0501 if "points" in row[0] else 0.000501)
                assert SCALE_NAMES[rows["outcome"].iloc[0]].short == row[0]
            else:
                assert cell == "–", "no pooled answer on this scale"
    assert set(exhibit.row_ids) <= set(known.index)


def test_directions_need_an_interval_off_zero_and_three_systems_in_an_arm() -> None:
    row = {"outcome": "theil", "status": "ok", "n_clusters": 12, "n_treated_clusters": 5, "conf_low": -2.0, "conf_high": -1.0}
    assert t15_scales.direction(row) == "narrows"
    assert t15_scales.direction(row | {"conf_low": 1.0, "conf_high": 2.0}) == "widens"
    assert t15_scales.direction(row | {"outcome": "worst_group_rate"}) == "worse"
    assert t15_scales.direction(row | {"outcome": "worst_group_rate", "conf_low": 1.0, "conf_high": None}) == "better"
    for unclear in (
        {"conf_high": 1.0},
        {"conf_high": None},
        {"n_treated_clusters": 2},
        {"n_clusters": 7},
        {"status": "suppressed"},
    ):
        assert t15_scales.direction(row | unclear) == t15_scales.UNCLEAR


def test_the_footnote_names_the_best_and_the_worst_off_group(results: Results) -> None:
    exhibit = t15_scales.build(results)
    assert exhibit is not None
    assert re.search(r"Best group at baseline: White \([^)]*Colorectal[^)]*\)", exhibit.footnote)
    assert "Worst off at baseline: " in exhibit.footnote


def test_a_study_without_other_scales_is_told_why(results: Results) -> None:
    bare = Results(results.study, results.estimates[results.estimates["outcome"] == "gap"], {})
    assert t15_scales.build(bare) is None
    assert t16_within_between.build(bare) is None
    assert set(bare.skipped) == {"T15", "T16"}


def test_parts_are_those_of_the_table(results: Results) -> None:
    exhibit = t16_within_between.build(results)
    assert exhibit is not None
    assert exhibit.table is not None
    table = results.table("gap_parts")
    shown = exhibit.data
    np.testing.assert_allclose(shown["before_within"] + shown["before_between"], shown["before_gap"])
    assert len(shown) == len(table) / 3
    missing = table[(table["period"] == "change") & (table["status"] != "ok")]
    assert sum(row[2:] == ("–",) * 6 for row in exhibit.table.rows) == len(missing)


def test_paragraphs_look_up_what_they_say(section: Section, results: Results) -> None:
    said = scales.scales(section)
    found = results.estimates.set_index("row_id")
    numbers = re.findall(r'\[([^\]]*)\]\{\.num row-id="([^"]+)"\}', said)
    assert numbers
    for shown, key in numbers:
        assert key in found.index
        if "to" not in shown:
            value = float(shown.replace("−", "-").replace("+", "").replace("\\", ""))
            assert value == pytest.approx(found.loc[key, "estimate"], abs=0.0501)
    assert "Scales disagree on colorectal" in said
    assert "cannot hold together" in said


def test_the_paragraph_on_parts_names_the_largest_move_between_clusters(section: Section, results: Results) -> None:
    said = scales.parts(section)
    table = results.table("gap_parts")
    rows = table[(table["arm"] == "contracted") & (table["period"] == "change") & (table["status"] == "ok")]
    largest = rows.loc[rows["between"].abs().idxmax()]
    assert f"{largest['between']:+.1f}".replace("-", "−") in said
    assert results.study.group(largest["group"]).label in said


def test_without_any_answer_there_is_no_paragraph(section: Section, tmp_path: Path, results: Results) -> None:
    (tmp_path / "results").mkdir()
    gaps = results.estimates[results.estimates["outcome"] == "gap"]
    write_csv(pd.DataFrame(gaps), tmp_path / "results" / "estimates.csv")
    (tmp_path / "report.json").write_text(json.dumps({"study": STUDY, "synthetic": True}))
    bare = open_section(str(tmp_path))
    assert scales.scales(bare) == ""
    assert scales.parts(bare) == ""
    assert section.study.id == STUDY
