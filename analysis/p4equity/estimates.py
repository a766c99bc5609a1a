"""The one table of answers: its columns come from the dictionary, its rules are checked whenever it is made."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from p4equity.dictionary import load_dictionary
from p4equity.errors import DataError

IDENTITY = (
    "analysis_id", "measure_id", "outcome", "group", "reference_group", "system_id", "cohort", "event_time", "sample",
    "race_version", "weighting", "estimator", "inference", "interval",
)  # fmt: skip
ANSWER = ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "df", "p_attainable")
OK, NOT_ESTIMABLE, SUPPRESSED = "ok", "not_estimable", "suppressed"
# Tests whose size is not sure with few treated units, and up to how many are few (MacKinnon and Webb 2018).
UNSURE = (
    "averaged_t", "averaged_t_varying", "knapp_hartung", "cr0", "cr1", "cr2", "cr3", "cv3", "cv3j", "wild_bootstrap",
    "wild_bootstrap_unrestricted", "analytical", "multiplier_bootstrap",
)  # fmt: skip
FEW = 4
FEW_TREATED = "alone: such a test can reject too often or too rarely"


def warned(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows, with a warning as the reason of each answer that rests on few treated units and says nothing else yet."""
    return [{**row, "reason": few_treated(row["n_treated_clusters"])} if _few(row) else dict(row) for row in rows]


def few_treated(n: int) -> str:
    """The warning on an answer that rests on n treated units."""
    return f"{n} treated system{'' if n == 1 else 's'} {FEW_TREATED}"


def _few(row: Mapping[str, Any]) -> bool:
    few = not _missing(row.get("n_treated_clusters")) and 1 <= row["n_treated_clusters"] <= FEW
    return few and row["status"] == OK and row["inference"] in UNSURE and not row.get("reason")


def columns() -> tuple[str, ...]:
    """Column names of the estimates table, in the dictionary's order."""
    return load_dictionary().tables["estimate"].names


def row_id(identity: Mapping[str, Any]) -> str:
    """Readable, stable id of a row: the analysis and whatever else tells it from its neighbours, then a short check code."""
    shown = ("analysis_id", "measure_id", "outcome", "group", "system_id", "event_time", "inference")
    parts = [str(identity[key]) for key in shown if not _missing(identity.get(key)) and identity[key] not in ("all", "none")]
    full = "|".join("" if _missing(identity.get(key)) else str(identity[key]) for key in IDENTITY)
    code = hashlib.sha256(full.encode()).hexdigest()[:6]
    return re.sub(r"[^A-Za-z0-9_.+-]", "-", ".".join(parts)) + "." + code


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def estimates_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as the estimates table: ids added, columns ordered, numbers null unless the status is ok.

    Raises DataError on an unknown column, a repeated identity, a missing reason, or an ok row without an estimate.
    """
    names = columns()
    frame = pd.DataFrame([{**row, "row_id": row_id(row)} for row in rows])
    unknown = sorted(set(frame.columns) - set(names))
    if unknown:
        raise DataError("unknown columns in the estimates", expected=", ".join(names), found=", ".join(unknown))
    frame = frame.reindex(columns=list(names))
    hidden = frame["status"] != OK
    frame.loc[hidden, list(ANSWER)] = None
    repeated = frame.loc[frame["row_id"].duplicated(), "row_id"].unique()
    if len(repeated):
        raise DataError("two answers to one question", where="estimates", expected="unique row_id", found=", ".join(repeated[:5]))
    silent = frame[hidden & frame["reason"].isna()]
    empty = frame[~hidden & frame["estimate"].isna()]
    if len(silent) or len(empty):
        ids = [*silent["row_id"], *empty["row_id"]]
        raise DataError("a row without a number needs a reason, an ok row a number", where="estimates", found=", ".join(ids[:5]))
    return with_types(frame)


def with_types(frame: pd.DataFrame, table: str = "estimate") -> pd.DataFrame:
    """Columns of a result table cast to the dictionary's types: float64, Int64, or objects with None."""
    out = frame.copy()
    for field in load_dictionary().tables[table].fields:
        if field.type == "number":
            out[field.name] = pd.to_numeric(out[field.name]).astype("float64")
        elif field.type == "integer":
            out[field.name] = pd.to_numeric(out[field.name]).astype("Int64")
        else:
            out[field.name] = out[field.name].astype(object).where(out[field.name].notna(), None)
    return out


def read_estimates(path: object) -> pd.DataFrame:
    """The estimates table of a run or an edition, from CSV, with the dictionary's types. Raises DataError when it is damaged."""
    try:
        frame = pd.read_csv(str(path), dtype=str, keep_default_na=False, na_values=[""])
        absent = [name for name in columns() if name not in frame]
        if not absent:
            return with_types(frame)
    except ValueError:  # not CSV, not UTF-8, or words where numbers belong
        absent = []
    raise DataError(
        "not a whole table of estimates", where=str(path), expected="columns and types of data_dictionary/tables/estimate.yaml",
        found="no column " + ", ".join(absent) if absent else "a file that cannot be read as such a table",
        fix="repeat the run that wrote it",
    )  # fmt: skip
