"""Conley and Taber, Ferman and Pinto: against loops over draws and dense regressions, their size, and their words in `fit`."""

from __future__ import annotations

from itertools import product

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import DataError, UsageError
from p4equity.inference.few_treated import conley_taber, ferman_pinto, of_changes

OPTIONS = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g"}


def sample(seed: int, treated: int = 2, n: int = 9) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    s = np.exp(rng.normal(size=n))
    y = rng.normal(size=n) * np.sqrt(0.3 + s)
    return y, np.arange(n) < treated, s


def draws(W: list[np.ndarray], own: list[float], spread: list[np.ndarray], scale: float) -> np.ndarray:
    """Sizes of all sums of one rescaled residual a treated unit, drawn with replacement, one after another."""
    out = []
    for pick in product(range(len(W[0])), repeat=len(W)):
        out.append(scale * sum(np.sqrt(own[j]) * W[j][k] / spread[j][k] for j, k in enumerate(pick)))
    return np.abs(out)


def literal(y: np.ndarray, arm: np.ndarray, V: np.ndarray, w: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Estimate and draws where unit i has variance V_i."""
    w = np.ones(len(y)) if w is None else w
    a, b = w[arm] / w[arm].sum(), w[~arm] / w[~arm].sum()
    rest = y[~arm] - b @ y[~arm]
    center = np.eye(len(b)) - np.tile(b, (len(b), 1))
    sd = np.sqrt(np.diag(center @ np.diag(V[~arm]) @ center.T))
    own = a**2 * V[arm]
    scale = float(np.sqrt((own.sum() + b**2 @ V[~arm]) / own.sum()))
    return float(a @ y[arm] - b @ y[~arm]), draws([rest] * len(a), list(own), [sd] * len(a), scale)


@pytest.mark.parametrize("treated", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_conley_taber_is_the_share_of_draws(treated: int, seed: int) -> None:
    y, arm, s = sample(seed, treated)
    b, sizes = literal(y, arm, np.ones(len(y)))
    estimate, loads = of_changes(y, arm, s)
    result = conley_taber(estimate, loads)
    assert estimate == pytest.approx(b)
    assert result.n_draws == len(sizes) == (9 - treated) ** treated
    assert result.p_value == pytest.approx((1 + np.sum(sizes >= abs(b) * (1 - 1e-9))) / (1 + len(sizes)), abs=1e-12)
    assert result.p_attainable == 1 / (1 + len(sizes))


@pytest.mark.parametrize("treated", [1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_ferman_pinto_rescales_by_the_fitted_variance(treated: int, seed: int) -> None:
    y, arm, s = sample(seed, treated, n=12)
    c = y[~arm] - y[~arm].mean()
    n = len(c)
    center = np.eye(n) - 1 / n
    X = np.column_stack([np.diag(center @ center), np.diag(center @ np.diag(s[~arm]) @ center)])
    a, b = np.linalg.lstsq(X, c**2, rcond=None)[0]
    if b < 0:
        a, b = float(X[:, 0] @ c**2 / (X[:, 0] @ X[:, 0])), 0.0
    elif a < 0:
        a, b = 0.0, float(X[:, 1] @ c**2 / (X[:, 1] @ X[:, 1]))
    own, sizes = literal(y, arm, a + b * s)
    result = ferman_pinto(*of_changes(y, arm, s))
    assert result.p_value == pytest.approx((1 + np.sum(sizes >= abs(own) * (1 - 1e-9))) / (1 + len(sizes)), abs=1e-12)
    assert result.slope == pytest.approx((b * s / (a + b * s))[arm], rel=1e-8)


@pytest.mark.parametrize("seed", [0, 1])
def test_known_sampling_variances_and_weights(seed: int) -> None:
    y, arm, v = sample(seed)
    w = 1 / (0.3 + v)
    own, sizes = literal(y, arm, 0.3 + v, w)
    estimate, loads = of_changes(y, arm, v, w)
    result = ferman_pinto(estimate, loads, between=0.3)
    assert estimate == pytest.approx(own)
    assert result.p_value == pytest.approx((1 + np.sum(sizes >= abs(own) * (1 - 1e-9))) / (1 + len(sizes)), abs=1e-12)


def test_equal_sizes_make_both_methods_one() -> None:
    y, arm, _ = sample(3)
    a, b = (method(*of_changes(y, arm, np.full(9, 0.2))) for method in (conley_taber, ferman_pinto))
    assert (a.p_value, a.conf_low, a.conf_high) == pytest.approx((b.p_value, b.conf_low, b.conf_high), rel=1e-9)


@pytest.mark.parametrize("method", [conley_taber, ferman_pinto])
@pytest.mark.parametrize("conf_level", [0.9, 0.95])
def test_the_interval_holds_the_effects_not_rejected(method: object, conf_level: float) -> None:
    y, arm, s = sample(4)
    result = method(*of_changes(y, arm, s), conf_level=conf_level)  # type: ignore[operator]
    for end, outward in ((result.conf_low, -1), (result.conf_high, 1)):
        for step, rejected in ((1e-6, True), (-1e-6, False)):
            p = method(*of_changes(y - (end + outward * step) * arm, arm, s)).p_value  # type: ignore[operator]
            assert (p <= 1 - conf_level + 1e-9) is rejected


def test_one_treated_unit_needs_nineteen_comparisons_for_five_percent() -> None:
    for n, bounded in ((19, False), (20, True)):
        y = np.r_[100.0, np.random.default_rng(n).normal(size=n - 1)]
        result = conley_taber(*of_changes(y, np.arange(n) < 1, np.ones(n)))
        assert result.p_value == result.p_attainable == pytest.approx(1 / n)
        assert np.isfinite(result.conf_low) == bounded
    with pytest.raises(UsageError, match="two comparison units"):
        conley_taber(*of_changes(np.array([1.0, 2.0]), np.array([True, False]), np.ones(2)))


def test_many_draws_are_sampled_and_say_so() -> None:
    y, arm, s = sample(5, treated=4, n=20)
    exact, some = (conley_taber(*of_changes(y, arm, s), limit=limit, seed=1) for limit in (70_000, 4_000))
    assert (exact.sampled, some.sampled) == (False, True)
    assert some.p_value == pytest.approx(exact.p_value, abs=5 * some.monte_carlo_error)
    assert some.p_value == conley_taber(*of_changes(y, arm, s), limit=4_000, seed=1).p_value


def test_drawn_units_depend_neither_on_names_nor_on_their_order() -> None:
    y, arm, s = sample(3, treated=4, n=16)
    turn = np.random.default_rng(0).permutation(16)
    one, two = (conley_taber(*of_changes(y[o], arm[o], s[o]), limit=2_000, seed=1) for o in (np.arange(16), turn))
    assert one.sampled
    assert one.p_value == two.p_value
    assert (one.conf_low, one.conf_high) == pytest.approx((two.conf_low, two.conf_high), rel=1e-9)


def test_size_with_one_or_two_treated_units() -> None:
    # 19 comparison units: one treated unit can reach 5%. Equal noise for Conley and Taber; known variances for the other.
    rng = np.random.default_rng(7)
    rejected = {"equal": [0, 0], "sizes": [0, 0]}
    reps = 1500
    for _ in range(reps):
        v = np.exp(1.8 * rng.normal(size=21)) * 0.5
        z = rng.normal(size=21)
        for k, treated in enumerate((1, 2)):
            arm = np.arange(21) < treated
            keep = arm | (np.arange(21) >= 2)
            rejected["equal"][k] += conley_taber(*of_changes(z[keep], arm[keep], v[keep])).p_value <= 0.05
            known = ferman_pinto(*of_changes((z * np.sqrt(1 + v))[keep], arm[keep], v[keep]), between=1.0)
            rejected["sizes"][k] += known.p_value <= 0.05
    for counts in rejected.values():
        for count in counts:
            assert 0.03 < count / reps < 0.07  # Monte Carlo error 0.006


@pytest.mark.slow
def test_sizes_stated_in_the_docstrings() -> None:
    from p4equity.inference.random_effects import tau2_estimate

    for where, low, high in (("typical", (0.05, 0.07), (0.06, 0.09)), ("smallest", (0.15, 0.35), (0.09, 0.19))):
        rng = np.random.default_rng(1)
        for omega in (0.0, 0.75, 2.5):
            p: list[list[float]] = [[], [], []]
            for _ in range(30):
                n = np.sort(np.exp(0.9 * rng.normal(size=14)))
                arm = np.isin(np.arange(14), [4, 9] if where == "typical" else [0, 1])
                v = 1.5**2 / (n / n.mean())
                for _ in range(40):
                    y = rng.normal(size=14) * np.sqrt(omega**2 + v)
                    tau2 = tau2_estimate(y[~arm], np.ones((12, 1)), v[~arm])
                    p[0].append(conley_taber(*of_changes(y, arm, v)).p_value)
                    p[1].append(ferman_pinto(*of_changes(y, arm, v)).p_value)
                    p[2].append(ferman_pinto(*of_changes(y, arm, v), between=tau2).p_value)
            rates = [float(np.mean(np.array(x) <= 0.05)) for x in p]
            assert low[0] - 0.02 < rates[0] < low[1] + 0.02
            assert high[0] - 0.02 < rates[1] < high[1] + 0.02
            assert 0.04 < rates[2] < 0.12


def panel(seed: int, cohorts: tuple[float | None, ...] = (2014, 2016), others: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [(f"u{i:02d}", t, c) for i, c in enumerate([*cohorts, *[None] * others]) for t in range(2011, 2019)]
    out = pd.DataFrame(rows, columns=["u", "t", "g"])
    size = rng.integers(20, 400, len(cohorts) + others)[out["u"].str[1:].astype(int)]
    noise = rng.normal(size=len(out)) * (0.3 + 5 / np.sqrt(size))
    return out.assign(n=size, y=noise + 0.5 * (out["t"] >= out["g"]), x=rng.normal(size=len(out)))


def dense(frame: pd.DataFrame, w: np.ndarray, covariates: list[str], size: np.ndarray | None) -> tuple[float, np.ndarray]:
    """Estimate and draws of the panel from the row weights of a regression with all dummies."""
    D = np.column_stack([
        (frame["t"] >= frame["g"]).astype(float), frame[covariates],
        *(pd.get_dummies(frame[c]).to_numpy(float) for c in ("u", "t")),
    ])  # fmt: skip
    M = np.linalg.pinv((D * w[:, None]).T @ D, rcond=1e-11) @ (D * w[:, None]).T
    y = frame["y"].to_numpy()
    b = M @ y
    y = y - frame[covariates].to_numpy() @ b[1 : 1 + len(covariates)] if covariates else y
    at = pd.Series(M[0], index=pd.MultiIndex.from_frame(frame[["u", "t"]])).unstack()
    values = pd.Series(y, index=at.stack().index).unstack()
    units = frame.drop_duplicates("u").set_index("u")["g"]
    treated, others = list(units.index[units.notna()]), list(units.index[units.isna()])
    one_over = pd.DataFrame(0.0, at.index, at.columns) if size is None else 1 / pd.Series(size, index=at.stack().index).unstack()
    weight = pd.Series(w, index=at.stack().index).unstack().loc[others].sum(axis=1)
    share = (weight / weight.sum()).to_numpy()
    center = np.eye(len(others)) - np.tile(share, (len(others), 1))
    W, own, spread, models = [], [], [], []
    for j in treated:
        path = at.loc[j].to_numpy()
        rest = center @ (values.loc[others].to_numpy() @ path)
        s = (one_over.loc[others].to_numpy() @ path**2) / (path @ path)
        c, X = path @ path, np.diag(center @ center.T)
        if size is None:
            A, B = 1.0, 0.0
        else:
            Z = c * np.column_stack([X, np.diag(center @ np.diag(s) @ center.T)])
            A, B = np.linalg.lstsq(Z, rest**2, rcond=None)[0]
            A, B = (Z[:, 0] @ rest**2 / (Z[:, 0] @ Z[:, 0]), 0.0) if B < 0 else (A, B)
            A, B = (0.0, Z[:, 1] @ rest**2 / (Z[:, 1] @ Z[:, 1])) if A < 0 else (A, B)
        W.append(rest)
        own.append(A * c + B * float(one_over.loc[j].to_numpy() @ path**2))
        spread.append(np.sqrt(c * np.diag(center @ np.diag(A + B * s) @ center.T)))
        models.append((A, B))
    A, B = np.mean(models, axis=0)
    squares = at.loc[others].to_numpy() ** 2
    total = sum(own) + A * squares.sum() + B * float((squares * one_over.loc[others].to_numpy()).sum())
    return float(b[0]), draws(W, own, spread, float(np.sqrt(total / sum(own))))


@pytest.mark.parametrize("cohorts", [(2014,), (2014, 2014), (2014, 2016)], ids=["one", "one date", "two dates"])
@pytest.mark.parametrize("weights", [None, "n"])
@pytest.mark.parametrize("covariates", [[], ["x"]], ids=["", "x"])
def test_panels_against_a_dense_regression(cohorts: tuple[int, ...], weights: str | None, covariates: list[str]) -> None:
    frame = panel(len(cohorts), cohorts)
    w = np.ones(len(frame)) if weights is None else frame[weights].to_numpy(float)
    sizes = {} if weights else {"sizes": "n"}
    words = ["conley_taber", "ferman_pinto"]
    out = p4equity.fit("did", frame, inference=words, weights=weights, covariates=covariates, **sizes, **OPTIONS)
    for row, size in ((out.iloc[0], None), (out.iloc[1], frame["n"].to_numpy(float))):
        b, found = dense(frame, w, covariates, size)
        assert row["estimate"] == pytest.approx(b, rel=1e-9)
        assert row["p_value"] == pytest.approx((1 + np.sum(found >= abs(b) * (1 - 1e-9))) / (1 + len(found)), abs=1e-12)
        m = int(np.floor(0.05 * (1 + len(found)) * (1 + 1e-9)))
        half = np.sort(found)[-m] if m else np.nan
        assert row[["conf_low", "conf_high"]].tolist() == pytest.approx([b - half, b + half], rel=1e-8, nan_ok=True)


def test_one_date_is_the_test_of_changes() -> None:
    frame = panel(8, (2014, 2014))
    after = frame["t"] >= 2014
    changes = frame[after].groupby("u")["y"].mean() - frame[~after].groupby("u")["y"].mean()
    expected = conley_taber(*of_changes(changes.to_numpy(), np.arange(10) < 2, np.ones(10)))
    out = p4equity.fit("did", frame, inference="conley_taber", **OPTIONS).iloc[0]
    assert (out["estimate"], out["p_value"]) == pytest.approx((expected.estimate, expected.p_value), rel=1e-9)
    assert (out["conf_low"], out["conf_high"]) == pytest.approx((expected.conf_low, expected.conf_high), rel=1e-9)
    table = pd.DataFrame({"y": changes.to_numpy(), "g": [2014.0] * 2 + [np.nan] * 8, "se": 0.4})
    meta = p4equity.fit("meta_regression", table, outcome="y", cohort="g", inference="conley_taber").iloc[0]
    assert meta["p_value"] == out["p_value"]


def test_comparison_units_that_miss_periods_give_no_residual() -> None:
    frame = panel(9, others=9)
    short = frame[~((frame["u"] == "u05") & (frame["t"] == 2017)) & ~((frame["u"] == "u06") & (frame["t"] < 2013))]
    out = p4equity.fit("did", short, inference="conley_taber", **OPTIONS)
    assert out["p_attainable"].iloc[0] == pytest.approx(1 / (1 + 7**2))
    assert any("2 comparison units that miss periods" in text for text in out.attrs["warnings"])
    none = short[(short["g"].notna()) | short["u"].isin(["u05", "u06", "u07"])]
    assert (
        "two comparison units observed in all periods"
        in p4equity.fit("did", none, inference="conley_taber", **OPTIONS)["reason"].iloc[0]
    )


def test_few_treated_units_are_answered_without_a_word() -> None:
    frame = panel(10)
    plain, weighted = (p4equity.fit("did", frame, weights=w, **OPTIONS) for w in (None, "n"))
    assert list(plain["inference"]) == ["conley_taber"]
    assert list(weighted["inference"]) == ["ferman_pinto"]
    assert plain["std_error"].isna().all()
    assert any("cr2 needs 3 or more, conley_taber answers instead" in text for text in plain.attrs["warnings"])
    assert p4equity.fit("did", frame, inference="cr2", **OPTIONS)["status"].iloc[0] == "not_estimable"
    assert p4equity.fit("did", frame, variance="cr2", **OPTIONS)["status"].iloc[0] == "not_estimable"
    three = p4equity.fit("did", panel(10, (2014, 2015, 2016)), **OPTIONS)
    assert list(three["inference"]) == ["cr2"]


def test_gap_with_sizes_of_each_outcome() -> None:
    a, b = panel(11), panel(12)
    frame = pd.concat([a.assign(r="white", n=a["n"] * 3), b.assign(r="black", g=a["g"])])
    out = p4equity.fit("did", frame, group="r", reference="white", weights="n", inference="ferman_pinto", **OPTIONS).set_index(
        "estimand"
    )
    assert out.loc["att_gap", "estimate"] == pytest.approx(
        out.loc["att_reference", "estimate"] - out.loc["att_group", "estimate"]
    )
    n0, n1 = 3.0 * a["n"].to_numpy(), b["n"].to_numpy(float)
    gap = a.assign(y=a["y"].to_numpy() - b["y"].to_numpy())
    for name, y, size in (("gap", gap["y"], n1 * n0 / (n1 + n0)), ("reference", a["y"], n0), ("group", b["y"], n1)):
        own, found = dense(gap.assign(y=y.to_numpy()), n1 * n0 / (n1 + n0), [], size)
        row = out.loc[f"att_{name}"]
        assert row["estimate"] == pytest.approx(own, rel=1e-9)
        assert row["p_value"] == pytest.approx((1 + np.sum(found >= abs(own) * (1 - 1e-9))) / (1 + len(found)), abs=1e-12)


def test_scale_order_and_names_change_nothing() -> None:
    frame = panel(13)
    words = {"inference": ["conley_taber", "ferman_pinto"], "weights": "n"}
    out = p4equity.fit("did", frame, **words, **OPTIONS)
    names = {u: f"z{k}" for k, u in enumerate(sorted(frame["u"].unique(), reverse=True))}
    shuffled = frame.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(p4equity.fit("did", shuffled, **words, **OPTIONS), out)
    other = p4equity.fit("did", frame.assign(u=frame["u"].map(names), y=100 * frame["y"] + 3), **words, **OPTIONS)
    assert other["p_value"].to_numpy() == pytest.approx(out["p_value"].to_numpy())
    assert other["conf_low"].to_numpy() == pytest.approx(100 * out["conf_low"].to_numpy(), rel=1e-8)


def test_changes_with_sampling_errors() -> None:
    y, arm, v = sample(14, n=11)
    frame = pd.DataFrame({"y": y, "g": np.where(arm, 1.0, np.nan), "se": np.sqrt(v)})
    call = {"outcome": "y", "cohort": "g", "inference": "ferman_pinto"}
    out = p4equity.fit("meta_regression", frame, sampling_se="se", **call).iloc[0]
    from p4equity.inference.random_effects import tau2_estimate

    tau2 = tau2_estimate(y[~arm], np.ones((9, 1)), v[~arm])
    own, found = literal(y, arm, tau2 + v, 1 / (tau2 + v))
    assert out["estimate"] == pytest.approx(own, rel=1e-9)
    assert out["p_value"] == pytest.approx((1 + np.sum(found >= abs(own) * (1 - 1e-9))) / (1 + len(found)), abs=1e-12)
    assert "sampling_se" in p4equity.fit("meta_regression", frame, **call)["reason"].iloc[0]


def test_what_has_no_answer() -> None:
    frame = panel(15)
    words = {"inference": ["conley_taber", "ferman_pinto"]}
    out = p4equity.fit("did", frame, **words, **OPTIONS)
    assert "needs sizes" in out["reason"].iloc[1]
    quiet = frame.assign(y=np.where(frame["g"].isna(), 0.0, frame["y"]))
    assert "no variation" in p4equity.fit("did", quiet, **words, weights="n", **OPTIONS)["reason"].iloc[1]
    assert "two-way" in p4equity.fit("did", frame, **words, cluster=["u", "t"], **OPTIONS)["reason"].iloc[0]
    with pytest.raises(DataError, match="sizes of zero"):
        p4equity.fit("did", frame.assign(n=0), sizes="n", **words, **OPTIONS)
    with pytest.raises(UsageError, match="unknown inference"):
        p4equity.fit("event_study", frame, **words, **OPTIONS)
