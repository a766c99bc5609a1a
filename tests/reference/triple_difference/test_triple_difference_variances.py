"""Every variance and degree of freedom that fixest and clubSandwich give for the triple difference, and its path on arrays."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.inference.cluster_robust import contrast_test
from p4equity.inference.moments import ClusterMoments, cluster_moments

HERE = Path(__file__).parent
EXPECTED = pd.read_csv(HERE / "variances.csv")
PATH = EXPECTED["term"].str.contains("rel::|dd_", regex=True)
SINGLE = EXPECTED[~PATH].set_index("row", drop=False)
LEVELS = [-5, -4, -3, -2, 0, 1, 2]
SWEPT_WITH_WEIGHTS = 548  # row of swept effects whose call does not say that it is weighted
WORDS = {"K.adj = FALSE": "none", 'K.fixef = "full"': "full", 'K.fixef = "none"': "none"}


@cache
def cells(name: str) -> pd.DataFrame:
    frame = pd.read_csv(HERE / "hs_common.csv")
    if name == "hs_common_system_race_year":
        keys = ["system", "race", "year", "first_treat", "treated"]
        frame = frame.groupby(keys, as_index=False)[["n", "y"]].sum().assign(rate=lambda d: d["y"] / d["n"])
    return frame.assign(cohort=frame["first_treat"].where(frame["treated"] == 1))


def inference(row: pd.Series) -> dict[str, object]:
    vcov = row["vcov"]
    if '"iid"' in vcov or '"hetero"' in vcov:
        return {"inference": "iid" if "iid" in vcov else "hc1", "ssc": "stata" if "K.exact" in vcov else "fixest"}
    if row["estimator"].startswith("feols"):
        out: dict[str, object] = {"inference": "cr0" if "G.adj = FALSE" in vcov else "cr1"}
        counted = int(row["K"]) if row["K"] > 0 else None
        out["ssc"] = counted or next((word for text, word in WORDS.items() if text in vcov), "fixest")
        if "system + year" in vcov:
            out |= {"cluster": ["system", "year"], "g_df": "conventional" if "conventional" in vcov else "min", "vcov_fix": True}
        return out | ({"cluster": "practice"} if "~practice" in vcov else {})
    if "[CV3" in vcov:
        return {"inference": "cv3j" if "CV3J" in vcov else "cv3"}
    kind = "cr3" if "CR3" in vcov else vcov[:3].lower()
    model = "inverse_variance" if "inverse_var" in vcov else "homoskedastic"
    return {"inference": kind, "df": "satterthwaite", "ssc": "stata" if vcov == "CR1S" else "none", "working_model": model}


@pytest.mark.parametrize("number", SINGLE["row"])
def test_standard_error_and_p_value(number: int) -> None:
    row = SINGLE.loc[number]
    spec, frame = row["spec"], cells(row["dataset"])
    frame = frame[frame["race"].isin(["White", "Black"])] if row["subset"] == "race in White,Black" else frame
    options: dict[str, object] = {"unit": "system"}
    if "practice^race" in spec:
        options = {"unit": "practice", "cluster": "system"} | ({} if "practice^year" in spec else {"parent": "system"})
    weighted = "weights = ~n" in spec or "weights = n)" in spec or number == SWEPT_WITH_WEIGHTS
    options |= ({"weights": "n"} if weighted else {}) | inference(row)
    out = p4equity.fit(
        "triple_difference", frame, outcome="rate", time="year", cohort="cohort", group="race", reference="White", **options
    ).set_index("group")
    mine = out.loc[row["term"].split("::")[1].split(":")[0]] if "race::" in row["term"] else out.iloc[0]
    assert mine["estimate"] == pytest.approx(-row["estimate"], abs=1e-7)
    assert mine["std_error"] == pytest.approx(row["se"], rel=1e-6)
    if np.isfinite(row["df"]):
        assert mine["df"] == pytest.approx(row["df"], rel=1e-6)
        assert mine["p_value"] == pytest.approx(row["p"], rel=1e-5) or np.isnan(row["p"])


@pytest.fixture(scope="module")
def path() -> ClusterMoments:
    """The gap's path in one regression of all groups, on arrays: `fit` gives it by gap panels instead."""
    frame = cells("hs_common")
    on = (frame["treated"] == 1) & (frame["race"] != "White")
    event = frame["year"] - frame["first_treat"]
    X = np.stack([(on & (event == e)).to_numpy(float) for e in LEVELS], axis=1)

    def code(*columns: str) -> np.ndarray:
        return pd.factorize(pd.MultiIndex.from_frame(frame[list(columns)]))[0]

    effects = [code("system", "race"), code("race", "year"), code("system", "year")]
    return cluster_moments(X, frame["rate"], frame["system"].to_numpy(), weights=frame["n"], effects=effects)[0]


@pytest.mark.parametrize("number", EXPECTED.loc[PATH, "row"])
def test_paths_on_arrays(path: ClusterMoments, number: int) -> None:
    row = EXPECTED.set_index("row").loc[number]
    term = row["term"]
    e = int(term[4:]) * (-1 if term[3] == "m" else 1) if term.startswith("dd_") else int(term.split("::")[1].split(":")[0])
    contrast = np.eye(1, len(path.design.names), LEVELS.index(e))[0]
    ssc = "none" if "K.adj = FALSE" in row["vcov"] or row["package"] == "clubSandwich" else "fixest"
    found = contrast_test(path, contrast, kind="CR1", ssc=ssc)
    assert found.estimate == pytest.approx(row["estimate"], abs=1e-7)
    assert found.std_error == pytest.approx(row["se"], rel=1e-6)
    if row["package"] == "fixest":
        assert found.p_value == pytest.approx(row["p"], rel=1e-5)
