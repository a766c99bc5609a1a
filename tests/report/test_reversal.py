"""Gaps that turned round, from made rates: what is said where contracted units passed zero or had nothing to close."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_rows import answer
from p4equity.estimates import estimates_table
from p4equity.exhibits.select import group_analysis, measure_analysis, pooled_analysis
from p4equity.results import write_csv
from p4equity.section import effects, glance, leveling, open_section, reversal
from p4equity.section.answers import answers
from p4equity.section.section import Section
from p4equity.study import Study, load_study

STUDY = "bcbsma_pay_for_equity"
REFERENCE = 70.0


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study(STUDY)


def rates(study: Study, gaps: dict[str, tuple[float, float]], error: float = 0.4) -> pd.DataFrame:
    """Contracted arm of the first measure: the reference stays at 70, a group's gap is that before and under contract."""
    measure = study.measure_sets.contracted[0]
    base = {"arm": "contracted", "measure_id": measure, "std_error": error, "status": "ok", "reason": None}
    rows = [{**base, "group": study.groups.reference, "year": t, "rate": REFERENCE} for t in study.years]
    for group, (before, after) in gaps.items():
        ends = ((t, after if t >= study.launch_cohort else before) for t in study.years if t != 2020)
        rows += [{**base, "group": group, "year": t, "rate": REFERENCE - gap} for t, gap in ends]
        rows.append({**base, "group": group, "year": 2020, "rate": 1.0})  # stands apart: enters neither mean
    return pd.DataFrame(rows)


def section(tmp_path: Path, study: Study, gaps: dict[str, tuple[float, float]], estimate: float = -3.0) -> Section:
    """Pooled, by measure and by group: the given estimate, one group a claim, each with a gap at baseline over all systems."""
    measure, (first, *_) = study.measure_sets.contracted[0], study.groups.compared
    pooled, single, group = pooled_analysis(study), measure_analysis(study), group_analysis(study)
    assert pooled
    assert single
    assert group
    rows: list[dict[str, Any]] = [answer(pooled, "pooled", -3.0), answer(single, measure, estimate)]
    for g in study.groups.compared:
        rows.append(answer(group, measure, estimate, group=g))
        rows.append(
            answer(single, measure, 5.0, analysis_id="baseline_gap", estimator="descriptive", group=g, registered="exploratory")
        )
    rows.append(answer(group, measure, estimate, group=first, inference="claim"))
    (tmp_path / "results").mkdir(parents=True)
    write_csv(estimates_table(rows), tmp_path / "results" / "estimates.csv")
    write_csv(rates(study, gaps), tmp_path / "results" / "rate.csv")
    (tmp_path / "report.json").write_text(json.dumps({"study": STUDY, "synthetic": True}), "utf-8")
    return open_section(str(tmp_path))


def test_a_gap_that_passed_zero_is_named_with_who_is_behind_now(tmp_path: Path, study: Study) -> None:
    one, two, three = study.groups.compared
    s = section(tmp_path, study, {one: (8.5, 1.2), two: (4.4, -3.2), three: (0.3, -7.4)})
    turned = "contracted systems the raw gap passed zero"
    # The measure: the mean over its groups, 4.4 to -3.1.
    assert f"In {turned}, from 4.4 to −3.1 points: White members are now behind." in effects.single_measures(s)
    page = glance._single_measures(s)
    assert f"In {turned} on colorectal 50-75 (4.4 to −3.1 points): White members are now behind." in page
    found = {a.group: reversal.words(s, a) for a in answers(s, "group")}
    assert found[one] == ""
    assert found[two].endswith("from 4.4 to −3.2 points: White members are now behind.")
    # 0.3 with an error of 0.57: passed zero, and hardly a gap to close there, whatever the gap over all systems.
    words = "White members are now behind. No gap to close is shown there before (0.3 points); over both arms"
    assert words in found[three]
    assert re.search(r"the gap was \[5.0\]\{.num row-id=\"baseline_gap[^\"]*\"\} points.$", found[three])


def test_a_gap_that_was_the_other_way_round_before_is_not_said_to_have_passed(tmp_path: Path, study: Study) -> None:
    one, two, three = study.groups.compared
    s = section(tmp_path, study, {one: (-3.5, -9.3), two: (9.0, 8.0), three: (9.0, 8.0)})
    found = {a.group: (reversal.words(s, a), reversal.passed_zero(s, a)) for a in answers(s, "group")}
    said, passed = found[one]
    assert said.startswith("In contracted systems White members were behind already; the raw gap went from −3.5 to −9.3 points.")
    assert "No gap to close is shown there before (−3.5 points); over both arms" in said
    assert passed is None
    assert found[two] == ("", None)
    assert "passed zero" not in effects.single_measures(s) + glance._single_measures(s)


def test_nothing_is_said_of_an_effect_that_widens_or_of_rates_that_are_not_shown(tmp_path: Path, study: Study) -> None:
    gaps = dict.fromkeys(study.groups.compared, (4.0, -2.0))
    s = section(tmp_path / "widens", study, gaps, estimate=3.0)
    assert [reversal.words(s, a) for a in answers(s, "group")] == [""] * 3
    s = section(tmp_path / "hidden", study, {g: v for g, v in gaps.items() if g != study.groups.compared[0]})
    assert reversal.arm_gap(s, study.measure_sets.contracted[0], study.groups.compared) is None
    (tmp_path / "hidden" / "results" / "rate.csv").unlink()
    assert [reversal.words(s, a) for a in answers(s, "group")] == [""] * 3


def test_bounds_that_hold_together_are_called_that(tmp_path: Path, study: Study) -> None:
    """Beside rows of a joint answer; without one the intervals are each effect's own, and nothing is added."""
    asked = next(a for a in study.analyses if a.estimator == "leveling")
    pooled = pooled_analysis(study)
    assert pooled
    sides = [answer(pooled, "pooled", v, outcome=o) for o, v in (("gap", -3.0), ("reference_rate", -0.5), ("group_rate", 2.5))]
    for name, with_joint in (("alone", False), ("joint", True)):
        rows = list(sides)
        if with_joint:
            from p4equity.evaluation.leveling import OUTCOMES

            rows += [answer(asked, "pooled", 1.0, outcome=o, interval="simultaneous") for o in OUTCOMES]
        folder = tmp_path / name
        (folder / "results").mkdir(parents=True)
        write_csv(estimates_table(rows), folder / "results" / "estimates.csv")
        (folder / "report.json").write_text(json.dumps({"study": STUDY, "synthetic": True}), "utf-8")
        s = open_section(str(folder))
        said = leveling.who_moved(s, answers(s, pooled.id)[0])
        assert ("by joint bounds, the rate of White members" in said) == with_joint
