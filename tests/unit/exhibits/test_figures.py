"""What a figure must say at first sight: the answer, who moved, whether beyond chance, and what is not there."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pandas as pd
import pytest
from p4equity.exhibits.base import Exhibit
from p4equity.exhibits.f0_at_a_glance import _past_zero, raw_gaps
from p4equity.exhibits.figure_facts import claimed, gap_groups, qualified
from p4equity.exhibits.figure_parts import PAPER
from p4equity.exhibits.marks import MANY_EVENTS, few_events, marks_keys
from p4equity.exhibits.select import group_analysis, measure_analysis
from p4equity.results import Results

SMALLEST = 7.0  # points at the printed width
FIGURES = (
    "f0_at_a_glance", "f1_flow_chart", "f2_trends", "f3_event_study", "f4_leveling_plane", "f5_forest", "f6_leave_one_out",
    "f8_payments", "f10_precision",
)  # fmt: skip


def build(name: str, results: Results) -> Exhibit:
    exhibit = import_module(f"p4equity.exhibits.{name}").build(results)
    assert exhibit is not None, results.skipped
    assert exhibit.figure is not None
    return exhibit  # type: ignore[no-any-return]


def words_of(figure: Any) -> list[Any]:
    """All visible texts of a figure."""
    from matplotlib.text import Text

    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]


def legend_of(figure: Any) -> list[str]:
    """All entries of the figure's legends and of its panels'."""
    from matplotlib.legend import Legend

    return [t.get_text() for legend in figure.findobj(Legend) for t in legend.get_texts()]


@pytest.mark.parametrize("name", FIGURES)
def test_no_words_are_too_small_and_no_figure_is_wider_than_the_text(name: str, results: Results) -> None:
    figure = build(name, results).figure
    assert figure is not None
    assert figure.get_size_inches()[0] == 6.5
    assert min(t.get_fontsize() for t in words_of(figure)) >= SMALLEST


@pytest.mark.parametrize("name", ["f0_at_a_glance", "f2_trends", "f3_event_study"])
def test_no_words_are_too_small_in_a_study_of_values(name: str, value_results: Results) -> None:
    assert min(t.get_fontsize() for t in words_of(build(name, value_results).figure)) >= SMALLEST


def test_groups_with_a_baseline_gap_are_those_whose_interval_is_above_zero(results: Results) -> None:
    first, second, *_ = results.study.measure_ids("contracted")
    compared = list(results.study.groups.compared)
    assert gap_groups(results, first) == compared
    assert gap_groups(results, second) == compared[:-1]


def test_a_claim_is_the_registered_rule_and_not_an_interval(results: Results, value_results: Results) -> None:
    first, second, *_ = results.study.measure_ids("contracted")
    assert not claimed(results, measure_analysis(results.study), first, "pooled")
    assert claimed(results, measure_analysis(results.study), second, "pooled")
    assert not claimed(results, group_analysis(results.study), second, "nobody")
    primary, *others = [a for a in value_results.study.analyses if a.estimator != "event_study"]
    measure = value_results.study.measure_ids(primary.measures)[0]
    assert claimed(value_results, primary, measure, "all")
    assert not any(claimed(value_results, a, m, "all") for a in others for m in value_results.study.measure_ids(a.measures))


def test_a_verdict_without_a_claim_carries_its_condition() -> None:
    assert qualified("mixed", True) == "mixed"
    assert qualified("mixed", False) == "mixed, if the change is more than chance"
    assert qualified("cannot tell", False) == "cannot tell"


def test_first_page_says_where_a_gap_passed_zero(results: Results) -> None:
    points = pd.DataFrame(
        {"label": ["One", "Two", "Three"], "before_contracted": [4.4, 6.0, -1.0], "after_contracted": [-1.0, 2, -2]}
    )
    reference = results.study.group(str(results.study.groups.reference)).label
    said = _past_zero(results, points)
    assert said == f" Past zero in contracted systems (One): {reference} members are now behind there."
    assert _past_zero(results, points.iloc[1:]) == ""
    assert _past_zero(results, points[["label"]]) == ""


def test_first_page_says_gap_movers_and_chance_and_fits_the_page(results: Results) -> None:
    exhibit = build("f0_at_a_glance", results)
    figure = exhibit.figure
    assert figure is not None
    assert figure.get_size_inches()[1] <= 7.5 / 2.54
    said = " ".join(t.get_text() for t in words_of(figure))
    for words in (
        "narrows",
        "widens",
        "falls",
        "rises",
        "before",
        "after",
        "beyond chance",
        "cannot tell",
        "contracted",
        "comparison",
    ):
        assert words in said, words
    gaps = exhibit.data[exhibit.data["side"] == "gap"].set_index("measure_id")
    first = results.study.measure_ids("contracted")[0]
    assert gaps.loc["pooled", "beyond_chance"]
    assert not gaps.loc[first, "beyond_chance"]
    effect = figure.axes[1]
    filled = [line.get_markerfacecolor() != PAPER for line in effect.get_lines() if line.get_marker() == "D"]
    assert filled == list(gaps["beyond_chance"])
    reference = next(g for g in results.study.group_ids if g == results.study.groups.reference)
    assert results.study.group(reference).label in exhibit.alt  # who moved
    assert "groups compared" in exhibit.alt


def test_raw_gaps_are_means_of_yearly_differences_without_the_years_apart(results: Results) -> None:
    study, measure = results.study, results.study.measure_ids("contracted")[0]
    found, rate = raw_gaps(results, measure), results.table("rate")
    groups = gap_groups(results, measure)
    for arm in ("contracted", "comparison"):
        own = rate[(rate["arm"] == arm) & (rate["measure_id"] == measure) & (rate["status"] == "ok")]
        table = own.pivot(index="year", columns="group", values="rate").loc[list(study.baseline.pre_years)].dropna()
        expected = (table[str(study.groups.reference)] - table[groups].mean(axis=1)).mean()
        assert found[f"before_{arm}"] == pytest.approx(expected)
    assert found["groups"] == len(groups)


def test_trends_show_the_gap_and_no_tick_that_only_a_long_note_could_explain(results: Results) -> None:
    exhibit = build("f2_trends", results)
    gaps = exhibit.data[exhibit.data["group"] == "gap"]
    assert set(gaps["measure_id"]) >= set(results.study.measure_ids("contracted"))
    broken = exhibit.data[exhibit.data["measure_id"].isin(results.study.measure_sets.broken_series)]
    assert set(broken["group"]) <= {"gap"}  # its gap beside its twin's from the break on, never its rates
    jumps = results.estimates[results.estimates["estimator"] == "specification_break"]
    assert broken["year"].min() >= jumps["first_year"].min()
    exhibit.data.drop(index=broken.index, inplace=True)
    gaps = gaps.drop(index=broken.index)
    rates = exhibit.data[(exhibit.data["group"] != "gap") & (exhibit.data["status"] != "ok")]
    lost = set(zip(rates["measure_id"], rates["arm"], rates["year"], strict=True))
    hidden = gaps[gaps["status"] != "ok"]
    assert set(zip(hidden["measure_id"], hidden["arm"], hidden["year"], strict=True)) == lost  # no gap from a suppressed rate
    assert few_events(results) == []
    assert len(exhibit.footnote) < 1200


def test_marks_have_a_key_each_and_few_events_are_named(results: Results, value_results: Results) -> None:
    study = results.study
    labels = [h.get_label() for h in marks_keys(results, study.measure_ids("contracted"))]
    assert len(labels) == 4
    assert any("leaves" in label for label in labels)
    assert any("outside baselines" in label for label in labels)
    assert 0 < len(few_events(value_results)) <= MANY_EVENTS
    exhibit = build("f2_trends", value_results)
    assert all(label in exhibit.footnote for label, _ in few_events(value_results))


def test_event_study_says_which_years_have_no_estimate_and_leaves_groups_without_a_gap_out_of_its_finding(
    results: Results,
) -> None:
    exhibit = build("f3_event_study", results)
    first, second, *_ = results.study.measure_ids("contracted")
    name = results.study.measure(first).short_title
    assert f"{name} has no estimate in {max(results.study.years)} (two treated clusters)" in exhibit.footnote
    assert exhibit.alt.count("(no baseline gap)") == 1
    post = [t for t in results.study.years if t >= results.study.launch_cohort]
    panels = len(results.study.measure_ids("contracted")) * len(results.study.groups.compared)
    drawn = panels * len(post) - len(results.study.groups.compared) - len(post)  # one year of a measure, one panel
    assert f"0 of {drawn} estimates after the start" in exhibit.alt
    greys = [ax for ax in exhibit.figure.axes if any("no baseline gap" in t.get_text() for t in ax.texts)]  # type: ignore[union-attr]
    assert len(greys) == 1
    assert results.study.measure(second).short_title in greys[0].get_title(loc="left")


def test_plane_opens_marks_of_groups_without_a_baseline_gap_and_gives_them_no_verdict(results: Results) -> None:
    exhibit = build("f4_leveling_plane", results)
    row = exhibit.data[~exhibit.data["baseline_gap"].astype(bool)]
    assert len(row) == 1
    assert row["verdict"].iloc[0] == "cannot tell"
    open_marks = [line for ax in exhibit.figure.axes for line in ax.get_lines() if line.get_markerfacecolor() == PAPER]  # type: ignore[union-attr]
    assert len(open_marks) == 1
    assert "no baseline gap shown" in exhibit.footnote
    for group in results.study.groups.compared:
        assert results.study.group(group).label not in exhibit.alt  # the text gives single groups no verdict


def test_payments_explain_band_and_colors_and_do_not_repeat_the_table_note(results: Results) -> None:
    exhibit, table = build("f8_payments", results), import_module("p4equity.exhibits.t8_payments").build(results)
    shown = legend_of(exhibit.figure)
    assert results.study.group(results.study.groups.compared[0]).label in shown
    assert any(label.startswith("paid from") for label in shown)
    assert len(exhibit.footnote) < len(table.footnote)
    left = exhibit.figure.axes[0]  # type: ignore[union-attr]
    low, high = left.get_xlim()
    half = 1.959964 * exhibit.data["se_narrowing"].astype(float)
    ends = ((exhibit.data["narrowing"] - half).min(), (exhibit.data["narrowing"] + half).max())
    assert low == pytest.approx(min(ends[0], 0.0), abs=1.0)
    assert high == pytest.approx(ends[1], abs=1.0)


def test_leaving_one_out_names_the_system_that_moves_the_effect_most(results: Results) -> None:
    exhibit = build("f6_leave_one_out", results)
    main = exhibit.data["estimate"].iloc[0]
    rest = exhibit.data.iloc[1:]
    most = rest.loc[(rest["estimate"] - main).abs().astype(float).idxmax(), "without"]
    assert f"{most} moves it most" in exhibit.alt
