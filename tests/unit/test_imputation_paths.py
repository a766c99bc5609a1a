"""Paths of the imputation estimator: values and joint covariance by dense matrices, sets from them, coverage, refusals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.estimators import imputation
from p4equity.estimators.base import Request
from p4equity.estimators.imputation_paths import ImputationPaths
from p4equity.estimators.tidy import tidy
from p4equity.inference.sensitivity.path import path
from p4equity.inference.sensitivity.sets import Sensitivity

NAMES = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g"}


def panel(seed: int = 0, units: int = 24, missing: float = 0.0, starts: tuple[int, ...] = (4, 5, 6)) -> pd.DataFrame:
    """Half of the units treated from `starts` on, effect 1, pairs of units in a cluster, weights that do not change."""
    rng = np.random.default_rng(seed)
    rows = []
    for u in range(units):
        g = starts[u // 2 % len(starts)] if u < units // 2 else None
        level, w = rng.normal(), rng.integers(1, 6)
        rows += [(u, t, g, u // 2, w, level + 0.3 * t + rng.normal() + float(g is not None and t >= g)) for t in range(9)]
    frame = pd.DataFrame(rows, columns=["u", "t", "g", "c", "w", "y"]).astype({"g": "Int64"})
    return frame[rng.random(len(frame)) >= missing].reset_index(drop=True)


def paths(frame: pd.DataFrame, **options: Any) -> ImputationPaths:
    own = {k: v for k, v in options.items() if k in imputation.OPTIONS}
    rest = {k: v for k, v in options.items() if k not in own}
    request = Request(estimator="imputation", inference=("relative_magnitudes",), own=own, **NAMES, **rest)
    found = imputation.estimate(tidy(frame, request), request).paths
    assert found is not None
    return found


def numbers(found: ImputationPaths, outcome: int = 0, group: str = "all") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Event times, values and covariance of one path, in order."""
    terms = [t for t in found.estimate.terms if t.band and (t.outcome, t.group) == (outcome, group)]
    terms.sort(key=lambda t: t.event_time)
    rows = np.vstack([t.contrast for t in terms])
    scores = found.estimate.influence @ rows.T
    return np.array([t.event_time for t in terms]), rows @ found.estimate.estimates, scores.T @ scores


@dataclass
class ByHand:
    """The same by dense matrices: all rows on units, periods and leads; untreated rows fitted."""

    frame: pd.DataFrame
    weights: str
    cluster: str
    small: bool = False

    def path(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        f = self.frame.sort_values(["u", "t"])
        e = (f["t"] - f["g"]).to_numpy(float, na_value=np.nan)
        y, w = f["y"].to_numpy(float), f[self.weights].to_numpy(float)
        treated = e >= 0
        leads = sorted({v for v in e[~treated & ~np.isnan(e)] if v != -1})
        L = np.column_stack([e == v for v in leads]).astype(float)
        Z = np.hstack([pd.get_dummies(f["u"]).to_numpy(float), pd.get_dummies(f["t"]).to_numpy(float), L])
        A, B = Z[~treated], Z[treated]
        G = np.linalg.pinv(A.T @ (w[~treated, None] * A)) @ (A.T * w[~treated])  # coefficients of untreated outcomes
        rest = y - Z @ (G @ y[~treated])
        n, k = int((~treated).sum()), len(leads) + 1 + f["t"].nunique() - 1
        root = np.sqrt((n - 1) / (n - k)) if self.small else 1.0
        later = sorted(set(e[treated]))
        sums, values = [], []
        for v in leads:
            at = Z.shape[1] - len(leads) + leads.index(v)
            scores = np.zeros(len(y))
            scores[~treated] = root * G[at] * rest[~treated]
            sums.append(scores)
            values.append(float((G @ y[~treated])[at]))
        for v in later:
            own = np.where(e == v, w, 0.0) / w[e == v].sum()
            scores = np.zeros(len(y))
            scores[~treated] = -root * (own[treated] @ B @ G) * rest[~treated]
            for g in f.loc[e == v, "g"].unique():  # residuals from the cohort's own average, by squared weights
                cell = np.asarray((e == v) & (f["g"] == g).to_numpy(bool, na_value=False))
                centre = (own[cell] ** 2 @ rest[cell]) / (own[cell] ** 2).sum()
                own_part = own[cell] ** 2 / (own[cell] ** 2).sum()
                alone = (rest[cell] - centre) / (1 - own_part)  # from the average of the other units
                scores[cell] = own[cell] * (alone if self.small else rest[cell] - centre)
            sums.append(scores)
            values.append(float(own @ rest))
        names = f[self.cluster].to_numpy()
        influence = np.array([[s[names == c].sum() for s in sums] for c in np.unique(names)])
        return np.array([*leads, *later]), np.array(values), influence.T @ influence


@pytest.mark.parametrize(("weights", "cluster", "missing"), [("one", "u", 0.0), ("w", "u", 0.08), ("w", "c", 0.08)])
def test_values_and_joint_covariance_are_those_of_dense_matrices(weights: str, cluster: str, missing: float) -> None:
    frame = panel(3, missing=missing).assign(one=1.0)
    events, values, V = numbers(paths(frame, weights=weights, cluster=cluster, small_sample=False))
    expected = ByHand(frame, weights, cluster).path()
    assert events.tolist() == expected[0].tolist() == [-6, -5, -4, -3, -2, 0, 1, 2, 3, 4]
    assert values == pytest.approx(expected[1], abs=1e-10)
    assert pytest.approx(expected[2], abs=1e-10) == V
    assert np.abs(V[:5, 5:]).max() > 0.02 * np.abs(np.diag(V)).max()  # leads and effects are correlated


def test_sets_are_those_of_the_path_by_hand() -> None:
    frame = panel(4).assign(one=1.0)
    events, values, V = ByHand(frame, "one", "u", small=True).path()
    found = p4equity.fit("imputation", frame, inference=["relative_magnitudes", "smoothness"], bound=[0.5], **NAMES)
    built, reason = path(values, V * 24 / 23, events)
    assert not reason
    for name in ("relative_magnitudes", "smoothness"):
        (expected,) = Sensitivity(built, name, None, 0.95, 23.0).sets([0.5])
        row = found[found["inference"] == name].iloc[0]
        assert (row["conf_low"], row["conf_high"]) == pytest.approx((expected.low, expected.high), abs=1e-6)
        assert row["estimate"] == pytest.approx(values[events >= 0].mean())
        assert row["df"] == 23
    normal = p4equity.fit("imputation", frame, inference="smoothness", bound=[0.5], small_sample=False, **NAMES).iloc[0]
    _, _, plain = ByHand(frame, "one", "u").path()
    (expected,) = Sensitivity(path(values, plain, events)[0], "smoothness", None, 0.95, None).sets([0.5])
    assert (normal["conf_low"], normal["conf_high"]) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_with_one_cohort_the_path_is_the_event_study() -> None:
    frame = panel(5, starts=(5,))
    events, values, _ = numbers(paths(frame))
    rows = p4equity.fit("event_study", frame, inference="none", **NAMES).dropna(subset=["event_time"])
    rows = rows[rows["status"] == "ok"].set_index("event_time")["estimate"]
    assert values == pytest.approx([rows[e] for e in events], abs=1e-10)


def test_effects_are_measured_from_the_same_period_as_leads() -> None:
    """Trends that part by 0.5 a period and no effect: leads and effects lie on one line, as smoothness 0 assumes; the
    estimator's own effects do not lie on the line of its own leads."""
    frame = panel(6)
    event = (frame["t"] - frame["g"]).astype("Float64").fillna(0.0).to_numpy(float)
    frame["y"] = frame["u"] * 0.7 + frame["t"] * 0.2 + 0.5 * event
    frame.loc[frame["g"].isna(), "y"] = frame["u"] * 0.7 + frame["t"] * 0.2
    events, values, _ = numbers(paths(frame))
    assert values == pytest.approx(0.5 * (events + 1), abs=1e-9)
    own = p4equity.fit("imputation", frame, inference="none", horizons=True, **NAMES)
    first = own[(own["event_time"] == 0) & (own["estimand"] == "att")].iloc[0]["estimate"]
    assert first > 0.5 + 0.5  # off by an average of the leads as well


def test_gaps_have_paths_of_each_side_and_their_average_over_groups() -> None:
    rng = np.random.default_rng(8)
    base = panel(8)
    frame = pd.concat([base.assign(r=r, y=base["y"] + rng.normal(size=len(base))) for r in "abc"])
    found = paths(frame, group="r", reference="a")
    gap = {(g, j): numbers(found, j, g)[1] for g in ("b", "c") for j in range(3)}
    for g in ("b", "c"):
        assert gap[g, 0] == pytest.approx(gap[g, 1] - gap[g, 2], abs=1e-10)
    assert numbers(found, 0, "pooled")[1] == pytest.approx((gap["b", 0] + gap["c", 0]) / 2, abs=1e-10)
    triple = paths(frame[frame["r"] != "c"], group="r", reference="a", form="triple_difference")
    assert numbers(triple, 0, "b")[1] == pytest.approx(gap["b", 0], abs=1e-8)


def test_no_path_without_a_period_to_measure_from() -> None:
    frame = panel(9)
    call = {"inference": "relative_magnitudes", **NAMES}
    without = frame[~((frame["t"] - frame["g"]) == -1).fillna(False).astype(bool)]
    rows = p4equity.fit("imputation", without, **call)
    assert rows.iloc[:5]["reason"].str.contains("no treated unit is observed there").all()
    rows = p4equity.fit("imputation", frame[frame["g"].notna()], comparison="not_yet", **call)
    assert rows.iloc[:5]["reason"].str.contains("identify no effect, as without never treated").all()
    rows = p4equity.fit("imputation", frame[(frame["u"] == 0) | frame["g"].isna()], **call)
    assert rows.iloc[:5]["reason"].str.contains("1 treated cluster").all()
    ahead = p4equity.fit("imputation", frame, anticipation=1, bound=[1.0], **call)
    assert ahead.iloc[0]["status"] == "ok"


def test_rows_of_other_inferences_stay_as_they_are() -> None:
    frame = panel(10)
    alone = p4equity.fit("imputation", frame, horizons=[0], pretrends=False, **NAMES)
    both = p4equity.fit(
        "imputation", frame, horizons=[0], pretrends=False, inference=["exact", "pretest_power"], power=[0.5], **NAMES
    )
    pd.testing.assert_frame_equal(both.iloc[: len(alone)], alone, check_dtype=False)
    assert (both.iloc[len(alone) :]["inference"] == "pretest_power").all()
    shuffled = p4equity.fit("imputation", frame.sample(frac=1, random_state=1), inference="smoothness", **NAMES)
    again = p4equity.fit("imputation", frame, inference="smoothness", **NAMES)
    pd.testing.assert_frame_equal(shuffled, again)


@pytest.mark.slow
def test_sets_hold_the_effect_when_trends_part_as_assumed() -> None:
    """Trends part by 0.4 a period, three cohorts of four units; true average over event times is 1."""
    draws, fewer = 400, 100
    straight, bounded, own = [], [], []
    for seed in range(draws):
        frame = panel(seed)
        frame["y"] = frame["y"] + 0.4 * (frame["t"] * frame["g"].notna())
        rows = p4equity.fit("imputation", frame, inference=["exact", "smoothness"], **NAMES)
        own.append(holds(rows.iloc[0]))
        straight.append(holds(rows[rows["estimand"] == "att, smoothness 0"].iloc[0]))
        if seed < fewer:
            bounded.append(
                holds(p4equity.fit("imputation", frame, inference="relative_magnitudes", bound=[1.0], **NAMES).iloc[0])
            )
    # Found: 0.9475 (0.915 with the factor G / (G - 1) alone), 1 and 0.
    assert np.mean(straight) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / draws)
    assert np.mean(bounded) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / fewer)
    assert np.mean(own) < 0.2


def holds(row: pd.Series) -> bool:
    """Whether the limits, missing where unbounded, hold the true effect."""
    return not (row["conf_low"] > 1 or row["conf_high"] < 1)
