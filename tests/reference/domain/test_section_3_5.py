"""Section 3.5 of the background notes: race and ethnicity as uncertain data, by the package's own functions.

Generator: `calibrated_race` (five groups, calibrated probabilities; mix, rates and the shape of the probabilities are not in the
notes and chosen there). Ours are means over 400,000 members without the sampling of results, so that only the printed figures
carry Monte Carlo error. The notes do not print how many members they drew, but the same true gap ("about 8.5") reads 8.5, 8.5 and
9.2: an error of some 0.4 for truth and weighted gap, of 0.4 / corr(p, Black) for the regression. Tolerance: half a unit of the
last digit and two such errors (a little less for the weighted gap, whose error is smaller). The ratios within a printed column
share most of its error and are compared more closely. corr^2 within the rounding of corr. Drift and attenuation are arithmetic:
half a last digit.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from calibrated_race import BLACK, RATES, WHITE, Members, members, strength_for
from p4equity.disparity.race_drift import drift, observed_share, spurious_difference, spurious_drift
from p4equity.disparity.race_probability import linear_rates, squared_correlation, sums_of, weighted_rates

with (Path(__file__).parent / "section_3_5.csv").open(encoding="utf-8", newline="") as file:
    PRINTED = list(csv.DictReader(file))
ESTIMATORS = [r for r in PRINTED if r["table"].startswith("estimators")]
OWN = {"estimators, own": 1.0, "estimators, context": 0.0}
CORR2 = 0.65


@cache
def drawn(correlation: float) -> Members:
    return members(400_000, strength_for(correlation), np.random.default_rng(2))


def gap(rates: np.ndarray) -> float:
    return 100 * float(rates[WHITE] - rates[BLACK])


@cache
def computed(correlation: float, own: float) -> dict[str, float]:
    found = drawn(correlation)
    y = found.results(RATES, own, None)
    sums = sums_of(found.p, y)
    truth = weighted_rates(sums_of(np.eye(len(RATES))[found.group], y))
    return {"weighted": gap(weighted_rates(sums)), "linear": gap(linear_rates(sums)), "truth": gap(truth)}


def test_every_number_is_here() -> None:
    assert (len(ESTIMATORS), len(PRINTED)) == (15, 23)


@pytest.mark.parametrize("row", ESTIMATORS, ids=lambda r: f"{r['table']} {r['row']} {r['column']}")
def test_the_table_of_estimators(row: dict[str, str]) -> None:
    found = computed(float(row["row"]), OWN[row["table"]])[row["column"]]
    assert found == pytest.approx(float(row["printed"]), abs=float(row["tolerance"]))


@pytest.mark.parametrize("correlation", ["0.86", "0.79", "0.71"])
def test_ratios_within_a_column_which_share_its_error(correlation: str) -> None:
    printed = {(r["table"], r["column"]): float(r["printed"]) for r in ESTIMATORS if r["row"] == correlation}
    own = computed(float(correlation), 1.0)
    kept = printed["estimators, own", "weighted"] / printed["estimators, own", "truth"]
    assert own["weighted"] / own["truth"] == pytest.approx(kept, abs=0.05)
    assert own["weighted"] / own["truth"] == pytest.approx(float(correlation) ** 2, abs=0.05)  # rule 1 of the notes
    assert own["linear"] / own["truth"] == pytest.approx(1, abs=0.01)
    assert printed["estimators, own", "linear"] / printed["estimators, own", "truth"] == pytest.approx(1, abs=0.05)
    context = computed(float(correlation), 0.0)
    assert context["weighted"] == pytest.approx(context["truth"], abs=0.1)


@pytest.mark.parametrize("correlation", [0.86, 0.79, 0.71])
@pytest.mark.parametrize("own", [1.0, 0.5, 0.0])
def test_weighted_and_regression_lie_on_both_sides_of_the_truth(correlation: float, own: float) -> None:
    found = computed(correlation, own)
    assert found["weighted"] - 0.1 <= found["truth"] <= found["linear"] + 0.1
    if own == 0.5:
        assert found["weighted"] + 0.5 < found["truth"] < found["linear"] - 0.5


@pytest.mark.parametrize("row", [r for r in PRINTED if r["table"] == "squared correlation"], ids=lambda r: r["row"])
def test_squared_correlation_from_sums(row: dict[str, str]) -> None:
    found = drawn(float(row["row"]))
    by_sums = squared_correlation(sums_of(found.p, np.zeros(len(found.p))))[BLACK]
    assert by_sums == pytest.approx(float(row["printed"]), abs=float(row["tolerance"]))
    assert by_sums == pytest.approx(np.corrcoef(found.p[:, BLACK], found.group == BLACK)[0, 1] ** 2, abs=0.01)


def test_drift_and_attenuation() -> None:
    low, middle, high = (observed_share(s, CORR2) for s in (0.15, 0.28, 0.60))
    found = [
        low,
        middle,
        drift(8.6, low, middle),
        spurious_drift(8.6, (low, high), (low, low)),
        spurious_difference(-2.8, 0.7, 0.8),
    ]
    for value, row in zip(found, [r for r in PRINTED if r["table"] in ("drift", "attenuation")], strict=True):
        assert value == pytest.approx(float(row["printed"]), abs=float(row["tolerance"])), row["column"]


def test_drift_by_drawing_members() -> None:
    """The formula against members of whom a share report themselves and the others are counted by probability."""
    found, rng = drawn(0.79), np.random.default_rng(3)
    y = found.results(RATES, 1.0, None)
    full = gap(weighted_rates(sums_of(np.eye(len(RATES))[found.group], y)))
    kept = gap(weighted_rates(sums_of(found.p, y))) / full
    for share in (0.15, 0.60):
        said = rng.random(len(y)) < share
        mixed = np.where(said[:, None], np.eye(len(RATES))[found.group], found.p)
        assert gap(weighted_rates(sums_of(mixed, y))) / full == pytest.approx(observed_share(share, kept), abs=0.01)
