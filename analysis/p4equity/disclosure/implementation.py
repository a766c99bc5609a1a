"""The implementation table: counts of persons, and how few did not answer a question."""

from __future__ import annotations

import pandas as pd

from p4equity.disclosure.marks import PEOPLE, complementary_flags, protect, small
from p4equity.estimates import OK

RESPONDENTS = "respondents"  # the basis of answers; its row over all items counts everyone who took part
EVERY = "all"
KEYS = ["section", "arm"]


def protect_implementation(table: pd.DataFrame, threshold: int) -> pd.DataFrame:
    """Counts of people are protected; counts of systems, reports, grants or segments are not about persons."""
    people = (table["status"] == OK) & table["basis"].isin(PEOPLE)
    own = table[people]
    # One arm is the total of the others; where an indicator has a row over all items, that is the total of its items.
    parted = own["indicator"].isin(own.loc[own["item"] == EVERY, "indicator"])
    own = own.assign(items=own["indicator"].where(parted, own["indicator"] + "|" + own["item"]))
    lines = [("section", "indicator", "item"), ("section", "items", "arm")]
    done = protect(own, counts=("n",), numbers=("n", "value"), lines=lines, threshold=threshold).drop(columns="items")
    return pd.concat([table[~people], _without_answer(done, threshold)]).sort_index()


def _without_answer(done: pd.DataFrame, threshold: int) -> pd.DataFrame:
    """The table without the base of a question that few left out: respondents less answers would count them.

    The share or mean stays, to one decimal at most: weighted over an unknown number of answers it tells no count.
    """
    answers = done[(done["basis"] == RESPONDENTS) & (done["status"] == OK)]
    whole = answers[answers["item"] == EVERY].groupby(KEYS)["n"].max()
    items = answers[answers["item"] != EVERY]
    if items.empty or whole.empty:
        return done
    items = items.join(whole.rename("whole"), on=KEYS).dropna(subset=["whole", "n"])
    items = items.assign(silent=(items["whole"] - items["n"]).astype("int64")).reset_index(names="row")
    first = small(items["silent"], threshold)
    flags = complementary_flags(items, first, [("section", "indicator", "item")], ("silent",), threshold)
    rows = items.loc[flags, "row"]
    out = done.copy()
    out.loc[rows, "n"] = pd.NA
    percent = out.loc[rows, "unit"].astype(str).str.startswith("percent")
    value = out.loc[rows, "value"].astype("Float64")
    out.loc[rows, "value"] = value.round(0).where(percent, value.round(1))
    return out
