"""Cell draws for recovery simulations: the right mean, the right covariance, the planted effect, and fast."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from p4equity.study import Study
from p4equity.synthetic.cell_draws import CellSampler, draw_cells

Query = Callable[[str], pd.DataFrame]
SYSTEM_YEAR = ["system_id", "measure_id", "group", "year"]


@pytest.fixture(scope="module")
def tables(query: Query) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells and overlap moments of two streams in the layout of tier B, counted from the extract."""
    base = """WITH e AS (SELECT member_id, measure_id, year, numerator::INT AS y, has_reading::INT AS r, system_id, g
        FROM measure_event JOIN attribution USING (member_id, year) JOIN grp USING (member_id)
        WHERE denominator AND system_id IS NOT NULL AND measure_id IN ('CBP', 'HBD_CTRL')) """
    cells = query(
        base
        + """SELECT 'baseline' AS map, 'frozen' AS race_version, system_id, 'P' || (year % 2) AS practice_id, measure_id,
        g AS "group", year, 'all' AS stratum, count(*) AS den, sum(y) AS num, sum(r) AS with_reading FROM e GROUP BY ALL"""
    )
    overlap = query(
        base
        + """SELECT a.system_id, a.g AS "group", a.measure_id AS measure_1, a.year AS year_1, b.measure_id AS measure_2,
        b.year AS year_2, count(*) AS den_den, sum(a.y) AS num_den, sum(b.y) AS den_num, sum(a.y * b.y) AS num_num
        FROM e a JOIN e b ON a.member_id = b.member_id AND a.system_id = b.system_id
        AND (a.measure_id < b.measure_id OR (a.measure_id = b.measure_id AND a.year <= b.year)) GROUP BY ALL"""
    )
    return cells, overlap


@pytest.fixture(scope="module")
def sampler(study: Study, tables: tuple[pd.DataFrame, pd.DataFrame]) -> CellSampler:
    return CellSampler(study, *tables, scenario="clean", seed=7)


@pytest.fixture(scope="module")
def draws(sampler: CellSampler) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.array([sampler.draw(rng)[0]["num"].to_numpy() for _ in range(600)], dtype=float)


def test_practices_are_summed(tables: tuple[pd.DataFrame, pd.DataFrame], sampler: CellSampler) -> None:
    cells = tables[0].groupby(SYSTEM_YEAR)["den"].sum()
    pd.testing.assert_series_equal(sampler.cells.set_index(SYSTEM_YEAR)["den"].astype("int64"), cells.astype("int64"))
    assert list(sampler.cells.columns) == list(tables[0].columns)


def test_effect_is_recovered_on_average(study: Study, sampler: CellSampler, draws: np.ndarray) -> None:
    rate = pd.DataFrame(100 * draws.mean(axis=0) / sampler.cells["den"].to_numpy(dtype=float), columns=["r"])
    table = pd.concat([sampler.cells[SYSTEM_YEAR], rate], axis=1).set_index(SYSTEM_YEAR)["r"]

    def change(system: str, measure: str, group: str) -> float:
        gap = [table[(system, measure, "white", y)] - table[(system, measure, group, y)] for y in study.years]
        value = dict(zip(study.years, gap, strict=True))
        return float(np.mean([value[y] for y in (2023, 2024, 2025)]) - np.mean([value[y] for y in study.baseline.pre_years]))

    for system in ("S01", "S02", "S04", "S05"):
        assert change(system, "CBP", "black") == pytest.approx(-4.0, abs=0.6)
        assert change(system, "CBP", "asian") == pytest.approx(0.0, abs=0.9)
    assert change("S07", "CBP", "black") == pytest.approx(0.0, abs=0.6)
    assert change("S02", "HBD_CTRL", "black") == pytest.approx(0.0, abs=1.0)


def test_variance_is_sampling_plus_shocks(sampler: CellSampler, draws: np.ndarray) -> None:
    cells = sampler.cells
    rows = (cells["measure_id"] == "CBP") & (cells["group"] == "black") & (cells["system_id"] == "S01")
    n = cells.loc[rows, "den"].to_numpy(dtype=float)
    p = draws[:, rows].mean(axis=0) / n
    shocks = (1.0**2 + 0.7**2) / 1e4  # level and gap shocks, points squared
    expected = p * (1 - p) / n + shocks
    np.testing.assert_allclose((draws[:, rows] / n).var(axis=0), expected, rtol=0.3)
    seen = (draws[:, rows] / n).var(axis=0).mean() / expected.mean()
    assert 0.88 < seen < 1.12


def test_overlap_moments_agree_with_the_cells(sampler: CellSampler) -> None:
    cells, overlap = sampler.draw(np.random.default_rng(2))
    num = cells.set_index(SYSTEM_YEAR)["num"]
    own = overlap[(overlap["measure_1"] == overlap["measure_2"]) & (overlap["year_1"] == overlap["year_2"])]
    keys = pd.MultiIndex.from_frame(own[["system_id", "measure_1", "group", "year_1"]])
    for column in ("num_den", "den_num", "num_num"):
        assert (own[column].to_numpy() == num.reindex(keys).to_numpy()).all()
    assert (overlap["num_num"] <= overlap[["num_den", "den_num"]].min(axis=1)).all()
    assert (overlap["num_den"] <= overlap["den_den"]).all()
    assert (overlap["num_num"] >= 0).all()
    assert (cells["num"] <= cells["den"]).all()
    assert (cells["with_reading"] >= cells["num"]).all()
    assert (overlap["den_den"] == sampler.overlap["den_den"]).all()


def test_years_covary_as_members_persist(sampler: CellSampler) -> None:
    """Joint numerators follow the persistence that the extract itself has."""
    real, drawn = sampler.overlap, sampler.draw(np.random.default_rng(3))[1]
    rows = (real["measure_1"] == "HBD_CTRL") & (real["measure_2"] == "HBD_CTRL") & (real["year_2"] == real["year_1"] + 1)

    def correlation(table: pd.DataFrame) -> float:
        total = table.loc[rows, ["den_den", "num_den", "den_num", "num_num"]].sum()
        p, q, both = (total[c] / total["den_den"] for c in ("num_den", "den_num", "num_num"))
        return float((both - p * q) / np.sqrt(p * (1 - p) * q * (1 - q)))

    assert correlation(drawn) == pytest.approx(correlation(real), abs=0.06)


def test_draws_differ_by_generator_only(study: Study, tables: tuple[pd.DataFrame, pd.DataFrame], sampler: CellSampler) -> None:
    first = draw_cells(study, *tables, np.random.default_rng(5), seed=7)
    pd.testing.assert_frame_equal(first, sampler.draw(np.random.default_rng(5))[0])
    assert not first.equals(sampler.draw(np.random.default_rng(6))[0])


def test_noise_selection_is_drawn_anew(study: Study, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    noisy = CellSampler(study, *tables, scenario="noise_selected_baselines", seed=7)
    calm = CellSampler(study, *tables, scenario="clean", seed=7)
    rng = np.random.default_rng(8)
    difference = np.mean([noisy.draw(rng)[0]["num"].to_numpy() - calm.draw(rng)[0]["num"].to_numpy() for _ in range(80)], axis=0)
    cells = calm.cells.assign(points=100 * difference / calm.cells["den"].to_numpy(dtype=float))
    cells = cells[(cells["measure_id"] == "CBP") & (cells["group"] == "black") & (cells["system_id"] == "S01")].set_index("year")
    assert cells.loc[2021, "points"] == pytest.approx(-6.5, abs=1.5)
    assert abs(cells.loc[2022, "points"]) < 1.5


def test_a_draw_is_cheap(sampler: CellSampler) -> None:
    rng = np.random.default_rng(9)
    best = min(_seconds(sampler, rng) for _ in range(10))
    assert best < 0.02


def _seconds(sampler: CellSampler, rng: np.random.Generator) -> float:
    began = time.process_time()
    sampler.draw(rng)
    return time.process_time() - began
