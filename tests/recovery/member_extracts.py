"""Whole extracts of members with planted features, and the rows that set what is found against what is planted."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from p4equity.cells import build_cells
from p4equity.diagnostics import diagnose
from p4equity.dictionary import load_dictionary
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.extract import open_extract
from p4equity.study import Study, load_study
from p4equity.synthetic import simulate
from p4equity.synthetic.build import build_plan
from p4equity.synthetic.plan import Plan
from p4equity.synthetic.population import draw_members
from p4equity.synthetic.truth import Planted, load_truth
from simulation import STUDY

Found = dict[str, Any]


@dataclass(frozen=True)
class Extract:
    """One extract: where it lies, its cells ready for analyses, its table of profiles, what its truth.json says."""

    folder: Path
    scenario: str
    seed: int
    members: int
    context: Context
    profile: pd.DataFrame
    truth: dict[str, Any]

    @property
    def study(self) -> Study:
        """The study that it was made with."""
        return self.context.study

    @cached_property
    def planted(self) -> Planted:
        """What was planted."""
        return load_truth(self.study, self.scenario)

    @cached_property
    def plan(self) -> Plan:
        """The generator's plan."""
        return build_plan(self.study, self.planted, members=self.members, seed=self.seed)

    @cached_property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Measures and groups with a baseline gap."""
        return baseline_series(self.context, (self.study.population.map, "frozen"))

    def groups_behind(self, measure: str) -> list[str]:
        """Groups that are pooled in answers about a measure."""
        return [g for m, g in self.pairs if m == measure]

    def table(self, name: str) -> pd.DataFrame:
        """A table of the extract."""
        path = self.folder / name
        return pd.read_parquet(path if path.is_dir() else path.with_suffix(".parquet"))

    def answers(self, analysis: str, **change: Any) -> dict[tuple[str, str, str], dict[str, Any]]:
        """Rows of a registered question by measure, outcome and group, by one inference; `change`: of the question."""
        asked = self.study.analysis(analysis)
        first = {"inference": asked.inference[:1]} | change
        rows = analysis_rows(self.context, asked.model_copy(update=first))
        return {(r["measure_id"], r["outcome"], r["group"]): r for r in rows if r["status"] == "ok"}

    def homes(self) -> pd.Series:
        """Number of the system whose rates and race data each member has, by member_id: what the generator drew."""
        plan = self.plan
        drawn = [draw_members(plan.people, plan.years, plan.seed, b, plan.size(b)).home for b in range(plan.blocks)]
        home = np.concatenate(drawn)
        return pd.Series(home, index=[f"M{i + 1:08d}" for i in range(len(home))])

    def failed_gates(self) -> set[str]:
        """Failed gates, apart from the one that says that the extract is smaller than the study's."""
        gates = diagnose(self.context, self.profile)
        return set(gates.loc[gates["status"] == "FAIL", "gate_id"]) - {"detectable_effect"}

    def predicted(self, analysis: str, measure: str, groups: list[str], column: str = "points") -> float:
        """Bias of the gap that truth.json predicts, mean over groups."""
        table = pd.DataFrame(self.truth["predicted_bias"])
        own = table[(table["analysis_id"] == analysis) & (table["measure_id"] == measure) & table["group"].isin(groups)]
        return float(own[column].mean())


def extracted(study: Study, folder: Path, scenario: str, seed: int, members: int) -> Extract:
    """A new extract and its cells."""
    shutil.rmtree(folder, ignore_errors=True)
    simulate(study, folder, members=members, seed=seed, scenario=scenario, workers=1)
    cells = build_cells(open_extract(folder), study, load_dictionary()).numeric()
    context = Context(
        study, cells.cell, cells.cell_overlap, "", "", probability=cells.cell_probability, self_report=cells.cell_self_report,
        ages=cells.cell_age,
    )  # fmt: skip
    truth = json.loads((folder / "truth.json").read_text("utf-8"))
    return Extract(folder, scenario, seed, members, context, cells.cell_profile, truth)


def edited_study(folder: Path, *changes: tuple[str, str]) -> Study:
    """A copy of the study in which texts of truth.toml are replaced; each must be there once."""
    shutil.copytree(load_study(STUDY).folder, folder)
    path = folder / "truth.toml"
    text = path.read_text("utf-8")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text, "utf-8")
    return load_study(folder)


def found(feature: str, quantity: str, planted: float, value: float, error: float = np.nan) -> Found:
    """One comparison; error: known standard error of value - planted, if it is known."""
    return {"feature": feature, "quantity": quantity, "planted": planted, "found": float(value), "error": error}


def share(feature: str, quantity: str, planted: float, hits: float, of: float) -> Found:
    """A share in percent, with its binomial error at the planted share."""
    return found(feature, quantity, 100 * planted, 100 * hits / of, 100 * float(np.sqrt(planted * (1 - planted) / of)))
