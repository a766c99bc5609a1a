"""The data dictionary: schema of every table, measures, groups and cross-table rules, read once from `data_dictionary/`."""

from __future__ import annotations

from p4equity.dictionary.codebook import CodebookRow, codebook, codebook_measures
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
    Summary,
    Table,
)

__all__ = [
    "Break",
    "Category",
    "CodebookRow",
    "CrossRule",
    "Dictionary",
    "Field",
    "ForeignKey",
    "Group",
    "GroupScheme",
    "Measure",
    "RowRule",
    "Stratum",
    "Summary",
    "Table",
    "codebook",
    "codebook_measures",
    "load_dictionary",
]
