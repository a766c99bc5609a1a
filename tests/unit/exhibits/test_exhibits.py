"""Exhibits built from made results: words, traced rows, data equal to what is drawn, nothing suppressed drawn as zero."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from p4equity.exhibits import modules, text
from p4equity.exhibits.base import Exhibit, write_exhibit
from p4equity.exhibits.f4_leveling_plane import plane_points
from p4equity.exhibits.figure_facts import CONDITION
from p4equity.exhibits.marks import runs
from p4equity.exhibits.select import analysis_title, measure_analysis, sensitivities
from p4equity.exhibits.t10_other_outcomes import answer
from p4equity.results import Results

OWN = (
    "f1_flow_chart", "f2_trends", "f3_event_study", "f4_leveling_plane", "f5_forest", "f6_leave_one_out", "f7_race_range",
    "f8_payments", "t1_baseline", "t2_main_estimates", "t10_other_outcomes", "t11_interviews", "t12_race_source",
)  # fmt: skip
FOR_VALUES = ("f2_trends", "f3_event_study", "t2_main_estimates")


def short(results: Results, measure: str) -> str:
    return str(results.study.measure(measure).short_title)


def build(name: str, results: Results) -> Exhibit:
    exhibit = import_module(f"p4equity.exhibits.{name}").build(results)
    assert exhibit is not None, results.skipped
    return exhibit


def line_points(ax: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """All finite y values of the axes' lines drawn in data coordinates with a marker."""
    drawn = [
        np.asarray(line.get_ydata(), float)
        for line in ax.get_lines()
        if line.get_marker() not in ("none", "None") and line.get_transform() == ax.transData
    ]
    return np.concatenate(drawn) if drawn else np.array([])


@pytest.mark.parametrize("name", OWN)
def test_words_rows_and_files(name: str, results: Results, tmp_path: Path) -> None:
    exhibit = build(name, results)
    assert name in modules()
    assert exhibit.title
    assert exhibit.alt
    assert exhibit.alt != exhibit.title
    assert text.synthetic_note(results) in exhibit.footnote
    assert set(exhibit.row_ids) <= set(results.estimates["row_id"])
    write_exhibit(exhibit, tmp_path)
    written = pd.read_csv(tmp_path / f"{exhibit.id}.csv")
    assert len(written) == len(exhibit.data)
    document = json.loads((tmp_path / f"{exhibit.id}.json").read_text("utf-8"))
    assert document["alt"] == exhibit.alt
    assert (tmp_path / f"{exhibit.id}.svg").exists() == (exhibit.kind == "figure")


@pytest.mark.parametrize("name", [name for name in modules() if name not in OWN])
def test_every_other_exhibit_is_built_or_skipped_with_a_reason_in_a_study_of_values(name: str, value_results: Results) -> None:
    module = import_module(f"p4equity.exhibits.{name}")
    assert module.build(value_results) is not None or value_results.skipped[module.ID]


@pytest.mark.parametrize("name", OWN)
def test_a_study_of_values_shows_what_applies_and_says_why_the_rest_does_not(name: str, value_results: Results) -> None:
    exhibit = import_module(f"p4equity.exhibits.{name}").build(value_results)
    assert (exhibit is not None) == (name in FOR_VALUES)
    if exhibit is None:
        assert value_results.skipped[import_module(f"p4equity.exhibits.{name}").ID]


@pytest.mark.parametrize("name", ["f1_flow_chart", "f4_leveling_plane"])
def test_two_builds_give_the_same_bytes(name: str, results: Results, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_exhibit(build(name, results), tmp_path / folder)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_trends_draw_every_ok_rate_and_mark_the_suppressed(results: Results) -> None:
    exhibit = build("f2_trends", results)
    assert exhibit.figure is not None
    drawn = np.concatenate([line_points(ax) for ax in exhibit.figure.axes])
    ok = exhibit.data[exhibit.data["status"] == "ok"]
    assert sorted(drawn) == pytest.approx(sorted(ok["rate"]))
    crosses = [line for ax in exhibit.figure.axes for line in ax.get_lines() if line.get_marker() == "x"]
    assert len(crosses) == (exhibit.data["status"] == "suppressed").sum() > 0
    assert "not zero" in exhibit.footnote


def test_a_series_breaks_where_the_specification_changes_and_where_a_year_is_missing() -> None:
    assert runs([2018, 2019, 2020, 2022, 2023], [2020]) == [[2018, 2019], [2020], [2022, 2023]]


def test_event_study_draws_no_point_for_a_year_that_is_not_estimable(results: Results) -> None:
    exhibit = build("f3_event_study", results)
    assert exhibit.figure is not None
    panels = exhibit.figure.axes
    ok = exhibit.data[(exhibit.data["status"] == "ok") & (exhibit.data["interval"] == "pointwise")]
    drawn = np.concatenate([line_points(ax) for ax in panels])
    zeros = drawn[drawn == 0]
    assert len(zeros) == len(panels)  # the reference year of each panel, and nothing else
    assert sorted(drawn[drawn != 0]) == pytest.approx(sorted(ok["estimate"]))
    shown = results.estimates[results.estimates["row_id"].isin(set(exhibit.data["row_id"]))]
    assert text.base_note(shown, results) in exhibit.footnote


def test_the_leveling_plane_calls_a_fall_of_the_reference_leveling_down(results: Results) -> None:
    exhibit = build("f4_leveling_plane", results)
    assert exhibit.figure is not None
    verdicts = exhibit.data[exhibit.data["group"] == "pooled"].set_index("measure_id")["verdict"]
    first, *others = results.study.measure_ids("contracted")
    assert list(verdicts.index) == ["pooled", first, *others]
    assert verdicts["pooled"] == "leveling down"
    assert verdicts[first] == f"leveling down, {CONDITION}"  # its claim does not hold
    said = [" ".join(t.get_text() for t in ax.texts).replace("\n", " ") for ax in exhibit.figure.axes]
    assert sum(CONDITION in words for words in said) == 1
    assert CONDITION in said[[ax.get_title(loc="left") for ax in exhibit.figure.axes].index(short(results, first))]
    assert set(verdicts[others]) == {"leveling up"}
    points = [
        line
        for ax in exhibit.figure.axes
        for line in ax.get_lines()
        if line.get_marker() in "sD^X" and len(line.get_xdata()) == 1 and line.get_markersize() > 3.5  # smaller: an arrow
    ]
    drawn = sorted((float(p.get_xdata()[0]), float(p.get_ydata()[0])) for p in points)
    wanted = sorted(zip(exhibit.data["effect_reference"], exhibit.data["effect_group"], strict=True))
    assert np.array(drawn) == pytest.approx(np.array(wanted))


def test_the_plane_keeps_the_identity_of_its_three_rows(results: Results) -> None:
    points = plane_points(results)
    assert (points["effect_reference"] - points["effect_group"] - points["effect_gap"]).abs().max() < 1e-12


def test_flow_chart_reconciles_and_names_what_is_suppressed(results: Results) -> None:
    exhibit = build("f1_flow_chart", results)
    arms = exhibit.data[(exhibit.data["group"] == "all") & (exhibit.data["status"] == "ok")]
    for _, rows in arms.groupby("arm"):
        n = rows.sort_values("step")["n"].to_numpy(float)
        lost = rows.sort_values("step")["dropped"].to_numpy(float)
        assert (n[:-1] - lost[1:] == n[1:]).all()
    assert exhibit.figure is not None
    words = " ".join(t.get_text() for t in exhibit.figure.axes[0].texts)
    assert "suppressed" in words
    assert "Suppressed" in exhibit.footnote


def test_forest_says_not_estimable_instead_of_drawing(results: Results) -> None:
    exhibit = build("f5_forest", results)
    assert exhibit.figure is not None
    ax, side = exhibit.figure.axes
    assert sum(t.get_text() == "not estimable" for t in side.texts) == (exhibit.data["status"] == "not_estimable").sum()
    drawn = [
        float(line.get_xdata()[0])
        for line in ax.get_lines()
        if line.get_marker() in ("o", "s", "D") and len(line.get_xdata()) == 1
    ]
    assert sorted(drawn) == pytest.approx(sorted(exhibit.data["estimate"].dropna().astype(float)))


def test_payments_draw_a_bar_for_each_paid_cell_only(results: Results) -> None:
    exhibit = build("f8_payments", results)
    assert exhibit.figure is not None
    _, right = exhibit.figure.axes
    ok = exhibit.data[exhibit.data["status"] == "ok"]
    assert sorted(bar.get_width() for bar in right.patches) == pytest.approx(sorted(100 * ok["expected_by_chance"]))


def test_main_table_traces_every_number(results: Results) -> None:
    exhibit = build("t2_main_estimates", results)
    assert exhibit.table is not None
    for words, ids in zip(exhibit.table.rows, exhibit.table.cell_row_ids, strict=True):
        for cell, row in zip(words[3:], ids[3:], strict=True):
            assert bool(row) == (cell not in ("–", "")), cell


def test_baseline_table_hides_a_small_count(results: Results) -> None:
    exhibit = build("t1_baseline", results)
    assert exhibit.table is not None
    first = exhibit.table.rows[0]
    assert first[1] == "suppressed"
    assert "Suppressed counts are small, not zero" in exhibit.footnote


@pytest.mark.parametrize(
    ("low", "high", "direction", "p_margin", "expected"),
    [
        (-0.5, 2.0, "above", 0.02, "no worse"),
        (-0.5, 2.0, "above", 0.03, "cannot tell"),
        (-3.0, -1.5, "above", 0.99, "worse than the margin"),
        (-3.0, 1.0, "above", 0.4, "cannot tell"),
        (-4.0, 9.0, "below", 0.02, "no worse"),
    ],
)
def test_guardrails_are_answered_by_every_inference(
    results: Results, low: float, high: float, direction: str, p_margin: float, expected: str
) -> None:
    analysis = next(a for a in results.study.analyses if a.margin is not None)
    margin = -1.0 if direction == "above" else 10.0
    asked = analysis.model_copy(update={"margin": margin, "direction": direction})
    claim, tests = (pd.DataFrame([{"status": "ok", "p_value": p}]) for p in (0.01, p_margin))
    rows = [{"status": "ok", "conf_low": low, "conf_high": high}]
    assert answer(rows, asked, 0.05, claim, tests) == expected
    silent = claim.assign(status="not_estimable", p_value=None)  # too few systems in an arm: no claim, and no exclusion either
    assert answer(rows, asked, 0.05, silent, tests) == "cannot tell"


def test_sensitivities_are_found_by_what_they_change_and_named_by_it(results: Results) -> None:
    study = results.study
    names = [analysis_title(a, study) for a in sensitivities(study)]
    assert len(names) == len(set(names))
    assert any("each year" in name for name in names)
    assert measure_analysis(study) not in sensitivities(study)
