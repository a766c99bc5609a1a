"""Sampling covariances from overlap moments against sums over members."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from p4equity.disparity.changes import combine, contrast, gap_changes
from p4equity.disparity.panel import ALL, build_panel, rate_covariance

YEARS = (2021, 2022, 2023)
MEASURES = ("m1", "m2")
GROUPS = ("r", "g")


def members(seed: int = 1) -> pd.DataFrame:
    """Members x measure x year with denominators that come and go and results that persist; two systems."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(1200):
        system, group = f"S{i % 2}", GROUPS[i % 3 == 0]
        level = rng.normal()
        for m in MEASURES:
            for t in YEARS:
                if rng.random() < 0.7:
                    rows.append((i, system, group, m, t, int(level + rng.normal() > 0.2)))
    return pd.DataFrame(rows, columns=["member", "system_id", "group", "measure_id", "year", "y"])


def cells_of(rows: pd.DataFrame) -> pd.DataFrame:
    keys = ["system_id", "measure_id", "group", "year"]
    out = rows.groupby(keys, as_index=False).agg(den=("y", "size"), num=("y", "sum"))
    return out.assign(with_reading=pd.array([pd.NA] * len(out), dtype="Int64"))


def overlap_of(rows: pd.DataFrame) -> pd.DataFrame:
    both = rows.merge(rows, on=["member", "system_id", "group"], suffixes=("_1", "_2"))
    one = list(zip(both["measure_id_1"], both["year_1"], strict=True))
    two = list(zip(both["measure_id_2"], both["year_2"], strict=True))
    both = both[[a <= b for a, b in zip(one, two, strict=True)]]
    both = both.rename(columns={"measure_id_1": "measure_1", "measure_id_2": "measure_2"}).assign(
        yy=lambda f: f["y_1"] * f["y_2"]
    )
    keys = ["system_id", "group", "measure_1", "year_1", "measure_2", "year_2"]
    return both.groupby(keys, as_index=False).agg(
        den_den=("y_1", "size"), num_den=("y_1", "sum"), den_num=("y_2", "sum"), num_num=("yy", "sum")
    )


@pytest.fixture(scope="module")
def data() -> tuple[pd.DataFrame, object]:
    rows = members()
    panel = build_panel(cells_of(rows), overlap_of(rows), measures=MEASURES, groups=GROUPS, systems=("S0", "S1"), years=YEARS)
    return rows, panel


def test_rates_are_sums_over_members(data) -> None:
    rows, panel = data
    for (system, m, g, t), part in rows.groupby(["system_id", "measure_id", "group", "year"]):
        at = (panel.systems.index(system), panel.index(m, g), panel.years.index(t))
        assert panel.rate[at] == pytest.approx(part["y"].mean(), abs=1e-15)


def test_covariance_of_rates_is_that_of_the_members(data) -> None:
    # With one system the pooled covariance of a member's deviations is its own: the sum over members of products of influence.
    rows, _ = data
    own = rows[(rows["system_id"] == "S0")]
    panel = build_panel(cells_of(own), overlap_of(own), measures=MEASURES, groups=GROUPS, systems=("S0",), years=YEARS)
    for g in GROUPS:
        mine = own[own["group"] == g]
        n = mine.groupby(["measure_id", "year"])["y"].transform("size")
        mean = mine.groupby(["measure_id", "year"])["y"].transform("mean")
        influence = mine.assign(f=(mine["y"] - mean) / n).pivot_table(
            index="member", columns=["measure_id", "year"], values="f", fill_value=0.0
        )
        expected = influence.T.dot(influence)
        for a in MEASURES:
            for b in MEASURES:
                found = rate_covariance(panel, 0, g, a, b)
                np.testing.assert_allclose(found, expected.loc[a, b].to_numpy(), atol=1e-15)


def test_gap_is_reference_minus_group_and_sides_add_up(data) -> None:
    _, panel = data
    windows = {s: ([2021, 2022], [2023]) for s in panel.systems}
    changes = gap_changes(panel, [("m1", "g"), ("m2", "g")], "r", windows, ["S1"], 5)
    np.testing.assert_allclose(changes.gap, changes.reference - changes.group, atol=1e-15)
    np.testing.assert_allclose(changes.gap_covariance, changes.reference_covariance + changes.group_covariance, atol=1e-18)
    rate = panel.rate[:, panel.index("m1", "g")]
    raw = rate[:, 2] - rate[:, :2].mean(axis=1)
    assert changes.group[0, 0] - changes.group[1, 0] == pytest.approx(raw[0] - raw[1], abs=1e-15)


def test_a_system_with_fewer_years_is_compared_with_those_years(data) -> None:
    _, panel = data
    windows = {"S0": ([2021], [2023]), "S1": ([2021, 2022], [2023])}
    changes = gap_changes(panel, [("m1", "g")], "r", windows, ["S1"], 5)
    gap = panel.rate[:, panel.index("m1", "r")] - panel.rate[:, panel.index("m1", "g")]
    expected = (gap[0, 2] - gap[0, 0]) - (gap[1, 2] - gap[1, 0])
    assert changes.gap[0, 0] == pytest.approx(expected, abs=1e-15)


def test_too_small_denominators_are_reported(data) -> None:
    _, panel = data
    windows = {s: ([2021], [2023]) for s in panel.systems}
    changes = gap_changes(panel, [("m1", "g")], "r", windows, ["S1"], 10_000)
    assert np.isnan(changes.gap).all()
    assert [d[0] for d in changes.dropped] == ["S0", "S1"]


def test_combined_series_carry_their_covariance(data) -> None:
    _, panel = data
    windows = {s: ([2021, 2022], [2023]) for s in panel.systems}
    changes = gap_changes(panel, [("m1", "g"), ("m2", "g")], "r", windows, ["S1"], 5)
    mean, variance = combine(changes, {0: 1.0, 1: 1.0}, "gap")
    np.testing.assert_allclose(mean, changes.gap.mean(axis=1))
    np.testing.assert_allclose(variance, changes.gap_covariance.mean(axis=(1, 2)))


def test_contrast_weights_sum_to_zero_or_are_none() -> None:
    usable = np.array([True, False, True])
    weights = contrast(YEARS, [2021, 2022], [2023], usable)
    np.testing.assert_allclose(weights, [-1, 0, 1])
    assert contrast(YEARS, [2022], [2023], usable) is None


def test_every_member_is_in_all(data) -> None:
    rows, panel = data
    assert panel.den[:, panel.index("m1", ALL)].sum() == (rows["measure_id"] == "m1").sum()
