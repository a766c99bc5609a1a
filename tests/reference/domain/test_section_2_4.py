"""Sections 2.4 and 3.3 of the background notes: published rates of 2020 and 2022, and the kinds of change, by the package.

The printed changes follow from the published rates exactly (tolerance: rounding of the arithmetic). A1c poor control is better
when lower, so its changes are turned: +2.1 and +6.5 points worse are -2.1 and -6.5. Rates are taken as known: the reports print
no intervals.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from p4equity.disparity.leveling import known, movement, share_from_reference, verdict

with (Path(__file__).parent / "section_2_4.csv").open(encoding="utf-8", newline="") as file:
    PRINTED = list(csv.DictReader(file))
# White and Black rates of 2020 and 2022, percent; whether higher is better.
RATES = {"BP control": ((80.1, 74.7), (68.7, 66.1), True), "A1c poor control": ((17.4, 23.9), (23.6, 25.7), False)}
MARGIN = 0.5


@pytest.mark.parametrize("row", PRINTED, ids=lambda r: f"{r['row']}: {r['column']}")
def test_published_rates_give_the_printed_changes(row: dict[str, str]) -> None:
    white, black, up = RATES[row["row"]]
    found = movement(white, black, higher_is_better=up)
    columns = {
        "Black change": found.group, "White change": found.reference, "gap 2020": found.gap_before,
        "gap 2022": found.gap_after, "gap change": found.gap,
    }  # fmt: skip
    assert columns[row["column"]] == pytest.approx(float(row["printed"]), abs=float(row["tolerance"]))


@pytest.mark.parametrize("name", sorted(RATES))
def test_both_are_leveling_down_and_more_than_the_whole_narrowing_is_the_reference(name: str) -> None:
    white, black, up = RATES[name]
    found = movement(white, black, higher_is_better=up)
    assert verdict(known(found.gap), known(found.reference), known(found.group), MARGIN) == "leveling down"
    share = share_from_reference(found.reference, found.group)
    assert share == pytest.approx(found.reference / found.gap)
    assert share is not None
    assert share > 1  # both fell


@pytest.mark.parametrize(
    ("reference", "group", "kind"),
    [  # the table of section 3.3
        (0.0, 3.0, "leveling up"), (1.0, 3.0, "leveling up"), (2.0, 2.0, "equal lift"), (4.0, 2.0, "outpaced"),
        (-3.0, 0.0, "leveling down"), (-5.0, -2.0, "leveling down"), (-2.0, 2.0, "mixed"),
    ],
)  # fmt: skip
def test_known_effects_have_the_kind_of_section_3_3(reference: float, group: float, kind: str) -> None:
    assert verdict(known(reference - group), known(reference), known(group), MARGIN) == kind


def test_the_share_of_section_3_3() -> None:
    """-tau_ref / (tau_g - tau_ref) when narrowing."""
    assert share_from_reference(-1.0, 3.0) == pytest.approx(0.25)
