"""Self-report by arm and by system: shares, what is hidden, and that a system's counts are not given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from p4equity.study import load_study
from p4equity.summaries.population import race_source_systems, race_source_table

COUNTS = {("S01", "white"): (300, 700), ("S01", "black"): (12, 30), ("S01", "asian"): (10, 90), ("S02", "white"): (45, 55)}


@pytest.fixture
def profile() -> pd.DataFrame:
    study = load_study("bcbsma_pay_for_equity")
    rows = [
        (study.population.map, "contemporaneous", system, group, 2022, "race_source", level, n)
        for (system, group), found in COUNTS.items() for level, n in zip(("self_report", "imputed"), found, strict=True)
    ]  # fmt: skip
    frozen = [(*row[:1], "frozen", *row[2:7], 1000) for row in rows]
    names = ["map", "race_version", "system_id", "group", "year", "characteristic", "level", "n"]
    return pd.DataFrame(rows + frozen, columns=names)


def test_shares_by_system_and_group(profile: pd.DataFrame) -> None:
    found = race_source_systems(load_study("bcbsma_pay_for_equity"), profile, 11).set_index(["system_id", "group"])
    assert list(found.columns) == ["arm", "year", "self_reported_share", "status", "reason"]
    assert found.loc[("S01", "white"), "self_reported_share"] == 30
    assert found.loc[("S01", "black"), "self_reported_share"] == 29  # 12 of 42
    assert found.loc[("S01", "all"), "self_reported_share"] == 28  # 322 of 1142
    assert found.loc[("S01", "asian"), "status"] == "suppressed"  # ten members
    assert np.isnan(found.loc[("S01", "asian"), "self_reported_share"])
    assert found.loc[("S02", "all"), "status"] == "ok"


def test_a_small_rest_is_hidden_as_a_small_count_is(profile: pd.DataFrame) -> None:
    few = profile.assign(n=profile["n"].mask((profile["system_id"] == "S02") & (profile["level"] == "imputed"), 3))
    found = race_source_systems(load_study("bcbsma_pay_for_equity"), few, 11).set_index(["system_id", "group"])
    assert set(found.loc["S02", "status"]) == {"suppressed"}


def test_arms_are_the_sums_of_their_systems(profile: pd.DataFrame) -> None:
    study = load_study("bcbsma_pay_for_equity")
    arm = {s.id: s.arm for s in study.systems}
    found = race_source_table(study, profile).set_index(["arm", "group"])
    whole = found[found.index.get_level_values("group") == "all"]["n_self_reported"].sum()
    assert whole == sum(said for (s, _), (said, _) in COUNTS.items() if arm[s] in ("participating", "comparison"))
