"""Every variance, degree of freedom and joint test that fixest and clubSandwich give for the event study of one cohort."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import p4equity
import pandas as pd
import pytest

HERE = Path(__file__).parent
EXPECTED = pd.read_csv(HERE / "variances.csv")
JOINT = EXPECTED["estimator"].str.startswith(("Wald_test", "wald"))
TESTS = {"HTZ": "htz", "Naive-F": "naive_f", "chi-sq": "chi_square", "wald_joint_F": "naive_f"}
KEYS = ["dataset", "subset", "spec", "vcov"]
CALLS = EXPECTED[~JOINT].drop_duplicates(KEYS)


@cache
def data(name: str) -> pd.DataFrame:
    folder = HERE if name == "hs_common_system_year" else HERE.parent / "triple_difference"
    frame = pd.read_csv(folder / f"{name}.csv")
    return frame.assign(cohort=frame["first_treat"].where(frame["treated"] == 1))


def answer(row: pd.Series) -> pd.DataFrame:
    spec, frame = row["spec"], data(row["dataset"])
    frame = frame if pd.isna(row["subset"]) else frame[frame["race"] == row["subset"].removeprefix("race==")]
    options: dict[str, object] = {"outcome": "gap", "unit": "system"}
    if "practice +" in spec:
        options = {"outcome": "rate", "unit": "practice", "parent": "system"}
    options |= {"weights": "n"} if "weights" in spec else {}
    if row["package"] == "fixest":
        options |= {"inference": "iid" if "iid" in row["vcov"] else "cr1"}
        options |= {"cluster": "practice"} if "~practice" in row["vcov"] else {}
    else:
        model = "inverse_variance" if "inverse_var" in row["vcov"] else "homoskedastic"
        options |= {"inference": row["vcov"][:3].lower(), "ssc": "none", "df": "satterthwaite", "working_model": model}
    options["joint_test"] = TESTS.get(row["estimator"].split("/")[-1], "htz")
    return p4equity.fit("event_study", frame, time="year", cohort="cohort", **options)


def event_time(term: str) -> int:
    if term.startswith("ev_"):
        return int(term[4:]) * (-1 if term[3] == "m" else 1)
    return int(term.split("::")[1].split(":")[0])


@pytest.mark.parametrize("number", CALLS["row"])
def test_each_event_time(number: int) -> None:
    first = EXPECTED.set_index("row").loc[number]
    same = (EXPECTED[KEYS].fillna("") == first[KEYS].fillna("")).all(axis=1) & ~JOINT
    out = answer(first)
    found = out[out["event_time"].notna() & (out["interval"] == "pointwise")].set_index("event_time")
    assert same.sum() == 7 == len(found)
    for _, row in EXPECTED[same].iterrows():
        mine = found.loc[event_time(row["term"])]
        assert mine["estimate"] == pytest.approx(row["estimate"], abs=1e-7)
        assert mine["std_error"] == pytest.approx(row["se"], rel=1e-6)
        assert mine["df"] == pytest.approx(row["df"], rel=1e-6)
        assert mine["p_value"] == pytest.approx(row["p"], rel=1e-5)


@pytest.mark.parametrize("number", EXPECTED.loc[JOINT, "row"])
def test_joint_test_of_the_leads(number: int) -> None:
    row = EXPECTED.set_index("row").loc[number]
    found = answer(row).set_index("estimand").loc["pretrend"]
    assert found["statistic"] == pytest.approx(row["stat"], rel=1e-6)
    assert found["p_value"] == pytest.approx(row["p"], rel=1e-6)


def test_average_and_cr2_of_one_cohort_are_neymans_of_staggered() -> None:
    """`staggered_cs(estimand = "simple")`: mean change against the year before treatment, Neyman's conservative error."""
    average = p4equity.fit(
        "event_study", data("hs_common_system_year"), outcome="gap", unit="system", time="year", cohort="cohort"
    ).iloc[0]
    assert average["estimate"] == pytest.approx(0.0273914459732788, abs=1e-7)
    assert average["std_error"] == pytest.approx(0.0089746027769936, rel=1e-6)
