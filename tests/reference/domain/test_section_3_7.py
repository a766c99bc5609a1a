"""Every figure of section 3.7: errors, detectable changes, smallest p and reliability, from denominators alone.

Readings of the assumptions, each the only one tried that gives the printed figures (sizes and rates: module `sizes`).
- One system: baseline year to one post year, correlation 70% x persistence; detectable = (z(.975) + z(.80)) errors.
- The network: years 0 to 3 before, 4 to 6 after, means of each; a cell's sampling errors are AR(1) in the same correlation, since
  a member still there after k years is one of 0.7^k (an equal correlation of all years gives 0.5 to 1.4 points less); shocks are
  AR(1) with 0.5; systems count by 1 / (sampling + shock variance); (t(.975) + t(.80)) errors, n - 2 degrees of freedom. Under
  the launch contracts n is that question's own number of systems, and systems contracted on other measures leave.
- "All three pooled" is one group with the members of all three and a rate of 70% in every measure, against the measure's own rate
  of White members; the means of three gaps, weighted equally or by precision, miss by up to 0.2.

Tolerance: half the last digit printed, and a thousandth for what is rounded at the edge (3.051 and 5.350 stand there). Errors of
one system's gap were rounded to two digits and then to one: 4.049 is printed 4.1 and 1.248 is printed 1.3, so theirs is 0.055.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from p4equity.disparity.precision import change_factor, detectable_change
from p4equity.inference.permutation import attainable_p, count_assignments, enumerate_assignments
from p4equity.power import minimal_detectable_change, reliability
from sizes import ADULT, CONTRACTS, SHOCK_CORRELATION, correlation, yearly_variance

PRINTED = pd.read_csv(Path(__file__).with_name("section_3_7.csv"))
PRE, POST = (0, 1, 2, 3), (4, 5, 6)
ALL_TREATED, LAUNCH = "network, all five treated", "network, launch contracts"


def rows(table: str, *columns: str) -> list:
    """The figures of one table, those whose column starts with one of `columns`."""
    part = PRINTED[(PRINTED["table"] == table) & PRINTED["column"].str.startswith(columns or ("",))]
    return [pytest.param(r, id=f"{r['row']}, {r['column']}") for r in part.to_dict("records")]


def arms(table: str, measure: str) -> tuple[pd.DataFrame, np.ndarray]:
    """The systems of a question, and which are treated: the other participating systems leave a measure of the launch table."""
    participating = ADULT["arm"] == "participating"
    treated = participating if table == ALL_TREATED else pd.Series(ADULT.index.isin(CONTRACTS[measure]), ADULT.index)
    kept = treated | ~participating
    return ADULT[kept], treated[kept].to_numpy()


@pytest.mark.parametrize("row", rows("standard error of the gap"))
def test_errors_of_one_systems_gap(row: dict) -> None:
    measure, group = row["column"].split()
    variance = yearly_variance(measure, group, ADULT.loc[[row["row"]]])
    assert float(np.sqrt(variance[0])) == pytest.approx(row["printed"], abs=row["tolerance"])


@pytest.mark.parametrize("row", rows("detectable change"))
def test_detectable_changes_of_one_system(row: dict) -> None:
    measure, group = row["column"].split()
    variance = yearly_variance(measure, group, ADULT.loc[[row["row"]]]) * change_factor([0], [1], correlation(measure))
    assert float(detectable_change(np.sqrt(variance))[0]) == pytest.approx(row["printed"], abs=row["tolerance"])


GROUPS = ("Black", "Hispanic", "Asian", "pooled")


@pytest.mark.parametrize("row", [*rows(ALL_TREATED, *GROUPS), *rows(LAUNCH, *GROUPS)])
def test_detectable_changes_of_the_network(row: dict) -> None:
    group, tau = row["column"].split(", shocks ")
    systems, treated = arms(row["table"], row["row"])
    sampling = yearly_variance(row["row"], group, systems) * change_factor(PRE, POST, correlation(row["row"]))
    shocks = float(tau) ** 2 * change_factor(PRE, POST, SHOCK_CORRELATION)
    assert minimal_detectable_change(sampling, treated, shocks) == pytest.approx(row["printed"], abs=row["tolerance"])


@pytest.mark.parametrize("row", rows(LAUNCH, "treated", "systems", "smallest", "assignments"))
def test_arms_and_smallest_p_of_the_launch_contracts(row: dict) -> None:
    _, treated = arms(LAUNCH, row["row"])
    one_stratum = np.zeros(len(treated), np.int64)
    table = enumerate_assignments(treated, one_stratum)
    found = {
        "treated": treated.sum(),
        "systems": len(treated),
        "smallest p": attainable_p(table.astype(float)),
        "assignments": count_assignments(treated, one_stratum),
    }
    assert found[row["column"]] == pytest.approx(row["printed"], abs=row["tolerance"])


@pytest.mark.parametrize("row", rows("reliability"))
def test_reliability_of_levels(row: dict) -> None:
    error = float(row["column"].removeprefix("SE "))
    assert float(reliability(3.0**2, np.array([error**2]))[0]) == pytest.approx(row["printed"], abs=row["tolerance"])


def test_no_figure_is_left_out() -> None:
    """5 x 5 x 2 of single systems, 4 x 4 x 2 of each network table, 4 x 4 of arms and smallest p, 3 reliabilities."""
    assert len(PRINTED) == 50 + 32 + 32 + 16 + 3
