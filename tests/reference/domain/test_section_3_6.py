"""Section 3.6 of the background notes: free narrowing of selected gaps, and paying for noise, by the package's own functions.

Their setup, read so that its figures follow: gaps N(5, 3^2) over the cells; errors of every year with the printed standard
error, correlated 0.35 from one year to the next and 0.35 squared over two years; the worst cells by the gap of the selection
year. "yr 1", "yr 2": that gap less the gap one or two years later. "2-year baseline": the mean gap of two years both selects and
is the baseline, less the gap one year later. "fresh year": selected in one year, the baseline is the next year, less the gap of
the year after that (the year before the selection year as the baseline gives the same at equal distance). Payments: the change is
N(0, SE^2), four measures are independent.

Tolerance: half a unit of the last printed digit, and for the simulated table 0.01 for their own Monte Carlo error (1.148
is printed as 1.2 and 0.144 as 0.2; the mean of one picked cell has a Monte Carlo error of about 0.02 over ten thousand draws).
"""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import numpy as np
import pytest
from p4equity.disparity.selection import autoregressive, expected_narrowing, simulated_change
from p4equity.incentive import Formula, chance_of_narrowing, expected_score

with (Path(__file__).parent / "section_3_6.csv").open(encoding="utf-8", newline="") as file:
    PRINTED = list(csv.DictReader(file))
SELECTION = [row for row in PRINTED if row["table"] == "selection"]
NOISE = [row for row in PRINTED if row["table"] == "paying for noise"]
CENTRE, BETWEEN, CORRELATION = 5.0, 3.0, 0.35
YEARS = np.eye(4)  # the year before selection, the selection year, two years after it
WINDOWS = {
    "year 1": (YEARS[1], YEARS[2] - YEARS[1]),
    "year 2": (YEARS[1], YEARS[3] - YEARS[1]),
    "2-year baseline": ((YEARS[0] + YEARS[1]) / 2, YEARS[2] - (YEARS[0] + YEARS[1]) / 2),
    "fresh baseline": (YEARS[1], YEARS[3] - YEARS[2]),
}


def names(row: dict[str, str]) -> str:
    return f"{row['row']}: {row['column']}"


def numbers(text: str) -> list[float]:
    return [float(x) for x in re.findall(r"\d+(?:\.\d+)?", text)]


def test_every_number_of_both_tables_is_here() -> None:
    assert (len(SELECTION), len(NOISE)) == (4 * 4, 5 * 4)


@pytest.mark.parametrize("row", SELECTION, ids=names)
def test_free_narrowing_of_selected_gaps(row: dict[str, str]) -> None:
    error, k, n = numbers(row["row"])
    selection, change = WINDOWS[row["column"]]
    covariance = error**2 * autoregressive(range(4), CORRELATION)
    narrowing = expected_narrowing(BETWEEN, covariance, selection, change, int(k), int(n))
    assert narrowing == pytest.approx(float(row["printed"]), abs=float(row["tolerance"]))
    # The same by simulation of cells, the function that real cells of unequal size need. 60,000 draws: an error of about 0.01.
    cells = np.eye(int(n))
    seen, joint = selection @ covariance @ selection * cells, selection @ covariance @ change * cells
    mean, often = simulated_change(np.full(int(n), CENTRE), BETWEEN, seen, joint, int(k), 60_000, np.random.default_rng(36))
    assert -np.average(mean, weights=often) == pytest.approx(narrowing, abs=0.02)
    assert often.sum() == pytest.approx(k)


@pytest.mark.parametrize("row", NOISE, ids=names)
def test_paying_for_noise(row: dict[str, str]) -> None:
    (error,) = numbers(row["row"])
    linear = Formula(threshold=0.0, slope=1.0, cap=math.inf, gate_margin=-1.0)  # pay is linear above 0
    found = {
        "narrows by 1": chance_of_narrowing(error, 1.0),
        "narrows by 2": chance_of_narrowing(error, 2.0),
        "mean earned narrowing": expected_score(error, linear),
        "one of 4 narrows by 2": chance_of_narrowing(error, 2.0, cells=4),
    }[row["column"]]
    assert float(found) == pytest.approx(float(row["printed"]), abs=float(row["tolerance"]))
