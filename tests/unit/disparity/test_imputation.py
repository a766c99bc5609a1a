"""The model of groups: its derivatives, the totals it must give back, what small systems lean on; and the drawn totals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from p4equity.disparity import imputation_model as model
from p4equity.disparity.imputation import imputed_panel, imputed_totals
from p4equity.disparity.imputation_model import NOT_REPORTED, Histories, fit_model
from p4equity.disparity.panel import ALL, Panel
from p4equity.errors import UsageError
from scipy.optimize import approx_fprime

SYSTEMS, GROUPS = 4, 3


@pytest.fixture(scope="module")
def histories() -> Histories:
    """Cells of four systems and three groups; the second group succeeds less often, half of the members reported."""
    rng = np.random.default_rng(11)
    cells = 400
    p = rng.dirichlet([4.0, 1.0, 1.0], cells)
    n = rng.integers(0, 4, (cells, 2))
    group = np.array([rng.choice(GROUPS, p=row) for row in p])
    chance = np.array([0.8, 0.5, 0.7])[group]
    y = rng.binomial(n, chance[:, None])
    reported = np.where(rng.random(cells) < 0.5, group, NOT_REPORTED)
    results = np.column_stack([n[:, 0], y[:, 0], n[:, 1], y[:, 1]]).astype(float)
    members = rng.integers(1, 9, cells).astype(float)
    return Histories(rng.integers(0, SYSTEMS, cells), reported, p, results, members, np.array([True, True, False, False]))


def test_derivatives_are_those_of_the_posterior(histories: Histories) -> None:
    known = histories.at(histories.reported != NOT_REPORTED)
    expected = model._expected(histories)
    x = model._features(known.results, expected)
    precision = model._prior_precision(np.full(5, 0.3), GROUPS, SYSTEMS, 5)
    beta = np.random.default_rng(1).normal(0, 0.1, len(precision))
    gradient, information = model._derivatives(beta, precision, known, x)
    assert gradient == pytest.approx(approx_fprime(beta, lambda b: model._posterior(b, precision, known, x), 1e-6), abs=0.02)
    for k in (0, 3, 14, 25, len(beta) - 1):
        step = np.zeros_like(beta)
        step[k] = 1e-5
        ends = [model._derivatives(beta + s * step, precision, known, x)[0] for s in (1, -1)]
        assert information[k] == pytest.approx((ends[1] - ends[0]) / 2e-5, abs=1e-3)


def test_the_model_gives_back_the_totals_of_who_reported(histories: Histories) -> None:
    """Score equations of a logit: totals of results by group are those observed, but for what the priors take."""
    fitted = fit_model(histories)
    known = histories.at(histories.reported != NOT_REPORTED)
    shares = fitted.probabilities(known)
    weight = known.members[:, None] * known.results
    for k in range(GROUPS):
        assert shares[:, k] @ weight == pytest.approx(weight[known.reported == k].sum(axis=0), rel=0.03)
    assert shares.sum(axis=1) == pytest.approx(1.0)


def test_results_say_more_than_probabilities_alone(histories: Histories) -> None:
    fitted = fit_model(histories)
    one = replace(histories.at(np.arange(len(histories.system)) == 0), p=np.array([[0.5, 0.5, 0.0]]))
    failed, met = (replace(one, results=np.array([[3.0, y, 3.0, y]])) for y in (0.0, 3.0))
    assert fitted.probabilities(failed)[0, 1] > 0.5 > fitted.probabilities(met)[0, 1]


def test_reports_stay_and_members_are_kept(histories: Histories) -> None:
    totals = imputed_totals(histories, 20, 7)
    whole = np.zeros((SYSTEMS, 4))
    np.add.at(whole, histories.system, histories.members[:, None] * histories.results)
    assert totals.sum(axis=2) == pytest.approx(np.tile(whole, (20, 1, 1)))
    everyone = replace(histories, reported=np.where(histories.reported == NOT_REPORTED, 0, histories.reported))
    assert np.ptp(imputed_totals(everyone, 20, 7), axis=0).max() == 0
    assert np.array_equal(totals, imputed_totals(histories, 20, 7))
    with pytest.raises(UsageError, match="no member reported"):
        imputed_totals(replace(histories, reported=np.full_like(histories.reported, NOT_REPORTED)), 20, 7)


def test_a_period_moves_alike_in_all_its_years() -> None:
    """One system, measure and group, years 1 to 3, of which 1 and 2 are before: 100 members, 60 and 40% succeed, all are 50%.

    Imputed: 150 of 200 years remain and 90 succeed, 60%: each year has three quarters of its members and ten points more.
    """
    den, num = np.array([[[100.0, 100.0, 80.0]] * 2]), np.array([[[60.0, 40.0, 40.0]] * 2])
    overlap = np.full((1, 3, 3), 50.0)
    base = Panel(
        ("s",), ("m",), (("m", "g"), ("m", ALL)), (1, 2, 3), den, num, {"g": overlap, ALL: overlap}, {"g": np.eye(3)}, None
    )
    totals = np.array([150.0, 90.0, 80.0, 20.0]).reshape(1, 1, 1, 4)
    found = imputed_panel(base, totals, totals, ("m",), ("g",), np.array([[[[True, True, False]]], [[[False, False, True]]]]))
    assert found.den[0, 0] == pytest.approx([75, 75, 80])
    assert found.rate[0, 0] == pytest.approx([0.7, 0.5, 0.25])
    assert found.rate[0, 1] == pytest.approx(base.rate[0, 1])
    assert found.overlap["g"][0, 0] == pytest.approx([37.5, 37.5, 50 * np.sqrt(0.75)])
