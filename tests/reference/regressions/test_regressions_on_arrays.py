"""Regressions that no estimator stands for, and rows with too few treated clusters to be printed, by the functions on arrays."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from p4equity.estimators.glm import fit_glm
from p4equity.inference.cluster_robust import adjusted_rows, contrast_rows, contrast_test
from p4equity.inference.independent_rows import row_moments, row_test
from p4equity.inference.joint import joint_test
from p4equity.inference.moments import ClusterMoments, cluster_moments
from p4equity.inference.sweeping import dummies, sweep

HERE = Path(__file__).parent
EXPECTED = pd.read_csv(HERE / "expected.csv")
LEFT_OUT = pd.read_csv(HERE / "leave_one_out.csv").fillna({"weights": ""})
GLM = EXPECTED["estimator"].isin(["fepois", "feglm_logit"])
JOINT = EXPECTED["estimator"].str.startswith(("Wald_test", "wald"))
SUNAB = EXPECTED["estimator"].str.startswith("sunab")
LEVELS = [-5, -4, -3, -2, 0, 1, 2]
TESTS = {"HTZ": "htz", "Naive-F": "naive_f", "chi-sq": "chi_square", "wald_joint_F": "naive_f"}


@cache
def data(name: str) -> pd.DataFrame:
    if name == "castle":
        from causaldata import castle

        frame = castle.load_pandas().data
        first = frame["sid"].map(frame[frame["post"] > 0].groupby("sid")["year"].min()) - 1
        return frame.assign(cohort=first)
    if name == "hs_common_system_year":
        return pd.read_csv(HERE.parent / "did" / f"{name}.csv")
    frame = pd.read_csv(HERE.parent / "triple_difference" / "hs_common.csv")
    return frame.assign(tpm=frame["post"] * (frame["race"] != "White"))


def code(frame: pd.DataFrame, effect: str) -> np.ndarray:
    """Codes of an effect such as `system^race`; sr, ry and sy are short for pairs."""
    columns = {"sr": ["system", "race"], "ry": ["race", "year"], "sy": ["system", "year"]}.get(effect, effect.split("^"))
    columns = ["sid" if c == "state" else c for c in columns]
    return pd.factorize(pd.MultiIndex.from_frame(frame[columns]))[0]


def regressors(frame: pd.DataFrame, spec: str) -> dict[str, np.ndarray]:
    """Columns by the names that R gives their coefficients."""
    event = frame["year"] - frame["first_treat"] if "first_treat" in frame else None
    if "tmin" in spec or "dd_m" in spec:
        on = (frame["treated"] == 1) & (frame["race"] != "White")
        names = [f"rel::{e}:tmin" if "tmin" in spec else f"dd_{'m' if e < 0 else 'p'}{abs(e)}" for e in LEVELS]
        return {name: (on & (event == e)).to_numpy(float) for name, e in zip(names, LEVELS, strict=True)}
    if "i(race, post)" in spec:
        return {f"race::{r}:post": ((frame["race"] == r) * frame["post"]).to_numpy(float) for r in frame["race"].unique()}
    if "i(year, medicaid_share" in spec:
        shares = {f"year::{y}:medicaid_share": frame["medicaid_share"] * (frame["year"] == y) for y in range(2019, 2026)}
        return {"post": frame["post"].to_numpy(float)} | {k: v.to_numpy(float) for k, v in shares.items()}
    out = {name: frame[name].to_numpy(float) for name in ("post", "tpm") if re.search(rf"\b{name}\b", spec)}
    if "[year]" in spec:
        trends = dummies(code(frame, "system^race")) * (frame["year"] - 2018).to_numpy(float)[:, None]
        out |= {f"trend {i}": column for i, column in enumerate(trends.T)}
    return out


def effects(spec: str) -> list[str]:
    if "|" in spec:
        found = spec.split("|")[1].split(" ;")[0].split(",")[0].strip(" )").replace("[year]", "")
        return found.split(" + ")
    return ["sr", "ry", "sy"]


@cache
def prepared(
    dataset: str, subset: str, spec: str, weights: str, model: str, swept: bool
) -> tuple[list[str], ClusterMoments, tuple]:
    """Names of the regressors, the moments by cluster, and what the errors of independent rows need."""
    frame = data(dataset)
    frame = frame[frame["race"] == subset.removeprefix("race==")] if subset.startswith("race==") else frame
    frame = frame[frame["race"] == "Black"] if 'race == "Black"' in spec else frame
    X, fixed = regressors(frame, spec), [code(frame, e) for e in effects(spec)]
    columns = np.stack(list(X.values()), axis=1)
    y = frame[re.match(r"(?:m <- lm\(|feols\()?(\w+) ~", spec)[1]].to_numpy(float)
    w = frame[weights].to_numpy(float) if weights else np.ones(len(frame))
    cluster = frame["sid" if dataset == "castle" else "system"].to_numpy()
    if swept:  # nested effects first, and what is left of the others as plain columns of `lm`
        group = code(frame, "system")
        nested, crossed = fixed[::2] if len(fixed) == 3 else fixed[:1], dummies(fixed[1])
        both, _ = sweep(np.column_stack([columns, crossed, y]), nested, w, group)
        columns, y, fixed = both[:, :-1], both[:, -1], []
    options = {"weights": w, "effects": fixed}
    moments = cluster_moments(columns, y, cluster, working_model=model, **options)[0]
    return list(X), moments, (columns, y, options)


def of(row: pd.Series) -> tuple[list[str], ClusterMoments, tuple]:
    words = (str(row[c]) if isinstance(row[c], str) else "" for c in ("dataset", "subset", "spec", "weights"))
    model = "inverse_variance" if "inverse_var" in str(row["vcov"]) + row["spec"] else "homoskedastic"
    return prepared(*words, model if row["table"] == "clubsandwich" else "members", row["estimator"].startswith("nested"))


@pytest.mark.parametrize("at", EXPECTED.index[~GLM & ~JOINT & ~SUNAB])
def test_coefficients_errors_and_degrees_of_freedom(at: int) -> None:
    row = EXPECTED.loc[at]
    names, moments, (columns, y, options) = of(row)
    contrast = np.eye(1, len(moments.design.names), names.index(row["term"]))[0]
    vcov = str(row["vcov"])
    if "iid" in vcov or "hetero" in vcov:
        design = moments.design
        counts = {"fixest": design.k_levels, "stata": design.k_full, "none": 0}
        rows = row_moments(columns, y, counts=counts, **options)[0]
        plain = contrast_test(moments, contrast, kind="CR0").estimate
        found = row_test(rows, contrast[: columns.shape[1]], plain, kind="IID" if "iid" in vcov else "HC1")
    elif row["table"] == "fixest":
        ssc = "none" if "K.adj = FALSE" in vcov else "full" if '"full"' in vcov else int(row["K"])
        found = contrast_test(moments, contrast, kind="CR0" if "G.adj = FALSE" in vcov else "CR1", ssc=ssc)
    else:
        found = contrast_test(moments, contrast, kind=vcov[:3], ssc="none", df="satterthwaite")
    assert found.reason == ""
    assert found.estimate == pytest.approx(row["estimate"], abs=1e-7)
    assert found.std_error == pytest.approx(row["se"], rel=1e-6)
    assert found.df == pytest.approx(row["df"], rel=1e-6)
    assert found.p_value == pytest.approx(row["p"], rel=1e-5)


@pytest.mark.parametrize("at", EXPECTED.index[JOINT])
def test_joint_tests_of_the_leads(at: int) -> None:
    row = EXPECTED.loc[at]
    names, moments, _ = of(row)
    leads = np.eye(len(moments.design.names))[[i for i, name in enumerate(names) if re.search(r"::-|_m", name)]]
    kind, ssc = (row["vcov"][:3], "none") if row["table"] == "clubsandwich" else ("CR1", "fixest")
    found = joint_test(moments, leads, kind=kind, ssc=ssc, test=TESTS[row["estimator"].split("/")[-1]])
    assert found.statistic == pytest.approx(row["stat"], rel=1e-6)
    assert found.p_value == pytest.approx(row["p"], rel=1e-6)


@pytest.mark.parametrize("at", EXPECTED.index[GLM])
def test_two_way_poisson_and_logit(at: int) -> None:
    row = EXPECTED.loc[at]
    frame = data("hs_common")
    frame = frame[frame["race"] == row["subset"].removeprefix("race==")]
    if row["estimator"] == "feglm_logit":  # a practice whose rates are all 0 or all 1 says nothing
        inner = frame.groupby("practice")["rate"].transform(lambda r: 0 < r.mean() < 1)
        frame = frame[inner]
    X = np.column_stack([dummies(code(frame, "practice")), dummies(code(frame, "year")), frame["post"]])
    family = "poisson" if row["estimator"] == "fepois" else "logit"
    # Counts with an offset log n are rates weighted by n.
    names = [f"c{i}" for i in range(X.shape[1])]
    found = fit_glm(
        family, X, frame["rate"].to_numpy(), frame["n"].to_numpy(float), frame["system"].to_numpy(), names, len(frame)
    )
    contrast = np.eye(1, X.shape[1], X.shape[1] - 1)[0]
    assert found.coefficients[-1] == pytest.approx(row["estimate"], abs=1e-6)
    if "iid" in row["vcov"]:  # the inverse information, dispersion 1
        whitened = found.moments.design.contrast(contrast)
        se = np.sqrt(whitened @ whitened * (len(frame) - 1) / (len(frame) - row["K"]))
    else:
        se = contrast_test(found.moments, contrast, kind="CR1", ssc=int(row["K"])).std_error
    assert se == pytest.approx(row["se"], rel=1e-5)


@cache
def saturated() -> tuple[pd.DataFrame, ClusterMoments]:
    """The saturated regression of castle doctrine: its coefficients' cohort, event time and weight, and its moments."""
    frame = data("castle")
    event = (frame["year"] - frame["cohort"]).where(frame["cohort"].notna())
    cells = frame.assign(event=event)[event.notna() & (event != -1)].groupby(["cohort", "event"])["popwt"].sum().reset_index()
    X = [((frame["cohort"] == c) & (event == e)).to_numpy(float) for c, e in zip(cells["cohort"], cells["event"], strict=True)]
    fixed = [code(frame, "sid"), code(frame, "year")]
    y, w = frame["l_homicide"].to_numpy(float), frame["popwt"].to_numpy(float)
    return cells, cluster_moments(np.stack(X, axis=1), y, frame["sid"].to_numpy(), weights=w, effects=fixed)[0]


@pytest.mark.parametrize("at", EXPECTED.index[SUNAB])
def test_sunab_where_one_or_two_states_are_treated(at: int) -> None:
    row = EXPECTED.loc[at]
    cells, moments = saturated()
    wanted = dict(re.findall(r"(year|cohort)::(-?\d+)", str(row["term"])))
    used = cells["event"] >= 0 if "year" not in wanted else cells["event"] == int(wanted["year"])
    used &= cells["cohort"] == int(wanted["cohort"]) if "cohort" in wanted else True
    weight = np.where(used, cells["popwt"], 0.0)
    contrast = np.r_[weight / weight.sum(), np.zeros(len(moments.design.names) - len(cells))]
    found = contrast_test(moments, contrast, kind="CR1")
    assert found.estimate == pytest.approx(row["estimate"], abs=1e-7)
    assert found.std_error == pytest.approx(row["se"], rel=1e-6)
    assert found.p_value == pytest.approx(row["p"], rel=1e-5)


@pytest.mark.parametrize("spec", LEFT_OUT["spec"].unique())
def test_cr3_contributions_are_the_moves_when_a_cluster_is_left_out(spec: str) -> None:
    rows = LEFT_OUT[LEFT_OUT["spec"] == spec]
    first = rows.iloc[0]
    call = "gap ~ post | system + year" if "summclust" in spec else spec
    _, m, _ = prepared(first["dataset"], "", call, first["weights"], "members", False)
    c, _ = contrast_rows(m.design, np.eye(1, len(m.design.names)))
    moves = np.einsum("gqr,gr->g", adjusted_rows(m.design, c, "CR3")[0], m.scores("CR3"))
    found = dict(zip(m.design.clusters, float(c[0] @ m.theta) - moves, strict=True))
    assert len(rows) == 20
    assert [found[g] for g in rows["group"]] == pytest.approx(rows["estimate"].tolist(), abs=1e-9)
