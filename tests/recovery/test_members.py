"""What is planted in members is recovered over 20 seeds of whole extracts (members.csv), and on one draw of a shared one."""

from __future__ import annotations

import json
from pathlib import Path

import member_exits as exits
import member_features as features
import numpy as np
import pandas as pd
import pytest
from member_extracts import Extract, share
from members import MEMBERS, SEEDS, TABLE, simulate_members, summarized
from p4equity.cells import read_cells
from p4equity.evaluation.context import Context
from p4equity.study import load_study
from scipy import stats
from simulation import STUDY

UNLIKELY = 1e-3  # of each of some 80 comparisons, whose seeds are fixed
# What a formula for the planted value leaves out, in the unit of the quantity.
SLACK = {
    "persistence": 0.04,  # where a result needs a reading and control, both lasting, it lasts a little less than each
    "differential_churn": 0.6,  # the formula takes rates as alike over ages (well-care visits are not) and systems
    "spending": 0.1,  # practices that change hands take a part of it to the other arm
    "documentation_gain": 0.15,  # the two parts' mean factors move a little with each other
    "race_data_drift": 0.1,
    "race_error": 0.02,  # rates differ a little between the systems among which recorded classes are exchanged
}
# Planted features of which something other than zero must be seen: four Monte Carlo errors from none.
SEEN = {
    "effects": ("COL_50_75 reference_rate", "CBP gap", "CBP group_rate"),
    "spending": ("the same, beside the same members without",),
    "documentation_gain": ("CBP gap_from_readings", "CBP rate_from_readings", "HBD_CTRL rate_from_readings"),
    "race_data_drift": ("gap by contemporaneous classes",),
    "spec_break": ("jump of the gap, black", "jump of the gap, hispanic", "jump of the gap, asian"),
    "exit_flows": ("rates at former practices", "practices sold", "practices closed", "members in another practice"),
    "practice_changes": ("joined", "sold"),
    "differential_churn": ("COL_50_75 gap, open", "WCV gap, open", "staying, reference less groups"),
}


def judge(rows: pd.DataFrame) -> None:
    """Every quantity lies around what is planted, as closely as its known error says; gates fire; what is planted is seen."""
    assert set(rows["seed"]) == set(SEEDS)
    table, n = summarized(rows), len(SEEDS)
    assert (table["seeds"] == n).all()
    for (feature, quantity), row in table.iterrows():
        if quantity == "gate":
            assert row["found"] == 1.0, feature
            continue
        allowed = stats.t.ppf(1 - UNLIKELY / 2, n - 1) * row["error"] + SLACK.get(feature, 1e-3)
        # The bias of effects is bounded by 2,000 draws of cells; here each answer is held to its own error (see README.md).
        if feature != "effects":
            assert abs(row["off"]) <= allowed, (feature, quantity, row["planted"], row["found"])
        if np.isfinite(row["z2"]):
            assert row["z2"] <= stats.chi2.ppf(1 - UNLIKELY, n) / n, (feature, quantity, row["z2"])
    for feature, quantities in SEEN.items():
        for quantity in quantities:
            row = table.loc[feature, quantity]
            assert abs(row["found"]) > 4 * row["spread"], (feature, quantity)
    for version in ("V1", "V3", "V4", "V5"):
        row = table.loc["race_error", f"attenuation {version}"]
        assert 1 - row["found"] > 4 * row["spread"], version


def test_the_committed_table_recovers_every_planted_feature() -> None:
    judge(pd.read_csv(TABLE))


@pytest.mark.slow
def test_members_over_20_seeds(tmp_path: Path) -> None:
    rows = simulate_members(tmp_path, SEEDS, MEMBERS)
    rows.to_csv(TABLE, index=False, lineterminator="\n")
    judge(rows)


@pytest.fixture(scope="module")
def one(small_extract: Path, small_tier_b: Path) -> Extract:
    """The extract that all tests share, and its cells."""
    cells = read_cells(small_tier_b).numeric()
    context = Context(load_study(STUDY), cells.cell, cells.cell_overlap, "", "", ages=cells.cell_age)
    truth = json.loads((small_extract / "truth.json").read_text("utf-8"))
    return Extract(small_extract, truth["scenario"], truth["seed"], truth["members"], context, cells.cell_profile, truth)


def test_one_draw_shows_exit_changes_of_practices_error_and_break(one: Extract) -> None:
    rows = [*exits.exits(one), *exits.practice_changes(one), *features.race_error(one), *features.specification_break(one, one)]
    assert len(rows) == 9 + 2 + 4 + 6
    for row in rows:
        error = row["error"] if np.isfinite(row["error"]) else 0.08  # of a ratio of gaps, seen over seeds
        assert abs(row["found"] - row["planted"]) < 4.5 * error, row


def test_a_share_has_its_binomial_error() -> None:
    row = share("f", "q", 0.5, 45, 100)
    assert (row["planted"], row["found"], row["error"]) == (50.0, 45.0, 5.0)


def test_a_feature_that_is_not_there_is_not_found() -> None:
    """The judge refuses a table whose settings are other than planted, and one in which nothing is seen."""
    rows = pd.read_csv(TABLE)
    wrong = rows["quantity"] == "members in another practice"
    with pytest.raises(AssertionError, match="members in another practice"):
        judge(rows.assign(found=rows["found"].where(~wrong, rows["found"] + 2.0)))
    broken = rows["feature"] == "spec_break"
    with pytest.raises(AssertionError, match="jump"):
        judge(rows.assign(found=rows["found"].where(~broken, 0.0)))
