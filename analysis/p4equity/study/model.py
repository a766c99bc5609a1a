"""A study: the registered plan, the systems with their contracts, and the facts around them, ready for the other rooms."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from p4equity.dictionary import Group, GroupScheme, Measure
from p4equity.errors import StudyError, did_you_mean
from p4equity.study.plan import (
    Analysis,
    Baseline,
    Data,
    Disclosure,
    Gate,
    Groups,
    Inference,
    Info,
    Leveling,
    MeasureSets,
    Population,
    Race,
    Report,
)
from p4equity.study.plan_composition import Composition
from p4equity.study.plan_contracts import Payment, Selection
from p4equity.study.plan_precision import Precision
from p4equity.study.roster import Cointervention, Contract, Exit, Grant, Published, Source, System

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T", System, Analysis, Group, Measure)


@dataclass(frozen=True, eq=False)
class Study:
    """One study, checked. Sections bear the names of `study.toml`; analyses have their defaults filled in.

    `measures` are the dictionary's and the study's own; `measure_sets` the section `[measures]`. `truth` is the parsed
    `truth.toml` of the synthetic extract (empty when the study has none). Optional sections are None when absent.
    """

    folder: Path
    info: Info
    data: Data
    population: Population
    groups: Groups
    race: Race | None
    baseline: Baseline
    measure_sets: MeasureSets
    inference: Inference
    analyses: tuple[Analysis, ...]
    gates: tuple[Gate, ...]
    disclosure: Disclosure
    leveling: Leveling | None
    selection: Selection | None
    payment: Payment | None
    precision: Precision | None
    composition: Composition | None
    report: Report
    systems: tuple[System, ...]
    contracts: tuple[Contract, ...]
    grants: tuple[Grant, ...]
    exits: tuple[Exit, ...]
    cointerventions: tuple[Cointervention, ...]
    sources: Mapping[str, Source]
    published: tuple[Published, ...]
    measures: Mapping[str, Measure]
    scheme: GroupScheme | None
    truth: Mapping[str, Any]
    tables: Mapping[str, Sequence[Mapping[str, object]]]
    columns: Mapping[str, tuple[str, ...]]
    plan_hash: str

    @property
    def id(self) -> str:
        """The study's id."""
        return self.info.id

    @property
    def title(self) -> str:
        """The title on the cover."""
        return self.info.title

    @property
    def years(self) -> tuple[int, ...]:
        """All years of the study, ascending."""
        return self.data.years

    @property
    def cohorts(self) -> tuple[int, ...]:
        """First performance years of the contracts, ascending."""
        return tuple(sorted({contract.cohort for contract in self.contracts}))

    @property
    def launch_cohort(self) -> int:
        """The earliest cohort."""
        return self.cohorts[0]

    @property
    def group_ids(self) -> tuple[str, ...]:
        """The reference group and the groups compared with it; without a reference, all groups of the scheme."""
        if self.groups.reference:
            return (self.groups.reference, *self.groups.compared)
        return tuple(group.id for group in self.scheme.groups) if self.scheme else ()

    @property
    def events(self) -> pd.DataFrame:
        """The event log: one row an event, `date` as datetime64, ordered by date."""
        frame = self.table("events")
        return frame.sort_values(["date", "event_id"], kind="stable", ignore_index=True)

    @property
    def deviations(self) -> pd.DataFrame:
        """Deviations from the plan: one row each."""
        return self.table("deviations")

    @property
    def threats(self) -> pd.DataFrame:
        """Threats to validity with their test and the analysis or gate that answers each (null: not evaluated)."""
        return self.table("threats")

    def table(self, name: str) -> pd.DataFrame:
        """One of the study's CSV tables; dates as datetime64, every column of the dictionary present."""
        import pandas as pd

        frame = pd.DataFrame(list(self.tables[name]), columns=list(self.columns[name]))
        for column in frame.columns:
            if column == "date" or column.endswith("_date"):
                frame[column] = pd.to_datetime(frame[column])
        return frame

    def system(self, system_id: str) -> System:
        """One system. Raises StudyError for an unknown id."""
        return _pick(self.systems, system_id, "system")

    def analysis(self, analysis_id: str) -> Analysis:
        """One registered analysis. Raises StudyError for an unknown id."""
        return _pick(self.analyses, analysis_id, "analysis")

    def gate(self, gate_id: str) -> Gate | None:
        """One gate, or None when the plan does not use it."""
        return next((gate for gate in self.gates if gate.id == gate_id), None)

    def group(self, group_id: str) -> Group:
        """One group of the study's scheme. Raises StudyError for an unknown id or a study without a scheme."""
        return _pick(self.scheme.groups if self.scheme else (), group_id, "group")

    def measure(self, measure_id: str) -> Measure:
        """One measure. Raises StudyError for an unknown id."""
        return _pick(tuple(self.measures.values()), measure_id, "measure")

    def arm_systems(self, arm: str) -> tuple[System, ...]:
        """The systems of an arm: participating, comparison or excluded."""
        return tuple(system for system in self.systems if system.arm == arm)

    def measure_ids(self, what: str | Sequence[str]) -> tuple[str, ...]:
        """The measures of a set of `[measures]` (`contracted`, ..., own sets), or those listed. Raises StudyError."""
        return measures_of(self.measure_sets, what)

    def contract_matrix(self, year: int | None = None) -> pd.DataFrame:
        """One row a contracted cell: system_id, measure_id, cohort; with `year`, only contracts in force in that year."""
        import pandas as pd

        rows = [
            (contract.system_id, measure, contract.cohort)
            for contract in self.contracts
            if year is None or in_force(contract, year)
            for measure in contract.measures
        ]
        frame = pd.DataFrame(sorted(rows), columns=["system_id", "measure_id", "cohort"])
        return frame.drop_duplicates(["system_id", "measure_id"], ignore_index=True)  # the earliest cohort stays

    def cohort_of(self, system_id: str, measure_id: str | None = None) -> int | None:
        """First performance year of a system, on one measure or on any; null when it was never contracted on it."""
        years = [
            contract.cohort
            for contract in self.contracts
            if contract.system_id == system_id and (measure_id is None or measure_id in contract.measures)
        ]
        return min(years, default=None)

    def compared_years(self, system_id: str, measure_id: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Baseline years and contract years of a system on a measure, as the registered questions compare them.

        Systems without a contract on it begin with the first that has one. Years set apart are neither; a system that leaves has
        years up to its exit unless the plan carries it.
        """
        cohorts = [cohort for s in self.systems if (cohort := self.cohort_of(s.id, measure_id)) is not None]
        start = self.cohort_of(system_id, measure_id) or min(cohorts, default=self.launch_cohort)
        leave = self.exit_year(system_id) if self.population.exit_rule == "until_exit" else None
        last = max(self.years) if leave is None else leave - 1
        return self.baseline.pre_years, tuple(y for y in self.years if start <= y <= last and y not in self.baseline.apart)

    def exit_year(self, system_id: str) -> int | None:
        """The first calendar year that a system did not finish, null when it stayed; an exit on a last day ends no year early."""
        return min((unfinished_year(e.date) for e in self.exits if e.system_id == system_id), default=None)

    def label(self, system_id: str, masked: bool) -> str:
        """What a reader sees for a system: the masked label, or the public name."""
        system = self.system(system_id)
        return system.masked_label if masked and system.masked_label else system.label


def unfinished_year(left: dt.date) -> int:
    """The year that an exit cuts short: that of its date, or the next one where it falls on the last day."""
    return left.year + ((left.month, left.day) == (12, 31))


def measures_of(sets: MeasureSets, what: str | Sequence[str]) -> tuple[str, ...]:
    """Measure ids of a set by name, or the given ids. Raises StudyError for an unknown set."""
    if not isinstance(what, str):
        return tuple(what)
    if what in sets.sets:
        return sets.sets[what]
    roles = [name for name in type(sets).model_fields if name != "sets"]
    if what not in roles:
        raise StudyError("unknown measure set", found=what, fix=did_you_mean(what, [*roles, *sets.sets]))
    value = getattr(sets, what)
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def in_force(contract: Contract, year: int) -> bool:
    """Whether a contract applied to any part of a performance year."""
    return contract.cohort <= year and (contract.ended is None or contract.ended.year >= year)


def _pick(items: Sequence[T], wanted: str, what: str) -> T:
    for item in items:
        if item.id == wanted:
            return item
    raise StudyError(f"unknown {what}", found=wanted, fix=did_you_mean(wanted, [item.id for item in items]))
