"""Joint tests of several coefficients on per-cluster moments, with a small-sample denominator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

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


@dataclass(frozen=True)
class JointTest:
    """F test that several linear combinations are zero; numbers are NaN and `reason` filled when it is not available."""

    statistic: float
    df_numerator: float
    df_denominator: float
    p_value: float
    reason: str = ""


def _expected(design: ClusterDesign, c: Array, kind: str, ssc: str) -> Array:
    """Expectation (q, q) of the robust covariance under the working model; for CR2 the working covariance itself."""
    rows, _ = adjusted_rows(design, c, kind)
    return variance_factor(design, kind, ssc) * working_covariance(design, rows).within


def joint_test(moments: ClusterMoments, contrasts: Array, *, kind: str = "CR2", ssc: str = "fixest") -> JointTest:
    """Are several contrasts (q, k) jointly zero? Approximate Hotelling T2 test with a small-sample denominator (AHT,
    'HTZ').

    Not available, with the reason, where the approximate denominator degrees of freedom are not positive, or where one
    cluster alone identifies one of the coefficients (with the Moore-Penrose inverse the test rejects a true null about
    half of the time there).
    Source: Pustejovsky and Tipton (2018); Zhang (2012).
    """
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
    expected = _expected(design, c, kind, ssc)
    values, vectors = np.linalg.eigh(expected)
    if values[0] <= 1e-10 * values[-1] or np.linalg.matrix_rank(V, tol=1e-10 * float(np.trace(V))) < q:
        return JointTest(nan, q, nan, nan, "not available, because the joint covariance is singular: too few clusters")
    factor = variance_factor(design, kind, ssc)
    rows, _ = adjusted_rows(design, vectors / np.sqrt(values) @ vectors.T @ c, kind)
    eta = q * (q + 1) / (factor**2 * working_covariance(design, rows).spread())
    df = eta - q + 1
    if df <= 0:
        return JointTest(nan, q, nan, nan, f"not available, because its denominator degrees of freedom are {df:.1f}")
    b = c @ moments.theta
    F = df / (eta * q) * float(b @ np.linalg.solve(V, b))
    return JointTest(F, q, df, float(stats.f.sf(F, q, df)))
