"""Joint tests of several coefficients on per-cluster moments, with a small-sample denominator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from p4equity.errors import UsageError, did_you_mean
from p4equity.inference.cluster_robust import (
    UNSEEN,
    Array,
    adjusted_rows,
    contrast_rows,
    covariance,
    unseen,
    variance_factor,
    working_covariance,
)
from p4equity.inference.moments import ClusterDesign, ClusterMoments

TESTS = ("htz", "naive_f", "chi_square")
SINGULAR = "not available, because the joint covariance is singular: too few clusters"


@dataclass(frozen=True)
class JointTest:
    """F test that several linear combinations are zero; numbers are NaN and `reason` filled when it is not available."""

    statistic: float
    df_numerator: float
    df_denominator: float
    p_value: float
    reason: str = ""


def _expected(design: ClusterDesign, c: Array, kind: str, ssc: str | int) -> Array:
    """Expectation (q, q) of the robust covariance under the working model; for CR2 the working covariance itself."""
    rows, _ = adjusted_rows(design, c, kind)
    return variance_factor(design, kind, ssc) * working_covariance(design, rows, kind).within


def joint_test(
    moments: ClusterMoments, contrasts: Array, *, kind: str = "CR2", ssc: str | int = "fixest", test: str = "htz"
) -> JointTest:
    """Are several contrasts (q, k) jointly zero?

    htz (the default): approximate Hotelling T2 test with a small-sample denominator (AHT, 'HTZ'). naive_f: Wald's statistic
    over q against F(q, G - 1), fixest's `wald()`; it rejects too often with few clusters. chi_square: the same against a chi
    square with q degrees of freedom, for many clusters.
    Not available, with the reason, where the approximate denominator degrees of freedom are not positive, or where one
    cluster alone identifies one of the coefficients (with the Moore-Penrose inverse the test rejects a true null about
    half of the time there).
    Source: Pustejovsky and Tipton (2018); Zhang (2012).
    """
    if test not in TESTS:
        raise UsageError("unknown joint test", expected=", ".join(TESTS), found=test, fix=did_you_mean(str(test), TESTS))
    nan, q = float("nan"), len(np.atleast_2d(contrasts))
    if kind == "CV3J":
        return JointTest(nan, q, nan, nan, "not available, because CV3J has no joint test: use CR3 or CV3")
    V, reason = covariance(moments, contrasts, kind, ssc)
    if reason:
        return JointTest(nan, q, nan, nan, f"not available, because {reason}")
    design = moments.design
    c, _ = contrast_rows(design, contrasts)
    share, label = unseen(design, c, together=True)
    if kind == "CR2" and share > UNSEEN:
        return JointTest(nan, q, nan, nan, f"not available, because cluster {label} alone identifies one of the coefficients")
    if np.linalg.matrix_rank(V, tol=1e-10 * float(np.trace(V))) < q:
        return JointTest(nan, q, nan, nan, SINGULAR)
    b = c @ moments.theta
    wald = float(b @ np.linalg.solve(V, b))
    if test == "chi_square":
        return JointTest(wald / q, q, float("inf"), float(stats.chi2.sf(wald, q)))
    if test == "naive_f":
        return JointTest(wald / q, q, design.n_clusters - 1, float(stats.f.sf(wald / q, q, design.n_clusters - 1)))
    return _hotelling(design, c, wald, kind, ssc)


def _hotelling(design: ClusterDesign, c: Array, wald: float, kind: str, ssc: str | int) -> JointTest:
    """The approximate Hotelling test of whitened contrasts c (q, r) with Wald's statistic."""
    nan, q = float("nan"), len(c)
    values, vectors = np.linalg.eigh(_expected(design, c, kind, ssc))
    if values[0] <= 1e-10 * values[-1]:
        return JointTest(nan, q, nan, nan, SINGULAR)
    factor = variance_factor(design, kind, ssc)
    rows, _ = adjusted_rows(design, vectors / np.sqrt(values) @ vectors.T @ c, kind)
    eta = q * (q + 1) / (factor**2 * working_covariance(design, rows, kind).spread())
    df = eta - q + 1
    if df <= 0:
        return JointTest(nan, q, nan, nan, f"not available, because its denominator degrees of freedom are {df:.1f}")
    F = df / (eta * q) * wald
    return JointTest(F, q, df, float(stats.f.sf(F, q, df)))
