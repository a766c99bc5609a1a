"""One table as the auditor reads it: which of its columns count people, and what they and their differences say."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from p4equity.dictionary import load_dictionary
from p4equity.disclosure import PEOPLE, small
from p4equity.estimates import ANSWER, SUPPRESSED

_WORDS = "n|den|num|counts?|members?|persons?|people|patients?|respondents?|interviews?|denominators?|numerators?|dropped|lost"
COUNT = re.compile(rf"(?:{_WORDS})(?:_\w+)?|\w+_(?:{_WORDS})", re.IGNORECASE)
DESIGN = ("n_clusters", "n_treated_clusters", "n_cells", "n_assignments", "n_contracted")  # systems, cells, ways to assign
PAIRS = (("den", "num"), ("n", "n_self_reported"))
NUMBERS = (*ANSWER, "n", "den", "num", "dropped", "n_members", "n_self_reported", "rate", "share", "smd", "value",
           "self_reported_share", "narrowing", "score", "earned", "count", "members")  # fmt: skip
FLOW = ("step", "arm", "group", "year", "n")
SURVEY = ("section", "item", "arm", "basis", "n")


def count_columns(frame: pd.DataFrame) -> list[str]:
    """Columns that may count people, by their names; counts of systems, cells and assignments are not among them."""
    design = {*DESIGN, *(("n_comparison",) if "n_contracted" in frame else ())}
    return [str(c) for c in frame.columns if COUNT.fullmatch(str(c)) and c not in design]


def numbers_of(column: pd.Series) -> pd.Series:
    """A column as numbers, also where it was written as text; what is no number is missing."""
    return pd.to_numeric(column.astype(str).str.replace(",", "").str.strip(), errors="coerce").astype("float64")


def identifiers() -> set[str]:
    """Columns that name a person or what leads to one, as the dictionary marks them."""
    return {f.name for t in load_dictionary().tables.values() for f in t.fields if f.disclosure == "identifier"}


def audit_frame(frame: pd.DataFrame, threshold: int) -> list[str]:
    """Small counts, small differences, numbers of suppressed rows and identifiers of one table, without the counts themselves."""
    out = [f"column {name}: an identifier" for name in frame.columns if str(name).lower() in identifiers()]
    if "basis" in frame:  # counts of systems, grants or reports are not counts of persons
        frame = frame[frame["basis"].isin(PEOPLE)]
    counts = {name: numbers_of(frame[name]) for name in count_columns(frame)}
    for name, values in counts.items():
        hits = int((small(values, threshold) & (values % 1 == 0).to_numpy()).sum())
        if hits:
            out.append(f"column {name}: {hits} counts of 1 to {threshold - 1}")
    proportions = frame["unit_kind"] == "percent" if "unit_kind" in frame else np.ones(len(frame), bool)
    for whole, part in PAIRS:
        if whole in counts and part in counts:
            hits = int(small((counts[whole] - counts[part])[proportions], threshold).sum())
            if hits:
                out.append(f"{whole} minus {part}: {hits} counts of 1 to {threshold - 1}")
    return out + _suppressed(frame) + _steps(frame, threshold) + _answers(frame, threshold)


def _suppressed(frame: pd.DataFrame) -> list[str]:
    """Suppressed rows that carry a number: of the table's own status, or of one part of a wide table (`part_status`)."""
    out = []
    for name in (str(c) for c in frame.columns if str(c) == "status" or str(c).endswith("_status")):
        before = name.removesuffix("status")
        own = [c for c in frame.columns if str(c).removeprefix(before) in NUMBERS and str(c).startswith(before)]
        shown = int(frame.loc[frame[name] == SUPPRESSED, own].notna().any(axis=1).sum())
        if shown:
            out.append(f"{shown} suppressed rows carry a number")
    return out


def _steps(frame: pd.DataFrame, threshold: int) -> list[str]:
    """Members lost between two shown steps of a flow chart."""
    if not set(FLOW) <= set(frame.columns):
        return []
    shown = frame.assign(n=numbers_of(frame["n"])).dropna(subset=["n"]).sort_values("step")
    hits = int(small(shown.groupby(["arm", "group", "year"])["n"].diff().abs(), threshold).sum())
    return [f"steps: {hits} differences of 1 to {threshold - 1}"] if hits else []


def _answers(frame: pd.DataFrame, threshold: int) -> list[str]:
    """Respondents less those who answered a question."""
    if not set(SURVEY) <= set(frame.columns):
        return []
    rows = frame[frame["basis"] == "respondents"].assign(n=lambda f: numbers_of(f["n"]))
    whole = rows[rows["item"] == "all"].groupby(["section", "arm"])["n"].max()
    items = rows[rows["item"] != "all"].join(whole.rename("whole"), on=["section", "arm"])
    hits = int(small(items["whole"] - items["n"], threshold).sum())
    return [f"respondents less answers: {hits} counts of 1 to {threshold - 1}"] if hits else []
