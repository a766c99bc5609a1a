"""Gaps within and between systems, 20 draws with and without a system that leaves and whose members go elsewhere: both parts and
their changes are those of the planted rates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from made_cells import made_cells
from p4equity.diagnostics.findings import primary_analysis
from p4equity.disparity.decomposition import kitagawa
from p4equity.evaluation.context import Context
from p4equity.study import Study, load_study
from p4equity.summaries.rates import cell_table
from p4equity.summaries.within_between import PARTS, PERIODS, within_between_table
from p4equity.synthetic.cell_draws import CellSampler
from scipy import stats
from simulation import STUDY
from test_scales import true_panel

SEEDS = 20
UNLIKELY = 1e-4  # a correct method fails one of these tests once in some hundred suites
KEYS = ["measure_id", "group", "arm", "period"]
DESIGNS = ("stays", "leaves", "members move")
MOVING = 0.4  # share of the leaving system's members who go elsewhere


@dataclass(frozen=True)
class Made:
    """The context of the planted rates, what they imply, and the tables of all draws."""

    implied: pd.DataFrame
    drawn: pd.DataFrame


def moved(study: Study, cells: pd.DataFrame, overlap: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """From the launch on, a share of the leaving system's members is in the largest comparison system."""
    (leave,) = study.exits
    to = max(study.arm_systems("comparison"), key=lambda s: s.synthetic.members if s.synthetic else 0).id
    after = cells["year"] >= study.launch_cohort
    keys = ["measure_id", "group", "year"]
    gone = (cells["system_id"] == leave.system_id) & after
    lost = cells[gone].set_index(keys)["den"].mul(MOVING).round().astype(int)
    cells = cells.copy()
    cells.loc[gone, "den"] -= lost.to_numpy()
    got = cells["system_id"].eq(to) & after & pd.MultiIndex.from_frame(cells[keys]).isin(lost.index)
    cells.loc[got, "den"] += lost.reindex(pd.MultiIndex.from_frame(cells.loc[got, keys])).to_numpy()
    den = cells.set_index(["system_id", *keys])["den"]
    at = [pd.MultiIndex.from_frame(overlap[["system_id", f"measure_{k}", "group", f"year_{k}"]]) for k in (1, 2)]
    first, second = (den.reindex(keys).to_numpy() for keys in at)
    same = overlap["year_1"].eq(overlap["year_2"]).to_numpy()
    return cells, overlap.assign(den_den=np.where(same, first, np.minimum(overlap["den_den"], np.minimum(first, second))))


def implied(context: Context, study: Study) -> pd.DataFrame:
    """Kitagawa's parts of the planted rates, year by year over the systems in their windows, averaged over a period's years."""
    analysis, reference = primary_analysis(context), str(study.groups.reference)
    panel = context.panel(context.variant(analysis))
    truth, rows = true_panel(study, panel), []
    for measure in study.measure_sets.contracted:
        arms = context.arms(analysis, measure)
        windows = context.windows(analysis, arms)
        for group in study.groups.compared:
            for arm, systems in (("contracted", tuple(arms.treated)), ("comparison", arms.comparison)):
                at = [panel.systems.index(s) for s in systems]
                num, den = (x[at][:, [panel.index(measure, g) for g in (reference, group)]] for x in (truth.num, panel.den))
                parts = []
                for side in (0, 1):
                    yearly = []
                    for t in sorted({t for s in systems for t in windows[s][side]}):
                        here = [k for k, s in enumerate(systems) if t in windows[s][side]]
                        n, x = (a[here][:, :, panel.years.index(t)] for a in (den, num))
                        found = kitagawa(*(x / n).T, *(n / n.sum(axis=0)).T)
                        yearly.append([float(found.total), float(found.within), float(found.between)])
                    parts.append(100 * np.mean(yearly, axis=0))
                for period, values in zip(PERIODS, (*parts, parts[1] - parts[0]), strict=True):
                    rows.append([measure, group, arm, period, *values])
    return pd.DataFrame(rows, columns=[*KEYS, *PARTS]).set_index(KEYS)


@cache
def made(design: str) -> Made:
    study = load_study(STUDY)
    cells, overlap = made_cells(study)
    if design == "members move":
        cells, overlap = moved(study, cells, overlap)
    if design == "stays":
        study = replace(study, exits=())
    sampler, tables = CellSampler(study, cells, overlap), []
    for seed in range(SEEDS):
        context = Context(study, *sampler.draw(np.random.default_rng([20240506, seed])), "", "")
        shown = cell_table(context, primary_analysis(context)).assign(status="ok")
        tables.append(within_between_table(context, shown).assign(draw=seed))
    return Made(implied(context, study), pd.concat(tables))


def mean_and_error(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean over draws of each part, and its Monte Carlo error."""
    groups = table[table["status"] == "ok"].groupby(KEYS)[list(PARTS)]
    return groups.mean(), groups.std(ddof=1) / np.sqrt(groups.size().iloc[0])


@pytest.mark.parametrize("design", DESIGNS)
def test_both_parts_are_those_of_the_planted_rates(design: str) -> None:
    found = made(design)
    full = found.drawn.groupby(KEYS)["status"].transform(lambda s: (s == "ok").sum()) == SEEDS  # a baseline gap in every draw
    mean, error = mean_and_error(found.drawn[full])
    z = ((mean - found.implied.reindex(mean.index)) / error).to_numpy()
    assert len(z) >= 40
    assert np.abs(z).max() < stats.t.ppf(1 - UNLIKELY / 2, SEEDS - 1)
    assert np.sqrt((z**2).mean()) == pytest.approx(np.sqrt((SEEDS - 1) / (SEEDS - 3)), abs=0.5)  # errors are as stated


def test_a_system_that_leaves_moves_the_part_between_systems_by_what_its_rates_imply() -> None:
    """The same draws with it and without: their differences hold little noise, so that a move of a tenth of a point is seen."""
    wanted, tables = [], []
    for design in ("leaves", "stays"):
        found = made(design)
        wanted.append(found.implied.xs("change", level="period"))
        own = found.drawn[(found.drawn["period"] == "change") & (found.drawn["arm"] == "contracted")]
        tables.append(own[own["status"] == "ok"].set_index([*KEYS[:-1], "draw"])[list(PARTS)])
    difference = (tables[0] - tables[1]).dropna().groupby(KEYS[:-1])
    full = difference.size() == SEEDS
    mean, error = difference.mean()[full], difference.std(ddof=1)[full] / np.sqrt(SEEDS)
    expected = (wanted[0] - wanted[1]).reindex(mean.index)
    touched = error["between"] > 0  # measures on which the system has a contract
    z = ((mean - expected) / error)[touched].to_numpy()
    assert np.abs(z).max() < stats.t.ppf(1 - UNLIKELY / 2, SEEDS - 1)
    assert mean[~touched].abs().to_numpy().max() == pytest.approx(0, abs=1e-9)
    largest = expected["between"].abs().idxmax()
    assert abs(expected.loc[largest, "between"]) > 0.4
    assert abs(mean.loc[largest, "between"]) > 5 * error.loc[largest, "between"]


def test_members_who_move_change_the_part_between_comparison_systems() -> None:
    """Nobody there has a contract or leaves: what moves is only who is in which system."""
    own = [made(d).implied.xs("change", level="period").xs("comparison", level="arm") for d in ("members move", "leaves")]
    moving, still = own
    assert still.abs().to_numpy().max() < 1e-9
    assert moving["between"].abs().max() > 0.1
