"""The cluster engine against brute force on members: what the k x k moments give must be what the rows give."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.errors import UsageError
from p4equity.inference.cluster_robust import (
    contrast_test,
    covariance,
    satterthwaite,
    small_sample_factor,
)
from p4equity.inference.joint import joint_test
from p4equity.inference.moments import ClusterMoments, cluster_moments, independent_columns
from scipy import linalg


def members(seed: int = 0, groups: int = 7) -> dict[str, np.ndarray]:
    """Members in cells of cluster and period, treatment constant in a cell, outcomes not; three clusters treated."""
    rng = np.random.default_rng(seed)
    rows = []
    for g in range(groups):
        for t in range(4):
            for _ in range(int(rng.integers(2, 9))):
                rows.append((g, t, float(g < 3 and t >= 2), rng.normal(0.3 * g + 0.2 * t, 1)))
    table = np.array(rows)
    return {"g": table[:, 0].astype(int), "t": table[:, 1].astype(int), "d": table[:, 2], "y": table[:, 3]}


def cells(m: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    key = m["g"] * 10 + m["t"]
    labels, position = np.unique(key, return_inverse=True)
    n = np.bincount(position).astype(float)
    d = np.bincount(position, m["d"]) / n
    return {"g": labels // 10, "t": labels % 10, "d": d, "y": np.bincount(position, m["y"]) / n, "n": n}


def moments(data: dict[str, np.ndarray], n_obs: int | None = None) -> ClusterMoments:
    return cluster_moments(
        data["d"][:, None], data["y"], data["g"], weights=data.get("n"), effects=[data["g"], data["t"]], names=["d"], n_obs=n_obs
    )[0]


def first(m: ClusterMoments) -> np.ndarray:
    return np.eye(1, len(m.design.names))[0]


def brute(m: dict[str, np.ndarray], kind: str) -> tuple[float, float, float]:
    """Coefficient, standard error and Satterthwaite df from member rows with all effects as dummies, in N x N space."""
    g, t = m["g"], m["t"]
    X = np.column_stack([m["d"], (g[:, None] == np.unique(g)), (t[:, None] == np.unique(t))[:, 1:]]).astype(float)
    M = linalg.inv(X.T @ X)
    H = np.eye(len(X)) - X @ M @ X.T
    e = H @ m["y"]
    parts, rows = [], []
    for label in np.unique(g):
        i = np.flatnonzero(g == label)
        values, vectors = np.linalg.eigh(H[np.ix_(i, i)])
        kept = values > 1e-9
        A = vectors[:, kept] * values[kept] ** {"CR0": 0.0, "CR2": -0.5, "CR3": -1.0}[kind] @ vectors[:, kept].T
        a = M[0] @ X[i].T @ A
        parts.append(a @ e[i])
        rows.append(H[:, i] @ a)
    P = np.array(rows) @ np.array(rows).T
    return float((M @ X.T @ m["y"])[0]), float(np.sqrt(np.sum(np.square(parts)))), np.trace(P) ** 2 / np.sum(P**2)


@pytest.mark.parametrize("kind", ["CR0", "CR2", "CR3"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_cells_give_the_members_answer(kind: str, seed: int) -> None:
    m = members(seed)
    b, se, df = brute(m, kind)
    for engine in (moments(m), moments(cells(m))):
        test = contrast_test(engine, first(engine), kind=kind)
        assert test.estimate == pytest.approx(b, abs=1e-12)
        assert test.std_error == pytest.approx(se, rel=1e-9)
        assert satterthwaite(engine.design, first(engine), kind) == pytest.approx(df, rel=1e-8)


def test_cr1_of_members_and_cells_agree_when_both_count_members() -> None:
    m = members()
    rows, sums = moments(m), moments(cells(m), n_obs=len(m["y"]))
    assert small_sample_factor(rows.design) == pytest.approx(small_sample_factor(sums.design), rel=1e-12)
    assert contrast_test(rows, first(rows), kind="CR1").std_error == pytest.approx(
        contrast_test(sums, first(sums), kind="CR1").std_error, rel=1e-10
    )


def test_small_sample_conventions_by_hand() -> None:
    design = moments(cells(members())).design
    # 7 clusters, 28 cells; one slope and four periods: K = 5; with the seven clusters' effects 5 + 7 - 1 = 11.
    assert (design.n_clusters, design.n_obs, design.k_nonnested, design.k_full) == (7, 28, 5, 11)
    assert small_sample_factor(design, "fixest") == pytest.approx(7 / 6 * 27 / 23)
    assert small_sample_factor(design, "stata") == pytest.approx(7 / 6 * 27 / 17)
    assert small_sample_factor(design, "none") == pytest.approx(7 / 6)
    with pytest.raises(UsageError, match="fixest"):
        small_sample_factor(design, "fixes")


def test_cr3_is_the_jackknife() -> None:
    data = cells(members(3))
    full = moments(data)
    b = contrast_test(full, first(full)).estimate
    total = 0.0
    for g in np.unique(data["g"]):
        left = moments({k: v[data["g"] != g] for k, v in data.items()})
        total += (contrast_test(left, first(left)).estimate - b) ** 2
    assert contrast_test(full, first(full), kind="CR3").std_error == pytest.approx(np.sqrt(total), rel=1e-9)


def test_effects_swept_or_as_columns_are_the_same() -> None:
    data = cells(members(4))
    swept = moments(data)
    columns = np.column_stack([data["d"], data["t"][:, None] == np.unique(data["t"])]).astype(float)
    dummies = cluster_moments(columns, data["y"], data["g"], weights=data["n"], effects=[data["g"]])[0]
    for kind in ("CR0", "CR2", "CR3"):
        ours, other = contrast_test(swept, first(swept), kind=kind), contrast_test(dummies, first(dummies), kind=kind)
        assert ours.std_error == pytest.approx(other.std_error, rel=1e-10)
        assert ours.estimate == pytest.approx(other.estimate, abs=1e-12)


def test_two_nested_effects_equal_one_by_one() -> None:
    # Sweeping unit and cluster-period effects at once: the residuals are orthogonal to both.
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(4), 12)
    unit, period = np.repeat(np.arange(16), 3), np.tile(np.arange(3), 16) + 10 * cluster
    w, y = rng.uniform(1, 5, 48), rng.normal(size=48)
    x = rng.normal(size=48)
    m = cluster_moments(x[:, None], y, cluster, weights=w, effects=[unit, period])[0]
    D = np.column_stack([x, unit[:, None] == np.unique(unit), period[:, None] == np.unique(period)]).astype(float)
    root = np.sqrt(w)
    expected = np.linalg.lstsq(D * root[:, None], y * root, rcond=None)[0][0]
    assert contrast_test(m, np.ones(1), kind="CR0").estimate == pytest.approx(expected, abs=1e-12)
    assert m.design.k_full == np.linalg.matrix_rank(D)


def test_one_treated_cluster_has_no_cr2() -> None:
    data = cells(members(5))
    data["d"] = ((data["g"] == 0) & (data["t"] >= 2)).astype(float)
    m = moments(data)
    for kind in ("CR2", "CR3"):
        test = contrast_test(m, first(m), kind=kind)
        assert "cluster 0 alone" in test.reason
        assert np.isnan([test.estimate, test.std_error, test.p_value]).all()
    assert np.isnan(satterthwaite(m.design, first(m)))


def test_a_null_direction_that_does_not_matter_is_harmless() -> None:
    # A regressor seen in one cluster alone, next to one that all clusters see: the second keeps its CR2.
    data = cells(members(6))
    lonely = ((data["g"] == 6) & (data["t"] == 1)).astype(float)
    m = cluster_moments(np.column_stack([data["d"], lonely]), data["y"], data["g"], effects=[data["g"], data["t"]])[0]
    assert contrast_test(m, np.eye(2, len(m.design.names))[0]).reason == ""
    assert "alone" in contrast_test(m, np.eye(2, len(m.design.names))[1]).reason


def test_collinear_regressors_are_not_identified_but_their_sum_is() -> None:
    data = cells(members(7))
    X = np.column_stack([data["d"], 2 * data["d"]])
    m = cluster_moments(X, data["y"], data["g"], effects=[data["g"], data["t"]])[0]
    k = len(m.design.names)
    assert "collinear" in contrast_test(m, np.eye(2, k)[0]).reason
    both = contrast_test(m, np.r_[1.0, 2.0, np.zeros(k - 2)])
    plain = moments({key: v for key, v in data.items() if key != "n"})
    assert both.estimate == pytest.approx(contrast_test(plain, first(plain)).estimate, abs=1e-12)
    constant = cluster_moments(np.column_stack([data["d"], data["g"]]), data["y"], data["g"], effects=[data["g"], data["t"]])[0]
    assert "collinear" in contrast_test(constant, np.eye(2, len(constant.design.names))[1]).reason
    assert list(independent_columns(np.array([[1.0, 2, 0], [2, 4, 0], [0, 0, 3]]))) == [True, False, True]


def test_what_cannot_be_estimated_has_a_reason() -> None:
    data = cells(members(8))
    flat = moments({**data, "y": np.zeros(len(data["y"]))})
    assert "no variation" in contrast_test(flat, first(flat)).reason
    one = moments({**data, "g": np.zeros(len(data["g"]), int)})
    assert "one cluster" in contrast_test(one, first(one)).reason
    with pytest.raises(UsageError, match="CR2"):
        contrast_test(flat, first(flat), kind="CR4")
    with pytest.raises(UsageError, match="positive weights"):
        cluster_moments(data["d"][:, None], data["y"], data["g"], weights=np.zeros(len(data["y"])))


def test_scaling_weights_changes_nothing_and_scaling_outcomes_scales() -> None:
    data = cells(members(9))
    m, heavy = moments(data), moments({**data, "n": data["n"] * 1e6})
    large = moments({**data, "y": data["y"] * 1e5})
    for kind in ("CR0", "CR1", "CR2", "CR3"):
        a, b, c = (contrast_test(x, first(x), kind=kind) for x in (m, heavy, large))
        assert (b.estimate, b.std_error, b.df) == pytest.approx((a.estimate, a.std_error, a.df), rel=1e-9)
        assert (c.estimate, c.std_error, c.statistic) == pytest.approx(
            (a.estimate * 1e5, a.std_error * 1e5, a.statistic), rel=1e-9
        )


def test_joint_test_of_one_contrast_is_the_squared_t() -> None:
    m = moments(cells(members(10)))
    single, joint = contrast_test(m, first(m)), joint_test(m, first(m)[None, :])
    assert joint.statistic == pytest.approx(single.statistic**2, rel=1e-9)
    assert joint.df_denominator == pytest.approx(single.df, rel=1e-9)
    assert joint.p_value == pytest.approx(single.p_value, rel=1e-8)


def test_joint_covariance_is_consistent_with_each_variance() -> None:
    m = moments(cells(members(11)))
    rows = np.eye(3, len(m.design.names))
    rows[1:] = 0
    rows[1, 1:3] = (1, -1)
    rows[2, 2:4] = (1, -1)
    V, reason = covariance(m, rows, "CR2")
    assert reason == ""
    assert np.linalg.eigvalsh(V).min() > 0
    for i in range(3):
        assert np.sqrt(V[i, i]) == pytest.approx(contrast_test(m, rows[i]).std_error, rel=1e-12)
