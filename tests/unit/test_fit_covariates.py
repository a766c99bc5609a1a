"""Covariates: members' own values, and columns that are mostly a common trend, against dense least squares."""

from __future__ import annotations

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import DataError

PLAIN = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g"}


def rows(seed: int = 0, members: int = 5, weighted: bool = False) -> pd.DataFrame:
    """Members of 9 units in 6 periods, with a covariate that varies inside unit and period."""
    rng = np.random.default_rng(seed)
    index = [
        (u, t, 3.0 + u % 2 if u < 4 else np.nan) for u in range(9) for t in range(6) for _ in range(rng.integers(2, members + 1))
    ]
    out = pd.DataFrame(index, columns=["u", "t", "g"])
    out["d"] = (out["t"] >= out["g"]).astype(float)
    out["x"] = rng.normal(size=len(out)) + 0.4 * out["d"]
    out["w"] = rng.uniform(0.5, 3, len(out)) if weighted else 1.0
    return out.assign(y=rng.normal(size=len(out)) + 0.8 * out["x"] + 0.3 * out["d"] + 0.2 * out["u"])


def dense(frame: pd.DataFrame, columns: list[str]) -> tuple[float, float, float, int]:
    """First coefficient, CR0, CR2 errors and N - K of the row regression with all effects as dummies, in N x N space."""
    root = np.sqrt(frame["w"].to_numpy())
    E = np.hstack([pd.get_dummies(frame[c]).to_numpy(float) for c in ("u", "t")]) * root[:, None]
    U = np.linalg.svd(E, full_matrices=False)[0][:, : np.linalg.matrix_rank(E)]
    X, y = frame[columns].to_numpy() * root[:, None], frame["y"].to_numpy() * root
    for _ in range(2):
        X, y = X - U @ (U.T @ X), y - U @ (U.T @ y)
    M = np.linalg.inv(X.T @ X)
    b = M @ X.T @ y
    H = np.eye(len(y)) - U @ U.T - X @ M @ X.T
    e, parts = y - X @ b, {0.0: 0.0, -0.5: 0.0}
    for unit in frame["u"].unique():
        i = np.flatnonzero(frame["u"] == unit)
        values, vectors = np.linalg.eigh(H[np.ix_(i, i)])
        kept = values > 1e-9
        for power in parts:
            A = vectors[:, kept] * values[kept] ** power @ vectors[:, kept].T
            parts[power] += float(M[0] @ X[i].T @ A @ e[i]) ** 2
    return float(b[0]), np.sqrt(parts[0.0]), np.sqrt(parts[-0.5]), len(y) - len(columns) - frame["t"].nunique()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_members_covariates_are_adjusted_for_row_by_row(seed: int, weighted: bool) -> None:
    frame = rows(seed, weighted=weighted)
    options = {**PLAIN, "weights": "w"} if weighted else PLAIN
    out = p4equity.fit("did", frame, covariates=["x"], inference=["cr0", "cr1", "cr2"], **options).set_index("inference")
    b, cr0, cr2, rest = dense(frame, ["d", "x"])
    assert out.loc["cr0", "estimate"] == pytest.approx(b, abs=1e-12)
    assert out.loc["cr0", "std_error"] == pytest.approx(cr0, rel=1e-10)
    assert out.loc["cr2", "std_error"] == pytest.approx(cr2, rel=1e-10)
    # fixest counts rows: G / (G - 1) (N - 1) / (N - K), unit effects nested in the clusters.
    assert out.loc["cr1", "std_error"] == pytest.approx(cr0 * np.sqrt(9 / 8 * (len(frame) - 1) / rest), rel=1e-10)
    assert out.loc["cr0", "n_cells"] == 54


def test_event_study_and_triple_difference_adjust_rows_too() -> None:
    frame = rows(2)
    exact = frame.assign(y=2.0 * frame["x"] + 0.5 * frame["d"] + 0.1 * frame["t"] + frame["u"])
    out = p4equity.fit("event_study", exact, covariates="x", inference="none", **PLAIN)
    assert out["estimate"].iloc[0] == pytest.approx(0.5, abs=1e-10)
    both = pd.concat([exact.assign(r="a", y=exact["y"] - 0.5 * exact["d"]), exact.assign(r="b")])
    out = p4equity.fit("triple_difference", both, covariates="x", group="r", reference="a", inference="none", **PLAIN)
    assert out["estimate"].iloc[0] == pytest.approx(-0.5, abs=1e-10)


def test_a_gap_has_no_rows_to_adjust_and_says_so() -> None:
    both = pd.concat([rows(3).assign(r="a"), rows(4).assign(r="b")])
    with pytest.raises(DataError, match="varies within unit, group and period"):
        p4equity.fit("did", both, covariates="x", group="r", reference="a", **PLAIN)
    fixed = both.assign(x=both["t"] ** 2.0 + both["u"] * both["t"])
    assert p4equity.fit("did", fixed, covariates="x", group="r", reference="a", **PLAIN)["status"].iloc[0] == "ok"


@pytest.mark.parametrize("scale", [1e3, 5e4, 1e6, 1e-7])
def test_a_covariate_that_is_mostly_a_common_trend_keeps_its_digits(scale: float) -> None:
    frame = rows(5)
    expected = p4equity.fit("did", frame, covariates="x", inference=["cr2", "wild_bootstrap"], **PLAIN)
    trend = frame.assign(x=min(scale, 1.0) * frame["x"] + scale * (frame["t"] - 2))
    found = p4equity.fit("did", trend, covariates="x", inference=["cr2", "wild_bootstrap"], **PLAIN)
    for column in ("estimate", "std_error", "df", "p_value"):
        np.testing.assert_allclose(found[column], expected[column], rtol=1e-6)
    assert found.attrs["warnings"] == expected.attrs["warnings"]


def test_an_outcome_on_a_steep_common_trend_keeps_its_digits() -> None:
    frame = rows(6)
    expected = p4equity.fit("did", frame, inference=["cr2", "cr3"], **PLAIN)
    found = p4equity.fit("did", frame.assign(y=frame["y"] + 1e6 * frame["t"]), inference=["cr2", "cr3"], **PLAIN)
    np.testing.assert_allclose(found[["estimate", "std_error"]], expected[["estimate", "std_error"]], rtol=1e-7)


def test_covariates_that_are_left_out_are_named() -> None:
    frame = rows(7).assign(z=lambda f: f["t"] * 3.0, v=lambda f: 2 * f["x"] - 1)
    out = p4equity.fit("did", frame, covariates=["x", "z", "v"], **PLAIN)
    left = [w for w in out.attrs["warnings"] if "left out" in w]
    assert [w.split("'")[1] for w in left] == ["z", "v"]
    assert out["estimate"].iloc[0] == pytest.approx(
        p4equity.fit("did", frame, covariates="x", **PLAIN)["estimate"].iloc[0], abs=1e-12
    )
