"""A study as data: `load_study` reads and checks the folder of a study and gives one typed, immutable object.

One place to touch: an analysis is a block of `study.toml`, a system or contract a block of `systems.toml`, an event a row of
`events.csv`; a measure outside the dictionary a block of the study's own `measures.toml`.
"""

from __future__ import annotations

from p4equity.study.load import load_study
from p4equity.study.model import Study, in_force, measures_of
from p4equity.study.plan import Analysis, Gate, ValueSource
from p4equity.study.roster import Contract, Exit, Grant, Published, Source, System
from p4equity.study.vocabulary import ESTIMATORS, GATES, INFERENCES

__all__ = [
    "ESTIMATORS",
    "GATES",
    "INFERENCES",
    "Analysis",
    "Contract",
    "Exit",
    "Gate",
    "Grant",
    "Published",
    "Source",
    "Study",
    "System",
    "ValueSource",
    "in_force",
    "load_study",
    "measures_of",
]
