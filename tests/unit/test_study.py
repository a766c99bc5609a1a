"""Studies as data: both load and say what their files say; the hash of the plan follows content only."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from p4equity.errors import StudyError
from p4equity.study import load_study
from p4equity.study.locate import positions

FIRST, SECOND = "bcbsma_pay_for_equity", "castle_doctrine"
Edit = Callable[[str, str, str], Path]


def test_first_study_is_the_program_as_published() -> None:
    study = load_study(FIRST)
    matrix = study.contract_matrix()
    assert matrix.groupby("measure_id")["system_id"].nunique().to_dict() == {"CBP": 5, "COL_50_75": 3, "HBD_CTRL": 2, "WCV": 2}
    assert (study.launch_cohort, study.cohorts) == (2023, (2023, 2024))
    assert len(study.arm_systems("participating")) == 6
    assert len(study.arm_systems("comparison")) == 7
    assert len(study.grants) == 12
    assert sum(g.amount or 0 for g in study.grants) == 16_500_000
    assert study.group_ids == ("white", "black", "hispanic", "asian")


def test_contract_matrix_follows_the_year() -> None:
    study = load_study(FIRST)
    assert study.contract_matrix(2022).empty
    cells = {year: set(study.contract_matrix(year)["system_id"]) for year in (2023, 2024, 2025)}
    ended = study.exits[0].system_id
    assert ended in cells[2023] & cells[2024]
    assert ended not in cells[2025]
    assert len(cells[2024] - cells[2023]) == 1
    assert study.exit_year(ended) == 2024


def test_facts_that_are_not_public_are_marked() -> None:
    study = load_study(FIRST)
    assert all("synthetic" in system.illustrative for system in study.systems)
    assert all("amount" in grant.illustrative for grant in study.grants)
    assert study.payment is not None
    assert study.payment.illustrative
    assert all(system.sources for system in study.systems)


def test_masked_labels_follow_neither_id_nor_size() -> None:
    study = load_study(FIRST)
    labels = [study.label(system.id, masked=True) for system in study.systems]
    sizes = [system.synthetic.members for system in study.systems if system.synthetic]
    by_size = [label for _, label in sorted(zip(sizes, labels, strict=True))]
    assert len(set(labels)) == 13
    assert labels != sorted(labels)
    assert by_size not in (sorted(labels), sorted(labels, reverse=True))
    assert all(system.label not in labels for system in study.systems)


def test_analyses_carry_the_defaults_of_the_plan() -> None:
    study = load_study(FIRST)
    assert study.analysis("measure").pre_years == study.baseline.pre_years
    assert study.analysis("sensitivity_anticipation").pre_years == (2019,)
    assert study.analysis("sensitivity_as_treated").map == "as_treated"
    assert study.analysis("measure").race_version == "frozen"
    assert study.analysis("sensitivity_drop_exits").exits == "drop"
    assert study.measure_ids("spending") == ("SPEND",)
    with pytest.raises(StudyError, match="did you mean 'contracted'"):
        study.measure_ids("contractd")


def test_events_and_threats_are_tables() -> None:
    study = load_study(FIRST)
    assert study.events["date"].is_monotonic_increasing
    assert {"covid", "col_age", "gsd", "bankruptcy"} <= set(study.events["event_id"])
    assert study.deviations.empty
    assert "item_id" in study.deviations
    assert load_study("castle_doctrine").threats["evidence"].isna().any(), "what is not evaluated says so"


def test_second_study_agrees_with_its_panel() -> None:
    from causaldata import castle

    study, panel = load_study(SECOND), castle.load_pandas().data
    source = study.data.value
    assert source is not None
    first = panel[panel[source.treated] == 1].groupby(source.unit)[source.year].min()
    for system in study.systems:
        assert study.cohort_of(system.id) == first.get(int(str(system.source_key)))
    assert len(study.systems) == panel[source.unit].nunique()
    assert {column.column for column in source.outcomes.values()} <= set(panel.columns)
    assert list(study.years) == sorted(panel[source.year].unique())


def test_second_study_brings_its_own_measures_and_no_groups() -> None:
    study = load_study(SECOND)
    assert study.measure("HOMICIDE").kind == "value"
    assert study.measure("HOMICIDE").unit == "log points"
    assert study.groups.compared == ()
    assert (study.race, study.payment, study.leveling) == (None, None, None)
    assert study.label("S09", masked=True) == "Florida"
    assert {result.analysis_id for result in study.published} <= {a.id for a in study.analyses}


@pytest.mark.parametrize(("weighted", "row"), [(False, "stata_homicide_unweighted"), (True, "stata_homicide_weighted")])
def test_published_value_of_the_same_specification_is_recomputed(weighted: bool, row: str) -> None:
    import numpy as np
    import pandas as pd
    from causaldata import castle

    panel = castle.load_pandas().data
    printed = next(result for result in load_study(SECOND).published if result.id == row)
    dummies = pd.concat([pd.get_dummies(panel[c], dtype=float) for c in ("sid", "year")], axis=1).iloc[:, 1:]
    design = np.column_stack([panel["post"].astype(float), dummies])
    root = np.sqrt(panel["popwt"].to_numpy(float)) if weighted else np.ones(len(panel))
    beta = np.linalg.lstsq(design * root[:, None], panel["l_homicide"].to_numpy(float) * root, rcond=None)[0][0]
    assert beta == pytest.approx(printed.estimate, abs=5e-9)


def test_plan_hash_follows_content_and_not_layout(edited: Edit) -> None:
    original = load_study(FIRST).plan_hash
    assert re.fullmatch(r"[0-9a-f]{64}", original)
    edited("study.toml", "[study]", "# a remark\n\n[study]")
    assert load_study(edited("systems.toml", "arm = ", "arm   =   ")).plan_hash == original
    changed = load_study(edited("study.toml", "meaningful_share = 0.25", "meaningful_share = 0.20")).plan_hash
    assert changed != original
    assert load_study(edited("events.csv", "2022-12-15", "2022-12-16")).plan_hash not in (original, changed)


def test_positions_of_keys() -> None:
    text = (
        'a = """\nb = 1 # no\n"""\n[x]\n"y z" = [ # [q]\n  1,\n]\n'
        '[[t]]\nk = 1\n[[t]]\n  k = { m = 2, "n" = "}" }\n[t.sub]\nd.e = 1\n'
    )
    found = positions(text)
    assert found[("a",)] == (1, 1)
    assert ("b",) not in found
    assert found[("x", "y z")] == (5, 1)
    assert found[("t", 0, "k")] == (9, 1)
    assert found[("t", 1, "k")] == (11, 3)
    assert found[("t", 1, "k", "n")] == (11, 16)
    assert found[("t", 1, "sub", "d", "e")] == (13, 1)


@pytest.mark.parametrize("primary", ["frozen", "contemporaneous"])
def test_one_key_switches_the_race_version_of_every_analysis(edited: Edit, primary: str) -> None:
    """Probabilities and reports are known for the frozen version alone: analyses that count members by them stay there."""
    study = load_study(str(edited("study.toml", 'primary = "frozen"', f'primary = "{primary}"')))
    read = {a.id: a.race_version for a in study.analyses}
    other = {"frozen": "contemporaneous", "contemporaneous": "frozen"}[primary]
    assert read["pooled"] == primary
    assert read["sensitivity_race_version"] == other
    assert {a.race_version for a in study.analyses if a.race_method != "classes"} == {"frozen"}
