"""Two-way fixed effects against fixest, clubSandwich, summclust and fwildclusterboot, and a case worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import StudyError

HERE = Path(__file__).parent
EXPECTED = pd.read_csv(HERE / "expected.csv")


def first_treated(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(cohort=frame["first_treat"].where(frame["treated"] == 1))


@pytest.fixture(scope="module")
def gap() -> pd.DataFrame:
    return first_treated(pd.read_csv(HERE / "hs_common_system_year.csv"))


@pytest.fixture(scope="module")
def practices() -> pd.DataFrame:
    return first_treated(pd.read_csv(HERE.parent / "triple_difference" / "hs_common.csv"))


def reference(spec: str, vcov: str, subset: str | None = None, estimator: str | None = None) -> pd.Series:
    rows = EXPECTED[EXPECTED["spec"].str.startswith(spec) & (EXPECTED["vcov"] == vcov)]
    rows = rows[rows["subset"].isna()] if subset is None else rows[rows["subset"] == subset]
    rows = rows if estimator is None else rows[rows["estimator"] == estimator]
    assert len(rows) >= 1, (spec, vcov)
    return rows.iloc[0]


def one(frame: pd.DataFrame, **options: object) -> pd.Series:
    return p4equity.fit("did", frame, time="year", cohort="cohort", **options).iloc[0]


def agree(row: pd.Series, expected: pd.Series, df: bool = True) -> None:
    assert row["status"] == "ok"
    assert row["estimate"] == pytest.approx(expected["estimate"], abs=1e-7)
    assert row["std_error"] == pytest.approx(expected["se"], rel=1e-6)
    if df and np.isfinite(expected["df"]):
        assert row["df"] == pytest.approx(expected["df"], rel=1e-6)
        assert row["p_value"] == pytest.approx(expected["p"], rel=1e-5)


SSC = {
    "vcov(m, vcov = ~{c})": ("cr1", "fixest"),
    "vcov(m, vcov = ~{c}, ssc = ssc(K.adj = FALSE))": ("cr1", "none"),
    'vcov(m, vcov = ~{c}, ssc = ssc(K.fixef = "full"))': ("cr1", "stata"),
    "vcov(m, vcov = ~{c}, ssc = ssc(K.adj = FALSE, G.adj = FALSE))": ("cr0", "fixest"),
}


@pytest.mark.parametrize("vcov", SSC)
def test_gap_panel_equals_fixest(gap: pd.DataFrame, vcov: str) -> None:
    inference, ssc = SSC[vcov]
    row = one(gap, outcome="gap", unit="system", inference=inference, ssc=ssc)
    agree(row, reference("feols(gap ~ post | system + year, x)", vcov.format(c="system")))


def test_weighted_gap_panel_equals_fixest(gap: pd.DataFrame) -> None:
    row = one(gap, outcome="gap", unit="system", weights="n", variance="CR1")
    agree(row, reference("feols(gap ~ post | system + year, x, weights = ~n)", "vcov(m, vcov = ~system)"))


@pytest.mark.parametrize("race", ["White", "Black", "Hispanic", "Asian"])
@pytest.mark.parametrize("weights", ["n", None])
def test_practices_in_systems_equal_fixest(practices: pd.DataFrame, race: str, weights: str | None) -> None:
    rows = practices[practices["race"] == race]
    row = one(rows, outcome="rate", unit="practice", parent="system", weights=weights, variance="CR1")
    spec = "feols(rate ~ post | practice + year, x" + (", weights = ~n)" if weights else ")")
    agree(row, reference(spec, "vcov(m, vcov = ~system)", f"race=={race}"))


@pytest.mark.parametrize("race", ["White", "Black"])
def test_repeated_rows_of_a_unit_and_period_equal_fixest(practices: pd.DataFrame, race: str) -> None:
    row = one(practices[practices["race"] == race], outcome="rate", unit="system", weights="n", variance="CR1")
    agree(row, reference("feols(rate ~ post | system + year, x, weights = ~n)", "vcov(m, vcov = ~system)", f"race=={race}"))


@pytest.mark.parametrize("vcov", SSC)
@pytest.mark.parametrize("weights", [None, "popwt"])
def test_castle_doctrine_equals_fixest(castle: pd.DataFrame, vcov: str, weights: str | None) -> None:
    inference, ssc = SSC[vcov]
    row = one(castle, outcome="l_homicide", unit="sid", weights=weights, inference=inference, ssc=ssc)
    spec = "feols(l_homicide ~ post_cd | state + year, castle" + (", weights = ~popwt)" if weights else ")")
    agree(row, reference(spec, vcov.format(c="state")))


@pytest.fixture(scope="module")
def castle() -> pd.DataFrame:
    from causaldata import castle

    frame = castle.load_pandas().data[["sid", "year", "l_homicide", "post", "popwt"]]
    start = frame[frame["post"] > 0].groupby("sid")["year"].min()
    return frame.assign(cohort=frame["sid"].map(start))


@pytest.mark.parametrize("kind", ["CR0", "CR2"])
@pytest.mark.parametrize("level", ["gap", "practice"])
def test_unweighted_variances_equal_clubsandwich(gap: pd.DataFrame, practices: pd.DataFrame, kind: str, level: str) -> None:
    if level == "gap":
        row = one(gap, outcome="gap", unit="system", variance=kind)
        expected = reference("m <- lm(gap ~ post + system + yr, data = y) ;", kind)
    else:
        row = one(practices[practices["race"] == "Black"], outcome="rate", unit="practice", parent="system", variance=kind)
        expected = reference("m <- lm(rate ~ post + practice + yr, data = z) ;", kind, "race==Black")
    agree(row, expected, df=kind == "CR2")


@pytest.mark.parametrize("weights", [None, "n"])
def test_cr3_equals_leaving_clusters_out(gap: pd.DataFrame, practices: pd.DataFrame, weights: str | None) -> None:
    name = "jackknife sum (b_g-b)^2 [clubSandwich CR3]"
    row = one(gap, outcome="gap", unit="system", weights=weights, variance="CR3")
    agree(row, reference(f"feols(gap ~ post | system + year, weights = {weights or 'none'})", name), df=False)
    rows = practices[practices["race"] == "Black"]
    row = one(rows, outcome="rate", unit="practice", parent="system", weights=weights, variance="CR3")
    agree(row, reference(f"feols(rate ~ post | practice + year, weights = {weights or 'none'})", name, "race==Black"), df=False)


def test_cr3_times_g_minus_one_over_g_is_summclust(gap: pd.DataFrame) -> None:
    row = one(gap, outcome="gap", unit="system", variance="CR3")
    assert row["std_error"] * np.sqrt(19 / 20) == pytest.approx(reference("vcov_CR3J", "CRV3")["se"], rel=1e-6)


@pytest.mark.parametrize("method", ["wild_bootstrap", "wild_bootstrap_unrestricted"])
def test_enumerated_wild_bootstrap_equals_fwildclusterboot(gap: pd.DataFrame, method: str) -> None:
    ten = gap[gap["system"] <= "S10"]
    row = one(ten, outcome="gap", unit="system", inference=method, ssc="stata")
    rows = EXPECTED[(EXPECTED["vcov"] == "full enumeration") & EXPECTED["spec"].str.contains('p_val_type = "two-tailed"')]
    restricted = "TRUE" if method == "wild_bootstrap" else "FALSE"
    expected = rows[rows["spec"].str.contains(f"impose_null = {restricted}")].iloc[0]
    # fwildclusterboot prints 0 where no draw is more extreme; here such a p is the smallest the enumeration can give.
    assert row["p_value"] == max(expected["p"], row["p_attainable"])
    assert row["statistic"] == pytest.approx(expected["stat"], rel=1e-9)
    assert row["conf_low"] == pytest.approx(expected["ci_low"], abs=5e-7)
    assert row["conf_high"] == pytest.approx(expected["ci_high"], abs=5e-7)
    assert row["p_attainable"] == 2 / 1024


@pytest.mark.parametrize("scheme", ["rademacher", "webb"])
def test_sampled_wild_bootstrap_is_near_fwildclusterboot(gap: pd.DataFrame, scheme: str) -> None:
    row = one(gap, outcome="gap", unit="system", inference="wild_bootstrap", wild_weights=scheme, draws=99_999, ssc="stata")
    spec = EXPECTED["spec"].str.contains(f'type = "{scheme}"') & (EXPECTED["vcov"] == "Monte Carlo")
    assert row["p_value"] == pytest.approx(EXPECTED.loc[spec, "p"].mean(), abs=0.002)
    assert row["conf_low"] == pytest.approx(EXPECTED.loc[spec, "ci_low"].mean(), abs=5e-4)


def test_two_by_two_by_hand() -> None:
    # Treated move from 10 and 14 to 19 and 21: +8 on average. Comparison from 8 and 10 to 11 and 13: +3. Effect 5.
    levels = {"A": (10, 19), "B": (14, 21), "C": (8, 11), "D": (10, 13)}
    rows = [(u, t, y, 2 if u in "AB" else None) for u, pair in levels.items() for t, y in zip((1, 2), pair, strict=True)]
    frame = pd.DataFrame(rows, columns=["u", "t", "y", "g"])
    options = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g"}
    out = p4equity.fit("did", frame, inference=["none", "permutation", "cr2"], **options).set_index("inference")
    assert out.loc["none", "estimate"] == pytest.approx(5.0, abs=1e-12)
    # Changes 9, 7, 3, 3: of six ways to pick two treated, the observed one and its mirror reach the largest difference.
    assert out.loc["permutation", "p_value"] == pytest.approx(2 / 6)
    assert out.loc["cr2", "status"] == "not_estimable"
    assert "2 treated clusters" in out.loc["cr2", "reason"]


def test_cr0_of_a_difference_in_means_by_hand() -> None:
    # Changes 1, 2, 3 and 0, 0, 3: effect 1. CR0 of a difference in means: sum of squared deviations over n squared, (2 + 6) / 9.
    change = dict(zip("ABCDEF", (1.0, 2.0, 3.0, 0.0, 0.0, 3.0), strict=True))
    rows = [(u, t, d * (t == 2), 2 if u in "ABC" else None) for u, d in change.items() for t in (1, 2)]
    frame = pd.DataFrame(rows, columns=["u", "t", "y", "g"])
    row = p4equity.fit("did", frame, outcome="y", unit="u", time="t", cohort="g", variance="CR0").iloc[0]
    assert row["estimate"] == pytest.approx(1.0, abs=1e-12)
    assert row["std_error"] == pytest.approx(np.sqrt(8 / 9), rel=1e-12)


def test_cohort_rows_use_clean_comparisons(castle: pd.DataFrame) -> None:
    options = {"outcome": "l_homicide", "unit": "sid", "time": "year", "cohort": "cohort", "inference": "none"}
    out = p4equity.fit("did", castle, aggregate="cohort", **options)
    alone = castle[castle["cohort"].isna() | (castle["cohort"] == 2007)]
    expected = p4equity.fit("did", alone, **options).iloc[0]
    assert out["cohort"].isna().iloc[0]
    assert out.set_index("cohort").loc[2007, "estimate"] == pytest.approx(expected["estimate"], abs=1e-12)
    with pytest.raises(StudyError, match="not_yet"):
        p4equity.fit("did", castle[castle["cohort"].notna()], **options)
