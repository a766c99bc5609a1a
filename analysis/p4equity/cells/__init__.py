"""Analytic cells: exact counts by system, practice, measure, group, year and stratum, from members or from a tier-B extract."""

from __future__ import annotations

from p4equity.cells.build import build_cells
from p4equity.cells.tables import CellTables, cells_hash

__all__ = ["CellTables", "build_cells", "cells_hash"]
