"""The break of colorectal screening, section 2.2: ages 45 to 49 join the denominator and a gap of 6.0 points becomes 8.4.

Assumptions as printed: rates of 71 (White) and 65 (Hispanic) at 50 to 75, of 30 and 26 at 45 to 49, whose share of members
is 17 and 24 percent. Arithmetic; tolerance is half the last digit printed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from p4equity.disparity.standardization import direct_standardization, mixed_rate, standard_mix

PRINTED = pd.read_csv(Path(__file__).with_name("section_2_2.csv")).set_index("row")
RATES = np.array([[71.0, 30.0], [65.0, 26.0]])  # White, Hispanic x 50 to 75, 45 to 49
YOUNGER = np.array([0.17, 0.24])
SHARES = np.stack([1 - YOUNGER, YOUNGER], axis=1)


@pytest.mark.parametrize(("row", "shares"), [("50 to 75", np.array([[1.0, 0.0], [1.0, 0.0]])), ("45 to 75", SHARES)])
def test_the_gap_widens_although_no_rate_moves(row: str, shares: np.ndarray) -> None:
    white, hispanic = mixed_rate(RATES, shares)
    printed = PRINTED.loc[row]
    assert white - hispanic == pytest.approx(printed["printed"], abs=printed["tolerance"])


def test_standardized_to_one_mix_it_does_not() -> None:
    """The whole widening is composition: under one mix of ages both groups have the gap of their rates."""
    members = np.array([4000.0, 1000.0])[:, None] * SHARES
    found = direct_standardization(members, members * RATES / 100, standard_mix(members))
    raw, standardized = (100 * float(x[0] - x[1]) for x in (found.raw, found.rate))
    assert raw == pytest.approx(8.39, abs=0.005)
    assert 4.0 <= standardized <= 6.0
    older = direct_standardization(members, members * RATES / 100, [1.0, 0.0]).rate
    assert 100 * float(older[0] - older[1]) == pytest.approx(6.0)
