"""Two-way clustering against brute force on rows, and its words in `fit`."""

from __future__ import annotations

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import UsageError
from p4equity.inference.two_way import two_way_covariance, two_way_moments

PLAIN = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g"}


def panel(seed: int = 0, units: int = 12, missing: bool = True) -> pd.DataFrame:
    """Units in states over years, a few rows missing; a shock to every year and to every state."""
    rng = np.random.default_rng(seed)
    rows = [(u, u % 6, t, 2014.0 if u % 6 < 3 else None) for u in range(units) for t in range(2010, 2018)]
    out = pd.DataFrame(rows, columns=["u", "s", "t", "g"])
    out = out.assign(x=rng.normal(size=len(out)), w=rng.integers(5, 60, len(out)), y=rng.normal(size=len(out)))
    out["y"] += out["x"] + rng.normal(size=6)[out["s"]] * (out["t"] > 2013) + 0.3 * (out["t"] >= out["g"])
    return out[rng.random(len(out)) > 0.1] if missing else out


def dense(frame: pd.DataFrame, columns: list[str], first: str, second: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Coefficients of the named columns, and the three CR0 variances of them, with all dummies in one matrix."""
    D = np.column_stack([frame[columns], *(pd.get_dummies(frame[c]).to_numpy(float) for c in ("u", "t"))])
    w = frame["w"].to_numpy(float)
    M = np.linalg.pinv((D * w[:, None]).T @ D, rcond=1e-12)
    b = M @ (D * w[:, None]).T @ frame["y"]
    scores = D * (w * (frame["y"].to_numpy() - D @ b))[:, None]
    parts = []
    for key in (frame[first], frame[second], frame[first].astype(str) + "|" + frame[second].astype(str)):
        sums = np.stack([scores[(key == level).to_numpy()].sum(axis=0) for level in key.unique()])
        parts.append((M @ sums.T @ sums @ M)[: len(columns), : len(columns)])
    return b[: len(columns)], parts


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_three_one_way_variances(seed: int) -> None:
    frame = panel(seed).assign(d=lambda f: (f["t"] >= f["g"]).astype(float))
    b, (one, two, both) = dense(frame, ["d", "x"], "s", "t")
    codes = [pd.factorize(frame[c])[0] for c in ("u", "t")]
    m = two_way_moments(frame[["d", "x"]], frame["y"], frame["s"], frame["t"], weights=frame["w"], effects=codes)[0]
    V, reason, warning = two_way_covariance(m, np.eye(2), "CR0")
    assert (reason, warning) == ("", "")
    np.testing.assert_allclose(V, one + two - both, rtol=1e-9)
    n, pairs = len(frame), len(frame[["s", "t"]].drop_duplicates())
    k = 2 + 1  # both effects are nested, units in states and periods in themselves; the constant counts
    small = (n - 1) / (n - k)
    for word, factors in (("min", [6 / 5] * 3), ("conventional", [6 / 5, 8 / 7, pairs / (pairs - 1)])):
        V, _, _ = two_way_covariance(m, np.eye(2), "CR1", g_df=word)
        np.testing.assert_allclose(V, small * sum(f * p for f, p in zip(factors, (one, two, -both), strict=True)), rtol=1e-9)
    out = p4equity.fit("did", frame, **PLAIN, weights="w", covariates="x", cluster=["s", "t"], inference=["cr0", "cr1"])
    assert out["estimate"].to_numpy() == pytest.approx([b[0]] * 2, rel=1e-9)
    assert out["std_error"].iloc[0] == pytest.approx(np.sqrt((one + two - both)[0, 0]), rel=1e-9)
    assert out["std_error"].iloc[1] == pytest.approx(np.sqrt(small * 6 / 5 * (one + two - both)[0, 0]), rel=1e-9)
    assert list(out["df"]) == [5, 5]


def test_the_order_of_the_two_columns_and_of_the_rows_is_free() -> None:
    frame = panel(3)
    options = {**PLAIN, "weights": "w", "inference": "cr1"}
    a = p4equity.fit("did", frame, cluster=["s", "t"], **options).iloc[0]
    b = p4equity.fit("did", frame.sample(frac=1, random_state=0), cluster=["t", "s"], **options).iloc[0]
    assert a["std_error"] == pytest.approx(b["std_error"], rel=1e-12)
    half = frame.assign(w=frame["w"] / 2)
    c = p4equity.fit("did", pd.concat([half, half]), cluster=["s", "t"], ssc="none", **options).iloc[0]
    assert c["std_error"] == pytest.approx(
        p4equity.fit("did", frame, cluster=["s", "t"], ssc="none", **options)["std_error"].iloc[0], rel=1e-9
    )


def test_a_second_column_that_repeats_the_first_is_one_way() -> None:
    frame = panel(4).assign(again=lambda f: "r" + f["s"].astype(str))
    options = {**PLAIN, "weights": "w", "inference": ["cr0", "cr1"]}
    one = p4equity.fit("did", frame, cluster="s", **options)
    two = p4equity.fit("did", frame, cluster=["s", "again"], **options)
    np.testing.assert_allclose(two["std_error"], one["std_error"], rtol=1e-9)
    pd.testing.assert_frame_equal(p4equity.fit("did", frame, cluster=["s"], **options), one)


def test_negative_eigenvalues_are_set_to_zero_and_said() -> None:
    seen = 0
    for seed in range(40):
        frame = panel(seed, missing=False).assign(d=lambda f: (f["t"] >= f["g"]).astype(float), z=lambda f: f["x"] ** 2)
        _, (one, two, both) = dense(frame, ["d", "x", "z"], "s", "t")
        values, vectors = np.linalg.eigh(one + two - both)
        codes = [pd.factorize(frame[c])[0] for c in ("u", "t")]
        m = two_way_moments(frame[["d", "x", "z"]], frame["y"], frame["s"], frame["t"], weights=frame["w"], effects=codes)[0]
        V, reason, warning = two_way_covariance(m, np.eye(3)[1:2], "CR0")
        if reason:
            continue
        repaired = (vectors * np.maximum(values, 1e-16)) @ vectors.T
        assert float(V[0, 0]) == pytest.approx(repaired[1, 1], rel=1e-8)
        assert ("not positive definite" in warning) == (values[0] < 0)
        seen += values[0] < 0
    assert seen > 3


def test_what_has_no_two_way_answer_says_so() -> None:
    frame = panel(5)
    both = {**PLAIN, "cluster": ["s", "t"]}
    out = p4equity.fit("did", frame, **both, inference=["cr2", "cr3", "wild_bootstrap", "none"]).set_index("inference")
    assert list(out["status"]) == ["not_estimable"] * 3 + ["ok"]
    assert out["reason"].iloc[:3].str.contains("two-way clustering has CR0 and CR1 only").all()
    path = p4equity.fit("event_study", panel(5, missing=False), **both)
    assert set(path["inference"]) == {"cr1"}
    assert "one way of clustering" in path.set_index("estimand").loc["pretrend", "reason"]
    # With one cohort every event time is a period, whose scores sum to zero: years leave no variance to add.
    assert path.loc[path["event_time"].notna(), "reason"].str.contains("no variance of its own").all()
    single = p4equity.fit("did", frame.assign(one=1), **PLAIN, cluster=["s", "one"]).iloc[0]
    assert "one cluster only" in single["reason"]
    flat = p4equity.fit("did", frame.assign(y=0.0), **both).iloc[0]
    assert "no variation" in flat["reason"]


@pytest.mark.parametrize(
    ("cluster", "problem"),
    [([], "one or two"), (["s", "s"], "one or two"), (["s", "t", "u"], "one or two"), (["s", "nowhere"], "no column 'nowhere'")],
)
def test_clusters_that_cannot_be_used(cluster: list[str], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        p4equity.fit("did", panel(), **PLAIN, cluster=cluster)


def test_estimators_without_two_way_clustering_and_unknown_words() -> None:
    with pytest.raises(UsageError, match="two-way clustering is not available here"):
        p4equity.fit("meta_regression", panel(), **PLAIN, cluster=["s", "t"])
    with pytest.raises(UsageError, match="g_df"):
        p4equity.fit("did", panel(), **PLAIN, cluster=["s", "t"], g_df="max")
    with pytest.raises(UsageError, match="df"):
        p4equity.fit("did", panel(), **PLAIN, df="infinite")


def test_the_gap_with_two_ways_equals_the_triple_difference() -> None:
    rng = np.random.default_rng(9)
    frame = pd.concat([panel(6).assign(r=r, y=lambda f: f["y"] + rng.normal(size=len(f))) for r in ("a", "b")])
    options = {**PLAIN, "weights": "w", "group": "r", "reference": "a", "cluster": ["s", "t"], "inference": "cr0"}
    gap, triple = (p4equity.fit(id, frame, **options).iloc[0] for id in ("did", "triple_difference"))
    assert triple["estimate"] == pytest.approx(gap["estimate"], abs=1e-12)
    assert triple["std_error"] == pytest.approx(gap["std_error"], rel=1e-9)
