"""The pooled question: contract rows, generalized least squares and its permutation."""

from __future__ import annotations

import numpy as np
import pytest
from p4equity.errors import StudyError
from p4equity.inference.random_effects import meta_regression
from p4equity.inference.stacked import (
    Stacked,
    contract_patterns,
    count_rows,
    enumerate_rows,
    stacked_component,
    stacked_meta_regression,
    stacked_permutation,
)

SIZES = np.array([230, 190, 80, 25, 100, 130, 45, 35, 30, 45, 45, 12.0])


def launch_matrix() -> np.ndarray:
    """Contract rows of the program's launch: 5, 3, 2 and 1 treated systems on four measures."""
    contracts = np.zeros((12, 4), bool)
    contracts[:5, 0] = True
    contracts[[2, 3, 4], 1] = True
    contracts[[1, 4], 2] = True
    contracts[4, 3] = True
    return contracts


def draw(seed: int, effect: float = 0.0, tau: float = 0.7) -> Stacked:
    rng = np.random.default_rng(seed)
    V = np.stack([np.diag([2.9, 1.7, 5.3, 1.4]) * 100 / n for n in SIZES])
    contracts = launch_matrix()
    y = np.stack([rng.multivariate_normal(np.zeros(4), V[s] + tau**2 * np.eye(4)) for s in range(12)])
    return Stacked(y + effect * contracts, contracts, V, np.zeros(12, np.int64))


def test_whole_rows_of_the_launch_matrix() -> None:
    _, held = contract_patterns(launch_matrix())
    strata = np.zeros(12, np.int64)
    assert count_rows(held, strata) == 47_520
    table = enumerate_rows(held, strata)
    assert len(np.unique(table, axis=0)) == 47_520
    assert (np.sort(table, axis=1) == np.sort(held)).all()


def test_one_measure_is_the_meta_regression() -> None:
    data = draw(1, effect=-2)
    one = Stacked(data.y[:, :1], data.contracts[:, :1], data.covariance[:, :1, :1], data.strata)
    pooled = stacked_meta_regression(one)
    alone = meta_regression(data.y[:, 0], data.contracts[:, 0], data.covariance[:, 0, 0], method="REML")
    assert pooled.df == alone.df
    # tau2 is found on a grid that is refined to 1%, so weights agree to about that.
    assert pooled.estimate == pytest.approx(alone.estimate, abs=5e-3)
    assert pooled.std_error == pytest.approx(alone.std_error, rel=5e-3)


def test_uncontracted_cells_of_contracted_systems_do_not_enter() -> None:
    data = draw(2)
    moved = data.y.copy()
    moved[0, 1:] += 100  # a system contracted on the first measure only
    again = Stacked(moved, data.contracts, data.covariance, data.strata)
    assert stacked_meta_regression(again).estimate == pytest.approx(stacked_meta_regression(data).estimate, abs=1e-12)


def test_components_share_the_gap_weights() -> None:
    gap, group = draw(3, effect=-2), draw(4, effect=1)
    reference = Stacked(gap.y + group.y, gap.contracts, gap.covariance, gap.strata)
    fit = stacked_meta_regression(gap)
    sides = [stacked_component(side, fit.weights).estimate for side in (reference, group)]
    assert sides[0] - sides[1] == pytest.approx(fit.estimate, abs=1e-12)


def test_missing_cells_are_left_out() -> None:
    data = draw(5)
    y = data.y.copy()
    y[11, 2] = np.nan
    result = stacked_meta_regression(Stacked(y, data.contracts, data.covariance, data.strata))
    assert np.isfinite(result.estimate)
    assert result.weights[11, 2] == 0


def test_permutation_is_unaffected_by_a_common_shift_and_finds_a_large_effect() -> None:
    data = draw(6, effect=-6)
    first = stacked_permutation(data, limit=3000, seed=1)
    shifted = stacked_permutation(
        Stacked(data.y + np.arange(4), data.contracts, data.covariance, data.strata), limit=3000, seed=1
    )
    assert first.sampled
    assert first.n_assignments == 47_520
    assert first.p_value < 0.01
    assert first.p_value == shifted.p_value
    assert first.conf_high < 0


def test_no_comparison_system() -> None:
    data = draw(7)
    with pytest.raises(StudyError, match="comparison"):
        stacked_meta_regression(Stacked(data.y[:5], data.contracts[:5], data.covariance[:5], data.strata[:5]))
