"""The run a notebook reads: finding it, its result tables, and exactly one row of them at a time."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p4equity.errors import DataError, UsageError, did_you_mean
from p4equity.resources import referenced_study, root

if TYPE_CHECKING:
    import pandas as pd

CONTEXT = "report.json"  # written by the report stage before the first notebook runs


def find_run(run_dir: str) -> Path:
    """The given run, or the latest finished one under `reports/runs/` when `run_dir` is empty.

    A run is finished for this purpose when its results passed disclosure control and the report stage described it; hidden
    folders are where runs are on their way.
    """
    if run_dir:
        path = Path(run_dir).resolve()
        if not (path / "results").is_dir():
            raise UsageError(
                "not a run",
                where=run_dir,
                expected="a folder with results/",
                found="none",
                fix="make one with: p4equity run --out DIR",
            )
        return path
    runs = root() / "reports" / "runs"
    finished = [
        p
        for p in (runs.iterdir() if runs.is_dir() else ())
        if not p.name.startswith(".") and (p / CONTEXT).is_file() and (p / "results" / "estimates.csv").is_file()
    ]
    if not finished:
        raise UsageError("no finished run to open", where="reports/runs", fix="make one with: p4equity run (or make report)")
    return max(finished, key=lambda p: ((p / "results" / "estimates.csv").stat().st_mtime, p.name))


class Run:
    """The released results of one run, each table read once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tables: dict[str, pd.DataFrame] = {}

    @cached_property
    def context(self) -> dict[str, Any]:
        """What the report stage wrote about the run: study, edition, whether the data are synthetic."""
        path = self.path / CONTEXT
        if not path.is_file():
            raise DataError("the run has no description", where=str(path.name), fix="render it once with: p4equity render RUN")
        loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return loaded

    @cached_property
    def study(self) -> Any:
        """The study of the run, loaded on first use."""
        from p4equity.study import load_study

        return load_study(referenced_study(str(self.context["study"]), self.path))

    def table(self, name: str) -> pd.DataFrame:
        """`results/<name>.csv`. Raises DataError when there is none."""
        if name not in self._tables:
            import pandas as pd

            path = self.path / "results" / f"{name}.csv"
            if not path.is_file():
                known = [p.stem for p in path.parent.glob("*.csv")]
                raise DataError(
                    "no such result table", where=f"results/{name}.csv", fix=did_you_mean(name, known) if known else ""
                )
            text = {
                "row_id": "string",
                "group": "string",
                "system_id": "string",
                "reason": "string",
                "period": "string",
            }
            self._tables[name] = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
        return self._tables[name]

    def rows(self, identity: dict[str, object], table: str = "estimates") -> pd.DataFrame:
        """All rows of a result table with the given values; None matches a missing one, a list any of its values."""
        frame = self.table(table)
        for column, value in identity.items():
            if column not in frame.columns:
                raise UsageError(
                    "no such column", where=f"results/{table}.csv: {column}", fix=did_you_mean(column, frame.columns)
                )
            cells = frame[column]
            if value is None:
                frame = frame[cells.isna()]
            elif isinstance(value, list | tuple | set):
                frame = frame[cells.isin(list(value))]
            else:
                frame = frame[(cells == value).fillna(False)]
        return frame

    def row(self, identity: dict[str, object], table: str = "estimates") -> dict[str, Any]:
        """Exactly one row, missing values as None. Raises UsageError, naming what differs, if none or several match."""
        found = self.rows(identity, table)
        wanted = ", ".join(f"{k}={v!r}" for k, v in identity.items())
        if len(found) != 1:
            raise UsageError(
                "a number in the text needs exactly one row",
                where=f"results/{table}.csv [{wanted}]",
                expected="1 row",
                found=f"{len(found)} rows" + (f", which differ in {_differing(found)}" if len(found) else ""),
                fix="name more columns" if len(found) else self._nearest(identity, table),
            )
        return {str(k): None if v is None or v != v else v for k, v in _plain(found.iloc[0].to_dict()).items()}

    def _nearest(self, identity: dict[str, object], table: str) -> str:
        """The first column whose value occurs nowhere, with the values that do."""
        for column, value in identity.items():
            if self.rows({column: value}, table).empty:
                known = sorted({str(v) for v in self.table(table)[column].dropna()})
                return f"{column}: {did_you_mean(str(value), known[:40])}"
        return "each value occurs, but never together"


def _plain(record: dict[Any, Any]) -> dict[Any, Any]:
    """pandas' missing markers and numpy scalars as plain Python values."""
    import pandas as pd

    return {k: None if v is pd.NA else v.item() if hasattr(v, "item") else v for k, v in record.items()}


def _differing(found: pd.DataFrame) -> str:
    columns = [c for c in found.columns if found[c].nunique(dropna=False) > 1 and c not in ("row_id", "estimate", "std_error")]
    return ", ".join(columns[:6]) or "row_id only"
