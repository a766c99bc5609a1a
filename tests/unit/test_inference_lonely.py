"""Coefficients that one cluster alone identifies: what CR2 answers, against Moore-Penrose adjustment in N x N space."""

from __future__ import annotations

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.inference.cluster_robust import contrast_test, unseen
from p4equity.inference.joint import joint_test
from p4equity.inference.moments import ClusterMoments, cluster_moments
from scipy import stats

LAST = 2  # event time that one unit alone reaches


def panel(seed: int = 0) -> pd.DataFrame:
    """Ten units in seven periods, five of them treated in period 5; one, treated a period earlier, alone has event time 2."""
    rng = np.random.default_rng(seed)
    rows = [(u, t, 4.0 if u == 0 else 5.0 if u < 6 else np.nan) for u in range(12) for t in range(7)]
    out = pd.DataFrame(rows, columns=["u", "t", "g"])
    return out.assign(y=rng.normal(size=len(out)) + 0.1 * out["u"])


def events(frame: pd.DataFrame) -> tuple[np.ndarray, list[float]]:
    event = frame["t"] - frame["g"]
    levels = [e for e in sorted(event.dropna().unique()) if e != -1]
    return np.column_stack([(event == e).astype(float) for e in levels]), levels


def moments(frame: pd.DataFrame) -> ClusterMoments:
    u, t = frame["u"].to_numpy(), frame["t"].to_numpy()
    return cluster_moments(events(frame)[0], frame["y"], u, effects=[u, t])[0]


def dense(frame: pd.DataFrame, contrast: np.ndarray) -> tuple[float, float, float, float]:
    """Estimate, CR2 error, Satterthwaite df, and share of the working variance that CR2 expects, rows and dummies in full.

    Pustejovsky and Tipton (2018), equations 7 to 11: A_g is the Moore-Penrose inverse root of (I - H)_gg.
    """
    X = events(frame)[0]
    D = np.hstack([X, *(pd.get_dummies(frame[c]).to_numpy(float) for c in ("u", "t"))])
    M = np.linalg.pinv(D.T @ D, rcond=1e-12)
    R = np.eye(len(D)) - D @ M @ D.T
    c = np.concatenate([contrast, np.zeros(D.shape[1] - len(contrast))])
    b, e = M @ D.T @ frame["y"].to_numpy(), R @ frame["y"].to_numpy()
    parts, G = [], []
    for unit in frame["u"].unique():
        i = np.flatnonzero(frame["u"] == unit)
        values, vectors = np.linalg.eigh(R[np.ix_(i, i)])
        root = np.where(values > 1e-9, np.maximum(values, 1e-9) ** -0.5, 0.0)
        a = c @ M @ D[i].T @ (vectors * root) @ vectors.T
        parts.append(a @ e[i])
        G.append(R[:, i] @ a)
    P = np.array(G) @ np.array(G).T
    variance = float(np.sum(np.square(parts)))
    return float(c @ b), np.sqrt(variance), np.trace(P) ** 2 / np.sum(P**2), np.trace(P) / float(c @ M @ c)


def average(levels: list[float]) -> np.ndarray:
    return np.array([1.0 if e >= 0 else 0.0 for e in levels]) / sum(e >= 0 for e in levels)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_average_with_a_lonely_part_equals_the_moore_penrose_adjustment(seed: int) -> None:
    frame = panel(seed)
    levels = events(frame)[1]
    assert max(levels) == LAST
    b, se, df, expected = dense(frame, average(levels))
    m = moments(frame)
    c = np.concatenate([average(levels), np.zeros(len(m.design.names) - len(levels))])
    test = contrast_test(m, c, kind="CR2")
    assert (test.estimate, test.std_error) == pytest.approx((b, se), rel=1e-9)
    assert test.df == pytest.approx(df, rel=1e-8)
    whitened = m.design.contrast(c)
    assert whitened is not None
    share, cluster = unseen(m.design, whitened[None, :])
    assert (share, cluster) == (pytest.approx(1 - expected, rel=1e-8), "0")
    assert 0.05 < share < 0.5
    assert "cluster 0 alone" in test.warning
    assert "cluster 0 alone" in contrast_test(m, c, kind="CR3").reason


def test_the_first_row_of_an_event_study_has_an_answer_and_a_warning() -> None:
    frame = panel()
    out = p4equity.fit("event_study", frame, outcome="y", unit="u", time="t", cohort="g")
    b, se, df, _ = dense(frame, average(events(frame)[1]))
    first = out.iloc[0]
    assert (first["estimate"], first["std_error"], first["df"]) == pytest.approx((b, se, df), rel=1e-8)
    assert any("alone identifies" in w for w in out.attrs["warnings"])
    alone = out[out["event_time"].eq(LAST).fillna(False).astype(bool)]
    assert (alone["status"] == "not_estimable").all()
    assert alone["reason"].str.contains("1 treated cluster").all()


def test_what_one_cluster_mostly_identifies_has_no_cr2_alone_or_jointly() -> None:
    frame = panel()
    m, levels = moments(frame), events(frame)[1]
    rows = np.eye(len(levels), len(m.design.names))
    assert "cluster 0 alone" in contrast_test(m, rows[levels.index(LAST)]).reason
    assert "alone" in joint_test(m, rows[[levels.index(0.0), levels.index(LAST)]]).reason
    assert joint_test(m, rows[[levels.index(0.0), levels.index(1.0)]]).reason == ""


def test_a_lonely_coefficient_would_reject_a_true_null_far_too_often() -> None:
    # Why it has no answer, alone or in a joint test: its variance would be taken from the other clusters.
    rng, hits, draws = np.random.default_rng(0), 0, 200
    frame = panel()
    levels = events(frame)[1]
    for _ in range(draws):
        b, se, df, _ = dense(frame.assign(y=rng.normal(size=len(frame))), np.eye(len(levels))[levels.index(LAST)])
        hits += 2 * stats.t.sf(abs(b / se), df) < 0.05
    assert hits / draws > 0.2
