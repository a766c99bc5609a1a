"""Denominators of section 2.5: network totals and one group's members by system, from the sizes of 2.6.

The figures test the reading of the assumptions in `sizes` that 3.7 and 4.6 rest on, not the package: members x share x the
measure's share x propensity. Tolerance: half the last digit printed.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from sizes import ADULT, SYSTEMS, denominators

PRINTED = pd.read_csv(Path(__file__).with_name("section_2_5.csv"))
TOTALS = PRINTED[PRINTED["table"] == "network totals"]
EXAMPLES = PRINTED[PRINTED["table"] != "network totals"]


@pytest.mark.parametrize("row", TOTALS.to_dict("records"), ids=lambda r: f"{r['row']}-{r['column']}")
def test_network_totals(row: dict) -> None:
    """Thirteen systems; Boston Children's counts for well-care only."""
    assert denominators(row["row"], SYSTEMS)[row["column"]].sum() == pytest.approx(row["printed"], abs=row["tolerance"])


@pytest.mark.parametrize("row", EXAMPLES.to_dict("records"), ids=lambda r: r["row"])
def test_one_groups_members_by_system(row: dict) -> None:
    assert denominators("CBP", ADULT).loc[row["row"], row["column"]] == pytest.approx(row["printed"], abs=row["tolerance"])


def test_all_thirteen_systems_are_in_the_totals() -> None:
    assert len(SYSTEMS) == 13
    assert SYSTEMS["members"].sum() == pytest.approx(1_000_000, rel=0.01)
