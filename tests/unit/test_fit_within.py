"""Weights that count members, and comparisons within levels such as measures: against the regression on rows of members."""

from __future__ import annotations

from typing import Any

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import DataError, UsageError

CALL: dict[str, Any] = {"outcome": "y", "unit": "system", "time": "year", "cohort": "start", "within": "measure"}
TREATED = {"m1": ("s0", "s1", "s2", "s3"), "m2": ("s1", "s2", "s4")}


@pytest.fixture(scope="module")
def members() -> pd.DataFrame:
    """Members of nine systems, two measures, two groups and four years; s4 is contracted on one measure only."""
    rng = np.random.default_rng(7)
    keys = [(m, f"s{s}", g, t) for m in TREATED for s in range(9) for g in ("a", "b") for t in range(2019, 2023)]
    frame = pd.DataFrame([k for k in keys for _ in range(rng.integers(3, 25))], columns=["measure", "system", "group", "year"])
    start = [2021 if s in TREATED[m] else None for m, s in zip(frame["measure"], frame["system"], strict=True)]
    return frame.assign(start=pd.array(start, dtype="Int64"), y=rng.integers(0, 2, len(frame)).astype(float))


@pytest.fixture(scope="module")
def cells(members: pd.DataFrame) -> pd.DataFrame:
    keys = ["measure", "system", "group", "year", "start"]
    return members.groupby(keys, dropna=False, as_index=False).agg(n=("y", "size"), y=("y", "mean"))


def by_dummies(frame: pd.DataFrame, treated: np.ndarray, effects: list[list[str]]) -> tuple[float, float, int]:
    """Coefficient, CR0 error by system and rank of the regression of y on one column and all dummies."""
    D = [pd.get_dummies(frame[e].astype(str).agg(" ".join, axis=1), dtype=float).to_numpy() for e in effects]
    X = np.column_stack([treated, *D])
    inverse = np.linalg.pinv(X.T @ X)
    b = inverse @ X.T @ frame["y"].to_numpy()
    rest = frame["y"].to_numpy() - X @ b
    scores = np.stack([X[rows].T @ rest[rows] for rows in frame.groupby("system").indices.values()])
    return float(b[0]), float(np.sqrt((inverse @ scores.T @ scores @ inverse)[0, 0])), int(np.linalg.matrix_rank(X))


def after(frame: pd.DataFrame) -> np.ndarray:
    return (frame["year"] >= frame["start"]).fillna(False).to_numpy(float)


def answer(estimator: str, frame: pd.DataFrame, **options: Any) -> pd.Series:
    return p4equity.fit(estimator, frame, **{**CALL, **options}).iloc[0]


def test_levels_have_units_and_periods_of_their_own(members: pd.DataFrame, cells: pd.DataFrame) -> None:
    b, se, _ = by_dummies(members, after(members), [["measure", "system"], ["measure", "year"]])
    row = answer("did", cells, weights="n", inference="cr0")
    assert row["estimate"] == pytest.approx(b, abs=1e-12)
    assert row["std_error"] == pytest.approx(se, abs=1e-12)
    assert (row["n_clusters"], row["n_treated_clusters"]) == (9, 5)


def test_a_triple_difference_within_levels(members: pd.DataFrame, cells: pd.DataFrame) -> None:
    effects = [["measure", "system", "group"], ["measure", "system", "year"], ["measure", "group", "year"]]
    b, se, _ = by_dummies(members, after(members) * (members["group"] == "b"), effects)
    row = answer("triple_difference", cells, weights="n", group="group", reference="a", inference="cr0")
    assert row["estimate"] == pytest.approx(-b, abs=1e-12)
    assert row["std_error"] == pytest.approx(se, abs=1e-12)
    gap = answer("did", cells, weights="n", group="group", reference="a", inference="cr0")
    assert gap["estimate"] == pytest.approx(-b, abs=1e-12)
    assert gap["std_error"] == pytest.approx(se, abs=1e-12)


def test_counts_as_weights_give_the_errors_of_members(members: pd.DataFrame, cells: pd.DataFrame) -> None:
    _, se, rank = by_dummies(members, after(members), [["measure", "system"], ["measure", "year"]])
    N, G = len(members), members["system"].nunique()
    row = answer("did", cells, weights="n", weights_type="fweights", inference="cr1", ssc="stata")
    assert row["std_error"] == pytest.approx(se * np.sqrt(G / (G - 1) * (N - 1) / (N - rank)), rel=1e-10)
    rows = answer("did", members, inference="cr1", ssc="stata")
    assert row["std_error"] == pytest.approx(rows["std_error"], rel=1e-12)
    assert answer("did", cells, weights="n", inference="cr1", ssc="stata")["std_error"] > row["std_error"] * 1.01


def test_levels_that_hold_one_measure_change_nothing(cells: pd.DataFrame) -> None:
    one = cells[cells["measure"] == "m1"]
    options = {"weights": "n", "inference": ["cr2", "wild_bootstrap"], "draws": 99}
    with_level = p4equity.fit("did", one, **CALL, **options)
    without = p4equity.fit("did", one, **{k: v for k, v in CALL.items() if k != "within"}, **options)
    pd.testing.assert_frame_equal(with_level, without, rtol=1e-12)


def test_counts_of_gaps_and_of_independent_rows_are_refused(cells: pd.DataFrame) -> None:
    counts = {"weights": "n", "weights_type": "fweights"}
    with pytest.raises(UsageError, match="no members"):
        answer("did", cells, **counts, group="group", reference="a")
    with pytest.raises(UsageError, match="independent rows"):
        answer("did", cells, **counts, inference="hc1")
    with pytest.raises(UsageError, match="without weights"):
        answer("did", cells, weights_type="fweights")
    with pytest.raises(DataError, match="not a whole number"):
        answer("did", cells.assign(n=cells["n"] + 0.5), **counts)
    with pytest.raises(UsageError, match="unknown weights_type 'fweight'"):
        answer("did", cells, weights="n", weights_type="fweight")
    with pytest.raises(UsageError, match="no column 'measures'"):
        answer("did", cells, within="measures")


def test_dates_of_several_levels_are_not_exchanged(cells: pd.DataFrame) -> None:
    row = answer("did", cells, weights="n", inference="permutation")
    assert row["status"] == "not_estimable"
    assert "meta_regression" in row["reason"]
    few = answer("did", cells[cells["system"].isin(["s2", "s6", "s7", "s8"])], weights="n")
    assert few["status"] == "not_estimable"
    assert "treated cluster" in few["reason"]
