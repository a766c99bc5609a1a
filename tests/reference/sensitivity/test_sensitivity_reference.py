"""Sensitivity sets against every row of R HonestDiD's output, and its published Medicaid example."""

from __future__ import annotations

from pathlib import Path as File

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.estimators.linear import codes, pad, regress
from p4equity.inference.cluster_robust import covariance
from p4equity.inference.sensitivity.path import Path, path
from p4equity.inference.sensitivity.sets import REACH, Sensitivity

HERE = File(__file__).parent
EXPECTED = pd.read_csv(HERE / "expected.csv")
GAP, TRIPLE = "hs_common_system_year gap", "hs_common triple difference"
METHODS = {"C-LF": "hybrid", "Conditional": "conditional", "FLCI": "fixed_length"}
RESTRICTIONS = {"DeltaRM": "relative_magnitudes", "DeltaSD": "smoothness"}
TIMES = np.array([-5.0, -4, -3, -2, 0, 1, 2])


@pytest.fixture(scope="module")
def gap() -> pd.DataFrame:
    frame = pd.read_csv(HERE.parent / "event_study" / "hs_common_system_year.csv")
    return frame.assign(cohort=frame["first_treat"].where(frame["treated"] == 1))


@pytest.fixture(scope="module")
def paths(gap: pd.DataFrame) -> dict[tuple[str, str], Path]:
    """Coefficients and fixest-style covariance of the two event studies, for the first and the average effect."""
    both = {}
    cells = pd.read_csv(HERE.parent / "triple_difference" / "hs_common.csv").assign(w=lambda d: d["n"], y=lambda d: d["rate"])
    minority = (cells["race"] != "White").astype(float)
    plain = gap.assign(w=1.0, y=gap["gap"])
    effects = {
        GAP: (plain, np.ones(len(plain)), [codes(plain["system"]), codes(plain["year"])]),
        TRIPLE: (
            cells,
            minority.to_numpy(),
            [codes(cells["system"], cells["race"]), codes(cells["race"], cells["year"]), codes(cells["system"], cells["year"])],
        ),
    }
    for name, (frame, flag, codes_) in effects.items():
        event = np.where(frame["treated"] == 1, frame["year"] - frame["first_treat"], -1)
        X = np.stack([(event == e) * flag * (frame["treated"] == 1) for e in TIMES], axis=1).astype(float)
        fit = regress(
            frame[["y"]].to_numpy(float),
            X,
            np.zeros((len(frame), 0)),
            effects=codes_,
            cluster=frame["system"].to_numpy(),
            weights=frame["w"].to_numpy(float),
            names=[f"{e:+.0f}" for e in TIMES],
            n_obs=len(frame),
        )
        V, reason = covariance(fit.moments[0], pad(np.eye(len(TIMES)), len(fit.moments[0].design.names)), "CR1", "fixest")
        assert not reason
        for target, average in (("first", [0]), ("average", None)):
            both[name, target], reason = path(fit.coefficients[: len(TIMES), 0], V, TIMES, average=average)
            assert not reason
    return both


def rows(*estimators: str) -> list[tuple[str, ...]]:
    found = EXPECTED[EXPECTED["estimator"].isin(estimators)]
    return [tuple(map(str, key)) for key in found[["dataset", "target", "estimator", "vcov"]].drop_duplicates().to_numpy()]


def test_every_row_is_compared() -> None:
    assert sum(len(select(*key)) for key in rows("original", "DeltaRM", "DeltaSD")) == len(EXPECTED) == 50


def select(dataset: str, target: str, estimator: str, vcov: str) -> pd.DataFrame:
    columns = EXPECTED[["dataset", "target", "estimator", "vcov"]]
    return EXPECTED[(columns == [dataset, target, estimator, vcov]).all(axis=1)]


@pytest.mark.parametrize("key", rows("original"))
def test_the_interval_under_parallel_trends_equals_r(paths: dict[tuple[str, str], Path], key: tuple[str, ...]) -> None:
    found, (_, row) = paths[key[0], key[1]], next(select(*key).iterrows())
    half = 1.959963984540054 * found.std_error
    assert found.target - half == pytest.approx(row["ci_low"], abs=1e-8)
    assert found.target + half == pytest.approx(row["ci_high"], abs=1e-8)


@pytest.mark.parametrize("key", rows("DeltaRM", "DeltaSD"))
def test_sets_equal_r(paths: dict[tuple[str, str], Path], key: tuple[str, ...]) -> None:
    expected, found = select(*key), paths[key[0], key[1]]
    sensitivity = Sensitivity(found, RESTRICTIONS[key[2]], METHODS[key[3]])
    for row, ours in zip(expected.to_dict("records"), sensitivity.sets(expected["bound"].tolist()), strict=True):
        half = (row["ci_high"] - row["ci_low"]) / 2
        close = 2e-3 * half if key[3] == "FLCI" else 1e-3 * 2 * REACH * found.std_error / 999
        assert ours.low == pytest.approx(row["ci_low"], abs=close), row["row"]
        if "truncated" in str(row["other"]):
            assert np.isinf(ours.high), row["row"]
            assert row["ci_high"] == pytest.approx(REACH * found.std_error)
        else:
            assert ours.high == pytest.approx(row["ci_high"], abs=close), row["row"]


@pytest.mark.parametrize("target", ["first", "average"])
def test_fit_gives_the_same_sets(gap: pd.DataFrame, target: str) -> None:
    rows = p4equity.fit(
        "event_study",
        gap,
        outcome="gap",
        unit="system",
        time="year",
        cohort="cohort",
        inference=["relative_magnitudes", "smoothness"],
        variance="cr1",
        small_sample=False,
        set_method="hybrid",
        average=[0] if target == "first" else None,
        bound=[0.5, 1, 1.5, 2],
    )
    expected = select(GAP, target, "DeltaRM", "C-LF")
    ours = rows[(rows["inference"] == "relative_magnitudes") & (rows["interval"] == "sensitivity")]
    assert ours["estimand"].tolist() == [f"att, relative magnitudes {b}" for b in ("0.5", "1", "1.5", "2")]
    assert ours["conf_low"].tolist() == pytest.approx(expected["ci_low"].tolist(), abs=1e-8)
    assert ours["conf_high"].tolist() == pytest.approx(expected["ci_high"].tolist(), abs=1e-8)
    last = rows[rows["estimand"] == "att, relative magnitudes breakdown"].iloc[0]
    inside = expected["bound"][expected["ci_low"] > 0].max() if (expected["ci_low"] > 0).any() else 0.0
    assert inside <= last["estimate"] <= expected["bound"][expected["ci_low"] <= 0].min()


# HonestDiD's documentation (README), Medicaid expansion and insurance coverage, effect in the first year, three digits.
PUBLISHED = {0.5: (0.0240, 0.0672), 1.0: (0.0170, 0.0720), 1.5: (0.00824, 0.0797), 2.0: (-0.000916, 0.0881)}
PUBLISHED_SMOOTH = {
    **{0.0: (0.0259, 0.0607), 0.01: (0.0132, 0.0787), 0.02: (0.00286, 0.0907)},
    **{0.03: (-0.00714, 0.101), 0.04: (-0.0171, 0.111), 0.05: (-0.0271, 0.121)},
}


def test_the_published_medicaid_example() -> None:
    table = pd.read_csv(HERE / "medicaid.csv")
    V = table.filter(like="cov").to_numpy()
    found, reason = path(table["estimate"], V, table["event_time"].astype(float), average=[0])
    assert not reason
    sets, smooth = Sensitivity(found, "relative_magnitudes"), Sensitivity(found, "smoothness")
    for bound, (low, high) in PUBLISHED.items():
        assert sets.set_at(bound).low == pytest.approx(low, abs=5e-5)
        assert sets.set_at(bound).high == pytest.approx(high, abs=5e-5)
    for bound, (low, high) in PUBLISHED_SMOOTH.items():
        assert smooth.set_at(bound).low == pytest.approx(low, abs=1e-4)
        assert smooth.set_at(bound).high == pytest.approx(high, abs=5e-4 if high > 0.1 else 1e-4)
    assert 1.5 < sets.breakdown() < 2.0
