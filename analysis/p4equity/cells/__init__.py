"""Analytic cells: exact counts by system, practice, measure, group, year and stratum, from members, tier B or a published panel.

`build_cells` aggregates an extract of members; `value_cells` reads a published panel; `read_cells` and `write_cells` store them;
`write_tier_b` makes an extract of tier B of them; `cell_sums` reads them added up to coarser ones.
"""

from __future__ import annotations

from p4equity.cells.build import Progress, build_cells
from p4equity.cells.store import read_cells, write_cells, write_tier_b
from p4equity.cells.sums import cell_sums
from p4equity.cells.tables import CellTables, cells_hash
from p4equity.cells.value import value_cells

__all__ = [
    "CellTables",
    "Progress",
    "build_cells",
    "cell_sums",
    "cells_hash",
    "read_cells",
    "value_cells",
    "write_cells",
    "write_tier_b",
]
