"""Planted side effects over 20 seeds and more: spending, its cost a point, members shed, effort diverted, a break, owners."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from broken_draws import broken
from candidate_cells import candidate_cells
from made_cells import SHARE, made_cells
from p4equity.disparity.attributed_share import share_changes
from p4equity.evaluation.announcements import announced
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Context
from p4equity.evaluation.cost import spending_question
from p4equity.evaluation.plan import analysis_rows
from p4equity.evaluation.question import question_of
from p4equity.evaluation.two_stage import two_stage_fits
from p4equity.study import Analysis, Study, load_study
from p4equity.synthetic import simulate
from p4equity.synthetic.cell_draws import CellSampler
from p4equity.synthetic.places import real_sizes
from p4equity.synthetic.truth import load_truth
from scipy import stats
from side_draws import SideSampler, made_spending, still_there
from simulation import STUDY, true_gap_effect

SEEDS, MEASURE = 20, "CBP"
UNLIKELY = 1e-4  # a correct method fails one of these tests once in some thousand suites
NO_AGES = pd.DataFrame(columns=["map", "race_version", "system_id", "measure_id", "group", "year", "den", "den_stayed"])


@cache
def study() -> Study:
    return load_study(STUDY)


def first(asked: Analysis) -> Analysis:
    return asked.model_copy(update={"inference": asked.inference[:1]})


def recovered(errors: np.ndarray) -> bool:
    """Whether the mean over seeds is zero but for chance."""
    n = len(errors)
    return bool(abs(errors.mean()) < stats.t.ppf(1 - UNLIKELY / 2, n - 1) * errors.std(ddof=1) / np.sqrt(n))


def shown(values: np.ndarray) -> bool:
    """Whether the mean over seeds is apart from zero beyond chance."""
    return bool(abs(values.mean()) > stats.t.ppf(1 - UNLIKELY / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def covers(rows: list[dict[str, object]], truth: list[float]) -> bool:
    inside = sum(row["conf_low"] <= value <= row["conf_high"] for row, value in zip(rows, truth, strict=True))
    return bool(inside >= stats.binom.ppf(UNLIKELY, len(rows), 0.95))


@dataclass(frozen=True)
class Spent:
    """One seed: the rows on spending, on the cost of a point and on the gap; what is true of both effects."""

    spending: dict[str, object]
    cost: dict[str, object]
    gap: dict[str, object]
    effect: float
    narrowing: float


@cache
def with_spending() -> list[Spent]:
    """Seeds in which the study's effects hold, on one contracted measure."""
    cells, overlap = made_cells(study())
    own = cells[cells["measure_id"] == MEASURE], overlap[overlap["measure_1"] == MEASURE]
    quality = CellSampler(study(), *own, scenario="clean")
    sides = SideSampler(study(), *made_spending(study()), NO_AGES, scenario="clean")
    out = []
    for seed in range(SEEDS):
        rng = np.random.default_rng([9, seed])
        (cell, pairs), drawn = quality.draw(rng), sides.draw(rng)
        context = Context(study(), pd.concat([cell, drawn.cell]), pd.concat([pairs, drawn.overlap]), "", "")
        asked = [first(study().analysis(name)) for name in ("spending", "cost_per_point", "pooled")]
        found = [next(r for r in analysis_rows(context, a) if r["outcome"] in (a.outcome, "gap")) for a in asked]
        groups = [g for m, g in baseline_series(context, (study().population.map, study().race.primary)) if m == MEASURE]
        effect = sides.planted.truth.spending_effect.usd_pmpm + growth(context, sides)
        out.append(Spent(*found, effect, -true_gap_effect(study(), "clean", MEASURE, groups)))
    return out


def growth(context: Context, sides: SideSampler) -> float:
    """What growth by one rate adds to the effect in dollars, by the estimate's weights: where levels are lower it is less."""
    asked = first(study().analysis("spending"))
    question, arms = spending_question(context, asked, sides.measure), context.arms(asked, sides.measure)
    weights = two_stage_fits(context, question, "averaged_t", ("gap",))["gap"].weights
    months, years = sides.expected, np.array(study().years)
    spent = np.nansum(months * sides.pooled, axis=1) / np.maximum(months.sum(axis=1), 1) / 100
    total = 0.0
    for system, weight in zip(question.systems, weights, strict=True):
        before, after = (np.isin(years, window) for window in context.windows(asked, arms)[system])
        change = spent[:, after].mean(axis=1) - spent[:, before].mean(axis=1)
        others = change[[sides.systems.index(s) for s in arms.comparison]].mean()  # over the same years: one that left has fewer
        total += float(weight) * (change[sides.systems.index(system)] - others)
    return total


def test_the_planted_spending_is_recovered() -> None:
    found = with_spending()
    assert all(abs(x.effect - 2.0) < 1.0 for x in found)
    assert recovered(np.array([x.spending["estimate"] - x.effect for x in found]))
    assert covers([x.spending for x in found], [x.effect for x in found])


def test_the_cost_of_a_point_is_recovered() -> None:
    """Spending over the narrowing, and a set that holds the planted ratio as often as it says."""
    found = [x for x in with_spending() if x.cost["status"] == "ok"]
    assert len(found) >= SEEDS // 2
    for x in found:
        assert x.cost["estimate"] == pytest.approx(x.spending["estimate"] / -x.gap["estimate"])
    assert recovered(np.array([-x.gap["estimate"] - x.narrowing for x in with_spending()]))
    assert covers([x.cost for x in found], [x.effect / x.narrowing for x in found])


def test_members_shed_are_seen_in_the_shares_of_attributed_members() -> None:
    """Each compared group's share falls by what its members' leaving takes, the reference group's rises."""
    sides = SideSampler(study(), *made_spending(study()), NO_AGES, scenario="cherry_picking")
    groups, asked = study().group_ids, first(study().analysis("attributed_share"))
    errors, values, said = {g: [] for g in groups}, {g: [] for g in groups}, 0
    for seed in range(SEEDS):
        drawn = sides.draw(np.random.default_rng([10, seed]))
        context = Context(study(), drawn.cell, drawn.overlap, "", "")
        rows = analysis_rows(context, asked)
        said += bool(announced(rows, 0.05))
        for row in rows:
            values[row["group"]].append(row["estimate"])
            errors[row["group"]].append(row["estimate"] - shed(context, asked, sides, row["group"]))
    for group in groups:
        assert recovered(np.array(errors[group])), group
        assert shown(np.array(values[group])), group
        assert (np.mean(values[group]) > 0) == (group == study().groups.reference), group
    assert said >= SEEDS - 2


def shed(context: Context, asked: Analysis, sides: SideSampler, group: str) -> float:
    """Change of a group's share of member-months at contracted systems by shedding alone, points, by the estimate's weights."""
    panel, arms, years = context.panel(context.variant(asked)), context.arms(asked, sides.measure), np.array(study().years)
    windows = dict.fromkeys(panel.systems, ((), ())) | context.windows(asked, arms)
    changes = share_changes(panel, sides.measure, (group,), windows, arms.comparison, study().inference.minimum_denominator)
    question = question_of(changes.systems, arms, {"gap": (changes.gap[:, 0], changes.gap_covariance[:, 0, 0])}, "")
    weights = two_stage_fits(context, question, "averaged_t", ("gap",))["gap"].weights
    own, total = sides.groups.index(group), 0.0
    for system, weight in zip(question.systems, weights, strict=True):
        s = sides.systems.index(system)
        whole, kept = sides.expected[s], sides.expected[s] * sides.left[s]
        lost = kept[own] / kept.sum(axis=0) - whole[own] / whole.sum(axis=0)
        total += weight * lost[np.isin(years, windows[system][1])].mean()
    return 100 * float(total)


def test_a_scenario_sheds_members_of_the_extract_as_the_draws_do(tmp_path: Path) -> None:
    """The same members with and without: of a compared group's at contracted systems in the last year some have left."""
    last, kept = study().years[-1], {}
    for scenario in ("clean", "cherry_picking"):
        simulate(study(), tmp_path / scenario, members=8_000, seed=7, scenario=scenario, workers=1)
        rows = pd.concat([pd.read_parquet(p) for p in sorted((tmp_path / scenario / "attribution").glob("*.parquet"))])
        kept[scenario] = rows[(rows["year"] == last) & rows["system_id"].isin([c.system_id for c in study().contracts])]
    race = pd.concat([pd.read_parquet(p) for p in sorted((tmp_path / "clean" / "race_ethnicity").glob("*.parquet"))])
    white = set(race.loc[race["race_eth"] == "NH White", "member_id"])
    gone = ~kept["clean"]["member_id"].isin(kept["cherry_picking"]["member_id"])
    reference = kept["clean"]["member_id"].isin(white)
    assert gone.any()
    assert not gone[reference].mean() > 0.02
    truth = load_truth(study(), "cherry_picking").truth
    least = 1 - still_there(truth.cherry_picking.leave, truth.population.turnover, 3)[3]
    assert 0.4 * least < gone[~reference].mean() < 1.2 * least


def test_effort_taken_from_unpaid_measures_is_found() -> None:
    """Rates of the compared groups fall by three points at contracted systems: every gap widens by three."""
    cells, overlap = candidate_cells(study(), 1.0)
    unpaid = list(study().measure_sets.not_incentivized)
    sampler = CellSampler(
        study(), cells[cells["measure_id"].isin(unpaid)], overlap[overlap["measure_1"].isin(unpaid)], scenario="effort_diversion"
    )
    points = load_truth(study(), "effort_diversion").truth.effort_diversion.points
    assert set(points.values()) == {-3.0}
    asked, found, said = first(study().analysis("not_incentivized")), [], 0
    for seed in range(SEEDS):
        context = Context(study(), *sampler.draw(np.random.default_rng([11, seed])), "", "")
        rows = [r for r in analysis_rows(context, asked) if r["outcome"] == "gap" and r["status"] == "ok"]
        said += bool(announced(rows, 0.05))
        found += rows
    for measure in unpaid:
        own = [r for r in found if r["measure_id"] == measure]
        values = np.array([r["estimate"] for r in own])
        assert recovered(values - 3.0), measure
        assert shown(values), measure
        assert covers(own, [3.0] * len(own)), measure
    assert said >= SEEDS // 2


def test_the_jump_of_a_broken_series_is_recovered() -> None:
    """Added ages have lower rates, most of all in the compared groups; without the break nothing jumps."""
    share, years = SHARE["COL_50_75"], np.array(study().years)
    mix = np.array(
        [[s.synthetic.race_mix.get(g, 0.0) if s.synthetic else 0.0 for g in study().scheme.ids] for s in study().systems]
    )
    old = np.round(real_sizes(study())[:, None, None] * mix[:, :, None] * share * np.ones(len(years))).astype(np.int64)
    added = np.round(0.2 * old * (years >= 2022)).astype(np.int64)
    for scenario, planted in (("default", True), ("nothing", False)):
        series = broken(study(), old, added, scenario=scenario, alike=not planted)
        truth, rows = series.truth(), [series.rows(np.random.default_rng([12, seed])) for seed in range(SEEDS)]
        for k, group in enumerate(study().groups.compared):
            own = [found[k] for found in rows]
            assert {row["group"] for row in own} == {group}
            values = np.array([row["estimate"] for row in own])
            assert recovered(values - truth[group]), (scenario, group)
            assert covers(own, [truth[group]] * SEEDS), (scenario, group)
        assert any(abs(value) > 0.3 for value in truth.values()) == planted


@cache
def owned() -> Study:
    """Systems in pairs of one owner, all contracted ones on the same measure, none that leaves."""
    pairs = {
        "S01": "a",
        "S02": "a",
        "S04": "b",
        "S05": "b",
        "S07": "c",
        "S08": "c",
        "S09": "d",
        "S10": "d",
        "S11": "e",
        "S12": "e",
    }
    systems = tuple(s.model_copy(update={"owner": pairs.get(s.id)}) for s in study().systems)
    contracts = tuple(
        c.model_copy(update={"measures": (MEASURE,)}) for c in study().contracts if c.cohort == study().launch_cohort
    )
    return replace(study(), systems=systems, contracts=contracts, exits=())


def test_errors_by_owner_are_right_where_those_by_system_are_too_small() -> None:
    """Systems of one owner share every shock; large denominators, so that shocks are what moves the estimate."""
    draws, cells = 50, made_cells(owned())
    of = [frame[frame[name] == MEASURE].copy() for frame, name in zip(cells, ("measure_id", "measure_1"), strict=True)]
    of[0][["den", "num", "with_reading"]] *= 10
    of[1]["den_den"] *= 10
    sampler = CellSampler(owned(), *of, scenario="owner_shocks")
    main = owned().analysis("measure").model_copy(update={"inference": ("averaged_t",), "measures": (MEASURE,)})
    found = {"system": [], "owner": []}
    for seed in range(draws):
        context = Context(owned(), *sampler.draw(np.random.default_rng([13, seed])), "", "")
        for clusters, rows in found.items():
            asked = main.model_copy(update={"clusters": clusters})
            rows.append(next(r for r in analysis_rows(context, asked) if r["outcome"] == "gap"))
    ratio = {}
    for clusters, rows in found.items():
        values, errors = (np.array([r[name] for r in rows]) for name in ("estimate", "std_error"))
        ratio[clusters] = values.std(ddof=1) / np.sqrt((errors**2).mean())
    assert ratio["system"] > 1.15
    assert 0.75 < ratio["owner"] < 1.2
