"""Members that left by group: what is hidden, and that nothing hidden can be told from what is shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from p4equity.disclosure import protect_group_movers
from scipy.optimize import linprog

PLACES = ("participating", "comparison", "outside", "not covered")


def counted(counts: dict[str, tuple[int, int, int, int]]) -> pd.DataFrame:
    rows = [("S03", 2023, 1, g, p, n, 100 * n / sum(own)) for g, own in counts.items() for p, n in zip(PLACES, own, strict=True)]
    return pd.DataFrame(rows, columns=["system_id", "year", "years_later", "group", "place", "n", "share"])


def released(table: pd.DataFrame, hidden: bool = False) -> pd.DataFrame:
    whole = table.groupby(["system_id", "years_later", "place"], as_index=False)["n"].sum()
    return whole.assign(status="suppressed" if hidden else "ok")


def hidden_groups(shown: pd.DataFrame) -> set[str]:
    return set(shown.loc[shown["status"] == "suppressed", "group"])


def test_a_group_with_few_members_at_a_place_is_hidden_whole_and_not_alone() -> None:
    table = counted({"a": (500, 600, 700, 800), "b": (50, 60, 7, 80), "c": (40, 50, 60, 70), "d": (90, 90, 90, 90)})
    shown = protect_group_movers(table, released(table), 11)
    assert hidden_groups(shown) == {"b", "c"}  # the smallest other one with it
    assert shown.loc[shown["group"].isin(["b", "c"]), ["n", "share"]].isna().all(axis=None)
    assert shown.loc[shown["group"].isin(["a", "d"]), "n"].tolist() == table.loc[table["group"].isin(["a", "d"]), "n"].tolist()
    # Two small counts at one place: their sum is small too, so that a third group goes with them.
    table = counted({"a": (500, 600, 700, 800), "b": (50, 60, 3, 80), "c": (40, 50, 2, 70), "d": (90, 90, 90, 90)})
    assert hidden_groups(protect_group_movers(table, released(table), 11)) == {"b", "c", "d"}


def test_large_counts_and_zeros_stay_and_hidden_totals_close_the_table() -> None:
    table = counted({"a": (500, 600, 700, 800), "b": (50, 0, 70, 80)})
    assert hidden_groups(protect_group_movers(table, released(table), 11)) == set()
    assert hidden_groups(protect_group_movers(table, released(table, hidden=True), 11)) == {"a", "b"}
    assert protect_group_movers(table.iloc[:0], released(table).iloc[:0], 11).empty


@pytest.mark.parametrize("seed", range(25))
def test_no_small_count_can_be_solved_from_totals_of_groups_and_places(seed: int) -> None:
    """Every hidden small count may, given all that is known, be another whole number: bounds by linear programming."""
    rng = np.random.default_rng(seed)
    counts = {g: tuple(int(n) for n in rng.choice([0, 3, 8, 15, 40, 200], 4, p=[0.1, 0.1, 0.1, 0.2, 0.3, 0.2])) for g in "abcde"}
    table = counted({g: v if sum(v) else (20, 20, 20, 20) for g, v in counts.items()})  # type: ignore[misc]
    whole = released(table)
    small_total = whole["n"].between(1, 10).any()
    shown = protect_group_movers(table, whole.assign(status="suppressed" if small_total else "ok"), 11)
    flags = (shown["status"] == "suppressed").to_numpy()
    small = table["n"].between(1, 10).to_numpy()
    assert not (small & ~flags).any()
    if small_total or not flags.any():
        return
    own = table[flags]
    sums = [(own[column] == value).to_numpy(float) for column in ("group", "place") for value in own[column].unique()]
    known = [float(own["n"] @ line) for line in sums]
    for at in np.flatnonzero(small[flags]):
        goal = np.zeros(len(own))
        goal[at] = 1.0
        ends = [sign * linprog(sign * goal, A_eq=np.array(sums), b_eq=known, bounds=(0, None)).fun for sign in (1, -1)]
        assert ends[1] - ends[0] >= 1.0
