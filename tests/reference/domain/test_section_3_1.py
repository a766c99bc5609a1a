"""Between-group variance that is noise, section 3.1: 1.5 points at 2,590 members in four groups, 0.9 at 6,850.

The rate behind the figures is not printed. (G - 1) p (1 - p) / N gives 1.5 and 0.9 points at two digits for p between 0.71 and
0.76 (or one less that), that is, at the level of blood pressure control (0.747 for White members in section 2.4); 2,590 is the
smallest contracted system's denominator of that measure in the sizes of 2.6. The formula does not depend on the shares of the
groups. Tolerance: half the last digit; the simulation (binomial draws with equal rates) adds four Monte Carlo errors.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from p4equity.disparity.between_groups import between_group_variance, implied_rate, spurious_variance
from sizes import WHITE_RATE, denominators

PRINTED = pd.read_csv(Path(__file__).with_name("section_3_1.csv"))
RATE, GROUPS = WHITE_RATE["CBP"], 4


@pytest.mark.parametrize("row", PRINTED.to_dict("records"), ids=lambda r: str(r["row"]))
def test_printed(row: dict) -> None:
    found = 100 * float(np.sqrt(spurious_variance(RATE, row["row"], GROUPS)))
    assert found == pytest.approx(row["printed"], abs=row["tolerance"])


def test_the_rate_that_is_implied() -> None:
    """Each printed figure leaves a range of rates; both hold between 0.71 and 0.76."""
    ends = [[implied_rate((r["printed"] + d) / 100, r["row"], GROUPS) for d in (0.05, -0.05)] for r in PRINTED.to_dict("records")]
    low, high = max(e[0] for e in ends), min(e[1] for e in ends)
    assert (round(low, 2), round(high, 2)) == (0.71, 0.76)
    assert low < RATE < high


def test_the_members_are_those_of_blood_pressure_in_the_smallest_contracted_system() -> None:
    assert denominators("CBP").sum(axis=1)["BACO"] == pytest.approx(PRINTED["row"].iloc[0], abs=0.5)


@pytest.mark.parametrize("row", PRINTED.to_dict("records"), ids=lambda r: str(r["row"]))
def test_by_simulation_of_that_systems_groups(row: dict) -> None:
    """Equal rates in its four groups: the observed variance has the printed size, the corrected one is zero on average."""
    mix = denominators("CBP").loc["BACO"].to_numpy()
    n = np.round(row["row"] * mix / mix.sum()).astype(int)
    x = np.random.default_rng(31).binomial(n, RATE, (40_000, GROUPS))
    found = between_group_variance(np.broadcast_to(n, x.shape), x)
    error = found.observed.std() / np.sqrt(len(x))
    spread = 100 * np.sqrt(found.observed.mean())
    assert spread == pytest.approx(row["printed"], abs=row["tolerance"] + 4 * 100 * error / (2 * spread / 100))
    assert found.corrected.mean() == pytest.approx(0, abs=4 * error)
