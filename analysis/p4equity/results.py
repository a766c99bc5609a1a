"""The released results of a run: tables after disclosure control, the study they answer, and how systems are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from p4equity.errors import DataError
from p4equity.estimates import read_estimates, with_types
from p4equity.study import Study

FLOAT_FORMAT = "%.15g"  # what a double carries: sums of released numbers hold to rounding


@dataclass(frozen=True)
class Results:
    """What exhibits and briefings may read. `tables` are frames by name; `masked` hides system names behind labels."""

    study: Study
    estimates: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]
    masked: bool = True
    synthetic: bool = False
    skipped: dict[str, str] = field(default_factory=dict)

    def table(self, name: str) -> pd.DataFrame:
        """One result table; an empty frame when the study has none of it."""
        return self.tables[name].copy() if name in self.tables else pd.DataFrame()

    def label(self, system_id: str) -> str:
        """The name a reader sees for a system."""
        return self.study.label(system_id, self.masked)

    def skip(self, exhibit_id: str, reason: str) -> None:
        """Record why an exhibit does not apply, so that the report can say so."""
        self.skipped[exhibit_id] = reason

    def row(self, **identity: object) -> dict[str, object]:
        """Exactly one row of the estimates. Raises DataError when none or several match."""
        found = self.estimates
        for column, value in identity.items():
            found = found[found[column] == value]
        if len(found) != 1:
            raise DataError("not exactly one row", where="estimates", expected=str(identity), found=f"{len(found)} rows")
        return dict(found.iloc[0])


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """CSV with fifteen significant digits and empty cells for nulls, written whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    frame.to_csv(temporary, index=False, float_format=FLOAT_FORMAT, lineterminator="\n")
    temporary.replace(path)


def read_results(folder: Path, study: Study, *, masked: bool, synthetic: bool) -> Results:
    """The results of a finished run or edition folder. Raises DataError when there are none."""
    path = folder / "estimates.csv"
    if not path.is_file():
        raise DataError(
            "no results here", where=str(folder), expected="estimates.csv", found="none", fix="make them with: p4equity run"
        )
    tables = {p.stem: _read_table(p) for p in sorted(folder.glob("*.csv")) if p.stem != "estimates"}
    return Results(study, with_types(read_estimates(path)), tables, masked, synthetic)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, keep_default_na=False, na_values=[""])
    except ValueError:  # no CSV, or no UTF-8
        raise DataError(
            "the table cannot be read as CSV", where=str(path), expected="a header and rows in UTF-8",
            fix="make the results again with: p4equity run",
        ) from None  # fmt: skip
