"""Both arms must be in the cells: without a system to compare there is no answer, whatever the gates say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.errors import StudyError

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.study import Study


def check_arms(study: Study, cell: pd.DataFrame) -> None:
    """Raise StudyError when no participating or no comparison system has a cell with members or a value."""
    counted = cell["den"].fillna(0).gt(0) | cell["value"].notna()
    present = set(cell.loc[counted, "system_id"].unique())
    for arm in ("participating", "comparison"):
        wanted = [s.id for s in study.arm_systems(arm)]
        if not present.intersection(wanted):
            raise StudyError(
                f"no {arm} system left in the data", where="cells", expected="members of " + ", ".join(wanted),
                found=", ".join(sorted(present)) or "no system", fix="complete the extract, or correct the arms in systems.toml",
            )  # fmt: skip
