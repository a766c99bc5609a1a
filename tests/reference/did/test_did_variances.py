"""Every variance, degree of freedom and p value that fixest, clubSandwich, summclust and fwildclusterboot give for the two-way
regression, and that a method of `did` defines."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.inference.cluster_robust import adjusted_rows, contrast_rows, small_sample_factor
from p4equity.inference.moments import cluster_moments
from p4equity.inference.wild_bootstrap import bootstrap_statistics, wild_bootstrap

HERE = Path(__file__).parent
EXPECTED = pd.read_csv(HERE / "variances.csv")
LEFT_OUT = pd.read_csv(HERE / "leave_one_out.csv")
BOOTSTRAP = EXPECTED[EXPECTED["estimator"] == "boottest"]
# fixest repairs a negative two-way variance to 1e-16 (p = 4e-44); here it has an answer only with vcov_fix.
NEGATIVE = EXPECTED["se"].eq(1e-8)
COMPARED = EXPECTED[EXPECTED["estimator"].ne("boottest")]
ENUMERATED = BOOTSTRAP[BOOTSTRAP["vcov"] == "full enumeration"]
# In these types the program applies its small-sample factor to the sample's statistic alone, not to the bootstrap's.
ONE_SIDED_FACTOR = ENUMERATED["spec"].str.contains('bootstrap_type = "[13]3"', regex=True)
SWEPT_WITH_WEIGHTS = (574, 600, 626)  # rows of swept effects whose call does not say that it is weighted
WORDS = {"K.adj = FALSE": "none", 'K.fixef = "full"': "full", 'K.fixef = "none"': "none"}


@cache
def data(name: str) -> pd.DataFrame:
    if name == "castle":
        from causaldata import castle

        frame = castle.load_pandas().data[["sid", "year", "l_homicide", "post", "popwt"]]
        return frame.assign(cohort=frame["sid"].map(frame[frame["post"] > 0].groupby("sid")["year"].min()))
    folder = HERE if name == "hs_common_system_year" else HERE.parent / "triple_difference"
    frame = pd.read_csv(folder / f"{name}.csv")
    return frame.assign(cohort=frame["first_treat"].where(frame["treated"] == 1))


def call(row: pd.Series) -> tuple[pd.DataFrame, dict[str, object]]:
    """The data and the arguments of `fit` that an R call translates to."""
    spec, vcov, frame = row["spec"], row["vcov"], data(row["dataset"])
    weighted = "weights = ~" in spec or "weights = n" in spec.replace("none", "") or row["row"] in SWEPT_WITH_WEIGHTS
    options: dict[str, object] = {"time": "year", "cohort": "cohort"}
    if row["dataset"] == "castle":
        # `post` of that call starts in the year before `post_cd`, the first whole year.
        frame = frame if "post_cd" in spec else frame.assign(cohort=frame["cohort"] - 1)
        options |= {"outcome": "l_homicide", "unit": "sid"} | ({"weights": "popwt"} if weighted else {})
    else:
        frame = frame if pd.isna(row["subset"]) else frame[frame["race"] == row["subset"].removeprefix("race==")]
        practice = "practice + y" in spec
        options |= {"outcome": "gap" if spec.startswith(("feols(gap", "m <- lm(gap", "lm_robust(gap", "gap")) else "rate"}
        options |= {"unit": "practice", "parent": "system"} if practice else {"unit": "system"}
        options |= {"weights": "n"} if weighted else {}
    if "summclust" in row["estimator"] or "vcov_CR3J" in spec:
        options["outcome"] = "gap"
    if "medicaid_share" in spec:
        names = [f"m{year}" for year in range(2019, 2026)]
        frame = data(row["dataset"]).query("race == 'Black'")
        frame = frame.assign(**{f"m{y}": frame["medicaid_share"] * (frame["year"] == y) for y in range(2019, 2026)})
        options["covariates"] = names
    return frame, options | inference(row["estimator"], spec, vcov, row["K"])


def inference(estimator: str, spec: str, vcov: str, K: float) -> dict[str, object]:
    """Method, small-sample convention, degrees of freedom and clusters of an R call. K: coefficients it counts, where a rule of
    its own gives their number."""
    if estimator == "lm_robust":
        by_type = {"CR0": {"inference": "cr0"}, "stata": {"inference": "cr1", "ssc": "stata"}, "CR2": {"inference": "cr2"}}
        return {"working_model": "homoskedastic", **by_type[vcov]}
    if '"iid"' in vcov or '"hetero"' in vcov:
        return {"inference": "iid" if "iid" in vcov else "hc1", "ssc": "stata" if "K.exact" in vcov else "fixest"}
    if estimator.startswith("feols"):
        out: dict[str, object] = {"inference": "cr0" if "G.adj = FALSE" in vcov else "cr1"}
        out["ssc"] = int(K) if K > 0 else next((word for text, word in WORDS.items() if text in vcov), "fixest")
        if "~practice" in vcov:
            out["cluster"] = "practice"
        if "system + year" in vcov:
            out |= {"cluster": ["system", "year"], "g_df": "conventional" if "conventional" in vcov else "min", "vcov_fix": True}
        return out
    if "[CV3]" in vcov or vcov == "CRV3":
        return {"inference": "cv3"}
    if "CV3J" in vcov or vcov == "CRV3J":
        return {"inference": "cv3j"}
    kind = "cr3" if "CR3" in vcov else vcov[:3].lower()
    model = "inverse_variance" if "inverse_var" in vcov + spec else "homoskedastic"
    out = {"inference": kind, "df": "satterthwaite", "ssc": "stata" if vcov == "CR1S" else "none", "working_model": model}
    return out | ({"cluster": "practice"} if "cluster = practice" in spec else {})


@pytest.mark.parametrize("number", COMPARED["row"])
def test_standard_error_and_p_value(number: int) -> None:
    row = COMPARED.set_index("row", drop=False).loc[number]
    frame, options = call(row)
    out = p4equity.fit("did", frame, **options).iloc[0]
    assert out["estimate"] == pytest.approx(row["estimate"], abs=1e-7)
    assert out["std_error"] == pytest.approx(row["se"], rel=1e-6)
    if np.isfinite(row["df"]):
        assert out["df"] == pytest.approx(row["df"], rel=1e-6)
        assert out["p_value"] == pytest.approx(row["p"], rel=1e-5) or np.isnan(row["p"])


@pytest.mark.parametrize("number", EXPECTED.loc[NEGATIVE, "row"])
def test_a_negative_two_way_variance_has_no_answer(number: int) -> None:
    frame, options = call(EXPECTED.set_index("row", drop=False).loc[number])
    out = p4equity.fit("did", frame, **options)
    assert "stands in its place, as in fixest" in out.attrs["warnings"][0]
    options["vcov_fix"] = False
    out = p4equity.fit("did", frame, **options).iloc[0]
    assert out["status"] == "not_estimable"
    assert "two-way variance of this coefficient is not positive" in out["reason"]


def bootstrap(row: pd.Series, **options: object) -> pd.Series:
    frame = data("hs_common_system_year")
    frame = frame[frame["system"] <= "S10"] if "10 systems" in row["subset"] else frame
    method = "wild_bootstrap_unrestricted" if "impose_null = FALSE" in row["spec"] else "wild_bootstrap"
    if "r = 0.02" in row["spec"]:
        frame = frame.assign(gap=frame["gap"] - 0.02 * (frame["year"] >= frame["cohort"]))
    if found := re.search(r'bootstrap_type = "(\d+)"', row["spec"]):
        options["bootstrap_type"] = found[1]
    options["p_type"] = "equal_tail" if "equal-tailed" in row["spec"] else "symmetric"
    return p4equity.fit(
        "did", frame, outcome="gap", unit="system", time="year", cohort="cohort", inference=method, ssc="stata", **options
    ).iloc[0]


@pytest.mark.parametrize("number", ENUMERATED.loc[~ONE_SIDED_FACTOR, "row"])
def test_enumerated_wild_bootstrap(number: int) -> None:
    row = BOOTSTRAP.set_index("row").loc[number]
    out = bootstrap(row)
    # No more extreme draw at all is printed as the smallest p the enumeration can give, never as 0.
    assert out["p_value"] == max(row["p"], 2 / 1024)
    assert out["p_attainable"] == 2 / 1024
    assert out["statistic"] == pytest.approx(row["stat"], rel=1e-6)
    if np.isfinite(row["ci_low"]):
        assert (out["conf_low"], out["conf_high"]) == pytest.approx((row["ci_low"], row["ci_high"]), abs=5e-7)


@pytest.mark.parametrize("number", ENUMERATED.loc[ONE_SIDED_FACTOR, "row"])
def test_statistics_of_cv3_with_the_programs_factor_on_one_side(number: int) -> None:
    row = BOOTSTRAP.set_index("row").loc[number]
    frame = data("hs_common_system_year").query("system <= 'S10'")
    unit, year = (pd.factorize(frame[c])[0] for c in ("system", "year"))
    m = cluster_moments((frame["year"] >= frame["cohort"]).to_numpy(float)[:, None], frame["gap"], unit, effects=[unit, year])[0]
    kind = re.search(r'bootstrap_type = "(\d+)"', row["spec"])[1]
    t, drawn = bootstrap_statistics(m, np.eye(1, len(m.design.names))[0], bootstrap_type=kind)
    root = np.sqrt(small_sample_factor(m.design, "stata"))
    # CV3 is (G-1)/G times the sum of squares that both statistics carry here.
    assert t / root * np.sqrt(10 / 9) == pytest.approx(row["stat"], rel=1e-6)
    assert np.mean(np.abs(drawn) > t / root) == row["p"]
    # Without it, as MacKinnon, Nielsen and Webb define the test, no draw but the sample's own and its mirror is as extreme.
    assert bootstrap(row)["p_value"] == 2 / 1024
    assert bootstrap(row)["statistic"] == pytest.approx(row["stat"] * root, rel=1e-6)


@pytest.mark.parametrize("scheme", ["rademacher", "webb", "mammen"])
def test_sampled_wild_bootstrap(scheme: str) -> None:
    rows = BOOTSTRAP[(BOOTSTRAP["vcov"] == "Monte Carlo") & BOOTSTRAP["spec"].str.contains(scheme)]
    assert len(rows) == 3
    out = bootstrap(rows.iloc[0], wild_weights=scheme, draws=99_999)
    assert out["statistic"] == pytest.approx(rows["stat"].iloc[0], rel=1e-6)
    assert out["p_value"] == pytest.approx(rows["p"].mean(), abs=0.0015)
    for end in ("low", "high"):
        assert out[f"conf_{end}"] == pytest.approx(rows[f"ci_{end}"].mean(), abs=3e-4)


def test_a_null_other_than_zero_is_the_same_as_the_outcome_less_it() -> None:
    frame = data("hs_common_system_year").query("system <= 'S10'")
    post = (frame["year"] >= frame["cohort"]).to_numpy(float)
    unit, year = (pd.factorize(frame[c])[0] for c in ("system", "year"))
    m = cluster_moments(post[:, None], frame["gap"], unit, effects=[unit, year])[0]
    row = BOOTSTRAP[BOOTSTRAP["spec"].str.contains("r = 0.02") & BOOTSTRAP["spec"].str.contains("impose_null = TRUE")].iloc[0]
    assert wild_bootstrap(m, np.eye(1, len(m.design.names))[0], null=0.02).p_value == row["p"]


@pytest.mark.parametrize("spec", LEFT_OUT["spec"].unique())
def test_cr3_contributions_are_the_moves_when_a_cluster_is_left_out(spec: str) -> None:
    rows = LEFT_OUT[LEFT_OUT["spec"] == spec]
    for subset, expected in rows.fillna({"subset": ""}).groupby("subset"):
        frame = data(expected["dataset"].iloc[0])
        frame = frame[frame["race"] == subset.removeprefix("race==")] if subset else frame
        post = (frame["year"] >= frame["cohort"]).to_numpy(float)
        unit = "practice" if "practice" in spec else "system"
        outcome = "gap" if "gap" in spec else "rate"
        weights = frame["n"] if "weights = n)" in spec else None
        effects = [pd.factorize(frame[c])[0] for c in (unit, "year")]
        m = cluster_moments(post[:, None], frame[outcome], frame["system"].to_numpy(), weights=weights, effects=effects)[0]
        c, _ = contrast_rows(m.design, np.eye(1, len(m.design.names)))
        moves = np.einsum("gqr,gr->g", adjusted_rows(m.design, c, "CR3")[0], m.z)
        found = dict(zip(m.design.clusters, float(c[0] @ m.theta) - moves, strict=True))
        assert [found[g] for g in expected["group"]] == pytest.approx(expected["estimate"].tolist(), abs=1e-9)
