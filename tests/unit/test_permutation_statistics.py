"""Raw and studentized permutation against loops over all assignments with scipy's own statistics."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import p4equity
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p4equity.errors import StudyError, UsageError
from p4equity.inference.permutation import null_weights, permutation_test
from scipy import stats


def sample(seed: int, n: int = 9, treated: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    arm = np.zeros(n, bool)
    arm[rng.choice(n, treated, replace=False)] = True
    return rng.normal(size=n) + 0.8 * arm, arm, rng.uniform(0.2, 3, n)


def welch(y: np.ndarray, a: np.ndarray) -> float:
    return float(stats.ttest_ind(y[a], y[~a], equal_var=False).statistic)


def weighted(y: np.ndarray, a: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    """Difference of weighted means and its standard error, arm by arm."""
    means, variance = [], 0.0
    for part in (a, ~a):
        m = np.average(y[part], weights=w[part])
        n = part.sum()
        variance += n / (n - 1) * np.sum(w[part] ** 2 * (y[part] - m) ** 2) / w[part].sum() ** 2
        means.append(m)
    return means[0] - means[1], float(np.sqrt(variance))


def everything(n: int, treated: int) -> list[np.ndarray]:
    return [np.isin(np.arange(n), rows) for rows in combinations(range(n), treated)]


@pytest.mark.parametrize("seed", range(4))
def test_raw_is_the_share_of_differences_in_means(seed: int) -> None:
    y, arm, v = sample(seed)
    sizes = np.array([y[a].mean() - y[~a].mean() for a in everything(9, 3)])
    own = y[arm].mean() - y[~arm].mean()
    result = permutation_test(y, arm, v, statistic="raw")
    assert result.p_value == np.mean(np.abs(sizes) >= abs(own) - 1e-12)
    assert (result.statistic, result.estimate) == pytest.approx((own, own))
    w = 1 / v
    sizes = np.array([weighted(y, a, w)[0] for a in everything(9, 3)])
    result = permutation_test(y, arm, weights=w, statistic="raw")
    assert result.p_value == np.mean(np.abs(sizes) >= abs(weighted(y, arm, w)[0]) - 1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_studentized_is_the_share_of_welch_statistics(seed: int) -> None:
    y, arm, v = sample(seed)
    sizes = np.array([welch(y, a) for a in everything(9, 3)])
    result = permutation_test(y, arm, statistic="studentized")
    assert result.statistic == pytest.approx(welch(y, arm), rel=1e-9)
    assert result.p_value == np.mean(np.abs(sizes) >= abs(welch(y, arm)) - 1e-12)
    # With sampling variances the weights are those fitted without treatment, for all assignments alike.
    w = null_weights(y, v, "PM")
    ratios = np.array([np.divide(*weighted(y, a, w)) for a in everything(9, 3)])
    result = permutation_test(y, arm, v, statistic="studentized")
    difference, error = weighted(y, arm, w)
    assert (result.estimate, result.statistic) == pytest.approx((difference, difference / error), rel=1e-9)
    assert result.p_value == np.mean(np.abs(ratios) >= abs(difference / error) - 1e-12)


def test_studentized_with_equal_weights_and_none_agree() -> None:
    y, arm, _ = sample(5)
    plain = permutation_test(y, arm, statistic="studentized")
    heavy = permutation_test(y, arm, weights=np.full(9, 7.0), statistic="studentized")
    assert plain.statistic == pytest.approx(heavy.statistic, rel=1e-12)
    assert plain.p_value == heavy.p_value


@pytest.mark.parametrize("statistic", ["raw", "studentized", "standardized"])
@pytest.mark.parametrize("known", [False, True])
def test_the_interval_holds_the_effects_not_rejected(statistic: str, known: bool) -> None:
    y, arm, v = sample(6, n=11, treated=4)
    y = y + 2 * arm
    variances = v if known else None
    result = permutation_test(y, arm, variances, statistic=statistic)
    assert np.isfinite([result.conf_low, result.conf_high]).all()
    for end, outward in ((result.conf_low, -1), (result.conf_high, 1)):
        for step, rejected in ((1e-4, True), (-1e-4, False)):
            p = permutation_test(y - (end + outward * step) * arm, arm, variances, statistic=statistic).p_value
            assert (p <= 0.05) is rejected


def test_strata_and_sampling_serve_every_statistic() -> None:
    y, arm, _ = sample(7, n=12, treated=6)
    strata = np.repeat([0, 1], 6)
    for statistic in ("raw", "studentized"):
        rows = [a for a in everything(12, 6) if a[:6].sum() == arm[:6].sum()]
        of = (lambda a: y[a].mean() - y[~a].mean()) if statistic == "raw" else (lambda a: welch(y, a))
        sizes = np.abs([of(a) for a in rows])
        result = permutation_test(y, arm, strata=strata, statistic=statistic)
        assert result.n_assignments == len(rows)
        assert result.p_value == np.mean(sizes >= abs(of(arm)) - 1e-12)
        drawn = permutation_test(y, arm, strata=strata, statistic=statistic, limit=30, seed=3)
        assert drawn.sampled
        assert drawn.p_value == pytest.approx(result.p_value, abs=5 * drawn.monte_carlo_error + 1 / 30)
        assert drawn == permutation_test(y, arm, strata=strata, statistic=statistic, limit=30, seed=3)


def test_an_arm_without_spread_is_infinitely_far_and_counts() -> None:
    # Both arms constant: the statistic is infinite; only its mirror is as far, so p is the smallest one.
    y = np.array([1.0, 1, 1, 0, 0, 0])
    result = permutation_test(y, np.arange(6) < 3, statistic="studentized")
    assert np.isinf(result.statistic)
    assert result.p_value == result.p_attainable == pytest.approx(0.1)


def test_what_cannot_be_asked() -> None:
    y, arm, _ = sample(8)
    with pytest.raises(UsageError, match="studentized"):
        permutation_test(y, arm, statistic="studentised")
    with pytest.raises(StudyError, match="spread"):
        permutation_test(y, np.arange(9) < 1, statistic="studentized")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["raw", "studentized", "standardized"]), st.booleans())
def test_scale_shift_order_and_mirror(seed: int, statistic: str, known: bool) -> None:
    y, arm, v = sample(seed, n=8)
    v0 = v if known else None
    result = permutation_test(y, arm, v0, statistic=statistic)
    order = np.random.default_rng(seed).permutation(8)
    moved = permutation_test(y[order], arm[order], None if v0 is None else v[order], statistic=statistic)
    larger = permutation_test(100 * y - 7, arm, None if v0 is None else v * 1e4, statistic=statistic)
    mirrored = permutation_test(-y, arm, v0, statistic=statistic)
    for other, factor in ((moved, 1), (larger, 100), (mirrored, -1)):
        assert other.p_value == pytest.approx(result.p_value, abs=1e-12)
        assert other.estimate == pytest.approx(factor * result.estimate, rel=1e-6, abs=1e-9)


def test_the_words_of_fit_for_changes() -> None:
    y, arm, v = sample(11, n=10, treated=4)
    frame = pd.DataFrame({"y": y, "g": np.where(arm, 1.0, np.nan), "se": np.sqrt(v), "s": np.arange(10) % 2})
    words = ["permutation", "permutation_standardized", "permutation_studentized", "permutation_raw"]
    call = {"outcome": "y", "cohort": "g", "sampling_se": "se"}
    out = p4equity.fit("meta_regression", frame, inference=words, **call).set_index("inference")
    for word, statistic in zip(words, ("standardized", "standardized", "studentized", "raw"), strict=True):
        expected = permutation_test(y, arm, None if statistic == "raw" else v, statistic=statistic)
        row = out.loc[word]
        assert (row["estimate"], row["statistic"]) == pytest.approx((expected.estimate, expected.statistic), rel=1e-9)
        assert row["p_value"] == expected.p_value
    assert len(set(out["p_value"])) >= 3
    within = p4equity.fit("meta_regression", frame, inference=words, strata="s", **call).set_index("inference")
    expected = permutation_test(y, arm, v, strata=np.arange(10) % 2)
    assert within.loc["permutation", "p_value"] == expected.p_value
    assert within.loc["permutation", "p_attainable"] == expected.p_attainable
    one = p4equity.fit("meta_regression", frame.assign(s=arm), inference=words, strata="s", **call)
    assert one["reason"].str.contains("no other assignment").all()
    single = p4equity.fit("meta_regression", frame[~arm | (np.cumsum(arm) < 2)], inference=words, **call).set_index("inference")
    assert "two treated" in single.loc["permutation_studentized", "reason"]
    assert single.loc["permutation_raw", "status"] == "ok"
