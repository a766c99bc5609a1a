"""The tables of cells: their columns, their canonical order, their fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

TEXT, YEAR, COUNT, EXACT, REAL = "text", "year", "count", "exact", "real"
KEYS = {
    "cell": ("map", "race_version", "system_id", "practice_id", "measure_id", "group", "year", "stratum"),
    "cell_overlap": ("map", "race_version", "system_id", "group", "measure_1", "year_1", "measure_2", "year_2"),
    "cell_profile": ("map", "race_version", "system_id", "group", "year", "characteristic", "level"),
    "cell_flow": ("step", "label", "system_id", "group", "year"),
    "cell_age": ("map", "race_version", "system_id", "measure_id", "group", "year", "age_band"),
    "cell_probability": ("map", "race_version", "system_id", "measure_id", "year", "group_1", "group_2"),
    "cell_self_report": ("map", "race_version", "system_id", "measure_id", "year", "group_1", "group_2"),
    "cell_history": (
        "map", "race_version", "system_id", "measure_id", "reported_group", "likely_group", "second_group", "band",
        "pre_den", "pre_num", "post_den", "post_num",
    ),
    "race_bin": ("map", "race_version", "measure_id", "likely_group", "second_group", "band", "group"),
}  # fmt: skip
VALUES = {
    "cell": {"den": COUNT, "num": COUNT, "with_reading": COUNT, "num_sq": EXACT, "value": REAL, "weight": REAL},
    "cell_overlap": {"den_den": COUNT, "num_den": COUNT, "den_num": COUNT, "num_num": EXACT},
    "cell_profile": {"n": COUNT},
    "cell_flow": {"n": COUNT},
    "cell_age": {"den": COUNT, "num": COUNT, "den_stayed": COUNT, "num_stayed": COUNT},
    "cell_probability": {"p_p": EXACT, "p": COUNT, "p_num": COUNT},
    "cell_self_report": {"p_p": EXACT, "p": COUNT, "p_num": COUNT, "den": COUNT, "num": COUNT},
    "cell_history": {"members": COUNT},
    "race_bin": {"members": COUNT, "p": COUNT},
}
MAY_LACK = ("cell_age", "cell_probability", "cell_self_report", "cell_history", "race_bin")
_WHOLE = ("year", "year_1", "year_2", "step", "band", "pre_den", "pre_num", "post_den", "post_num")


@dataclass(frozen=True)
class CellTables:
    """Cells, overlap moments, profiles, flow, sums of probabilities of all and of self-reported members, members by results
    before and after, bins of probabilities: each with the dictionary's columns, sorted by its key.

    Numbers are exact: counts are nullable 64-bit integers (null: does not apply), sums of squares and products (`num_sq`,
    `num_num`) decimals of 38 digits. Statistics take `numeric()`.
    """

    cell: pd.DataFrame
    cell_overlap: pd.DataFrame
    cell_profile: pd.DataFrame
    cell_flow: pd.DataFrame
    cell_age: pd.DataFrame = field(default_factory=lambda: empty("cell_age"))
    cell_probability: pd.DataFrame = field(default_factory=lambda: empty("cell_probability"))
    cell_self_report: pd.DataFrame = field(default_factory=lambda: empty("cell_self_report"))
    cell_history: pd.DataFrame = field(default_factory=lambda: empty("cell_history"))
    race_bin: pd.DataFrame = field(default_factory=lambda: empty("race_bin"))

    def numeric(self) -> CellTables:
        """The same tables with plain numpy columns: int64 where every value is there, else float64 with NaN.

        Decimals become the nearest float64 (relative error at most 2^-53): the only place where exactness ends.
        """
        return replace(self, **{name: _numeric(frame) for name, frame in self.items()})

    def items(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Names and frames, in a fixed order."""
        for table in fields(self):
            yield table.name, getattr(self, table.name)


def columns(table: str) -> dict[str, str]:
    """Columns of a table of cells and their kinds, in order."""
    keys = {key: YEAR if key in _WHOLE else TEXT for key in KEYS[table]}
    return keys | VALUES[table]


def _dtypes() -> dict[str, Any]:
    import pandas as pd
    import pyarrow as pa

    return {TEXT: "str", YEAR: "int64", COUNT: "Int64", EXACT: pd.ArrowDtype(pa.decimal128(38, 0)), REAL: "float64"}


def empty(table: str) -> pd.DataFrame:
    """A table of cells without rows."""
    import pandas as pd

    return canonical(table, pd.DataFrame())


def canonical(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with exactly the table's columns (absent value columns null), their dtypes, sorted by its key."""
    import pandas as pd

    dtypes = _dtypes()
    absent = pd.Series(pd.NA, frame.index, dtype="Int64")
    order = _order([frame.get(key, absent) for key in KEYS[table]])
    out = {name: _typed(frame.get(name, absent), dtypes[kind]).take(order) for name, kind in columns(table).items()}
    return pd.DataFrame({name: column.reset_index(drop=True) for name, column in out.items()})


def _typed(column: pd.Series, dtype: Any) -> pd.Series:
    """The column with a dtype; categories become text by their few words, not row by row."""
    import pandas as pd

    if dtype == "str" and isinstance(column.dtype, pd.CategoricalDtype):
        words = pd.array(column.cat.categories, dtype="str")
        return pd.Series(words.take(column.cat.codes.to_numpy(dtype="int64"), allow_fill=True), index=column.index)
    return column.astype(dtype)


def _order(keys: Sequence[pd.Series]) -> np.ndarray[Any, Any]:
    """Positions that sort rows by keys, nulls last, equal rows as they come."""
    ranks = [_ranks(key) for key in keys]
    packed = np.zeros(len(keys[0]), dtype=np.int64)
    size = 1
    for codes, count in ranks:
        size *= count
        if size > 2**62:
            return np.lexsort([codes for codes, _ in reversed(ranks)])
        packed = packed * count + codes
    if (packed[1:] >= packed[:-1]).all():
        return np.arange(len(packed))
    return np.argsort(packed, kind="stable")


def _ranks(key: pd.Series) -> tuple[np.ndarray[Any, Any], int]:
    """Rank of each value among the sorted distinct ones, nulls last, and how many ranks there are."""
    import pandas as pd

    if isinstance(key.dtype, pd.CategoricalDtype):
        words = np.asarray(key.cat.categories)
        rank = np.argsort(np.argsort(words, kind="stable"), kind="stable")
        codes = np.append(rank, -1)[key.cat.codes.to_numpy(dtype="int64")]
        count = len(words)
    else:
        codes, words = pd.factorize(key, sort=True)
        count = len(words)
    return np.where(codes < 0, count, codes), count + 1


def _numeric(frame: pd.DataFrame) -> pd.DataFrame:
    plain = {}
    for name, column in frame.items():
        if str(column.dtype) == "Int64":
            plain[name] = column.astype("float64" if column.isna().any() else "int64")
        elif str(column.dtype).startswith("decimal"):
            plain[name] = column.astype("double[pyarrow]").astype("float64")
        else:
            plain[name] = column
    return frame.assign(**plain)


def cells_hash(tables: CellTables) -> str:
    """sha256 of the content of the tables in canonical order: the `data_hash` of every estimate made from them.

    Sums of probabilities count where there are any: most studies have none.
    """
    whole = hashlib.sha256()
    for name, frame in tables.items():
        if name in MAY_LACK and not len(frame):
            continue
        ordered = canonical(name, frame)
        whole.update(f"{name}\0{len(ordered)}\0".encode())
        for column, kind in columns(name).items():
            whole.update(f"{column}\0".encode())
            whole.update(_content(ordered[column], kind))
    return whole.hexdigest()


def _content(column: pd.Series, kind: str) -> bytes:
    """The values of a column as bytes that depend on nothing but the values: texts, or little-endian numbers and a null mask."""
    import pandas as pd

    if kind == TEXT:
        codes, words = pd.factorize(column, sort=True)  # a null is code -1
        return "\0".join(map(str, words)).encode() + b"\1" + bytes(codes.astype("<i4").tobytes())
    missing = bytes(column.isna().to_numpy().tobytes())
    if kind == EXACT:
        return "\0".join(map(str, column.dropna().to_list())).encode() + b"\1" + missing
    if kind == REAL:
        return bytes(column.to_numpy(dtype="<f8", na_value=float("nan")).tobytes()) + missing
    return bytes(column.fillna(0).to_numpy(dtype="<i8").tobytes()) + missing
