"""Options of regressions that rest on rows, on counts of coefficients, or on how a bootstrap draws, through `fit`."""

from __future__ import annotations

from typing import Any

import numpy as np
import p4equity
import pandas as pd
import pytest
import statsmodels.api as sm
from p4equity.errors import UsageError

CALL: dict[str, Any] = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g"}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Ten units, four treated from 2022, six periods, one to three rows a unit and period."""
    rng = np.random.default_rng(8)
    rows = [
        (f"u{u}", t, 2022.0 if u < 4 else None) for u in range(10) for t in range(2019, 2025) for _ in range(rng.integers(1, 4))
    ]
    out = pd.DataFrame(rows, columns=["u", "t", "g"])
    level = dict(zip(out["u"].unique(), rng.normal(size=10), strict=True))
    return out.assign(y=rng.normal(size=len(out)) + out["u"].map(level), w=rng.uniform(1, 9, len(out)))


def dense(frame: pd.DataFrame, weights: pd.Series) -> Any:
    D = pd.get_dummies(frame[["u", "t"]].astype(str), drop_first=True, dtype=float)
    D.insert(0, "d", (frame["t"] >= frame["g"]).astype(float))
    return sm.WLS(frame["y"], D.assign(constant=1.0), weights=weights)


@pytest.mark.parametrize("weights", [None, "w"])
def test_errors_of_independent_rows_are_those_of_the_data(frame: pd.DataFrame, weights: str | None) -> None:
    model = dense(frame, frame["w"] if weights else pd.Series(1.0, frame.index))
    out = p4equity.fit("did", frame, weights=weights, inference=["iid", "hc1", "cr1"], **CALL).set_index("inference")
    for name, cov in (("iid", "nonrobust"), ("hc1", "HC1")):
        expected = model.fit(cov_type=cov, use_t=True)
        assert out.loc[name, "estimate"] == pytest.approx(expected.params["d"], rel=1e-9)
        assert out.loc[name, "std_error"] == pytest.approx(expected.bse["d"], rel=1e-9)
        assert out.loc[name, "p_value"] == pytest.approx(expected.pvalues["d"], rel=1e-8)
    alone = p4equity.fit("did", frame, weights=weights, inference="cr1", **CALL).iloc[0]
    assert out.loc["cr1", "std_error"] == pytest.approx(alone["std_error"], rel=1e-12)
    assert out.loc["cr1", "n_cells"] == alone["n_cells"] == 60


def test_other_methods_do_not_notice_that_rows_are_kept(frame: pd.DataFrame) -> None:
    methods = ["cr2", "permutation", "wild_bootstrap", "conley_taber"]
    alone = p4equity.fit("did", frame, inference=methods, **CALL).set_index("inference")
    beside = p4equity.fit("did", frame, inference=[*methods, "iid"], **CALL).set_index("inference").loc[methods]
    for column in ("estimate", "std_error", "p_value", "conf_low", "df"):
        assert beside[column].tolist() == pytest.approx(alone[column].tolist(), rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("model", ["inverse_variance", "homoskedastic"])
def test_a_working_model_of_rows_sees_rows_not_cells(frame: pd.DataFrame, model: str) -> None:
    cells = frame.groupby(["u", "t", "g"], dropna=False, as_index=False).agg(y=("y", "mean"), n=("y", "size"))
    of_rows = p4equity.fit("did", frame, working_model=model, **CALL).iloc[0]
    members = p4equity.fit("did", cells, weights="n", **CALL).iloc[0]
    of_cells = p4equity.fit("did", cells, weights="n", working_model=model, **CALL).iloc[0]
    # Rows without weights are members; their cells, taken as rows, are not.
    assert (of_rows["std_error"], of_rows["df"]) == pytest.approx((members["std_error"], members["df"]), rel=1e-9)
    assert of_cells["std_error"] != pytest.approx(members["std_error"], rel=1e-4)
    assert of_cells["estimate"] == pytest.approx(members["estimate"], rel=1e-9)


def test_a_gap_is_one_row_a_unit_and_period(frame: pd.DataFrame) -> None:
    rng = np.random.default_rng(1)
    both = pd.concat([frame.assign(r="a"), frame.assign(r="b", y=frame["y"] + rng.normal(size=len(frame)))])
    out = p4equity.fit("did", both, group="r", reference="a", inference=["iid", "cr2"], working_model="homoskedastic", **CALL)
    assert (out["status"] == "ok").all()
    means = both.groupby(["u", "t", "r"])["y"].agg(["mean", "size"]).unstack("r")
    gap = (means["mean", "a"] - means["mean", "b"]).rename("y").reset_index().merge(frame[["u", "t", "g"]].drop_duplicates())
    gap = gap.assign(w=(means["size", "a"] / 2).to_numpy())
    expected = p4equity.fit("did", gap, weights="w", inference=["iid", "cr2"], working_model="homoskedastic", **CALL)
    found = out[out["estimand"] == "att_gap"]
    assert found["std_error"].tolist() == pytest.approx(expected["std_error"].tolist(), rel=1e-9)


def test_labels_row_order_and_scale_do_not_matter(frame: pd.DataFrame) -> None:
    options = {"weights": "w", "inference": ["iid", "hc1", "cr2"], "working_model": "inverse_variance"}
    plain = p4equity.fit("did", frame, **options, **CALL)
    other = frame.sample(frac=1, random_state=3).assign(y=lambda d: 10 * d["y"] + 4, u=lambda d: "x" + d["u"].str[::-1])
    found = p4equity.fit("did", other, **options, **CALL)
    assert found["std_error"].tolist() == pytest.approx((10 * plain["std_error"]).tolist(), rel=1e-9)
    assert found["df"].tolist() == pytest.approx(plain["df"].tolist(), rel=1e-8)


def test_the_warning_of_independent_rows_and_their_joint_test(frame: pd.DataFrame) -> None:
    out = p4equity.fit("event_study", frame, inference="hc1", **CALL)
    assert any("rows count as independent" in text for text in out.attrs["warnings"])
    pretrend = out.set_index("estimand").loc["pretrend"]
    assert pretrend["status"] == "not_estimable"
    assert set(out["interval"]) == {"pointwise"}


def test_joint_tests_by_name(frame: pd.DataFrame) -> None:
    p = {}
    for word in ("htz", "naive_f", "chi_square"):
        row = p4equity.fit("event_study", frame, joint_test=word, **CALL).set_index("estimand").loc["pretrend"]
        p[word] = row["p_value"]
        assert (word == "chi_square") == np.isnan(row["df"])
    assert p["chi_square"] < p["naive_f"] < p["htz"]


def test_bootstrap_types_by_word_or_number(frame: pd.DataFrame) -> None:
    rows = [p4equity.fit("did", frame, inference="wild_bootstrap", bootstrap_type=t, **CALL).iloc[0] for t in ("33", 33, "11")]
    assert rows[0].equals(rows[1])
    assert rows[0]["std_error"] != rows[2]["std_error"]
    # All signs are drawn with their mirrors, so that tails matter with skewed weights alone.
    ends = {}
    for scheme in ("rademacher", "mammen"):
        for p_type in ("symmetric", "equal_tail"):
            options = {"inference": "wild_bootstrap", "wild_weights": scheme, "p_type": p_type, "draws": 1999}
            ends[scheme, p_type] = p4equity.fit("did", frame, **options, **CALL)["conf_low"].iloc[0]
    assert ends["rademacher", "symmetric"] == ends["rademacher", "equal_tail"] == rows[2]["conf_low"]
    assert ends["mammen", "symmetric"] != ends["mammen", "equal_tail"]


def test_coefficients_counted_by_number(frame: pd.DataFrame) -> None:
    plain, counted = (p4equity.fit("did", frame, inference="cr1", ssc=k, **CALL).iloc[0]["std_error"] for k in ("none", 20))
    assert counted == pytest.approx(plain * np.sqrt((len(frame) - 1) / (len(frame) - 20)), rel=1e-12)
    too_many = p4equity.fit("did", frame, inference=["cr1", "iid"], ssc=len(frame), **CALL)
    assert too_many["reason"].tolist() == ["no more rows than coefficients"] * 2


def test_estimators_without_the_options_refuse_them(frame: pd.DataFrame) -> None:
    for option in ("working_model", "bootstrap_type", "joint_test", "vcov_fix"):
        with pytest.raises(UsageError, match="unknown option"):
            p4equity.fit("group_time", frame, **{option: True}, **CALL)
    with pytest.raises(UsageError, match="unknown inference"):
        p4equity.fit("stacked", frame, inference="iid", **CALL)
    with pytest.raises(UsageError, match="unknown joint_test"):
        p4equity.fit("event_study", frame, joint_test="wald", **CALL)
