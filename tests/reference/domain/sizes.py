"""The illustrative sizes behind the figures of domain.md: members (2.6), denominators (2.5), rates (2.4), persistence (2.1).

Printed there: members and shares of each system; each measure's share of members (COL 26%, CBP 10%, diabetes 4.5%, WCV 20%, in
Boston Children's 90%); the propensities of diabetes (1.6, 1.3, 1.2) and hypertension (1.35, 0.85, 0.75) against the measure's
share; 0.75 to 0.85 for COL; rates, gaps, persistence, 70% overlap. Not printed and found from the network totals of 2.5, which
leave no other choice at two digits: the propensities of White members (1.08, 1.05, 0.90, 0.95) and those of WCV
(1.05, 1.25, 1.05), and which COL groups have 0.85 and 0.75.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from p4equity.disparity.precision import gap_variance

GROUPS = ("White", "Black", "Hispanic", "Asian")
SHARES = {"COL": 0.26, "CBP": 0.10, "diabetes": 0.045, "WCV": 0.20}
CHILDREN = 0.90
PROPENSITY = {
    "COL": (1.08, 0.85, 0.75, 0.75),
    "CBP": (1.05, 1.35, 0.85, 0.75),
    "diabetes": (0.90, 1.60, 1.30, 1.20),
    "WCV": (0.95, 1.05, 1.25, 1.05),
}
WHITE_RATE = {"COL": 0.71, "CBP": 0.747, "diabetes": 0.761, "WCV": 0.80}
GAPS = {"COL": (7.0, 5.6, 4.0), "CBP": (8.6, 5.7, 0.5), "diabetes": (1.8, 8.0, -2.1), "WCV": (11.0, 10.0, 4.0)}
PERSISTENCE = {"COL": 0.75, "CBP": 0.35, "diabetes": 0.5, "WCV": 0.4}
OVERLAP = 0.7
SHOCK_CORRELATION = 0.5
POOLED_RATE = 0.70
CONTRACTS = {
    "CBP": ("MGB", "BILH", "Steward", "BACO", "Tufts"),
    "COL": ("Steward", "BACO", "Tufts"),
    "diabetes": ("BILH", "Tufts"),
    "WCV": ("Tufts",),
}
SYSTEMS = pd.read_csv(Path(__file__).with_name("sizes.csv")).set_index("system")
ADULT = SYSTEMS[SYSTEMS["arm"] != "children"]


def denominators(measure: str, systems: pd.DataFrame = ADULT) -> pd.DataFrame:
    """Members in the denominator, systems x GROUPS."""
    own = np.where(systems["arm"] == "children", CHILDREN if measure == "WCV" else 0.0, SHARES[measure])
    return systems[list(GROUPS)].mul(systems["members"] * own, axis=0) * np.array(PROPENSITY[measure])


def yearly_variance(measure: str, group: str, systems: pd.DataFrame = ADULT) -> np.ndarray:
    """Variance of one year's gap in each system, points squared. "pooled": the three groups counted as one, at POOLED_RATE."""
    n = denominators(measure, systems)
    white = WHITE_RATE[measure]
    if group == "pooled":
        members, rate = n[list(GROUPS[1:])].sum(axis=1), POOLED_RATE
    else:
        members, rate = n[group], white - GAPS[measure][GROUPS.index(group) - 1] / 100
    return 100**2 * gap_variance(white, n["White"], rate, members)


def correlation(measure: str) -> float:
    """Of one cell's sampling errors in two years in a row: members who stay times persistence within a member."""
    return OVERLAP * PERSISTENCE[measure]
