"""F7 and T12: what is drawn and printed is what the tables hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from p4equity.evaluation.race_level import CLASSES, WAYS
from p4equity.exhibits import f7_race_range, t12_race_source, t22_race_levels
from p4equity.exhibits.f7_race_range import POOLED, ways_of
from p4equity.exhibits.select import measure_analysis
from p4equity.results import Results


def changed(results: Results, **values: float) -> Results:
    """The results with estimates of the analyses of some methods set."""
    frame = results.estimates.copy()
    for method, value in values.items():
        names = [a.id for a in results.study.analyses if a.race_method == method]
        at = frame["analysis_id"].isin(names) & (frame["outcome"] == "gap")
        frame.loc[at, ["estimate", "conf_low", "conf_high"]] = [value, value - 1, value + 1]
    return Results(results.study, frame, results.tables, results.masked, results.synthetic)


def test_every_way_of_the_plan_is_drawn_for_every_measure(results: Results) -> None:
    exhibit = f7_race_range.build(results)
    assert exhibit is not None
    ways = [w.name for w in ways_of(results.study)]
    assert ways == ["primary", "other_version", "weighted", "linear", "self_report", "imputed"]
    main = measure_analysis(results.study)
    assert main is not None
    drawn = exhibit.data.groupby("measure_id")["way"].apply(list)
    for measure in results.study.measure_ids(main.measures):
        assert drawn[measure] == ways
    assert "primary" in drawn[POOLED]
    ax = exhibit.figure.axes[0]
    marks = {float(line.get_xdata()[0]) for line in ax.get_lines() if line.get_marker() in "osD^P" and len(line.get_xdata()) == 1}
    shown = exhibit.data[exhibit.data["status"] == "ok"]["estimate"].astype(float)
    assert sorted(marks) == pytest.approx(sorted(set(shown)))


def test_the_shaded_range_runs_from_one_estimate_to_the_other(results: Results) -> None:
    exhibit = f7_race_range.build(changed(results, weighted=-1.5, linear=-2.75))
    assert exhibit is not None
    for shade in exhibit.figure.axes[0].collections:
        x = shade.get_paths()[0].vertices[:, 0]
        assert (x.min(), x.max()) == (-2.75, -1.5)
    assert len(exhibit.figure.axes[0].collections) == len(measure_ids(results))
    assert "−1.5 (probabilities as weights), −2.8 (regression on probabilities)" in exhibit.alt


def measure_ids(results: Results) -> tuple[str, ...]:
    main = measure_analysis(results.study)
    assert main is not None
    return results.study.measure_ids(main.measures)


def test_shares_of_both_arms_are_drawn_and_hidden_years_are_not(results: Results) -> None:
    source = results.tables["race_source"].copy()
    hidden = (source["group"] == "all") & (source["arm"] == "comparison") & (source["year"] == source["year"].max())
    source.loc[hidden, ["status", "self_reported_share"]] = ["suppressed", np.nan]
    exhibit = f7_race_range.build(Results(results.study, results.estimates, {**results.tables, "race_source": source}))
    assert exhibit is not None
    participating, comparison = (line.get_ydata() for line in exhibit.figure.axes[1].get_lines())
    assert list(participating) == [20.0 + y - 2018 for y in results.study.years]
    assert list(comparison) == [20.0 + y - 2018 for y in results.study.years[:-1]]


def test_t12_gives_groups_and_systems_below_their_arm_and_says_what_is_suppressed(results: Results) -> None:
    first = next(s for s in results.study.arm_systems("participating"))
    rows = [
        {"arm": "participating", "system_id": first.id, "group": g, "year": y, "self_reported_share": 33.0, "status": "ok"}
        for g in (*results.study.group_ids, "all") for y in results.study.years
    ]  # fmt: skip
    systems = pd.DataFrame(rows)
    systems.loc[(systems["group"] == "all") & (systems["year"] == 2018), ["status", "self_reported_share"]] = [
        "suppressed",
        np.nan,
    ]
    exhibit = t12_race_source.build(Results(results.study, results.estimates, {**results.tables, "race_source_system": systems}))
    assert exhibit is not None
    assert exhibit.table is not None
    groups = ["All members", *(results.study.group(g).label for g in results.study.group_ids)]
    assert [r[0].strip() for r in exhibit.table.rows] == [*groups, results.label(first.id), *groups]
    assert exhibit.table.rows[len(groups)][1:3] == ("suppressed", "33")
    source = results.table("race_source").set_index(["arm", "group", "year"])["self_reported_share"]
    assert exhibit.table.rows[1][1] == f"{source['participating', results.study.group_ids[0], 2018]:.0f}"
    own = exhibit.data[exhibit.data["unit"] == results.label(first.id)].set_index("group")
    assert np.isnan(own.loc["all", "share_2018"])
    assert own.loc["black", "share_2019"] == 33.0


def leveled(results: Results) -> Results:
    """The results with a row a way for every measure and group: 5 points and a quarter more for each further way."""
    frame = results.estimates
    own = frame["estimator"] == "race_level"
    rows = []
    for k, way in enumerate(WAYS):
        ids = way + frame.loc[own, "row_id"]
        values = {"estimate": 5 + k / 4, "conf_low": 4 + k / 4, "conf_high": 6 + k / 4}
        rows.append(frame[own].assign(sample=way, row_id=ids, **values))
    return Results(results.study, pd.concat([frame[~own], *rows], ignore_index=True), results.tables, results.masked, True)


def test_t22_holds_every_way_of_every_gap_with_its_interval(results: Results) -> None:
    exhibit = t22_race_levels.build(leveled(results))
    assert exhibit is not None
    assert exhibit.table is not None
    study = results.study
    assert len(exhibit.table.rows) == len(study.groups.compared) * len(study.measure_ids("contracted"))
    ways = [*t22_race_levels.WHOLE, *t22_race_levels.REPORTED]
    for row in exhibit.table.rows:
        for way, cell in zip(ways, row[1:], strict=True):
            middle = 5 + WAYS.index(way) / 4
            assert cell == f"{middle:.1f}\n({middle - 1:.1f} to {middle + 1:.1f})"
    assert len(exhibit.data) == len(exhibit.table.rows) * len(WAYS)
    assert CLASSES in set(exhibit.data["sample"])
