"""Cells on disk: Parquet files in a folder, tables of a tier-B extract, and the making of such an extract."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p4equity.cells.frames import frame_of
from p4equity.cells.tables import EXACT, KEYS, CellTables, canonical, cells_hash, columns, empty
from p4equity.dictionary import Dictionary, load_dictionary
from p4equity.errors import DataError, UsageError
from p4equity.extract import Extract, TableFiles, TableSource, open_extract, quote_name, typed_column

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.study import Study

NAMES = tuple(KEYS)
TRUTH = "truth.json"
ROW_GROUP = 1 << 15


def write_cells(tables: CellTables, folder: Path) -> None:
    """Writes `cell.parquet` and the others into a folder, each complete or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        rows = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        partial = folder / f".{name}.parquet.partial"
        # Small groups of rows: a reader of one variant passes over the others.
        pq.write_table(rows, partial, compression="zstd", row_group_size=ROW_GROUP)
        partial.replace(folder / f"{name}.parquet")


def read_cells(source: Path | Extract) -> CellTables:
    """The cells that `write_cells` left in a folder, or those of a tier-B extract (Parquet or CSV): equal frames either way.

    Suppressed rows hold no counts and are left out. Tables an extract may lack (all but `cell`) come back empty.
    Raises DataError for a table, file or column that is missing or does not fit.
    """
    extract = source if isinstance(source, Extract) else None
    frames = {}
    for name in NAMES:
        if extract is None:
            frames[name] = _read(_stored(Path(str(source)), name), load_dictionary())
        elif name == "cell" or extract.has(name):
            frames[name] = _read(extract.source(name), extract.dictionary, extract)
        else:
            frames[name] = empty(name)
    return CellTables(**frames)


def write_tier_b(tables: CellTables, study: Study, folder: Path, *, source: Extract | None = None) -> None:
    """Makes a folder that is a valid extract of tier B: the cells, and every other table of tier B that `source` holds.

    Its `extract.json` keeps what `source` says of itself (synthetic, seed, scenario) and adds tier, plan_hash and cells_hash.
    The folder appears complete or not at all; an earlier tier-B extract in its place is replaced.
    Raises UsageError when the folder holds anything else.
    """
    check_tier_b_target(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write_cells(tables, work)
        if source is not None:
            _copy_small_tables(source, work)
        about = {
            **(dict(source.metadata) if source else {"synthetic": False}),
            "study": study.id, "tier": "B", "plan_hash": study.plan_hash, "cells_hash": cells_hash(tables),
        }  # fmt: skip
        (work / "extract.json").write_text(json.dumps(about, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        work.chmod(0o777 & ~_umask())
        if folder.exists():
            shutil.rmtree(folder)
        work.rename(folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _copy_small_tables(source: Extract, work: Path) -> None:
    for table in source.dictionary.in_tier("B"):
        if table.name in NAMES or not source.has(table.name):
            continue
        source.write_table(table.name, work)
    if source.truth_file is not None:
        shutil.copyfile(source.truth_file, work / TRUTH)


def check_tier_b_target(folder: Path) -> None:
    """Raise UsageError unless the folder is new, empty or an earlier extract of tier B."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        earlier = folder.is_dir() and open_extract(folder).tier == "B"
    except DataError:
        earlier = False
    if not earlier:
        raise UsageError(
            "the folder already holds something else",
            where=str(folder),
            expected="a new folder, an empty one, or an earlier extract of tier B",
            fix="name another folder with --out",
        )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _stored(folder: Path, name: str) -> TableFiles:
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise DataError(
            "the table is missing", where=str(path), expected="a file that the cells stage wrote", found="nothing",
            fix="run the cells stage again: p4equity cells DATA --study S --out DIR",
        )  # fmt: skip
    return TableFiles(name, "parquet", (path,))


def _read(files: TableSource, dictionary: Dictionary, extract: Extract | None = None) -> pd.DataFrame:
    import duckdb

    stored: Mapping[str, Any] = files.columns
    schema = dictionary.table(files.name)
    parts = []
    for column, kind in columns(files.name).items():
        exact = kind == EXACT and column in stored  # `integer` alone would cut sums of squares at 64 bits
        name = quote_name(column)
        parts.append(f"CAST({name} AS DECIMAL(38, 0)) AS {name}" if exact else typed_column(schema.field(column), files))
    query = f"SELECT {', '.join(parts)} FROM {files.reader}"
    if "suppressed" in stored:
        query += " WHERE NOT coalesce(CAST(suppressed AS BOOLEAN), false)"
    with duckdb.connect() as connection:
        if extract is not None:
            extract.attach(connection)
        try:
            rows = connection.sql(query).to_arrow_table()
        except duckdb.Error as error:
            raise DataError(
                "the table cannot be read with the dictionary's types",
                where=f"{(*files.names, files.name)[0]}: table {files.name}",
                expected=f"the types of data_dictionary/tables/{files.name}.yaml",
                found=type(error).__name__,
                fix="p4equity validate names column and row",
            ) from None
    return canonical(files.name, frame_of(rows))
