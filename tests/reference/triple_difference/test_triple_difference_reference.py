"""Triple difference against fixest and clubSandwich, and against the gap panel it equals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import UsageError

HERE = Path(__file__).parent
EXPECTED = pd.read_csv(HERE / "expected.csv")
OPTIONS = {"outcome": "rate", "time": "year", "cohort": "cohort", "group": "race", "reference": "White"}
SYSTEM = "feols(rate ~ tpm | system^race + race^year + system^year, x"
VCOV = "vcov(m, vcov = ~system)"


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    frame = pd.read_csv(HERE / "hs_common.csv")
    return frame.assign(cohort=frame["first_treat"].where(frame["treated"] == 1))


def reference(spec: str, vcov: str = VCOV, subset: str | None = None) -> pd.Series:
    rows = EXPECTED[(EXPECTED["spec"] == spec) & (EXPECTED["vcov"] == vcov)]
    rows = rows[rows["subset"].isna()] if subset is None else rows[rows["subset"] == subset]
    assert len(rows) == 1, (spec, vcov)
    return rows.iloc[0]


def agree(row: pd.Series, expected: pd.Series) -> None:
    assert row["estimate"] == pytest.approx(-expected["estimate"], abs=1e-7)
    assert row["std_error"] == pytest.approx(expected["se"], rel=1e-6)


@pytest.mark.parametrize(
    ("vcov", "inference", "ssc"),
    [
        (VCOV, "cr1", "fixest"),
        ("vcov(m, vcov = ~system, ssc = ssc(K.adj = FALSE))", "cr1", "none"),
        ("vcov(m, vcov = ~system, ssc = ssc(K.adj = FALSE, G.adj = FALSE))", "cr0", "fixest"),
    ],
)
def test_pooled_row_equals_fixest(cells: pd.DataFrame, vcov: str, inference: str, ssc: str) -> None:
    out = p4equity.fit("triple_difference", cells, unit="system", weights="n", inference=inference, ssc=ssc, **OPTIONS)
    agree(out.iloc[0], reference(f"{SYSTEM}, weights = ~n)", vcov))
    assert out["group"].iloc[0] == "pooled"


def test_rows_by_group_equal_fixest(cells: pd.DataFrame) -> None:
    out = p4equity.fit("triple_difference", cells, unit="system", weights="n", variance="CR1", **OPTIONS).set_index("group")
    rows = EXPECTED[(EXPECTED["estimator"] == "feols_ddd_by_race") & (EXPECTED["vcov"] == VCOV)]
    assert len(rows) == 3
    for _, row in rows.iterrows():
        agree(out.loc[row["term"].split("::")[1].split(":")[0]], row)


def test_unweighted_and_practice_effects_equal_fixest(cells: pd.DataFrame) -> None:
    plain = p4equity.fit("triple_difference", cells, unit="system", variance="CR1", **OPTIONS).iloc[0]
    agree(plain, reference(f"{SYSTEM})"))
    practice = {"unit": "practice", "weights": "n", "variance": "CR1"}
    within = p4equity.fit("triple_difference", cells, parent="system", **practice, **OPTIONS).iloc[0]
    agree(within, reference("feols(rate ~ tpm | practice^race + race^year + system^year, x, weights = ~n)"))
    own = p4equity.fit("triple_difference", cells, cluster="system", **practice, **OPTIONS).iloc[0]
    agree(own, reference("feols(rate ~ tpm | practice^race + race^year + practice^year, x, weights = ~n)"))


def test_unweighted_cr2_and_cr3_equal_clubsandwich(cells: pd.DataFrame) -> None:
    out = p4equity.fit("triple_difference", cells, unit="system", inference=["cr2", "cr3"], **OPTIONS)
    out = out[out["group"] == "pooled"].set_index("inference")
    spec = "m <- lm(rate ~ tpm + sr + ry + sy, data = x) ; coef_test(m, vcov = vcovCR(m, cluster = system, type = 'CR2'), "
    cr2 = EXPECTED[EXPECTED["spec"].str.startswith(spec)].iloc[0]
    agree(out.loc["cr2"], cr2)
    assert out.loc["cr2", "df"] == pytest.approx(cr2["df"], rel=1e-6)
    jackknife = EXPECTED[
        EXPECTED["spec"].str.contains("weights = none") & EXPECTED["vcov"].str.contains("clubSandwich CR3")
    ].iloc[0]
    agree(out.loc["cr3"], jackknife)


def test_weighted_cr3_equals_leaving_clusters_out(cells: pd.DataFrame) -> None:
    out = p4equity.fit("triple_difference", cells, unit="system", weights="n", variance="CR3", **OPTIONS).iloc[0]
    jackknife = EXPECTED[EXPECTED["spec"].str.contains("weights = n") & EXPECTED["vcov"].str.contains("clubSandwich CR3")].iloc[0]
    agree(out, jackknife)


def test_wild_bootstrap_with_collinear_effects_equals_fwildclusterboot(cells: pd.DataFrame) -> None:
    # A current library answers p = 0 here, silently.
    ten = cells[(cells["system"] <= "S10") & cells["race"].isin(["White", "Black"])]
    row = p4equity.fit(
        "triple_difference", ten, unit="system", weights="n", inference="wild_bootstrap", ssc="stata", **OPTIONS
    ).iloc[0]
    expected = EXPECTED[EXPECTED["vcov"] == "full enumeration"].iloc[0]
    assert row["p_value"] == expected["p"]
    assert row["estimate"] == pytest.approx(-expected["estimate"], abs=1e-9)
    assert row["conf_low"] == pytest.approx(-expected["ci_high"], abs=5e-7)
    assert row["conf_high"] == pytest.approx(-expected["ci_low"], abs=5e-7)


def test_sampled_wild_bootstrap_is_near_fwildclusterboot(cells: pd.DataFrame) -> None:
    row = p4equity.fit(
        "triple_difference",
        cells,
        unit="system",
        weights="n",
        inference="wild_bootstrap",
        wild_weights="rademacher",
        draws=99_999,
        **OPTIONS,
    ).iloc[0]
    assert row["p_value"] == pytest.approx(EXPECTED.loc[EXPECTED["vcov"] == "Monte Carlo", "p"].mean(), abs=0.002)


@pytest.mark.parametrize("group", ["Black", "Hispanic", "Asian"])
def test_one_group_is_the_did_on_the_gap(cells: pd.DataFrame, group: str) -> None:
    two = cells[cells["race"].isin(["White", group])]
    methods = ["cr0", "cr2", "cr3", "wild_bootstrap"]
    options = {"unit": "system", "weights": "n", "inference": methods, "seed": 7, **OPTIONS}
    triple = p4equity.fit("triple_difference", two, **options).set_index("inference")
    gap = p4equity.fit("did", two, **options)
    gap = gap[gap["estimand"] == "att_gap"].set_index("inference")
    for column in ("estimate", "std_error"):
        rows = methods if column == "estimate" else methods[:3]
        assert triple.loc[rows, column].to_numpy() == pytest.approx(gap.loc[rows, column].to_numpy(), abs=1e-12)
    assert triple.loc["cr2", "df"] == pytest.approx(gap.loc["cr2", "df"], rel=1e-9)
    assert triple.loc["wild_bootstrap", "p_value"] == gap.loc["wild_bootstrap", "p_value"]


def test_by_hand() -> None:
    # Reference gains 1 everywhere; the group gains 4 where treated and 2 elsewhere: the gap moves by (1 - 4) - (1 - 2) = -2.
    rows = []
    for unit, treated in {"A": True, "B": True, "C": False, "D": False}.items():
        for t in (1, 2):
            rows += [
                (unit, t, "w", 50 + (t == 2), 2 if treated else None),
                (unit, t, "b", 40 + (t == 2) * (4 if treated else 2), 2 if treated else None),
            ]
    frame = pd.DataFrame(rows, columns=["u", "t", "r", "y", "g"])
    out = p4equity.fit(
        "triple_difference", frame, outcome="y", unit="u", time="t", cohort="g", group="r", reference="w", inference="none"
    )
    assert out["estimate"].iloc[0] == pytest.approx(-2.0, abs=1e-12)
    assert np.isnan(out["std_error"].iloc[0])


def test_groups_are_required(cells: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="needs groups"):
        p4equity.fit("triple_difference", cells, outcome="rate", unit="system", time="year", cohort="cohort")
