"""Drawn assignments follow from the data alone: neither names of units, clusters and strata nor the order of rows move them."""

from __future__ import annotations

import hypothesis
import numpy as np
import p4equity
import pandas as pd
import pytest
from hypothesis import strategies as st
from p4equity.inference.canonical import order_of_holders, order_of_units
from reassignment_panel import OPTIONS, panel


def named_anew(frame: pd.DataFrame, seed: int, columns: tuple[str, ...] = ("u",)) -> pd.DataFrame:
    """The frame with other names for the labels of some columns, and its rows in another order."""
    rng = np.random.default_rng(seed)
    out = frame.copy()
    for column in columns:
        labels = sorted(frame[column].unique())
        out[column] = frame[column].map(
            dict(zip(labels, rng.permutation([f"n{i:02d}" for i in range(len(labels))]), strict=True))
        )
    return out.sample(frac=1, random_state=seed)


CALLS = {
    "did": {"weights": "w", "covariates": "x"},
    "did, strata": {"strata": "s"},
    "did, changes": {"strata": "s"},
    "event_study": {"weights": "w", "bin_below": -3, "bin_above": 2},
    "meta_regression": {"strata": "s"},
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("case", CALLS)
def test_drawn_assignments_depend_neither_on_names_nor_on_the_order_of_rows(case: str, seed: int) -> None:
    one = case in ("did, changes", "meta_regression")
    frame = panel(seed, (2014, 2014, 2014, 2014, *[2014 if one else 2016] * 3, *[None] * 9))
    frame["s"] = np.where(frame["u"].str[1:].astype(int) % 3 == 0, "north", "south")
    options = {**OPTIONS, **CALLS[case], "inference": ["permutation", "permutation_studentized"], "limit": 300}
    expected = p4equity.fit(case.split(",")[0], frame, **options)
    assert any("drawn" in text for text in expected.attrs["warnings"])
    for other in (3, 4):
        moved = named_anew(frame, other, ("u", "s"))
        found = p4equity.fit(case.split(",")[0], moved, **options)
        pd.testing.assert_frame_equal(found, expected, rtol=1e-9)


def test_units_of_equal_data_are_exchangeable_also_with_different_dates() -> None:
    # Four paths, each of four units: with one date their names alone tell them apart.
    frame = panel(3, (2014, 2014, 2016, 2016, *[None] * 12)).assign(y=lambda f: np.round(3 * f["y"]), w=1)
    first = frame["u"].str[1:].astype(int)
    same = frame.assign(y=frame.groupby([first % 4, "t"])["y"].transform("first"))
    options = {**OPTIONS, "weights": "w", "inference": ["permutation", "permutation_studentized"], "limit": 300}
    expected = p4equity.fit("did", same, **options)
    for other in (3, 4, 5):
        pd.testing.assert_frame_equal(p4equity.fit("did", named_anew(same, other), **options), expected, rtol=1e-9)


def test_clusters_of_several_units_are_ordered_by_what_they_hold() -> None:
    frame = pd.concat([panel(k, (2014, 2014, 2016, *[None] * 11)).assign(u=lambda f, k=k: f["u"] + f"-{k}") for k in range(3)])
    frame["c"] = frame["u"].str.split("-").str[0]
    kept = ~(frame["c"].isin(["u3", "u0"]) & frame["u"].str.endswith("2"))
    options = {**OPTIONS, "parent": "c", "weights": "w", "inference": "permutation", "limit": 300}
    expected = p4equity.fit("did", frame[kept], **options)
    assert any("drawn" in text for text in expected.attrs["warnings"])
    for other in (3, 4):
        found = p4equity.fit("did", named_anew(frame[kept], other, ("u", "c")), **options)
        pd.testing.assert_frame_equal(found, expected, rtol=1e-9)


def contents(rows: np.ndarray, unit: np.ndarray, holder: np.ndarray, strata: np.ndarray) -> list[object]:
    """What holders hold, and which share a stratum, in the order found; units as sorted rows, holders as sorted units."""
    order = order_of_holders(rows, unit, holder, strata)
    units = {h: [sorted(map(tuple, rows[unit == u])) for u in np.unique(unit[holder == h])] for h in order.tolist()}
    seen = list(dict.fromkeys(strata[order].tolist()))
    return [(sorted(units[h]), seen.index(strata[h])) for h in order.tolist()]


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(st.integers(0, 10**6))
def test_any_names_and_any_order_of_rows_give_the_same_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    of_unit, of_holder = rng.integers(0, 6, 14), rng.integers(0, 3, 6)  # few values, so that there are ties at every level
    of_unit[:6], of_holder[:3] = np.arange(6), np.arange(3)
    unit = rng.integers(0, 14, 40)
    unit[:14] = np.arange(14)
    rows, holder = rng.integers(0, 2, (40, 2)).astype(float), of_unit[unit]
    expected = contents(rows, unit, holder, of_holder)
    turn, units, holders, strata = (rng.permutation(n) for n in (40, 14, 6, 3))
    renamed = np.empty(6, np.int64)
    renamed[holders] = strata[of_holder]
    assert contents(rows[turn], units[unit[turn]], holders[holder[turn]], renamed) == expected


def test_orders_follow_from_values_then_strata() -> None:
    values = np.array([[2.0, 1.0], [1.0, np.nan], [1.0, 5.0], [2.0, 1.0], [0.0, 0.0]])
    assert order_of_units(values).tolist() == [4, 2, 1, 0, 3]
    # Stratum 7 holds two units, stratum 3 three: the smaller one first, whatever its code.
    assert order_of_units(values, np.array([7, 3, 3, 7, 3])).tolist() == [0, 3, 4, 2, 1]
    # Holder 0: units {1} and {2, 5}; holder 1: {1} and {2, 4}; holder 2: {1} alone.
    rows = np.array([[1.0], [2.0], [5.0], [1.0], [4.0], [2.0], [1.0]])
    unit, holder = np.array([0, 1, 1, 2, 3, 3, 4]), np.array([0, 0, 0, 1, 1, 1, 2])
    assert order_of_holders(rows, unit, holder).tolist() == [2, 1, 0]


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_values_that_differ_by_rounding_alone_are_in_one_order(scale: float) -> None:
    """The first column is equal but for the last digit, which another processor rounds otherwise: the second one decides."""
    rng, second = np.random.default_rng(3), np.array([5.0, 3.0, 4.0, 1.0, 2.0])
    for _ in range(20):
        first = scale * (7.3 + rng.choice([-1e-15, 0.0, 1e-15], 5))
        assert order_of_units(np.column_stack([first, second])).tolist() == [3, 4, 1, 2, 0]
