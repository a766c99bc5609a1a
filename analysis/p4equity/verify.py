"""Reproduction: two runs compared row by row, and an edition run again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from p4equity.errors import DataError, NotReproduced, UsageError
from p4equity.estimates import read_estimates
from p4equity.pipeline import run
from p4equity.run_folder import read_facts, study_of

PROVENANCE = ("plan_hash", "data_hash", "code_version", "seed")
ABSOLUTE = 1e-9


@dataclass(frozen=True)
class Comparison:
    """What differs: one line a difference, with the number of rows compared."""

    compared: int
    differences: tuple[str, ...]

    def raise_for_differences(self) -> None:
        """Raise NotReproduced (exit 14) when anything differs."""
        if self.differences:
            raise NotReproduced(
                f"{len(self.differences)} differences in {self.compared} rows",
                found="\n            ".join(self.differences[:15]),
                fix="if a number moved for a reason, commit the new edition and say so in CHANGELOG.md, 'Numbers that changed'",
            )  # fmt: skip


def compare(first: Path, second: Path, tolerance: float = 1e-8) -> Comparison:
    """Compare the estimates and diagnostics of two runs or editions, matched by row id, never by position.

    Numbers agree within `tolerance` relative or 1e-9 absolute; words must be equal. Provenance columns are not compared.
    """
    lines: list[str] = []
    compared = 0
    for name, read in (("estimates.csv", read_estimates), ("diagnostics.csv", _read)):
        frames = []
        for folder in (first, second):
            if not (folder / name).is_file():
                raise UsageError(
                    "nothing to compare", where=str(folder / name), expected="a run or an edition", found="no such file",
                    fix="give two folders that hold estimates.csv and diagnostics.csv",
                )  # fmt: skip
            frames.append(_keyed(read(folder / name), folder / name))
        compared += len(frames[0])
        lines += [f"{name}: {text}" for text in _differences(frames[0], frames[1], tolerance)]
    return Comparison(compared, tuple(lines))


def _read(path: object) -> pd.DataFrame:
    try:
        return pd.read_csv(str(path), keep_default_na=False, na_values=[""])
    except ValueError:
        raise DataError("the table cannot be read as CSV", where=str(path), fix="repeat the run that wrote it") from None


def _keyed(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    if "row_id" not in frame or not frame["row_id"].is_unique:
        raise DataError(
            "rows cannot be matched", where=f"{path}: column row_id", expected="one row an id",
            found="an id twice" if "row_id" in frame else "no such column", fix="repeat the run that wrote it",
        )  # fmt: skip
    return frame.set_index("row_id")


def _differences(a: pd.DataFrame, b: pd.DataFrame, tolerance: float) -> list[str]:
    lines = [f"row {key} only in the first" for key in a.index.difference(b.index)]
    lines += [f"row {key} only in the second" for key in b.index.difference(a.index)]
    shared = a.index.intersection(b.index)
    a, b = a.loc[shared], b.loc[shared]
    for column in a.columns:
        if column in PROVENANCE:
            continue
        if column not in b:
            lines.append(f"column {column} only in the first")
            continue
        x, y = a[column], b[column]
        if pd.api.types.is_numeric_dtype(x) and pd.api.types.is_numeric_dtype(y):
            p, q = x.to_numpy(float, na_value=np.nan), y.to_numpy(float, na_value=np.nan)
            equal = np.isclose(p, q, rtol=tolerance, atol=ABSOLUTE, equal_nan=True)
        else:
            equal = (x.astype(object).where(x.notna(), None) == y.astype(object).where(y.notna(), None)).to_numpy()
            equal = equal | (x.isna() & y.isna()).to_numpy()
        lines += [f"row {key}, {column}: {x.loc[key]} against {y.loc[key]}" for key in shared[~equal]]
    return lines


def can_be_verified(folder: Path) -> bool:
    """Whether a run or edition can be made again from what it names: synthetic data or a published panel."""
    facts = read_facts(folder)
    return not (facts.get("tier") == "A" or (facts.get("tier") == "B" and facts.get("extract")))


def verify(
    edition: Path,
    *,
    study: str | Path | None = None,
    workers: int = 2,
    progress: Callable[[str, int, int], None] | None = None,
) -> Comparison:
    """Run an edition of synthetic or published data again and compare every row.

    Raises UsageError for an edition of restricted data, whose extract is not here.
    """
    facts = read_facts(edition)
    extract = facts.get("extract", {})
    if not can_be_verified(edition):
        raise UsageError(
            "this edition rests on data that are not in it", where=str(edition), expected="a synthetic or published-data edition",
            fix="run p4equity run --data EXTRACT on the restricted machine, then p4equity compare RUN EDITION",
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "again"
        options = {"members": extract.get("members"), "seed": extract.get("seed"), "scenario": extract.get("scenario")}
        run(
            study_of(edition, facts, study).folder,
            None,
            out,
            workers=workers,
            report=False,
            progress=progress or (lambda *_: None),
            **options,
        )
        return compare(edition, out)


def print_comparison(comparison: Comparison) -> None:
    """The verdict on the terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    if not comparison.differences:
        console.print(f"[green]Reproduced:[/green] all {comparison.compared} rows agree.")
