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
from p4equity.evaluation.claims import claim_rows
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.evaluation.scale_level import LEVELS, scale_level_rows
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
    rows += claim_rows(context, [row for row in rows if row["estimator"] == "meta_regression"])
    rows += scale_level_rows(context)
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
            levels, rows = (rows[(rows["analysis_id"] == LEVELS) == x] for x in (True, False))
            lines = cell.split("\n")
            before, effect = (lines[0], lines[1]) if lines[0].startswith("before") else ("", lines[0])
            assert len(levels) == bool(before)
            if len(levels):
                said = [float(x.replace("−", "-")) for x in re.findall(r"−?[0-9.]+", before)]
                wanted = levels[["estimate", "statistic"]].iloc[0].astype(float).tolist()
                assert said == pytest.approx(wanted[: len(said)], abs=0.0501 if "points" in row[0] else 0.000501)
                assert ("observed" in before) == (len(said) == 2)
            if len(rows):
                said = float(re.match(r"[−0-9.]+", effect)[0].replace("−", "-"))  # type: ignore[index]
                assert said == pytest.approx(rows["estimate"].iloc[0], abs=0.0501 if "points" in row[0] else 0.000501)
                assert SCALE_NAMES[rows["outcome"].iloc[0]].short == row[0]
            else:
                assert cell == "–", "no pooled answer on this scale"
    assert set(exhibit.row_ids) <= set(known.index)


def test_directions_are_those_of_the_answers_that_show_a_change() -> None:
    row, shown = {"row_id": "a", "outcome": "theil", "estimate": -2.0}, {"a"}
    assert t15_scales.direction(row, shown) == "narrows"
    assert t15_scales.direction(row | {"estimate": 2.0}, shown) == "widens"
    assert t15_scales.direction(row | {"outcome": "worst_group_rate"}, shown) == "worse"
    assert t15_scales.direction(row | {"outcome": "worst_group_rate", "estimate": 2.0}, shown) == "better"
    assert t15_scales.direction(row | {"row_id": "b"}, shown) == t15_scales.UNCLEAR


def test_answers_show_a_change_by_holms_rule_over_all_of_them_and_the_gap_by_its_claim(results: Results) -> None:
    """p of the others are set by hand: 32 tests with three systems in each arm, of which Holm's rule lets two through."""
    study, table = results.study, results.estimates.copy()
    gap, few = table["outcome"] == "gap", table["measure_id"].isin(["HBD_CTRL", "WCV"])
    asked = table["analysis_id"].isin([a.id for a in study.analyses if a.estimator == "scale_change"])
    first = table.index[asked & ~few & (table["status"] == "ok") & (table["inference"] == "averaged_t")]
    n = len(first)
    table.loc[asked, "p_value"] = 0.5
    table.loc[first[:3], "p_value"] = [0.0499 / n, 0.0499 / (n - 1), 0.0501 / (n - 2)]
    table.loc[asked & few, "p_value"] = 1e-9  # one or two contracted systems: no test of the family
    table.loc[gap & (table["inference"] == "claim"), "p_value"] = 0.5
    shown = t15_scales.shown_ids(table, study)
    assert shown == set(table.loc[first[:2], "row_id"])
    claim = table[gap & (table["inference"] == "claim") & (table["analysis_id"] == "pooled")].index[0]
    table.loc[claim, ["p_value", "status"]] = [0.05, "ok"]
    more = t15_scales.shown_ids(table, study) - shown
    assert set(table.loc[table["row_id"].isin(more), "analysis_id"]) == {"pooled"}


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
    numbers = list(re.finditer(r'\[([^\]]*)\]\{\.num row-id="([^"]+)"\}', said))
    assert numbers
    for number in numbers:
        shown, key = number.groups()
        assert key in found.index
        if "to" not in shown:
            value = float(shown.replace("−", "-").replace("+", "").replace("\\", ""))
            is_p = re.search(r"\bp (\[[^]]*\]\{[^}]*\} to )?$", said[: number.start()])  # "p one to another"
            column, digits = ("p_value", 0.000501) if is_p else ("estimate", 0.0501)
            assert value == pytest.approx(found.loc[key, column], abs=digits)
    assert ("Scales disagree on colorectal" in said) != ("On colorectal" in said)
    assert "Not shown: " in said or "Shown over all measures: " in said
    assert re.search(r"Holm’s rule over \w+ questions with enough systems in each arm, familywise error rate 5%", said)
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
