"""Checks of how the members of an analysis are placed in groups: what is known for which version, map and question."""

from __future__ import annotations

from collections.abc import Sequence

from p4equity.study.locate import KeyPath
from p4equity.study.plan import Analysis, Plan, Race
from p4equity.study.problems import Problems
from p4equity.study.vocabulary import RaceVersion

FILE = "study.toml"
IMPUTED_BY = ("knapp_hartung",)  # answers with a standard error and degrees of freedom, as Rubin's rules need them


def version_read(analysis: Analysis, race: Race | None) -> RaceVersion:
    """The version an analysis reads: its own, the frozen one where only that has what it counts members by, or the plan's."""
    if analysis.race_version == "other":
        return "frozen" if race is None or race.primary == "contemporaneous" else "contemporaneous"
    if analysis.race_version is not None:
        return analysis.race_version
    return race.primary if race is not None and analysis.race_method == "classes" else "frozen"


def check_race_method(plan: Plan, analysis: Analysis, measures: Sequence[str], path: KeyPath, problems: Problems) -> None:
    """Probabilities and self-reports are summed by system under the primary map and the frozen version alone."""
    if analysis.race_method == "classes":
        return
    race, where = plan.race, (*path, "race_method")
    here = (version_read(analysis, race) if race else None, analysis.map or plan.population.map, analysis.clusters)
    if here != ("frozen", plan.population.map, "system"):
        problems.add(
            FILE, where, f"'{analysis.race_method}' is known for the frozen version, the map of [population] and single systems",
            expected='race_version = "frozen", no other map, clusters = "system"', found=", ".join(map(str, here)),
        )  # fmt: skip
    if analysis.estimator != "meta_regression" or analysis.outcome != "gap":
        problems.add(
            FILE, where, f"'{analysis.race_method}' serves changes in gaps in two stages", found=analysis.estimator,
            expected='estimator = "meta_regression", outcome = "gap"',
        )  # fmt: skip
    if analysis.race_method == "imputed":
        _check_imputed(plan, analysis, measures, path, problems)


def _check_imputed(plan: Plan, analysis: Analysis, measures: Sequence[str], path: KeyPath, problems: Problems) -> None:
    """Members are imputed by their results on a contracted measure in the baseline years and since the first contracts."""
    if plan.race is not None and plan.race.imputations is None:
        problems.add(
            FILE, ("race",), "analyses impute race and ethnicity, but the plan does not say how often", expected="imputations",
            fix="add imputations = 40 to [race] (20 or more)",
        )  # fmt: skip
    if analysis.inference != IMPUTED_BY:
        problems.add(
            FILE, (*path, "inference"), "imputations are combined from answers with a standard error",
            found=", ".join(analysis.inference), expected=f'inference = ["{IMPUTED_BY[0]}"]',
        )  # fmt: skip
    if others := [m for m in measures if m not in plan.measures.contracted]:
        problems.add(
            FILE, (*path, "measures"), "members are imputed by their results on contracted measures", found=", ".join(others),
            expected=", ".join(plan.measures.contracted),
        )  # fmt: skip
    if analysis.exits not in (None, "drop", plan.population.exit_rule):
        problems.add(
            FILE, (*path, "exits"), "members are imputed by their results in the years that the plan's exit rule leaves",
            expected=plan.population.exit_rule, found=analysis.exits,
        )  # fmt: skip
    if analysis.contracts != "own":
        problems.add(
            FILE, (*path, "contracts"), "members are imputed by their results since a contract on the measure",
            expected="own", found=analysis.contracts,
        )  # fmt: skip
    if analysis.pre_years and set(analysis.pre_years) != set(plan.baseline.pre_years):
        problems.add(
            FILE, (*path, "pre_years"), "members are imputed by their results in the registered baseline years",
            found=", ".join(map(str, analysis.pre_years)), expected=", ".join(map(str, plan.baseline.pre_years)),
        )  # fmt: skip
