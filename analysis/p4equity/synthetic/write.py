"""Parquet files with fixed writer settings: the same rows give the same bytes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from p4equity.errors import DataError
from p4equity.synthetic.draws import BoolArray, FloatArray, IntArray
from p4equity.synthetic.plan import Column

if TYPE_CHECKING:
    import pyarrow as pa

EPOCH = dt.date(1970, 1, 1)


def words(values: Sequence[str], codes: IntArray) -> pa.Array:
    """A text column from codes into `values`; a negative code is null."""
    import pyarrow as pa

    missing = codes < 0
    index = pa.array(np.where(missing, 0, codes).astype(np.int32), mask=missing if missing.any() else None)
    return pa.DictionaryArray.from_arrays(index, pa.array(list(values), type=pa.string()))


def constant(value: str, n: int) -> pa.Array:
    """The same text in every row."""
    return words((value,), np.zeros(n, dtype=np.int64))


def integers(values: IntArray, missing: BoolArray | None = None) -> pa.Array:
    """A 32-bit integer column."""
    import pyarrow as pa

    return pa.array(values.astype(np.int32), mask=missing)


def numbers(values: FloatArray) -> pa.Array:
    """A number column; NaN becomes null."""
    import pyarrow as pa

    missing = np.isnan(values)
    return pa.array(values, mask=missing if missing.any() else None)


def flags(values: BoolArray | None, n: int) -> pa.Array:
    """A boolean column; None: null in every row."""
    import pyarrow as pa

    return pa.nulls(n, pa.bool_()) if values is None else pa.array(values)


def days(values: npt.NDArray[Any], missing: BoolArray | None = None) -> pa.Array:
    """A date column from days since 1970."""
    import pyarrow as pa

    return pa.array(values.astype(np.int32), mask=missing).cast(pa.date32())


def day_number(date: dt.date) -> int:
    """Days since 1970."""
    return (date - EPOCH).days


def write_table(path: Path, table: str, columns: tuple[Column, ...], arrays: Mapping[str, Any]) -> int:
    """Write the columns the dictionary has, in its order, and return the number of rows.

    Raises DataError when the dictionary asks for a column that is not generated, or one is generated that it does not have.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    unknown = set(arrays) - {name for name, _, _ in columns}
    absent = [name for name, _, optional in columns if name not in arrays and not optional]
    if unknown or absent:
        raise DataError(
            "the generator and the dictionary disagree on the columns",
            where=f"table {table}",
            expected=", ".join(absent) or None,
            found=", ".join(sorted(unknown)) or None,
            fix=f"mark a new column of data_dictionary/tables/{table}.yaml p4e:optional, or teach p4equity/synthetic to make it",
        )
    chosen = [(name, arrays[name]) for name, _, _ in columns if name in arrays]
    frame = pa.table(dict(chosen))
    path.parent.mkdir(parents=True, exist_ok=True)
    text = [name for name, kind, _ in columns if kind == "string" and name in arrays]
    pq.write_table(
        frame,
        path,
        compression="zstd",
        compression_level=1,
        version="2.6",
        data_page_version="1.0",
        use_dictionary=text,
        write_statistics=True,
        store_schema=False,
        row_group_size=1 << 20,
    )
    return int(frame.num_rows)


def write_rows(path: Path, table: str, columns: tuple[Column, ...], rows: Sequence[Mapping[str, Any]]) -> int:
    """A small table from one mapping a row; a key no row has is left out when optional, else null in every row."""
    import pyarrow as pa

    kinds = {"string": pa.string(), "integer": pa.int32(), "number": pa.float64(), "boolean": pa.bool_(), "date": pa.date32()}
    seen = {key for row in rows for key in row}
    arrays = {
        name: pa.array([row.get(name) for row in rows], type=kinds[kind])
        for name, kind, optional in columns
        if name in seen or not optional
    }
    return write_table(path, table, columns, arrays)
