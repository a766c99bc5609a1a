"""With 12 clusters small-sample sensitivity sets and simultaneous bands hold the truth about as often as they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from few_cluster_paths import CLUSTERS, EVENT_TIMES, SETTINGS, Setting, band_coverage, covers, curved, draw, parted, set_coverage

HERE = Path(__file__).parent
SETS, BANDS = HERE / "few_cluster_sets.csv", HERE / "few_cluster_bands.csv"
KEYS = ["restriction", "method", "bound", "violation"]


def test_the_stored_coverage_meets_the_bar() -> None:
    # The tables are written by the slow tests' functions (seed, draws and date in their columns); this reads them on every run.
    sets, bands = pd.read_csv(SETS), pd.read_csv(BANDS)
    assert len(sets) == 13 * len(SETTINGS)
    assert (sets["draws"] >= 2000).all()
    assert (sets["small_sample"] >= 0.94).all()
    assert sets["normal"].min() < 0.8  # fixed-length intervals with weights chosen by an estimated covariance
    assert (sets["normal"] < 0.94).mean() > 0.5
    assert len(bands) == len(SETTINGS)
    assert (bands["band"] >= 0.945).all()


def test_violations_are_at_the_edge_of_their_bound() -> None:
    times = np.insert(np.zeros(6), 3, 0.0)
    assert len(times) == len(EVENT_TIMES) + 1
    full = np.insert(parted((0, 0, 1), 2.0), 3, 0.0)
    assert np.diff(full).tolist() == [0, 0, 1, 2, 2, 2]
    bent = np.insert(curved(-0.5, 0.5), 3, 0.0)
    assert np.diff(bent, 2).tolist() == pytest.approx([-0.5, -0.5, 0.5, 0.5, 0.5])


def test_draws_have_the_errors_they_state() -> None:
    sample = draw(Setting(5, 0.5), 600, 3)
    assert sample.df_average == pytest.approx((1 / 5 + 1 / 7) ** 2 / (1 / 100 + 1 / 294))  # Welch's, with two equal-variance arms
    true = np.cov(sample.estimates.T)
    assert sample.covariances.mean(axis=0) == pytest.approx(true, abs=6 * true.max() / np.sqrt(600))
    assert CLUSTERS == 12


@pytest.mark.parametrize("treated", [5, 3])
def test_few_draws_agree_with_the_table(treated: int) -> None:
    setting, table = Setting(treated, 0.5), pd.read_csv(SETS)
    sample = draw(setting, 250, 5)
    rows = table[(table["treated"] == treated) & (table["autocorrelation"] == 0.5) & (table["sizes"] == "equal")].set_index(KEYS)
    for key, shift in (
        (("relative_magnitudes", "hybrid", 0.0, "none"), np.zeros(6)),
        (("smoothness", "hybrid", 0.0, "linear"), np.zeros(6)),
    ):
        for column, df in (("normal", None), ("small_sample", sample.df_average)):
            found, stored = covers(sample, shift, *key[:3], df), rows.loc[key, column]
            assert found == pytest.approx(stored, abs=4 * np.sqrt(stored * (1 - stored) / 250)), (key, column)


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_stored_coverage_is_found_again(setting: Setting) -> None:
    draws = 400
    stored = pd.read_csv(SETS).merge(pd.DataFrame([vars(setting)]))
    found = set_coverage(setting, draws, 11)
    assert found[KEYS[:2] + KEYS[3:]].equals(stored[KEYS[:2] + KEYS[3:]])
    for column in ("normal", "small_sample"):
        spread = np.sqrt(stored[column] * (1 - stored[column]) * (1 / draws + 1 / stored["draws"])) + 1e-3
        assert (np.abs(found[column] - stored[column]) < 4.5 * spread).all(), column
    band, row = band_coverage(setting, draws, 11), pd.read_csv(BANDS).merge(pd.DataFrame([vars(setting)])).iloc[0]
    assert band["band"] == pytest.approx(row["band"], abs=4.5 * np.sqrt(row["band"] * (1 - row["band"]) / draws))
