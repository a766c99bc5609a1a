"""Planted differential churn, member by member: what it does to an open cohort, and what a closed one and weights make of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from p4equity.cells import build_cells
from p4equity.dictionary import load_dictionary
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.extract import open_extract
from p4equity.resources import study_dir
from p4equity.study import Study, load_study
from p4equity.synthetic import simulate

MEMBERS, SEED = 150_000, 31
LOW, TRAIT, LEAVE = 0.3, 0.9, 0.6  # stronger than the study's own scenario, so that an extract this small shows it
MEASURES = ("COL_50_75", "WCV")  # without readings: a result is met while one uniform is below the rate
ERRORS = 4.0  # of ten comparisons a correct method passes all but once in 1,500


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The study with stronger churn and nothing else planted."""
    folder = tmp_path_factory.mktemp("study") / "churn"
    shutil.copytree(study_dir("bcbsma_pay_for_equity"), folder)
    truth = folder / "truth.toml"
    text = truth.read_text("utf-8")
    for old, new in (
        ('switches = ["differential_churn"]', 'switches = ["differential_churn", "no_effects"]'),
        ("trait = 0.6", f"trait = {TRAIT}"), ("leave = 0.2", f"leave = {LEAVE}"),
    ):  # fmt: skip
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    truth.write_text(text, "utf-8")
    return load_study(folder)


@pytest.fixture(scope="module")
def context(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Context:
    folder: Path = tmp_path_factory.mktemp("churn") / "x"
    simulate(study, folder, members=MEMBERS, seed=SEED, scenario="differential_churn", workers=1)
    cells = build_cells(open_extract(folder), study, load_dictionary()).numeric()
    return Context(study, cells.cell, cells.cell_overlap, "", "", ages=cells.cell_age)


def found(context: Context, members: str, measure: str) -> tuple[float, float]:
    """Estimate and standard error of the effect on the gap."""
    analysis = context.study.analysis("measure").model_copy(
        update={"inference": ("averaged_t",), "members": members, "measures": (measure,)}
    )
    row = next(r for r in analysis_rows(context, analysis) if r["outcome"] == "gap")
    return float(row["estimate"]), float(row["std_error"])


def predicted(context: Context, measure: str) -> float:
    """The gap's spurious change: the rate of those left minus the rate of all, averaged over groups and contract years.

    A member does worse with probability LOW, by a lasting uniform that decides a share TRAIT of results. Of those present, a
    share `turnover` each year is new and has been at risk of leaving for fewer years.
    """
    turnover = 0.135
    panel = context.panel((context.study.population.map, "frozen"))
    pre = np.isin(panel.years, context.study.baseline.pre_years)
    kept = []
    for year in range(1, 4):  # years under contract
        risk = [turnover * (1 - turnover) ** (k - 1) for k in range(1, year)]
        risk.append(1 - sum(risk))
        kept.append(sum(share * (1 - LEAVE) ** k for k, share in enumerate(risk, 1)))
    changes = []
    for group in context.study.groups.compared:
        i = panel.index(measure, group)
        p = panel.num[:, i][:, pre].sum() / panel.den[:, i][:, pre].sum()
        worse = TRAIT * max(0.0, p - (1 - LOW)) / LOW + (1 - TRAIT) * p
        better = TRAIT * min(p, 1 - LOW) / (1 - LOW) + (1 - TRAIT) * p
        rates = [((1 - LOW) * better + LOW * k * worse) / (1 - LOW + LOW * k) for k in kept]
        changes.append(np.mean(rates) - p)
    return -100 * float(np.mean(changes))


@pytest.mark.parametrize("measure", MEASURES)
def test_an_open_cohort_narrows_by_who_is_left_and_the_same_persons_do_not(context: Context, measure: str) -> None:
    bias = predicted(context, measure)
    assert bias < -8
    value, error = found(context, "open", measure)
    assert abs(value - bias) < ERRORS * error
    assert value < -2 * error
    for members in ("stayed", "stayed_weighted"):
        value, error = found(context, members, measure)
        assert abs(value) < ERRORS * error, members
        assert abs(value) < abs(bias) / 2, members


@pytest.mark.parametrize("measure", MEASURES)
def test_ages_do_not_explain_it(context: Context, measure: str) -> None:
    """Who leaves does not depend on age: the same ages in all years leave the bias where it is."""
    value, error = found(context, "age_standardized", measure)
    assert abs(value - predicted(context, measure)) < ERRORS * error


def test_differential_churn_is_found(context: Context) -> None:
    """A group loses most of the LOW part of its members over three years; the reference loses none of it."""
    analysis = context.study.analysis("differential_churn").model_copy(update={"inference": ("averaged_t",)})
    rows = [r for r in analysis_rows(context, analysis) if r["outcome"] == "retention" and r["status"] == "ok"]
    rows = [r for r in rows if r["measure_id"] in MEASURES]
    assert len(rows) == 6
    values = np.array([r["estimate"] for r in rows])
    errors = np.array([r["std_error"] for r in rows])
    weights = 1 / errors**2
    # Of the half who would have stayed, the worse LOW part is all but gone: (1 - LEAVE)^3 of it is left.
    expected = 100 * 0.55 * LOW * (1 - (1 - LEAVE) ** 3)
    mean, error = float((weights * values).sum() / weights.sum()), float(weights.sum() ** -0.5)
    assert abs(mean - expected) < ERRORS * error
    assert mean > ERRORS * error
