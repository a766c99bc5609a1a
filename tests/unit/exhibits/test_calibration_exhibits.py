"""T14, F9 and the section's words from a made calibration: worst cases, few units, what is missing and why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from p4equity.calibration.methods import METHODS
from p4equity.calibration.settings import ESTIMATE, PLACEBO_DATE, VARYING, settings
from p4equity.dictionary import load_dictionary
from p4equity.exhibits import f9_calibration, t14_calibration
from p4equity.exhibits.base import write_exhibit
from p4equity.exhibits.calibration_parts import SETTINGS
from p4equity.results import Results
from p4equity.section import calibration

HIGH = "shocks_grow_with_size"


def row(analysis: str, measure: str, method: str, setting: str, rate: float, treated: int) -> dict[str, Any]:
    real = setting == PLACEBO_DATE
    return {
        "row_id": f"{analysis}.{measure}.{setting}.{method}", "analysis_id": analysis, "measure_id": measure, "inference": method,
        "setting": setting, "n_clusters": 12, "n_treated_clusters": treated, "draws": 1 if real else 1000, "n_assignments": 47520,
        "shock_sd": 0.8, "shock_sd_low": 0.0, "shock_sd_high": 1.9, "change_sd": 0.7, "rejection": rate,
        "rejection_error": None if real else 0.007, "coverage": None if real else 1 - rate, "bias": None if real else 0.0,
        "power": 0.33 if setting == "shocks_estimate" else None, "effect": 1.7 if setting == "shocks_estimate" else None,
        "conf_level": 0.95, "status": "ok", "reason": "one data set" if real else None,
    }  # fmt: skip


def made(study: Any, *, primary: float = 0.055, other: float = 0.09) -> pd.DataFrame:
    """Every question: the primary method at most `primary`, Knapp-Hartung at most `other`; CR2 without an answer when pooled."""
    rows: list[dict[str, Any]] = []
    for a in [a for a in study.analyses if a.registered == "primary"]:
        measures = ["pooled"] if a.pooled else list(study.measure_ids(a.measures))
        for k, measure in enumerate(measures):
            treated = 1 if measure != "pooled" and k == len(measures) - 1 else 5
            for method in METHODS:
                if method == "cr2" and measure == "pooled":
                    gone = {"rejection": None, "status": "not_estimable", "reason": "one unit alone in an arm has no spread"}
                    rows.append(row(a.id, measure, method, "shocks_estimate", 0.0, treated) | gone)
                    continue
                for setting in [*(s.id for s in settings(measure == "pooled")), PLACEBO_DATE]:
                    most = {"averaged_t": primary, "knapp_hartung": other}.get(method, 0.05)
                    rate = (
                        most if setting == HIGH else 0.08 if setting == VARYING[1] else 0.1 if setting == PLACEBO_DATE else 0.03
                    )
                    rows.append(row(a.id, measure, method, setting, rate, treated))
    return pd.DataFrame(rows).reindex(columns=list(load_dictionary().table("calibration").names))


@pytest.fixture
def tried(results: Results) -> Results:
    return replace(results, tables={**results.tables, "calibration": made(results.study)}, skipped={})


def test_the_table_gives_worst_cases_and_marks_what_is_too_often(tried: Results) -> None:
    exhibit = t14_calibration.build(tried)
    assert exhibit is not None
    assert exhibit.table is not None
    first = {r[0]: r[1:] for r in exhibit.table.rows[: len(METHODS)]}
    assert first["Averaged t"] == ("3.0", "5.5", SETTINGS[HIGH], "8.0", "10.0", "94.5", "33.0")
    assert first["Knapp-Hartung"][1] == "9.0*"
    assert set(first["CR2"]) == {"–"}
    assert "one unit alone in an arm" in exhibit.footnote
    assert "at most 5.5%" in exhibit.alt
    assert "Knapp-Hartung" in exhibit.alt
    primary = [a for a in tried.study.analyses if a.registered == "primary"]
    assert set(exhibit.data["analysis_id"]) == {a.id for a in primary}  # co-primary questions are in the data, whole
    assert len(exhibit.table.rows) < len(exhibit.data)


def test_the_figure_draws_each_rate_it_lists(tried: Results, tmp_path: Path) -> None:
    exhibit = f9_calibration.build(tried)
    assert exhibit is not None
    assert exhibit.figure is not None
    lines = [(ax, line) for ax in exhibit.figure.axes for line in ax.get_lines() if line.get_marker() not in ("none", "None")]
    drawn = [float(x) for ax, line in lines if line.get_transform() == ax.transData for x in np.asarray(line.get_xdata())]
    assert sorted(drawn) == pytest.approx(sorted(exhibit.data["rejects_percent"]))
    assert set(exhibit.data["inference"]) == {"averaged_t", "knapp_hartung", "permutation"}
    assert "9.0%" in exhibit.alt
    for folder in ("a", "b"):
        for module in (f9_calibration, t14_calibration):
            write_exhibit(module.build(tried), tmp_path / folder)  # type: ignore[arg-type]
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / f).iterdir()} for f in ("a", "b"))
    assert first == second
    assert {"F9.svg", "F9.csv", "T14.json"} <= set(first)


def test_a_study_without_sampling_variances_is_told_why(results: Results) -> None:
    gone = {
        "analysis_id": "a",
        "measure_id": "m",
        "inference": "all",
        "status": "not_estimable",
        "reason": "no sampling variance",
    }
    for table in (pd.DataFrame(), pd.DataFrame([gone])):
        bare = replace(results, tables={**results.tables, "calibration": table}, skipped={})
        assert t14_calibration.build(bare) is None
        assert f9_calibration.build(bare) is None
        assert set(bare.skipped) == {"T14", "F9"}
    assert "no sampling variance" in bare.skipped["T14"]


def said(study: Any, table: pd.DataFrame) -> str:
    return calibration.text(SimpleNamespace(study=study, results=lambda _: table))  # type: ignore[arg-type]


def test_the_words_follow_the_numbers(results: Results) -> None:
    study = results.study
    fine = said(study, made(study))
    assert fine.startswith("**The primary test holds its level")
    assert "at most 5.5%" in fine
    assert "Knapp-Hartung reaches 9.0%" in fine
    assert "no method is known to hold its level, so nothing is claimed" in fine
    assert len(fine.split("\n\n")) == 4
    bad = said(study, made(study, primary=0.12, other=0.05))
    assert bad.startswith("**The primary test rejects too often")
    assert "No other method fails clearly" in bad
    beyond = made(study, primary=0.067)
    assert said(study, beyond).startswith("**The primary test holds its level with shocks as estimated and goes slightly beyond")
    usual = (beyond["setting"] == ESTIMATE) & (beyond["inference"] == "averaged_t")
    worse = beyond.assign(rejection=beyond["rejection"].mask(usual, 0.066))
    assert said(study, worse).startswith("**The primary test goes slightly beyond its level")
    # Many draws show an excess that matters to nobody: clear of Monte Carlo error, within Bradley's bound.
    sure = made(study, primary=0.062).assign(rejection_error=0.002)
    assert "slightly beyond" in said(study, sure).split("**")[1]


def test_settings_have_words_and_stand_in_the_dictionary() -> None:
    field = next(f for f in load_dictionary().table("calibration").fields if f.name == "setting")
    assert {c.value for c in field.categories} == set(SETTINGS) == {s.id for s in settings(pooled=True)} | {PLACEBO_DATE}


def test_the_note_of_the_table_says_how_the_data_were_made(tried: Results, tmp_path: Path) -> None:
    exhibit = t14_calibration.build(tried)
    assert exhibit is not None
    write_exhibit(exhibit, tmp_path)
    note = json.loads((tmp_path / "T14.json").read_text())["footnote"]
    assert "1,000 simulated data sets" in note
    assert "no change of the study is read" in note
    assert "one data set" in note
