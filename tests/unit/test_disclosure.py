"""Disclosure control: what is small, what would reveal it, and that the auditor agrees."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p4equity.audit import audit_frame, audit_totals, suppressed_lines
from p4equity.disclosure import protect, protect_cells, protect_estimates, protect_flow, protect_systems, small
from p4equity.estimates import estimates_table
from scipy.optimize import linprog

THRESHOLD = 11


def table(den: list[int], num: list[int], arms: str = "") -> pd.DataFrame:
    names = list(arms) or ["a"] * len(den)
    return pd.DataFrame(
        {
            "measure_id": "M",
            "system_id": [f"S{i}" for i in range(len(den))],
            "group": "g",
            "year": 2022,
            "arm": names,
            "den": den,
            "num": num,
        }
    )


def test_small_counts_are_one_to_ten() -> None:
    assert small(np.array([0, 1, 10, 11]), THRESHOLD).tolist() == [False, True, True, False]


def test_one_small_cell_takes_a_second_with_it() -> None:
    out = protect(
        table([200, 300, 8], [100, 150, 4]), counts=("den", "num"), numbers=("den", "num"), lines=[("arm",)], threshold=THRESHOLD
    )
    assert out["status"].tolist() == ["suppressed", "ok", "suppressed"]
    assert out["reason"].tolist() == [
        "suppressed so that a smaller count cannot be derived",
        None,
        "a count below the disclosure threshold",
    ]
    assert out["den"].isna().tolist() == [True, False, True]


def test_a_small_complement_is_small_too() -> None:
    out = protect(
        table([50, 300, 400], [45, 150, 200]), counts=("den", "num"), numbers=("den", "num"), lines=[], threshold=THRESHOLD,
        complements=(("den", "num"),),
    )  # fmt: skip
    assert out["status"].tolist() == ["suppressed", "ok", "ok"]


def test_two_small_cells_whose_sum_is_small_take_a_third() -> None:
    out = protect(
        table([3, 4, 90, 200], [0, 0, 0, 0]), counts=("den",), numbers=("den", "num"), lines=[("arm",)], threshold=THRESHOLD
    )
    assert out["status"].tolist() == ["suppressed", "suppressed", "suppressed", "ok"]


def test_zero_is_shown_and_suppressed_is_not_zero() -> None:
    out = protect(
        table([0, 30, 5, 40], [0, 15, 2, 20]), counts=("den", "num"), numbers=("den", "num"), lines=[], threshold=THRESHOLD
    )
    assert out["den"].tolist()[0] == 0
    assert out["den"].isna().tolist() == [False, False, True, False]


def test_published_data_have_no_threshold() -> None:
    frame = table([3, 4], [1, 1])
    out = protect(frame, counts=("den",), numbers=("den",), lines=[("arm",)], threshold=0)
    assert (out["status"] == "ok").all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0, 1)), min_size=3, max_size=9), st.data())
def test_the_auditor_finds_nothing_in_what_was_protected(pairs: list[tuple[int, float]], data: st.DataObject) -> None:
    den = [d for d, _ in pairs]
    num = [round(d * share) for d, share in pairs]
    arms = "".join(data.draw(st.sampled_from("ab")) for _ in pairs)
    cells = table(den, num, arms)
    totals = cells.groupby(["arm", "measure_id", "group", "year"], as_index=False)[["den", "num"]].sum()
    rates = pd.concat([totals, totals.assign(group="all")]).assign(rate=0.0, std_error=0.0, unit_kind="percent")
    shown, arms_shown = protect_cells(cells, rates, THRESHOLD)
    assert audit_frame(shown, THRESHOLD) == []
    assert audit_frame(arms_shown, THRESHOLD) == []
    for count in ("den", "num"):
        for arm, part in shown.groupby("arm"):
            total = arms_shown[(arms_shown["arm"] == arm) & (arms_shown["group"] == "g")][count].iloc[0]
            hidden = part[part[count].isna()]
            if len(hidden) and pd.notna(total):
                rest = total - part[count].sum()
                assert rest == 0 or rest >= THRESHOLD


def test_the_auditor_sees_a_cell_that_a_total_reveals() -> None:
    cells = table([200, 300, 8], [100, 150, 4]).astype({"den": "Int64", "num": "Int64"})
    cells.loc[2, ["den", "num"]] = pd.NA
    rates = pd.DataFrame(
        {"arm": ["a"], "measure_id": ["M"], "group": ["g"], "year": [2022], "den": [508], "num": [254], "unit_kind": ["percent"]}
    )
    assert len(audit_totals(cells, rates, THRESHOLD)) == 2
    assert audit_frame(table([8, 50], [0, 25]).drop(columns="num"), THRESHOLD) == ["column den: 1 counts of 1 to 10"]


def test_a_small_loss_between_steps_hides_the_step() -> None:
    flow = pd.DataFrame(
        {"step": [1, 2, 3], "year": 2022, "arm": "all", "group": "all", "n": [500, 495, 300], "dropped": [None, 5, 195]}
    )
    out = protect_flow(flow.astype({"dropped": "Int64"}), THRESHOLD)
    assert out.loc[1, "status"] == "suppressed"
    assert pd.isna(out.loc[2, "dropped"])  # 300 against a hidden 495 would give the loss


def test_the_closed_form_is_the_linear_programme() -> None:
    # Two groups, one total suppressed; bounds of each suppressed cell by HiGHS against the lines of the auditor.
    part = pd.DataFrame({"group": list("ggghhh"), "den": [None, None, 40.0, None, 30.0, None]})
    published = pd.DataFrame({"group": ["g", "h", "all"], "den": [75.0, None, 140.0]})
    assert suppressed_lines(part, published, "den") == [(2, 35), (2, 35)]
    A, b = [[1, 1, 0, 0], [1, 1, 1, 1]], [35, 70]
    for i in range(4):
        c = np.eye(4)[i]
        ends = [linprog(sign * c, A_eq=A, b_eq=b, bounds=(0, None), method="highs").fun * sign for sign in (1, -1)]
        assert ends == pytest.approx([0, 35])


@pytest.mark.parametrize("members", [5, 10])
def test_estimates_on_few_members_are_suppressed_not_zero(members: int) -> None:
    from p4equity.estimates import columns

    row = dict.fromkeys(columns()) | {"row_id": "r", "estimate": 1.0, "n_members": members, "status": "ok"}
    out = protect_estimates(pd.DataFrame([row]), THRESHOLD)
    assert out.loc[0, "status"] == "suppressed"
    assert pd.isna(out.loc[0, "estimate"])


@pytest.mark.parametrize(("hidden", "status"), [(0, "ok"), (1, "suppressed"), (2, "ok")])
def test_one_hidden_cell_behind_one_systems_change_hides_the_change(hidden: int, status: str) -> None:
    cells = pd.DataFrame({"system_id": "S1", "measure_id": "M", "year": [2019, 2022, 2023], "status": "ok"})
    cells.loc[: hidden - 1, "status"] = "suppressed"
    row = {"analysis_id": "a", "measure_id": "M", "estimate": 1.0, "status": "ok"}
    rows = estimates_table([{**row, "system_id": s} for s in ("S1", "all")])
    out = protect_systems(rows, cells).set_index("system_id")
    assert out.loc["S1", "status"] == status
    assert pd.isna(out.loc["S1", "estimate"]) == (status != "ok")
    assert out.loc["all", "status"] == "ok"
