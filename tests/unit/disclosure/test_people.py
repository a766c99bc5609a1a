"""Flow chart, baseline characteristics, survey and estimates of one system."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from p4equity.audit import audit_frame, audit_shared
from p4equity.disclosure import protect_flow, protect_implementation, protect_pooled, protect_population, protect_systems
from p4equity.disclosure.answers import COARSE
from p4equity.estimates import estimates_table

THRESHOLD = 11


def flow_of(counts: dict[str, dict[str, list[int]]]) -> pd.DataFrame:
    """A flow of one year with totals over arms and groups, from n by arm, group and step."""
    rows = [
        {"step": k + 1, "label": f"step {k + 1}", "arm": arm, "group": group, "year": 2022, "n": n}
        for arm, groups in counts.items() for group, steps in groups.items() for k, n in enumerate(steps)
    ]  # fmt: skip
    own = pd.DataFrame(rows)
    keys = ["step", "label", "arm", "group", "year"]
    parts = [own, own.assign(group="all"), own.assign(arm="all"), own.assign(arm="all", group="all")]
    table = pd.concat([p.groupby(keys, as_index=False)["n"].sum() for p in parts], ignore_index=True)
    table = table.sort_values(["arm", "group", "year", "step"], ignore_index=True)
    before = table.groupby(["arm", "group", "year"])["n"].shift()
    return table.assign(dropped=(before - table["n"]).astype("Int64"))


COUNTS = {
    "participating": {"g": [500, 492, 492], "h": [900, 700, 700], "i": [800, 600, 600]},
    "comparison": {"g": [700, 600, 600], "h": [990, 720, 720], "i": [850, 640, 640]},
}


def profile_of(counts: dict[str, dict[str, list[int]]]) -> pd.DataFrame:
    rows = [
        {"characteristic": "race_ethnicity", "level": g, "arm": a, "n": steps[1], "share": 0.1, "smd": 0.2}
        for a, groups in counts.items() for g, steps in groups.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_steps_without_a_loss_between_them_are_one_number() -> None:
    shown = protect_flow(flow_of(COUNTS), THRESHOLD).set_index(["arm", "group", "step"])
    # 500 to 492 is a small loss: the step is hidden, and so is the next one, which by definition holds the same members.
    assert shown.loc[("participating", "g", 2), "status"] == "suppressed"
    assert shown.loc[("participating", "g", 3), "status"] == "suppressed"
    assert audit_frame(shown.reset_index(), THRESHOLD) == []
    assert (shown["status"] == "ok").sum() > len(shown) / 2


def test_flow_chart_and_profile_hide_the_same_members_and_the_difference_of_both_arms() -> None:
    flow, profile = protect_population(flow_of(COUNTS), profile_of(COUNTS), THRESHOLD, 2022)
    assert audit_shared(profile, flow) == []
    hidden = profile["status"] == "suppressed"
    assert hidden.any()
    assert profile.loc[profile["level"].isin(profile.loc[hidden, "level"]), "smd"].isna().all()
    alone = profile_of(COUNTS).assign(status="ok", reason=None)
    assert audit_shared(alone, flow)  # what was published before: Table 1 with the number that the flow chart hides


def test_a_difference_of_shares_goes_with_either_share() -> None:
    profile = pd.DataFrame(
        {
            "characteristic": "sex", "level": ["F", "M", "X"] * 2, "arm": ["participating"] * 3 + ["comparison"] * 3,
            "n": [400, 300, 4, 500, 400, 60], "share": 0.3, "smd": [0.1, 0.2, 0.3] * 2,
        }
    )  # fmt: skip
    _, shown = protect_population(flow_of(COUNTS), profile, THRESHOLD, 2022)
    assert shown["status"].tolist() == ["ok", "suppressed", "suppressed", "ok", "ok", "ok"]
    assert shown["smd"].isna().tolist() == [False, True, True] * 2
    assert shown.loc[3:, "n"].notna().all()


def survey(answers: dict[str, int]) -> pd.DataFrame:
    rows = [("respondents", a, "all", n, None, None) for a, n in (("all", 200), ("participating", 110), ("comparison", 90))]
    for arm, n in answers.items():
        rows += [("mean", arm, "q", n, 3.14159, "scale from 1 to 5"), ("agree", arm, "q", n, 41.2345, "percent answering 4 or 5")]
    frame = pd.DataFrame(rows, columns=["indicator", "arm", "item", "n", "value", "unit"])
    return frame.assign(section="survey", basis="respondents", status="ok", reason=None).astype({"n": "Int64"})


@pytest.mark.parametrize(
    ("answers", "hidden"),
    [
        ({"all": 195, "participating": 107, "comparison": 88}, 6),  # 5, 3 and 2 did not answer
        ({"all": 180, "participating": 105, "comparison": 75}, 4),  # 20, 5 and 15: the third would tell the second
        ({"all": 160, "participating": 90, "comparison": 70}, 0),
        ({"all": 200, "participating": 110, "comparison": 90}, 0),  # all answered
    ],
)
def test_a_few_without_an_answer_hide_the_base_and_keep_the_share(answers: dict[str, int], hidden: int) -> None:
    shown = protect_implementation(survey(answers), THRESHOLD)
    assert audit_frame(shown, THRESHOLD) == []
    items = shown[shown["item"] == "q"]
    assert (shown["status"] == "ok").all()
    assert int(items["n"].isna().sum()) == hidden
    coarse = items[items["n"].isna()]
    assert set(coarse["value"]) <= {3.1, 41.0}
    assert items["value"].notna().all()


def test_the_total_over_items_does_not_tell_a_hidden_item() -> None:
    rows = [("interviews", "outside", item, n) for item, n in (("all", 60), ("payer", 6), ("press", 20), ("other", 34))]
    table = pd.DataFrame(rows, columns=["indicator", "arm", "item", "n"]).astype({"n": "Int64"})
    table = table.assign(section="interviews", basis="interviews", value=30.0, unit="minutes", status="ok", reason=None)
    shown = protect_implementation(table, THRESHOLD)
    assert shown["status"].tolist() == ["ok", "suppressed", "suppressed", "ok"]


def test_ten_digits_of_one_systems_change_do_not_tell_its_hidden_cells() -> None:
    cells = pd.DataFrame({"system_id": "S1", "measure_id": "M", "year": [2019, 2022], "status": "suppressed"})
    row = {"analysis_id": "a", "measure_id": "M", "estimate": 1.23456789, "std_error": 0.987654, "status": "ok"}
    shown = protect_systems(estimates_table([{**row, "system_id": s} for s in ("S1", "S2")]), cells).set_index("system_id")
    assert shown.loc["S1", ["estimate", "std_error"]].tolist() == [1.2, 1.0]
    assert shown.loc["S2", "estimate"] == pytest.approx(1.23456789)


def test_a_number_on_the_edge_of_two_decimals_is_rounded_alike_on_every_processor() -> None:
    cells = pd.DataFrame({"system_id": "S1", "measure_id": "M", "year": [2019, 2022], "status": "suppressed"})
    shared = {"measure_id": "M", "system_id": "S1", "status": "ok", "estimate": 1.0}
    rows = [{**shared, "analysis_id": f"a{i}", "df": 8.45 + (i - 1) * 2e-15} for i in range(4)]
    assert len({row["df"] for row in rows}) > 2
    assert protect_systems(estimates_table(rows), cells)["df"].nunique() == 1


def test_steps_are_compared_across_a_hidden_one() -> None:
    frame = pd.DataFrame({"step": [1, 2, 3], "arm": "a", "group": "g", "year": 2022, "n": [500, np.nan, 497]})
    assert audit_frame(frame, THRESHOLD) == ["steps: 1 differences of 1 to 10"]


def test_ten_digits_of_a_coefficient_do_not_tell_the_two_hidden_cells_of_a_year() -> None:
    # Two of seven systems of an arm are hidden, 52 members and 32 successes in all; a coefficient is the mean rate of the seven.
    cells = pd.DataFrame({"system_id": ["S1", "S2"], "measure_id": "M", "group": "g", "year": 2022, "status": "suppressed"})
    true = 100 * (12 / 20 + 20 / 32) / 7
    row = {"analysis_id": "a", "measure_id": "M", "reference_group": "r", "estimate": true, "std_error": 3.21987, "status": "ok",
           "p_value": 0.0012345, "n_members": 4321, "system_id": "all"}  # fmt: skip
    rows = [{**row, "estimator": e, "group": g, "outcome": o} for e, g, o in (
        ("event_study", "g", "gap"), ("event_study", "h", "gap"), ("meta_regression", "g", "gap"),
    )]  # fmt: skip
    shown = protect_pooled(estimates_table(rows), cells)

    def solutions(value: float, tolerance: float) -> int:
        pairs = [(d, x) for d in range(11, 42) for x in range(max(0, 32 - (52 - d)), min(d, 32) + 1)]
        return len({tuple(sorted([p, (52 - p[0], 32 - p[1])])) for p in pairs
                    if abs(100 / 7 * (p[1] / p[0] + (32 - p[1]) / (52 - p[0])) - value) <= tolerance})  # fmt: skip

    assert solutions(true, 1e-8) == 1
    assert solutions(shown.loc[0, "estimate"], 0.05) > 5
    assert shown.loc[0, ["std_error", "p_value"]].tolist() == [3.2, 0.01]
    assert shown.loc[1:, "estimate"].tolist() == [true, true]  # nothing hidden; weights that nobody can repeat
    assert shown["n_members"].tolist() == [4300, 4300, 4300]
    open_cells = protect_pooled(estimates_table(rows), cells.assign(status="ok"))
    assert open_cells["n_members"].tolist() == [4321, 4321, 4321]
    assert open_cells["estimate"].tolist() == [true] * 3


@pytest.mark.parametrize(
    ("one", "other"), [((39, 25), (23, 16)), ((24, 16), (37, 23)), ((20, 12), (32, 20)), ((27, 17), (40, 24))]
)  # blocks of a synthetic run; with one more decimal the first and the third had one solution, the true one
def test_a_coefficient_leaves_several_pairs_of_counts(one: tuple[int, int], other: tuple[int, int]) -> None:
    """What a mean over seven systems, in the digits given, leaves of two hidden cells whose sums are published."""
    n, x = one[0] + other[0], one[1] + other[1]

    def mean(d: int, k: int) -> float:
        return 100 * (k / d + (x - k) / (n - d)) / 7

    def small(d: int, k: int) -> bool:
        return any(0 < v < THRESHOLD for v in (d, k, d - k, n - d, x - k, n - d - x + k))

    near = 0.5 * 10.0 ** -COARSE["estimate"]
    pairs = [(d, k) for d in range(THRESHOLD, n - THRESHOLD + 1) for k in range(max(0, x - n + d), min(d, x) + 1)]
    left = {tuple(sorted([p, (n - p[0], x - p[1])])) for p in pairs if small(*p) and abs(mean(*p) - mean(*one)) <= near}
    assert len(left) > 4


def test_registered_weights_make_a_sum_that_anyone_can_form() -> None:
    """Cells of one group are hidden: sums over all groups or measures with known weights are given in few digits as well."""
    cells = pd.DataFrame(
        {"system_id": ["S1", "S2", "S3"], "measure_id": ["M", "M", "N"], "group": "g", "year": 2022,
         "status": ["suppressed", "suppressed", "ok"]}
    )  # fmt: skip
    row = {"analysis_id": "a", "group": "pooled", "reference_group": "r", "estimate": 1.23456789, "outcome": "gap",
           "status": "ok", "n_members": 4321, "system_id": "all", "estimator": "meta_regression"}  # fmt: skip
    kinds = [("M", "patient"), ("M", "random_effects"), ("pooled", "patient"), ("pooled", "system"), ("pooled", "random_effects"),
             ("N", "patient")]  # fmt: skip
    shown = protect_pooled(estimates_table([{**row, "measure_id": m, "weighting": w} for m, w in kinds]), cells)
    few = [m != "N" and w != "random_effects" for m, w in kinds]
    assert shown["estimate"].tolist() == [1.2 if coarse else 1.23456789 for coarse in few]
