"""Wild cluster bootstrap against literal re-estimation of every bootstrap sample."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from p4equity.errors import UsageError
from p4equity.inference.cluster_robust import contrast_test, small_sample_factor
from p4equity.inference.moments import ClusterMoments, cluster_moments
from p4equity.inference.wild_bootstrap import draw_weights, wild_bootstrap


def data(seed: int = 0, groups: int = 6, treated: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    g, t = np.repeat(np.arange(groups), 5), np.tile(np.arange(5), groups)
    d = ((g < treated) & (t >= 3)).astype(float)
    return {"g": g, "t": t, "d": d, "y": rng.normal(size=len(g)) + 0.6 * d, "w": rng.uniform(1, 9, len(g))}


def fit(x: dict[str, np.ndarray], y: np.ndarray | None = None) -> ClusterMoments:
    return cluster_moments(x["d"][:, None], x["y"] if y is None else y, x["g"], weights=x["w"], effects=[x["g"], x["t"]])[0]


def contrast(m: ClusterMoments) -> np.ndarray:
    return np.eye(1, len(m.design.names))[0]


def literal(x: dict[str, np.ndarray], null: float, restricted: bool) -> float:
    """p from building every bootstrap sample of the rows and fitting it again with dummies, CR1 t by its definition."""
    D = np.column_stack([x["d"], x["g"][:, None] == np.unique(x["g"]), (x["t"][:, None] == np.unique(x["t"]))[:, 1:]]).astype(
        float
    )
    root = np.sqrt(x["w"])[:, None]

    def t_of(y: np.ndarray, value: float) -> tuple[float, np.ndarray]:
        M = np.linalg.inv((D * root).T @ (D * root))
        b = M @ (D * x["w"][:, None]).T @ y
        scores = np.array([(D * x["w"][:, None])[x["g"] == g].T @ (y - D @ b)[x["g"] == g] for g in np.unique(x["g"])])
        return float((b[0] - value) / np.sqrt(np.sum((scores @ M[0]) ** 2))), b

    own, b = t_of(x["y"], null)
    if restricted:
        rest = np.linalg.lstsq(D[:, 1:] * root, (x["y"] - null * x["d"]) * root[:, 0], rcond=None)[0]
        b = np.r_[null, rest]
    e = x["y"] - D @ b
    draws = [t_of(D @ b + np.array(v)[x["g"]] * e, b[0])[0] for v in product([1, -1], repeat=len(np.unique(x["g"])))]
    return float(np.mean(np.abs(draws) > abs(own) * (1 + 1e-9)))


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("null", [0.0, 0.5])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_literal_enumeration(restricted: bool, null: float, seed: int) -> None:
    x = data(seed)
    m = fit(x)
    result = wild_bootstrap(m, contrast(m), null=null, restricted=restricted)
    assert result.enumerated
    assert result.draws == 64
    # The count is strict, as fwildclusterboot's; a count of none is printed as the smallest p the enumeration can give.
    assert result.p_value == max(literal(x, null, restricted), result.p_attainable)


def test_statistic_uses_the_given_factor() -> None:
    m = fit(data())
    factor = small_sample_factor(m.design)
    result = wild_bootstrap(m, contrast(m), factor=factor)
    assert result.statistic == pytest.approx(contrast_test(m, contrast(m), kind="CR1").statistic, rel=1e-12)


def test_interval_inverts_the_test() -> None:
    x = data(2, groups=9, treated=4)
    m = fit(x)
    result = wild_bootstrap(m, contrast(m))
    gap = 1e-6 * (result.conf_high - result.conf_low)
    for end, outward in ((result.conf_low, -1), (result.conf_high, 1)):
        assert wild_bootstrap(m, contrast(m), null=end - outward * gap).p_value > 0.05
        assert wild_bootstrap(m, contrast(m), null=end + outward * gap).p_value <= 0.05


def test_ties_do_not_count() -> None:
    # Under the imposed null the identity and its mirror reproduce the statistic itself: two ties of 2^6, decided by tolerance.
    x = data(3)
    x["y"] = x["y"] + 50 * x["d"]
    m = fit(x)
    result = wild_bootstrap(m, contrast(m))
    assert literal(x, 0.0, True) == 0
    assert result.p_value == result.p_attainable == 2 / 64


def test_few_clusters_have_an_unbounded_interval_and_say_so() -> None:
    m = fit(data(4, groups=4, treated=2))
    result = wild_bootstrap(m, contrast(m), n_treated=2)
    assert not np.isfinite(result.conf_low) or not np.isfinite(result.conf_high)
    assert any("unbounded" in text for text in result.warnings)
    assert any("2 treated clusters" in text for text in result.warnings)
    assert result.p_attainable == 2 / 16


def test_draws_are_seeded_and_schemes_have_unit_variance() -> None:
    for scheme in ("webb", "rademacher"):
        V, used, enumerated = draw_weights(20, scheme, 40_000, 3)
        again = draw_weights(20, scheme, 40_000, 3)[0]
        assert (used, enumerated) == (scheme, False)
        assert np.array_equal(V, again)
        assert V.mean() == pytest.approx(0, abs=0.01)
        assert V.var() == pytest.approx(1, abs=0.01)
    assert draw_weights(12, "auto", 10, 0)[0].shape == (4096, 12)
    assert draw_weights(13, "auto", 10, 0)[1] == "webb"
    assert draw_weights(5, "webb", 100, 0)[0].shape == (100, 5)
    with pytest.raises(UsageError, match="webb"):
        draw_weights(5, "web", 10, 0)


def test_reasons_instead_of_numbers() -> None:
    x = data(5)
    flat = fit(x, np.zeros(len(x["y"])))
    assert "no variation" in wild_bootstrap(flat, contrast(flat)).reason
    single = cluster_moments(x["d"][:, None], x["y"], np.zeros(len(x["y"])), effects=[x["t"]])[0]
    assert "one cluster" in wild_bootstrap(single, contrast(single)).reason
    lost = cluster_moments(x["g"][:, None].astype(float), x["y"], x["g"], effects=[x["g"], x["t"]])[0]
    result = wild_bootstrap(lost, contrast(lost))
    assert "collinear" in result.reason
    assert np.isnan(result.p_value)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("restricted", [True, False])
def test_collinear_effects_equal_literal_enumeration(seed: int, restricted: bool) -> None:
    # A triple difference with all its effects: far more dummies than their rank, where a current library answers p = 0.
    rng = np.random.default_rng(seed)
    g, r, t = (a.ravel() for a in np.meshgrid(range(6), range(2), range(4), indexing="ij"))
    d = ((g < 3) & (t >= 2) & (r == 1)).astype(float)
    y, w = rng.normal(size=len(g)) + 0.8 * d + 0.3 * g * t, rng.uniform(1, 9, len(g))
    effects = [g * 2 + r, r * 4 + t, g * 4 + t]
    m = cluster_moments(d[:, None], y, g, weights=w, effects=effects)[0]
    dummies = np.column_stack([(e[:, None] == np.unique(e)).astype(float) for e in effects])
    D, root = np.column_stack([d, dummies]), np.sqrt(w)
    assert np.linalg.matrix_rank(dummies) < dummies.shape[1]
    M = np.linalg.pinv((D * w[:, None]).T @ D, rcond=1e-12)

    def t_of(outcome: np.ndarray, null: float) -> tuple[float, np.ndarray]:
        b = M @ (D * w[:, None]).T @ outcome
        e = outcome - D @ b
        scores = np.array([(D * w[:, None])[g == k].T @ e[g == k] for k in range(6)])
        return float((b[0] - null) / np.sqrt(np.sum((scores @ M[0]) ** 2))), D @ b

    own, fitted = t_of(y, 0.0)
    b = float((M @ (D * w[:, None]).T @ y)[0])
    if restricted:
        fitted = dummies @ np.linalg.lstsq(root[:, None] * dummies, root * y, rcond=1e-12)[0]
    draws = [t_of(fitted + np.array(v)[g] * (y - fitted), 0.0 if restricted else b)[0] for v in product([1, -1], repeat=6)]
    result = wild_bootstrap(m, contrast(m), restricted=restricted)
    assert result.statistic == pytest.approx(own, rel=1e-9)
    assert result.p_value == max(float(np.mean(np.abs(draws) > abs(own) * (1 + 1e-9))), 2 / 64)


@pytest.mark.parametrize("restricted", [True, False])
def test_drawn_weights_do_not_depend_on_the_names_of_clusters(restricted: bool) -> None:
    rng = np.random.default_rng(4)
    names = np.repeat([f"g{j:02d}" for j in range(16)], 5)
    other = np.repeat([f"g{j:02d}" for j in rng.permutation(16)], 5)
    x = np.repeat(rng.standard_normal(16), 5)
    y = x + np.repeat(rng.standard_normal(16), 5) + rng.standard_normal(80)
    X = np.column_stack([np.ones(80), x])
    found = [
        wild_bootstrap(cluster_moments(X, y, g)[0], np.array([0.0, 1.0]), restricted=restricted, draws=999)
        for g in (names, other)
    ]
    assert not found[0].enumerated
    assert found[0].p_value == found[1].p_value
    assert found[0].conf_low == pytest.approx(found[1].conf_low, abs=1e-9)
