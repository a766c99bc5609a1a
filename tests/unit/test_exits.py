"""Exits and owners: systems of one owner as one unit, bounds for missing years, each system left out for every measure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from p4equity.errors import StudyError
from p4equity.evaluation.clusters import clustered, one_unit_an_owner, units
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.inference.missing_years import at_bound, missing_share, turning_point
from p4equity.inference.random_effects import meta_regression
from p4equity.study import Analysis, Study, load_study
from p4equity.tables import protected_movers
from scipy import optimize

MEASURE, GAP = "CBP", 8.0
LEFT = "S03"


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("bcbsma_pay_for_equity")


def made(study: Study, moved: float = 0.0, effect: float = 0.0, den: int = 20_000) -> Context:
    """One measure with a gap of GAP points and lasting differences between systems; LEFT's gap moves in its missing years."""
    held = set(study.contract_matrix().query("measure_id == @MEASURE")["system_id"])
    rows = []
    rng = np.random.default_rng(5)
    lasting = {s.id: rng.normal(0, 1.5) for s in study.systems}
    for s in study.systems:
        for group, year in product(study.group_ids, study.years):
            shift = (lasting[s.id] + effect * (s.id in held)) * (year >= study.launch_cohort) + moved * (
                s.id == LEFT and year >= 2024
            )
            rate = 70 - (group != "white") * (GAP + shift)
            rows.append((s.id, MEASURE, group, year, den, round(den * rate / 100)))
    cell = pd.DataFrame(rows, columns=["system_id", "measure_id", "group", "year", "den", "num"])
    cell = cell.assign(map="baseline", race_version="frozen", with_reading=np.nan)
    pairs = cell.rename(columns={"measure_id": "measure_1", "year": "year_1"})
    overlap = pairs.assign(
        measure_2=pairs["measure_1"], year_2=pairs["year_1"], den_den=den, num_den=pairs["num"], den_num=pairs["num"],
        num_num=pairs["num"],
    )  # fmt: skip
    return Context(study, cell, overlap, "data", "code")


def asked(study: Study, **changes: Any) -> Analysis:
    base = study.analysis("measure").model_copy(update={"measures": (MEASURE,), "inference": ("averaged_t",)})
    return base.model_copy(update=changes)


def estimate(context: Context, analysis: Analysis, **identity: object) -> float:
    found = [
        r for r in analysis_rows(context, analysis)
        if r["outcome"] in ("gap", "gap_bound") and all(r[k] == v for k, v in identity.items())
    ]  # fmt: skip
    assert len(found) == 1
    return float(found[0]["estimate"])


# Owners


def test_systems_of_one_owner_are_one_unit_whose_counts_add_up(study: Study) -> None:
    assert units(study) == {"S07": "S07", "S08": "S07"}
    whole = made(study)
    merged = clustered(whole, asked(study, clusters="owner"))
    before, after = (c.panel(("baseline", "frozen")) for c in (whole, merged))
    assert set(before.systems) - set(after.systems) == {"S08"}
    for name in ("den", "num"):
        both = getattr(before, name)[[before.systems.index(s) for s in ("S07", "S08")]].sum(axis=0)
        np.testing.assert_array_equal(getattr(after, name)[after.systems.index("S07")], both)
    assert clustered(whole, asked(study)) is whole


def test_the_answer_is_that_of_cells_in_which_the_owner_is_one_system(study: Study) -> None:
    context = made(study)
    own = replace(context, study=one_unit_an_owner(study), cell=context.cell.replace("S08", "S07"), memory={})
    own.overlap = context.overlap.replace("S08", "S07")
    assert estimate(context, asked(study, clusters="owner")) == pytest.approx(estimate(own, asked(study)), abs=1e-12)
    assert estimate(context, asked(study, clusters="owner")) != pytest.approx(estimate(context, asked(study)), abs=1e-3)


def test_a_permutation_keeps_systems_of_one_owner_together(study: Study) -> None:
    context = made(study)
    counts = {}
    for clusters in ("system", "owner"):
        rows = analysis_rows(context, asked(study, clusters=clusters, inference=("permutation",)))
        counts[clusters] = next(r for r in rows if r["outcome"] == "gap")["p_attainable"]
    assert counts == {"system": pytest.approx(1 / comb(12, 5)), "owner": pytest.approx(1 / comb(11, 5))}


def test_an_owner_with_systems_on_both_sides_keeps_them_apart(edited: Callable[[str, str, str], Path]) -> None:
    """A contracted system whose owner has two comparison systems: these are one unit, and it stays another."""
    mixed = load_study(edited("systems.toml", 'owner = "Steward Health Care"', 'owner = "Optum"'))
    assert mixed.system(LEFT).owner == "Optum"
    assert units(mixed) == {"S07": "S07", "S08": "S07"}
    context = made(mixed)
    by_owner = asked(mixed, clusters="owner")
    assert estimate(context, by_owner) == estimate(made(load_study("bcbsma_pay_for_equity")), by_owner)
    assert {"S03", "S07"} <= set(clustered(context, by_owner).panel(("baseline", "frozen")).systems)


def test_owners_without_two_systems_alike_are_refused(edited: Callable[[str, str, str], Path]) -> None:
    with pytest.raises(StudyError, match="no owner has two systems of one arm, stratum and set of contracts"):
        load_study(edited("systems.toml", 'owner = "Optum"', 'owner = "Another"'))


# Bounds


def test_shares_and_bounds_by_hand() -> None:
    share = missing_share(np.array([1, 3, 0]), np.array([2, 0, 3]))
    np.testing.assert_allclose(share, [2 / 3, 0, 0])
    treated = np.array([True, False, False])
    # Seen in one of three years: the mean over three moves by two thirds of 6 points; a comparison system the other way.
    np.testing.assert_allclose(at_bound(np.array([-3.0, 1.0, 2.0]), share, treated, 6.0), [1.0, 1.0, 2.0])
    np.testing.assert_allclose(at_bound(np.array([-3.0, 1.0]), np.array([0.5, 0.5]), treated[:2], -6.0), [-6.0, 4.0])


def test_no_missing_years_within_the_range_lead_outside_the_bounds() -> None:
    """Random patterns of missing years, with the weights of the estimate fixed: the ends are attained and never passed."""
    rng = np.random.default_rng(3)
    y, treated, share = rng.normal(size=8), np.arange(8) < 3, rng.uniform(0, 0.7, 8) * (rng.random(8) < 0.5)
    weights = meta_regression(y, treated, np.full(8, 0.3)).weights
    ends = [float(weights @ at_bound(y, share, treated, r)) for r in (-5.0, 5.0)]
    inside = [float(weights @ (y + share * rng.uniform(-5, 5, 8))) for _ in range(2000)]
    assert ends[0] <= min(inside)
    assert max(inside) <= ends[1]
    corners = [float(weights @ (y + share * 5 * np.array(s))) for s in product((-1, 1), repeat=8)]
    np.testing.assert_allclose([min(corners), max(corners)], ends)


def test_the_turning_point_is_where_an_interval_reaches_zero() -> None:
    """An interval around the estimate, moved by 0.25 a point and widened by 0.1 a point of the range."""

    def interval(estimate: float, half: float) -> Callable[[float], tuple[float, float]]:
        return lambda r: (estimate + 0.25 * r - half - 0.1 * abs(r), estimate + 0.25 * r + half + 0.1 * abs(r))

    # -3 + 0.25 r + 1 + 0.1 r = 0; the estimate itself is zero at 12, twice as far.
    assert turning_point(interval(-3.0, 1.0)) == pytest.approx(2 / 0.35)
    assert turning_point(interval(3.0, 1.0)) == pytest.approx(2 / 0.35)  # the other end of the range
    assert turning_point(interval(-90.0, 1.0)) is None
    assert turning_point(interval(-3.0, 3.5)) == 0.0


@pytest.mark.parametrize(("moved", "inside"), [(3.5, True), (-3.5, True), (9.0, False), (-9.0, False)])
def test_the_effect_over_all_years_lies_between_the_bounds_when_the_range_holds(study: Study, moved: float, inside: bool) -> None:
    """The cells know the missing years: kept to the end they give the effect that the bounds are about.

    Not up to 5 points, since a system seen for longer weighs more: 0.20 here instead of 0.15.
    """
    assert study.population.exit_range == 5.0
    context = made(study, moved)
    bounds = asked(study, estimator="exit_bounds")
    low, high = (estimate(context, bounds, sample=end) for end in ("lowest", "highest"))
    full = estimate(context, asked(study, exits="carry"))
    assert low < estimate(context, asked(study)) < high
    assert (low <= full <= high) == inside


@pytest.mark.parametrize("method", ["averaged_t", "knapp_hartung"])
def test_the_range_that_undoes_the_answer_is_found_by_trying(study: Study, method: str) -> None:
    """The intervals at other ranges, asked for one by one, reach zero at the range that the third row names."""
    context = made(study, effect=-5.0)
    bounds = asked(study, estimator="exit_bounds", inference=(method,))
    rows = {r["sample"]: r for r in analysis_rows(context, bounds)}
    main = estimate(context, asked(study, inference=(method,)))
    middle = (rows["lowest"]["estimate"] + rows["highest"]["estimate"]) / 2
    assert middle == pytest.approx(main, abs=1e-12)

    def at(points: float) -> float:
        other = replace(study, population=study.population.model_copy(update={"exit_range": points}))
        found = analysis_rows(replace(context, study=other, memory={}), bounds)
        return min(max(r["conf_low"], -r["conf_high"]) for r in found if r["sample"] in ("lowest", "highest"))

    assert at(1e-9) > 0
    root = optimize.brentq(at, 1e-9, 99.0)
    assert rows["turning"]["estimate"] == pytest.approx(root, rel=1e-6)
    assert root < abs(main) / abs(rows["highest"]["estimate"] - main) * 5.0  # nearer than where the estimate is zero


def leaving(study: Study, date: dt.date) -> Study:
    return replace(study, exits=tuple(e.model_copy(update={"date": date}) for e in study.exits))


@pytest.mark.parametrize("date", [dt.date(2022, 5, 6), dt.date(2023, 6, 1)])
def test_who_leaves_before_a_contract_year_is_over_is_named_with_that_reason(study: Study, date: dt.date) -> None:
    early = leaving(study, date)
    context = made(early)
    rows = analysis_rows(context, asked(early, estimator="exit_bounds"))
    assert [r["status"] for r in rows] == ["not_estimable"] * 3
    assert all(
        "each system of this question with an exit left before a contract year could be counted" in r["reason"] for r in rows
    )
    main = next(r for r in analysis_rows(context, asked(early)) if r["outcome"] == "gap")
    assert main["sample"] == f"without {LEFT} (left before a contract year could be counted)"
    pooled = early.analysis("exit_bounds")
    assert {r["reason"] for r in analysis_rows(context, pooled) if r["measure_id"] == "pooled"} == {rows[0]["reason"]}


def test_a_year_is_lost_only_to_an_exit_before_its_last_day(study: Study) -> None:
    dates = [dt.date(2024, 12, 30), dt.date(2024, 12, 31), dt.date(2025, 1, 1), dt.date(2025, 12, 31)]
    studies = [leaving(study, d) for d in dates]
    assert [s.exit_year(LEFT) for s in studies] == [2024, 2025, 2025, 2026]
    seen = [estimate(made(s, moved=9.0), asked(s)) for s in studies]
    assert seen[1] == seen[2] != seen[0]
    # Nothing is missing after an exit on the last day of the last year: it is the answer with the years kept, without bounds.
    assert seen[3] == estimate(made(studies[3], moved=9.0), asked(studies[3], exits="carry"))
    rows = analysis_rows(made(studies[3]), asked(studies[3], estimator="exit_bounds"))
    assert all("no system of this question left before its contract years ended" in r["reason"] for r in rows)


def test_a_question_in_which_nobody_left_says_so(study: Study) -> None:
    stays = replace(study, exits=())
    rows = analysis_rows(made(stays), asked(stays, estimator="exit_bounds"))
    assert [r["status"] for r in rows] == ["not_estimable"] * 3
    assert all("no system of this question left" in r["reason"] for r in rows)
    silent = replace(study, population=study.population.model_copy(update={"exit_range": None}))
    assert all("exit_range" in r["reason"] for r in analysis_rows(made(silent), asked(silent, estimator="exit_bounds")))


# Movers


def test_a_place_with_few_members_is_hidden_with_company() -> None:
    """Nine members at one place, and the smallest other place beside it: the members of the system are their sum."""
    rows = [("S03", 2023, n, "same", place, count, 1.0) for n in (1, 2) for place, count in (("a", 500), ("b", 9 * n), ("c", 80))]
    columns = ["system_id", "year", "years_later", "practice", "place", "n", "share"]
    shown = protected_movers(pd.DataFrame(rows, columns=columns), 11)
    hidden = shown[shown["status"] == "suppressed"]
    assert list(zip(hidden["years_later"], hidden["place"], strict=True)) == [(1, "b"), (1, "c")]
    assert hidden[["n", "share"]].isna().all(axis=None)


# Left out


def test_each_system_is_left_out_of_the_question_on_a_measure(study: Study) -> None:
    context = made(study)
    rows = analysis_rows(context, asked(study, leave_out="each_system"))
    assert {r["outcome"] for r in rows} == {"gap"}
    assert len(rows) == len(context.arms(asked(study), MEASURE).systems) == 12
    without = next(r for r in rows if r["sample"] == f"without {LEFT}")
    assert without["estimate"] == pytest.approx(estimate(context, asked(study, exits="drop")), abs=1e-12)
    assert without["n_clusters"] == 11
