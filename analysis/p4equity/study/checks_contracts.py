"""Checks of [selection], [leveling] and [payment]: questions have their rule, and formulas can be told apart and paid."""

from __future__ import annotations

from p4equity.errors import StudyError
from p4equity.study.locate import KeyPath
from p4equity.study.model import measures_of
from p4equity.study.plan import Plan
from p4equity.study.problems import Problems

FILE = "study.toml"


def check_contracts(plan: Plan, problems: Problems) -> None:
    """Notes questions on selection or leveling without their rule, candidates that are no measures, and formulas at odds."""
    asked = [i for i, a in enumerate(plan.analysis) if a.estimator == "selected_baseline"]
    for i in asked:
        if plan.selection is None or not plan.baseline.selection_years:
            problems.add(
                FILE, ("analysis", i, "estimator"), "replays a selection rule that the plan does not have",
                expected="a section [selection], and selection_years in [baseline]",
                fix="say how measures were chosen and by which years, or take the analysis out",
            )  # fmt: skip
    for i, analysis in enumerate(plan.analysis):
        if analysis.estimator == "leveling" and plan.leveling is None:
            problems.add(
                FILE, ("analysis", i, "estimator"), "judges who moved by a margin that the plan does not have",
                expected="a section [leveling]", fix="register a margin and the spread of the prior, or take the analysis out",
            )  # fmt: skip
    if plan.selection is not None:
        known = {m for a in plan.analysis if not isinstance(a.measures, str) for m in a.measures}
        for word in plan.selection.measures:
            _check_candidates(plan, word, known, problems)
    if plan.payment is not None:
        _check_formulas(plan, problems)


def _check_candidates(plan: Plan, word: str, known: set[str], problems: Problems) -> None:
    try:
        measures_of(plan.measures, word)
    except StudyError as error:
        if word not in known | {m for w in ("contracted", "not_incentivized") for m in measures_of(plan.measures, w)}:
            problems.add(FILE, ("selection", "measures"), error.problem, found=word, fix=error.fix)


def _check_formulas(plan: Plan, problems: Problems) -> None:
    assert plan.payment is not None
    ids = ["default", *(f.id for f in plan.payment.formula)]
    for i, formula in enumerate(plan.payment.formula):
        path: KeyPath = ("payment", "formula", i)
        if formula.id in ids[: i + 1]:
            problems.add(
                FILE, (*path, "id"), f"duplicate id '{formula.id}'", fix="give each formula its own; default is [payment]'s"
            )
        for key in ("baseline_years", "performance_years"):
            outside = [year for year in getattr(formula, key) if year not in plan.data.years]
            if outside:
                problems.add(FILE, (*path, key), "years outside data.years", found=outside, fix="correct the year")
        if (formula.efficiency_share or formula.pmpm_share is not None) and plan.measures.spending is None:
            problems.add(
                FILE, path, "reads spending, and [measures] names none", fix="name it under spending, or leave the key out"
            )
