"""Checks of who the members of an analysis are: what standardized rates and closed cohorts are known for."""

from __future__ import annotations

from p4equity.study.plan import Plan
from p4equity.study.problems import Problems

FILE = "study.toml"


def check_composition(plan: Plan, problems: Problems) -> None:
    """Notes bands that are none, and analyses of members that the cells by age cannot give."""
    if plan.composition is not None:
        bands = plan.composition.age_bands
        if bands[0] != 0 or list(bands) != sorted(set(bands)):
            problems.add(FILE, ("composition", "age_bands"), "first ages of bands ascend from 0, each once", found=list(bands))
    population, version = plan.population.map, plan.race.primary if plan.race else None
    for i, analysis in enumerate(plan.analysis):
        path = ("analysis", i, "members")
        if analysis.members == "open":
            continue
        if plan.composition is None:
            problems.add(FILE, path, "needs cells by age", expected="a section [composition]", fix="name the bands of age")
        usual = analysis.map in (None, population) and analysis.race_version in (None, version)
        if not usual or analysis.clusters != "system" or analysis.race_method != "classes":
            problems.add(
                FILE, path, "cells by age are counted for the primary map, race version, classes and single systems",
                fix="change one choice an analysis",
            )  # fmt: skip
        if (analysis.estimator, analysis.outcome) != ("meta_regression", "gap"):
            problems.add(
                FILE, path, "serves changes in gaps in two stages", found=f"{analysis.estimator}, {analysis.outcome}",
                expected='estimator = "meta_regression", outcome = "gap"',
            )  # fmt: skip
