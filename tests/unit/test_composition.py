"""Members who do not change: rates at the same ages, of those who stayed, weighted; staying; a changed range of ages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from p4equity.disparity.broken_series import mechanical_change
from p4equity.disparity.composition import (
    AgeCounts,
    Rates,
    age_counts,
    age_standardized,
    of_stayed,
    of_stayed_weighted,
    panel_of,
)
from p4equity.disparity.panel import ALL, Panel, build_panel
from p4equity.disparity.retention import retention, retention_gap
from p4equity.errors import StudyError
from p4equity.evaluation.composition import LACKING
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.study import Study, load_study

YEARS, SYSTEMS, GROUPS, BANDS = (2021, 2022, 2023), ("A", "B"), ("white", "black"), ("0 to 49", "50 and over")


def cells(rng: np.random.Generator) -> pd.DataFrame:
    """cell_age of one measure: all members, and about half of them who stayed."""
    rows = []
    for s in SYSTEMS:
        for g in GROUPS:
            for t in YEARS:
                for b, band in enumerate(BANDS):
                    den = int(rng.integers(200, 900))
                    stay = int(den * rng.uniform(0.4, 0.6))
                    p = 0.5 + 0.2 * b - 0.1 * (g == "black")
                    rows.append((s, "M", g, t, band, den, rng.binomial(den, p), stay, rng.binomial(stay, p + 0.05)))
    columns = ["system_id", "measure_id", "group", "year", "age_band", "den", "num", "den_stayed", "num_stayed"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture(scope="module")
def made() -> tuple[Panel, pd.DataFrame]:
    rows = cells(np.random.default_rng(11))
    cell = rows.groupby(["system_id", "measure_id", "group", "year"], as_index=False)[["den", "num"]].sum()
    cell["with_reading"] = np.nan
    own = cell.rename(columns={"measure_id": "measure_1", "year": "year_1", "den": "den_den", "num": "num_num"})
    overlap = own.assign(measure_2="M", year_2=own["year_1"], num_den=own["num_num"], den_num=own["num_num"])
    panel = build_panel(cell, overlap, measures=("M",), groups=GROUPS, systems=SYSTEMS, years=YEARS)
    return panel, rows


def bare(years: tuple[int, ...]) -> Panel:
    """A panel of one system and group, for its axes."""
    cell = pd.DataFrame({"system_id": "A", "measure_id": "M", "group": "white", "year": years, "den": 1, "num": 0})
    own = cell.rename(columns={"measure_id": "measure_1", "year": "year_1", "den": "den_den", "num": "num_num"})
    overlap = own.assign(measure_2="M", year_2=own["year_1"], num_den=0, den_num=0)
    whole = build_panel(
        cell.assign(with_reading=np.nan), overlap, measures=("M",), groups=("white",), systems=("A",), years=years
    )
    return replace(whole, series=whole.series[:1])


def at(panel: Panel, group: str) -> int:
    return panel.index("M", group)


# Rates


def test_counts_by_age_come_in_the_order_of_the_panel(made: tuple[Panel, pd.DataFrame]) -> None:
    panel, rows = made
    counts = age_counts(panel, rows.sample(frac=1, random_state=1))
    one = rows[(rows["system_id"] == "B") & (rows["group"] == "black") & (rows["year"] == 2023)].set_index("age_band")
    for name in ("den", "num", "den_stayed", "num_stayed"):
        np.testing.assert_array_equal(getattr(counts, name)[1, at(panel, "black"), 2], one.loc[list(BANDS), name])
    assert counts.den[:, at(panel, ALL)].sum() == 0


def test_standardized_rates_by_hand(made: tuple[Panel, pd.DataFrame]) -> None:
    """Two bands of 3 to 1 in the baseline years: 0.75 and 0.25 of the rates of each band, whatever the mix of the year."""
    panel, _ = made
    den = np.zeros((2, len(panel.series), 3, 2))
    den[:, at(panel, "white")] = [[300, 100], [300, 100], [40, 160]]
    num = den * np.array([0.5, 0.9])
    counts = AgeCounts(den, num, den, num)
    found = age_standardized(panel, counts, (2021, 2022))
    np.testing.assert_allclose(found.rate[:, at(panel, "white")], 0.75 * 0.5 + 0.25 * 0.9)
    expected = 0.75**2 * 0.25 / 40 + 0.25**2 * 0.09 / 160
    np.testing.assert_allclose(found.variance[0, at(panel, "white"), 2], expected)
    np.testing.assert_array_equal(found.members[0, at(panel, "white")], [400, 400, 200])
    assert np.isnan(found.rate[:, at(panel, "black")]).all()


def test_weights_bring_back_members_who_left_at_random_within_bands() -> None:
    """Staying depends on group and age alone: the plain rate of those who stayed is off, the weighted one is not."""
    rng = np.random.default_rng(4)
    n, stays, rate = np.array([6000, 4000]), np.array([0.3, 0.9]), np.array([0.4, 0.8])
    panel = bare(YEARS)
    off, near = [], []
    for _ in range(200):
        kept = rng.binomial(n, stays)
        shape = (1, 1, 3, 2)
        den, stayed = np.broadcast_to(n, shape), np.broadcast_to(kept, shape)
        counts = AgeCounts(den, rng.binomial(n, rate, shape), stayed, rng.binomial(kept, rate, shape))
        off.append(of_stayed(counts).rate[0, 0, 2])
        weighted = of_stayed_weighted(panel, counts, 2022)
        near.append((weighted.rate[0, 0, 2], weighted.variance[0, 0, 2]))
    truth = float((n * rate).sum() / n.sum())
    assert np.mean(off) - truth > 0.05
    values, variances = np.array(near).T
    assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(200)
    assert values.var() == pytest.approx(variances.mean(), rel=0.35)  # 200 draws: a standard deviation of 10% in the variance


def test_the_panel_has_the_rates_and_their_variances(made: tuple[Panel, pd.DataFrame]) -> None:
    panel, rows = made
    rates = age_standardized(panel, age_counts(panel, rows), YEARS)
    new = panel_of(panel, rates)
    for g in GROUPS:
        np.testing.assert_allclose(new.rate[:, at(panel, g)], rates.rate[:, at(panel, g)])
        found = np.diagonal(new.covariances(g, "M", "M"), axis1=1, axis2=2)
        np.testing.assert_allclose(found, rates.variance[:, at(panel, g)])
    np.testing.assert_array_equal(new.den[:, at(panel, ALL)], panel.den[:, at(panel, ALL)])
    np.testing.assert_array_equal(new.overlap[ALL], panel.overlap[ALL])


def test_the_same_rates_give_the_same_panel(made: tuple[Panel, pd.DataFrame]) -> None:
    """With the panel's own rates and variances in the place of others, covariances of years and groups stay as they are."""
    panel, _ = made
    own = np.zeros_like(panel.den)
    for g in GROUPS:
        own[:, at(panel, g)] = np.diagonal(panel.covariances(g, "M", "M"), axis1=1, axis2=2)
    new = panel_of(panel, Rates(panel.rate, own, panel.den))
    np.testing.assert_allclose(new.num, panel.num)
    for g in GROUPS:
        np.testing.assert_allclose(new.covariances(g, "M", "M"), panel.covariances(g, "M", "M"))


def test_a_band_without_members_leaves_no_standardized_rate_and_one_without_stayers_is_left_out() -> None:
    den = np.array([[[[10.0, 0.0]]]])
    panel = bare((2022,))
    counts = AgeCounts(np.array([[[[10.0, 5.0]]]]), np.array([[[[4.0, 5.0]]]]), den, np.array([[[[4.0, 0.0]]]]))
    assert of_stayed_weighted(panel, counts, 2022).rate[0, 0, 0] == pytest.approx(0.4)
    both = AgeCounts(np.concatenate([counts.den, den]), np.concatenate([counts.num, den]), counts.den, counts.num)
    assert np.isnan(age_standardized(panel, both, (2022,)).rate[1, 0, 0])


# Staying


def test_staying_by_hand() -> None:
    members, stayed = np.array([[100.0, 50.0, 50.0], [100.0, 50.0, 8.0]]), np.array([[60.0, 20.0, 30.0], [40.0, 30.0, 4.0]])
    share, variance = retention(members, stayed)
    np.testing.assert_allclose(share[0], [0.6, 0.4, 0.6])
    np.testing.assert_allclose(variance[0], [0.25 / 100, 0.25 / 50, (34 / 58) * (24 / 58) / 50])
    sides = retention_gap(members, stayed, 11)
    assert sides["gap"][0][0] == pytest.approx(0.6 - 0.5)
    assert sides["gap"][1][0] == pytest.approx(variance[0, 0] + variance[0, 1:].sum() / 4)
    assert np.isnan(sides["gap"][0][1])  # a group of eight


# A broken series


def test_the_mechanical_jump_of_section_2_2_and_its_error_against_draws() -> None:
    """Domain 2.2: gap 6.0 at ages 50 to 75, 8.4 with ages 45 to 49; the error is that of drawn members."""
    n = np.array([40_000, 8_000])
    share, old, new = np.array([0.17, 0.24]), np.array([0.71, 0.65]), np.array([0.30, 0.26])
    beyond, twin = share * n, (1 - share) * n
    change, variance = mechanical_change(n, twin * old + beyond * new, twin, twin * old)
    assert 6.0 + 100 * (change[0] - change[1]) == pytest.approx(8.4, abs=0.05)
    rng = np.random.default_rng(2)
    drawn = []
    for _ in range(3000):
        added = rng.binomial(n, share)
        x_new, x_old = rng.binomial(added, new), rng.binomial(n - added, old)
        drawn.append(mechanical_change(n, x_new + x_old, n - added, x_old)[0])
    np.testing.assert_allclose(np.var(drawn, axis=0), variance, rtol=0.1)  # 3,000 draws: 2.6% standard error
    same, none = mechanical_change(n, twin * old, n, twin * old)
    np.testing.assert_array_equal(same, 0)
    np.testing.assert_array_equal(none, 0)


# In the plan


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("bcbsma_pay_for_equity")


def context_of(study: Study, ages: bool = True, **drift: Any) -> Context:
    """One measure; groups of all systems grow older in contracted ones where `older` says so, at constant rates by age."""
    rows = []
    contracted = {s.id for s in study.arm_systems("participating") if study.cohort_of(s.id, "CBP")}
    for s in study.systems:
        for g in study.group_ids:
            for t in study.years:
                old = 0.5 + drift.get("older", 0.0) * (s.id in contracted and g == "black" and t >= 2023)
                for band, part, rate in (("0 to 54", 1 - old, 0.5), ("55 and over", old, 0.9)):
                    den = round(20_000 * part)
                    wobble = 0.002 * ((7 * study.systems.index(s) + t) % 5 - 2) * (g != "white")
                    num = round(den * (rate - 0.08 * (g != "white") + wobble))
                    rows.append((s.id, "CBP", g, t, band, den, num, den // 2, num // 2))
    columns = ["system_id", "measure_id", "group", "year", "age_band", "den", "num", "den_stayed", "num_stayed"]
    aged = pd.DataFrame(rows, columns=columns).assign(map="baseline", race_version="frozen")
    keys = ["map", "race_version", "system_id", "measure_id", "group", "year"]
    cell = aged.groupby(keys, as_index=False)[["den", "num"]].sum().assign(with_reading=np.nan)
    own = cell.rename(columns={"measure_id": "measure_1", "year": "year_1", "den": "den_den", "num": "num_num"})
    overlap = own.assign(measure_2="CBP", year_2=own["year_1"], num_den=own["num_num"], den_num=own["num_num"])
    more = {"ages": aged} if ages else {}
    return Context(study, cell, overlap, "d", "c", **more)


def gap_effect(context: Context, members: str) -> float:
    analysis = context.study.analysis("measure").model_copy(
        update={"measures": ("CBP",), "groups": "each", "inference": ("averaged_t",), "members": members}
    )
    rows = analysis_rows(context, analysis)
    return next(float(r["estimate"]) for r in rows if r["outcome"] == "gap" and r["group"] == "black")


def test_a_change_of_ages_moves_the_gap_and_not_the_standardized_gap(study: Study) -> None:
    """Black members of contracted systems grow older by 10 points, and older ones do better by 40: the raw gap narrows by 4."""
    context = context_of(study, older=0.1)
    assert gap_effect(context, "open") == pytest.approx(-4.0, abs=0.05)
    assert gap_effect(context, "age_standardized") == pytest.approx(0.0, abs=0.05)


def test_without_cells_by_age_the_rows_say_so(study: Study) -> None:
    context = context_of(study, ages=False)
    for name in ("sensitivity_age_standardized", "sensitivity_stayed", "differential_churn"):
        rows = [r for r in analysis_rows(context, study.analysis(name)) if r["measure_id"] == "CBP"]
        assert rows, name
        assert {r["reason"] for r in rows} == {LACKING}, name
        assert {r["status"] for r in rows} == {"not_estimable"}, name


def test_members_that_cells_cannot_give_are_refused(edited: Any) -> None:
    folder = edited("study.toml", 'members = "stayed"\n', 'members = "stayed"\nclusters = "owner"\n')
    with pytest.raises(StudyError, match="cells by age are counted for the primary map"):
        load_study(folder)


def test_bands_that_do_not_ascend_are_refused(edited: Any) -> None:
    with pytest.raises(StudyError, match="ascend from 0"):
        load_study(edited("study.toml", "age_bands = [0, 12, 18", "age_bands = [0, 18, 12"))


def test_a_study_without_bands_has_no_such_analysis(study: Study) -> None:
    assert replace(study, composition=None).composition is None
    assert load_study("castle_doctrine").composition is None
