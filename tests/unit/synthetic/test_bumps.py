"""Gaps that bulge in the selection year: at every system, the largest in the contracts, and as the truth says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from p4equity.disparity.selection import mean_of_largest
from p4equity.study import Study
from p4equity.synthetic import simulate
from p4equity.synthetic.bumps import candidate_streams, contracted_streams, rule_selected
from p4equity.synthetic.truth import load_truth
from p4equity.synthetic.truth_record import largest_of

SCENARIO = "rule_selected_baselines"


def drawn(study: Study, scenario: str, seed: int) -> dict[str, np.ndarray]:
    assert study.scheme is not None
    shape = (len(study.systems) + 1, len(study.scheme.ids), len(study.years))
    return rule_selected(study, load_truth(study, scenario), shape, np.random.default_rng(seed))


def test_contracts_name_each_systems_largest_bulges(study: Study) -> None:
    planted = load_truth(study, SCENARIO)
    streams, year = candidate_streams(study, planted), study.years.index(study.baseline.selection_years[0])
    assert len(streams) == 7
    for seed in range(5):
        found = drawn(study, SCENARIO, seed)
        gaps = np.array([-found[name][:, -1, year] for name in streams])
        for s, system in enumerate(study.systems):
            named = np.isin(streams, list(contracted_streams(study, system.id)))
            assert named.any() == any(c.system_id == system.id for c in study.contracts)
            if named.any() and not named.all():
                assert gaps[named, s].min() > gaps[~named, s].max()
            assert (gaps[:, s] != 0).all()
        for name in streams:
            assert not np.delete(found[name], year, axis=2).any()
            assert not found[name][:, 0].any()  # the reference stays
            assert not found[name][-1].any()  # so do practices outside the study


def test_nothing_bulges_elsewhere_and_its_size_is_that_of_the_truth(study: Study) -> None:
    assert drawn(study, "clean", 1) == {}
    year = study.years.index(study.baseline.selection_years[0])
    free = [i for i, s in enumerate(study.systems) if s.arm == "comparison"]
    gaps = np.array([[-v[free, -1, year] for v in drawn(study, SCENARIO, seed).values()] for seed in range(60)])
    assert gaps.std() == pytest.approx(4.0, rel=0.05)
    assert gaps.mean() == pytest.approx(0.0, abs=0.25)


def test_the_truth_states_the_bias_of_the_contracted_cells(study: Study, tmp_path: Path) -> None:
    simulate(study, tmp_path / "x", members=100, scenario=SCENARIO)
    table = pd.DataFrame(json.loads((tmp_path / "x" / "truth.json").read_text("utf-8"))["predicted_bias"])
    assert set(table["switch"]) == {"rule_selection"}
    rows = table.set_index(["analysis_id", "measure_id", "group"]).sort_index()
    # Blood pressure is contracted with one system of one measure, three of two, one of four.
    named = (mean_of_largest(1, 7) + 3 * mean_of_largest(2, 7) + mean_of_largest(4, 7)) / 5
    assert rows.loc[("measure", "CBP", "pooled"), "points"] == pytest.approx(-4.0 * named / 3, abs=1e-3)
    assert rows.loc[("measure_fresh_baseline", "CBP", "pooled"), "points"] == 0.0
    assert largest_of(7, 2) == pytest.approx(mean_of_largest(2, 7), abs=1e-6)
