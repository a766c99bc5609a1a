"""Cells and arm rates: no sum, no nested measure, no standard error tells a small count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from p4equity.audit import audit_errors, audit_nested, audit_totals
from p4equity.dictionary import load_dictionary
from p4equity.disclosure import nested_pairs, protect_cells
from p4equity.disclosure.cells import hide
from p4equity.disclosure.nested import families
from p4equity.disclosure.population import determined

THRESHOLD = 11
PAIR = (("whole", "part"),)


def cells_of(counts: dict[tuple[str, str, str], tuple[int, int]], arms: dict[tuple[str, str], str]) -> pd.DataFrame:
    """Cells of one year; keys (measure, system, group)."""
    rows = [
        {"measure_id": m, "system_id": s, "group": g, "year": 2022, "arm": arms[m, s], "den": d, "num": n}
        for (m, s, g), (d, n) in counts.items()
    ]
    return pd.DataFrame(rows)


def rates_of(cells: pd.DataFrame) -> pd.DataFrame:
    keys = ["measure_id", "year", "arm"]
    parts = [cells.groupby([*keys, "group"], as_index=False)[["den", "num"]].sum()]
    parts.append(cells.groupby(keys, as_index=False)[["den", "num"]].sum().assign(group="all"))
    table = pd.concat(parts, ignore_index=True)
    share = table["num"] / table["den"].where(table["den"] > 0, 1)
    error = 100 * np.sqrt(share * (1 - share) / table["den"].where(table["den"] > 0, 1))
    return table.assign(rate=100 * share, std_error=error, unit_kind="percent")


def told(cells: pd.DataFrame, shown: pd.DataFrame, arms: pd.DataFrame, count: str) -> list[float]:
    """True values of hidden cells and of hidden arm totals that the shown sums determine together, by linear algebra."""
    values = cells["den"] - cells["num"] if count == "rest" else cells[count]
    hidden = np.flatnonzero(shown["status"] == "suppressed")
    known, targets = [np.zeros(len(hidden))], [(np.eye(len(hidden))[k], values.iloc[i]) for k, i in enumerate(hidden)]
    for row in arms.to_dict("records"):
        inside = (cells["measure_id"] == row["measure_id"]) & (cells["arm"] == row["arm"])
        inside &= (cells["group"] == row["group"]) | (row["group"] == "all")
        vector = inside.to_numpy(float)[hidden]
        if row["status"] == "ok":
            known.append(vector)
        else:
            targets.append((vector, values[inside].sum()))
    _, sizes, directions = np.linalg.svd(np.array(known))
    free = directions[int((sizes > 1e-9).sum()) :]
    return [float(v) for vector, v in targets if not np.abs(free @ vector).max(initial=0.0) > 1e-9]


counts = st.tuples(st.integers(0, 70), st.floats(0, 1), st.integers(0, 30), st.floats(0, 1))


@settings(max_examples=80, deadline=None)
@given(st.lists(counts, min_size=24, max_size=24), st.lists(st.sampled_from("ab"), min_size=6, max_size=6))
def test_nothing_small_is_determined_within_or_across_nested_measures(
    drawn: list[tuple[int, float, int, float]], arms: list[str]
) -> None:
    table: dict[tuple[str, str, str], tuple[int, int]] = {}
    for i, (den, share, more, other) in enumerate(drawn):
        system, group = f"S{i % 6}", "ghij"[i // 6]
        num = round(den * share)
        table["part", system, group] = (den, num)
        table["whole", system, group] = (den + more, num + round(more * other))
    # The whole has one arm where the part has two, so that its totals cut across those of the part.
    names = {("part", f"S{k}"): a for k, a in enumerate(arms)} | {("whole", f"S{k}"): "ab" for k in range(6)}
    cells = cells_of(table, names)
    shown, rates = protect_cells(cells, rates_of(cells), THRESHOLD, PAIR)
    assert audit_nested(shown, PAIR, ["system_id", "group", "year"], THRESHOLD) == []
    assert audit_totals(shown, rates, THRESHOLD) == []
    for count in ("den", "num", "rest"):
        assert not [v for v in told(cells, shown, rates, count) if 0 < v < THRESHOLD]


def test_a_small_difference_of_nested_measures_hides_both() -> None:
    counts = {("part", s, "g"): (200, 100) for s in ("S1", "S2", "S3")} | {
        ("whole", "S1", "g"): (230, 104), ("whole", "S2", "g"): (260, 130), ("whole", "S3", "g"): (270, 130),
    }  # fmt: skip
    cells = cells_of(counts, {(m, s): "a" for m, s, _ in counts})
    apart, _ = protect_cells(cells, rates_of(cells), THRESHOLD)
    assert (apart["status"] == "ok").all()
    shown, _ = protect_cells(cells, rates_of(cells), THRESHOLD, PAIR)
    hidden = shown[shown["status"] == "suppressed"]
    assert set(hidden["system_id"]) == {"S1", "S2"}
    assert hidden.groupby("system_id").size().tolist() == [2, 2]  # one mask for both measures


def test_the_reason_does_not_say_which_count_is_the_small_one() -> None:
    cells = cells_of({("m", "S1", "g"): (8, 4), ("m", "S2", "g"): (90, 40), ("m", "S3", "g"): (95, 40)}, dict.fromkeys(
        [("m", "S1"), ("m", "S2"), ("m", "S3")], "a"
    ))  # fmt: skip
    shown, _ = protect_cells(cells, rates_of(cells), THRESHOLD)
    assert shown["status"].tolist() == ["suppressed", "suppressed", "ok"]
    assert shown["reason"].nunique() == 1


def test_hidden_totals_keep_company_beneath_the_total_over_groups() -> None:
    # Group 0 holds 9 members in all; its total is hidden, and with the total over groups shown another group must be hidden too.
    counts = np.array([[9.0], [0.0], [40.0], [50.0], [60.0], [70.0]])
    rows, totals, whole = hide(counts, np.array([0, 0, 1, 1, 2, 2]), 3, THRESHOLD)
    assert totals.tolist() == [True, True, False]
    assert not whole
    assert rows.tolist() == [True, False, True, False, False, False]


def test_determined_finds_what_only_two_sums_together_tell() -> None:
    sums = np.array([[1.0, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 0]])
    assert determined(sums).tolist() == [False, False, True, True]


def test_the_dictionary_says_which_measures_are_nested() -> None:
    measures = load_dictionary().measures
    pairs = nested_pairs(measures.values())
    assert pairs
    for whole, part in pairs:
        assert measures[whole].events == measures[part].events
        assert all(measures[whole].ages(y)[0] <= measures[part].ages(y)[0] for y in range(2015, 2030))  # type: ignore[index]
    assert families(["x", *pairs[0]], pairs) == [("x",), tuple(sorted(pairs[0]))]


def test_the_error_of_a_rate_is_a_function_of_its_two_counts(small_run: Path) -> None:
    rates = pd.read_csv(small_run / "results" / "rate.csv")
    shown = rates[rates["unit_kind"] == "percent"]
    assert len(shown) > 500
    assert shown.loc[shown["status"] != "ok", ["den", "num", "rate", "std_error"]].isna().all(axis=None)
    assert audit_errors(rates) == []
    told_more = rates.assign(std_error=rates["std_error"] * 0.999)
    assert audit_errors(told_more)


@pytest.mark.parametrize("threshold", [0, 1])
def test_published_data_are_not_protected(threshold: int) -> None:
    cells = cells_of({("m", "S1", "g"): (3, 1)}, {("m", "S1"): "a"})
    shown, rates = protect_cells(cells, rates_of(cells), threshold)
    assert (shown["status"] == "ok").all()
    assert (rates["status"] == "ok").all()
