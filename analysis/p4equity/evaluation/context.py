"""What every analysis needs: the study, the cells of each variant as panels, the arms and windows of one question."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from p4equity.disparity.panel import Panel, build_panel, independent_panel
from p4equity.errors import StudyError
from p4equity.study import Analysis, Study

POINTS = 100.0  # shares to percentage points
USD = 0.01  # cents to dollars
COMPANIONS = (("tested", "den", "with_reading"), ("controlled_given_tested", "with_reading", "num"))
CARRIED = (
    "measures",
    "baseline_series",
    "panel",
    "companions",
    "changes",
    "by_owner",
    "race_method",
    "imputed",
    "members",
    "matched",
)  # of what was made: what other processes need
Made = TypeVar("Made")


@dataclass(frozen=True)
class Arms:
    """Who is compared in one question: first treated year of each treated system, and the comparison systems."""

    treated: Mapping[str, int]
    comparison: tuple[str, ...]

    @property
    def systems(self) -> tuple[str, ...]:
        """All systems of the question, sorted."""
        return tuple(sorted([*self.treated, *self.comparison]))

    def flags(self, systems: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """(n,) bool: which of `systems` are treated."""
        return np.array([s in self.treated for s in systems], bool)


@dataclass
class Context:
    """The inputs of an evaluation. What several analyses share is made once: panels, changes, baseline gaps, frames."""

    study: Study
    cell: pd.DataFrame
    overlap: pd.DataFrame
    data_hash: str
    code_version: str
    probability: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["map", "race_version"]))
    self_report: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["map", "race_version"]))
    ages: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["map", "race_version"]))
    history: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["map", "race_version"]))
    race_bins: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["map", "race_version"]))
    memory: dict[str | tuple[Any, ...], Any] = field(default_factory=dict)

    def once(self, key: str | tuple[Any, ...], make: Callable[[], Made]) -> Made:
        """What `make` gives, made at the first call with this key."""
        if key not in self.memory:
            self.memory[key] = make()
        made: Made = self.memory[key]
        return made

    def fitted(self, what: str, arrays: Sequence[np.ndarray[Any, Any]], fit: Callable[[], Made]) -> Made:
        """The fit of these arrays, made once: analyses that come to the same numbers share it."""
        return self.once((what, *(np.ascontiguousarray(a).tobytes() for a in arrays)), fit)

    @property
    def measures(self) -> tuple[str, ...]:
        """All measures of the study that have cells."""
        return self.once("measures", self._measures)

    def _measures(self) -> tuple[str, ...]:
        sets = self.study.measure_sets
        wanted = [*sets.contracted, *sets.not_incentivized, *sets.negative_control, *sets.broken_series]
        wanted += [sets.spending] if sets.spending else []
        have = set(self.cell["measure_id"].unique())
        return tuple(m for m in dict.fromkeys(wanted) if m in have)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Reference and compared groups first, then every other group of the scheme, so that arm totals can be told apart."""
        own = self.study.group_ids
        rest = self.study.scheme.ids if self.study.scheme else ()
        return tuple(dict.fromkeys([*own, *rest]))

    def variant(self, analysis: Analysis) -> tuple[str, str]:
        """(map, race version) of an analysis; the registered ones unless it says otherwise."""
        race = self.study.race
        version = analysis.race_version or (race.primary if race else "frozen")
        return analysis.map or self.study.population.map, version

    def panel(self, variant: tuple[str, str]) -> Panel:
        """Arrays of one variant, all measures, all groups, all systems with cells."""
        return self.once(("panel", variant), lambda: self._panel(variant))

    def _panel(self, variant: tuple[str, str]) -> Panel:
        cells, overlap = self.rows(self.cell, variant), self.rows(self.overlap, variant)
        present = set(cells["system_id"].unique())
        systems = [s.id for s in self.study.systems if s.id in present]
        return build_panel(cells, overlap, measures=self.measures, groups=self.groups, systems=systems, years=self.study.years)

    def companions(self, variant: tuple[str, str], measure: str) -> tuple[tuple[str, Panel], ...]:
        """The two rates a measure with a reading splits into, each with its panel."""
        return self.once(("companions", variant, measure), lambda: self._companions(variant, measure))

    def _companions(self, variant: tuple[str, str], measure: str) -> tuple[tuple[str, Panel], ...]:
        cells, panel = self.rows(self.cell, variant), self.panel(variant)
        own = cells[cells["measure_id"] == measure]
        return tuple(
            (name, independent_panel(own, measure, panel.systems, panel.years, den, num)) for name, den, num in COMPANIONS
        )

    def light(self) -> Context:
        """The context for another process: with everything its analyses need of counts already made, and without their rows."""
        from p4equity.evaluation.race_method import asked_in

        if self.study.data.kind != "counts":
            return replace(self, memory={})
        for analysis in self.study.analyses:
            asked, variant = asked_in(self, analysis), self.variant(analysis)
            asked.panel(variant)
            for measure in self.study.measure_ids(analysis.measures) if analysis.outcome == "companion" else ():
                if measure in self.measures and self.study.measure(measure).has_reading:
                    asked.companions(variant, measure)
        return self.without_rows()

    def without_rows(self) -> Context:
        """The context with what was made of its rows, and without them."""
        kept = {key: made for key, made in self.memory.items() if (key if isinstance(key, str) else key[0]) in CARRIED}
        kept = {key: made.without_rows() if isinstance(made, Context) else made for key, made in kept.items()}
        none = {name: getattr(self, name).iloc[:0] for name in ("cell", "overlap", "history", "race_bins")}
        return replace(self, **none, memory=kept)

    @staticmethod
    def rows(frame: pd.DataFrame, variant: tuple[str, str]) -> pd.DataFrame:
        """Rows of one map and race version."""
        return frame[(frame["map"] == variant[0]) & (frame["race_version"] == variant[1])]

    def arms(self, analysis: Analysis, measure: str | None, without: str | None = None) -> Arms:
        """Treated and comparison systems of a question. Systems contracted only on other measures leave both arms."""
        study, exits = self.study, analysis.exits or self.study.population.exit_rule
        gone = {s.id for s in study.systems if exits == "drop" and study.exit_year(s.id) is not None} | {without}
        cohorts = analysis.cohorts or study.cohorts
        treated = {}
        for system in study.arm_systems("participating"):
            cohort = study.cohort_of(system.id, measure if analysis.contracts == "own" else None)
            if cohort in cohorts and system.id not in gone:
                treated[system.id] = int(cohort)
        comparison = tuple(s.id for s in study.arm_systems("comparison") if s.id not in gone)
        return Arms(treated, comparison)

    def windows(self, analysis: Analysis, arms: Arms) -> dict[str, tuple[Sequence[int], Sequence[int]]]:
        """Pre- and post-years of each system: an exit ends a system's years unless the analysis carries it."""
        study, rule = self.study, analysis.exits or self.study.population.exit_rule
        pre = analysis.pre_years or study.baseline.pre_years
        launch = min(arms.treated.values(), default=study.launch_cohort)
        out: dict[str, tuple[Sequence[int], Sequence[int]]] = {}
        for system in arms.systems:
            start, leave = arms.treated.get(system, launch), study.exit_year(system)
            end = leave if leave is not None and rule == "until_exit" else max(study.years) + 1
            if analysis.placebo is not None:  # nothing of a year with a contract enters
                start, end = analysis.placebo, min(end, launch)
            out[system] = (pre, [t for t in study.years if start <= t < end and t not in study.baseline.apart])
        return out

    def seed(self, analysis_id: str) -> int:
        """Seed of one analysis: adding an analysis never moves another's random draws."""
        digest = hashlib.sha256(f"{self.study.id}|{analysis_id}|{self.study.data.seed}".encode()).digest()
        return int.from_bytes(digest[:4], "big")

    def strata(self, systems: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """(n,) codes of the strata within which contracts may be permuted."""
        names = [str(self.study.system(s).stratum) for s in systems]
        order = {name: i for i, name in enumerate(sorted(set(names)))}
        return np.array([order[name] for name in names], np.int64)


def base_row(context: Context, analysis: Analysis, **identity: Any) -> dict[str, Any]:
    """The columns every row of an analysis shares."""
    variant = context.variant(analysis)
    return {
        "analysis_id": analysis.id,
        "estimator": analysis.estimator,
        "system_id": "all",
        "cohort": analysis.cohorts[0] if len(analysis.cohorts) == 1 else None,
        "sample": "main",
        "race_version": variant[1],
        "weighting": analysis.weighting,
        "registered": analysis.registered,
        "interval": "pointwise",
        "conf_level": context.study.inference.conf_level,
        "plan_hash": context.study.plan_hash,
        "data_hash": context.data_hash,
        "code_version": context.code_version,
        "seed": context.seed(analysis.id),
        "status": "ok",
        **identity,
    }


def outcome_unit(study: Study, measure: str) -> str:
    """The unit in which answers about a measure are reported; "pooled" is in percentage points."""
    if measure == study.measure_sets.spending:
        return "USD per member-month"
    return study.measure(measure).unit if study.data.kind == "value" else "percentage points"


def failed_rows(context: Context, analysis: Analysis, reason: str, **identity: Any) -> list[dict[str, Any]]:
    """The rows of a question that has no answer: one a registered inference, each with the reason."""
    unit = outcome_unit(context.study, identity["measure_id"])
    common = base_row(context, analysis, outcome_unit=unit, status="not_estimable", reason=reason, **identity)
    return [{**common, "inference": inference} for inference in analysis.inference]


def alone(measure: str) -> str:
    """The scope of a gate that governs a measure's own rows, and no pooled row it is part of."""
    return f"{measure} alone"


def no_arm(arms: Arms, what: str) -> str | None:
    """The reason why a question has no answer because an arm is empty; StudyError is for whole studies, this for one row."""
    if not arms.treated:
        return f"no system is contracted on {what} in these cohorts"
    if not arms.comparison:
        return f"no comparison system for {what}"
    return None


def check_study_arms(study: Study) -> None:
    """Raise StudyError when no participating or no comparison system is left at all."""
    for arm in ("participating", "comparison"):
        if not study.arm_systems(arm):
            raise StudyError(f"no {arm} system left", where="systems.toml", fix=f"give at least one system arm = '{arm}'")
