"""What holds of every estimator behind `fit`, whichever there are: an answer or a reason on any data, and invariances."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import P4Error
from p4equity.estimators import ESTIMATORS

CALL: dict[str, Any] = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g"}
NUMBERS = ["estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "df", "p_attainable"]
STARTS: tuple[float | None, ...] = (2014, 2014, 2014, 2015, 2015, 2015, None, None, None, None)
QUICK = {
    *("cr2", "cr3", "wild_bootstrap", "permutation", "permutation_studentized", "conley_taber", "ferman_pinto"),
    *("averaged_t", "knapp_hartung", "bjs", "analytical", "multiplier_bootstrap", "delta", "placebo", "jackknife", "none"),
}
GROUPED = "triple_difference"  # the estimator that needs a group
ONE_GROUP = {"bacon"}  # decompositions: one row a comparison, no gap
Frame = pd.DataFrame
Ugly = Callable[[Frame], tuple[Frame, dict[str, Any]]]


def panel(seed: int = 0, starts: tuple[float | None, ...] = STARTS) -> Frame:
    rng = np.random.default_rng(seed)
    rows = [(f"u{i}", t, c) for i, c in enumerate(starts) for t in range(2011, 2018)]
    out = pd.DataFrame(rows, columns=["u", "t", "g"]).assign(g=lambda d: d["g"].astype("Float64"))
    size = rng.integers(20, 300, len(starts))[out["u"].str[1:].astype(int)]
    return out.assign(y=rng.normal(size=len(out)) + 0.3 * after(out), x=rng.normal(size=len(out)), n=size)


def after(frame: Frame) -> np.ndarray:
    return np.asarray((frame["t"] >= frame["g"]).fillna(False), float)


def number(frame: Frame) -> pd.Series:
    return frame["u"].str[1:].astype(float)


def groups(frame: Frame, noisy: bool = True, seed: int = 5) -> Frame:
    """The frame twice, as the reference group and as another one with noise of its own."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=len(frame)) * float(noisy)
    return pd.concat([frame.assign(r="a"), frame.assign(r="b", y=frame["y"] + noise)], ignore_index=True)


def other(*starts: float | None) -> Ugly:
    return lambda _: (panel(3, starts), {})


UGLY: dict[str, Ugly] = {
    "nothing wrong": lambda d: (d, {}),
    "one cluster": lambda d: (d.assign(c=1), {"cluster": "c"}),
    "two clusters": lambda d: (d.assign(c=d["g"].isna().astype(int)), {"cluster": "c"}),
    "clusters across arms": lambda d: (d.assign(c=number(d) % 3), {"cluster": "c"}),
    "one treated unit": other(2014, *[None] * 7),
    "two treated units": other(2014, 2015, *[None] * 6),
    "one comparison unit": other(*[2014] * 5, None),
    "one unit an arm": other(2014, None),
    "one unit a cohort": other(2012, 2013, 2014, 2015, None),
    "no period before": lambda d: (d[d["t"] >= 2015], {}),
    "no period before some": lambda d: (d[d["t"] >= 2014], {}),
    "one period before": other(2012, 2012, 2012, None, None, None, None),
    "one period after": other(2017, 2017, 2017, None, None, None, None),
    "two periods": lambda d: (d[(d["g"] != 2015).fillna(True) & d["t"].isin([2013, 2014])], {}),
    "one period": lambda d: (d[d["t"] == 2014], {}),
    "collinear covariates": lambda d: (d.assign(x2=2 * d["x"]), {"covariates": ["x", "x2"]}),
    "covariate of units": lambda d: (d.assign(x=number(d)), {"covariates": "x"}),
    "covariate that is the treatment": lambda d: (d.assign(x=after(d)), {"covariates": "x"}),
    "more covariates than rows": lambda d: (
        d.assign(**{f"x{i}": np.random.default_rng(i).normal(size=len(d)) for i in range(75)}),
        {"covariates": [f"x{i}" for i in range(75)]},
    ),
    "outcome of zero": lambda d: (d.assign(y=0.0), {}),
    "constant outcome": lambda d: (d.assign(y=0.1), {}),
    "outcome of effects alone": lambda d: (d.assign(y=0.1 * d["t"] + number(d) / 3), {}),
    "effect without noise": lambda d: (d.assign(y=0.1 * d["t"] + number(d) / 3 + after(d)), {}),
    "treated without noise": lambda d: (d.assign(y=np.where(d["g"].isna(), d["y"], 0.7 * after(d))), {}),
    "comparisons without noise": lambda d: (d.assign(y=np.where(d["g"].isna(), 0.0, d["y"])), {}),
    "some weights of zero": lambda d: (d.assign(n=np.where(np.arange(len(d)) % 9 == 0, 0, d["n"])), {"weights": "n"}),
    "weights of zero": lambda d: (d.assign(n=0), {"weights": "n"}),
    "treated weights of zero": lambda d: (d.assign(n=np.where(d["g"].notna(), 0, d["n"])), {"weights": "n"}),
    "weights far apart": lambda d: (d.assign(n=10.0 ** (number(d) - 5)), {"weights": "n"}),
    "all treated at once": other(*[2014] * 6),
    "all treated in turn": other(2013, 2013, 2014, 2014, 2016, 2016),
    "all treated, not yet": lambda d: (d[d["g"].notna()], {"comparison": "not_yet"}),
    "nobody treated": other(*[None] * 5),
    "treated throughout, and later": other(2009, 2011, 2030, 2014, 2014, 2014, None, None, None),
    "no outcome after treatment": lambda d: (d.assign(y=d["y"].where(after(d) == 0)), {}),
    "a third missing": lambda d: (d[np.random.default_rng(3).random(len(d)) > 0.33], {}),
    "an exit": lambda d: (d[(d["u"] != "u0") | (d["t"] < 2016)], {}),
    "rows twice": lambda d: (pd.concat([d, d]), {}),
    "anticipation throughout": lambda d: (d, {"anticipation": 9}),
    "gap": lambda d: (groups(d), {"group": "r", "reference": "a", "weights": "n"}),
    "group without treated": lambda d: (
        groups(d).query("r == 'a' or g != g"), {"group": "r", "reference": "a", "weights": "n"},
    ),
    "group without comparisons": lambda d: (
        groups(d).query("r == 'a' or g == g"), {"group": "r", "reference": "a", "weights": "n"},
    ),
    "no rows": lambda d: (d[:0], {}),
}  # fmt: skip
CORE = (
    *("one cluster", "one treated unit", "one comparison unit", "no period before some", "two periods", "collinear covariates"),
    *("covariate that is the treatment", "outcome of zero", "constant outcome", "effect without noise", "some weights of zero"),
    *("all treated, not yet", "treated throughout, and later", "a third missing", "group without comparisons"),
)
NO_NOISE = ("outcome of zero", "constant outcome", "outcome of effects alone", "effect without noise")


def words(id: str, among: set[str] = QUICK) -> list[str]:
    return [w for w in import_module(f"p4equity.estimators.{id}").INFERENCES if w in among]


def everything(id: str) -> list[str]:
    return list(import_module(f"p4equity.estimators.{id}").INFERENCES)


def fit(id: str, frame: Frame, inference: object = None, noisy: bool = True, **given: Any) -> Frame:
    """`fit` with few draws, and with two groups where the estimator needs them."""
    options = import_module(f"p4equity.estimators.{id}").OPTIONS
    few = {name: value for name, value in (("draws", 40), ("limit", 120)) if name in options}
    if id == GROUPED and "group" not in given:
        frame, given = groups(frame, noisy=noisy), {**given, "group": "r", "reference": "a"}
    return p4equity.fit(id, frame, inference=inference, **{**CALL, **few, **given})


def faults(out: Frame) -> list[str]:
    """What is wrong with rows, whatever they answer."""
    found = []
    for row in out.to_dict("records"):
        name = f"{row['estimand']}, {row['inference']}, {row['event_time']}, {row['interval']}"
        numbers = {c: float(row[c]) for c in NUMBERS if pd.notna(row[c])}
        if row["status"] != "ok":
            found += [f"{name}: no reason"] if not row["reason"] else []
            found += [f"{name}: numbers without an answer"] if numbers else []
            continue
        found += [f"{name}: {c} is {v}" for c, v in numbers.items() if not np.isfinite(v)]
        found += [f"{name}: no estimate"] if "estimate" not in numbers else []
        found += [f"{name}: standard error {v}" for v in [numbers.get("std_error", 1.0)] if not v > 0]
        found += [f"{name}: df {v}" for v in [numbers.get("df", 1.0)] if not v > 0]
        certain = abs(numbers.get("statistic", 0.0)) > 30  # beyond that a p value may round to 0
        found += [f"{name}: p {v}" for v in [numbers.get("p_value", 1.0)] if not (0 < v <= 1 or (v == 0 and certain))]
        if "conf_low" in numbers and "conf_high" in numbers and numbers["conf_low"] > numbers["conf_high"]:
            found.append(f"{name}: limits cross")
    return found


def attempt(id: str, case: str, methods: list[str]) -> Frame | None:
    """Rows, or None where `fit` refuses with a message for people; a library's error or warning goes through."""
    frame, given = UGLY[case](panel())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return fit(id, frame, methods, noisy=case not in NO_NOISE, **given)
        except P4Error as error:
            return None if error.problem and error.exit_code in (2, 10, 11) else pd.DataFrame([{"status": repr(error)}])


@pytest.mark.parametrize("case", CORE)
@pytest.mark.parametrize("id", ESTIMATORS)
def test_an_answer_or_a_reason_on_any_data(id: str, case: str) -> None:
    judged(attempt(id, case, words(id)), case)


@pytest.mark.slow
@pytest.mark.parametrize("case", UGLY)
@pytest.mark.parametrize("id", ESTIMATORS)
def test_an_answer_or_a_reason_from_every_method(id: str, case: str) -> None:
    judged(attempt(id, case, everything(id)), case)


def judged(out: Frame | None, case: str) -> None:
    """Rows without a fault, and none that takes rounding for noise."""
    if out is None:
        return
    assert faults(out) == []
    if case in NO_NOISE:
        errors = out.loc[out["status"] == "ok", "std_error"].dropna()
        assert (errors > 1e-7).all(), "rounding taken for an error"
    if case in NO_NOISE[:3]:
        assert out.loc[out["status"] == "ok", "p_value"].isna().all(), "a test of rounding"


@pytest.mark.parametrize("id", ESTIMATORS)
@pytest.mark.parametrize("case", ["nobody treated", "all treated at once", "no rows", "weights of zero"])
def test_nothing_to_compare_is_an_error_of_the_study_or_the_data(id: str, case: str) -> None:
    frame, given = UGLY[case](panel())
    with pytest.raises(P4Error) as caught:
        fit(id, frame, **given)
    assert caught.value.exit_code in (10, 11)
    assert "expected" in str(caught.value)


def same(found: Frame, expected: Frame, rtol: float = 1e-7, columns: list[str] | None = None) -> None:
    left = [frame[frame["estimand"] != "left_out"][columns or NUMBERS].reset_index(drop=True) for frame in (found, expected)]
    pd.testing.assert_frame_equal(*left, rtol=rtol, atol=1e-9)


@pytest.mark.parametrize("id", ESTIMATORS)
def test_row_order_does_not_move_a_bit(id: str) -> None:
    frame = groups(panel(1))
    given = {"group": "r", "reference": "a", "weights": "n"}
    expected = fit(id, frame, words(id)[:4], **given)
    found = fit(id, frame.sample(frac=1, random_state=2).reset_index(drop=True), words(id)[:4], **given)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def options(id: str) -> tuple[str, ...]:
    return tuple(import_module(f"p4equity.estimators.{id}").OPTIONS)


@pytest.mark.parametrize("id", ESTIMATORS)
def test_names_of_units_do_not_matter(id: str) -> None:
    frame = panel(2)
    names = dict(zip(sorted(frame["u"].unique()), "qwertzuiop", strict=True))
    methods, given = words(id), {"weights": "n"}
    same(fit(id, frame.assign(u=frame["u"].map(names)), methods, **given), fit(id, frame, methods, **given), rtol=1e-6)


@pytest.mark.parametrize("id", ESTIMATORS)
def test_scale_and_shift_of_the_outcome(id: str) -> None:
    grouped = id == GROUPED
    frame = groups(panel(3)) if grouped else panel(3)
    given = {"group": "r", "reference": "a"} if grouped else {}
    expected = fit(id, frame, words(id), **given)
    found = fit(id, frame.assign(y=100 * frame["y"] + 7), words(id), **given)
    for column in ("estimate", "std_error", "conf_low", "conf_high"):
        ok = expected["estimand"].ne("left_out") & expected[column].notna()
        unit = np.where(expected["estimand"].str.contains("weight|share"), 1, 100)[ok]
        np.testing.assert_allclose(found.loc[ok, column], expected.loc[ok, column] * unit, rtol=2e-5, atol=1e-6)
    same(found, expected, 1e-6, ["p_value"])
    assert list(found["status"]) == list(expected["status"])


@pytest.mark.parametrize("id", ESTIMATORS)
def test_a_cell_split_in_two_is_the_same_cell(id: str) -> None:
    frame = groups(panel(4))
    given = {"group": "r", "reference": "a", "weights": "n"}
    methods = words(id)
    half = frame.assign(n=frame["n"] / 2)
    given |= {"ssc": "none"} if "ssc" in options(id) else {}  # the others count rows
    same(fit(id, pd.concat([half, half]), methods, **given), fit(id, frame, methods, **given))


@pytest.mark.parametrize("id", ESTIMATORS)
def test_a_unit_without_outcomes_changes_nothing_but_is_named(id: str) -> None:
    frame = panel(5)
    ghost = frame[frame["u"] == "u9"].assign(u="ghost", y=np.nan)
    expected = fit(id, frame, words(id))
    found = fit(id, pd.concat([frame, ghost]), words(id))
    pd.testing.assert_frame_equal(
        found[found["estimand"] != "left_out"][NUMBERS].reset_index(drop=True),
        expected[expected["estimand"] != "left_out"][NUMBERS].reset_index(drop=True),
        check_exact=True,
    )
    assert found["estimand"].iloc[-1] == "left_out"
    assert "ghost" in found["reason"].iloc[-1]


def test_no_number_depends_on_the_hash_seed() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_every_estimator import *\n"
        "for id in ESTIMATORS:\n"
        "    out = fit(id, groups(panel(6)), words(id)[:3], group='r', reference='a', weights='n')\n"
        "    print(id, out.to_csv(float_format='%.17g'), out.attrs)\n"
    )
    command = [sys.executable, "-c", code, __file__.rsplit("/", 1)[0]]
    started = [
        subprocess.Popen(command, env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True)
        for seed in ("1", "2")
    ]
    runs = [process.communicate()[0] for process in started]
    assert runs[0] == runs[1]
    assert all(id in runs[0] for id in ESTIMATORS)


@pytest.mark.parametrize("id", [i for i in ESTIMATORS if "wild_bootstrap" in everything(i)])
def test_the_wild_bootstrap_serves_every_regression(id: str) -> None:
    frame = panel(7, (2014, 2014, 2014, 2014, None, None, None, None))
    out = fit(id, frame, ["wild_bootstrap", "wild_bootstrap_unrestricted"])
    rows = out[out["status"].eq("ok") & out["p_value"].notna()]
    assert set(rows["inference"]) == {"wild_bootstrap", "wild_bootstrap_unrestricted"}
    assert rows["statistic"].notna().all()
    assert (rows["p_value"] >= rows["p_attainable"]).all()
    assert rows["p_attainable"].unique() == pytest.approx([2 / 2**8])  # all sign vectors of eight clusters


FROM_CLUSTERS = {
    *("cr0", "cr1", "cr2", "cr3", "cv3", "cv3j", "wild_bootstrap", "wild_bootstrap_unrestricted", "relative_magnitudes"),
    *(
        "smoothness",
        "pretest_power",
        "analytical",
        "multiplier_bootstrap",
        "delta",
        "exact",
        "bjs",
        "gmm",
        "jackknife",
        "bootstrap",
    ),
}


@pytest.mark.parametrize("starts", [(2014,), (2014, 2014), (2013, 2015)], ids=str)
@pytest.mark.parametrize("id", [i for i in ESTIMATORS if words(i, FROM_CLUSTERS)])
def test_one_or_two_treated_clusters_have_no_error_but_are_told_what_answers(id: str, starts: tuple[float, ...]) -> None:
    frame = panel(8, (*starts, *[None] * 7))
    out = fit(id, frame, words(id, FROM_CLUSTERS))
    out = out[out["estimand"] != "left_out"]
    assert set(out["inference"]) == set(words(id, FROM_CLUSTERS))
    assert (out["status"] == "not_estimable").all()
    assert out[NUMBERS].isna().all(axis=None)
    few = rf"{len(starts)} treated clusters?: cluster-robust and bootstrap errors need 3 or more; instead: \w+"
    assert re.match(few, out["reason"].iloc[0])
    rest = out[~out["reason"].str.contains(few)]
    assert rest["reason"].str.contains("instead: |needs a covariance|not those of one path").all()
    assert fit(id, frame, "none")["estimate"].notna().iloc[0]


@pytest.mark.parametrize("starts", [(2014, 2014, 2014, None, None), (2014, 2014, None, None)], ids=str)
@pytest.mark.parametrize("id", [i for i in ESTIMATORS if words(i, FROM_CLUSTERS)])
def test_one_or_two_comparison_clusters_have_no_error(id: str, starts: tuple[float | None, ...]) -> None:
    out = fit(id, panel(8, starts), words(id, FROM_CLUSTERS))
    assert (out["status"] == "not_estimable").all()
    assert out["reason"].iloc[0]


def test_cohorts_of_two_have_errors_where_all_treated_clusters_are_three_or_more() -> None:
    frame = panel(9, (2014, 2014, 2015, 2015, *[None] * 6))
    for id, kind in (("group_time", "group"), ("imputation", "cohort"), ("extended_twfe", "group")):
        out = fit(id, frame, aggregate=kind)
        of_cohorts = out[out["cohort"].notna() & out["event_time"].isna() & out["interval"].eq("pointwise")]
        assert len(of_cohorts) == 2
        assert out["std_error"].iloc[0] > 0
        assert (of_cohorts["std_error"] > 0).all()
        assert any("two treated clusters" in text for text in out.attrs["warnings"])
