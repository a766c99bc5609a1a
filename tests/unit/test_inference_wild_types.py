"""Bootstrap types with jackknifed scores and CV3 statistics, skewed weights and equal tails, against literal refits."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from p4equity.errors import UsageError
from p4equity.inference.moments import ClusterMoments, cluster_moments
from p4equity.inference.wild_bootstrap import bootstrap_statistics, draw_weights, wild_bootstrap

TYPES = ("11", "13", "31", "33")


def data(seed: int = 0, groups: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    g, t = np.repeat(np.arange(groups), 6), np.tile(np.arange(6), groups)
    d = ((g < 3) & (t >= 4)).astype(float)
    return {"g": g, "t": t, "d": d, "y": rng.normal(size=len(g)) + 0.7 * d, "w": rng.uniform(1, 9, len(g))}


def fit(x: dict[str, np.ndarray]) -> ClusterMoments:
    return cluster_moments(x["d"][:, None], x["y"], x["g"], weights=x["w"], effects=[x["g"], x["t"]])[0]


def literal(x: dict[str, np.ndarray], null: float, restricted: bool, kind: str) -> tuple[float, np.ndarray]:
    """Sample statistic and all bootstrap statistics from samples of rows, refitted with dummies, clusters left out by hand."""
    D = np.column_stack([x["d"], x["t"][:, None] == np.unique(x["t"]), (x["g"][:, None] == np.unique(x["g"]))[:, 1:]]).astype(
        float
    )
    groups, root = np.unique(x["g"]), np.sqrt(x["w"])

    def solve(rows: np.ndarray, y: np.ndarray, fixed: float | None) -> np.ndarray:
        columns = D if fixed is None else D[:, 1:]
        target = y if fixed is None else y - fixed * D[:, 0]
        b = np.linalg.lstsq(columns[rows] * root[rows, None], target[rows] * root[rows], rcond=1e-10)[0]
        return b if fixed is None else np.r_[fixed, b]

    def t_of(y: np.ndarray, value: float) -> float:
        every = np.ones(len(y), bool)
        b = solve(every, y, None)
        if kind[1] == "3":
            moves = [solve(x["g"] != g, y, None)[0] - b[0] for g in groups]
            return float((b[0] - value) / np.sqrt(np.sum(np.square(moves))))
        M = np.linalg.inv((D * root[:, None]).T @ (D * root[:, None]))
        scores = np.array([(D * x["w"][:, None])[x["g"] == g].T @ (y - D @ b)[x["g"] == g] for g in groups])
        return float((b[0] - value) / np.sqrt(np.sum((scores @ M[0]) ** 2)))

    fixed = null if restricted else None
    whole = solve(np.ones(len(x["y"]), bool), x["y"], fixed)
    e = x["y"] - D @ whole
    if kind[0] == "3":
        for g in groups:
            own = x["g"] == g
            e[own] = (x["y"] - D @ solve(~own, x["y"], fixed))[own]
    draws = [t_of(D @ whole + np.array(v)[x["g"]] * e, whole[0]) for v in product([1.0, -1.0], repeat=len(groups))]
    return t_of(x["y"], null), np.array(draws)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("null", [0.0, 0.4])
def test_statistics_equal_literal_refits(kind: str, restricted: bool, null: float) -> None:
    x = data(1)
    m = fit(x)
    options = {"null": null, "restricted": restricted, "bootstrap_type": kind}
    t, drawn = bootstrap_statistics(m, np.eye(1, len(m.design.names))[0], **options)
    expected, literally = literal(x, null, restricted, kind)
    assert t == pytest.approx(expected, rel=1e-8)
    assert drawn == pytest.approx(literally, rel=1e-7)
    for p_type in ("symmetric", "equal_tail"):
        found = wild_bootstrap(m, np.eye(1, len(m.design.names))[0], p_type=p_type, **options)
        beyond = np.mean(np.abs(literally) > abs(expected) * (1 + 1e-9))
        tails = [np.mean(sign * literally > sign * expected + 1e-9 * abs(expected)) for sign in (1, -1)]
        p = beyond if p_type == "symmetric" else min(2 * min(tails), 1.0)
        assert found.p_value == max(p, 2 / 64)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("p_type", ["symmetric", "equal_tail"])
def test_the_interval_ends_where_the_test_turns(kind: str, p_type: str) -> None:
    m = fit(data(2, groups=8))
    c = np.eye(1, len(m.design.names))[0]
    found = wild_bootstrap(m, c, bootstrap_type=kind, p_type=p_type)
    width = found.conf_high - found.conf_low
    for end, inward in ((found.conf_low, 1), (found.conf_high, -1)):
        inside, outside = (
            wild_bootstrap(m, c, bootstrap_type=kind, p_type=p_type, null=end + sign * inward * 1e-6 * width).p_value
            for sign in (1, -1)
        )
        assert inside > 0.05 >= outside


def test_cv3_is_printed_with_the_types_that_use_it() -> None:
    from p4equity.inference.cluster_robust import contrast_test

    m = fit(data())
    c = np.eye(1, len(m.design.names))[0]
    for kind in ("13", "33"):
        expected = contrast_test(m, c, kind="CV3").std_error
        assert wild_bootstrap(m, c, bootstrap_type=kind, factor=9.0).std_error == pytest.approx(expected, rel=1e-12)


def test_mammens_weights_have_three_moments_of_one() -> None:
    v, scheme, enumerated = draw_weights(5, "mammen", 200_000, 3)
    assert (scheme, enumerated) == ("mammen", False)
    assert len(np.unique(v)) == 2
    assert [np.mean(v**k) for k in (1, 2, 3)] == pytest.approx([0, 1, 1], abs=0.01)


def test_a_cluster_that_alone_identifies_the_coefficient_has_no_jackknife() -> None:
    x = data()
    x["d"] = ((x["g"] == 0) & (x["t"] >= 4)).astype(float)
    m = fit(x)
    for kind in ("13", "31", "33"):
        found = wild_bootstrap(m, np.eye(1, len(m.design.names))[0], bootstrap_type=kind)
        assert np.isnan(found.p_value)
        assert f"bootstrap type {kind} is not defined" in found.reason
        assert bootstrap_statistics(m, np.eye(1, len(m.design.names))[0], bootstrap_type=kind)[1].size == 0


@pytest.mark.parametrize("change", [{"bootstrap_type": "12"}, {"p_type": "lower"}, {"scheme": "norm"}], ids=str)
def test_unknown_words(change: dict[str, str]) -> None:
    m = fit(data())
    with pytest.raises(UsageError, match="unknown"):
        wild_bootstrap(m, np.eye(1, len(m.design.names))[0], **change)
