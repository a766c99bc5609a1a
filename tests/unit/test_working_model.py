"""Working models of CR2 against dense matrices of every row, effects as columns."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.errors import UsageError
from p4equity.inference import working_model
from p4equity.inference.cluster_robust import contrast_test, covariance
from p4equity.inference.joint import joint_test
from p4equity.inference.moments import ClusterMoments, cluster_moments
from p4equity.inference.simultaneous import contributions
from scipy import stats

ROWS = ("inverse_variance", "homoskedastic")


def data(seed: int = 0, groups: int = 8) -> dict[str, np.ndarray]:
    """Two units a cluster, seven periods, three treated clusters, unequal weights."""
    rng = np.random.default_rng(seed)
    unit, t = np.repeat(np.arange(2 * groups), 7), np.tile(np.arange(7), 2 * groups)
    g = unit // 2
    x = np.stack([((g < 3) & (t == s)).astype(float) for s in (3, 4, 5)], axis=1)
    y = rng.normal(size=len(g)) + rng.normal(size=groups)[g]
    return {"unit": unit, "t": t, "g": g, "x": x, "y": y, "w": rng.uniform(0.5, 20, len(g))}


def moments(d: dict[str, np.ndarray], model: str) -> ClusterMoments:
    return cluster_moments(d["x"], d["y"], d["g"], weights=d["w"], effects=[d["unit"], d["t"]], working_model=model)[0]


def dense(d: dict[str, np.ndarray], kind: str, model: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """By definition: coefficients (3,), vectors a (3, G, N) of contributions, their covariance (3, 3, G, G), residuals (N,)."""
    D = np.hstack([d["x"], d["unit"][:, None] == np.unique(d["unit"]), (d["t"][:, None] == np.unique(d["t"]))[:, 1:]]).astype(
        float
    )
    W, V = np.diag(d["w"]), np.diag(1 / d["w"] if model == "inverse_variance" else np.ones(len(d["w"])))
    M = np.linalg.inv(D.T @ W @ D)
    rest = np.eye(len(D)) - D @ M @ D.T @ W
    groups = np.unique(d["g"])
    a = np.zeros((3, len(groups), len(D)))
    for i, g in enumerate(groups):
        own = d["g"] == g
        A = np.eye(own.sum())
        if kind == "CR2":
            root = np.sqrt(V[np.ix_(own, own)])
            values, vectors = np.linalg.eigh(root @ rest[own] @ V @ rest[own].T @ root)
            power = np.where(values > 1e-9 * values.max(), np.maximum(values, 1e-300) ** -0.5, 0.0)
            A = root @ (vectors * power) @ vectors.T @ root
        a[:, i, own] = M[:3] @ D[own].T @ W[np.ix_(own, own)] @ A
    p = a @ rest
    return M[:3] @ D.T @ W @ d["y"], a, np.einsum("sgn,n,thn->stgh", p, np.diag(V), p), rest @ d["y"]


@pytest.mark.parametrize("model", ROWS)
@pytest.mark.parametrize("kind", ["CR0", "CR2"])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_dense_matrices(kind: str, model: str, seed: int) -> None:
    d = data(seed)
    m = moments(d, model)
    b, a, P, e = dense(d, kind, model)
    rows = np.eye(3, len(m.design.names))
    scores = a @ e
    V, reason = covariance(m, rows, kind)
    assert reason == ""
    assert pytest.approx(scores @ scores.T, rel=1e-9) == V
    assert pytest.approx(V, rel=1e-12) == contributions(m, rows, kind)[0].T @ contributions(m, rows, kind)[0]
    for i in range(3):
        found = contrast_test(m, rows[i], kind=kind, df="satterthwaite")
        assert found.estimate == pytest.approx(b[i], rel=1e-9)
        assert found.df == pytest.approx(np.trace(P[i, i]) ** 2 / np.sum(P[i, i] ** 2), rel=1e-9)


@pytest.mark.parametrize("model", ROWS)
@pytest.mark.parametrize("kind", ["CR0", "CR2"])
def test_joint_test_equals_dense_matrices(kind: str, model: str) -> None:
    d = data(4)
    m = moments(d, model)
    b, a, P, e = dense(d, kind, model)
    expected = np.einsum("stgg->st", P)
    values, vectors = np.linalg.eigh(expected)
    root = vectors / np.sqrt(values) @ vectors.T
    scaled = np.einsum("su,uvgh,tv->stgh", root, P, root)
    spread = sum(np.sum(scaled[s, s] * scaled[t, t]) + np.sum(scaled[s, t] * scaled[t, s]) for s in range(3) for t in range(3))
    eta = 3 * 4 / spread
    wald = b @ np.linalg.solve((a @ e) @ (a @ e).T, b)
    F = (eta - 2) / (eta * 3) * wald
    found = joint_test(m, np.eye(3, len(m.design.names)), kind=kind)
    assert found.df_denominator == pytest.approx(eta - 2, rel=1e-9)
    assert found.statistic == pytest.approx(F, rel=1e-9)
    naive = joint_test(m, np.eye(3, len(m.design.names)), kind=kind, test="naive_f")
    assert (naive.statistic, naive.df_denominator) == (pytest.approx(wald / 3, rel=1e-9), 7)
    assert naive.p_value == pytest.approx(stats.f.sf(wald / 3, 3, 7), rel=1e-9)
    many = joint_test(m, np.eye(3, len(m.design.names)), kind=kind, test="chi_square")
    assert many.p_value == pytest.approx(stats.chi2.sf(wald, 3), rel=1e-9)


@pytest.mark.parametrize("model", ROWS)
def test_without_weights_all_models_are_one(model: str) -> None:
    d = data() | {"w": 3.0 + 1e-9 * np.arange(112)}
    found, members = (contrast_test(moments(d, word), np.eye(1, 10)[0]) for word in (model, "members"))
    assert (found.std_error, found.df) == pytest.approx((members.std_error, members.df), rel=1e-7)


@pytest.mark.parametrize("model", ROWS)
def test_row_order_labels_scale_of_weights_and_of_columns_change_nothing(model: str) -> None:
    d = data(2)
    plain = contrast_test(moments(d, model), np.eye(1, 10)[0])
    order = np.random.default_rng(0).permutation(len(d["y"]))
    other = {name: column[order] for name, column in d.items()}
    other |= {"g": 50 - other["g"], "w": 1e5 * other["w"], "x": 1e3 * other["x"]}
    found = contrast_test(moments(other, model), np.eye(1, 10)[0])
    assert (1e3 * found.std_error, found.df) == pytest.approx((plain.std_error, plain.df), rel=1e-8)


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR3"])
@pytest.mark.parametrize("model", ROWS)
def test_only_degrees_of_freedom_of_other_variances_depend_on_the_model(kind: str, model: str) -> None:
    found, members = (
        contrast_test(moments(data(3), w), np.eye(1, 10)[0], kind=kind, df="satterthwaite") for w in (model, "members")
    )
    assert found.std_error == members.std_error
    # CR0 and CR3 of rows with variance 1 / weight expect what those of members do; equal variances are another matter.
    assert (found.df == pytest.approx(members.df, rel=1e-9)) is (model == "inverse_variance")


def test_what_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="unknown working model"):
        moments(data(), "homoscedastic")
    with pytest.raises(UsageError, match="unknown joint test"):
        joint_test(moments(data(), "members"), np.eye(2, 10), test="wald")
    monkeypatch.setattr(working_model, "MOST", 10)
    with pytest.raises(UsageError, match="too many rows"):
        moments(data(), "inverse_variance")
    assert np.isfinite(contrast_test(moments(data(), "homoskedastic"), np.eye(1, 10)[0]).std_error)
