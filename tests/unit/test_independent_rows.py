"""Errors of independent rows, small-sample conventions by number, joint tests without a correction."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from p4equity.errors import UsageError
from p4equity.inference.cluster_robust import small_sample_factor
from p4equity.inference.independent_rows import row_moments, row_test
from p4equity.inference.moments import cluster_moments


def data(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    unit, t = np.repeat(np.arange(9), 6), np.tile(np.arange(6), 9)
    x = np.stack([((unit < 4) & (t >= 3)).astype(float), rng.normal(size=54)], axis=1)
    return {"unit": unit, "t": t, "x": x, "y": rng.normal(size=54) + x[:, 0], "w": rng.uniform(1, 30, 54)}


COUNTS = {"fixest": 16, "full": 16, "stata": 16, "none": 0}


@pytest.mark.parametrize("weighted", [True, False])
def test_equals_statsmodels_with_dummies(weighted: bool) -> None:
    d = data()
    w = d["w"] if weighted else np.ones(54)
    D = np.hstack([d["x"], d["unit"][:, None] == np.arange(9), (d["t"][:, None] == np.arange(6))[:, 1:]]).astype(float)
    dense = sm.WLS(d["y"], D, weights=w)
    m = row_moments(d["x"], d["y"], counts=COUNTS, weights=w if weighted else None, effects=[d["unit"], d["t"]])[0]
    for kind, cov in (("IID", "nonrobust"), ("HC1", "HC1")):
        expected = dense.fit(cov_type=cov, use_t=True)
        for i in range(2):
            found = row_test(m, np.eye(2)[i], float(expected.params[i]), kind=kind)
            assert found.std_error == pytest.approx(expected.bse[i], rel=1e-9)
            assert found.p_value == pytest.approx(expected.pvalues[i], rel=1e-8)
            assert (found.conf_low, found.conf_high) == pytest.approx(tuple(expected.conf_int()[i]), rel=1e-8)
            assert found.df == 54 - 16
            assert "independent" in found.warning


def test_conventions_are_counts_of_coefficients() -> None:
    d = data()
    m = row_moments(d["x"], d["y"], counts=COUNTS, weights=d["w"], effects=[d["unit"], d["t"]], cluster=d["unit"])[0]
    of = {ssc: row_test(m, np.eye(2)[0], 1.0, kind="HC1", ssc=ssc) for ssc in ("full", "none", 30)}
    assert of["full"].std_error == pytest.approx(of["none"].std_error * np.sqrt(54 / 38), rel=1e-12)
    assert of[30].std_error == pytest.approx(of["none"].std_error * np.sqrt(54 / 24), rel=1e-12)
    assert (of["none"].df, of[30].df) == (38, 24)
    assert row_test(m, np.eye(2)[0], 1.0, kind="IID", ssc=54).reason == "no more rows than coefficients"
    exact = row_moments(d["x"], 3 * d["x"][:, 0], counts=COUNTS, effects=[d["unit"], d["t"]])[0]
    assert "no variation" in row_test(exact, np.eye(2)[0], 3.0, kind="HC1").reason


def test_the_factor_of_cr1_takes_a_number() -> None:
    d = data()
    design = cluster_moments(d["x"], d["y"], d["unit"], effects=[d["unit"], d["t"]])[0].design
    assert small_sample_factor(design, 20) == pytest.approx(9 / 8 * 53 / 34)
    assert np.isnan(small_sample_factor(design, 54))
    for wrong in ("fixst", 0, True, 1.5):
        with pytest.raises(UsageError, match="small-sample convention"):
            small_sample_factor(design, wrong)  # type: ignore[arg-type]


def test_unknown_kinds_and_rows_that_do_not_match() -> None:
    d = data()
    m = row_moments(d["x"], d["y"], counts=COUNTS)[0]
    with pytest.raises(UsageError, match="unknown variance"):
        row_test(m, np.eye(2)[0], 1.0, kind="HC3")
    with pytest.raises(UsageError, match="rows do not match"):
        row_moments(d["x"], d["y"][1:], counts=COUNTS)
