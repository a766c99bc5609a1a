"""The paragraphs on a system that leaves and on who the members are: their heads follow from the rows, their numbers are rows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_rows import answer
from p4equity.estimates import estimates_table
from p4equity.exhibits.select import exit_bounds_analysis, pooled_analysis, sensitivities
from p4equity.results import write_csv
from p4equity.section import composition, exits, open_section
from p4equity.section.section import Section
from p4equity.study import Study, load_study

STUDY = "bcbsma_pay_for_equity"
PLACES = [("same", "comparison", 30.0), ("same", "outside", 25.0), ("other", "participating", 25.0), ("", "not covered", 20.0)]


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study(STUDY)


def movers(study: Study) -> pd.DataFrame:
    rows = [
        {"system_id": e.system_id, "year": 2023, "years_later": n, "practice": practice, "place": place, "n": int(10 * share),
         "share": share, "status": "ok", "reason": None}
        for e in study.exits for n in (1, 2) for practice, place, share in PLACES
    ]  # fmt: skip
    return pd.DataFrame(rows)


def section(tmp_path: Path, study: Study, rows: list[dict[str, Any]]) -> Section:
    (tmp_path / "results").mkdir(exist_ok=True)
    write_csv(estimates_table(rows), tmp_path / "results" / "estimates.csv")
    write_csv(movers(study), tmp_path / "results" / "movers.csv")
    (tmp_path / "report.json").write_text(json.dumps({"study": STUDY, "synthetic": True}), "utf-8")
    return open_section(str(tmp_path))


def rows_of(study: Study, half: float, low: float, high: float) -> list[dict[str, Any]]:
    """Pooled answers of every way to count, the primary one at -3, and the ends of the bounds."""
    pooled, bounds = pooled_analysis(study), exit_bounds_analysis(study)
    assert pooled is not None
    assert bounds is not None
    rows = [answer(pooled, "pooled", -3.0, half)]
    rows += [answer(a, "pooled", -2.5 - 0.1 * k, half) for k, a in enumerate(sensitivities(study))]
    ends = {"estimator": "exit_bounds", "outcome": "gap_bound"}
    rows += [answer(bounds, "pooled", value, half, sample=name, **ends) for name, value in (("lowest", low), ("highest", high))]
    return rows


@pytest.mark.parametrize(
    ("half", "low", "high", "said"),
    [
        (1.0, -3.8, -2.2, "cannot undo the answer"),
        (1.0, -5.5, -0.5, "could undo it: at one end the interval includes zero"),
        (1.0, -7.0, 1.0, "could turn the sign of the answer"),
        (5.0, -3.8, -2.2, "do not turn the sign of the answer, which is open with and without them"),
    ],
)
def test_the_head_on_missing_years_follows_from_both_ends(
    tmp_path: Path, study: Study, half: float, low: float, high: float, said: str
) -> None:
    text = exits.text(section(tmp_path, study, rows_of(study, half, low, high)))
    assert said in text
    zero = "no interval includes zero" if half == 1.0 else "the interval includes zero in four of them"
    assert zero in text
    assert "55% were still with their practice two years later, " in text


def test_every_estimate_in_the_paragraphs_names_its_row(tmp_path: Path, study: Study) -> None:
    rows = rows_of(study, 1.0, -3.8, -2.2)
    churn, jump = (next(a for a in study.analyses if a.estimator == e) for e in ("retention", "specification_break"))
    for k, group in enumerate(study.groups.compared):
        # Holm's rule over three: 0.001 is announced, then 0.03 against 0.025 is not, and nothing after it.
        p = 0.001 if k == 0 else 0.03
        rows.append(answer(churn, study.measure_ids("contracted")[0], 3.0 + k, 1.0, group=group) | {"p_value": p})
        rows.append(answer(jump, study.measure_sets.broken_series[0], 2.0 + k, 0.5, group=group) | {"p_value": 0.03})
    s = section(tmp_path, study, rows)
    said = composition.text(s)
    assert "The estimate keeps its sign for every kind of member" in said
    assert "Staying differs between groups and arms in one of three questions" in said
    assert "Holm’s rule over three questions, familywise error rate 5%" in said
    assert re.search(r"Whether the change of ages in \d+ moves gaps by itself, the data cannot tell", said)
    known = set(s.results("estimates")["row_id"])
    for text in (said, exits.text(s)):
        named = re.findall(r'row-id="([^"]+)"', text)
        assert named
        assert set(named) <= known
        assert not re.search(r"[−-]?\d+\.\d", re.sub(r"\[[^\]]*\]\{[^}]*\}|within \d+\.\d points", "", text))


def test_members_that_left_stand_by_group_where_all_their_places_are_shown(tmp_path: Path, study: Study) -> None:
    s = section(tmp_path, study, rows_of(study, 1.0, -3.8, -2.2))
    assert exits.group_movers_shown(s) is None
    assert "shares of groups" not in exits.text(s)
    reference, *compared = study.group_ids
    shares = {reference: 30.0, **{g: 31.0 + 4 * k for k, g in enumerate(compared)}}
    rows = [
        {"system_id": e.system_id, "year": 2023, "years_later": n, "group": g, "place": place, "n": 100, "share": share + n,
         "status": "ok", "reason": None}
        for e in study.exits for n in (1, 2) for g, share in shares.items() for place in ("comparison", "not covered")
    ]  # fmt: skip
    for row in rows:
        if row["group"] == compared[-1]:  # the widest share, and suppressed
            row |= {"n": None, "share": None, "status": "suppressed"}
    write_csv(pd.DataFrame(rows), tmp_path / "results" / "movers_by_group.csv")
    table = exits.group_movers_shown(s)
    assert table is not None
    assert list(table["Where"]) == ["In a comparison system", "Not covered"]
    assert list(table.iloc[0, 2:]) == ["32.0", "33.0", "37.0", "–"]  # two years later
    assert "; shares of groups differ by at most 5 points. Under" in exits.text(s)


def test_members_that_left_stand_in_reading_order(tmp_path: Path, study: Study) -> None:
    table = exits.movers_shown(section(tmp_path, study, rows_of(study, 1.0, -3.8, -2.2)))
    assert table is not None
    assert list(table["Where"]) == [
        "Same practice, in a comparison system", "Same practice, in no system of the study",
        "Other practice, in a participating system", "Not covered",
    ]  # fmt: skip
    assert list(table.iloc[0, -2:]) == ["30.0", "30.0"]
