"""Section 3.5 of the background notes: race and ethnicity as uncertain data, by the package's own functions.

Generator: `calibrated_race` (five groups, calibrated probabilities; mix, rates and the shape of the probabilities are not in the
notes and chosen there). Ours are means over 400,000 members without the sampling of results, so that only the printed figures
carry Monte Carlo error. The notes do not print how many members they drew, but the same true gap ("about 8.5") reads 8.5, 8.5 and
9.2: an error of some 0.4 for truth and weighted gap, of 0.4 / corr(p, Black) for the regression. Tolerance: half a unit of the
last digit and two such errors (a little less for the weighted gap, whose error is smaller). The ratios within a printed column
share most of its error and are compared more closely: at 280,000 members, which give the truth an error of 0.4, their standard
deviation over draws is 0.02 (weighted/truth, own), 0.03 to 0.04 (linear/truth, own) and 0.04, 0.08 and 0.13 (linear/truth,
context, from the highest correlation down; the two are the noisiest and correlate least there). Tolerance: two of these and what
rounding of both figures adds, no more than 0.05 in the first two. Cells in words are held to bounds (low, high) in every
correlation: "too big" and "too small" by half a point at least, "near" by less than that, "right" by a tenth. corr^2 within the
rounding of corr. Drift and attenuation are arithmetic: half a last digit; "about one standard error" within a quarter of one, for
the error of section 3.7 of the gap it speaks of (blood pressure, Black members, launch contracts) at both ends of its shocks.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from calibrated_race import BLACK, RATES, WHITE, Members, members, strength_for
from p4equity.disparity.precision import change_factor
from p4equity.disparity.race_drift import drift, observed_share, spurious_difference, spurious_drift
from p4equity.disparity.race_probability import argmax_rates, linear_rates, squared_correlation, sums_of, weighted_rates
from p4equity.power import standard_error
from sizes import ADULT, CONTRACTS, SHOCK_CORRELATION, yearly_variance
from sizes import correlation as yearly_correlation

with (Path(__file__).parent / "section_3_5.csv").open(encoding="utf-8", newline="") as file:
    PRINTED = list(csv.DictReader(file))
ESTIMATORS = [r for r in PRINTED if r["table"].startswith("estimators")]
RATIOS = [r for r in PRINTED if r["table"].startswith("ratios")]
WORDS = [r for r in PRINTED if r["table"].startswith("words")]
OWN = {"own": 1.0, "half": 0.5, "context": 0.0}
CORRELATIONS = (0.86, 0.79, 0.71)
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
    rates = {"weighted": weighted_rates(sums), "linear": linear_rates(sums), "truth": truth, "arg-max": argmax_rates(found.p, y)}
    return {name: gap(rate) for name, rate in rates.items()}


def of_table(row: dict[str, str], correlation: float) -> dict[str, float]:
    return computed(correlation, OWN[row["table"].split(", ")[1]])


def test_every_number_is_here() -> None:
    assert (len(ESTIMATORS), len(RATIOS), len(WORDS), len(PRINTED)) == (15, 9, 6, 39)


@pytest.mark.parametrize("row", ESTIMATORS, ids=lambda r: f"{r['table']} {r['row']} {r['column']}")
def test_the_table_of_estimators(row: dict[str, str]) -> None:
    found = of_table(row, float(row["row"]))[row["column"]]
    assert found == pytest.approx(float(row["printed"]), abs=float(row["tolerance"]))


@pytest.mark.parametrize("row", RATIOS, ids=lambda r: f"{r['table']} {r['row']} {r['column']}")
def test_ratios_within_a_column_which_share_its_error(row: dict[str, str]) -> None:
    above, below = row["column"].split("/")
    found, printed = of_table(row, float(row["row"])), {r["column"]: float(r["printed"]) for r in _same_cells(row)}
    assert printed[above] / printed[below] == pytest.approx(float(row["printed"]), abs=0.005)
    assert found[above] / found[below] == pytest.approx(float(row["printed"]), abs=float(row["tolerance"]))


def _same_cells(row: dict[str, str]) -> list[dict[str, str]]:
    table = row["table"].replace("ratios", "estimators")
    return [r for r in ESTIMATORS if (r["table"], r["row"]) == (table, row["row"])]


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_rule_one_and_what_the_regression_estimates(correlation: float) -> None:
    """Weighted is corr^2 of the truth where results follow the own group; there the regression is right."""
    own = computed(correlation, 1.0)
    assert own["weighted"] / own["truth"] == pytest.approx(correlation**2, abs=0.05)
    assert own["linear"] / own["truth"] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("correlation", CORRELATIONS)
@pytest.mark.parametrize("row", WORDS, ids=lambda r: f"{r['table']}: {r['column']} {r['printed']}")
def test_cells_in_words(row: dict[str, str], correlation: float) -> None:
    found = of_table(row, correlation)

    def limit(said: str) -> float:
        name, _, rest = said.partition(" ")
        return found[name] + float(rest.replace(" ", "") or 0)

    if row["low"]:
        assert limit(row["low"]) <= found[row["column"]]
    if row["high"]:
        assert found[row["column"]] <= limit(row["high"])


@pytest.mark.parametrize("correlation", CORRELATIONS)
@pytest.mark.parametrize("own", OWN.values())
def test_weighted_and_regression_lie_on_both_sides_of_the_truth(correlation: float, own: float) -> None:
    found = computed(correlation, own)
    assert found["weighted"] - 0.1 <= found["truth"] <= found["linear"] + 0.1


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
    numbers = [r for r in PRINTED if r["table"] in ("drift", "attenuation") and r["tolerance"]]
    for value, row in zip(found, numbers, strict=True):
        assert value == pytest.approx(float(row["printed"]), abs=float(row["tolerance"])), row["column"]


def test_the_further_drift_is_about_one_standard_error_of_the_study() -> None:
    row = next(r for r in PRINTED if r["printed"] == "about one")
    low, high = (observed_share(s, CORR2) for s in (0.15, 0.60))
    treated = ADULT.index.isin(CONTRACTS["CBP"])
    kept = treated | (ADULT["arm"] != "participating").to_numpy()
    sampling = yearly_variance("CBP", "Black", ADULT[kept]) * change_factor(range(4), range(4, 7), yearly_correlation("CBP"))
    for shocks in (0.5, 1.5):
        spread = shocks**2 * change_factor(range(4), range(4, 7), SHOCK_CORRELATION)
        errors = spurious_drift(8.6, (low, high), (low, low)) / standard_error(sampling, treated[kept], spread)
        assert float(row["low"]) <= errors <= float(row["high"])


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
