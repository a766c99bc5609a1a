"""From extract to results: tiers agree, identities hold, nothing half-made stays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from p4equity.audit import audit_folder
from p4equity.cells import cells_hash, read_cells
from p4equity.dictionary import load_dictionary
from p4equity.errors import DisclosureError, UsageError
from p4equity.estimates import read_estimates
from p4equity.extract import open_extract
from p4equity.pipeline import run
from p4equity.release import release
from p4equity.study import load_study
from p4equity.verify import compare

FIRST = "bcbsma_pay_for_equity"


def test_a_run_from_members_and_its_own_tier_b_see_the_same(small_run: Path, small_tier_b: Path) -> None:
    """To the bit: equal cells have equal answers. Two tiers are run to the same bytes in spec/test_determinism.py."""
    members, cells = read_cells(small_run / "restricted"), read_cells(open_extract(small_tier_b, load_dictionary()))
    for (name, a), (_, b) in zip(members.items(), cells.items(), strict=True):
        assert len(a) > 100, name
        pd.testing.assert_frame_equal(a, b, check_exact=True, obj=name)
    assert json.loads((small_run / "manifest.json").read_text())["data_hash"] == cells_hash(cells)


def test_gap_is_reference_minus_group_in_every_answer(small_run: Path) -> None:
    rows = pd.read_parquet(small_run / "restricted" / "estimate.parquet")
    rows = rows[(rows["status"] == "ok") & (rows["interval"] == "pointwise") & (rows["inference"] != "claim")]
    keys = ["analysis_id", "measure_id", "group", "event_time", "inference", "sample"]
    wide = rows[rows["outcome"].isin(["gap", "reference_rate", "group_rate"])].pivot_table(
        index=keys, columns="outcome", values="estimate", dropna=False, observed=True
    )
    wide = wide.dropna()
    assert len(wide) > 50
    np.testing.assert_allclose(wide["gap"], wide["reference_rate"] - wide["group_rate"], atol=1e-12)


def test_triple_difference_is_the_patient_weighted_gap_did(small_run: Path) -> None:
    rows = pd.read_parquet(small_run / "restricted" / "estimate.parquet")
    rows = rows[(rows["outcome"] == "gap") & (rows["inference"] == "cr2") & (rows["status"] == "ok")]
    rows = rows.set_index(["analysis_id", "measure_id", "group"])["estimate"]
    first, second = rows.loc["triple_difference"].align(rows.loc["did_patient_weighted"], join="inner")
    assert len(first) >= 6
    np.testing.assert_allclose(first, second, atol=1e-9)


def test_every_registered_analysis_has_rows(small_run: Path) -> None:
    estimates = read_estimates(small_run / "estimates.csv")
    study = load_study(FIRST)
    assert {a.id for a in study.analyses} <= set(estimates["analysis_id"])
    for analysis in study.analyses:
        if analysis.outcome == "gap" and analysis.groups == "each":
            rows = estimates[estimates["analysis_id"] == analysis.id]
            assert set(rows["measure_id"]) == set(study.measure_ids(analysis.measures))
            assert set(study.groups.compared) <= set(rows["group"])
    assert estimates["row_id"].is_unique
    assert estimates.loc[estimates["status"] != "ok", "estimate"].isna().all()
    assert estimates.loc[estimates["status"] != "ok", "reason"].notna().all()


def test_claims_rest_on_the_primary_inference(small_run: Path) -> None:
    estimates = read_estimates(small_run / "estimates.csv")
    claims = estimates[(estimates["inference"] == "claim") & (estimates["status"] == "ok")]
    assert len(claims) >= 4
    for claim in claims.to_dict("records"):
        same = estimates[
            (estimates["analysis_id"] == claim["analysis_id"])
            & (estimates["measure_id"] == claim["measure_id"])
            & (estimates["group"] == claim["group"])
            & (estimates["outcome"] == claim["outcome"])
            & estimates["inference"].isin(["averaged_t"])
        ]
        assert claim["p_value"] >= same["p_value"].max() - 1e-12


def test_results_pass_the_audit_and_a_planted_leak_fails_the_release(small_run: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(small_run, copy)
    assert audit_folder(copy, 11) == []
    assert "estimates.csv" in release(copy, tmp_path / "edition")
    assert not (tmp_path / "edition" / "restricted").exists()
    cells = pd.read_csv(copy / "results" / "cells.csv")
    cells.loc[0, "den"] = 7
    cells.to_csv(copy / "results" / "cells.csv", index=False)
    with pytest.raises(DisclosureError, match=r"column den: 1 counts of 1 to 10") as caught:
        release(copy, tmp_path / "second")
    assert caught.value.exit_code == 13
    assert not (tmp_path / "second").exists()


def test_compare_names_the_row_that_moved(small_run: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(small_run, copy)
    text = pd.read_csv(copy / "estimates.csv", dtype=str, keep_default_na=False)
    at = text.index[text["status"] == "ok"][0]
    text.loc[at, "estimate"] = str(float(text.loc[at, "estimate"]) * (1 + 1e-6))
    for place in (copy, copy / "results"):
        text.to_csv(place / "estimates.csv", index=False)
    comparison = compare(small_run, copy)
    assert len(comparison.differences) == 1
    assert text.loc[at, "row_id"] in comparison.differences[0]


def test_a_failed_run_leaves_nothing(small_tier_b: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("stopped on the way")

    monkeypatch.setattr("p4equity.stages._validate", broken)
    with pytest.raises(RuntimeError):
        run(FIRST, small_tier_b, tmp_path / "out", workers=1, report=False)
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_folder_is_not_replaced(small_extract: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not empty"):
        run(FIRST, small_extract, tmp_path / "precious", report=False)
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of work"


def test_the_manifest_says_what_the_run_was_made_of(small_run: Path) -> None:
    facts = json.loads((small_run / "manifest.json").read_text())
    assert facts["tier"] == "C"
    assert facts["synthetic"] is True
    assert facts["extract"]["seed"] == 7
    assert set(facts["seconds"]) >= {"validate", "cells", "diagnose", "estimate", "disclosure"}
    assert len(facts["code_version"]) == len(facts["plan_hash"]) == len(facts["data_hash"]) == 64
    assert "results/estimates.csv" in facts["outputs"]


def test_the_value_study_runs_to_results(tmp_path: Path) -> None:
    outcome = run("castle_doctrine", None, tmp_path / "castle", report=False)
    estimates = read_estimates(outcome.folder / "estimates.csv")
    did = estimates[(estimates["estimator"] == "did") & (estimates["status"] == "ok")]
    assert len(did) >= 4
    # Population-weighted two-way estimate of the panel's 0/1 treatment: 0.0755 (fixest on the same columns).
    assert np.isclose(did["estimate"], 0.075533239, atol=1e-8).any()
