"""Arguments of `fit` that are no numbers, no words or do not go together: a UsageError, never Python's own."""

from __future__ import annotations

import numpy as np
import p4equity
import pandas as pd
import pytest
from p4equity.errors import UsageError

PLAIN = {"outcome": "y", "unit": "u", "time": "t", "cohort": "g"}


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = [(u, t, 2022.0 if u < 3 else None) for u in range(8) for t in range(2019, 2025)]
    out = pd.DataFrame(rows, columns=["u", "t", "g"])
    return out.assign(y=rng.normal(size=len(out)), x=rng.normal(size=len(out)), se=1.0, w=4e17)


@pytest.mark.parametrize(
    "change",
    [
        *({"conf_level": v} for v in ("0.95", None, True, 0, 1, float("nan"))),
        *({"anticipation": v} for v in ("1", None, 1.5, True, -1)),
        *({"inference": v} for v in (3, [], [3], "cr4")),
        *({"seed": v} for v in (-1, 1.5, None, "a")),
        *({"draws": v} for v in (0, -5, None, 1.5, "100")),
        *({"limit": v} for v in (0, -1, "x", 1)),
        *({"covariates": v} for v in (5, ["x", "x"], "xx")),
        {"ssc": "fixst"},
        *({"ssc": v} for v in (None, 0, 1.5, True)),
        {"wild_weights": "normal"},
        *({"bootstrap_type": v} for v in ("12", 31.5, None)),
        {"p_type": "lower"},
        {"working_model": "identity"},
        *({"vcov_fix": v} for v in ("yes", 1)),
        {"reference": "white"},
        {"sampling_se": "se"},
        {"variance": "cr1", "inference": "cr2"},
        {"variance": None},
        {"comparison": None},
        {"comparison": ["never"]},
    ],
    ids=str,
)
def test_arguments_that_cannot_be_used(frame: pd.DataFrame, change: dict[str, object]) -> None:
    # Options are looked at whether the method in use reads them or not.
    with pytest.raises(UsageError) as caught:
        p4equity.fit("did", frame, **{**PLAIN, **change})
    assert "expected" in str(caught.value)


def test_several_columns_of_one_name(frame: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="several columns are named 'y'"):
        p4equity.fit("did", pd.concat([frame, frame[["y"]]], axis=1), **PLAIN)


def test_words_in_either_case_and_one_covariate_by_name(frame: pd.DataFrame) -> None:
    expected = p4equity.fit("did", frame, covariates=["x"], inference="cr3", **PLAIN)
    found = p4equity.fit("did", frame, covariates="x", inference="CR3", variance="CR3", seed=np.int64(0), **PLAIN)
    pd.testing.assert_frame_equal(found, expected)
    plain = p4equity.fit("did", frame, **PLAIN)
    pd.testing.assert_frame_equal(p4equity.fit("did", frame, covariates=None, **PLAIN), plain)


def test_weights_beyond_all_counts_are_weights(frame: pd.DataFrame) -> None:
    out = p4equity.fit("did", frame, weights="w", **PLAIN)
    assert out["n_members"].isna().all()
    assert out["estimate"].iloc[0] == pytest.approx(p4equity.fit("did", frame, **PLAIN)["estimate"].iloc[0], rel=1e-12)


@pytest.mark.parametrize("reference", [1.0, 1, "1", np.int64(1), np.float64(1)])
@pytest.mark.parametrize("levels", [(0.0, 1.0), (0, 1)])
def test_a_reference_of_any_number_type(frame: pd.DataFrame, reference: object, levels: tuple[float, float]) -> None:
    both = pd.concat([frame.assign(r=level, y=frame["y"] + k * frame["x"]) for k, level in enumerate(levels)])
    expected = p4equity.fit(
        "did", both.assign(r=both["r"].map({levels[0]: "a", levels[1]: "b"})), group="r", reference="b", **PLAIN
    )
    found = p4equity.fit("did", both, group="r", reference=reference, **PLAIN)
    assert found["estimate"].iloc[0] == pytest.approx(expected["estimate"].iloc[0], rel=1e-12)
