"""What a simulation reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GENERATOR = "1"  # raised when the same seed gives other bytes


@dataclass(frozen=True)
class SimulationSummary:
    """Where the extract is and how large: rows by table, bytes on disk, seconds it took."""

    out: Path
    study: str
    scenario: str
    seed: int
    members: int
    blocks: int
    rows: Mapping[str, int]
    bytes: int
    seconds: float
