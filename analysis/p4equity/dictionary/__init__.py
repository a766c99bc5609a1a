"""The data dictionary: schema of every table, measures, groups and cross-table rules, read once from `data_dictionary/`."""

from __future__ import annotations

from p4equity.dictionary.load import load_dictionary
from p4equity.dictionary.model import (
    Break,
    Category,
    CrossRule,
    Dictionary,
    Field,
    ForeignKey,
    Group,
    GroupScheme,
    Measure,
    RowRule,
    Stratum,
    Table,
)

__all__ = [
    "Break",
    "Category",
    "CrossRule",
    "Dictionary",
    "Field",
    "ForeignKey",
    "Group",
    "GroupScheme",
    "Measure",
    "RowRule",
    "Stratum",
    "Table",
    "load_dictionary",
]
