"""Dates exchanged among units: counts, and every refitted estimate against `fit` itself under the exchanged dates."""

from __future__ import annotations

from collections import Counter

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import DataError, UsageError
from p4equity.inference.reassignment import (
    count_reassignments,
    law,
    one_by_one,
    reassignment_test,
    reassignments,
)
from reassignment_panel import OPTIONS, panel


def exchanges(frame: pd.DataFrame, by: str = "u") -> list[dict[str, float | None]]:
    """All distinct ways of giving the observed dates to the holders."""
    first = frame.drop_duplicates(by)
    dates = [None if np.isnan(c) else c for c in first["g"].astype(float)]
    counts, rows = Counter(dates), [[]]
    for _ in dates:
        rows = [[*row, date] for row in rows for date in counts if row.count(date) < counts[date]]
    return [dict(zip(first[by], row, strict=True)) for row in rows]


def fitted(frame: pd.DataFrame, columns: np.ndarray, by: str = "u") -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of regressors (N, K) beside all dummies, weighted by w, and their CR0 errors by `by`: rows in full."""
    D = np.column_stack([columns, *(pd.get_dummies(frame[c]).to_numpy(float) for c in ("u", "t"))])
    w = frame["w"].to_numpy(float)
    M = np.linalg.pinv((D * w[:, None]).T @ D, rcond=1e-11)
    b = M @ (D * w[:, None]).T @ frame["y"].to_numpy()
    scores = pd.DataFrame(D * (w * (frame["y"].to_numpy() - D @ b))[:, None]).groupby(frame[by].to_numpy()).sum().to_numpy()
    return b[: columns.shape[1]], np.sqrt(np.sum((scores @ M[:, : columns.shape[1]]) ** 2, axis=0))


def literal(
    frame: pd.DataFrame, contrast: tuple[float, ...] = (1.0,), by: str = "u", x: bool = False, studentized: bool = False
) -> tuple[float, np.ndarray]:
    """The observed statistic, and its size under every exchange of dates: regressions of the rows, one after another.

    contrast: over event times -2 (and earlier), 0, 1 (and later), or of one coefficient after treatment.
    """
    sizes = []
    for given in [frame.drop_duplicates(by).set_index(by)["g"].to_dict(), *exchanges(frame, by)]:
        event = frame["t"] - frame[by].map(given).astype(float)
        levels = [event <= -2, event == 0, event >= 1] if len(contrast) > 1 else [event >= 0]
        X = np.column_stack([*(np.asarray(level, float) for level in levels), *([frame["x"]] if x else [])])
        b, errors = fitted(frame, X, by)
        sizes.append(float(b[: len(contrast)] @ contrast) / (errors[0] if studentized else 1))
    return sizes[0], np.abs(sizes[1:])


def share(own: float, sizes: np.ndarray) -> float:
    return float(np.mean(sizes >= abs(own) * (1 - 1e-9)))


def test_counts_and_distinct_rows() -> None:
    for labels, strata in (([0, 0, 1, 2, 2, 2], [0] * 6), ([0, 1, 1, 2, 0, 0, 1], [0, 0, 0, 0, 1, 1, 1]), ([3, 3, 3], [0, 0, 0])):
        codes, groups = np.array(labels), np.array(strata)
        drawn = reassignments(codes, groups)
        rows = {tuple(row) for row in drawn.table}
        assert len(rows) == len(drawn.table) == drawn.total == count_reassignments(codes, groups)
        assert tuple(labels) == tuple(drawn.table[drawn.observed])
        for s in set(strata):
            held = Counter(codes[groups == s])
            assert all(Counter(row[groups == s]) == held for row in drawn.table)
    assert count_reassignments(np.array([0] * 5 + [1] * 7), np.zeros(12, int)) == 792


def test_drawn_ones_are_seeded_start_with_the_observed_and_keep_strata() -> None:
    codes, groups = np.arange(24) % 3, np.repeat([0, 1], 12)
    drawn, again = (reassignments(codes, groups, limit=500, seed=4) for _ in range(2))
    assert drawn.sampled
    assert np.array_equal(drawn.table, again.table)
    assert np.array_equal(drawn.table[0], codes)
    assert (np.sort(drawn.table[:, :12], axis=1) == np.sort(codes[:12])).all()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("x", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_staggered_did_refits_every_exchange(seed: int, x: bool, weighted: bool) -> None:
    frame = panel(seed)
    frame = frame if weighted else frame.assign(w=1)
    own, sizes = literal(frame, x=x)
    options = OPTIONS | ({"weights": "w"} if weighted else {}) | ({"covariates": "x"} if x else {})
    out = p4equity.fit("did", frame, inference=["permutation_raw", "permutation"], **options)
    assert len(sizes) == 105
    assert out["p_value"].iloc[0] == pytest.approx(share(own, sizes), abs=1e-12)
    assert (out["estimate"].iloc[0], out["statistic"].iloc[0]) == pytest.approx((own, own), rel=1e-9)
    assert out["p_attainable"].iloc[0] == pytest.approx(1 / 105)
    pd.testing.assert_frame_equal(*(out.iloc[[i]].drop(columns="inference").reset_index(drop=True) for i in (0, 1)))


@pytest.mark.parametrize("seed", [0, 1])
def test_studentized_refits_the_robust_t_of_every_exchange(seed: int) -> None:
    frame = panel(seed, (2014, 2014, 2016, None, None, None))
    own, sizes = literal(frame, x=True, studentized=True)
    methods = ["permutation_studentized", "cr0"]
    out = p4equity.fit("did", frame, inference=methods, **OPTIONS, weights="w", covariates="x")
    assert out["statistic"].to_numpy() == pytest.approx([own, own], rel=1e-8)
    assert out["p_value"].iloc[0] == pytest.approx(share(own, sizes), abs=1e-12)


@pytest.mark.parametrize("weights", ["constant", "of units", "of rows", "unbalanced"])
def test_studentized_paths_whatever_units_have_in_common(weights: str) -> None:
    # Equal designs (one regression serves all exchanges), multiples of one design, and designs of their own.
    frame = panel(4, (2014, 2014, 2015, None, None, None))
    first = frame.groupby("u")["w"].transform("first")
    frame = frame.assign(w={"constant": 1, "of units": first}.get(weights, frame["w"]))
    frame = frame.drop(index=[3, 17]) if weights == "unbalanced" else frame
    options = {"weights": "w", "bin_below": -2, "bin_above": 1}
    methods = ["permutation_studentized", "cr0"]
    out = p4equity.fit("event_study", frame, inference=methods, **OPTIONS, **options).set_index(["event_time", "inference"])
    own, sizes = literal(frame, contrast=(1, 0, 0), studentized=True)
    row = out.loc[(-2, "permutation_studentized")]
    assert row["statistic"] == pytest.approx(own, rel=1e-8)
    assert row["p_value"] == pytest.approx(share(own, sizes), abs=1e-12)
    effect = p4equity.fit("did", frame, inference=methods, weights="w", **OPTIONS)
    own, sizes = literal(frame, studentized=True)
    assert effect["statistic"].iloc[0] == pytest.approx(own, rel=1e-8)
    assert effect["p_value"].iloc[0] == pytest.approx(share(own, sizes), abs=1e-12)


def test_clusters_exchange_dates_with_all_their_units() -> None:
    frame = pd.concat([panel(0), panel(3).assign(u=lambda f: f["u"] + "b")])
    frame = frame.assign(c=frame["u"].str[:2])
    frame = frame[np.random.default_rng(0).random(len(frame)) > 0.1]
    for studentized, word in ((False, "permutation"), (True, "permutation_studentized")):
        own, sizes = literal(frame, by="c", studentized=studentized)
        out = p4equity.fit("did", frame, inference=word, parent="c", weights="w", **OPTIONS).iloc[0]
        assert out["statistic"] == pytest.approx(own, rel=1e-8)
        assert out["p_value"] == pytest.approx(share(own, sizes), abs=1e-12)
    mixed = frame.assign(g=frame["g"].where(frame["u"] != "u0b"))
    assert "different dates" in p4equity.fit("did", mixed, inference="permutation", parent="c", **OPTIONS)["reason"].iloc[0]


def test_the_path_of_an_event_study() -> None:
    frame = panel(2, (2014, 2014, 2015, None, None, None))
    options = {"weights": "w", "bin_below": -2, "bin_above": 1}
    out = p4equity.fit("event_study", frame, inference="permutation", **OPTIONS, **options)
    paths = {"average": (0, 0.5, 0.5), -2: (1, 0, 0), 0: (0, 1, 0), 1: (0, 0, 1)}
    for name, contrast in paths.items():
        row = out.iloc[0] if name == "average" else out[out["event_time"].eq(name).fillna(False).astype(bool)].iloc[0]
        own, sizes = literal(frame, contrast=contrast)
        assert row["estimate"] == pytest.approx(own, rel=1e-8)
        assert row["p_value"] == pytest.approx(share(own, sizes), abs=1e-12)
    assert "needs a covariance" in out.set_index("estimand").loc["pretrend", "reason"]


def test_gap_groups_and_their_average() -> None:
    rng = np.random.default_rng(5)
    base = panel(5)
    levels = {r: base.assign(r=r, y=base["y"] + rng.normal(size=len(base)), w=rng.integers(5, 60, len(base))) for r in "abc"}
    options = {"group": "r", "reference": "a", "weights": "w"}
    out = p4equity.fit("did", pd.concat(levels.values()), inference="permutation", **OPTIONS, **options)
    rows, a = out.set_index(["group", "estimand"]), levels["a"]
    total = {}
    for group in "bc":
        g = levels[group]
        gap = a.assign(y=a["y"] - g["y"], w=a["w"] * g["w"] / (a["w"] + g["w"]))
        own, sizes = literal(gap)
        found = rows.loc[(group, "att_gap")]
        assert (found["estimate"], found["p_value"]) == pytest.approx((own, share(own, sizes)), rel=1e-9)
        after = [np.asarray(gap["t"] - gap["u"].map(given).astype(float) >= 0, float) for given in exchanges(gap)]
        total[group] = np.array([float(fitted(gap, column[:, None])[0][0]) for column in after])
        part = a.assign(y=a["y"], w=gap["w"])
        own, sizes = literal(part)
        assert rows.loc[(group, "att_reference"), "p_value"] == pytest.approx(share(own, sizes), abs=1e-12)
    both = (total["b"] + total["c"]) / 2
    pooled = rows.loc[("pooled", "att_gap")]
    assert pooled["p_value"] == pytest.approx(share(pooled["estimate"], np.abs(both)), abs=1e-12)


@pytest.mark.parametrize("inference", ["permutation_raw", "permutation_studentized"])
def test_the_interval_holds_the_effects_not_rejected(inference: str) -> None:
    frame = panel(6, (2014, 2014, 2016, None, None, None))
    frame = frame.assign(y=frame["y"] + 3 * (frame["t"] >= frame["g"]))
    options = {**OPTIONS, "weights": "w", "inference": inference}
    out = p4equity.fit("did", frame, **options).iloc[0]
    assert np.isfinite([out["conf_low"], out["conf_high"]]).all()
    for end, outward in ((out["conf_low"], -1), (out["conf_high"], 1)):
        for step, rejected in ((1e-4, True), (-1e-4, False)):
            value = end + outward * step
            moved = frame.assign(y=frame["y"] - value * (frame["t"] >= frame["g"]))
            assert (p4equity.fit("did", moved, **options)["p_value"].iloc[0] <= 0.05) is np.bool_(rejected)


def test_one_cohort_without_weights_agrees_with_permuting_changes() -> None:
    frame = panel(7, (2014, 2014, 2014, None, None, None, None, None))
    changes = p4equity.fit("did", frame, inference=["permutation", "permutation_raw"], **OPTIONS)
    dates = p4equity.fit("did", frame.assign(one=1.0), weights="one", inference="permutation", **OPTIONS).iloc[0]
    for column in ("estimate", "p_value", "p_attainable", "conf_low", "conf_high"):
        assert changes[column].to_numpy() == pytest.approx([dates[column]] * 2, abs=1e-5)
    assert changes["statistic"].iloc[1] == pytest.approx(dates["statistic"], rel=1e-9)


def test_strata_of_units() -> None:
    cohorts = (2014, 2014, 2016, None, None, None, None, None)
    frame = panel(8, cohorts).assign(s=lambda f: "s" + (f["u"].str[1].astype(int) % 2).astype(str), w=1)
    held = {k: sorted(map(str, cohorts[k::2])) for k in (0, 1)}
    sizes = []
    for given in exchanges(frame):
        if all(sorted(str(given[f"u{i}"] and int(given[f"u{i}"])) for i in range(k, 8, 2)) == held[k] for k in (0, 1)):
            after = frame["t"] - frame["u"].map(given).astype(float) >= 0
            sizes.append(abs(float(fitted(frame, np.asarray(after, float)[:, None])[0][0])))
    out = p4equity.fit("did", frame, inference="permutation", strata="s", **OPTIONS).iloc[0]
    assert len(sizes) == 48
    assert out["p_attainable"] == pytest.approx(1 / 48)
    assert out["p_value"] == pytest.approx(share(out["estimate"], np.array(sizes)), abs=1e-12)
    one = panel(8, (2014, 2014, 2014, None, None, None, None, None)).assign(s=frame["s"].to_numpy())
    assert p4equity.fit("did", one, inference="permutation", strata="s", **OPTIONS)["p_attainable"].iloc[0] == pytest.approx(
        1 / 24
    )


def test_strata_that_cannot_be_used() -> None:
    frame = panel()
    call = {"inference": "permutation", **OPTIONS}
    with pytest.raises(DataError, match="stratum changes within a unit"):
        p4equity.fit("did", frame.assign(s=frame["t"] % 2), strata="s", **call)
    with pytest.raises(DataError, match="units without a stratum"):
        p4equity.fit("did", frame.assign(s=frame["s"].where(frame["u"] != "u3")), strata="s", **call)
    with pytest.raises(UsageError, match="no column 'nowhere'"):
        p4equity.fit("did", frame, strata="nowhere", **call)
    with pytest.raises(UsageError, match="not a column"):
        p4equity.fit("did", frame, strata=["s"], **call)
    alone = frame.assign(s=frame["g"].isna())
    assert "no other assignment" in p4equity.fit("did", alone[alone["g"] != 2016], strata="s", **call)["reason"].iloc[0]


def test_what_has_no_answer_by_dates() -> None:
    frame = panel()
    anticipated = p4equity.fit("did", frame, inference="permutation", anticipation=1, **OPTIONS).iloc[0]
    assert "window of anticipation" in anticipated["reason"]
    later = p4equity.fit("did", frame, inference="permutation", aggregate="cohort", comparison="not_yet", **OPTIONS)
    assert list(later["status"]) == ["ok", "not_estimable", "not_estimable"]
    clean = p4equity.fit("did", frame, inference="permutation", aggregate="cohort", **OPTIONS)
    assert list(clean["status"]) == ["ok"] * 3
    assert list(clean["p_attainable"]) == pytest.approx([1 / 105, 1 / 15, 1 / 5])
    flat = p4equity.fit("did", frame.assign(y=frame["t"] * 2.0), inference="permutation", **OPTIONS).iloc[0]
    assert "alike" in flat["reason"]
    single = p4equity.fit(
        "did", frame[~frame["u"].isin(["u0", "u1"])], inference="permutation_studentized", weights="w", **OPTIONS
    )
    assert "two treated" in single["reason"].iloc[0]
    assert "sampling errors" in p4equity.fit("did", frame, inference="permutation_standardized", **OPTIONS)["reason"].iloc[0]


def test_drawing_above_the_limit_is_said() -> None:
    frame = panel()
    exact = p4equity.fit("did", frame, inference="permutation", **OPTIONS).iloc[0]
    out = p4equity.fit("did", frame, inference="permutation", limit=80, seed=2, **OPTIONS)
    assert any("80 of the possible assignments were drawn: Monte Carlo error" in w for w in out.attrs["warnings"])
    assert out["p_value"].iloc[0] == pytest.approx(exact["p_value"], abs=0.2)
    pd.testing.assert_frame_equal(p4equity.fit("did", frame, inference="permutation", limit=80, seed=2, **OPTIONS), out)


def test_one_label_vector_at_a_time_serves_any_estimator() -> None:
    rng = np.random.default_rng(1)
    y, labels = rng.normal(size=8), np.array([1, 1, 1, 0, 0, 0, 0, 0])
    drawn = reassignments(labels)

    def difference(row: np.ndarray) -> tuple[float, float]:
        a = row == 1
        return y[a].mean() - y[~a].mean(), labels[a].mean() - labels[~a].mean()

    result = reassignment_test(drawn, law(drawn, one_by_one(difference), block=10))
    from p4equity.inference.permutation import permutation_test

    expected = permutation_test(y, labels == 1, statistic="raw")
    assert (result.p_value, result.p_attainable) == (expected.p_value, expected.p_attainable)
    assert result.estimate == pytest.approx(expected.estimate, rel=1e-12)
    assert (result.conf_low, result.conf_high) == pytest.approx((expected.conf_low, expected.conf_high), abs=1e-5)
